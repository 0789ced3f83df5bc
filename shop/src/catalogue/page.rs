//! What list and search are asked for, and a page of their answer. Pure.

use std::io::Write as _;

use super::{
    cursor::Sort,
    snapshot::{ProductView, Snapshot},
};

/// Most categories that an answer counts, the largest first.
pub const MAX_FACETS: usize = 100;

/// How many products a page holds: 1 to 100, by default 20.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u8);

/// A number that is no [`Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit is not a number within bounds; write 1 to {}", Limit::MOST)]
pub struct InvalidLimit;

impl Limit {
    /// The most.
    pub const MOST: u8 = 100;
}

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

impl TryFrom<i64> for Limit {
    type Error = InvalidLimit;

    fn try_from(number: i64) -> Result<Self, InvalidLimit> {
        u8::try_from(number).ok().filter(|number| (1..=Self::MOST).contains(number)).map(Self).ok_or(InvalidLimit)
    }
}

impl From<Limit> for usize {
    fn from(limit: Limit) -> Self {
        limit.0.into()
    }
}

/// What [`Snapshot::list`] is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListQuery<'request> {
    /// The order.
    pub sort: Sort,
    /// Only products of exactly this category.
    pub category: Option<&'request str>,
    /// Where the page before ended, as it said itself.
    pub cursor: Option<&'request str>,
    /// Most products of the page.
    pub limit: Limit,
}

/// What [`Snapshot::search`] is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchQuery<'request> {
    /// What the shopper wrote: any text at all.
    pub text: &'request str,
    /// Only products of exactly this category.
    pub category: Option<&'request str>,
    /// Where the page before ended, as it said itself.
    pub cursor: Option<&'request str>,
    /// Most products of the page.
    pub limit: Limit,
}

/// Some of the products that were asked for.
#[derive(Debug)]
pub struct Page<'snapshot> {
    pub(super) snapshot: &'snapshot Snapshot,
    pub(super) ids: Vec<u32>,
    pub(super) next_cursor: Option<String>,
    /// Numbers of categories with their counts.
    pub(super) facets: Vec<(u16, u32)>,
    pub(super) total: usize,
}

impl<'snapshot> Page<'snapshot> {
    /// The products in their order.
    #[must_use]
    pub fn items(&self) -> impl ExactSizeIterator<Item = ProductView<'snapshot>> {
        self.ids.iter().map(|&id| self.snapshot.view(id))
    }

    /// The cursor of the next page; none on the last.
    #[must_use]
    pub fn next_cursor(&self) -> Option<&str> {
        self.next_cursor.as_deref()
    }

    /// How many products there are on all pages.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Categories and how many products of each there are when no category is asked for, most first, at most [`MAX_FACETS`]: a shopper in one
    /// category sees what the others hold.
    #[must_use]
    pub fn facets(&self) -> impl ExactSizeIterator<Item = (&'snapshot str, u32)> {
        self.facets.iter().map(|&(category, count)| (&*self.snapshot.categories[category as usize].value, count))
    }

    /// Appends `{"items":[..],"next_cursor":..,"facets":{"category":[{"value":..,"count":..}]}}`.
    pub fn write_json(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(b"{\"items\":[");
        for (place, product) in self.items().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            json.extend_from_slice(product.json().as_bytes());
        }
        json.extend_from_slice(b"],\"next_cursor\":");
        match &self.next_cursor {
            // Its letters need no escape.
            Some(cursor) => {
                json.push(b'"');
                json.extend_from_slice(cursor.as_bytes());
                json.push(b'"');
            }
            None => json.extend_from_slice(b"null"),
        }
        json.extend_from_slice(b",\"facets\":{\"category\":[");
        for (place, &(category, count)) in self.facets.iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            json.extend_from_slice(self.snapshot.categories[category as usize].facet_json.as_bytes());
            // Writing to a vector cannot fail.
            let _ = write!(json, "{count}}}");
        }
        json.extend_from_slice(b"]}}");
    }
}

/// The counts of categories as an answer shows them.
pub(super) fn facets(counts: impl Iterator<Item = u32>) -> Vec<(u16, u32)> {
    let mut facets: Vec<(u16, u32)> = (0..).zip(counts).filter(|&(_, count)| count > 0).collect();
    // Categories are numbered by value, and the sort keeps equals in place.
    facets.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    facets.truncate(MAX_FACETS);
    facets
}
