//! Opens a shard's database in the epoch of a lease, and keeps it small. Does I/O.
//!
//! SlateDB lets the last opener win, and creates what it does not find. So: open only what was seen, by its writer epoch
//! (by the last owner when it closed it, else now, while the lease is still ours), and create only where the lease says that
//! there is nothing yet.

use std::{sync::Arc, time::Duration};

use object_store::ObjectStore;
use slatedb::{
    CloseReason, Db, ErrorKind,
    admin::{Admin, AdminBuilder},
    config::{
        CompactionWorkerOptions, CompactorOptions, FlushOptions, FlushType, GarbageCollectorDirectoryOptions,
        GarbageCollectorOptions, Settings,
    },
};
use storage_adapters::BlobStore;
use tokio_util::sync::CancellationToken;

use super::{
    capacity::Capacity,
    clock::{Clock, ShardClock},
    lease::Lease,
    memory::Memory,
    object_store_bridge::{Gate, GateKeeper, ObjectStoreBridge},
};

/// Longest that opening may take at first; a take-over must fit into ten seconds together with finding out.
const OPENING: Duration = Duration::from_secs(5);

/// How often that is doubled at most: on a store that is slow every try would else end at the same place.
const DOUBLINGS: u32 = 3;

/// How often a database looks at its manifest by itself. It need not: a stale writer is fenced when it writes.
const MANIFEST_POLL: Duration = Duration::from_mins(10);

/// Files of the log from which on their rows are made a table, which bounds what the next owner has to read again. The
/// database itself would wait for at least 4,096 (`Settings::validate` of SlateDB 0.18).
pub(super) const LOG_FILES: u32 = 300;

/// Longest that making a table may take before it is left for the next time.
const TABLING: Duration = Duration::from_secs(10);

/// Tables of the first level from which on they are merged, and from which on even by a worker that has too much to do: merging
/// takes processor time that commands wait for.
const TABLES_TO_MERGE: usize = 12;
const TABLES_TO_MERGE_ANYWAY: usize = 64;

/// Tables of the first level at which writes would wait; far above the last, since merging begins much earlier.
const MOST_TABLES: usize = 256;

/// Times that the database repeats a failed call of the store, a second apart; its owner lapses long before.
const STORE_RETRIES: u32 = 60;

/// Bytes of commands that may wait for the store before commands wait too.
const MOST_UNFLUSHED: usize = 64 * 1024 * 1024;

/// Bytes of rows from which on a table is made of them before its time.
const TABLE_BYTES: usize = 16 * 1024 * 1024;

/// Longest that a merge that was told to stop is waited for; what it began is begun again by the next.
const STOPPING: Duration = Duration::from_millis(500);

/// Longest that one merge may take before it is left for the next time.
const MERGING: Duration = Duration::from_mins(2);

/// Most bytes of a table that a merge makes, and how much of each table it reads ahead. By default each of eight inputs would be
/// read 8 MiB ahead, four times at once: more than half of what a pod may have.
const MERGED_BYTES: usize = 64 * 1024 * 1024;
const MERGE_READ: usize = 1024 * 1024;

/// How often a merge looks whether there is more to do, while there is.
const MERGE_POLL: Duration = Duration::from_millis(200);

/// How old a file that nothing names must be before it is deleted, so that a reader that knows it has done with it.
const LITTER_AGE: Duration = Duration::from_mins(5);

/// How old a log file must be before it is deleted once tables hold its rows.
const LOG_AGE: Duration = Duration::from_mins(1);

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenShardError {
    /// The lease says that there is a database, and there is none.
    #[error("the store does not hold the database of shard {shard}, which was written before; restore it")]
    Missing {
        /// Which.
        shard: u16,
    },
    /// Another worker has the lease or the database by now.
    #[error("another worker has taken the shard")]
    Lost,
    /// The store did not let it.
    #[error("{0}")]
    Store(#[from] slatedb::Error),
    /// It took longer than this.
    #[error("opening took longer than {} seconds", .0.as_secs())]
    Late(Duration),
}

/// A database to be opened.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// The store.
    pub(super) blobs: Arc<dyn BlobStore>,
    /// Number of the shard.
    pub(super) shard: u16,
    /// The lease that this worker won.
    pub(super) lease: Lease,
    /// The machine's clocks.
    pub(super) clock: Arc<dyn Clock>,
    /// The clock that the database goes by.
    pub(super) steady: Arc<dyn Clock>,
    /// What this worker has in memory of its rows.
    pub(super) memory: Memory,
    /// How long commands are gathered before they are written together.
    pub(super) flush_interval: Duration,
    /// Tries before this one that failed.
    pub(super) failures: u32,
    #[cfg(feature = "planted-bugs")]
    pub(super) bug: Option<super::planted::Bug>,
}

