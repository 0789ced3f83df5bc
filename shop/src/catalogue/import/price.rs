//! Reads a price written as a decimal number into minor units. Pure.

use crate::domain::Product;

/// Why a text is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceFault {
    /// A minus sign.
    #[error("'{0}' is negative; a price is 0 or more")]
    Negative(String),
    /// A comma or another separator.
    #[error("'{0}' has a separator or decimal comma; write it as 1234.50")]
    Separator(String),
    /// An exponent.
    #[error("'{0}' is in scientific notation; write all its digits")]
    Scientific(String),
    /// Not digits with at most one point between them.
    #[error("'{0}' is no price; write digits, with a point before the fraction, without a currency sign")]
    NotDecimal(String),
    /// More digits than the currency has.
    #[error("'{text}' has {found} digits after the point; the currency has {digits}")]
    TooFine {
        /// What was written.
        text: String,
        /// Digits after the point.
        found: usize,
        /// Digits the currency has.
        digits: u32,
    },
    /// Above [`Product::MAX_PRICE`].
    #[error("'{0}' is more than the highest price, {max} minor units", max = Product::MAX_PRICE)]
    TooHigh(String),
}

/// Minor units of a price in a currency with `digits` digits after the point.
pub(super) fn parse(text: &str, digits: u32) -> Result<i64, PriceFault> {
    // What is shown of a text that is none of ours.
    let shown = || text.chars().take(40).collect::<String>();
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let decimal = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !decimal(whole) || !fraction.is_none_or(decimal) {
        return Err(classify(text)(shown()));
    }
    let fraction = fraction.unwrap_or_default();
    let missing = (digits as usize).checked_sub(fraction.len()).ok_or_else(|| PriceFault::TooFine {
        text: shown(),
        found: fraction.len(),
        digits,
    })?;
    whole
        .bytes()
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', missing))
        .try_fold(0_i64, |amount, digit| amount.checked_mul(10)?.checked_add(i64::from(digit - b'0')))
        .filter(|&amount| amount <= Product::MAX_PRICE)
        .ok_or_else(|| PriceFault::TooHigh(shown()))
}

/// What is wrong with a text that is not decimal.
fn classify(text: &str) -> fn(String) -> PriceFault {
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    let only = |allowed: &str| text.chars().all(|character| character.is_ascii_digit() || allowed.contains(character));
    if !digits {
        PriceFault::NotDecimal
    } else if text.starts_with(['-', '\u{2212}']) {
        PriceFault::Negative
    } else if only(".,' _\u{a0}\u{202f}\u{2019}") && !text.starts_with('.') && !text.ends_with('.') {
        PriceFault::Separator
    } else if only(".eE+-") && text.contains(['e', 'E']) {
        PriceFault::Scientific
    } else {
        PriceFault::NotDecimal
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_price_becomes_minor_units_of_its_currency() {
        for (text, digits, amount) in [
            ("12.50", 2, 1_250),
            ("12.5", 2, 1_250),
            ("12", 2, 1_200),
            ("0", 2, 0),
            ("007", 2, 700),
            ("500", 0, 500),
            ("1.234", 3, 1_234),
            ("1000000000", 2, Product::MAX_PRICE),
        ] {
            assert_eq!(parse(text, digits), Ok(amount), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_price_is_said() {
        let of = |text: &str| parse(text, 2).expect_err(text);
        for text in ["-1", "-0.01", "\u{2212}5"] {
            assert!(matches!(of(text), PriceFault::Negative(_)), "{text}");
        }
        for text in ["1,50", "1,234.50", "1.234.50", "1 000", "1'000", "1_000", "1\u{a0}000"] {
            assert!(matches!(of(text), PriceFault::Separator(_)), "{text}");
        }
        for text in ["1e3", "1.5E+2"] {
            assert!(matches!(of(text), PriceFault::Scientific(_)), "{text}");
        }
        for text in ["", ".", ".50", "12.", "€5", "5 EUR", "free", "NaN", "0x10", "+5", "٣"] {
            assert!(matches!(of(text), PriceFault::NotDecimal(_)), "{text}");
        }
        for text in ["1000000000.01", "99999999999999999999999999"] {
            assert!(matches!(of(text), PriceFault::TooHigh(_)), "{text}");
        }
        assert_eq!(of("1.005"), PriceFault::TooFine { text: "1.005".to_owned(), found: 3, digits: 2 });
        assert!(matches!(parse("1.5", 0), Err(PriceFault::TooFine { .. })));
    }

    proptest! {
        #[test]
        fn every_amount_reads_back_as_it_was_written(amount in 0..=Product::MAX_PRICE, digits in 0..5_u32) {
            let scale = 10_i64.pow(digits);
            let text = match digits {
                0 => amount.to_string(),
                _ => format!("{}.{:0width$}", amount / scale, amount % scale, width = digits as usize),
            };
            prop_assert_eq!(parse(&text, digits), Ok(amount));
        }

        #[test]
        fn no_text_makes_it_fail_otherwise_than_refused(text in "\\PC{0,30}|[-+.,eE0-9]{0,30}", digits in 0..5_u32) {
            let _ = parse(&text, digits);
        }
    }
}
