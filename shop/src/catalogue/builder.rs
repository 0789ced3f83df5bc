//! Builds a [`Snapshot`] from products. Pure.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use super::{
    MAX_CATEGORIES, MAX_PRODUCTS,
    cursor::Identity,
    fold::{fold_into, words},
    sets::Postings,
    snapshot::{BEFORE_NAME, BEFORE_SKU, CategoryEntry, Order, Record, Snapshot, compare_skus, escape_into},
    words::Words,
};
use crate::domain::Product;

/// Why products make no catalogue.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// More than [`MAX_PRODUCTS`].
    #[error("there are more than {MAX_PRODUCTS} products")]
    TooManyProducts,
    /// More than [`MAX_CATEGORIES`].
    #[error("there are more than {MAX_CATEGORIES} categories")]
    TooManyCategories,
    /// Two products with one SKU.
    #[error("the SKU '{0}' is there twice")]
    DuplicateSku(String),
}

/// Takes products one by one, in any order, and makes a [`Snapshot`] of them.
#[derive(Default)]
pub struct SnapshotBuilder {
    fragments: String,
    folded: String,
    drafts: Vec<Draft>,
    /// Number of each category in order of appearance.
    categories: HashMap<Box<str>, u16>,
}

struct Draft {
    record: Record,
    category: u16,
    /// Where the folded name ends in `folded`; it starts where the one before ends.
    folded_end: u32,
}

impl SnapshotBuilder {
    /// Takes a product.
    ///
    /// # Errors
    /// When there are too many products or categories.
    pub fn push(&mut self, product: &Product) -> Result<(), BuildError> {
        if self.drafts.len() >= MAX_PRODUCTS {
            return Err(BuildError::TooManyProducts);
        }
        let category = self.category(product.category.as_str())?;
        let start = self.fragments.len();
        let json = &mut self.fragments;
        json.push_str(BEFORE_SKU);
        json.push_str(product.sku.as_str());
        json.push_str(BEFORE_NAME);
        let name_start = json.len();
        escape_into(product.name.as_str(), json);
        let name_bytes = json.len() - name_start;
        let price = product.price;
        // Writing to a string cannot fail.
        let _ = write!(
            json,
            "\",\"price\":{{\"amount\":{},\"currency\":\"{}\"}},\"category\":\"",
            price.amount, price.currency
        );
        escape_into(product.category.as_str(), json);
        json.push_str("\"}");
        fold_into(product.name.as_str(), &mut self.folded);
        self.drafts.push(Draft {
            record: Record {
                amount: price.amount,
                start: small(start),
                name_bytes: u16::try_from(name_bytes).unwrap_or(u16::MAX),
                currency: price.currency,
                sku_bytes: u8::try_from(product.sku.as_str().len()).unwrap_or(u8::MAX),
            },
            category,
            folded_end: small(self.folded.len()),
        });
        Ok(())
    }

    fn category(&mut self, value: &str) -> Result<u16, BuildError> {
        if let Some(&number) = self.categories.get(value) {
            return Ok(number);
        }
        if self.categories.len() >= MAX_CATEGORIES {
            return Err(BuildError::TooManyCategories);
        }
        let number = u16::try_from(self.categories.len()).map_err(|_| BuildError::TooManyCategories)?;
        self.categories.insert(value.into(), number);
        Ok(number)
    }

    /// Makes the catalogue, version `number` of content `digest` (SHA-256).
    ///
    /// # Errors
    /// When two products have the same SKU.
    pub fn finish(self, number: u64, digest: [u8; 32]) -> Result<Snapshot, BuildError> {
        let Self { fragments, folded, drafts, categories } = self;
        let sku = |draft: u32| {
            let record = &drafts[draft as usize].record;
            &fragments[record.start as usize + BEFORE_SKU.len()..][..record.sku_bytes as usize]
        };
        let folded_name = |draft: u32| {
            let start = draft.checked_sub(1).map_or(0, |before| drafts[before as usize].folded_end as usize);
            &folded[start..drafts[draft as usize].folded_end as usize]
        };
        let mut sorted: Vec<u32> = (0..small(drafts.len())).collect();
        sorted.sort_unstable_by(|&left, &right| {
            folded_name(left).cmp(folded_name(right)).then_with(|| compare_skus(sku(left), sku(right)))
        });

        let (postings, words) = index(sorted.iter().map(|&draft| (folded_name(draft), sku(draft))), sorted.len());
        let (categories, renumbered) = categories_by_value(categories);
        let mut snapshot = Snapshot {
            number,
            identity: Identity::of(digest),
            fragments: String::with_capacity(fragments.len()),
            records: Vec::with_capacity(drafts.len()),
            category_of: Vec::with_capacity(drafts.len()),
            categories,
            by_name: Order::default(),
            by_price: Order::default(),
            by_sku: Order::default(),
            words,
            postings,
        };
        for draft in sorted {
            let draft = draft as usize;
            let Draft { record, category, .. } = drafts[draft];
            let end = drafts.get(draft + 1).map_or(fragments.len(), |next| next.record.start as usize);
            let start = small(snapshot.fragments.len());
            snapshot.fragments.push_str(&fragments[record.start as usize..end]);
            snapshot.records.push(Record { start, ..record });
            snapshot.category_of.push(renumbered[category as usize]);
        }
        drop((fragments, folded, drafts));
        order_all(&mut snapshot);
        let mut postings = std::mem::take(&mut snapshot.postings);
        postings.count_ready(|bits| snapshot.count_categories(bits));
        snapshot.postings = postings;
        let skus = &snapshot.by_sku.all;
        let twice = skus
            .windows(2)
            .find(|pair| compare_skus(snapshot.view(pair[0]).sku(), snapshot.view(pair[1]).sku()) == Ordering::Equal);
        match twice {
            Some(pair) => Err(BuildError::DuplicateSku(snapshot.view(pair[0]).sku().to_owned())),
            None => Ok(snapshot),
        }
    }
}

