//! What is compared: the same six operations, by an adapter and by a bare loop of its SDK. No I/O.

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

/// What a step of the measuring comes to; the first failure ends it.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Messages that are asked for at once: as many as a worker of the shop takes.
pub(crate) const MESSAGES: usize = 10;

/// How long a received message is hidden; longer than a round takes.
pub(crate) const LEASE: Duration = Duration::from_mins(2);

/// A message that was received, with all that acknowledging it takes.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The message; empty where the right says that too.
    pub(crate) message: String,
    /// The right to remove it.
    pub(crate) right: String,
    /// Bytes of its body.
    pub(crate) length: usize,
}

/// One of the two that are compared.
#[async_trait]
pub(crate) trait Side: Send + Sync {
    /// Creates a blob that must not be there.
    async fn put(&self, key: &str, body: Bytes) -> Outcome<()>;

    /// Reads a whole blob, and returns its length.
    async fn get(&self, key: &str) -> Outcome<usize>;

    /// Lists all blobs whose key starts so, and returns their number.
    async fn list(&self, prefix: &str) -> Outcome<usize>;

    /// Sends a message.
    async fn send(&self, pack: Bytes) -> Outcome<()>;

    /// Receives up to [`MESSAGES`] messages, without waiting.
    async fn receive(&self) -> Outcome<Vec<Delivery>>;

    /// Acknowledges a message.
    async fn ack(&self, delivery: Delivery) -> Outcome<()>;
}
