//! What the watches last saw of every managed object: just enough to notice a change by somebody else. No I/O.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::Event;

use crate::build::ChildKind;

/// Which object it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which of all objects of that name it is.
    pub uid: String,
    /// UID of the Shop that controls it.
    pub owner: Option<String>,
    /// Changes when anybody changes anything but its status.
    pub fingerprint: u64,
}

/// What is known of all managed objects.
#[derive(Debug, Default)]
pub struct Index {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// What a listing that is still under way has shown.
    listing: HashMap<ChildKind, HashMap<Key, Entry>>,
}

impl Index {
    /// Takes in what a watch of objects of `kind` saw. Says whether it shows a change of anything but a status.
    pub fn observe<K: kube::Resource>(&self, kind: ChildKind, event: &Event<K>) -> bool {
        let mut state = self.lock();
        match event {
            Event::Init => {
                state.listing.insert(kind, HashMap::new());
                false
            }
            Event::InitApply(object) => {
                if let Some((key, entry)) = entry(kind, object.meta()) {
                    state.listing.entry(kind).or_default().insert(key, entry);
                }
                true
            }
            Event::InitDone => {
                let listed = state.listing.remove(&kind).unwrap_or_default();
                state.entries.retain(|key, _| key.kind != kind);
                state.entries.extend(listed);
                false
            }
            Event::Apply(object) => {
                let Some((key, entry)) = entry(kind, object.meta()) else { return false };
                state.entries.insert(key, entry.clone()) != Some(entry)
            }
            Event::Delete(object) => {
                if let Some((key, _)) = entry(kind, object.meta()) {
                    state.entries.remove(&key);
                }
                true
            }
        }
    }

    /// What is known of an object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Entry> {
        self.lock().entries.get(key).cloned()
    }

    /// The objects in a namespace that a Shop controls.
    #[must_use]
    pub fn owned_by(&self, namespace: &str, owner: &str) -> Vec<(Key, Entry)> {
        let mut found: Vec<_> = self
            .lock()
            .entries
            .iter()
            .filter(|(key, entry)| key.namespace == namespace && entry.owner.as_deref() == Some(owner))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        found
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(kind: ChildKind, metadata: &ObjectMeta) -> Option<(Key, Entry)> {
    let key = Key { kind, namespace: metadata.namespace.clone()?, name: metadata.name.clone()? };
    Some((key, Entry { uid: metadata.uid.clone()?, owner: owner(metadata), fingerprint: fingerprint(metadata) }))
}

/// UID of the controller of an object.
#[must_use]
pub fn owner(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
}

/// Whether an object is that of an earlier Shop of this name, which the cluster is about to delete.
#[must_use]
pub fn of_earlier_shop(metadata: &ObjectMeta, name: &str, uid: &str) -> bool {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.kind == "Shop" && owner.name == name && owner.uid != uid)
}

/// A number that changes when anybody changes anything of an object but its status or scale.
///
/// Every change but that of a status leaves a trace in the managed fields (who, when, which fields) or moves the
/// generation; the resource version alone would move with every status, too.
#[must_use]
pub fn fingerprint(metadata: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    metadata.uid.hash(&mut hasher);
    metadata.generation.hash(&mut hasher);
    metadata.deletion_timestamp.is_some().hash(&mut hasher);
    metadata.labels.hash(&mut hasher);
    metadata.annotations.hash(&mut hasher);
    for owner in metadata.owner_references.iter().flatten() {
        (&owner.uid, owner.controller).hash(&mut hasher);
    }
    for fields in metadata.managed_fields.iter().flatten() {
        if fields.subresource.as_deref().unwrap_or_default().is_empty() {
            (&fields.manager, &fields.operation).hash(&mut hasher);
            fields.time.as_ref().map(|time| time.0).hash(&mut hasher);
            fields.fields_v1.as_ref().map(|fields| fields.0.to_string()).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
