//! One version of the catalogue in memory: products as ready-made JSON, their orders, and lookup by SKU. Pure.

use std::borrow::Cow;

use super::{cursor::Identity, sets::Postings, words::Words};
use crate::domain::{Currency, Money, Sku};

/// One version of the catalogue, ready to list and search. Immutable; share it in an `Arc`.
///
/// A product is known by its id, its place when all are ordered by folded name and then SKU, so that a set of ids in order is in the order in which
/// answers come.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) number: u64,
    pub(super) identity: Identity,
    /// Each product's JSON, one after the other, by id.
    pub(super) fragments: String,
    pub(super) records: Vec<Record>,
    /// Number of each product's category, by id: apart from the records, as facets read all of them.
    pub(super) category_of: Vec<u16>,
    /// By value.
    pub(super) categories: Vec<CategoryEntry>,
    pub(super) by_name: Order,
    pub(super) by_price: Order,
    pub(super) by_sku: Order,
    pub(super) words: Words,
    pub(super) postings: Postings,
}

/// What is known of a product besides its JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) amount: i64,
    /// Where its JSON starts in the fragments; it ends where the next one starts.
    pub(super) start: u32,
    /// Bytes of its name as JSON, without the quotes.
    pub(super) name_bytes: u16,
    pub(super) currency: Currency,
    pub(super) sku_bytes: u8,
}

/// A category and how many products it has.
#[derive(Debug)]
pub(super) struct CategoryEntry {
    pub(super) value: Box<str>,
    /// `{"value":"...","count":`, to be followed by the count and `}`.
    pub(super) facet_json: Box<str>,
    pub(super) products: u32,
    /// Where its products end in [`Order::by_category`].
    pub(super) end: u32,
}

/// All ids in one order, also apart by category.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) all: Vec<u32>,
    pub(super) by_category: Vec<u32>,
}

/// What stands before the SKU in a product's JSON.
pub(super) const BEFORE_SKU: &str = "{\"sku\":\"";
/// What stands between the SKU and the name.
pub(super) const BEFORE_NAME: &str = "\",\"name\":\"";

impl Snapshot {
    /// Number of this version of the catalogue, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many products there are.
    #[must_use]
    pub fn product_count(&self) -> usize {
        self.records.len()
    }

    /// The currency of the prices; `None` when there is no product.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.records.first().map(|record| record.currency)
    }

    /// Bytes that products and index take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let orders = [&self.by_name, &self.by_price, &self.by_sku];
        self.fragments.capacity()
            + self.records.capacity() * size_of::<Record>()
            + self.category_of.capacity() * size_of::<u16>()
            + orders.map(|order| order.all.capacity() + order.by_category.capacity()).iter().sum::<usize>()
                * size_of::<u32>()
            + self.words.bytes()
            + self.postings.bytes()
    }

    /// The product with this SKU, case aside.
    #[must_use]
    pub fn product(&self, sku: &Sku) -> Option<ProductView<'_>> {
        self.id_of(sku.as_str()).map(|id| self.view(id))
    }

    /// The id of the product with this SKU, case aside.
    pub(super) fn id_of(&self, sku: &str) -> Option<u32> {
        let place = self.by_sku.all.binary_search_by(|&id| compare_skus(self.view(id).sku(), sku)).ok()?;
        Some(self.by_sku.all[place])
    }

    pub(super) fn view(&self, id: u32) -> ProductView<'_> {
        ProductView { snapshot: self, id }
    }

    /// The category with exactly this value.
    pub(super) fn category_number(&self, value: &str) -> Option<u16> {
        let place = self.categories.binary_search_by(|entry| (*entry.value).cmp(value)).ok()?;
        u16::try_from(place).ok()
    }

    /// The ids of one category, or all, in an order.
    pub(super) fn in_order<'snapshot>(
        &'snapshot self,
        order: &'snapshot Order,
        category: Option<u16>,
    ) -> &'snapshot [u32] {
        let Some(category) = category else { return &order.all };
        let entry = &self.categories[category as usize];
        &order.by_category[(entry.end - entry.products) as usize..entry.end as usize]
    }
}

/// Orders SKUs as [`Sku`] does.
pub(super) fn compare_skus(left: &str, right: &str) -> std::cmp::Ordering {
    left.bytes().map(|byte| byte.to_ascii_uppercase()).cmp(right.bytes().map(|byte| byte.to_ascii_uppercase()))
}

/// A product of a [`Snapshot`].
#[derive(Clone, Copy)]
pub struct ProductView<'snapshot> {
    snapshot: &'snapshot Snapshot,
    pub(super) id: u32,
}

impl<'snapshot> ProductView<'snapshot> {
    /// Its SKU as the catalogue writes it.
    #[must_use]
    pub fn sku(&self) -> &'snapshot str {
        let record = self.record();
        let start = record.start as usize + BEFORE_SKU.len();
        &self.snapshot.fragments[start..start + record.sku_bytes as usize]
    }

    /// Its SKU as the catalogue writes it, as a value of its own.
    #[must_use]
    pub fn to_sku(&self) -> Sku {
        Sku::known(self.sku())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Cow<'snapshot, str> {
        let record = self.record();
        let start = record.start as usize + BEFORE_SKU.len() + record.sku_bytes as usize + BEFORE_NAME.len();
        unescape(&self.snapshot.fragments[start..start + record.name_bytes as usize])
    }

    /// What one piece costs.
    #[must_use]
    pub fn price(&self) -> Money {
        let record = self.record();
        Money { amount: record.amount, currency: record.currency }
    }

    /// The part of the shop it stands in.
    #[must_use]
    pub fn category(&self) -> &'snapshot str {
        &self.snapshot.categories[self.snapshot.category_of[self.id as usize] as usize].value
    }

    /// `{"sku":..,"name":..,"price":{"amount":..,"currency":..},"category":..}`
    #[must_use]
    pub fn json(&self) -> &'snapshot str {
        let next = self.snapshot.records.get(self.id as usize + 1);
        let end = next.map_or(self.snapshot.fragments.len(), |record| record.start as usize);
        &self.snapshot.fragments[self.record().start as usize..end]
    }

    pub(super) fn record(&self) -> &'snapshot Record {
        &self.snapshot.records[self.id as usize]
    }
}

impl std::fmt::Debug for ProductView<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.json())
    }
}

/// Appends `text` as the inside of a JSON string; it holds no control characters.
pub(super) fn escape_into(text: &str, json: &mut String) {
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            json.push('\\');
        }
        json.push(character);
    }
}

/// The text that [`escape_into`] wrote.
fn unescape(json: &str) -> Cow<'_, str> {
    if !json.contains('\\') {
        return json.into();
    }
    let mut text = String::with_capacity(json.len());
    let mut characters = json.chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text.into()
}
