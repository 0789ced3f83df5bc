//! A container and a queue of their own on the emulator or on a cloud, for tests. Does I/O through the SDK.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "these are parts of tests, which fail by panicking"
)]

use std::{env, path::Path, sync::Arc, time::Duration};

use azure_core::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Azure, Environment, account_sas::sign, opening::Clients};
use crate::{
    config::{AzureConfig, AzureCredentials, Endpoint},
    conformance::emulators::Server,
};

/// The account: `AZURE_STORAGE_ACCOUNT`, or the emulator's, <https://learn.microsoft.com/azure/storage/common/storage-use-azurite>.
#[must_use]
pub fn account() -> String {
    env::var("AZURE_STORAGE_ACCOUNT").unwrap_or_else(|_| "devstoreaccount1".to_owned())
}

/// Its key: `AZURE_STORAGE_KEY`, or the one that the emulator is published with.
#[must_use]
pub fn key() -> String {
    let published = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    env::var("AZURE_STORAGE_KEY").unwrap_or_else(|_| published.to_owned())
}

/// Settings of a container and a queue that nobody else uses, and that are not there yet.
#[must_use]
pub fn config(server: &Server, ca_file: Option<&Path>) -> AzureConfig {
    let name = format!("test-{}", Uuid::new_v4().simple());
    AzureConfig {
        account: account(),
        container: name.clone(),
        queue: name,
        endpoint: Some(Endpoint {
            blob: Some(server.blob.clone()),
            queue: Some(server.queue.clone()),
            allow_plain_http: true,
            ca_file: ca_file.map(Path::to_owned),
        }),
        credentials: AzureCredentials::Environment,
    }
}

/// Variables with the account's key.
#[must_use]
pub fn variables() -> Environment {
    Environment::from([("AZURE_STORAGE_KEY", key().as_str())])
}

/// A signature made from the account's key, as a person would make one.
#[must_use]
pub fn signature() -> String {
    let key = STANDARD.decode(key()).expect("an account's key is base64");
    sign(&account(), &key, true, Timestamp::now() + Duration::from_hours(1)).expect("any key signs")
}

/// Makes the container and the queue, where they are not there yet.
pub async fn create(config: &AzureConfig) {
    let config = AzureConfig { credentials: AzureCredentials::Environment, ..config.clone() };
    let clients = Clients::new(&config, &variables(), &Arc::default()).await.expect("the settings of a test are good");
    match clients.container.create(None).await {
        Err(fault) if fault.http_status() != Some(StatusCode::Conflict) => panic!("no container: {fault}"),
        _ => {}
    }
    clients.queue.create(None).await.expect("the queue is made");
}

/// Opens a new container and a new queue.
pub async fn open(server: &Server) -> Azure {
    let config = config(server, None);
    create(&config).await;
    Azure::open_in(&config, &variables()).await.expect("what was made can be opened")
}
