//! The AWS adapter: blobs in a bucket of S3, messages in a standard queue of SQS. Does I/O over the network.
//!
//! It creates and changes nothing of the cloud's own: bucket and queue are there, set up as the contract needs them, or
//! the store is refused with the command that mends it. Each request is made once; repeating is a decorator's work.

mod batches;
mod blobs;
mod client;
mod copying;
mod credentials;
mod errors;
mod listing;
mod metering;
mod opening;
mod pod_identity;
mod queue;
mod reading;
mod receipts;
mod secret;
mod uploading;
mod web_identity;

use std::sync::Arc;

pub use self::{
    client::TrustError,
    credentials::{CredentialsError, CredentialsKind},
    opening::OpenAwsError,
    secret::Variables,
};
use crate::{blob::BlobStore, config::AwsConfig, decorators::Meter, queue::Queue};

/// The blobs and the queue of one bucket and one queue.
#[derive(Clone, Debug)]
pub struct Aws {
    /// The blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
}

impl Aws {
    /// Opens bucket and queue with the variables of this process; `meter` counts each request.
    ///
    /// # Errors
    /// When one of them is missing, is not as the contract needs it, or cannot be reached.
    pub async fn open(config: &AwsConfig, meter: &Arc<Meter>) -> Result<Self, OpenAwsError> {
        opening::open(config, &Variables::of_process(), meter).await
    }

    /// Opens bucket and queue with variables given instead of those of the process.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(config: &AwsConfig, variables: &Variables) -> Result<Self, OpenAwsError> {
        opening::open(config, variables, &Arc::default()).await
    }
}