/// A database that was opened.
pub(super) struct Opened {
    pub(super) db: Db,
    pub(super) gate: Arc<Gate>,
    pub(super) keeper: GateKeeper,
    pub(super) clock: ShardClock,
}

/// Where a shard's database is.
pub(super) fn path(shard: u16, generation: u64) -> String {
    format!("orders/{shard}/{generation}")
}

/// How long opening may take after so many tries that failed.
fn limit_after(failures: u32) -> Duration {
    OPENING * 2_u32.pow(failures.min(DOUBLINGS))
}

impl Opening {
    /// Opens the database. `still_mine` reads the lease again: whether this worker has it in the same epoch.
    pub(super) async fn open<F>(&self, still_mine: impl FnOnce() -> F) -> Result<Opened, OpenShardError>
    where
        F: Future<Output = bool>,
    {
        let limit = limit_after(self.failures);
        tokio::time::timeout(limit, self.try_open(still_mine)).await.unwrap_or(Err(OpenShardError::Late(limit)))
    }

    async fn try_open<F>(&self, still_mine: impl FnOnce() -> F) -> Result<Opened, OpenShardError>
    where
        F: Future<Output = bool>,
    {
        let gate = Arc::new(Gate::new(Arc::clone(&self.clock), self.lease.new));
        let store: Arc<dyn ObjectStore> = Arc::new(ObjectStoreBridge::new(Arc::clone(&self.blobs), Arc::clone(&gate)));
        // Before the first await: opening that takes too long is dropped, and must not go on behind our back.
        let keeper = GateKeeper(Arc::clone(&gate));
        let path = self.path();
        let (writer_epoch, tick) = if let Some(epoch) = self.lease.closed_in {
            // Its last owner said so, and the clock, when it had closed it.
            (epoch, self.lease.clock_floor)
        } else {
            self.look_first(&path, &store, still_mine).await?
        };
        let clock = ShardClock::new(Arc::clone(&self.steady), self.lease.clock_floor.max(tick));
        let builder = Db::builder(path.as_str(), store)
            .with_settings(self.settings())
            .with_system_clock(Arc::new(clock.clone()))
            .with_db_cache(Arc::clone(&self.memory.blocks), u64::from(self.shard));
        #[cfg(feature = "planted-bugs")]
        if matches!(self.bug, Some(super::planted::Bug::OpenWithoutEpoch | super::planted::Bug::OpenOldGeneration)) {
            return Ok(Opened { db: builder.build().await?, gate, keeper, clock });
        }
        match builder.with_expected_epoch(writer_epoch).build().await {
            Ok(db) => Ok(Opened { db, gate, keeper, clock }),
            Err(error) if error.kind() == ErrorKind::Closed(CloseReason::Fenced) => Err(OpenShardError::Lost),
            Err(_) if gate.has_missed() => Err(OpenShardError::Missing { shard: self.shard }),
            Err(error) => Err(OpenShardError::Store(error)),
        }
    }

    /// The database's writer epoch and newest clock tick as they are now, while the lease is this worker's.
    async fn look_first<F>(
        &self,
        path: &str,
        store: &Arc<dyn ObjectStore>,
        still_mine: impl FnOnce() -> F,
    ) -> Result<(u64, i64), OpenShardError>
    where
        F: Future<Output = bool>,
    {
        let manifest = AdminBuilder::new(path, Arc::clone(store)).build().read_manifest(None).await?;
        let is_mine = still_mine().await;
        #[cfg(feature = "planted-bugs")]
        let is_mine = is_mine || self.bug == Some(super::planted::Bug::OpenLost);
        if !is_mine {
            return Err(OpenShardError::Lost);
        }
        match manifest {
            Some(manifest) => Ok((manifest.writer_epoch(), manifest.last_l0_clock_tick())),
            None if self.lease.new => Ok((0, 0)),
            None => Err(OpenShardError::Missing { shard: self.shard }),
        }
    }

    fn path(&self) -> String {
        let generation = self.lease.generation;
        #[cfg(feature = "planted-bugs")]
        let generation = match self.bug {
            Some(super::planted::Bug::OpenOldGeneration) if generation > 2 => generation - 2,
            _ => generation,
        };
        path(self.shard, generation)
    }

