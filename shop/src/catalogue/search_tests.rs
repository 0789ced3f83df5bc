//! Search against a brute-force search that is written from its description, and by example.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::prelude::*;

use super::*;
use crate::{
    catalogue::{
        Limit, ListQuery, SnapshotBuilder, Sort, sample,
        words::tests::{beginnings, distance},
    },
    domain::{Currency, Money, Product},
};

fn snapshot(products: &[Product]) -> Snapshot {
    let mut builder = SnapshotBuilder::default();
    for product in products {
        builder.push(product).expect("room");
    }
    builder.finish(1, [7; 32]).expect("a catalogue")
}

fn product(sku: &str, name: &str, category: &str) -> Product {
    Product {
        sku: sku.parse().expect("a SKU"),
        name: name.parse().expect("a name"),
        price: Money { amount: 100, currency: Currency::EUR },
        category: category.parse().expect("a category"),
    }
}

fn found(snapshot: &Snapshot, text: &str) -> Vec<String> {
    let page = snapshot.search(&SearchQuery { text, ..SearchQuery::default() }).expect("a page");
    page.items().map(|product| product.sku().to_owned()).collect()
}

fn shelf() -> Snapshot {
    snapshot(&[
        product("KIT-1", "Coffee Pot", "Kitchen"),
        product("KIT-2", "Pot for Coffees", "Kitchen"),
        product("LIT-1", "Desk Lamp", "Lighting"),
        product("LIT-2", "Lampshade", "Lighting"),
        product("LAMP", "Chair", "Furniture"),
        product("FOO-1", "Crème Brûlée \"Maison\" \\ 2", "Food"),
        product("TOY-1", "Men's Mug", "Toys"),
    ])
}

#[test]
fn the_exact_sku_comes_first_whatever_its_case() {
    assert_eq!(found(&shelf(), " lamp "), ["LAMP", "LIT-1", "LIT-2"]);
    assert_eq!(found(&shelf(), "kit-2"), ["KIT-2"]);
}

#[test]
fn the_beginning_of_a_sku_or_of_a_word_is_enough() {
    assert_eq!(found(&shelf(), "kit"), ["KIT-1", "KIT-2"]);
    assert_eq!(found(&shelf(), "cof"), ["KIT-1", "KIT-2"]);
}

#[test]
fn every_word_must_match_and_whole_words_come_first() {
    assert_eq!(found(&shelf(), "coffee pot"), ["KIT-1", "KIT-2"]);
    assert_eq!(found(&shelf(), "pot coffees"), ["KIT-2"]);
    assert!(found(&shelf(), "coffee lamp").is_empty());
}

#[test]
fn case_accents_and_apostrophes_do_not_matter() {
    assert_eq!(found(&shelf(), "CREME brulée"), ["FOO-1"]);
    assert_eq!(found(&shelf(), "mens mug"), ["TOY-1"]);
    assert_eq!(found(&shelf(), "men’s"), ["TOY-1"]);
}

#[test]
fn one_typo_is_forgiven_in_a_word_of_four_letters_when_nothing_matches_exactly() {
    for typo in ["cofee", "coffeee", "cofefe", "koffee", "coffwe", "offee", "coffeepp"] {
        let expected: &[&str] = if typo == "coffeepp" { &[] } else { &["KIT-1", "KIT-2"] };
        assert_eq!(found(&shelf(), typo), expected, "{typo}");
    }
    assert_eq!(found(&shelf(), "desk lmap"), ["LIT-1"]);
    assert!(found(&shelf(), "mgu").is_empty(), "three letters must be right");
    assert_eq!(found(&shelf(), "lamp"), ["LAMP", "LIT-1", "LIT-2"], "no typo where something matches");
    assert!(found(&shelf(), "kit-9").is_empty(), "a number must be right");
}

