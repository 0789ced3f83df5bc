//! Sets of products as bits, one a product, and the sets behind each word. Pure.

use std::{borrow::Cow, collections::HashMap, ops::Range};

/// A range of words is kept ready as a set once it is longer than this part of all products: the bits then take no more memory than the list.
const READY_FRACTION: usize = 32;

/// No set of fewer products than this is kept ready.
const READY_LEAST: usize = 64;

/// A set of products: bit `id % 64` of word `id / 64`.
pub(super) type Bits<'index> = Cow<'index, [u64]>;

/// For every word the products that have it, in order of their ids.
#[derive(Debug, Default)]
pub(super) struct Postings {
    products: Vec<u32>,
    /// Where each word's products end.
    ends: Vec<u32>,
    /// Ranges of words with so many products that their union is kept, by (start, end).
    ready: HashMap<(u32, u32), Ready>,
    /// Words of 64 bits that a set takes.
    width: usize,
}

/// A set that is kept.
#[derive(Debug)]
struct Ready {
    bits: Box<[u64]>,
    /// Its facets, as counting them takes longer than all else of a search with many matches.
    facets: Box<[(u16, u32)]>,
}

impl Postings {
    /// Takes the lists behind the words, all lists in one; `ends` says where each ends.
    pub(super) fn new(products: Vec<u32>, ends: Vec<u32>, product_count: usize) -> Self {
        Self { products, ends, ready: HashMap::new(), width: product_count.div_ceil(64) }
    }

    /// Keeps the union of `words` ready when it is worth it; says whether it was.
    pub(super) fn keep_ready(&mut self, words: &Range<u32>) -> bool {
        let key = (words.start, words.end);
        if self.ready.contains_key(&key) {
            return true;
        }
        let products = self.of(words);
        if products.len() < READY_LEAST.max(self.width * 64 / READY_FRACTION) {
            return false;
        }
        let mut bits = vec![0; self.width];
        set_all(&mut bits, products);
        self.ready.insert(key, Ready { bits: bits.into(), facets: Box::default() });
        true
    }

    /// Keeps the facets of all sets that are kept.
    pub(super) fn count_ready(&mut self, facets: impl Fn(&[u64]) -> Vec<(u16, u32)>) {
        for ready in self.ready.values_mut() {
            ready.facets = facets(&ready.bits).into();
        }
    }

    /// The facets of the products of any of `words`, when they are kept.
    pub(super) fn ready_facets(&self, words: &Range<u32>) -> Option<&[(u16, u32)]> {
        self.ready.get(&(words.start, words.end)).map(|ready| &*ready.facets)
    }

    /// The products of all `words`, each word's in order.
    fn of(&self, words: &Range<u32>) -> &[u32] {
        let end = |word: u32| word.checked_sub(1).map_or(0, |before| self.ends[before as usize] as usize);
        &self.products[end(words.start)..end(words.end)]
    }

    /// An empty set.
    pub(super) fn none(&self) -> Vec<u64> {
        vec![0; self.width]
    }

    /// The products of any of `words`.
    pub(super) fn union(&self, words: &Range<u32>) -> Bits<'_> {
        if let Some(ready) = self.ready.get(&(words.start, words.end)) {
            return Cow::Borrowed(&ready.bits);
        }
        let mut bits = self.none();
        set_all(&mut bits, self.of(words));
        Cow::Owned(bits)
    }

    /// Adds the products of any of `words` to `bits`.
    pub(super) fn add(&self, words: &Range<u32>, bits: &mut [u64]) {
        match self.ready.get(&(words.start, words.end)) {
            Some(ready) => bits.iter_mut().zip(&ready.bits).for_each(|(into, from)| *into |= from),
            None => set_all(bits, self.of(words)),
        }
    }

    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        (self.products.capacity() + self.ends.capacity()) * size_of::<u32>()
            + self.ready.len() * self.width * size_of::<u64>()
    }
}

/// The set of these products.
pub(super) fn set_all(bits: &mut [u64], products: &[u32]) {
    for &product in products {
        set(bits, product);
    }
}

/// Adds a product.
pub(super) fn set(bits: &mut [u64], product: u32) {
    bits[product as usize / 64] |= 1 << (product % 64);
}

/// Takes a product out.
pub(super) fn unset(bits: &mut [u64], product: u32) {
    bits[product as usize / 64] &= !(1 << (product % 64));
}

/// Whether a product is in it.
pub(super) fn has(bits: &[u64], product: u32) -> bool {
    bits[product as usize / 64] >> (product % 64) & 1 == 1
}

/// Keeps only what is in `other` too.
pub(super) fn intersect(bits: &mut [u64], other: &[u64]) {
    bits.iter_mut().zip(other).for_each(|(into, from)| *into &= from);
}

/// Whether nothing is in it.
pub(super) fn is_empty(bits: &[u64]) -> bool {
    bits.iter().all(|&word| word == 0)
}

/// How many products are in it.
pub(super) fn count(bits: &[u64]) -> usize {
    bits.iter().map(|word| word.count_ones() as usize).sum()
}

/// The products of one word of 64 bits, ascending; `first` is the id of its lowest bit.
pub(super) fn products(mut word: u64, first: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let product = first + word.trailing_zeros();
            word &= word - 1;
            product
        })
    })
}

/// The products of a set, ascending.
pub(super) fn all_products(bits: &[u64]) -> impl Iterator<Item = u32> {
    (0..).step_by(64).zip(bits).flat_map(|(first, &word)| products(word, first))
}
