//! From `kubectl apply` to a confirmed order that outlives every pod.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::api::json_of;
use e2e::cluster::{Share, Shop, in_namespace};
use e2e::wait::until;
use hyper::Method;
use load::http::Call;
use load::run::new_key;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_shop_is_ready_in_30_seconds_and_an_order_outlives_all_its_pods() {
    in_namespace(Share::Alone, "selling", async |namespace| {
        let began = Instant::now();
        let shop = Shop::new(&namespace, "corner");
        shop.apply(&namespace.small_shop()).await.expect("the Shop is accepted");
        shop.wait_ready(Duration::from_mins(1)).await;
        let took = began.elapsed();
        println!("from apply to Ready: {:.1} s", took.as_secs_f64());
        assert!(took < Duration::from_secs(30), "Ready after {:.1} s", took.as_secs_f64());

        let api = shop.api().await;
        let products = api.products(100).await;
        let skus: BTreeSet<&str> = products.iter().map(|product| product["sku"].as_str().expect("a SKU")).collect();
        assert_eq!((products.len(), skus.len()), (1_000, 1_000));
        let product = &products[500];
        let (sku, name) = (product["sku"].as_str().expect("a SKU"), product["name"].as_str().expect("a name"));
        let words: Vec<&str> = name.split_whitespace().collect();
        assert_eq!(api.search(sku).await[0], sku, "an exact SKU comes first");
        assert!(api.search(&format!("{} {}", words[0], words[1])).await.iter().any(|found| found == sku), "two words");
        assert!(!api.search(&words[0][..3]).await.is_empty(), "a prefix");
        let long = words.iter().max_by_key(|word| word.len()).expect("a word");
        assert!(!api.search(&format!("{}{}", &long[..2], &long[3..])).await.is_empty(), "a typing error");

        let order = api.create(&new_key()).await;
        api.add(&order, sku, 2).await;
        api.add(&order, products[1]["sku"].as_str().expect("a SKU"), 1).await;
        let line = format!("/api/v1/orders/{order}/items/{sku}");
        api.command(Method::PUT, &line, Some(json!({"quantity": 5}))).await;
        api.submit(&order).await;
        let confirmed = api.confirmed(&order).await;
        assert_eq!(confirmed["items"][0]["quantity"], 5);
        let open = api.create(&new_key()).await;
        api.add(&open, sku, 3).await;

        let before = shop.pod_uids().await;
        let began = Instant::now();
        shop.delete_all_pods().await;
        shop.all_replaced(&before).await;
        let read = until("the order is read again", Duration::from_mins(1), async || {
            let answer = api.client.send(Call::get(format!("/api/v1/orders/{order}"))).await;
            match answer {
                Ok(answer) if answer.status == 200 => Ok(json_of(&answer)),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        println!("after the end of all pods: read again after {:.1} s", began.elapsed().as_secs_f64());
        assert_eq!(read["items"], confirmed["items"]);
        assert_eq!(read["status"], "confirmed");
        shop.wait_ready(Duration::from_mins(1)).await;
        assert_eq!(api.order(&open).await["items"][0]["quantity"], 3);
        api.submit(&open).await;
        api.confirmed(&open).await;
        shop.assert_no_error_logged().await;
    })
    .await;
}
