//! Opening a container and a queue, and what is said when that fails.

use std::fs;

use storage_adapters::{
    Store,
    azure::{Azure, Environment, OpenAzureError, fixture},
    config::{AzureConfig, AzureCredentials, Endpoint},
    conformance::emulators,
};
use tempfile::tempdir;

use crate::{mount, told};

async fn emulated() -> AzureConfig {
    let config = fixture::config(emulators::azure(), None);
    fixture::create(&config).await;
    config
}

async fn refusal(config: &AzureConfig) -> OpenAzureError {
    Azure::open_in(config, &fixture::variables()).await.expect_err("refused")
}

#[tokio::test]
async fn a_store_opens_and_is_tried_out() {
    let folder = tempdir().expect("a folder");
    mount(folder.path(), "..1", &[("AZURE_STORAGE_KEY", &fixture::key())]);
    let credentials = AzureCredentials::Secret { folder: folder.path().to_owned() };
    let config = AzureConfig { credentials, ..emulated().await };
    let store = Store::open(&config.into()).await.expect("it opens");
    let depth = store.queue.depth().await.expect("depth");
    assert_eq!((depth.waiting, depth.leased), (0, 0), "the probe leaves nothing");
}

#[tokio::test]
async fn a_container_or_a_queue_that_is_missing_is_told_with_the_command_that_makes_it() {
    let config = emulated().await;
    let AzureConfig { account, .. } = &config;
    let lost = AzureConfig { container: "nowhere".into(), ..config.clone() };
    let told = refusal(&lost).await.to_string();
    assert!(told.contains(&format!("az storage container create --account-name {account} --name nowhere")), "{told}");
    let lost = AzureConfig { queue: "nowhere".into(), ..config.clone() };
    let told = refusal(&lost).await.to_string();
    assert!(told.contains(&format!("az storage queue create --account-name {account} --name nowhere")), "{told}");
}

#[tokio::test]
async fn nothing_is_made_by_opening() {
    let lost = fixture::config(emulators::azure(), None);
    for _ in 0..2 {
        assert!(matches!(refusal(&lost).await, OpenAzureError::NoContainer { .. }));
    }
}

#[tokio::test]
async fn refused_credentials_are_told_with_what_to_do() {
    let config = emulated().await;
    let refused = Azure::open_in(&config, &Environment::from([("AZURE_STORAGE_KEY", "Y2FuYXJ5")])).await;
    let told = told(&refused.expect_err("refused"));
    assert!(told.contains("az storage account keys list --account-name devstoreaccount1"), "{told}");
    assert!(told.contains("AuthenticationFailed") || told.contains("AuthorizationFailure"), "{told}");
    assert!(!told.contains("canary") && !told.contains("Y2FuYXJ5"), "{told}");
}

#[tokio::test]
async fn a_server_out_of_reach_is_told() {
    let nobody = "http://127.0.0.1:1/".parse().expect("a URL");
    let endpoint = Endpoint { blob: Some(nobody), ..emulated().await.endpoint.expect("an endpoint") };
    let config = AzureConfig { endpoint: Some(endpoint), ..emulated().await };
    let told = told(&refusal(&config).await);
    assert!(told.contains("az storage account show") && !told.contains("sig="), "{told}");
}

#[tokio::test]
async fn a_file_of_certificates_that_is_none_is_told() {
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    let endpoint = Endpoint { ca_file: Some(file.clone()), ..emulated().await.endpoint.expect("an endpoint") };
    let config = AzureConfig { endpoint: Some(endpoint), ..emulated().await };
    assert!(matches!(refusal(&config).await, OpenAzureError::CaFile { .. }), "missing");
    fs::write(&file, "no certificate").expect("a file");
    let told = refusal(&config).await.to_string();
    assert!(told.contains("ca.pem") && told.contains("PEM"), "{told}");
}
