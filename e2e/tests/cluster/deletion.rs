//! A Shop that is deleted takes its children with it and leaves its data.

use std::time::{Duration, Instant};

use e2e::cluster::{Share, Shop, in_namespace, kubectl};
use load::run::new_key;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_deleted_shop_leaves_its_data_and_a_new_one_takes_it_only_when_told() {
    in_namespace(Share::Together, "deletion", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &namespace.small_shop()).await;
        let api = shop.api().await;
        let sku = api.products(100).await[0]["sku"].as_str().expect("a SKU").to_owned();
        let order = api.create(&new_key()).await;
        api.add(&order, &sku, 2).await;
        shop.delete().await;
        let kinds = "deployment,service,hpa,pdb,networkpolicy,configmap,secret,serviceaccount,pod";
        let selector = "app.kubernetes.io/instance=corner";
        e2e::wait::until("the children are gone", Duration::from_mins(1), async || {
            let left =
                kubectl(&["get", kinds, "--namespace", &namespace.name, "--selector", selector, "--output", "name"])
                    .await;
            if left.trim().is_empty() { Ok(()) } else { Err(left) }
        })
        .await;

        let mut spec = namespace.small_shop();
        shop.apply(&spec).await.expect("accepted");
        let message = shop.wait_reason("Ready", "StoreBelongsToAnother", Duration::from_mins(1)).await;
        assert!(message.contains("adoptExisting"), "it says what to do: {message}");

        let began = Instant::now();
        spec["storage"]["adoptExisting"] = json!(true);
        shop.apply(&spec).await.expect("accepted");
        shop.wait_ready(Duration::from_secs(150)).await;
        println!("adopted after {:.0} s", began.elapsed().as_secs_f64());
        let api = shop.api().await;
        let read = api.order(&order).await;
        assert_eq!((&read["items"][0]["sku"], &read["items"][0]["quantity"]), (&json!(sku), &json!(2)));
        api.submit(&order).await;
        api.confirmed(&order).await;
    })
    .await;
}
