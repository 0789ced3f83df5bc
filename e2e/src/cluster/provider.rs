//! The provider that the shops of this run live on, and a store of its own for each test. Runs dev/emulated-store.sh.

use std::net::SocketAddr;

use hyper::Uri;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use storage_adapters::config::Provider;
use tokio::process::Command;

/// Where the shops' pods, and a pod that looks at their store, find what opens a cloud.
const SECRETS_FOLDER: &str = "/var/run/secrets/cloudshop.dev";

/// A cloud that is emulated beside the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cloud {
    Aws,
    Azure,
}

impl Cloud {
    /// The one that shops of this run live on, as PROVIDER says; none when that is Embedded, or when it is not set.
    fn of_this_run() -> Option<Self> {
        match std::env::var("PROVIDER").as_deref() {
            Err(_) | Ok("embedded") => None,
            Ok("aws") => Some(Self::Aws),
            Ok("azure") => Some(Self::Azure),
            Ok(other) => panic!("PROVIDER is {other}; write embedded, aws or azure"),
        }
    }

    /// The cloud of a storage of a Shop.
    fn of(storage: &Value) -> Option<Self> {
        match storage["provider"].as_str() {
            Some("Aws") => Some(Self::Aws),
            Some("Azure") => Some(Self::Azure),
            _ => None,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Aws => Self::Azure,
            Self::Azure => Self::Aws,
        }
    }

    /// As it is called in a Shop.
    fn provider(self) -> &'static str {
        match self {
            Self::Aws => "Aws",
            Self::Azure => "Azure",
        }
    }

    /// The name of its settings in a Shop, of its emulator, and of the folder with its secrets.
    fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
        }
    }

    /// Secret with what opens a test's store on its emulator.
    fn secret(self) -> String {
        format!("{}-credentials", self.name())
    }
}

/// Makes a store called `name` for shops of the namespace of this name, on the provider of this run, and gives their
/// `spec.storage`.
pub(super) async fn new_store(client: &Client, name: &str) -> Value {
    match Cloud::of_this_run() {
        None => super::shop::embedded()["storage"].take(),
        Some(cloud) => json!({"provider": cloud.provider(), cloud.name(): new_store_on(client, cloud, name).await}),
    }
}

/// Makes a store of this name on the cloud that `storage` is not on, and gives what names it beside.
pub(super) async fn new_store_beside(client: &Client, name: &str, storage: &Value) -> Option<Value> {
    let other = Cloud::of(storage)?.other();
    Some(with_store_on(client, other, name, storage).await)
}

/// The same for a shop that may also be on a disk; `None` where no cloud is emulated.
pub(super) async fn new_store_to_move_to(client: &Client, name: &str, storage: &Value) -> Option<Value> {
    if Cloud::of(storage).is_some() {
        return new_store_beside(client, name, storage).await;
    }
    std::env::var_os("AZURE_STORAGE_KEY")?;
    Some(with_store_on(client, Cloud::Azure, name, storage).await)
}

/// `storage` with the settings of a new store of this name on a cloud beside.
async fn with_store_on(client: &Client, cloud: Cloud, name: &str, storage: &Value) -> Value {
    let mut beside = storage.clone();
    beside[cloud.name()] = new_store_on(client, cloud, name).await;
    beside
}

/// Makes a store on a cloud, and gives the settings that name it.
async fn new_store_on(client: &Client, cloud: Cloud, name: &str) -> Value {
    let keys = match cloud {
        Cloud::Aws => json!({"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator"}),
        Cloud::Azure => json!({"AZURE_STORAGE_KEY": named("AZURE_STORAGE_KEY")}),
    };
    make(client, cloud, name, keys).await;
    let credentials = json!({"secretName": cloud.secret()});
    match cloud {
        Cloud::Aws => json!({
            "region": "eu-central-1",
            "bucket": name,
            "queue": name,
            "endpoint": {"blob": named("AWS_ENDPOINT_URL"), "queue": named("AWS_ENDPOINT_URL_SQS"), "allowPlainHttp": true},
            "credentials": credentials,
        }),
        Cloud::Azure => json!({
            "account": named("AZURE_STORAGE_ACCOUNT"),
            "container": name,
            "queue": name,
            "endpoint": {
                "blob": named("AZURE_BLOB_ENDPOINT"),
                "queue": named("AZURE_QUEUE_ENDPOINT"),
                "allowPlainHttp": true,
            },
            "credentials": credentials,
        }),
    }
}

/// Where the servers of the blobs of `storage` listen, and those of its queue; nowhere when it is a disk.
pub(super) fn servers(storage: &Value) -> Option<(SocketAddr, SocketAddr)> {
    let endpoint = &storage[Cloud::of(storage)?.name()]["endpoint"];
    let server = |url: &Value| {
        let url: Uri = url.as_str().expect("a URL").parse().expect("a URL");
        let authority = url.authority().expect("it names a server");
        authority.as_str().parse().expect("an address and a port")
    };
    Some((server(&endpoint["blob"]), server(&endpoint["queue"])))
}

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; see dev/end-to-end.sh"))
}

/// Makes the bucket or container, and the queue, of this name on the cloud that `storage` is not on.
pub(super) async fn make_buckets_beside(storage: &Value, name: &str) {
    make_buckets(Cloud::of(storage).expect("a cloud").other(), name).await;
}

async fn make_buckets(cloud: Cloud, name: &str) {
    let made = Command::new("../dev/emulated-store.sh").args([cloud.name(), name]).kill_on_drop(true).output().await;
    let made = made.expect("dev/emulated-store.sh runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

async fn make(client: &Client, cloud: Cloud, name: &str, keys: Value) {
    make_buckets(cloud, name).await;
    let secret = json!({"metadata": {"name": cloud.secret()}, "stringData": keys});
    let secret: Secret = serde_json::from_value(secret).expect("a Secret");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), name);
    secrets.create(&PostParams::default(), &secret).await.expect("a new Secret");
}

/// Volumes and mounts by which a pod reaches the store of `shop` on the provider `home` as the shop's own pods do.
pub(super) fn access(home: Provider, shop: &str) -> (Value, Value) {
    let cloud = match home {
        Provider::Embedded => None,
        Provider::Aws => Some(Cloud::Aws),
        Provider::Azure => Some(Cloud::Azure),
    };
    match cloud {
        None => (
            json!({"name": "store", "persistentVolumeClaim": {"claimName": format!("{shop}-data")}}),
            json!({"name": "store", "mountPath": "/var/lib/cloudshop"}),
        ),
        Some(cloud) => (
            json!({"name": "store", "secret": {"secretName": cloud.secret(), "defaultMode": 0o440}}),
            json!({"name": "store", "mountPath": format!("{SECRETS_FOLDER}/{}", cloud.name()), "readOnly": true}),
        ),
    }
}