    fn settings(&self) -> Settings {
        Settings {
            flush_interval: Some(self.flush_interval),
            manifest_poll_interval: MANIFEST_POLL,
            l0_max_ssts: MOST_TABLES,
            l0_max_ssts_per_key: MOST_TABLES,
            l0_sst_size_bytes: TABLE_BYTES,
            max_unflushed_bytes: MOST_UNFLUSHED,
            compactor_options: None,
            garbage_collector_options: None,
            object_store_max_retries: Some(STORE_RETRIES),
            ..Settings::default()
        }
    }
}

/// Keeps an open database small, when there is something to do.
pub(super) struct Upkeep {
    admin: Admin,
    gate: Arc<Gate>,
}

impl Upkeep {
    /// Of the database that `opening` opened.
    pub(super) fn new(opening: &Opening, opened: &Opened, capacity: Arc<Capacity>) -> Self {
        let store = ObjectStoreBridge::new(Arc::clone(&opening.blobs), Arc::clone(&opened.gate));
        let store: Arc<dyn ObjectStore> = Arc::new(store.giving_way(capacity));
        let path = path(opening.shard, opening.lease.generation);
        let admin = AdminBuilder::new(path.as_str(), store).with_system_clock(Arc::new(opened.clock.clone())).build();
        Self { admin, gate: Arc::clone(&opened.gate) }
    }

    /// Whether the database has gathered enough tables to be merged by a worker that can do so much; looks only at memory.
    pub(super) fn is_due(db: &Db, capacity: &Capacity) -> bool {
        let many = if capacity.was_reduced_lately() { TABLES_TO_MERGE_ANYWAY } else { TABLES_TO_MERGE };
        db.manifest().l0().len() >= many
    }

    /// Makes a table of the rows that are only in the log.
    pub(super) async fn shorten_log(db: &Db) -> Result<(), slatedb::Error> {
        let tabling = db.flush_with_options(FlushOptions { flush_type: FlushType::MemTable });
        tokio::time::timeout(TABLING, tabling).await.unwrap_or(Ok(()))
    }

    /// Merges tables until few are left, then deletes what nothing names any more.
    pub(super) async fn run(
        &self,
        db: &Db,
        capacity: &Capacity,
        ending: &CancellationToken,
    ) -> Result<(), slatedb::Error> {
        if Self::is_due(db, capacity) {
            let enough = CancellationToken::new();
            let options = CompactorOptions {
                poll_interval: MERGE_POLL,
                commit_compacted_interval: MERGE_POLL,
                max_concurrent_compactions: 1,
                object_store_max_retries: Some(3),
                worker: Some(CompactionWorkerOptions {
                    max_concurrent_compactions: 1,
                    max_subcompactions: 1,
                    max_sst_size: MERGED_BYTES,
                    max_fetch_tasks: 1,
                    bytes_to_fetch: MERGE_READ,
                    ..CompactionWorkerOptions::default()
                }),
                ..CompactorOptions::default()
            };
            let merging = self.admin.run_compactor_with_options(enough.clone(), options);
            let watching = async {
                while Self::is_due(db, capacity) && !self.gate.is_shut() {
                    tokio::time::sleep(MERGE_POLL).await;
                    if db.refresh_manifest().await.is_err() {
                        break;
                    }
                }
            };
            let stop = async {
                tokio::select! {
                    () = watching => {}
                    () = tokio::time::sleep(MERGING) => {}
                    () = ending.cancelled() => {}
                }
                enough.cancel();
            };
            let stop = async {
                stop.await;
                tokio::time::sleep(STOPPING).await;
            };
            tokio::select! {
                merged = merging => merged?,
                () = stop => {}
            }
        }
        tokio::select! {
            done = self.admin.run_gc_once(litter()) => done,
            () = ending.cancelled() => Ok(()),
        }
    }
}

/// What may be deleted. Fences stay: nothing else keeps a writer that was stopped for long from its next log file.
fn litter() -> GarbageCollectorOptions {
    let older_than = |min_age| Some(GarbageCollectorDirectoryOptions { interval: None, min_age, dry_run: false });
    GarbageCollectorOptions {
        manifest_options: older_than(LITTER_AGE),
        wal_options: older_than(LOG_AGE),
        wal_fence_options: None,
        compacted_options: older_than(LITTER_AGE),
        compactions_options: older_than(LITTER_AGE),
        detach_options: None,
        object_store_max_retries: Some(3),
        ..GarbageCollectorOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_opening_gets_twice_the_time_up_to_a_bound() {
        let limits = [0, 1, 2, 3, 4, u32::MAX].map(|failures| limit_after(failures).as_secs());
        assert_eq!(limits, [5, 10, 20, 40, 40, 40]);
    }
}
