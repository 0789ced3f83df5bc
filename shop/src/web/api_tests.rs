//! The API as clients meet it: over sockets, with a real worker behind it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    raw_client::RawAnswer,
    test_shop::{PRODUCTS, TestShop},
};

const KEY: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

/// Method, path, headers, body; the status and code of the answer.
type Fault = (&'static str, String, &'static str, Option<String>, u16, &'static str);

fn assert_problem(answer: &RawAnswer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body = answer.json();
    assert_eq!(body["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {body}");
    }
}

#[tokio::test]
async fn paging_lists_each_product_once() {
    let shop = TestShop::start().await;
    let mut seen = BTreeSet::new();
    let mut path = "/api/v1/products?limit=100&sort=-price".to_owned();
    loop {
        let page = shop.get(&path).await.json();
        for item in page["items"].as_array().expect("items") {
            assert!(seen.insert(item["sku"].as_str().expect("a SKU").to_owned()), "{item} comes twice");
        }
        assert!(page["facets"]["category"].as_array().is_some_and(|facets| facets.len() == 12));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/products?limit=100&sort=-price&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), PRODUCTS);
}

#[tokio::test]
async fn a_search_is_answered_however_strange() {
    let shop = TestShop::start().await;
    let first = shop.get("/api/v1/products?limit=1").await.json()["items"][0].clone();
    let sku = first["sku"].as_str().expect("a SKU").to_lowercase();
    assert_eq!(shop.get(&format!("/api/v1/search?q={sku}")).await.json()["items"][0], first);
    assert_eq!(shop.get(&format!("/api/v1/products/{sku}")).await.json(), first);
    let strange = [
        "a".repeat(10_000),
        "%00".into(),
        "%".into(),
        "%zz%4".into(),
        "%ff%fe".into(),
        "%F0%9F%92%A9".into(),
        "a&q=b&&&=&%=%".into(),
        "'\"<script>".replace('<', "%3C"),
    ];
    for query in strange {
        for path in ["/api/v1/search?q=", "/search?q=", "/?category=", "/api/v1/products?category="] {
            let answer = shop.get(&format!("{path}{query}")).await;
            assert!(answer.status < 500, "{path}{query}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn an_order_is_filled_bought_and_confirmed() {
    let shop = TestShop::start().await;
    let order = shop.new_order().await;
    let items = shop.get("/api/v1/products?limit=2").await.json()["items"].clone();
    let (first, second) = (items[0]["sku"].as_str().expect("a SKU"), items[1]["sku"].as_str().expect("a SKU"));
    let add = |sku: &str, quantity: u32| json!({ "sku": sku, "quantity": quantity }).to_string();
    for (sku, quantity) in [(first, 2), (second, 1), (first, 3)] {
        let answer = shop.ask("POST", &format!("{order}/items"), "", Some(&add(sku, quantity))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.header("idempotency-key").is_some());
        assert_eq!(answer.json()["durability"], "persisted");
    }
    let path = format!("{order}/items/{}", second.to_lowercase());
    let changed = shop.ask("PUT", &path, "", Some(r#"{"quantity": 7}"#)).await.json();
    let lines: Vec<_> = changed["items"].as_array().expect("items").iter().map(|line| &line["quantity"]).collect();
    assert_eq!(lines, [5, 7], "adding a product twice adds up");
    let price = |place: usize| items[place]["price"]["amount"].as_i64().expect("an amount");
    assert_eq!(changed["total"]["amount"], 5 * price(0) + 7 * price(1));
    let removed = shop.ask("DELETE", &path, "", None).await;
    assert_eq!((removed.status, removed.json()["items"].as_array().map(Vec::len)), (200, Some(1)));
    let submitted = shop.ask("POST", &format!("{order}/submit"), "", None).await;
    assert_eq!((submitted.status, &submitted.json()["status"]), (200, &"submitted".into()));
    shop.eventually("the order is confirmed", async |shop| shop.get(&order).await.json()["status"] == "confirmed")
        .await;
    let late = shop.ask("POST", &format!("{order}/items"), "", Some(&add(first, 1))).await;
    assert_problem(&late, 409, "order_closed");
}

#[tokio::test]
async fn a_command_sent_twice_takes_effect_once() {
    let shop = TestShop::start().await;
    let key = format!("idempotency-key: {KEY}\r\n");
    let first = shop.ask("POST", "/api/v1/orders", &key, None).await;
    let again = shop.ask("POST", "/api/v1/orders", &key.to_uppercase(), Some("{}")).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.header("idempotency-key"), Some(KEY));
    let order = first.header("location").expect("a location");
    let sku = shop.get("/api/v1/products?limit=1").await.json()["items"][0]["sku"].clone();
    let body = json!({ "sku": sku, "quantity": 2 }).to_string();
    for _ in 0..3 {
        let added = shop.ask("POST", &format!("{order}/items"), "idempotency-key: add-1\r\n", Some(&body)).await;
        assert_eq!(added.json()["items"][0]["quantity"], 2, "{}", added.text());
    }
    let other = json!({ "sku": sku, "quantity": 3 }).to_string();
    let reused = shop.ask("POST", &format!("{order}/items"), "idempotency-key: add-1\r\n", Some(&other)).await;
    assert_problem(&reused, 422, "key_reused");
    assert_eq!(reused.header("idempotency-key"), Some("add-1"));
}

#[tokio::test]
async fn a_change_of_another_version_is_a_conflict() {
    let shop = TestShop::start().await;
    let order = shop.new_order().await;
    let read = shop.get(&order).await;
    assert_eq!(read.header("etag"), Some("\"1\""));
    let sku = shop.get("/api/v1/products?limit=1").await.json()["items"][0]["sku"].clone();
    let body = json!({ "sku": sku, "quantity": 1 }).to_string();
    let path = format!("{order}/items");
    assert_eq!(shop.ask("POST", &path, "if-match: \"1\"\r\n", Some(&body)).await.status, 200);
    assert_problem(&shop.ask("POST", &path, "if-match: \"1\"\r\n", Some(&body)).await, 409, "version_conflict");
    assert_problem(&shop.ask("POST", &path, "if-match: soon\r\n", Some(&body)).await, 400, "malformed");
}

#[tokio::test]
async fn every_fault_of_a_client_is_a_problem_that_names_it() {
    let shop = TestShop::start().await;
    let order = shop.new_order().await;
    let sku = shop.get("/api/v1/products?limit=1").await.json()["items"][0]["sku"].clone();
    let items = format!("{order}/items");
    let unknown = "/api/v1/orders/f6fe0e06-c6ef-8fed-9ecc-a8c4a17ba8bb";
    let line = format!("{items}/{}", sku.as_str().expect("a SKU"));
    let item = |quantity: &str| format!(r#"{{"sku":{sku},"quantity":{quantity}}}"#);
    let large = format!(r#"{{"sku":"{}","quantity":1}}"#, "x".repeat(65_536));
    let mut table: Vec<Fault> = vec![
        ("POST", items.clone(), "", Some("{".into()), 400, "malformed"),
        ("POST", items.clone(), "", Some("[]".into()), 400, "malformed"),
        ("POST", items.clone(), "", None, 400, "malformed"),
        ("POST", items.clone(), "", Some(format!(r#"{{"sku":{sku}}}"#)), 400, "malformed"),
        ("POST", items.clone(), "", Some(r#"{"quantity":1}"#.into()), 400, "malformed"),
        ("POST", items.clone(), "", Some(r#"{"sku":7,"quantity":1}"#.into()), 400, "malformed"),
        ("POST", items.clone(), "", Some(r#"{"sku":"NONE-1","quantity":1}"#.into()), 422, "unknown_sku"),
        ("POST", items.clone(), "", Some(r#"{"sku":"no sku","quantity":1}"#.into()), 422, "unknown_sku"),
        ("POST", items.clone(), "idempotency-key: a b\r\n", Some(item("1")), 422, "invalid_key"),
        ("POST", items.clone(), "", Some(large), 413, "body_too_large"),
        ("PUT", line.clone(), "", Some(r#"{"quantity":1}"#.into()), 404, "not_found"),
        ("DELETE", line, "", None, 404, "not_found"),
        ("POST", format!("{order}/submit"), "", None, 409, "order_empty"),
        ("POST", "/api/v1/orders".into(), "idempotency-key: mine\r\n", None, 422, "invalid_key"),
        ("POST", "/api/v1/orders".into(), "", Some("nonsense".into()), 400, "malformed"),
        ("GET", unknown.into(), "", None, 404, "not_found"),
        ("GET", "/api/v1/orders/mine".into(), "", None, 404, "not_found"),
        ("GET", "/api/v1/orders/%ff".into(), "", None, 404, "not_found"),
        ("POST", format!("{unknown}/submit"), "", None, 404, "not_found"),
        ("POST", "/api/v1/orders/mine/cancel".into(), "", None, 404, "not_found"),
        ("GET", "/api/v1/products/NONE-1".into(), "", None, 404, "not_found"),
        ("GET", "/api/v1/products?limit=0".into(), "", None, 400, "malformed"),
        ("GET", "/api/v1/products?sort=size".into(), "", None, 400, "malformed"),
        ("GET", "/api/v1/search?q=a&cursor=mine".into(), "", None, 400, "malformed"),
        ("GET", "/api/v2".into(), "", None, 404, "not_found"),
        ("PATCH", order.clone(), "", None, 405, "method_not_allowed"),
    ];
    for wrong in ["0", "-1", "1.5", "\"3\"", "1e3", "10000", "null", "true", "[]", "99999999999999999999", "1.0"] {
        table.push(("POST", items.clone(), "", Some(item(wrong)), 422, "invalid_quantity"));
    }
    for (method, path, headers, body, status, code) in table {
        let answer = shop.ask(method, &path, headers, body.as_deref()).await;
        assert_problem(&answer, status, code);
        let key_expected = method != "GET" && !["invalid_key", "method_not_allowed"].contains(&code);
        assert_eq!(answer.header("idempotency-key").is_some(), key_expected, "{method} {path}");
    }
    assert_eq!(shop.get(&order).await.json()["version"], 1, "none of it changed the order");
}

#[tokio::test]
async fn an_endless_body_is_cut_at_its_limit() {
    let shop = TestShop::start().await;
    let order = shop.new_order().await;
    let mut client = super::raw_client::RawClient::connect(shop.address).await.expect("connects");
    let head = format!("POST {order}/items HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send(head.as_bytes()).await.expect("sends");
    for _ in 0..5 {
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        client.send(chunk.as_bytes()).await.expect("sends");
    }
    assert_problem(&client.read_answer(false).await.expect("an answer"), 413, "body_too_large");
}

#[tokio::test]
async fn without_an_owner_a_command_is_not_done_and_says_so() {
    let shop = TestShop::start_consistent().await;
    let order = shop.new_order().await;
    shop.lose_the_worker().await;
    let body = Some(r#"{"quantity":1}"#);
    let write = shop.ask("PUT", &format!("{order}/items/KIT-0001"), "idempotency-key: set-1\r\n", body).await;
    assert_problem(&write, 503, "not_done");
    assert_eq!(write.json()["idempotency_key"], "set-1");
    assert!(write.header("retry-after").is_some());
    let read = shop.get(&order).await;
    assert_problem(&read, 503, "not_done");
    assert_eq!(shop.get("/api/v1/search?q=mug").await.status, 200, "the catalogue is answered from memory");
    let page = shop.get(&order.replace("/api/v1", "")).await;
    assert_eq!((page.status, page.header("content-type")), (503, Some("text/html; charset=utf-8")));
}

#[tokio::test]
async fn without_an_owner_carts_are_accepted_into_the_queue_and_say_so() {
    let shop = TestShop::start().await;
    let order = shop.new_order().await;
    shop.lose_the_worker().await;
    let add = |pending: &str| {
        let (path, pending) = (format!("{order}/items"), pending.to_owned());
        let shop = &shop;
        async move { shop.ask("POST", &path, &pending, Some(r#"{"sku":"KIT-0001","quantity":2}"#)).await }
    };
    let first = add("").await;
    assert_eq!(first.status, 202, "{}", first.text());
    let body = first.json();
    assert_eq!(
        (&body["durability"], &body["stale"], &body["persisted_at"]),
        (&json!("queue"), &json!(true), &Value::Null)
    );
    assert_eq!(body["items"][0]["quantity"], 2);
    assert_eq!(first.header("etag"), None, "nobody knows its version");
    let token = first.header("order-pending").expect("a token").to_owned();
    let id = order.rsplit('/').next().expect("an id");
    let cookie =
        format!("order-pending-{id}={token}; Path=/api/v1/orders/{id}; Max-Age=1209600; HttpOnly; SameSite=Strict");
    assert_eq!(first.header("set-cookie"), Some(cookie.as_str()));
    for carried in [format!("order-pending: {token}\r\n"), format!("cookie: order-pending-{id}={token}\r\n")] {
        let second = add(&carried).await;
        assert_eq!(second.status, 202, "{}", second.text());
        assert!(second.header("order-pending").expect("a token").len() > token.len(), "it names one command more");
    }
    assert_problem(&add("order-pending: made-up\r\n").await, 400, "malformed");
    let read = shop.get(&order).await;
    assert_eq!((read.status, &read.json()["stale"]), (200, &json!(true)));
    assert_eq!(read.json()["items"][0]["quantity"], 6);
    let submit = shop.ask("POST", &format!("{order}/submit"), "", None).await;
    assert_problem(&submit, 503, "not_done");
}

#[tokio::test]
async fn the_description_is_served() {
    let shop = TestShop::start().await;
    let description: Value = shop.get("/api/openapi.json").await.json();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert!(description["paths"]["/api/v1/orders/{id}/submit"]["post"].is_object());
    let head = shop.ask("HEAD", "/api/v1/search?q=mug", "", None).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}
