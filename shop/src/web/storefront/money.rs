//! Writes amounts for people. Pure.

use crate::domain::Money;

/// Signs of currencies that shoppers know better than their codes.
const SIGNS: [(&str, &str); 6] =
    [("EUR", "€"), ("USD", "$"), ("GBP", "£"), ("JPY", "¥"), ("INR", "₹"), ("CHF", "CHF\u{a0}")];
/// Digits of a currency that the standard does not list.
const USUAL_DIGITS: u32 = 2;

/// An amount with its currency's sign and digits, such as `€1,299.00`.
pub(super) fn display(money: Money) -> String {
    let digits = money.currency.minor_digits().unwrap_or(USUAL_DIGITS);
    let unit = 10_u64.pow(digits);
    let amount = money.amount.unsigned_abs();
    let minus = if money.amount < 0 { "−" } else { "" };
    let known = SIGNS.iter().find(|(code, _)| *code == money.currency.as_str());
    let sign = known.map_or_else(|| format!("{}\u{a0}", money.currency), |(_, sign)| (*sign).to_owned());
    let whole = grouped(amount / unit);
    if digits == 0 {
        return format!("{minus}{sign}{whole}");
    }
    let rest = amount % unit;
    format!("{minus}{sign}{whole}.{rest:0width$}", width = digits as usize)
}

/// A number with a comma between each three digits.
pub(super) fn grouped(number: u64) -> String {
    let plain = number.to_string();
    let mut text = String::with_capacity(plain.len() + plain.len() / 3);
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_the_digits_and_sign_of_its_currency() {
        for (amount, currency, text) in [
            (0, "EUR", "€0.00"),
            (5, "EUR", "€0.05"),
            (129_900, "EUR", "€1,299.00"),
            (123_456_789, "USD", "$1,234,567.89"),
            (1500, "JPY", "¥1,500"),
            (1_234_567, "KWD", "KWD\u{a0}1,234.567"),
            (-250, "GBP", "−£2.50"),
        ] {
            let money = Money { amount, currency: currency.parse().expect("a currency") };
            assert_eq!(display(money), text);
        }
    }
}
