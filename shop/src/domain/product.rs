//! What the shop sells. Pure.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Money, Sku};

/// Name of a product: 1 to 200 characters, trimmed, none of them a control character.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProductName(Box<str>);

/// Category of a product: 1 to 64 characters, trimmed, none of them a control character.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Category(Box<str>);

/// Why a text is no [`ProductName`] or [`Category`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// More characters than allowed.
    #[error("it has {found} characters; write at most {most}")]
    TooLong {
        /// Characters it has.
        found: usize,
        /// Characters it may have.
        most: usize,
    },
    /// A line break, a tab, or another control character.
    #[error("it holds the control character U+{0:04X}; remove it")]
    Control(u32),
}

fn label(text: &str, most: usize) -> Result<Box<str>, InvalidLabel> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidLabel::Empty);
    }
    let found = text.chars().count();
    if found > most {
        return Err(InvalidLabel::TooLong { found, most });
    }
    match text.chars().find(|character| character.is_control()) {
        Some(character) => Err(InvalidLabel::Control(character.into())),
        None => Ok(text.into()),
    }
}

macro_rules! label_type {
    ($name:ident, $most:literal) => {
        impl $name {
            /// Most characters of it.
            pub const MAX_CHARACTERS: usize = $most;

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidLabel;

            fn from_str(text: &str) -> Result<Self, InvalidLabel> {
                label(text, Self::MAX_CHARACTERS).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidLabel;

            fn try_from(text: String) -> Result<Self, InvalidLabel> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(label: $name) -> Self {
                label.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

label_type!(ProductName, 200);
label_type!(Category, 64);

/// A thing for sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// What tells it from every other product, case aside.
    pub sku: Sku,
    /// What shoppers read.
    pub name: ProductName,
    /// What one piece costs, 0 to [`Product::MAX_PRICE`] minor units.
    pub price: Money,
    /// The part of the shop it stands in.
    pub category: Category,
}

impl Product {
    /// Highest price in minor units: a full order, 1,000 lines of 9,999 pieces, still fits an `i64`.
    pub const MAX_PRICE: i64 = 100_000_000_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_keeps_what_is_inside() {
        assert_eq!("  Mug, 'Élan'  ".parse::<ProductName>().expect("a name").as_str(), "Mug, 'Élan'");
    }

    #[test]
    fn a_name_is_bounded_in_characters_not_bytes() {
        assert!("é".repeat(200).parse::<ProductName>().is_ok());
        assert_eq!("é".repeat(201).parse::<ProductName>(), Err(InvalidLabel::TooLong { found: 201, most: 200 }));
        assert_eq!(" \t ".parse::<ProductName>(), Err(InvalidLabel::Empty));
        assert_eq!("a\0b".parse::<ProductName>(), Err(InvalidLabel::Control(0)));
        assert_eq!("a\nb".parse::<Category>(), Err(InvalidLabel::Control(10)));
    }

    #[test]
    fn the_highest_price_fits_the_largest_order() {
        assert!(Product::MAX_PRICE.checked_mul(9_999).and_then(|line| line.checked_mul(1_000)).is_some());
    }
}
