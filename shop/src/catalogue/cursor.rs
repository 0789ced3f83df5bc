//! The opaque cursor of a page: where the last one ended, in words that a newer catalogue understands too. Pure.

use std::{fmt::Write as _, ops::Range, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    fold::fold,
    snapshot::{ProductView, Snapshot, compare_skus},
};
use crate::domain::{Currency, Sku};

/// Longest cursor that is looked at, in bytes.
const MAX_CURSOR_BYTES: usize = 2_048;

/// Most bytes of a folded name in a cursor.
const MAX_NAME_BYTES: usize = 512;

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sort {
    /// By name, A to Z.
    #[default]
    Name,
    /// By name, Z to A.
    NameDescending,
    /// Cheapest first.
    Price,
    /// Dearest first.
    PriceDescending,
    /// By SKU.
    Sku,
}

/// A text that names no [`Sort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such order; write name, -name, price, -price or sku")]
pub struct InvalidSort;

impl FromStr for Sort {
    type Err = InvalidSort;

    fn from_str(text: &str) -> Result<Self, InvalidSort> {
        [Self::Name, Self::NameDescending, Self::Price, Self::PriceDescending, Self::Sku]
            .into_iter()
            .find(|sort| sort.as_str() == text)
            .ok_or(InvalidSort)
    }
}

impl Sort {
    /// Its name in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::NameDescending => "-name",
            Self::Price => "price",
            Self::PriceDescending => "-price",
            Self::Sku => "sku",
        }
    }
}

/// A cursor that this shop did not make, or made for a list in another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one of this list; leave it out to start at the first page")]
pub struct BadCursor;

/// Tells the content of one catalogue from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u32);

impl Identity {
    /// From the content's SHA-256.
    pub(super) fn of(digest: [u8; 32]) -> Self {
        let [first, second, third, fourth, ..] = digest;
        Self(u32::from_be_bytes([first, second, third, fourth]))
    }
}

/// What a page is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    List(Sort),
    /// A search; its answers are ranked, the best are of rank 0.
    Search {
        rank: u32,
    },
}

/// Where a page ended: the last product on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) of: Of,
    pub(super) amount: i64,
    pub(super) currency: Currency,
    pub(super) sku: Sku,
    identity: Identity,
    id: u32,
    folded_name: String,
}

impl Cursor {
    /// The text of a cursor after `last`.
    pub(super) fn encode(of: Of, snapshot: &Snapshot, last: ProductView<'_>) -> String {
        let (kind, rank) = match of {
            Of::List(sort) => (sort.as_str(), 0),
            Of::Search { rank } => ("search", rank),
        };
        let mut folded = fold(&last.name());
        folded.truncate(folded.floor_char_boundary(MAX_NAME_BYTES));
        let (price, sku) = (last.price(), last.sku());
        let mut text = String::with_capacity(64 + sku.len() + folded.len());
        // Writing to a string cannot fail. No field but the last can hold a line break, and the last has none either.
        let _ = write!(
            text,
            "{kind}\n{rank}\n{}\n{}\n{}\n{}\n{sku}\n{folded}",
            snapshot.identity.0, last.id, price.amount, price.currency
        );
        URL_SAFE_NO_PAD.encode(text)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(super) fn decode(text: &str) -> Result<Self, BadCursor> {
        if text.len() > MAX_CURSOR_BYTES {
            return Err(BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
        let text = String::from_utf8(bytes).map_err(|_| BadCursor)?;
        let mut fields = text.splitn(8, '\n');
        let mut field = || fields.next().ok_or(BadCursor);
        let (kind, rank) = (field()?, number(field()?)?);
        let of = if kind == "search" { Of::Search { rank } } else { Of::List(number(kind)?) };
        Ok(Self {
            of,
            identity: Identity(number(field()?)?),
            id: number(field()?)?,
            amount: number(field()?)?,
            currency: number(field()?)?,
            sku: number(field()?)?,
            folded_name: field()?.to_owned(),
        })
    }

    /// The ids that the cursor's product has, or would stand between, by name: one id, or none at the place where it is missing.
    pub(super) fn place(&self, snapshot: &Snapshot) -> Range<u32> {
        if self.identity == snapshot.identity {
            let count = u32::try_from(snapshot.product_count()).unwrap_or(u32::MAX);
            return self.id.min(count)..self.id.saturating_add(1).min(count);
        }
        let compare = |id: u32| {
            let product = snapshot.view(id);
            let mut folded = fold(&product.name());
            folded.truncate(folded.floor_char_boundary(MAX_NAME_BYTES));
            folded.cmp(&self.folded_name).then_with(|| compare_skus(product.sku(), self.sku.as_str()))
        };
        let ids = &snapshot.by_name.all;
        let from = ids.partition_point(|&id| compare(id).is_lt());
        let above = ids.partition_point(|&id| compare(id).is_le());
        let id = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        id(from)..id(above)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, BadCursor> {
    text.parse().map_err(|_| BadCursor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_the_cursor_fail_otherwise_than_refused(text in ".{0,100}") {
            let _ = Cursor::decode(&text);
            let _ = Cursor::decode(&URL_SAFE_NO_PAD.encode(&text));
        }
    }

    #[test]
    fn a_long_cursor_is_refused_unread() {
        assert_eq!(Cursor::decode(&"A".repeat(MAX_CURSOR_BYTES + 1)), Err(BadCursor));
    }

    #[test]
    fn each_sort_has_its_name() {
        for name in ["name", "-name", "price", "-price", "sku"] {
            assert_eq!(name.parse::<Sort>().map(Sort::as_str), Ok(name));
        }
        assert_eq!("-sku".parse::<Sort>(), Err(InvalidSort));
    }
}
