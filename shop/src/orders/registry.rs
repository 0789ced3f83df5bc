//! Leases and heartbeats in the store: read, and changed by compare-and-swap. Does I/O.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shop_contract::switch::Switch;
use storage_adapters::{BlobStore, Error, ErrorKind, Key, PutMode, Version};

use super::{
    blobs::{self, RecordError},
    clock::Clock,
    lease::{LEASES, Lease, Leases},
    membership::{BootId, Heartbeat, Members},
    records::{HEARTBEATS, MOST_HEARTBEATS},
};

/// Times that a change of the leases is tried when only others of them changed.
const SWAPS: u32 = 8;

/// How long a worker must have been dead for its heartbeat to be taken away.
const LITTER_AFTER: Duration = Duration::from_mins(10);

/// Why the registry could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    /// A record cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// There are no leases, so this is no store of a shop.
    #[error("the store does not hold the record {LEASES}, which was written before; restore it")]
    Missing,
}

impl From<storage_adapters::Error> for RegistryError {
    fn from(error: storage_adapters::Error) -> Self {
        Self::Record(error.into())
    }
}

impl RegistryError {
    /// Whether the store has no room.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Record(error) if error.kind() == Some(ErrorKind::Full))
    }
}

/// How a change of a lease ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Swap {
    /// It is done; the lease as it is now.
    Won(Lease),
    /// Somebody else changed the lease first.
    Lost,
}

/// What becomes of a wish to change a lease, given what is found in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as expected, and may be changed.
    Write,
    /// It was changed so already: the answer to an earlier try was lost. Nobody else writes this boot id and this epoch.
    Written,
    /// Somebody else was faster.
    Lost,
}

impl Verdict {
    /// On changing `expected` into `wanted` where `found` is.
    pub(super) fn on(found: Option<&Lease>, expected: &Lease, wanted: &Lease) -> Self {
        // It moved here: what is expected is the tombstone that it left in another store, and what is here, if anything, is the
        // one of its last move away.
        let arrives = expected.holder.is_none()
            && expected.home == wanted.home
            && !expected.new
            && found.is_none_or(|found| found.home != wanted.home && found.epoch < expected.epoch);
        if found == Some(expected) || arrives {
            Self::Write
        } else if found == Some(wanted) {
            Self::Written
        } else {
            Self::Lost
        }
    }
}

/// Leases and heartbeats of a store.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    blobs: Arc<dyn BlobStore>,
    leases: Key,
    /// All leases as they were last seen. A change begins from there, since compare-and-swap says when that is old.
    seen: Arc<Mutex<Option<(Leases, Version)>>>,
}

/// The heartbeats that a look found, each with what it says where that is new.
type Found = BTreeMap<BootId, (Version, Option<Heartbeat>)>;

fn heartbeat_key(worker: &BootId) -> Result<Key, Error> {
    blobs::key(&format!("{HEARTBEATS}{}", worker.as_str()))
}

impl Registry {
    pub(super) fn new(blobs: Arc<dyn BlobStore>) -> Result<Self, storage_adapters::Error> {
        Ok(Self { blobs, leases: blobs::key(LEASES)?, seen: Arc::default() })
    }

    /// All leases.
    pub(super) async fn leases(&self) -> Result<(Leases, Version), RegistryError> {
        let found = blobs::read(&*self.blobs, &self.leases).await?.ok_or(RegistryError::Missing)?;
        self.remember(found.clone());
        Ok(found)
    }

    fn remember(&self, found: (Leases, Version)) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    fn remembered(&self) -> Option<(Leases, Version)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the lease of `shard` by `change`, provided it is still `expected`. When the outcome of a write is not
    /// known, what is found decides.
    pub(super) async fn swap(
        &self,
        shard: u16,
        expected: &Lease,
        change: impl Fn(&Lease) -> Lease,
    ) -> Result<Swap, RegistryError> {
        let wanted = change(expected);
        let judge = |leases: &Leases| Verdict::on(leases.shards.get(&shard), expected, &wanted);
        let remembered = self.remembered().filter(|(leases, _)| judge(leases) == Verdict::Write);
        let swapped = self.change(remembered, |leases| match judge(leases) {
            Verdict::Write => {
                leases.shards.insert(shard, wanted.clone());
                ControlFlow::Continue(Swap::Won(wanted.clone()))
            }
            Verdict::Written => ControlFlow::Break(Swap::Won(wanted.clone())),
            Verdict::Lost => ControlFlow::Break(Swap::Lost),
        });
        Ok(swapped.await?.unwrap_or(Swap::Lost))
    }

