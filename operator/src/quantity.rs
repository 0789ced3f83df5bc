//! Kubernetes quantities, read well enough to compare them. No I/O.
//!
//! The grammar is that of <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use std::{cmp::Ordering, fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as KubernetesQuantity;

/// A positive amount of something, kept as it was written.
#[derive(Clone, Debug)]
pub struct Quantity {
    text: String,
    thousandths: u128,
}

/// The text is no positive quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a quantity; write a positive number with a unit, such as 250m or 128Mi")]
pub struct InvalidQuantity;

impl Quantity {
    /// As the Kubernetes API wants it.
    #[must_use]
    pub fn to_kubernetes(&self) -> KubernetesQuantity {
        KubernetesQuantity(self.text.clone())
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No sensible amount is longer; it also bounds the arithmetic below.
        if text.len() > 32 {
            return Err(InvalidQuantity);
        }
        let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        // Digits beyond the thousandths of a thousandth decide nothing here.
        let mantissa: u128 = digits.parse().map_err(|_| InvalidQuantity)?;
        let places = u32::try_from(fraction.len()).map_err(|_| InvalidQuantity)?;
        let divisor = 10_u128.checked_pow(places).ok_or(InvalidQuantity)?;
        let thousandths = mantissa.checked_mul(scale(suffix)?).ok_or(InvalidQuantity)? / divisor;
        if thousandths == 0 { Err(InvalidQuantity) } else { Ok(Self { text: text.to_owned(), thousandths }) }
    }
}

/// How many thousandths one of the unit is.
fn scale(suffix: &str) -> Result<u128, InvalidQuantity> {
    let binary = |power: u32| 1000 * 1024_u128.pow(power);
    let decimal = |power: u32| 1000 * 1000_u128.pow(power);
    Ok(match suffix {
        "m" => 1,
        "" => decimal(0),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        exponent => {
            let power: u32 =
                exponent.strip_prefix(['e', 'E']).ok_or(InvalidQuantity)?.parse().map_err(|_| InvalidQuantity)?;
            10_u128.checked_pow(power.checked_add(3).ok_or(InvalidQuantity)?).ok_or(InvalidQuantity)?
        }
    })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.thousandths == other.thousandths
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.thousandths.cmp(&other.thousandths)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|_| panic!("{text} is a quantity"))
    }

    #[test]
    fn quantities_compare_by_what_they_amount_to() {
        assert!(quantity("1Gi") > quantity("1G"));
        assert!(quantity("1500m") == quantity("1.5"));
        assert!(quantity("0.5Gi") == quantity("512Mi"));
        assert!(quantity("1e3") == quantity("1k"));
        assert!(quantity("999Mi") < quantity("1Gi"));
    }

    #[test]
    fn what_is_no_positive_quantity_is_refused() {
        for text in ["", "0", "0Gi", "-1", "ten", "1 Gi", "1GiB", "1..5", ".", "Gi", "1e99", "१Gi", &"9".repeat(33)] {
            assert_eq!(text.parse::<Quantity>(), Err(InvalidQuantity), "{text}");
        }
    }
}
