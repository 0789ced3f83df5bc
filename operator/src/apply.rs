//! Brings the objects of a shop to what they should be, by server-side apply. Does I/O: the Kubernetes API.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::{
    NamespaceResourceScope, api::core::v1::PersistentVolumeClaim, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    build::{Child, ChildKind},
    constants::FIELD_MANAGER,
    index::{Index, Key, fingerprint, of_earlier_shop, owner},
    metrics::{Counter, Metrics},
    validate::ValidatedShop,
};

/// After how long an object is applied again although nobody was seen to change it: a lost event then heals by itself.
const TRUST: Duration = Duration::from_mins(30);

/// Why an object was not brought to what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server could not be asked, or refused.
    #[error("{} {name} could not be applied", kind.as_str())]
    Apply {
        /// Kind of the object.
        kind: ChildKind,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// It could not be written as JSON.
    #[error("{} {name} could not be written as JSON", kind.as_str())]
    Serialize {
        /// Kind of the object.
        kind: ChildKind,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An object of an earlier Shop of this name is still being deleted.
    #[error("{} {name} of an earlier Shop of this name is still being deleted", kind.as_str())]
    LeftBehind {
        /// Kind of the object.
        kind: ChildKind,
        /// Its name.
        name: String,
    },
    /// An object of that name is there and is not this Shop's.
    #[error(
        "{} {name} exists and is not this Shop's; delete or rename it, or give the Shop another name",
        kind.as_str()
    )]
    NotOurs {
        /// Kind of the object.
        kind: ChildKind,
        /// Its name.
        name: String,
    },
}

impl ApplyError {
    /// Whether the API server understood what was asked for and will not have it.
    fn is_refused_change(&self) -> bool {
        let Self::Apply { source, .. } = self else { return false };
        matches!(&**source, kube::Error::Api(status) if matches!(status.code, 403 | 422))
    }
}

/// Applies objects, and remembers what it applied so as not to send what is as it should be.
pub struct Applier {
    client: Client,
    index: Arc<Index>,
    metrics: Arc<Metrics>,
    applied: Mutex<HashMap<Key, Applied>>,
}

/// What was last applied of an object and what it was like then.
#[derive(Clone, Copy)]
struct Applied {
    digest: [u8; 32],
    fingerprint: u64,
    at: Instant,
}

impl Applier {
    /// An applier that asks `index` what became of what it applied.
    #[must_use]
    pub fn new(client: Client, index: Arc<Index>, metrics: Arc<Metrics>) -> Self {
        Self { client, index, metrics, applied: Mutex::default() }
    }

    /// Applies the objects of a shop, in order, up to the first that fails: a later one may need an earlier one. Gives why the volume
    /// may not be as asked for, when all but that is applied: it holds the data as before, so nothing else has to wait for it.
    ///
    /// # Errors
    /// The first failure.
    pub async fn apply(&self, shop: &ValidatedShop, children: &[Child]) -> Result<Option<ApplyError>, ApplyError> {
        let mut refused = None;
        for child in children {
            let applied = match child {
                Child::ServiceAccount(object) => self.apply_one(shop, child.kind(), object).await,
                Child::ConfigMap(object) => self.apply_one(shop, child.kind(), object).await,
                Child::PersistentVolumeClaim(object) => self.apply_one(shop, child.kind(), object).await,
                Child::NetworkPolicy(object) => self.apply_one(shop, child.kind(), object).await,
                Child::Service(object) => self.apply_one(shop, child.kind(), object).await,
                Child::Deployment(object) => self.apply_one(shop, child.kind(), object).await,
                Child::HorizontalPodAutoscaler(object) => self.apply_one(shop, child.kind(), object).await,
                Child::PodDisruptionBudget(object) => self.apply_one(shop, child.kind(), object).await,
                Child::Ingress(object) => self.apply_one(shop, child.kind(), object).await,
            };
            match (applied, child) {
                (Err(error), Child::PersistentVolumeClaim(claim))
                    if error.is_refused_change() && self.knows(shop, claim) =>
                {
                    refused = Some(error);
                }
                (applied, _) => applied?,
            }
        }
        Ok(refused)
    }

    /// Whether the claim is there.
    fn knows(&self, shop: &ValidatedShop, claim: &PersistentVolumeClaim) -> bool {
        let kind = ChildKind::PersistentVolumeClaim;
        self.index.get(&Key { kind, namespace: shop.namespace.clone(), name: claim.name_any() }).is_some()
    }

    /// Forgets what was applied in a namespace for a Shop that is gone.
    pub fn forget(&self, namespace: &str, shop: &str) {
        let prefix = format!("{shop}-");
        self.lock().retain(|key, _| key.namespace != namespace || (key.name != shop && !key.name.starts_with(&prefix)));
    }

    async fn apply_one<K>(&self, shop: &ValidatedShop, kind: ChildKind, object: &K) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let name = object.name_any();
        let key = Key { kind, namespace: shop.namespace.clone(), name: name.clone() };
        let body =
            serde_json::to_vec(object).map_err(|source| ApplyError::Serialize { kind, name: name.clone(), source })?;
        let digest: [u8; 32] = Sha256::digest(&body).into();
        if self.is_as_applied(&key, &digest) {
            self.metrics.count(Counter::Unchanged(kind.as_str()));
            return Ok(());
        }
        let failed = |source| ApplyError::Apply { kind, name: name.clone(), source: Box::new(source) };
        let api: Api<K> = Api::namespaced(self.client.clone(), &shop.namespace);
        if self.index.get(&key).is_none_or(|entry| entry.owner.as_deref() != Some(shop.uid.as_str())) {
            // Apply would quietly take over what somebody else made; what has no owner by design may be found again.
            let found = api.get_metadata_opt(&name).await.map_err(failed)?;
            match found {
                Some(found) if of_earlier_shop(&found.metadata, shop.names.shop(), &shop.uid) => {
                    return Err(ApplyError::LeftBehind { kind, name });
                }
                Some(found) if !may_take(shop, object.meta(), &found.metadata) => {
                    return Err(ApplyError::NotOurs { kind, name });
                }
                Some(_) | None => {}
            }
        }
        let applied = api
            .patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object))
            .await
            .map_err(failed)?;
        self.metrics.count(Counter::Applied(kind.as_str()));
        let applied = Applied { digest, fingerprint: fingerprint(applied.meta()), at: Instant::now() };
        self.lock().insert(key, applied);
        Ok(())
    }

    /// Whether the watches still show the object as it was when exactly this was applied.
    fn is_as_applied(&self, key: &Key, digest: &[u8; 32]) -> bool {
        let Some(applied) = self.lock().get(key).copied() else { return false };
        applied.digest == *digest
            && applied.at.elapsed() < TRUST
            && self.index.get(key).is_some_and(|entry| entry.fingerprint == applied.fingerprint)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Applied>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an object that is there may become the shop's.
fn may_take(shop: &ValidatedShop, wanted: &ObjectMeta, found: &ObjectMeta) -> bool {
    match owner(found) {
        Some(owner) => owner == shop.uid,
        None => wanted.owner_references.is_none(),
    }
}
