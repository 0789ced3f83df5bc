//! Everything that a Shop consists of in the cluster, built from its validated form. No I/O.

mod accounts;
mod autoscaling;
mod child;
mod config;
mod network;
mod pods;
mod volume;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use self::{
    child::{Child, ChildKind},
    config::{RenderError, RenderedConfig, render_config},
};
use crate::{
    labels::{Component, labels},
    validate::ValidatedShop,
};

/// What the operator was told about the shops it builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSettings {
    /// The shop's image.
    pub image: String,
    /// Whether nodes pull the image: `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: String,
    /// Secrets, in each Shop's namespace, that the image is pulled with.
    pub image_pull_secrets: Vec<String>,
    /// Namespace of the operator's own pods, which ask the shops' pods how they fare.
    pub operator_namespace: String,
    /// For how long the load must have been low before pods are taken away, in seconds.
    pub scale_down_seconds: u32,
}

/// Builds every object of a shop, in the order they are applied: what others need comes first.
#[must_use]
pub fn build(shop: &ValidatedShop, config: &RenderedConfig, settings: &BuildSettings) -> Vec<Child> {
    let mut children = Vec::new();
    children.extend(accounts::service_accounts(shop).map(Child::ServiceAccount));
    children.push(Child::ConfigMap(config::config_map(shop, config)));
    children.extend(volume::claim(shop).map(Child::PersistentVolumeClaim));
    children.extend(network::policies(shop, settings).map(Child::NetworkPolicy));
    children.push(Child::Service(network::service(shop)));
    for component in [Component::Worker, Component::Web] {
        children.push(Child::Deployment(pods::deployment(shop, component, config, settings)));
        children.push(Child::HorizontalPodAutoscaler(autoscaling::autoscaler(shop, component, settings)));
        children.push(Child::PodDisruptionBudget(autoscaling::disruption_budget(shop, component)));
    }
    children.extend(network::ingress(shop).map(Child::Ingress));
    children
}

/// Metadata of an object that goes when its Shop goes.
fn owned(shop: &ValidatedShop, name: String, component: Option<Component>) -> ObjectMeta {
    ObjectMeta { owner_references: Some(vec![shop.owner.clone()]), ..kept(shop, name, component) }
}

/// Metadata of an object that stays when its Shop goes.
fn kept(shop: &ValidatedShop, name: String, component: Option<Component>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(shop.namespace.clone()),
        labels: Some(labels(shop.names.shop(), component)),
        ..ObjectMeta::default()
    }
}

/// Name of what each component has one of: Deployment, autoscaler and so on.
fn component_name(shop: &ValidatedShop, component: Component) -> String {
    match component {
        Component::Web => shop.names.web(),
        Component::Worker => shop.names.worker(),
    }
}

#[cfg(test)]
#[path = "../build_tests.rs"]
mod tests;
