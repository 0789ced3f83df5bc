//! A store in memory that honours the contract of the ports, and hosts' ways to it over the simulated network.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use storage_adapters::{
    Blob, BlobInfo, BlobStore, ByteStream, Depth, Error, ErrorKind, GetOptions, Key, Listing, Message, Metadata,
    PutMode, Queue, Receipt, Result, Store, Version,
};

use super::{
    network::{Network, Place},
    time::Time,
};

/// How often a receive that waits looks again.
const POLL: Duration = Duration::from_millis(50);

/// Blobs and messages in memory. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct MemoryStore {
    time: Time,
    network: Network,
    /// Where its queue is asked.
    queue: Place,
    stored: Arc<Mutex<Stored>>,
}

#[derive(Debug, Default)]
struct Stored {
    blobs: BTreeMap<String, Kept>,
    messages: Vec<Sent>,
    /// Numbers versions and receipts; none is used twice.
    count: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    body: Bytes,
    metadata: Metadata,
    info: BlobInfo,
}

#[derive(Debug)]
struct Sent {
    body: Bytes,
    visible_at: Duration,
    deliveries: u32,
    receipt: String,
}

impl Stored {
    fn next(&mut self) -> String {
        self.count += 1;
        self.count.to_string()
    }

    fn put(&mut self, key: &Key, body: Bytes, metadata: Metadata, mode: &PutMode) -> Result<Version> {
        let found = self.blobs.get(key.as_str()).map(|kept| &kept.info.version);
        let holds = match mode {
            PutMode::Overwrite => true,
            PutMode::IfAbsent => found.is_none(),
            PutMode::IfVersion(version) => found == Some(version),
        };
        if !holds {
            return Err(Error::new(ErrorKind::Conflict, "put", key.as_str()));
        }
        let version = Version(self.next());
        let info = BlobInfo {
            key: key.clone(),
            size: body.len() as u64,
            version: version.clone(),
            // Nothing of the order engine goes by it.
            modified: Timestamp::UNIX_EPOCH,
        };
        self.blobs.insert(key.as_str().to_owned(), Kept { body, metadata, info });
        Ok(version)
    }

    fn find(&self, operation: &'static str, key: &Key) -> Result<Kept> {
        let found = self.blobs.get(key.as_str()).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, operation, key.as_str()))
    }
}

impl MemoryStore {
    /// An empty store, whose queue is asked there.
    pub(super) fn new(time: Time, network: Network, queue: Place) -> Self {
        Self { time, network, queue, stored: Arc::default() }
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages that nobody acknowledged yet.
    pub(super) fn messages(&self) -> usize {
        self.stored().messages.len()
    }

    /// The store as a host reaches it, with the bounds and repetitions that a cloud's adapters get.
    pub(super) fn reached_from(&self, from: Place) -> Store {
        let remote = Remote { from, network: self.network.clone(), store: self.clone() };
        let (blobs, queue): (Arc<dyn BlobStore>, Arc<dyn Queue>) = (Arc::new(remote.clone()), Arc::new(remote));
        Store::across_a_network(blobs, queue, &Arc::default())
    }

    fn take(&self, max: usize, lease: Duration) -> Vec<Message> {
        let now = self.time.since_boot();
        let mut stored = self.stored();
        let mut visible: Vec<usize> =
            (0..stored.messages.len()).filter(|at| stored.messages[*at].visible_at <= now).collect();
        let mut taken = Vec::new();
        // In any order, as clouds deliver.
        while taken.len() < max && !visible.is_empty() {
            let at = visible.swap_remove(usize::try_from(self.network.draw(visible.len() as u64)).unwrap_or(0));
            let receipt = stored.next();
            let sent = &mut stored.messages[at];
            (sent.visible_at, sent.receipt) = (now + lease, receipt.clone());
            sent.deliveries += 1;
            taken.push(Message { body: sent.body.clone(), receipt: Receipt(receipt), deliveries: sent.deliveries });
        }
        taken
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        self.stored().put(key, body, metadata.clone(), &mode)
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        let body: BytesMut = body.try_collect().await?;
        self.put(key, body.freeze(), metadata, mode).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        let Kept { body, metadata, info } = self.stored().find("get", key)?;
        if options.if_version.is_some_and(|version| version != info.version) {
            return Err(Error::new(ErrorKind::Conflict, "get", key.as_str()));
        }
        let range = options.range.unwrap_or(0..info.size);
        let start = range.start.min(info.size);
        let range = start..range.end.clamp(start, info.size);
        let at = |offset| usize::try_from(offset).expect("in memory");
        let part = body.slice(at(range.start)..at(range.end));
        Ok(Blob { info, metadata, range, body: stream::once(async { Ok(part) }).boxed() })
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        let Kept { metadata, info, .. } = self.stored().find("head", key)?;
        Ok((info, metadata))
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        let mut stored = self.stored();
        let Kept { body, metadata, .. } = stored.find("copy", from)?;
        stored.put(to, body, metadata, &PutMode::IfAbsent)
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.stored().blobs.remove(key.as_str());
        Ok(())
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        let after = after.map_or("", Key::as_str);
        let stored = self.stored();
        let found = stored.blobs.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        stream::iter(found.map(|(_, kept)| Ok(kept.info.clone())).collect::<Vec<_>>()).boxed()
    }
}

#[async_trait]
impl Queue for MemoryStore {
    async fn send(&self, pack: Bytes) -> Result<()> {
        let mut stored = self.stored();
        let receipt = stored.next();
        stored.messages.push(Sent { body: pack, visible_at: Duration::ZERO, deliveries: 0, receipt });
        Ok(())
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        let until = self.time.since_boot() + wait;
        loop {
            let taken = self.take(max, lease);
            if !taken.is_empty() || self.time.since_boot() >= until {
                return Ok(taken);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        let now = self.time.since_boot();
        let mut stored = self.stored();
        let next = stored.next();
        let sent = stored.messages.iter_mut().find(|sent| sent.receipt == receipt.0);
        let sent = sent.ok_or_else(|| Error::new(ErrorKind::LeaseLost, "extend", "message"))?;
        (sent.visible_at, sent.receipt) = (now + lease, next.clone());
        Ok(Receipt(next))
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        self.stored().messages.retain(|sent| sent.receipt != receipt.0);
        Ok(())
    }

    async fn depth(&self) -> Result<Depth> {
        let now = self.time.since_boot();
        let stored = self.stored();
        let waiting = stored.messages.iter().filter(|sent| sent.visible_at <= now).count() as u64;
        Ok(Depth { waiting, leased: stored.messages.len() as u64 - waiting })
    }
}

/// A store beyond the network.
#[derive(Clone, Debug)]
struct Remote {
    from: Place,
    network: Network,
    store: MemoryStore,
}

impl Remote {
    /// Has the store do something. When it cannot be asked, nothing was done.
    async fn ask<T: Send + 'static>(
        &self,
        to: Place,
        operation: &'static str,
        subject: &str,
        work: impl Fn(MemoryStore) -> BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let what = format!("{operation} {subject}");
        let asked = self.network.ask((self.from, to), &what, false, || work(self.store.clone()));
        asked.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, operation, subject)))
    }

    async fn ask_queue<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Fn(MemoryStore) -> BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        self.ask(self.store.queue, operation, "", work).await
    }
}

