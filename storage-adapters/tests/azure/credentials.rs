//! Keys and signatures: where they are found, and what happens when they are replaced.

use std::sync::Arc;

use storage_adapters::{
    ErrorKind, PutMode,
    azure::{Azure, Environment, fixture},
    config::{AzureConfig, AzureCredentials},
    conformance::emulators,
};
use tempfile::tempdir;

use crate::{
    kind, mount, put,
    server::{self, opened, reply, serve},
    told, until_ok,
};

async fn emulated() -> AzureConfig {
    let config = fixture::config(emulators::azure(), None);
    fixture::create(&config).await;
    config
}

#[tokio::test]
async fn each_kind_of_secret_opens_the_store_from_variables_and_from_files() {
    let config = emulated().await;
    let secrets = [
        ("AZURE_STORAGE_KEY", fixture::key()),
        ("AZURE_STORAGE_SAS_TOKEN", format!("?{}", fixture::signature())),
        (
            "AZURE_STORAGE_CONNECTION_STRING",
            format!("AccountName={};AccountKey={}", fixture::account(), fixture::key()),
        ),
        ("AZURE_STORAGE_CONNECTION_STRING", format!("SharedAccessSignature={}", fixture::signature())),
    ];
    for (number, (name, secret)) in secrets.iter().enumerate() {
        let folder = tempdir().expect("a folder");
        mount(folder.path(), "..1", &[(name, secret)]);
        let from_file = AzureCredentials::Secret { folder: folder.path().to_owned() };
        let places = [(AzureCredentials::Environment, [(*name, secret.as_str())]), (from_file, [("AZURE_NONE", "")])];
        for (credentials, variables) in places {
            let config = AzureConfig { credentials, ..config.clone() };
            let store = Azure::open_in(&config, &Environment::from(variables)).await.expect("it opens");
            put(&*store.blobs, &format!("blob-{number}"), PutMode::Overwrite).await.expect("put");
            store.queue.send("pack".into()).await.expect("send");
        }
    }
}

#[tokio::test]
async fn a_secret_that_is_replaced_is_used_at_once_when_the_old_one_is_refused() {
    let folder = tempdir().expect("a folder");
    mount(folder.path(), "..1", &[("AZURE_STORAGE_SAS_TOKEN", "sig=old")]);
    // The old one is good for opening only, as if it was revoked right afterwards.
    let answer = |request: &str| match () {
        () if opened(request) => reply(200, &[("x-ms-approximate-messages-count", "0")]),
        () if request.contains("sig=new") => reply(201, &[("etag", "\"0x1\"")]),
        () => reply(403, &[("x-ms-error-code", "AuthenticationFailed")]),
    };
    let server = serve(Arc::new(answer)).await;
    let config = server::config(&server, AzureCredentials::Secret { folder: folder.path().to_owned() });
    let store = Azure::open_in(&config, &Environment::default()).await.expect("it opens");
    assert_eq!(kind(&put(&*store.blobs, "a", PutMode::IfAbsent).await), Some(ErrorKind::Denied));
    mount(folder.path(), "..2", &[("AZURE_STORAGE_SAS_TOKEN", "sig=new")]);
    until_ok("the new signature is used", async || put(&*store.blobs, "a", PutMode::IfAbsent).await).await;
}

#[tokio::test]
async fn a_key_may_take_the_place_of_a_signature() {
    let folder = tempdir().expect("a folder");
    mount(folder.path(), "..1", &[("AZURE_STORAGE_SAS_TOKEN", &fixture::signature())]);
    let config =
        AzureConfig { credentials: AzureCredentials::Secret { folder: folder.path().to_owned() }, ..emulated().await };
    let store = Azure::open_in(&config, &Environment::default()).await.expect("it opens");
    put(&*store.blobs, "a", PutMode::IfAbsent).await.expect("put");
    mount(folder.path(), "..2", &[("AZURE_STORAGE_KEY", &fixture::key())]);
    put(&*store.blobs, "b", PutMode::IfAbsent).await.expect("put");
}

#[tokio::test]
async fn a_refusal_tells_why_the_secret_could_not_be_read_again() {
    let folder = tempdir().expect("a folder");
    mount(folder.path(), "..1", &[("AZURE_STORAGE_SAS_TOKEN", "sig=canary")]);
    let answer = |request: &str| match () {
        () if opened(request) => reply(200, &[("x-ms-approximate-messages-count", "0")]),
        () => reply(403, &[("x-ms-error-code", "AuthenticationFailed")]),
    };
    let server = serve(Arc::new(answer)).await;
    let config = server::config(&server, AzureCredentials::Secret { folder: folder.path().to_owned() });
    let store = Azure::open_in(&config, &Environment::default()).await.expect("it opens");
    mount(folder.path(), "..2", &[]);
    let told = until_ok("the refusal tells", async || {
        let error = put(&*store.blobs, "a", PutMode::IfAbsent).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let told = told(&error);
        if told.contains("no credentials are in") { Ok(told) } else { Err(error) }
    });
    let told = told.await;
    assert!(told.contains("'secret'") && !told.contains("canary"), "{told}");
}
