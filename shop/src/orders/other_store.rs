//! The store of another provider whose settings stand in the shop: data moves to it or from it, and the queue of a cloud is a
//! second way out. It is opened as soon as that can be done and is out of reach until then; the shop never waits for it. Does I/O.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use storage_adapters::{
    BlobStore, Depth, Error, ErrorKind, Message, Queue, Receipt, Store,
    config::{Provider, StorageConfig},
    decorators::{Meter, Operation},
};
use tokio::sync::SetOnce;

use crate::errors::with_causes;

/// How soon a store that cannot be opened is tried again, at first and at last; each further time it is twice as long.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
const OPEN_AGAIN_AT_LAST: Duration = Duration::from_secs(30);

/// A store that may be open by now.
#[derive(Debug)]
pub struct OtherStore {
    config: StorageConfig,
    meter: Arc<Meter>,
    store: SetOnce<Store>,
    /// Why it is not open yet.
    trouble: Mutex<Option<String>>,
}

impl OtherStore {
    /// The store that `config` describes, not open yet, with the meter that counts its requests.
    #[must_use]
    pub fn new(config: StorageConfig, meter: Arc<Meter>) -> Self {
        Self { config, meter, store: SetOnce::new(), trouble: Mutex::default() }
    }

    /// What the shop does without while it cannot be opened, for people.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        if self.store.initialized() {
            return None;
        }
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let without =
            if self.is_way_out() { "its queue is no way out of a partition" } else { "its queue is not emptied" };
        trouble.as_ref().map(|trouble| format!("{} cannot be used and {without}: {trouble}", self.config))
    }

    /// Whether commands may be put into its queue when the home's is out of reach. What one machine holds is no help to others,
    /// and the queue of a disk that a shop leaves has to become empty for good.
    #[must_use]
    pub(super) fn is_way_out(&self) -> bool {
        match self.provider() {
            Provider::Aws | Provider::Azure => true,
            Provider::Embedded => false,
        }
    }

    /// Its blobs, when it is open by now, and whose they are.
    #[must_use]
    pub fn blobs(&self) -> Option<(Provider, Arc<dyn BlobStore>)> {
        Some((self.provider(), Arc::clone(&self.now_open()?.blobs)))
    }

    /// Whose it is.
    pub(super) fn provider(&self) -> Provider {
        self.config.provider
    }

    /// Opens it, however long that takes.
    pub(super) async fn open(&self) -> &Store {
        if let Some(store) = self.store.get() {
            return store;
        }
        let mut pause = OPEN_AGAIN;
        loop {
            match Store::open_metered(&self.config, Arc::clone(&self.meter)).await {
                Ok(store) => {
                    tracing::info!(store = %self.config, "another store is open beside the shop's");
                    // When somebody else has opened it meanwhile, theirs is used.
                    let _ = self.store.set(store);
                    return self.store.wait().await;
                }
                Err(error) => {
                    let error = with_causes(&error);
                    tracing::warn!(store = %self.config, error, "another store cannot be opened; trying again");
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(OPEN_AGAIN_AT_LAST);
        }
    }

    /// The store, when it is open by now.
    pub(super) fn now_open(&self) -> Option<&Store> {
        self.store.get()
    }

    fn queue(&self, operation: Operation) -> Result<&dyn Queue, Error> {
        match self.store.get() {
            Some(store) => Ok(&*store.queue),
            None => {
                Err(Error::new(ErrorKind::Unavailable, operation.name(), "queue").with_source("it is not open yet"))
            }
        }
    }
}

#[cfg(test)]
impl OtherStore {
    /// A store that is open from the start and passes for one of this provider.
    pub(super) fn open_from_the_start(provider: Provider, store: Store) -> Self {
        let config = storage_adapters::config::EmbeddedConfig { path: "/dev/null".into() };
        let config = StorageConfig { provider, ..config.into() };
        Self { config, meter: Arc::default(), store: SetOnce::new_with(Some(store)), trouble: Mutex::default() }
    }
}

#[async_trait]
impl Queue for OtherStore {
    async fn send(&self, pack: Bytes) -> Result<(), Error> {
        self.queue(Operation::Send)?.send(pack).await
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>, Error> {
        self.queue(Operation::Receive)?.receive(max, lease, wait).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt, Error> {
        self.queue(Operation::Extend)?.extend(receipt, lease).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), Error> {
        self.queue(Operation::Ack)?.ack(receipt).await
    }

    async fn depth(&self) -> Result<Depth, Error> {
        self.queue(Operation::Depth)?.depth().await
    }
}

#[cfg(test)]
mod tests {
    use storage_adapters::config::EmbeddedConfig;

    use super::*;

    #[tokio::test]
    async fn what_cannot_be_opened_is_named_until_it_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        std::fs::write(&path, "a file where a folder should be").expect("written");
        let other = Arc::new(OtherStore::new(EmbeddedConfig { path: path.clone() }.into(), Arc::default()));
        assert!(!other.is_way_out(), "a disk");
        assert_eq!(other.lacks(), None, "it was not tried yet");
        let opening = Arc::clone(&other);
        let opening = tokio::spawn(async move { opening.open().await.queue.depth().await });
        while other.lacks().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let lacks = other.lacks().unwrap_or_default();
        assert!(lacks.contains("cannot be used and its queue is not emptied") && lacks.contains("store"), "{lacks}");
        std::fs::remove_file(&path).expect("removed");
        opening.await.expect("no panic").expect("it is open");
        assert_eq!(other.lacks(), None);
    }
}