/// A length or place that the bound on products keeps below 4 GiB.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The categories by value, and the place of each that was numbered by appearance.
fn categories_by_value(numbers: HashMap<Box<str>, u16>) -> (Vec<CategoryEntry>, Vec<u16>) {
    let mut renumbered = vec![0; numbers.len()];
    let sorted: BTreeMap<Box<str>, u16> = numbers.into_iter().collect();
    let mut entries = Vec::with_capacity(sorted.len());
    for ((value, number), place) in sorted.into_iter().zip(0..) {
        renumbered[number as usize] = place;
        let mut facet_json = String::from("{\"value\":\"");
        escape_into(&value, &mut facet_json);
        facet_json.push_str("\",\"count\":");
        entries.push(CategoryEntry { value, facet_json: facet_json.into(), products: 0, end: 0 });
    }
    (entries, renumbered)
}

/// Fills the orders and the categories' counts.
fn order_all(snapshot: &mut Snapshot) {
    for &category in &snapshot.category_of {
        snapshot.categories[category as usize].products += 1;
    }
    let mut end = 0;
    for entry in &mut snapshot.categories {
        end += entry.products;
        entry.end = end;
    }
    let by_name: Vec<u32> = (0..small(snapshot.records.len())).collect();
    let mut by_price = by_name.clone();
    by_price.sort_unstable_by_key(|&id| {
        let record = &snapshot.records[id as usize];
        (record.currency, record.amount, id)
    });
    let mut by_sku = by_name.clone();
    by_sku.sort_unstable_by(|&left, &right| compare_skus(snapshot.view(left).sku(), snapshot.view(right).sku()));
    let grouped = |all: Vec<u32>| {
        let mut next: Vec<u32> = snapshot.categories.iter().map(|entry| entry.end - entry.products).collect();
        let mut by_category = vec![0; all.len()];
        for &id in &all {
            let place = &mut next[snapshot.category_of[id as usize] as usize];
            by_category[*place as usize] = id;
            *place += 1;
        }
        Order { all, by_category }
    };
    let orders = [by_name, by_price, by_sku].map(grouped);
    [snapshot.by_name, snapshot.by_price, snapshot.by_sku] = orders;
}

/// The index over products given in order of their ids, each with folded name and SKU.
fn index<'text>(products: impl Iterator<Item = (&'text str, &'text str)>, count: usize) -> (Postings, Words) {
    // Words are numbered as they appear, and then once more in order.
    let mut numbers: HashMap<Box<str>, u32> = HashMap::new();
    let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(count * 6);
    let mut of_product: Vec<u32> = Vec::new();
    let mut folded_sku = String::new();
    for ((name, sku), id) in products.zip(0..) {
        folded_sku.clear();
        fold_into(sku, &mut folded_sku);
        of_product.clear();
        for word in words(name).chain(words(&folded_sku)) {
            let letters = word.letters();
            let number = numbers.get(&*letters).copied().unwrap_or_else(|| {
                let number = small(numbers.len());
                numbers.insert(letters.into(), number);
                number
            });
            of_product.push(number);
        }
        of_product.sort_unstable();
        of_product.dedup();
        pairs.extend(of_product.iter().map(|&word| (word, id)));
    }
    let mut sorted: Vec<(Box<str>, u32)> = numbers.into_iter().collect();
    sorted.sort_unstable();
    let mut words = Words::default();
    let mut renumbered = vec![0_u32; sorted.len()];
    for ((word, number), place) in sorted.into_iter().zip(0..) {
        words.push(&word);
        renumbered[number as usize] = place;
    }
    words.shrink();
    let (products, ends) = group(&pairs, &renumbered);
    drop(pairs);
    let mut postings = Postings::new(products, ends, count);
    keep_ready(&mut postings, &words);
    (postings, words)
}

/// Groups (word, product) pairs by word, in the words' new order; products keep theirs. Also where each group ends.
fn group(pairs: &[(u32, u32)], renumbered: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut ends = vec![0_u32; renumbered.len()];
    for &(word, _) in pairs {
        ends[renumbered[word as usize] as usize] += 1;
    }
    let mut next = Vec::with_capacity(ends.len());
    let mut end = 0;
    for count in &mut ends {
        next.push(end);
        end += *count;
        *count = end;
    }
    let mut products = vec![0; pairs.len()];
    for &(word, product) in pairs {
        let place = &mut next[renumbered[word as usize] as usize];
        products[*place as usize] = product;
        *place += 1;
    }
    (products, ends)
}

/// Keeps ready the sets of the words and beginnings of words that many products share.
fn keep_ready(postings: &mut Postings, words: &Words) {
    // Ranges of words yet to look into, and how many bytes the words of each share.
    let mut open = vec![(0..words.count(), 0)];
    while let Some((within, shared)) = open.pop() {
        if let Some(word) = words.whole(&within, shared) {
            postings.keep_ready(&(word..word + 1));
        }
        words.for_each_next(within, shared, |bytes, starting| {
            if postings.keep_ready(&starting) {
                open.push((starting, bytes));
            }
        });
    }
}
