//! A Shop on the cluster: applied as a user does, and watched by its conditions.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api as Kube, Error};
use load::http::Call;
use serde_json::{Value, json};

use super::namespace::TestNamespace;
use crate::api::Api;
use crate::wait::until;

/// Who applies Shops in the tests.
const FIELD_MANAGER: &str = "end-to-end-test";

/// A Shop on the cluster.
#[derive(Clone)]
pub struct Shop {
    /// Where it is.
    pub namespace: TestNamespace,
    /// Its name.
    pub name: String,
}

/// The spec of a small shop on Embedded storage: two web pods, two workers, little asked of the machine.
#[must_use]
pub fn embedded() -> Value {
    json!({
        "storage": {"provider": "Embedded", "embedded": {"volumeClaim": {"size": "1Gi"}}},
        "web": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}, "resources": {"requests": {"cpu": "60m"}}},
        "worker": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}, "resources": {"requests": {"cpu": "60m"}}},
    })
}

impl Shop {
    /// A Shop that may not be there yet.
    #[must_use]
    pub fn new(namespace: &TestNamespace, name: &str) -> Self {
        Self { namespace: namespace.clone(), name: name.to_owned() }
    }

    /// Applies a Shop with this spec, and waits until it is ready with all the pods that it has at least.
    pub async fn ready(namespace: &TestNamespace, name: &str, spec: &Value) -> Self {
        let shop = Self::new(namespace, name);
        shop.apply(spec).await.expect("the Shop is accepted");
        shop.wait_ready(Duration::from_secs(90)).await;
        let wanted = |tier: &str| spec[tier]["autoscaling"]["minReplicas"].as_i64().unwrap_or(1);
        shop.wait("all its pods are ready", Duration::from_secs(90), |shop| {
            let status = &shop.data["status"];
            ["web", "worker"].iter().all(|tier| status[*tier]["ready"].as_i64() >= Some(wanted(tier)))
        })
        .await;
        shop
    }

    /// The Shops of its namespace.
    #[must_use]
    pub fn shops(&self) -> Kube<DynamicObject> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cloudshop.dev", "v1alpha1", "Shop"));
        Kube::namespaced_with(self.namespace.client.clone(), &self.namespace.name, &kind)
    }

    /// Applies the Shop with this spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, spec: &Value) -> Result<DynamicObject, Error> {
        let object = json!({
            "apiVersion": "cloudshop.dev/v1alpha1",
            "kind": "Shop",
            "metadata": {"name": self.name, "namespace": self.namespace.name},
            "spec": spec,
        });
        self.shops().patch(&self.name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await
    }

    /// Waits until its newest generation is ready.
    pub async fn wait_ready(&self, limit: Duration) -> DynamicObject {
        self.wait("the Shop is Ready", limit, |shop| {
            let observed = shop.data["status"]["observedGeneration"].as_i64();
            condition(shop, "Ready")
                .is_some_and(|ready| ready["status"] == "True" && observed == shop.metadata.generation)
        })
        .await
    }

    /// Waits until a condition has this reason, and gives its message.
    pub async fn wait_reason(&self, kind: &str, reason: &str, limit: Duration) -> String {
        let what = format!("{kind} says {reason}");
        let has = |shop: &DynamicObject| condition(shop, kind).is_some_and(|found| found["reason"] == reason);
        let shop = self.wait(&what, limit, has).await;
        condition(&shop, kind).and_then(|found| found["message"].as_str()).unwrap_or_default().to_owned()
    }

    /// Waits until it is so.
    pub async fn wait(&self, what: &str, limit: Duration, so: impl Fn(&DynamicObject) -> bool) -> DynamicObject {
        let seen = await_condition(self.shops(), &self.name, |shop: Option<&DynamicObject>| shop.is_some_and(&so));
        if let Ok(shop) = tokio::time::timeout(limit, seen).await {
            return shop.expect("the watch goes on").expect("it was seen");
        }
        let last = self.shops().get(&self.name).await.map(|shop| shop.data["status"].clone());
        panic!("not within {} s: {what}; last seen: {last:#?}", limit.as_secs());
    }

    /// The config of its pods.
    pub async fn config(&self) -> String {
        let maps: Kube<ConfigMap> = Kube::namespaced(self.namespace.client.clone(), &self.namespace.name);
        let config = maps.get(&format!("{}-config", self.name)).await.expect("the config").data;
        config.and_then(|mut files| files.remove("shop.toml")).expect("it is there")
    }

    /// Deletes it, waits until it and all its pods are gone, and gives the config that they had.
    pub async fn delete(&self) -> String {
        let config = self.config().await;
        self.shops().delete(&self.name, &DeleteParams::default()).await.expect("the Shop is deleted");
        let gone = await_condition(self.shops(), &self.name, |shop: Option<&DynamicObject>| shop.is_none());
        tokio::time::timeout(Duration::from_mins(1), gone).await.expect("it goes in time").expect("the watch goes on");
        self.without_pods(Duration::from_secs(90)).await;
        config
    }

    /// Where its Service answers; the nodes learn of new pods a moment after they are ready.
    pub async fn url(&self) -> String {
        let services: Kube<Service> = Kube::namespaced(self.namespace.client.clone(), &self.namespace.name);
        let service = services.get(&self.name).await.expect("the Service of the Shop");
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("it has an address");
        let url = format!("http://{address}");
        let api = Api::at(&url).await;
        until("the Service answers", Duration::from_secs(15), async || {
            api.client.send(Call::get("/api/v1/products?limit=1")).await.map_err(|failure| failure.to_string())
        })
        .await;
        url
    }

    /// Its API, through its Service.
    pub async fn api(&self) -> Api {
        Api::at(&self.url().await).await
    }
}

/// A condition of a Shop.
#[must_use]
pub fn condition<'a>(shop: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    shop.data["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}
