//! A store that shards of the shop live in, as a worker keeps house there: leases, heartbeats, and how long it may answer.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use storage_adapters::{BlobStore, Error, config::Provider};
use tokio::sync::Notify;

use crate::readiness::Readiness;

use super::{
    clock::Clock,
    registry::{Registry, RegistryError},
    shard::Term,
    spent::Counted,
};

/// What a worker knows of a store and is told about it. Heartbeats, and with them the right to answer, are a store's own: one
/// that is out of reach takes no shard away that lives in another.
pub(super) struct Home {
    /// Whose store it is.
    pub(super) provider: Provider,
    /// Its blobs.
    pub(super) blobs: Arc<dyn BlobStore>,
    /// The same, as moving shards uses them.
    pub(super) moving: Counted,
    /// Its leases and heartbeats.
    pub(super) registry: Registry,
    /// How long commands are gathered before they are written together.
    pub(super) flush_interval: Duration,
    /// Tells the lease loop to look now.
    pub(super) look: Notify,
    /// Tells the lease loop that a lease was given to this worker.
    pub(super) gifts: Notify,
    /// What the process waits for in this store.
    pub(super) readiness: Readiness,
    clock: Arc<dyn Clock>,
    term: Mutex<Arc<Term>>,
    /// Whether the store had no room for the newest heartbeat or lease.
    full: AtomicBool,
    beats: AtomicU64,
}

impl fmt::Debug for Home {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Home").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Home {
    /// In this store, in a first term that begins with the first heartbeat.
    pub(super) fn new(
        provider: Provider,
        blobs: Arc<dyn BlobStore>,
        flush_interval: Duration,
        clock: Arc<dyn Clock>,
        readiness: &Readiness,
    ) -> Result<Self, Error> {
        Ok(Self {
            provider,
            registry: Registry::new(Arc::clone(&blobs))?,
            moving: Counted::new(provider, Arc::clone(&blobs)),
            blobs,
            flush_interval,
            look: Notify::new(),
            gifts: Notify::new(),
            readiness: readiness.of(provider),
            term: Mutex::new(Arc::new(Term::new(Arc::clone(&clock)))),
            clock,
            full: AtomicBool::new(false),
            beats: AtomicU64::new(0),
        })
    }

    /// The term that runs.
    pub(super) fn term(&self) -> Arc<Term> {
        Arc::clone(&self.term.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a new term; the one before never comes back.
    pub(super) fn begin_term(&self) {
        *self.term.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Term::new(Arc::clone(&self.clock)));
    }

    /// The number of the next heartbeat.
    pub(super) fn next_beat(&self) -> u64 {
        self.beats.fetch_add(1, Ordering::Relaxed)
    }

    /// Remembers whether the store had room for a record.
    pub(super) fn note_room<T>(&self, result: &Result<T, RegistryError>) {
        match result {
            Ok(_) => self.full.store(false, Ordering::Relaxed),
            Err(error) if error.is_full() => self.full.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }

    /// Whether it had no room for the newest heartbeat or lease.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}
