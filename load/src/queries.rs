//! What shoppers search for: words, prefixes, SKUs, typing errors and misses, popular products more often. Pure.

use rand::{Rng, RngExt};

use crate::catalogue::Product;

/// Ranks drawn by Zipf's law with exponent 1: the `k`-th most popular is drawn in proportion to `1 / k`.
#[derive(Clone, Debug)]
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Draws from `0..ranks`.
    #[must_use]
    pub fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=ranks)
            .map(|rank| {
                sum += 1.0 / f64::from(u32::try_from(rank).unwrap_or(u32::MAX));
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// Draws a rank; 0 when there is none.
    pub fn draw(&self, rng: &mut impl Rng) -> usize {
        let Some(total) = self.cumulative.last() else { return 0 };
        let point = rng.random::<f64>() * total;
        self.cumulative.partition_point(|sum| *sum < point).min(self.cumulative.len() - 1)
    }
}

/// Of 100 searches, so many are of each kind.
const MIX: [(u32, Kind); 6] =
    [(30, Kind::Word), (25, Kind::Prefix), (15, Kind::TwoWords), (15, Kind::Sku), (10, Kind::Typo), (5, Kind::Miss)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Prefix,
    TwoWords,
    Sku,
    Typo,
    Miss,
}

/// Makes `count` search texts from a catalogue.
pub fn searches(products: &[Product], count: usize, rng: &mut impl Rng) -> Vec<String> {
    let zipf = Zipf::new(products.len());
    (0..count)
        .map(|_| match products.get(zipf.draw(rng)) {
            Some(product) => text(kind(rng), product, rng),
            None => miss(rng),
        })
        .collect()
}

fn kind(rng: &mut impl Rng) -> Kind {
    let mut point = rng.random_range(0..100);
    for (share, kind) in MIX {
        if point < share {
            return kind;
        }
        point -= share;
    }
    Kind::Miss
}

fn text(kind: Kind, product: &Product, rng: &mut impl Rng) -> String {
    let words: Vec<&str> = product.name.split_whitespace().collect();
    let word = words.get(rng.random_range(0..words.len().max(1))).copied().unwrap_or(&product.sku);
    match kind {
        Kind::Word => word.to_owned(),
        Kind::Prefix => word.chars().take(rng.random_range(2..=4)).collect(),
        Kind::TwoWords => words.iter().take(2).copied().collect::<Vec<_>>().join(" "),
        Kind::Sku => product.sku.clone(),
        Kind::Typo => mistyped(word, rng),
        Kind::Miss => miss(rng),
    }
}

/// The word without one letter that is neither its first nor its last.
fn mistyped(word: &str, rng: &mut impl Rng) -> String {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() < 5 {
        return word.to_owned();
    }
    let dropped = rng.random_range(1..letters.len() - 1);
    letters.iter().enumerate().filter(|(index, _)| *index != dropped).map(|(_, letter)| letter).collect()
}

fn miss(rng: &mut impl Rng) -> String {
    format!("zq{:08x}", rng.random::<u32>())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn products() -> Vec<Product> {
        (0..1000).map(|n| Product { sku: format!("SKU-{n:04}"), name: format!("Copper Kettle {n}") }).collect()
    }

    #[test]
    fn one_seed_gives_one_list_of_searches() {
        let make = || searches(&products(), 500, &mut StdRng::seed_from_u64(7));
        assert_eq!(make(), make());
    }

    #[test]
    fn the_first_product_is_drawn_twice_as_often_as_the_second() {
        let zipf = Zipf::new(1000);
        let mut rng = StdRng::seed_from_u64(1);
        let mut drawn = [0_u32; 1000];
        for _ in 0..100_000 {
            drawn[zipf.draw(&mut rng)] += 1;
        }
        // 100,000 / H(1000) = 13,359 and its half, each within four standard deviations.
        assert!(drawn[0].abs_diff(13_359) < 430, "{}", drawn[0]);
        assert!(drawn[1].abs_diff(6_680) < 320, "{}", drawn[1]);
        assert!(drawn[999] < 60);
    }

    #[test]
    fn every_kind_of_search_is_among_them() {
        let made = searches(&products(), 2_000, &mut StdRng::seed_from_u64(3));
        let some = |found: fn(&String) -> bool| made.iter().any(found);
        assert!(some(|text| text.starts_with("SKU-")));
        assert!(some(|text| text == "Kettle"));
        assert!(some(|text| text == "Ket"));
        assert!(some(|text| text == "Copper Kettle"));
        assert!(some(|text| text == "Kttle"));
        assert!(some(|text| text.starts_with("zq")));
    }

    #[test]
    fn an_empty_catalogue_gives_misses() {
        let made = searches(&[], 3, &mut StdRng::seed_from_u64(3));
        assert!(made.iter().all(|text| text.starts_with("zq")));
    }
}
