//! What opens a store, and what pods know each other by, is in no log, whatever is asked to be logged.

use e2e::api::Api;
use e2e::cloud_store::{Cloud, CloudStore};
use e2e::pods::{Pods, assert_no_secret};
use load::run::new_key;
use shop_contract::config::OnPartitionConfig;

use crate::folder;

/// Everything that any part of the program can say.
const EVERYTHING: (&str, &str) = ("SHOP_LOG", "trace");

async fn no_secret_is_told(cloud: Cloud) {
    let folder = folder();
    let store = CloudStore::make(cloud).await;
    let (config, choice) = (store.config(&store.emulator), OnPartitionConfig::default());
    let pods = Pods::start_with(folder.path(), &store, config, choice, &[EVERYTHING]).await;
    let api = Api::at(&pods.url).await;
    let sku = api.products(100).await[0]["sku"].as_str().expect("a SKU").to_owned();
    let order = api.create(&new_key()).await;
    api.add(&order, &sku, 2).await;
    api.submit(&order).await;
    api.confirmed(&order).await;
    let printed = pods.printed();
    assert!(printed.contains(r#""level":"TRACE""#), "everything is logged");
    assert_no_secret("a log of everything", &printed);
    pods.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_everything_tells_no_secret_on_aws() {
    no_secret_is_told(Cloud::Aws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_everything_tells_no_secret_on_azure() {
    no_secret_is_told(Cloud::Azure).await;
}