    /// Writes down where the shards are to live, unless a newer wish is there.
    pub(super) async fn wish(&self, switch: Switch) -> Result<(), RegistryError> {
        let written = self.change(None, |leases| {
            if leases.switch.is_some_and(|known| known >= switch) {
                return ControlFlow::Break(());
            }
            leases.switch = Some(switch);
            ControlFlow::Continue(())
        });
        written.await?.ok_or_else(|| Error::new(ErrorKind::Conflict, "put", LEASES).into())
    }

    /// Changes the leases by compare-and-swap, from what is `remembered` or is found. `change` says whether what it did is to be
    /// written; it is called again when somebody else was first. `None` when somebody was, each time.
    async fn change<T>(
        &self,
        mut remembered: Option<(Leases, Version)>,
        change: impl Fn(&mut Leases) -> ControlFlow<T, T>,
    ) -> Result<Option<T>, RegistryError> {
        for _ in 0..SWAPS {
            let (mut leases, version) = match remembered.take() {
                Some(seen) => seen,
                None => self.leases().await?,
            };
            let changed = match change(&mut leases) {
                ControlFlow::Continue(changed) => changed,
                ControlFlow::Break(changed) => return Ok(Some(changed)),
            };
            match blobs::write(&*self.blobs, &self.leases, &leases, PutMode::IfVersion(version)).await {
                Ok(version) => {
                    self.remember((leases, version));
                    return Ok(Some(changed));
                }
                Err(error) if matches!(error.kind(), Some(ErrorKind::Conflict | ErrorKind::Unknown)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Looks at all heartbeats and takes what is seen into `members`.
    pub(super) async fn look(
        &self,
        members: &mut Members,
        leases: &Leases,
        clock: &dyn Clock,
    ) -> Result<(), RegistryError> {
        let begun = clock.since_boot();
        let mut found: Found = BTreeMap::new();
        for blob in blobs::list(&*self.blobs, HEARTBEATS, MOST_HEARTBEATS).await? {
            let Some(worker) = blob.key.as_str().strip_prefix(HEARTBEATS).and_then(BootId::parse) else { continue };
            if members.knows(&worker, &blob.version) {
                found.insert(worker, (blob.version, None));
            } else if let Some((heartbeat, version)) = blobs::read::<Heartbeat>(&*self.blobs, &blob.key).await? {
                found.insert(worker, (version, Some(heartbeat)));
            }
        }
        members.observe(begun, clock.since_boot(), found, &leases.holders());
        Ok(())
    }

    /// Looks at the heartbeats of known workers only, one by one: in a cloud a listing costs as much as a dozen reads.
    pub(super) async fn look_at_known(
        &self,
        members: &mut Members,
        leases: &Leases,
        clock: &dyn Clock,
    ) -> Result<(), RegistryError> {
        let begun = clock.since_boot();
        let mut found: Found = BTreeMap::new();
        for worker in members.known() {
            if let Some((heartbeat, version)) = blobs::read::<Heartbeat>(&*self.blobs, &heartbeat_key(worker)?).await? {
                found.insert(worker.clone(), (version, Some(heartbeat)));
            }
        }
        members.observe(begun, clock.since_boot(), found, &leases.holders());
        Ok(())
    }

    /// Sends a heartbeat.
    pub(super) async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), RegistryError> {
        let key = heartbeat_key(&heartbeat.boot_id)?;
        blobs::write(&*self.blobs, &key, heartbeat, PutMode::Overwrite).await?;
        Ok(())
    }

    /// Takes a worker's heartbeat away.
    pub(super) async fn still(&self, worker: &BootId) -> Result<(), RegistryError> {
        let key = heartbeat_key(worker)?;
        blobs::bounded("delete", key.as_str(), self.blobs.delete(&key)).await?;
        Ok(())
    }

    /// Takes away the heartbeats of workers that have been dead for long.
    pub(super) async fn sweep(&self, members: &Members, now: Duration) -> Result<(), RegistryError> {
        for worker in members.long_dead(now, LITTER_AFTER) {
            self.still(worker).await?;
        }
        Ok(())
    }
}
