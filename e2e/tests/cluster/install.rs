//! The two ways to install, and what is left when the operator goes.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::cluster::{
    CHART, MANIFEST, OPERATOR_NAMESPACE, RELEASE, Share, Shop, embedded, helm, images, in_namespace, install_operator,
    kubectl, kubectl_with_input,
};
use load::run::new_key;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn chart_and_manifest_create_the_same_objects() {
    in_namespace(Share::Together, "same", async |_| {
        let version: Value = serde_json::from_str(&kubectl(&["version", "--output", "json"]).await).expect("JSON");
        let version = version["serverVersion"]["gitVersion"].as_str().expect("the server's version");
        let rendered =
            helm(&["template", RELEASE, CHART, "--namespace", OPERATOR_NAMESPACE, "--kube-version", version]).await;
        let chart = objects(&rendered).await;
        let mut manifest = objects(&std::fs::read_to_string(MANIFEST).expect("the manifest")).await;
        let namespace = manifest.remove(&format!("Namespace//{OPERATOR_NAMESPACE}"));
        assert!(namespace.is_some(), "helm makes the namespace itself, the manifest brings it");
        assert!(chart.len() >= 6, "{:?}", chart.keys());
        assert_eq!(chart.keys().collect::<Vec<_>>(), manifest.keys().collect::<Vec<_>>());
        for (name, object) in &chart {
            assert_eq!(object, &manifest[name], "{name}");
        }
    })
    .await;
}

/// The objects of a YAML stream, by kind, namespace and name.
async fn objects(yaml: &str) -> BTreeMap<String, Value> {
    let arguments = ["create", "--dry-run=client", "--validate=false", "--output", "json", "--filename", "-"];
    let printed = kubectl_with_input(&arguments, yaml).await.expect("kubectl reads it");
    let objects = serde_json::Deserializer::from_str(&printed).into_iter::<Value>().flat_map(|object| {
        let object = object.expect("kubectl prints JSON");
        object["items"].as_array().cloned().unwrap_or_else(|| vec![object])
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    objects
        .map(|object| {
            let metadata = &object["metadata"];
            let parts = [&object["kind"], &metadata["namespace"], &metadata["name"]].map(text);
            (parts.join("/"), object)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn shops_outlive_the_operator_and_the_manifest_brings_it_back() {
    in_namespace(Share::Alone, "install", async |namespace| {
        let mut spec = embedded();
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let api = shop.api().await;
        let sku = api.products(100).await[0]["sku"].as_str().expect("a SKU").to_owned();
        let order = api.create(&new_key()).await;
        api.add(&order, &sku, 2).await;

        helm(&["uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "60s"]).await;
        assert_eq!(api.order(&order).await["items"][0]["quantity"], 2, "the shop sells on without its operator");
        assert!(shop.shops().get("corner").await.is_ok(), "the Shop and its definition stay");

        let manifest = with_images(&std::fs::read_to_string(MANIFEST).expect("the manifest"));
        let apply = ["apply", "--server-side", "--force-conflicts", "--filename", "-"];
        kubectl_with_input(&apply, &manifest).await.expect("applied");
        let operator = ["rollout", "status", "deployment/cloudshop-operator", "--namespace", OPERATOR_NAMESPACE];
        kubectl(&[&operator[..], &["--timeout=60s"]].concat()).await;
        spec["web"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 1});
        shop.apply(&spec).await.expect("accepted");
        shop.wait_ready(Duration::from_mins(1)).await;

        let roles = ["delete", "clusterrole,clusterrolebinding", "cloudshop-operator"];
        kubectl(&roles).await;
        kubectl(&["delete", "namespace", OPERATOR_NAMESPACE, "--timeout=60s"]).await;
        install_operator(&images().1).await;
        spec["web"]["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 2});
        shop.apply(&spec).await.expect("accepted");
        shop.wait_ready(Duration::from_mins(1)).await;
        api.submit(&order).await;
        assert_eq!(api.confirmed(&order).await["items"][0]["quantity"], 2);
    })
    .await;
}

/// The manifest with the images under test in place of the released ones.
fn with_images(manifest: &str) -> String {
    let (registry, tag) = images();
    let mut text = manifest.to_owned();
    for image in ["shop", "operator"] {
        let released = format!("docker.io/cloudshop/{image}:");
        let start = text.find(&released).unwrap_or_else(|| panic!("the manifest names no {released}"));
        let rest = &text[start..];
        let end = rest.find(['"', '\n', ' ']).unwrap_or(rest.len());
        let whole = rest[..end].to_owned();
        text = text.replace(&whole, &format!("{registry}/{image}:{tag}"));
    }
    text
}
