//! Lists the catalogue page by page, in an order, of one category or all. Pure.

use super::{
    cursor::{BadCursor, Cursor, Of, Sort},
    page::{ListQuery, Page, facets},
    snapshot::{Snapshot, compare_skus},
};

impl Snapshot {
    /// The page of the catalogue that `query` asks for. An unknown category has no products.
    ///
    /// Within one version pages neither repeat nor skip a product; when the version changes between two, the next goes on where the last product was
    /// or would be.
    ///
    /// # Errors
    /// When the cursor is not one of a list in this order.
    pub fn list(&self, query: &ListQuery<'_>) -> Result<Page<'_>, BadCursor> {
        let cursor = query.cursor.map(Cursor::decode).transpose()?;
        if cursor.as_ref().is_some_and(|cursor| cursor.of != Of::List(query.sort)) {
            return Err(BadCursor);
        }
        let (order, descending) = match query.sort {
            Sort::Name => (&self.by_name, false),
            Sort::NameDescending => (&self.by_name, true),
            Sort::Price => (&self.by_price, false),
            Sort::PriceDescending => (&self.by_price, true),
            Sort::Sku => (&self.by_sku, false),
        };
        let ids = match query.category.map(|category| self.category_number(category)) {
            None => self.in_order(order, None),
            Some(Some(category)) => self.in_order(order, Some(category)),
            Some(None) => &[],
        };
        let rest = match &cursor {
            None => ids,
            Some(cursor) => self.rest(ids, query.sort, cursor, descending),
        };
        let limit = usize::from(query.limit).min(rest.len());
        let page: Vec<u32> = if descending {
            rest[rest.len() - limit..].iter().rev().copied().collect()
        } else {
            rest[..limit].to_vec()
        };
        let last = page.last().filter(|_| limit < rest.len());
        Ok(Page {
            snapshot: self,
            next_cursor: last.map(|&last| Cursor::encode(Of::List(query.sort), self, self.view(last))),
            ids: page,
            facets: facets(self.categories.iter().map(|entry| entry.products)),
            total: ids.len(),
        })
    }

    /// Those of `ids`, which are in the order of `sort`, that come after the cursor's product (before it when descending).
    fn rest<'ids>(&self, ids: &'ids [u32], sort: Sort, cursor: &Cursor, descending: bool) -> &'ids [u32] {
        let at = cursor.place(self);
        // The first id that is not on the pages before, or when descending the first that is.
        let bound = if descending { at.start } else { at.end };
        let split = match sort {
            Sort::Name | Sort::NameDescending => ids.partition_point(|&id| id < bound),
            Sort::Price | Sort::PriceDescending => ids.partition_point(|&id| {
                let price = self.view(id).price();
                (price.currency, price.amount, id) < (cursor.currency, cursor.amount, bound)
            }),
            Sort::Sku => ids.partition_point(|&id| compare_skus(self.view(id).sku(), cursor.sku.as_str()).is_le()),
        };
        if descending { &ids[..split] } else { &ids[split..] }
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
