//! Counts the requests and the bytes of a store, by operation, for its cost. No I/O of its own.
//!
//! A request counts when it is made, since a failed one is billed too. An adapter whose operations are not its requests,
//! as those of the clouds, counts requests itself where they leave, through the [`Meter`] it shares.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use super::Operation;
use crate::{
    blob::{Blob, BlobInfo, BlobStore, ByteStream, GetOptions, Key, Listing, Metadata, PutMode, Version},
    error::Result,
    queue::{Depth, Message, Queue, Receipt},
};

/// What one kind of operation has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests made.
    pub requests: u64,
    /// Bytes of bodies and packs that were sent or received.
    pub bytes: u64,
}

/// Counters that may be shared by many stores and readers.
#[derive(Debug, Default)]
pub struct Meter {
    requests: [AtomicU64; Operation::ALL.len()],
    bytes: [AtomicU64; Operation::ALL.len()],
}

impl Meter {
    /// Counts requests.
    pub fn count_requests(&self, operation: Operation, requests: u64) {
        self.requests[operation as usize].fetch_add(requests, Ordering::Relaxed);
    }

    /// Counts bytes that were sent or received.
    pub fn count_bytes(&self, operation: Operation, bytes: u64) {
        self.bytes[operation as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<Operation, Usage> {
        let usage = |operation: Operation| Usage {
            requests: self.requests[operation as usize].load(Ordering::Relaxed),
            bytes: self.bytes[operation as usize].load(Ordering::Relaxed),
        };
        Operation::ALL.into_iter().map(|operation| (operation, usage(operation))).collect()
    }
}

/// A port whose requests are counted.
#[derive(Debug)]
pub struct Metered<Port: ?Sized> {
    inner: Arc<Port>,
    meter: Arc<Meter>,
    counts_requests: bool,
}

impl<Port: ?Sized> Metered<Port> {
    /// Counts each operation of `inner` as a request, and its bytes.
    #[must_use]
    pub fn new(inner: Arc<Port>, meter: Arc<Meter>) -> Self {
        Self { inner, meter, counts_requests: true }
    }

    /// Counts the bytes alone, for an adapter that counts its requests with the same `meter`.
    #[must_use]
    pub fn bytes_of(inner: Arc<Port>, meter: Arc<Meter>) -> Self {
        Self { inner, meter, counts_requests: false }
    }

    fn count(&self, operation: Operation, bytes: usize) {
        if self.counts_requests {
            self.meter.count_requests(operation, 1);
        }
        self.meter.count_bytes(operation, bytes as u64);
    }

    /// Counts the bytes of a body as they pass.
    fn counted(&self, operation: Operation, body: ByteStream) -> ByteStream {
        let meter = self.meter.clone();
        body.inspect(move |piece| {
            if let Ok(piece) = piece {
                meter.count_bytes(operation, piece.len() as u64);
            }
        })
        .boxed()
    }
}

#[async_trait]
impl BlobStore for Metered<dyn BlobStore> {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        self.count(Operation::Put, body.len());
        self.inner.put(key, body, metadata, mode).await
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        self.count(Operation::PutStream, 0);
        self.inner.put_stream(key, self.counted(Operation::PutStream, body), metadata, mode).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        self.count(Operation::Get, 0);
        let blob = self.inner.get(key, options).await?;
        Ok(Blob { body: self.counted(Operation::Get, blob.body), ..blob })
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        self.count(Operation::Head, 0);
        self.inner.head(key).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        self.count(Operation::Copy, 0);
        self.inner.copy(from, to).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.count(Operation::Delete, 0);
        self.inner.delete(key).await
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        self.count(Operation::List, 0);
        self.inner.list(prefix, after)
    }
}

#[async_trait]
impl Queue for Metered<dyn Queue> {
    async fn send(&self, pack: Bytes) -> Result<()> {
        self.count(Operation::Send, pack.len());
        self.inner.send(pack).await
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        self.count(Operation::Receive, 0);
        let messages = self.inner.receive(max, lease, wait).await?;
        let bytes = messages.iter().map(|message| message.body.len() as u64).sum();
        self.meter.count_bytes(Operation::Receive, bytes);
        Ok(messages)
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        self.count(Operation::Extend, 0);
        self.inner.extend(receipt, lease).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        self.count(Operation::Ack, 0);
        self.inner.ack(receipt).await
    }

    async fn depth(&self) -> Result<Depth> {
        self.count(Operation::Depth, 0);
        self.inner.depth().await
    }
}
