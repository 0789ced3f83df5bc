//! A namespace for each test, which goes with it, and what is printed about it when the test fails.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use super::kubectl::run;
use super::operator::ensure_operator;
use super::provider::{make_buckets_beside, new_store, new_store_beside, new_store_to_move_to, servers};
use super::shop::embedded;
use super::turn::{Share, Turn};
use crate::wait::until;

/// What the names of all tests' namespaces begin with.
const PREFIX: &str = "e2e-";

/// Longest that the pods of tests that ended take to be gone.
const GONE: Duration = Duration::from_mins(2);

/// The namespace of one test.
#[derive(Clone)]
pub struct TestNamespace {
    /// Speaks to the cluster.
    pub client: Client,
    /// The namespace's name.
    pub name: String,
    /// `spec.storage` of a shop on a store that is this test's own.
    storage: Value,
}

/// Runs a test in a namespace of its own and removes that afterwards; when the test fails, says how it looked there.
pub async fn in_namespace<F>(share: Share, name: &str, test: impl FnOnce(TestNamespace) -> F)
where
    F: Future<Output = ()>,
{
    // Held until the test has ended.
    let _turn = Turn::on_cluster(share).await;
    let client = Client::try_default().await.expect("KUBECONFIG names a cluster");
    ensure_operator().await;
    if share == Share::Alone {
        at_rest(&client).await;
    }
    let name = format!("{PREFIX}{name}-{:04x}", std::process::id() & 0xffff);
    create(&client, &name).await;
    let storage = new_store(&client, &name).await;
    let namespace = TestNamespace { client, name, storage };
    let ended = AssertUnwindSafe(test(namespace.clone())).catch_unwind().await;
    if ended.is_err() {
        namespace.describe().await;
    }
    namespace.remove().await;
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed);
    }
}

/// Waits until nothing is left of tests that ended: their pods, on their way out, would take the cores of what is measured.
async fn at_rest(client: &Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    until("the namespaces of other tests are gone", GONE, async || {
        let list = namespaces.list_metadata(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let left: Vec<_> = list
            .items
            .into_iter()
            .filter_map(|namespace| namespace.metadata.name)
            .filter(|name| name.starts_with(PREFIX))
            .collect();
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
}

async fn create(client: &Client, name: &str) {
    let labels = [("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())];
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.into()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &namespace).await.expect("a new namespace");
}

impl TestNamespace {
    /// The spec of a small shop on the provider of this run: two web pods, two workers, little asked of the machine.
    #[must_use]
    pub fn small_shop(&self) -> Value {
        let mut spec = embedded();
        spec["storage"] = self.storage.clone();
        spec
    }

    /// `spec.storage` of a shop that has the settings of another cloud beside; `None` when this run is not in a cloud.
    pub async fn storage_with_another_cloud(&self) -> Option<Value> {
        new_store_beside(&self.client, &self.name, &self.storage).await
    }

    /// `spec.storage` of a shop that may move to another provider; `None` where no cloud is emulated.
    pub async fn storage_to_move(&self) -> Option<Value> {
        new_store_to_move_to(&self.client, &self.name, &self.storage).await
    }

    /// Makes the bucket or container, and the queue, of this name on the cloud that this run is not on.
    pub async fn make_buckets_beside(&self, name: &str) {
        make_buckets_beside(&self.storage, name).await;
    }

    /// Where the servers of the store's blobs and of its queue listen; nowhere when it is a disk.
    #[must_use]
    pub fn store_servers(&self) -> Option<(SocketAddr, SocketAddr)> {
        servers(&self.storage)
    }

    /// Everything in it goes in the background; volumes belong to no namespace and are kept by their policy.
    async fn remove(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let gone = namespaces.delete(&self.name, &DeleteParams::default()).await;
        if let Err(error) = gone {
            eprintln!("namespace {} is left behind: {error}", self.name);
        }
        let Ok(list) = volumes.list(&ListParams::default()).await else { return };
        for volume in list {
            let claim = volume.spec.and_then(|spec| spec.claim_ref).and_then(|claim| claim.namespace);
            if let (Some(name), true) = (volume.metadata.name, claim.as_deref() == Some(self.name.as_str())) {
                let gone = volumes.delete(&name, &DeleteParams::default()).await;
                if let Err(error) = gone {
                    eprintln!("volume {name} is left behind: {error}");
                }
            }
        }
    }

    async fn describe(&self) {
        let namespace = ["--namespace", self.name.as_str()];
        let looks: [&[&str]; 6] = [
            &["get", "shop,deployment,pod,hpa,pvc,service", "--output", "wide"],
            &["get", "shop", "--output", "yaml"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["describe", "pods"],
            &["logs", "--selector=app.kubernetes.io/name=cloudshop", "--all-containers", "--prefix", "--tail=60"],
            &[
                "logs",
                "--selector=app.kubernetes.io/name=cloudshop",
                "--all-containers",
                "--prefix",
                "--tail=30",
                "--previous",
            ],
        ];
        for look in looks {
            let arguments = [look, &namespace].concat();
            let seen = run("kubectl", &arguments, "").await.unwrap_or_else(|message| message);
            eprintln!("--- kubectl {}\n{seen}", look.join(" "));
        }
        let operator = ["logs", "--namespace", super::OPERATOR_NAMESPACE, "--tail=60", "deployment/cloudshop-operator"];
        let seen = run("kubectl", &operator, "").await.unwrap_or_else(|message| message);
        eprintln!("--- kubectl {}\n{seen}", operator.join(" "));
    }
}
