//! What a worker has in memory of a shard's rows. It goes with the shard from one opening of its database to the next when nobody
//! else can have written in between, so that the commands that waited meanwhile need not read from a store that is cold. No I/O.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use slatedb::db_cache::{
    DbCache, SplitCache,
    moka::{MokaCache, MokaCacheOptions},
};

use super::{lease::Lease, recent::RecentOfShard};

/// Bytes of stored rows that a shard keeps in memory.
const BLOCKS: u64 = 16 * 1024 * 1024;

/// Bytes of indices and filters that a shard keeps in memory.
const META: u64 = 8 * 1024 * 1024;

/// What is in memory of a shard's rows, of which none is newer in the store.
#[derive(Clone)]
pub(super) struct Memory {
    /// Its orders, as they were last written.
    pub(super) orders: RecentOfShard,
    /// Parts of its tables. Tables are written once, and a copy of one has its name, so they are as right of the copy.
    pub(super) blocks: Arc<dyn DbCache>,
}

impl Memory {
    /// Of a shard of which nothing is known.
    pub(super) fn of_stranger(orders: RecentOfShard) -> Self {
        Self { orders, blocks: blocks() }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memory").finish_non_exhaustive()
    }
}

/// Keeps what a shard read last in memory; bounded, since the default would take more than a pod has for a few shards.
pub(super) fn blocks() -> Arc<dyn DbCache> {
    let of = |max_capacity| -> Arc<dyn DbCache> {
        let options = MokaCacheOptions { max_capacity, time_to_live: None, time_to_idle: None };
        Arc::new(MokaCache::new_with_opts(options))
    };
    let split = SplitCache::new().with_block_cache(Some(of(BLOCKS))).with_meta_cache(Some(of(META)));
    Arc::new(split.build())
}

/// What waits for shards that this worker has closed and is to open again; of each shard at most what was left last.
#[derive(Debug, Default)]
pub(super) struct Memories(Mutex<BTreeMap<u16, (Lease, Memory)>>);

impl Memories {
    /// Leaves what is known of a shard to whoever opens it in exactly this lease, the one after that in which it was closed in order.
    pub(super) fn leave(&self, shard: u16, lease: Lease, memory: Memory) {
        self.lock().insert(shard, (lease, memory));
    }

    /// Takes what was left for this lease. What was left for another counts no more.
    pub(super) fn take(&self, shard: u16, lease: &Lease) -> Option<Memory> {
        let (left_for, memory) = self.lock().remove(&shard)?;
        (left_for == *lease).then_some(memory)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u16, (Lease, Memory)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
