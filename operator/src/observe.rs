//! Looks at what became of a shop in the cluster. Does I/O: the Kubernetes API and the shop's pods.

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolumeClaim, Pod, Service},
};
use kube::{Api, Client, api::ListParams};

use crate::{
    labels::pods_query,
    observation::{Observation, claim_bound, deployment_state, pod_state, service_state},
    pods::PodClient,
    token::Token,
    validate::ValidatedShop,
};

/// How many pods of one shop are looked at.
const MAX_PODS: u32 = 500;

/// A shop could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("the shop's {what} could not be read")]
pub struct ObserveError {
    what: &'static str,
    #[source]
    source: Box<kube::Error>,
}

/// Looks at a shop's Deployments, pods, claim and Service, and asks its pods how they fare.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn observe(
    client: &Client,
    pods_client: &PodClient,
    shop: &ValidatedShop,
    token: Option<&Token>,
) -> Result<Observation, ObserveError> {
    let since = Timestamp::now();
    let failed = |what| move |source| ObserveError { what, source: Box::new(source) };
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &shop.namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &shop.namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &shop.namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), &shop.namespace);
    let list = ListParams::default().labels(&pods_query(shop.names.shop())).limit(MAX_PODS);
    let (web_name, worker_name, claim_name) = (shop.names.web(), shop.names.worker(), shop.names.data());
    let (web, worker, pods, claim, service) = tokio::try_join!(
        async { deployments.get_opt(&web_name).await.map_err(failed("web Deployment")) },
        async { deployments.get_opt(&worker_name).await.map_err(failed("worker Deployment")) },
        async { pods.list(&list).await.map_err(failed("pods")) },
        async { claims.get_opt(&claim_name).await.map_err(failed("claim")) },
        async { services.get_opt(shop.names.shop()).await.map_err(failed("Service")) },
    )?;
    let mut pods: Vec<_> = pods.items.iter().filter_map(pod_state).collect();
    if let Some(token) = token {
        pods_client.ask(&mut pods, token).await;
    }
    Ok(Observation {
        web: web.as_ref().map(deployment_state),
        worker: worker.as_ref().map(deployment_state),
        pods,
        since,
        claim_bound: shop.storage.volume().is_none() || claim.as_ref().is_some_and(claim_bound),
        service: service.as_ref().map(service_state).unwrap_or_default(),
    })
}
