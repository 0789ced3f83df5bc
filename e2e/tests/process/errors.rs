//! Wrong input: each is answered with its problem, none with a 5xx, and none is logged as an error.

use e2e::api::{Api, Ask, assert_is_problem, assert_problem, text};
use e2e::process::ShopProcess;
use futures::StreamExt;
use hyper::Method;
use hyper::header::{HeaderName, IF_MATCH};
use load::run::new_key;
use serde_json::{Value, json};

use crate::folder;

const KEY: HeaderName = load::commands::IDEMPOTENCY_KEY;

#[tokio::test]
async fn every_wrong_request_is_answered_with_its_problem_and_none_is_logged_as_an_error() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let api = shop.api().await;
    let sku = api.products(100).await[0]["sku"].as_str().expect("a SKU").to_owned();
    let order = api.create(&new_key()).await;
    wrong_bodies(&api, &order, &sku).await;
    wrong_states(&api, &order, &sku).await;
    wrong_keys(&api, &sku).await;
    wrong_addresses(&api, &order).await;
    hostile_reads(&api).await;
    assert_eq!(api.order(&order).await["status"], "confirmed", "nothing of it did any harm");
    shop.assert_no_error_logged();
    shop.end().await;
}

async fn wrong_bodies(api: &Api, order: &str, sku: &str) {
    let items = format!("/api/v1/orders/{order}/items");
    for malformed in
        ["{", "", "[]", "null", "{\"sku\": 3, \"quantity\": 1}", "{\"quantity\": 1}", "\u{0}", "{\"sku\":\"a\"}x"]
    {
        let answer = api.ask(Ask::raw(Method::POST, &items, malformed.to_owned())).await;
        assert_problem(&format!("the body {malformed:?}"), &answer, 400, "malformed");
    }
    let invalid_utf8 = Ask::raw(Method::POST, &items, vec![b'{', b'"', 0xff, b'"', b'}']);
    assert_problem("invalid UTF-8", &api.ask(invalid_utf8).await, 400, "malformed");
    for quantity in [json!(0), json!(-1), json!(10_000), json!(1.5), json!("3"), json!(null), json!(1e30)] {
        let add = Ask::with_json(Method::POST, &items, &json!({"sku": sku, "quantity": quantity}));
        assert_problem(&format!("the quantity {quantity}"), &api.ask(add).await, 422, "invalid_quantity");
    }
    for unknown in ["NO-SUCH-SKU", "", "\u{0}", "a b", &"x".repeat(10_000)] {
        let add = Ask::with_json(Method::POST, &items, &json!({"sku": unknown, "quantity": 1}));
        assert_problem(&format!("the SKU {unknown:.20}"), &api.ask(add).await, 422, "unknown_sku");
    }
    let large = json!({"sku": sku, "quantity": 1, "padding": "x".repeat(65 * 1024)});
    assert_problem("a large body", &api.ask(Ask::with_json(Method::POST, &items, &large)).await, 413, "body_too_large");
    let deep = "[".repeat(20_000);
    assert_problem("a deep body", &api.ask(Ask::raw(Method::POST, &items, deep)).await, 400, "malformed");
    assert_eq!(api.order(order).await["items"], json!([]));
}

async fn wrong_states(api: &Api, order: &str, sku: &str) {
    let submit = || Ask::bare(Method::POST, &format!("/api/v1/orders/{order}/submit"));
    assert_problem("an empty order", &api.ask(submit()).await, 409, "order_empty");
    let line = format!("/api/v1/orders/{order}/items/{sku}");
    let set = Ask::with_json(Method::PUT, &line, &json!({"quantity": 1}));
    let absent = api.ask(set).await;
    assert!(absent.status == 404 || absent.status == 200, "setting a line that is not there: {}", text(&absent));
    api.add(order, sku, 1).await;
    let stale = Ask::with_json(Method::PUT, &line, &json!({"quantity": 2})).header(IF_MATCH, "\"99999\"");
    assert_problem("an old version", &api.ask(stale).await, 409, "version_conflict");
    let zero = Ask::with_json(Method::PUT, &line, &json!({"quantity": 0}));
    assert_problem("a quantity of 0", &api.ask(zero).await, 422, "invalid_quantity");
    api.submit(order).await;
    api.confirmed(order).await;
    let late =
        Ask::with_json(Method::POST, &format!("/api/v1/orders/{order}/items"), &json!({"sku": sku, "quantity": 1}));
    assert_problem("an item after submit", &api.ask(late).await, 409, "order_closed");
}

