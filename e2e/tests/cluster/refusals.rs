//! Shops that the API server refuses, with a message that says what to write.

use e2e::cluster::{Share, Shop, embedded, in_namespace};
use kube::Error;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_bad_field_is_refused_with_what_to_write_instead() {
    in_namespace(Share::Together, "refusals", async |namespace| {
        let refused = async |name: &str, change: &dyn Fn(&mut Value), say: &[&str]| {
            let mut spec = embedded();
            change(&mut spec);
            let message = match Shop::new(&namespace, name).apply(&spec).await {
                Err(Error::Api(status)) => status.message.clone(),
                other => panic!("{spec} was not refused: {other:?}"),
            };
            for word in say {
                assert!(message.contains(word), "{word:?} is missing in: {message}");
            }
        };
        refused("corner", &|spec| spec["storage"]["provider"] = json!("Tape"), &["provider", "Embedded"]).await;
        refused("corner", &|spec| spec["orders"] = json!({"shards": 0}), &["shards", "1"]).await;
        refused("corner", &|spec| spec["orders"] = json!({"shards": 65}), &["shards", "64"]).await;
        let size = |size: &'static str| {
            move |spec: &mut Value| spec["storage"]["embedded"]["volumeClaim"]["size"] = json!(size)
        };
        refused("corner", &size("ten"), &["size", "write", "10Gi"]).await;
        refused("corner", &size("1Mi"), &["size", "64Mi"]).await;
        let more = |spec: &mut Value| spec["worker"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 9});
        refused("corner", &more, &["maxReplicas", "shards", "write"]).await;
        let crossed = |spec: &mut Value| spec["web"]["autoscaling"] = json!({"minReplicas": 5, "maxReplicas": 2});
        refused("corner", &crossed, &["minReplicas", "maxReplicas", "write"]).await;
        let host = |spec: &mut Value| spec["expose"] = json!({"ingress": {"host": "http://shop.example.org/"}});
        refused("corner", &host, &["host", "shop.example.org"]).await;
        refused(
            "corner",
            &|spec| {
                spec.as_object_mut().expect("an object").remove("storage");
            },
            &["storage"],
        )
        .await;
        refused("a-name-that-is-much-too-long-for-the-pods-of-a-shop", &|_| {}, &["39", "shorter"]).await;
        refused("1-shop", &|_| {}, &["metadata.name", "letter"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn what_cannot_change_is_refused_with_the_reason() {
    in_namespace(Share::Together, "fixed", async |namespace| {
        let shop = Shop::new(&namespace, "corner");
        let mut spec = embedded();
        spec["orders"] = json!({"shards": 4});
        shop.apply(&spec).await.expect("accepted");
        let refused = async |spec: &Value| match shop.apply(spec).await {
            Err(Error::Api(status)) => status.message.clone(),
            other => panic!("{spec} was not refused: {other:?}"),
        };
        spec["orders"] = json!({"shards": 8});
        assert!(refused(&spec).await.contains("shards cannot change"));
        spec["orders"] = json!({"shards": 4});
        spec["storage"]["embedded"]["volumeClaim"]["storageClassName"] = json!("other");
        assert!(refused(&spec).await.contains("storageClassName cannot change"));
    })
    .await;
}
