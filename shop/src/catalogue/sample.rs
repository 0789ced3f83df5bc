//! The sample catalogue: plausible products from a seed, the same on every machine. Pure.

use std::collections::HashSet;

use super::{
    MAX_PRODUCTS,
    sample_words::{MAKERS, SHELVES, Shelf},
};
use crate::domain::{Category, Currency, InvalidLabel, InvalidSku, Money, Product, ProductName, Sku};

/// Seed of the sample catalogue that a shop starts with.
pub const SAMPLE_SEED: u64 = 2_026;

/// Products of the sample catalogue that a shop starts with.
pub const SAMPLE_PRODUCTS: usize = 1_000;

/// A word of the sample's data breaks a rule of products: a defect of ours.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A SKU.
    #[error("the sample made a bad SKU")]
    Sku(#[from] InvalidSku),
    /// A name or category.
    #[error("the sample made a bad name or category")]
    Label(#[from] InvalidLabel),
}

/// The first `count` products (at most [`MAX_PRODUCTS`]) of the sample with this seed: SKUs and names are unique, the categories take turns.
///
/// # Errors
/// Only when the sample's own data breaks a rule of products.
pub fn sample(count: usize, seed: u64) -> Result<Vec<Product>, SampleError> {
    let count = count.min(MAX_PRODUCTS);
    let mut random = Random(seed);
    let mut names = HashSet::with_capacity(count);
    let mut products = Vec::with_capacity(count);
    for (number, shelf) in (0..count).map(|place| (place / SHELVES.len() + 1, &SHELVES[place % SHELVES.len()])) {
        // A shelf has 114,688 names, a test says, and gets at most 83,334 products.
        let (name, price) = loop {
            let (name, price) = draw(shelf, &mut random);
            if names.insert(name.clone()) {
                break (name, price);
            }
        };
        products.push(Product {
            sku: format!("{}-{number:04}", shelf.code).parse::<Sku>()?,
            name: name.parse::<ProductName>()?,
            price: Money { amount: price, currency: Currency::EUR },
            category: shelf.category.parse::<Category>()?,
        });
    }
    Ok(products)
}

/// A name and a price in cents.
fn draw(shelf: &Shelf, random: &mut Random) -> (String, i64) {
    let &(thing, lowest, highest) = random.pick(shelf.things);
    let (maker, quality, variant) = (random.pick(MAKERS), random.pick(shelf.qualities), random.pick(shelf.variants));
    // Prices end as prices do.
    let cents = random.pick(&[0, 50, 90, 95, 99, 99]);
    let euros = lowest + i64::try_from(random.below((highest - lowest + 1).unsigned_abs())).unwrap_or_default();
    (format!("{maker} {quality} {thing}, {variant}"), euros * 100 + cents)
}

/// `SplitMix64` (Steele, Lea and Flood 2014, <https://doi.org/10.1145/2714064.2660195>), so that no library's next version changes the sample.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is small, so that the remainder's bias is of no account.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'list, T>(&mut self, list: &'list [T]) -> &'list T {
        let place = self.below(list.len() as u64);
        &list[usize::try_from(place).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn skus_and_names_are_unique() {
        let products = sample(20_000, SAMPLE_SEED).expect("a sample");
        assert_eq!(products.iter().map(|product| &product.sku).collect::<HashSet<_>>().len(), 20_000);
        assert_eq!(products.iter().map(|product| &product.name).collect::<HashSet<_>>().len(), 20_000);
    }

    #[test]
    fn a_small_sample_is_the_beginning_of_a_large_one() {
        let large = sample(500, SAMPLE_SEED).expect("a sample");
        assert_eq!(sample(100, SAMPLE_SEED).expect("a sample"), large[..100]);
        assert_ne!(sample(100, 1).expect("a sample"), large[..100]);
    }

    #[test]
    fn the_sample_catalogue_never_changes() {
        let products = sample(SAMPLE_PRODUCTS, SAMPLE_SEED).expect("a sample");
        assert_eq!(products[0].sku.as_str(), "KIT-0001");
        let digest = Sha256::digest(serde_json::to_vec(&products).expect("JSON"));
        assert_eq!(format!("{:02x?}", &digest[..4]), "[2c, 78, 1f, 22]");
    }

    #[test]
    fn every_shelf_has_room_for_its_part_of_the_largest_catalogue() {
        for shelf in SHELVES {
            let names = MAKERS.len() * shelf.things.len() * shelf.qualities.len() * shelf.variants.len();
            assert!(names >= 114_688, "{} has {names} names", shelf.category);
        }
    }
}