#[test]
fn any_text_is_answered() {
    let snapshot = shelf();
    let long_word = "lamp".repeat(2_500);
    let many_words = "lamp desk coffee pot ".repeat(500);
    for text in ["\0", "\u{202e}\u{feff}", "%", "🙂", "'''", "-", "...", &long_word, "\u{1f469}\u{200d}\u{1f4bb}", "ﷺ"]
    {
        assert!(found(&snapshot, text).is_empty(), "{text}");
    }
    assert!(found(&snapshot, &many_words).is_empty());
    assert_eq!(found(&snapshot, "   ").len(), 7, "a blank query means everything");
    assert_eq!(found(&snapshot, "lamp\0shade").len(), 0);
    assert_eq!(found(&snapshot, "desk\0lamp"), ["LIT-1"]);
}

#[test]
fn facets_count_the_matches_of_every_category_and_the_total_those_asked_for() {
    let snapshot = shelf();
    let query = SearchQuery { text: "lamp", category: Some("Lighting"), ..SearchQuery::default() };
    let page = snapshot.search(&query).expect("a page");
    assert_eq!(page.facets().collect::<Vec<_>>(), [("Lighting", 2), ("Furniture", 1)]);
    assert_eq!(page.total(), 2);
    assert_eq!(page.items().map(|product| product.sku()).collect::<Vec<_>>(), ["LIT-1", "LIT-2"]);
    let none = snapshot.search(&SearchQuery { category: Some("lighting"), ..query }).expect("a page");
    assert_eq!(none.total(), 0);
}

#[test]
fn a_page_is_written_as_json() {
    let snapshot = shelf();
    let query = SearchQuery { text: "creme", ..SearchQuery::default() };
    let page = snapshot.search(&query).expect("a page");
    assert_eq!(
        page.items().next().map(|product| product.name().into_owned()).as_deref(),
        Some("Crème Brûlée \"Maison\" \\ 2")
    );
    let mut json = Vec::new();
    page.write_json(&mut json);
    let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(
        value,
        serde_json::json!({
            "items": [{
                "sku": "FOO-1",
                "name": "Crème Brûlée \"Maison\" \\ 2",
                "price": {"amount": 100, "currency": "EUR"},
                "category": "Food",
            }],
            "next_cursor": null,
            "facets": {"category": [{"value": "Food", "count": 1}]},
        })
    );
}

#[test]
fn a_cursor_of_a_list_is_none_of_a_search() {
    let snapshot = shelf();
    let limit = Limit::try_from(1).expect("a limit");
    let list = snapshot.list(&ListQuery { limit, ..ListQuery::default() }).expect("a page");
    let search = snapshot.search(&SearchQuery { text: "l", limit, ..SearchQuery::default() }).expect("a page");
    assert!(snapshot.search(&SearchQuery { text: "l", cursor: list.next_cursor(), ..SearchQuery::default() }).is_err());
    assert!(snapshot.list(&ListQuery { cursor: search.next_cursor(), ..ListQuery::default() }).is_err());
    assert!(
        snapshot.list(&ListQuery { cursor: list.next_cursor(), sort: Sort::Price, ..ListQuery::default() }).is_err()
    );
}

/// What search promises, word for word and slowly: SKUs in their order, and the count of every category.
fn brute_force(products: &[Product], text: &str, category: Option<&str>) -> (Vec<String>, BTreeMap<String, u32>) {
    let words_of = |text: &str| words(&fold(text)).map(|word| word.letters().into_owned()).collect::<Vec<_>>();
    let mut terms = words_of(text);
    let mut seen = Vec::new();
    terms.retain(|term| {
        !seen.contains(term) && {
            seen.push(term.clone());
            true
        }
    });
    terms.truncate(MAX_TERMS);
    let penalty = |term: &str, of: &[String], typo: bool| -> Option<u32> {
        let typo = typo && term.chars().count() >= 4 && term.chars().all(char::is_alphabetic);
        let exact_costs = of.iter().filter_map(|word| {
            if word == term {
                Some(0)
            } else if word.starts_with(term) {
                Some(1)
            } else {
                None
            }
        });
        let typo_costs = of.iter().filter(|_| typo).filter_map(|word| {
            if distance(term, word) <= 1 {
                Some(2)
            } else {
                beginnings(word).any(|part| distance(term, part) <= 1).then_some(3)
            }
        });
        exact_costs.chain(typo_costs).min()
    };
    let search = |typo: bool| {
        let mut ranked = Vec::new();
        for product in products {
            let of: Vec<String> =
                words_of(product.name.as_str()).into_iter().chain(words_of(product.sku.as_str())).collect();
            let exact = product.sku.as_str().eq_ignore_ascii_case(text.trim());
            let cost: Option<u32> = terms.iter().map(|term| penalty(term, &of, typo)).sum();
            if exact || text.trim().is_empty() || (cost.is_some() && !terms.is_empty()) {
                ranked.push((!exact, cost, fold(product.name.as_str()), product));
            }
        }
        ranked.sort_by(|left, right| {
            (left.0, left.1, &left.2, &left.3.sku).cmp(&(right.0, right.1, &right.2, &right.3.sku))
        });
        ranked.into_iter().map(|(.., product)| product).collect::<Vec<_>>()
    };
    let mut hits = search(false);
    if hits.is_empty() {
        hits = search(true);
    }
    let mut counts = BTreeMap::new();
    for product in &hits {
        *counts.entry(product.category.to_string()).or_default() += 1;
    }
    hits.retain(|product| category.is_none_or(|category| product.category.as_str() == category));
    (hits.into_iter().map(|product| product.sku.to_string()).collect(), counts)
}

