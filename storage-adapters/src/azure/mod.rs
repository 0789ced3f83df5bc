//! The Azure adapter: a container of Blob Storage and a queue of Queue Storage, through the SDK of Microsoft. Does I/O.
//!
//! It creates and changes nothing in the account but blobs and messages, and looks for credentials nowhere but where the
//! settings say.

mod account_sas;
mod blobs;
mod copying;
mod errors;
mod identity;
mod listing;
mod metering;
mod opening;
mod polling;
mod queue;
mod reading;
mod secret;
mod signing;
mod upload;
mod wire;

#[cfg(feature = "conformance")]
pub mod fixture;

use std::sync::Arc;

pub use self::{
    opening::OpenAzureError,
    secret::{Environment, SecretError},
};
use crate::{blob::BlobStore, config::AzureConfig, decorators::Meter, queue::Queue};

/// The blobs and the queue of one account.
#[derive(Clone, Debug)]
pub struct Azure {
    /// The blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
}

impl Azure {
    /// Opens the container and the queue, which must be there; `meter` counts each request.
    ///
    /// # Errors
    /// When they cannot be used, with what mends it.
    pub async fn open(config: &AzureConfig, meter: &Arc<Meter>) -> Result<Self, OpenAzureError> {
        Self::open_metered_in(config, &Environment::of_process(), meter).await
    }

    /// As [`open`](Self::open), with variables in place of those of the process.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_in(config: &AzureConfig, variables: &Environment) -> Result<Self, OpenAzureError> {
        Self::open_metered_in(config, variables, &Arc::default()).await
    }

    async fn open_metered_in(
        config: &AzureConfig,
        variables: &Environment,
        meter: &Arc<Meter>,
    ) -> Result<Self, OpenAzureError> {
        let clients = opening::Clients::new(config, variables, meter).await?;
        clients.check(config).await?;
        let opening::Clients { container, queue, .. } = clients;
        Ok(Self {
            blobs: Arc::new(blobs::ContainerBlobs::new(container)),
            queue: Arc::new(queue::StorageQueue::new(queue)),
        })
    }
}
