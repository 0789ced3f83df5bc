//! What is left of orders after a power cut and after an end in good order.

use std::time::Duration;

use e2e::process::{ShopProcess, verified_orders};
use e2e::wait::until;
use hyper::Method;
use load::catalogue;
use load::commands::Commands;
use load::http::{Client, ClientOptions};
use load::ledger::Ledger;
use load::run::new_key;
use load::shoppers::{Life, live};
use load::target::Target;

use crate::folder;

#[tokio::test]
async fn a_kill_amid_shoppers_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    let folder = folder();
    let mut shop = ShopProcess::start(folder.path()).await;
    let path = folder.path().join("ledger");
    let ledger = Ledger::create(&path).expect("a ledger");
    let target = Target::resolve(&shop.url, false).await.expect("loopback");
    let client = Client::new(target, ClientOptions { timeout: Duration::from_secs(5), connections: 500 });
    let commands = Commands { client: client.expect("a client"), ledger: ledger.clone() };
    let products = catalogue::products(&commands.client).await.expect("the catalogue");
    let life = Life {
        shoppers: 50,
        most_adds: 8,
        pause: Duration::from_millis(50),
        patience: Duration::from_mins(1),
        seed: 3,
    };
    let shoppers = tokio::spawn({
        let commands = commands.clone();
        async move { live(&commands, &products, &life).await }
    });
    for writes in [60, 220] {
        until("shoppers are at it", Duration::from_secs(30), async || {
            ledger.flush().expect("written");
            let written = std::fs::read_to_string(&path).expect("the ledger").lines().count();
            if written >= writes { Ok(()) } else { Err(format!("{written} writes")) }
        })
        .await;
        let address = shop.address().to_owned();
        shop.kill();
        shop = ShopProcess::start_on(folder.path(), &address).await;
    }
    let lived = shoppers.await.expect("no panic").expect("no panic");
    let failed: Vec<_> = lived.iter().filter_map(|lived| lived.end.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of 50 shoppers failed: {failed:#?}", failed.len());
    ledger.flush().expect("written");
    shop.end().await;
    assert_eq!(verified_orders(&folder.path().join("data"), Some(&path)), 50);
}

#[tokio::test]
async fn orders_catalogue_and_keys_are_there_after_a_restart() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let api = shop.api().await;
    let products = api.products(100).await;
    let sku = products[3]["sku"].as_str().expect("a SKU");
    let key = new_key();
    let order = api.create(&key).await;
    let before = api.add(&order, sku, 2).await;
    shop.end().await;

    let shop = ShopProcess::start(folder.path()).await;
    let api = shop.api().await;
    assert_eq!(api.order(&order).await["items"], before["items"]);
    assert_eq!(api.products(100).await, products);
    let again = api.ask(e2e::api::Ask::bare(Method::POST, "/api/v1/orders").key(&key)).await;
    assert_eq!(e2e::api::json_of(&again)["id"], order.as_str());
    api.submit(&order).await;
    api.confirmed(&order).await;
    shop.assert_no_error_logged();
    shop.end().await;
    assert_eq!(verified_orders(&folder.path().join("data"), None), 1);
}
