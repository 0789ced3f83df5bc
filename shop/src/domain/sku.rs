//! The stock keeping unit: the name of a product. Pure.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Name of a product: 1 to 64 ASCII letters, digits, `-`, `_` and `.`; case is kept but does not tell two apart.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(Box<str>);

/// A text that is no [`Sku`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no SKU: write 1 to 64 ASCII letters, digits, '-', '_' or '.'")]
pub struct InvalidSku(String);

impl Sku {
    /// Most bytes of a SKU.
    pub const MAX_BYTES: usize = 64;

    /// The SKU as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SKU of a text that was one before.
    pub(crate) fn known(text: &str) -> Self {
        debug_assert!(text.parse::<Self>().is_ok(), "'{text}' was a SKU before");
        Self(text.into())
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_uppercase())
    }
}

impl FromStr for Sku {
    type Err = InvalidSku;

    fn from_str(text: &str) -> Result<Self, InvalidSku> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSku(text.chars().take(Self::MAX_BYTES).collect()))
        }
    }
}

impl TryFrom<String> for Sku {
    type Error = InvalidSku;

    fn try_from(text: String) -> Result<Self, InvalidSku> {
        text.parse()
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0.into()
    }
}

impl PartialEq for Sku {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Sku {}

impl Hash for Sku {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
        state.write_u8(0);
    }
}

impl PartialOrd for Sku {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sku {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(other.folded())
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Sku {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn case_does_not_tell_two_skus_apart() {
        let both: HashSet<Sku> = ["ab-1", "AB-1"].map(|text| text.parse().expect("a SKU")).into();
        assert_eq!(both.len(), 1);
    }

    #[test]
    fn a_sku_is_bounded_and_plain() {
        for wrong in ["", " ", "a b", "ä", "a/b", "a\0", &"x".repeat(65)] {
            assert!(wrong.parse::<Sku>().is_err(), "{wrong}");
        }
        assert!("x".repeat(64).parse::<Sku>().is_ok());
    }
}
