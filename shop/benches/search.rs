//! Measures search in memory: `cargo bench -p shop --bench search -- [PRODUCTS...]` prints a table a size. Does I/O.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]
#![expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]

use std::{hint::black_box, time::Instant};

use shop::{
    catalogue::{SAMPLE_SEED, SearchQuery, Snapshot, SnapshotBuilder, sample},
    domain::Product,
};

/// Searches of each kind.
const SEARCHES: usize = 20_000;

/// Makes a query that a shopper who wants this product may write.
type Query = fn(&Product, &mut Random) -> String;

/// Kinds of queries, and how many of a hundred searches of the mix are of each.
const KINDS: &[(&str, usize, Query)] = &[
    ("one word", 40, |product, random| random.word(product)),
    ("beginning of a word", 30, |product, random| {
        let (word, length) = (random.word(product), 1 + random.below(4));
        word.chars().take(length).collect()
    }),
    ("two words", 15, |product, random| format!("{} {}", random.word(product), random.word(product))),
    ("SKU", 7, |product, _| product.sku.as_str().to_lowercase()),
    ("typo", 3, |product, random| {
        let mut letters: Vec<char> = random.word(product).chars().collect();
        let at = random.below(letters.len());
        letters[at] = 'q';
        letters.into_iter().collect()
    }),
    ("nothing", 5, |_, random| format!("zq{}", random.below(1_000_000))),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench`.
    let sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 10_000, 100_000] } else { sizes };
    for size in sizes {
        measure(size)?;
    }
    Ok(())
}

fn measure(size: usize) -> Result<(), Box<dyn std::error::Error>> {
    let products = sample(size, SAMPLE_SEED)?;
    let before = processor_micros();
    let mut builder = SnapshotBuilder::default();
    for product in &products {
        builder.push(product)?;
    }
    let snapshot = builder.finish(1, [0; 32])?;
    let built = (processor_micros() - before) / 1e3;

    let mut random = Random(1);
    let queries: Vec<Vec<String>> = KINDS
        .iter()
        .map(|(_, _, query)| {
            (0..SEARCHES).map(|_| query(&products[random.below(products.len())], &mut random)).collect()
        })
        .collect();
    drop(products);
    println!(
        "{size} products: index built in {built:.0} ms of processor time, {} KiB in memory",
        snapshot.bytes() / 1024
    );
    println!("\n| query | CPU µs a search | p50 µs | p99 µs |\n|---|---|---|---|");
    let mut mix = Vec::new();
    for ((name, share, _), queries) in KINDS.iter().zip(&queries) {
        print(name, &times(&snapshot, queries));
        mix.extend_from_slice(&queries[..SEARCHES * share / 100]);
    }
    // Mixed, so that no kind finds its own data in the processor's caches.
    let mut mixed = Vec::with_capacity(mix.len());
    while !mix.is_empty() {
        mixed.push(mix.swap_remove(random.below(mix.len())));
    }
    print("the mix", &times(&snapshot, &mixed));
    println!();
    Ok(())
}

/// What searches took.
struct Times {
    /// Processor time of one on average, in microseconds: other processes of the machine do not count.
    processor: f64,
    /// Microseconds of each, shortest first.
    each: Vec<f64>,
}

/// Measures each search, its answer written as JSON.
fn times(snapshot: &Snapshot, queries: &[String]) -> Times {
    let mut json = Vec::with_capacity(16 * 1024);
    let mut search = |text: &String| {
        json.clear();
        let begun = Instant::now();
        if let Ok(page) = snapshot.search(&SearchQuery { text, ..SearchQuery::default() }) {
            page.write_json(&mut json);
        }
        black_box(&json);
        begun.elapsed().as_secs_f64() * 1e6
    };
    for query in queries.iter().take(1_000) {
        search(query);
    }
    let before = processor_micros();
    let mut each: Vec<f64> = queries.iter().map(search).collect();
    let processor = (processor_micros() - before) / each.len() as f64;
    each.sort_by(f64::total_cmp);
    Times { processor, each }
}

/// Time that this thread has run for, as Linux counts it; 0 elsewhere.
fn processor_micros() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default() / 1e3
}

fn print(name: &str, times: &Times) {
    let quantile = |part: usize| times.each[times.each.len() * part / 100];
    println!("| {name} | {:.1} | {:.1} | {:.1} |", times.processor, quantile(50), quantile(99));
}

/// Numbers that are the same in every run (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or_default()
    }

    /// A word of the product's name.
    fn word(&mut self, product: &Product) -> String {
        let words: Vec<&str> = product.name.as_str().split([' ', ',']).filter(|word| word.len() > 2).collect();
        words[self.below(words.len())].to_lowercase()
    }
}
