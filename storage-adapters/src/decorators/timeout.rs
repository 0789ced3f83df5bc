//! Bounds how long an operation may take. No I/O of its own.
//!
//! What was cut short may still happen. Where doing it again does no harm the error says `Unavailable`, so that it is
//! done again; elsewhere `Unknown`, so that the caller looks first.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};

use super::Operation;
use crate::{
    blob::{Blob, BlobInfo, BlobStore, ByteStream, GetOptions, Key, Listing, Metadata, PutMode, Version},
    error::{Error, ErrorKind, Result},
    queue::{Depth, Message, Queue, Receipt},
};

/// Longest times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Of every operation not named below, of each piece of a body and each blob of a listing. A receive may take its own wait longer.
    pub operation: Duration,
    /// Of a put or a copy, which may be large.
    pub transfer: Duration,
}

impl Default for TimeLimits {
    /// 5 s, and 5 minutes of a transfer.
    fn default() -> Self {
        Self { operation: Duration::from_secs(5), transfer: Duration::from_mins(5) }
    }
}

/// A port whose operations end in time.
#[derive(Debug)]
pub struct TimeLimited<Port: ?Sized> {
    inner: Arc<Port>,
    limits: TimeLimits,
}

fn too_slow(kind: ErrorKind, operation: Operation, subject: &str, limit: Duration) -> Error {
    Error::new(kind, operation.name(), subject).with_source(format!("it took longer than {limit:?}"))
}

impl<Port: ?Sized> TimeLimited<Port> {
    /// Bounds the operations of `inner`.
    #[must_use]
    pub fn new(inner: Arc<Port>, limits: TimeLimits) -> Self {
        Self { inner, limits }
    }

    async fn bound<T>(
        &self,
        operation: Operation,
        subject: &str,
        limit: Duration,
        when_late: ErrorKind,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let late = |_| Err(too_slow(when_late, operation, subject, limit));
        tokio::time::timeout(limit, work).await.unwrap_or_else(late)
    }

    async fn bound_read<T>(
        &self,
        operation: Operation,
        subject: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.bound(operation, subject, self.limits.operation, ErrorKind::Unavailable, work).await
    }

    /// Bounds the wait for each piece; after one that is late there is no other.
    fn bound_pieces<T: Send + 'static>(
        &self,
        operation: Operation,
        subject: &str,
        pieces: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let (limit, subject) = (self.limits.operation, subject.to_owned());
        let bounded = stream::unfold(Some(pieces), move |pieces| {
            let subject = subject.clone();
            async move {
                let mut pieces = pieces?;
                match tokio::time::timeout(limit, pieces.next()).await {
                    Ok(piece) => Some((piece?, Some(pieces))),
                    Err(_) => Some((Err(too_slow(ErrorKind::Unavailable, operation, &subject, limit)), None)),
                }
            }
        });
        bounded.boxed()
    }
}

/// A put without a condition may be repeated; of one with a condition the caller has to find out whether it happened.
fn when_put_is_late(mode: &PutMode) -> ErrorKind {
    match mode {
        PutMode::Overwrite => ErrorKind::Unavailable,
        PutMode::IfAbsent | PutMode::IfVersion(_) => ErrorKind::Unknown,
    }
}

#[async_trait]
impl BlobStore for TimeLimited<dyn BlobStore> {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        let late = when_put_is_late(&mode);
        let put = self.inner.put(key, body, metadata, mode);
        self.bound(Operation::Put, key.as_str(), self.limits.transfer, late, put).await
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        let late = when_put_is_late(&mode);
        let put = self.inner.put_stream(key, body, metadata, mode);
        self.bound(Operation::PutStream, key.as_str(), self.limits.transfer, late, put).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        let blob = self.bound_read(Operation::Get, key.as_str(), self.inner.get(key, options)).await?;
        Ok(Blob { body: self.bound_pieces(Operation::Get, key.as_str(), blob.body), ..blob })
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        self.bound_read(Operation::Head, key.as_str(), self.inner.head(key)).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        let copy = self.inner.copy(from, to);
        self.bound(Operation::Copy, to.as_str(), self.limits.transfer, ErrorKind::Unknown, copy).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        // What is deleted may be deleted again.
        let delete = self.inner.delete(key);
        self.bound(Operation::Delete, key.as_str(), self.limits.operation, ErrorKind::Unavailable, delete).await
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        self.bound_pieces(Operation::List, prefix, self.inner.list(prefix, after))
    }
}

#[async_trait]
impl Queue for TimeLimited<dyn Queue> {
    async fn send(&self, pack: Bytes) -> Result<()> {
        // Sent again, it may be delivered twice: the caller decides.
        let send = self.inner.send(pack);
        self.bound(Operation::Send, "queue", self.limits.operation, ErrorKind::Unknown, send).await
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        // What was leased unheard comes again when its lease ends.
        let limit = self.limits.operation.saturating_add(wait);
        let receive = self.inner.receive(max, lease, wait);
        self.bound(Operation::Receive, "queue", limit, ErrorKind::Unavailable, receive).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        // Perhaps another receipt is good now, which nobody has heard.
        let extend = self.inner.extend(receipt, lease);
        self.bound(Operation::Extend, "message", self.limits.operation, ErrorKind::Unknown, extend).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        // Acknowledging twice is a success.
        let ack = self.inner.ack(receipt);
        self.bound(Operation::Ack, "message", self.limits.operation, ErrorKind::Unavailable, ack).await
    }

    async fn depth(&self) -> Result<Depth> {
        self.bound_read(Operation::Depth, "queue", self.inner.depth()).await
    }
}
