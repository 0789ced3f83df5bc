//! A store of its own for a test, on an emulator of a cloud. Starts the emulator, runs dev/emulated-store.sh.

use std::fmt;

use storage_adapters::config::{AwsConfig, AwsCredentials, AzureConfig, AzureCredentials, Endpoint, StorageConfig};
use storage_adapters::conformance::emulators::{self, Server};
use tokio::process::Command;
use uuid::Uuid;

/// The account that Azurite is published with, and its key
/// (<https://learn.microsoft.com/azure/storage/common/storage-use-azurite>).
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The key of AWS that stores are opened with, and the token that goes with it: the emulator takes any.
const AWS_SECRET: &str = "canary-secret-of-aws";
const AWS_TOKEN: &str = "canary-token-of-aws";

/// What opens stores, and must be in no log.
pub(crate) const SECRETS: [&str; 3] = [AWS_SECRET, AWS_TOKEN, AZURE_KEY];

/// A cloud that has an emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// S3 and SQS.
    Aws,
    /// Blob Storage and Queue Storage.
    Azure,
}

impl fmt::Display for Cloud {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Aws => "Aws",
            Self::Azure => "Azure",
        })
    }
}

/// A bucket or container, and a queue.
#[derive(Clone, Debug)]
pub struct CloudStore {
    cloud: Cloud,
    name: String,
    /// The emulator that it is on.
    pub emulator: Server,
}

impl CloudStore {
    /// Makes one, as a platform team does.
    pub async fn make(cloud: Cloud) -> Self {
        let start = move || match cloud {
            Cloud::Aws => emulators::aws().clone(),
            Cloud::Azure => emulators::azure().clone(),
        };
        let emulator = tokio::task::spawn_blocking(start).await.expect("the emulator runs");
        let name = format!("test-{}", Uuid::new_v4().simple());
        let made = Command::new("../dev/emulated-store.sh")
            .args([cloud.to_string().to_lowercase(), name.clone()])
            .env("AWS_ENDPOINT_URL", emulator.blob.as_str().trim_end_matches('/'))
            .env("AZURE_BLOB_ENDPOINT", emulator.blob.as_str())
            .env("AZURE_QUEUE_ENDPOINT", emulator.queue.as_str())
            .kill_on_drop(true)
            .output();
        let made = made.await.expect("dev/emulated-store.sh runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { cloud, name, emulator }
    }

    /// How it is reached at `server`, which is the emulator or stands before it.
    #[must_use]
    pub fn config(&self, server: &Server) -> StorageConfig {
        let Server { blob, queue } = server.clone();
        let endpoint = Endpoint { blob: Some(blob), queue: Some(queue), ..Endpoint::default() };
        match self.cloud {
            Cloud::Aws => StorageConfig::from(AwsConfig {
                region: "eu-central-1".to_owned(),
                bucket: self.name.clone(),
                queue: self.name.clone(),
                endpoint: Some(endpoint),
                credentials: AwsCredentials::Environment,
            }),
            Cloud::Azure => StorageConfig::from(AzureConfig {
                account: AZURE_ACCOUNT.to_owned(),
                container: self.name.clone(),
                queue: self.name.clone(),
                endpoint: Some(endpoint),
                credentials: AzureCredentials::Environment,
            }),
        }
    }

    /// Variables that open it.
    #[must_use]
    pub fn credentials(&self) -> &'static [(&'static str, &'static str)] {
        match self.cloud {
            Cloud::Aws => &[
                ("AWS_ACCESS_KEY_ID", "emulator"),
                ("AWS_SECRET_ACCESS_KEY", AWS_SECRET),
                ("AWS_SESSION_TOKEN", AWS_TOKEN),
            ],
            Cloud::Azure => &[("AZURE_STORAGE_KEY", AZURE_KEY)],
        }
    }
}
