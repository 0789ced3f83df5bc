//! Deletes objects that a shop no longer consists of. Does I/O: the Kubernetes API.

use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions, PropagationPolicy},
};

use crate::{
    build::{Child, ChildKind},
    index::{Index, Key},
    metrics::{Counter, Metrics},
    validate::ValidatedShop,
};

/// An object that is no longer wanted could not be deleted.
#[derive(Debug, thiserror::Error)]
#[error("{} {name} is no longer wanted and could not be deleted", kind.as_str())]
pub struct PruneError {
    /// Kind of the object.
    kind: ChildKind,
    /// Its name.
    name: String,
    /// Why.
    #[source]
    source: Box<kube::Error>,
}

/// Deletes what the Shop owns and does not want, each object only as long as it is the one that was seen.
///
/// # Errors
/// The first failure.
pub async fn prune(
    client: &Client,
    index: &Index,
    metrics: &Metrics,
    shop: &ValidatedShop,
    wanted: &[Child],
) -> Result<(), PruneError> {
    for (key, entry) in index.owned_by(&shop.namespace, &shop.uid) {
        if wanted.iter().any(|child| child.kind() == key.kind && child.name() == key.name) {
            continue;
        }
        match delete(client, &key, entry.uid).await {
            Ok(()) => metrics.count(Counter::Pruned(key.kind.as_str())),
            // It is gone, or another one has its name now.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(source) => return Err(PruneError { kind: key.kind, name: key.name, source: Box::new(source) }),
        }
    }
    Ok(())
}

async fn delete(client: &Client, key: &Key, uid: String) -> Result<(), kube::Error> {
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    match key.kind {
        ChildKind::Ingress => {
            let api: Api<Ingress> = Api::namespaced(client.clone(), &key.namespace);
            api.delete(&key.name, &parameters).await.map(drop)
        }
        // No shop ever stops to want these, so the operator has no right to delete them.
        ChildKind::ServiceAccount
        | ChildKind::ConfigMap
        | ChildKind::PersistentVolumeClaim
        | ChildKind::NetworkPolicy
        | ChildKind::Service
        | ChildKind::Deployment
        | ChildKind::HorizontalPodAutoscaler
        | ChildKind::PodDisruptionBudget => Ok(()),
    }
}
