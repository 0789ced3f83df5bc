//! A store: the blobs and the queue of one provider, opened together, tried out before they are used.

use std::{sync::Arc, time::Duration};

use crate::{
    blob::BlobStore,
    config::{Provider, StorageConfig, StorageConfigError},
    decorators::{TimeLimited, TimeLimits},
    embedded::{Embedded, OpenEmbeddedError},
    probe::{ProbeError, probe_blobs, probe_queue},
    queue::Queue,
};

/// Longest time of an operation on the disk. One that takes longer is broken, not busy.
const DISK_TIME_LIMIT: Duration = Duration::from_secs(30);

/// An open store, whose operations all end in time.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// Its queue.
    pub queue: Arc<dyn Queue>,
}

/// A store that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The configuration describes no store.
    #[error(transparent)]
    Config(#[from] StorageConfigError),
    /// The provider's adapter was left out when this program was built.
    #[error("this program was built without the adapter of the provider {0}; use a build that has it")]
    NotBuilt(Provider),
    /// The Embedded adapter refused its folder.
    #[error(transparent)]
    Embedded(#[from] OpenEmbeddedError),
    /// The store does not honour the contract.
    #[error("the store of the provider {provider} cannot be used")]
    Probe {
        /// The provider.
        provider: Provider,
        /// What it does not honour.
        source: ProbeError,
    },
}

impl Store {
    /// Opens the store that `config` describes and tries it out.
    ///
    /// # Errors
    /// When it cannot be opened, or does not honour the contract.
    pub async fn open(config: &StorageConfig) -> Result<Self, OpenStoreError> {
        config.validate()?;
        let provider = config.provider;
        let (store, queue_to_probe) = match provider {
            Provider::Embedded => {
                let settings = config.embedded.as_ref().ok_or(StorageConfigError::NoSettings(provider))?;
                let Embedded { blobs, queue, probe_queue } = Embedded::open(settings)?;
                let limits = TimeLimits { operation: DISK_TIME_LIMIT, ..TimeLimits::default() };
                let blobs = Arc::new(TimeLimited::new(blobs, limits));
                (Self { blobs, queue: Arc::new(TimeLimited::new(queue, limits)) }, probe_queue)
            }
            Provider::Aws | Provider::Azure => return Err(OpenStoreError::NotBuilt(provider)),
        };
        let refuse = |source| OpenStoreError::Probe { provider, source };
        probe_blobs(&*store.blobs).await.map_err(refuse)?;
        probe_queue(&*queue_to_probe).await.map_err(refuse)?;
        Ok(store)
    }
}