async fn wrong_keys(api: &Api, sku: &str) {
    let create = |key: &str| Ask::bare(Method::POST, "/api/v1/orders").header(KEY, key);
    for invalid in ["x", "", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "00000000-0000-0000-0000-000000000000"] {
        assert_problem(&format!("a create's key {invalid:?}"), &api.ask(create(invalid)).await, 422, "invalid_key");
    }
    let order = api.create(&new_key()).await;
    let add = |key: &str, quantity: u32| {
        let body = json!({"sku": sku, "quantity": quantity});
        Ask::with_json(Method::POST, &format!("/api/v1/orders/{order}/items"), &body).header(KEY, key)
    };
    for invalid in ["x".repeat(65), "with space".to_owned()] {
        assert_problem(&format!("the key {invalid:?}"), &api.ask(add(&invalid, 1)).await, 422, "invalid_key");
    }
    assert_eq!(api.ask(add("mine", 1)).await.status, 200);
    assert_problem("a key used anew", &api.ask(add("mine", 2)).await, 422, "key_reused");
}

async fn wrong_addresses(api: &Api, order: &str) {
    let unknown = "0198c2f0-0000-8000-8000-000000000000";
    for path in [
        format!("/api/v1/orders/{unknown}"),
        "/api/v1/orders/nonsense".to_owned(),
        "/api/v1/products/NO-SUCH-SKU".to_owned(),
        "/api/v1/nothing".to_owned(),
    ] {
        assert_problem(&path, &api.ask(Ask::bare(Method::GET, &path)).await, 404, "not_found");
    }
    let add =
        Ask::with_json(Method::POST, &format!("/api/v1/orders/{unknown}/items"), &json!({"sku": "x", "quantity": 1}));
    let answer = api.ask(add).await;
    assert!(answer.status == 404 || answer.status == 422, "{}", text(&answer));
    assert_is_problem("an item for no order", &answer);
    let submit = Ask::bare(Method::POST, &format!("/api/v1/orders/{unknown}/submit"));
    assert_problem("submit of no order", &api.ask(submit).await, 404, "not_found");
    let answer = api.ask(Ask::bare(Method::DELETE, &format!("/api/v1/orders/{order}"))).await;
    assert_eq!(answer.status, 405, "{}", text(&answer));
    assert_is_problem("a method that is not taken", &answer);
}

async fn hostile_reads(api: &Api) {
    let long = "x".repeat(10_000);
    let texts =
        [long.as_str(), "%00", "%", "%zz", "%ff", "%E2%82", "", "%20", "%F0%9F%92%A9", "%2F..%2F", "%22%27%3Cb%3E"];
    for text in texts {
        let path = format!("/api/v1/search?q={text}");
        let answer = api.ask(Ask::bare(Method::GET, &path)).await;
        assert!(answer.status.as_u16() < 500, "{path:.40}: {}", answer.status);
        if !answer.status.is_success() {
            assert_is_problem(&path, &answer);
        }
    }
    for query in
        ["limit=0", "limit=-1", "limit=x", "limit=99999999999", "cursor=garbage", "sort=colour", "category=%00"]
    {
        for path in [format!("/api/v1/products?{query}"), format!("/api/v1/search?q=a&{query}")] {
            let answer = api.ask(Ask::bare(Method::GET, &path)).await;
            assert!(answer.status.as_u16() < 500, "{path}: {}", text(&answer));
            if !answer.status.is_success() {
                assert_is_problem(&path, &answer);
            }
        }
    }
}

#[tokio::test]
async fn the_1001st_command_of_an_order_is_refused_and_it_can_still_be_submitted() {
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let api = shop.api().await;
    let sku = api.products(100).await[0]["sku"].as_str().expect("a SKU").to_owned();
    let order = api.create(&new_key()).await;
    // The create was the first. They go out together, since each waits for the disk.
    let add = async |_: u32| {
        let body = json!({"sku": sku, "quantity": 1});
        let path = format!("/api/v1/orders/{order}/items");
        api.ask(Ask::with_json(Method::POST, &path, &body).key(&new_key())).await.status.as_u16()
    };
    let mut statuses: Vec<u16> = futures::stream::iter(0..1_010).map(add).buffer_unordered(50).collect().await;
    statuses.sort_unstable();
    let taken = statuses.iter().filter(|status| **status == 200).count();
    assert!((999..=1_000).contains(&taken), "{taken} were taken");
    assert!(statuses[taken..].iter().all(|status| *status == 422), "{:?}", &statuses[taken..]);
    let over =
        Ask::with_json(Method::POST, &format!("/api/v1/orders/{order}/items"), &json!({"sku": sku, "quantity": 1}));
    assert_problem("one more", &api.ask(over).await, 422, "too_many_commands");
    api.submit(&order).await;
    let confirmed: Value = api.confirmed(&order).await;
    assert_eq!(confirmed["items"][0]["quantity"].as_u64(), u64::try_from(taken).ok());
    shop.end().await;
}
