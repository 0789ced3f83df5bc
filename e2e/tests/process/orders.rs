//! An order's life.

use e2e::api::{Ask, assert_problem, json_of, text};
use e2e::process::{ShopProcess, shop_verb, shop_verb_with_input, verified_orders};
use hyper::Method;
use load::run::new_key;
use serde_json::json;

use crate::folder;

#[tokio::test]
async fn an_order_is_made_filled_changed_submitted_confirmed_and_read_back() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let api = shop.api().await;
    let products = api.products(100).await;
    let sku = |index: usize| products[index]["sku"].as_str().expect("a SKU").to_owned();
    let price = |index: usize| products[index]["price"]["amount"].as_u64().expect("an amount");

    let order = api.create(&new_key()).await;
    api.add(&order, &sku(0), 2).await;
    api.add(&order, &sku(1), 1).await;
    let merged = api.add(&order, &sku(0), 3).await;
    assert_eq!(merged["items"].as_array().expect("lines").len(), 2, "adding a SKU twice merges: {merged}");
    assert_eq!(merged["items"][0]["quantity"], 5);
    let changed = api
        .command(Method::PUT, &format!("/api/v1/orders/{order}/items/{}", sku(1)), Some(json!({"quantity": 4})))
        .await;
    assert_eq!(changed["items"][1]["quantity"], 4);
    api.add(&order, &sku(2), 1).await;
    let removed = api.command(Method::DELETE, &format!("/api/v1/orders/{order}/items/{}", sku(2)), None).await;
    assert_eq!(removed["items"].as_array().expect("lines").len(), 2);
    assert_eq!(removed["total"]["amount"], 5 * price(0) + 4 * price(1), "{removed}");
    assert_eq!(removed["durability"], "persisted");
    let submitted = api.submit(&order).await;
    assert!(submitted["status"] == "submitted" || submitted["status"] == "confirmed", "{submitted}");

    let confirmed = api.confirmed(&order).await;
    assert_eq!(confirmed["items"], removed["items"]);
    assert_eq!(confirmed["total"], removed["total"]);
    shop.assert_no_error_logged();
    shop.end().await;
    assert_eq!(verified_orders(&folder.path().join("data"), None), 1);
}

#[tokio::test]
async fn a_repeated_command_is_done_once_and_a_cancelled_order_stays_cancelled() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let api = shop.api().await;
    let products = api.products(100).await;
    let sku = products[7]["sku"].as_str().expect("a SKU");

    let key = new_key();
    let order = api.create(&key).await;
    let again = api.ask(Ask::bare(Method::POST, "/api/v1/orders").key(&key)).await;
    assert!(again.status.is_success(), "{}", text(&again));
    assert_eq!(json_of(&again)["id"], order.as_str());
    assert_eq!(again.headers["idempotency-key"], key.as_str());

    let items = format!("/api/v1/orders/{order}/items");
    for _ in 0..3 {
        let add = Ask::with_json(Method::POST, &items, &json!({"sku": sku, "quantity": 2})).key("the-same");
        let answer = api.ask(add).await;
        assert_eq!(answer.status, 200, "{}", text(&answer));
        assert_eq!(json_of(&answer)["items"][0]["quantity"], 2);
    }
    let another = Ask::with_json(Method::POST, &items, &json!({"sku": sku, "quantity": 3})).key("the-same");
    assert_problem("the key of another request", &api.ask(another).await, 422, "key_reused");

    let cancelled = api.command(Method::POST, &format!("/api/v1/orders/{order}/cancel"), None).await;
    assert_eq!(cancelled["status"], "cancelled");
    let late = Ask::with_json(Method::POST, &items, &json!({"sku": sku, "quantity": 1}));
    assert_problem("an item after the end", &api.ask(late).await, 409, "order_closed");
    assert_eq!(api.order(&order).await["status"], "cancelled");
    shop.end().await;
}

#[tokio::test]
async fn a_verification_takes_its_ledger_from_its_input_and_claims_nothing_without_one() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let order = shop.api().await.create(&new_key()).await;
    shop.end().await;
    let data = folder.path().join("data");
    let verify = ["verify", "--data", data.to_str().expect("UTF-8")];
    let said = String::from_utf8(shop_verb(&verify).stdout).expect("text");
    assert!(said.contains("1 orders: 0 corrupt; without a ledger nothing is known of lost or doubled ones"), "{said}");
    let ledger = folder.path().join("ledger");
    std::fs::write(&ledger, "").expect("written");
    let with_ledger = [&verify[..], &["--ledger", "-"]].concat();
    let output = shop_verb_with_input(&with_ledger, &ledger);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("1 phantom") && said.contains(&order), "nobody attempted it: {said}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn exported_orders_are_imported_into_another_shop_whole_and_once() {
    let (from, to) = (folder(), folder());
    let shop = ShopProcess::start(from.path()).await;
    let api = shop.api().await;
    let sku = api.products(1).await[0]["sku"].as_str().expect("a SKU").to_owned();
    let mut orders = Vec::new();
    for quantity in 1..=5 {
        let order = api.create(&new_key()).await;
        api.add(&order, &sku, quantity).await;
        orders.push(order);
    }
    api.submit(&orders[0]).await;
    api.confirmed(&orders[0]).await;
    shop.end().await;
    let exported = export(&from.path().join("data"));
    assert_eq!(exported.len(), 5);

    let lines = to.path().join("orders.jsonl");
    let data = to.path().join("data");
    std::fs::create_dir(&data).expect("an empty folder");
    let import = ["import", lines.to_str().expect("UTF-8"), "--data", data.to_str().expect("UTF-8")];
    std::fs::write(&lines, exported.concat()).expect("written");
    assert_eq!(said_in_the_end(&shop_verb(&import), 0), "5 orders imported, 0 were there already");
    assert_eq!(said_in_the_end(&shop_verb(&import), 0), "0 orders imported, 5 were there already");
    assert_eq!(export(&data), exported, "what comes out again is what went in");
    assert_eq!(verified_orders(&data, None), 5);

    std::fs::write(&lines, exported[0].replace(&sku, "OTHER-1")).expect("written");
    let refused = shop_verb(&import);
    said_in_the_end(&refused, 2);
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(complaint.contains("line 1") && complaint.contains("digest"), "{complaint}");

    let shop = ShopProcess::start(to.path()).await;
    let api = shop.api().await;
    assert_eq!(api.order(&orders[0]).await["status"], "confirmed");
    let more = api.add(&orders[4], &sku, 1).await;
    assert_eq!(more["items"][0]["quantity"], 6, "an imported order goes on: {more}");
    let refused = shop_verb(&import);
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(complaint.contains("runs; end it"), "{complaint}");
    shop.end().await;
}

/// The lines that `shop export` prints of the shop in `data`, sorted.
fn export(data: &std::path::Path) -> Vec<String> {
    let printed = shop_verb(&["export", "--data", data.to_str().expect("UTF-8")]).stdout;
    let mut lines: Vec<String> =
        String::from_utf8(printed).expect("text").split_inclusive('\n').map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// What a verb printed as its last line, having ended with `code`.
fn said_in_the_end(output: &std::process::Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}