#[async_trait]
impl BlobStore for Remote {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        let work = |store: MemoryStore| {
            let (key, body, metadata, mode) = (key.clone(), body.clone(), metadata.clone(), mode.clone());
            async move { store.put(&key, body, &metadata, mode).await }.boxed()
        };
        self.ask(Place::Blobs, "put", key.as_str(), work).await
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        let body: BytesMut = body.try_collect().await?;
        self.put(key, body.freeze(), metadata, mode).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        let work = |store: MemoryStore| {
            let (key, options) = (key.clone(), options.clone());
            async move { store.get(&key, options).await }.boxed()
        };
        self.ask(Place::Blobs, "get", key.as_str(), work).await
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        let work = |store: MemoryStore| {
            let key = key.clone();
            async move { store.head(&key).await }.boxed()
        };
        self.ask(Place::Blobs, "head", key.as_str(), work).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        let work = |store: MemoryStore| {
            let (from, to) = (from.clone(), to.clone());
            async move { store.copy(&from, &to).await }.boxed()
        };
        self.ask(Place::Blobs, "copy", to.as_str(), work).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let work = |store: MemoryStore| {
            let key = key.clone();
            async move { store.delete(&key).await }.boxed()
        };
        self.ask(Place::Blobs, "delete", key.as_str(), work).await
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        let (remote, prefix, after) = (self.clone(), prefix.to_owned(), after.cloned());
        let listed = async move {
            let work = |store: MemoryStore| {
                let (prefix, after) = (prefix.clone(), after.clone());
                async move { store.list(&prefix, after.as_ref()).try_collect::<Vec<_>>().await }.boxed()
            };
            let found = remote.ask(Place::Blobs, "list", &prefix, work).await?;
            Ok(stream::iter(found).map(Ok))
        };
        stream::once(listed).try_flatten().boxed()
    }
}

#[async_trait]
impl Queue for Remote {
    async fn send(&self, pack: Bytes) -> Result<()> {
        let work = |store: MemoryStore| {
            let pack = pack.clone();
            async move { store.send(pack).await }.boxed()
        };
        self.ask_queue("send", work).await
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        let work = |store: MemoryStore| async move { store.receive(max, lease, wait).await }.boxed();
        self.ask_queue("receive", work).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        let work = |store: MemoryStore| {
            let receipt = receipt.clone();
            async move { store.extend(&receipt, lease).await }.boxed()
        };
        self.ask_queue("extend", work).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        let work = |store: MemoryStore| {
            let receipt = receipt.clone();
            async move { store.ack(&receipt).await }.boxed()
        };
        self.ask_queue("ack", work).await
    }

    async fn depth(&self) -> Result<Depth> {
        self.ask_queue("depth", |store| async move { store.depth().await }.boxed()).await
    }
}