fn all_pages(
    snapshot: &Snapshot,
    text: &str,
    category: Option<&str>,
    limit: i64,
) -> (Vec<String>, BTreeMap<String, u32>) {
    let limit = Limit::try_from(limit).expect("a limit");
    let mut skus = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let query = SearchQuery { text, category, cursor: cursor.as_deref(), limit };
        let page = snapshot.search(&query).expect("a page");
        skus.extend(page.items().map(|product| product.sku().to_owned()));
        let counts = page.facets().map(|(value, count)| (value.to_owned(), count)).collect();
        assert!(skus.len() <= page.total());
        cursor = page.next_cursor().map(str::to_owned);
        if cursor.is_none() {
            assert_eq!(skus.len(), page.total());
            return (skus, counts);
        }
    }
}

/// Words that are often alike, so that prefixes, doubles and typos meet.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec("[abAé]{1,6}|lamp|lamps|L-1|[0-9]{1,3}", 1..4).prop_map(|words| words.join(" "))
}

fn products() -> impl Strategy<Value = Vec<Product>> {
    prop::collection::vec((text(), 0..4_u8), 0..80).prop_map(|drafts| {
        (0..)
            .zip(drafts)
            .map(|(number, (name, category))| product(&format!("L-{number}"), &name, &format!("C{category}")))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn search_finds_what_brute_force_finds(
        products in products(), text in text(), category in prop::option::of("C[0-4]"), limit in 1..40_i64,
    ) {
        let snapshot = snapshot(&products);
        let category = category.as_deref();
        prop_assert_eq!(all_pages(&snapshot, &text, category, limit), brute_force(&products, &text, category));
    }
}

/// A query made from a product of the sample: some of its words, cut short, misspelt, or as they are.
fn query_of(product: &Product, choices: &[u8]) -> String {
    let words: Vec<&str> = product.name.as_str().split(' ').chain([product.sku.as_str()]).collect();
    let pick = |choice: u8| {
        let mut word: Vec<char> = words[choice as usize % words.len()].chars().collect();
        let at = choice as usize / 5 % word.len();
        match choice % 5 {
            0 => word.truncate(at + 1),
            1 => {
                let next = (at + 1) % word.len();
                word.swap(at, next);
            }
            2 => word.insert(at, 'x'),
            _ => {}
        }
        word.into_iter().collect::<String>()
    };
    choices.iter().map(|&choice| pick(choice)).collect::<Vec<_>>().join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn search_of_the_sample_finds_what_brute_force_finds(
        place in 0..400_usize, choices in prop::collection::vec(any::<u8>(), 1..4),
    ) {
        static SAMPLE: LazyLock<(Vec<Product>, Snapshot)> = LazyLock::new(|| {
            let products = sample::sample(400, 1).expect("a sample");
            let snapshot = snapshot(&products);
            (products, snapshot)
        });
        let (products, snapshot) = &*SAMPLE;
        let text = query_of(&products[place], &choices);
        prop_assert_eq!(all_pages(snapshot, &text, None, 100), brute_force(products, &text, None));
    }
}
