//! A store: the blobs and the queue of one provider, opened together, tried out before they are used.

use std::sync::Arc;
#[cfg(feature = "embedded")]
use std::time::Duration;

#[cfg(feature = "aws")]
use crate::aws::{Aws, OpenAwsError};
#[cfg(feature = "azure")]
use crate::azure::{Azure, OpenAzureError};
#[cfg(any(feature = "aws", feature = "azure"))]
use crate::decorators::{Budget, Retried, RetryPolicy};
#[cfg(feature = "embedded")]
use crate::embedded::{Embedded, OpenEmbeddedError};
use crate::{
    blob::BlobStore,
    config::{Provider, StorageConfig, StorageConfigError},
    decorators::{Meter, Metered, TimeLimited, TimeLimits},
    probe::{ProbeError, probe_blobs, probe_queue},
    queue::Queue,
};

/// Longest time of an operation on the disk. One that takes longer is broken, not busy.
#[cfg(feature = "embedded")]
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
    /// The AWS adapter refused its bucket or its queue.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Aws(#[from] OpenAwsError),
    /// The Azure adapter refused its container or its queue.
    #[cfg(feature = "azure")]
    #[error(transparent)]
    Azure(#[from] OpenAzureError),
    /// The Embedded adapter refused its folder.
    #[cfg(feature = "embedded")]
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
        Self::open_metered(config, Arc::default()).await
    }

    /// Opens the store that `config` describes, and counts with `meter` each request to it from then on.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_metered(config: &StorageConfig, meter: Arc<Meter>) -> Result<Self, OpenStoreError> {
        config.validate()?;
        let provider = config.provider;
        // What opens a cloud's adapter is large: on the heap, whoever opens a store stays small, also to the compiler.
        let store = match provider {
            #[cfg(feature = "aws")]
            Provider::Aws => {
                let settings = config.aws.as_ref().ok_or(StorageConfigError::NoSettings(provider))?;
                let Aws { blobs, queue } = Box::pin(Aws::open(settings, &meter)).await?;
                Self::across_a_network(blobs, queue, &meter)
            }
            #[cfg(feature = "azure")]
            Provider::Azure => {
                let settings = config.azure.as_ref().ok_or(StorageConfigError::NoSettings(provider))?;
                let Azure { blobs, queue } = Box::pin(Azure::open(settings, &meter)).await?;
                Self::across_a_network(blobs, queue, &meter)
            }
            #[cfg(feature = "embedded")]
            Provider::Embedded => {
                let settings = config.embedded.as_ref().ok_or(StorageConfigError::NoSettings(provider))?;
                let Embedded { blobs, queue } = Embedded::open(settings)?;
                let blobs: Arc<dyn BlobStore> = Arc::new(Metered::new(blobs, Arc::clone(&meter)));
                let queue: Arc<dyn Queue> = Arc::new(Metered::new(queue, meter));
                let limits = TimeLimits { operation: DISK_TIME_LIMIT, ..TimeLimits::default() };
                Self {
                    blobs: Arc::new(TimeLimited::new(blobs, limits)),
                    queue: Arc::new(TimeLimited::new(queue, limits)),
                }
            }
            #[cfg(not(feature = "aws"))]
            Provider::Aws => return Err(OpenStoreError::NotBuilt(provider)),
            #[cfg(not(feature = "azure"))]
            Provider::Azure => return Err(OpenStoreError::NotBuilt(provider)),
            #[cfg(not(feature = "embedded"))]
            Provider::Embedded => return Err(OpenStoreError::NotBuilt(provider)),
        };
        let refuse = |source| OpenStoreError::Probe { provider, source };
        probe_blobs(&*store.blobs).await.map_err(refuse)?;
        probe_queue(&*store.queue, &*store.blobs).await.map_err(refuse)?;
        Ok(store)
    }

    /// Bounds each attempt, and repeats what fails for a passing reason, out of one budget for both ports. The adapter counts
    /// its requests with the same meter.
    #[cfg(any(feature = "aws", feature = "azure"))]
    pub fn across_a_network(blobs: Arc<dyn BlobStore>, queue: Arc<dyn Queue>, meter: &Arc<Meter>) -> Self {
        let (limits, policy, budget) = (TimeLimits::default(), RetryPolicy::default(), Arc::new(Budget::default()));
        let blobs: Arc<dyn BlobStore> = Arc::new(Metered::bytes_of(blobs, Arc::clone(meter)));
        let queue: Arc<dyn Queue> = Arc::new(Metered::bytes_of(queue, Arc::clone(meter)));
        let blobs: Arc<dyn BlobStore> = Arc::new(TimeLimited::new(blobs, limits));
        let queue: Arc<dyn Queue> = Arc::new(TimeLimited::new(queue, limits));
        Self {
            blobs: Arc::new(Retried::new(blobs, policy, budget.clone())),
            queue: Arc::new(Retried::new(queue, policy, budget)),
        }
    }
}
