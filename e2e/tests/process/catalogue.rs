//! Listing, searching, and importing a catalogue into a shop that runs.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use e2e::process::{ShopProcess, shop_verb};
use e2e::wait::until;
use load::commands::Commands;
use load::http::{Client, ClientOptions};
use load::ledger::Ledger;
use load::report::Kind;
use load::run::{Options, Rates, run};
use load::target::Target;

use crate::folder;

#[tokio::test]
async fn every_product_is_listed_once_in_every_order_and_found_in_every_way() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let api = shop.api().await;
    for limit in [7, 100] {
        let products = api.products(limit).await;
        let skus: BTreeSet<&str> = products.iter().map(|product| product["sku"].as_str().expect("a SKU")).collect();
        assert_eq!((products.len(), skus.len()), (1_000, 1_000), "pages of {limit}");
    }
    let by_price = api.get("/api/v1/products?limit=100&sort=-price").await;
    let prices: Vec<u64> = by_price["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|product| product["price"]["amount"].as_u64().expect("an amount"))
        .collect();
    assert!(prices.is_sorted_by(|dearer, cheaper| dearer >= cheaper), "{prices:?}");
    assert!(!by_price["facets"]["category"].as_array().expect("facets").is_empty());

    let product = &api.products(100).await[421];
    let (sku, name) = (product["sku"].as_str().expect("a SKU"), product["name"].as_str().expect("a name"));
    assert_eq!(api.search(sku).await.first().map(String::as_str), Some(sku), "an exact SKU comes first");
    assert_eq!(api.search(&sku.to_lowercase()).await.first().map(String::as_str), Some(sku), "case does not matter");
    let words: Vec<&str> = name.split_whitespace().collect();
    assert!(words.len() >= 2, "the sample's names have several words: {name}");
    for found in [name.to_owned(), words[..2].join(" "), format!("{} {}", words[1], words[0])] {
        assert!(api.search(&found).await.iter().any(|found| found == sku), "{found} finds {name}");
    }
    let long = words.iter().max_by_key(|word| word.len()).expect("a word");
    assert!(!api.search(&long[..long.len() - 1]).await.is_empty(), "a prefix of {long}");
    let mistyped = format!("{}{}", &long[..2], &long[3..]);
    assert!(!api.search(&mistyped).await.is_empty(), "{mistyped} for {long}");
    assert!(api.search("qqqqzzzz").await.is_empty());
    shop.end().await;
}

#[tokio::test]
async fn an_import_reaches_a_running_shop_in_5_seconds_without_a_failed_request() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let api = shop.api().await;
    let target = Target::resolve(&shop.url, false).await.expect("loopback");
    let client = Client::new(target, ClientOptions::default()).expect("a client");
    let (done, told) = tokio::sync::oneshot::channel::<()>();
    let load = tokio::spawn(async move {
        let commands = Commands { client, ledger: Ledger::none() };
        let rates = Rates { searches: 100.0, adds: 0.0, submits: 0.0 };
        let options = Options { rates, duration: Duration::from_mins(1), in_flight: 500, seed: 5 };
        let end = async { told.await.expect("the test goes on") };
        run(&commands, &options, end, &mut |_| {}).await
    });
    let file = folder.path().join("products.csv");
    let mut csv = std::fs::File::create(&file).expect("a file");
    writeln!(csv, "sku,name,price,category\nNEW-1,Walnut Lamp Stand,12.50,Lamps\nNEW-2,Oak Lamp Stand,9.99,Lamps")
        .expect("written");
    let data = folder.path().join("data");
    let (file, data) = (file.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
    let output = shop_verb(&["catalogue", "import", file, "--currency", "EUR", "--data", data]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let imported = Instant::now();
    let products = until("the new catalogue is there", Duration::from_secs(5), async || {
        let products = api.products(100).await;
        if products.len() == 2 { Ok(products) } else { Err(format!("{} products", products.len())) }
    })
    .await;
    println!("the new catalogue was served after {:.1} s", imported.elapsed().as_secs_f64());
    assert_eq!(products[0]["price"], serde_json::json!({"amount": 999, "currency": "EUR"}), "{products:?}");
    done.send(()).expect("the load goes on");
    let report = load.await.expect("no panic").expect("a report");
    let searches = &report.kinds[&Kind::Search];
    assert!(searches.ok > 0 && searches.faults.is_empty(), "{searches:?}");
    shop.assert_no_error_logged();
    shop.end().await;
}

#[tokio::test]
async fn a_catalogue_with_faults_is_refused_whole_with_each_fault_and_its_line() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let file = folder.path().join("products.csv");
    std::fs::write(&file, "sku,name,price,category\nA-1,Good,1.00,C\nA-1,Twice,2.00,C\nA-2,Bad price,x,C\n")
        .expect("written");
    let data = folder.path().join("data");
    let (file, data) = (file.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
    let output = shop_verb(&["catalogue", "import", file, "--currency", "EUR", "--data", data]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains('3') && said.contains('4') && said.contains("A-1"), "both lines are named: {said}");
    assert_eq!(shop.api().await.products(100).await.len(), 1_000);
    shop.end().await;
}
