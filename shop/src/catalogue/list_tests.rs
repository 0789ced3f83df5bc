use super::*;
use crate::{
    catalogue::{Limit, SnapshotBuilder, sample},
    domain::{Currency, Money, Product},
};

fn snapshot(products: &[Product], digest: u8) -> Snapshot {
    let mut builder = SnapshotBuilder::default();
    for product in products {
        builder.push(product).expect("room");
    }
    builder.finish(digest.into(), [digest; 32]).expect("a catalogue")
}

const SORTS: [Sort; 5] = [Sort::Name, Sort::NameDescending, Sort::Price, Sort::PriceDescending, Sort::Sku];

#[test]
fn paging_shows_every_product_once_in_order() {
    let products = sample::sample(1_000, 5).expect("a sample");
    let snapshot = snapshot(&products, 1);
    for sort in SORTS {
        for category in [None, Some("Kitchen"), Some("Nowhere")] {
            let limit = Limit::try_from(7).expect("a limit");
            let mut seen = Vec::new();
            let mut cursor: Option<String> = None;
            loop {
                let query = ListQuery { sort, category, cursor: cursor.as_deref(), limit };
                let page = snapshot.list(&query).expect("a page");
                seen.extend(
                    page.items().map(|product| (product.price().amount, product.name().into_owned(), product.to_sku())),
                );
                cursor = page.next_cursor().map(str::to_owned);
                if cursor.is_none() {
                    assert_eq!(page.total(), seen.len());
                    break;
                }
            }
            let mut expected: Vec<_> = products
                .iter()
                .filter(|product| category.is_none_or(|category| product.category.as_str() == category))
                .map(|product| (product.price.amount, product.name.to_string(), product.sku.clone()))
                .collect();
            let folded = |name: &str| crate::catalogue::fold::fold(name);
            match sort {
                Sort::Name | Sort::NameDescending => expected.sort_by_key(|(_, name, _)| folded(name)),
                Sort::Price | Sort::PriceDescending => expected.sort_by_key(|(price, name, _)| (*price, folded(name))),
                Sort::Sku => expected.sort_by(|left, right| left.2.cmp(&right.2)),
            }
            if matches!(sort, Sort::NameDescending | Sort::PriceDescending) {
                expected.reverse();
            }
            assert_eq!(seen, expected, "{sort:?} {category:?}");
        }
    }
}

#[test]
fn paging_goes_on_in_a_new_version_where_it_was() {
    let products = sample::sample(500, 5).expect("a sample");
    let old = snapshot(&products, 1);
    for sort in SORTS {
        let query = ListQuery { sort, limit: Limit::try_from(50).expect("a limit"), ..ListQuery::default() };
        let first = old.list(&query).expect("a page");
        let shown: Vec<_> = first.items().map(|product| product.to_sku()).collect();
        // The last product that was shown is gone, and a third of those that were not.
        let kept: Vec<Product> = products
            .iter()
            .enumerate()
            .filter(|(place, product)| {
                Some(&product.sku) != shown.last() && (shown.contains(&product.sku) || place % 3 != 0)
            })
            .map(|(_, product)| product.clone())
            .collect();
        let new = snapshot(&kept, 2);
        let all = new.list(&ListQuery { limit: Limit::try_from(100).expect("a limit"), ..query }).expect("a page");
        let expected: Vec<_> =
            all.items().map(|product| product.to_sku()).filter(|sku| !shown.contains(sku)).take(50).collect();
        let second = new.list(&ListQuery { cursor: first.next_cursor(), ..query }).expect("a page");
        assert_eq!(second.items().map(|product| product.to_sku()).collect::<Vec<_>>(), expected, "{sort:?}");
    }
}

#[test]
fn a_product_is_found_by_its_sku_whatever_the_case() {
    let products = sample::sample(100, 5).expect("a sample");
    let snapshot = snapshot(&products, 1);
    for product in &products {
        let lower = product.sku.as_str().to_ascii_lowercase().parse().expect("a SKU");
        let view = snapshot.product(&lower).expect("the product");
        assert_eq!(serde_json::from_str::<Product>(view.json()).expect("JSON"), *product);
        assert_eq!((view.sku(), &*view.name()), (product.sku.as_str(), product.name.as_str()));
        assert_eq!((view.price(), view.category()), (product.price, product.category.as_str()));
    }
    assert!(snapshot.product(&"nothing".parse().expect("a SKU")).is_none());
}

#[test]
fn two_products_with_one_sku_make_no_catalogue() {
    let product = |sku: &str| Product {
        sku: sku.parse().expect("a SKU"),
        name: "Mug".parse().expect("a name"),
        price: Money { amount: 1, currency: Currency::EUR },
        category: "Kitchen".parse().expect("a category"),
    };
    let mut builder = SnapshotBuilder::default();
    builder.push(&product("a-1")).expect("room");
    builder.push(&product("A-1")).expect("room");
    assert!(builder.finish(1, [0; 32]).is_err());
}

#[test]
fn an_empty_catalogue_lists_nothing() {
    let snapshot = snapshot(&[], 1);
    assert_eq!(snapshot.list(&ListQuery::default()).expect("a page").total(), 0);
}
