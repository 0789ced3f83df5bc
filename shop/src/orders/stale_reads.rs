//! Orders as the store holds them, read past an owner that is out of reach. Does I/O.
//!
//! Opening a shard to read it takes some forty requests of a store that its next owner may be opening it from, and that may
//! be slow just then. So one shard is opened at a time, and most of the time none.

use std::{collections::BTreeMap, convert::Infallible, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use storage_adapters::BlobStore;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    domain::{OrderId, shard_of},
    errors::with_causes,
};

use super::{
    answer::{Durability, View},
    clock::MachineClock,
    object_store_bridge::{Gate, ObjectStoreBridge},
    opening,
    reader::ShardReader,
    registry::Registry,
};

/// How old a reader may be before the store is looked at anew.
const FRESH: Duration = Duration::from_secs(5);

/// How long the store is left alone after an opening, as a multiple of the time that it took: when somebody waits for a
/// shard of which nothing is known, and when there is an older reader.
const REST: u32 = 1;
const REST_WHEN_KNOWN: u32 = 9;

/// How long a reader that nobody asks is kept.
const KEEP: Duration = Duration::from_secs(30);

/// Longest that opening a reader may take.
const OPENING: Duration = Duration::from_secs(5);

/// Shards that are to be read; each is asked for again and again, so none is missed for long.
const MOST_WANTED: usize = 256;

/// A shard as it was at one moment.
struct Opened {
    reader: ShardReader,
    as_of: Timestamp,
    since: Instant,
}

type Readers = BTreeMap<u16, Arc<Opened>>;

/// Reads orders of shards that the [`Opener`] has opened.
pub(super) struct StaleReads {
    shards: u16,
    wanted: mpsc::Sender<u16>,
    readers: watch::Receiver<Readers>,
}

/// Opens shards for reading.
pub(super) struct Opener {
    blobs: Arc<dyn BlobStore>,
    registry: Registry,
    wanted: mpsc::Receiver<u16>,
    readers: watch::Sender<Readers>,
}

impl fmt::Debug for StaleReads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StaleReads").finish_non_exhaustive()
    }
}

/// Both ends of reading past the owners of a shop's shards.
pub(super) fn stale_reads(
    blobs: Arc<dyn BlobStore>,
    shards: u16,
) -> Result<(StaleReads, Opener), storage_adapters::Error> {
    let (sender, wanted) = mpsc::channel(MOST_WANTED);
    let (publisher, readers) = watch::channel(Readers::new());
    let registry = Registry::new(Arc::clone(&blobs))?;
    Ok((StaleReads { shards, wanted: sender, readers }, Opener { blobs, registry, wanted, readers: publisher }))
}

impl StaleReads {
    /// Has the order's shard opened, for somebody who may soon want to read it.
    pub(super) fn prepare(&self, order: OrderId) {
        // When too many are wanted, this one is wanted again.
        let _ = self.wanted.try_send(shard_of(order, self.shards));
    }

    /// Reads an order. None when its shard cannot be read before `deadline`, and when it holds no such order: that may be on
    /// its way there.
    pub(super) async fn read(&self, order: OrderId, deadline: Instant) -> Option<View> {
        self.prepare(order);
        let shard = shard_of(order, self.shards);
        let mut readers = self.readers.clone();
        let opened = timeout_at(deadline, readers.wait_for(|readers| readers.contains_key(&shard)));
        let opened = Arc::clone(opened.await.ok()?.ok()?.get(&shard)?);
        match timeout_at(deadline, opened.reader.order(order)).await.ok()? {
            Ok(order) => {
                let (as_of, durability) = (opened.as_of, Durability::Persisted);
                Some(View { order: order?, durability, stale: true, as_of, persisted_at: Some(as_of) })
            }
            Err(error) => {
                tracing::debug!(error = with_causes(&error), "an order was not read past its owner");
                None
            }
        }
    }
}

impl Opener {
    /// Works for as long as it is polled.
    pub(super) async fn run(mut self) -> Infallible {
        loop {
            let next = tokio::time::timeout(KEEP, self.wanted.recv()).await;
            self.drop_old();
            match next {
                Ok(Some(shard)) if !self.is_fresh(shard) => self.open(shard).await,
                Ok(Some(_)) | Err(_) => {}
                // Nobody is left who reads.
                Ok(None) => std::future::pending().await,
            }
        }
    }

    async fn open(&self, shard: u16) {
        let began = Instant::now();
        let known = self.readers.borrow().contains_key(&shard);
        if let Some(opened) = open(Arc::clone(&self.blobs), &self.registry, shard).await {
            self.readers.send_modify(|readers| {
                readers.insert(shard, Arc::new(opened));
            });
        }
        tokio::time::sleep(began.elapsed() * if known { REST_WHEN_KNOWN } else { REST }).await;
    }

    fn is_fresh(&self, shard: u16) -> bool {
        self.readers.borrow().get(&shard).is_some_and(|reader| reader.since.elapsed() < FRESH)
    }

    fn drop_old(&self) {
        self.readers.send_if_modified(|readers| {
            let before = readers.len();
            readers.retain(|_, reader| reader.since.elapsed() < KEEP);
            readers.len() != before
        });
    }
}

async fn open(blobs: Arc<dyn BlobStore>, registry: &Registry, shard: u16) -> Option<Opened> {
    let opening = async {
        let (since, as_of) = (Instant::now(), Timestamp::now());
        let (leases, _) = registry.leases().await.map_err(|error| with_causes(&error))?;
        let lease = leases.shards.get(&shard).filter(|lease| !lease.new).ok_or("the shard has no database yet")?;
        let store = ObjectStoreBridge::new(blobs, Arc::new(Gate::new(Arc::new(MachineClock), false)));
        let path = opening::path(shard, lease.generation);
        let reader = ShardReader::open(Arc::new(store), &path).await.map_err(|error| with_causes(&error))?;
        Ok(Opened { reader, as_of, since })
    };
    let failed = |error: String| tracing::debug!(shard, error, "a shard was not opened to be read past its owner");
    match timeout(OPENING, opening).await {
        Ok(opened) => opened.map_err(failed).ok(),
        Err(_late) => {
            failed("it took too long".to_owned());
            None
        }
    }
}
