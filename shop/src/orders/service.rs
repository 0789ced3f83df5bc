//! The shards that a worker serves, the leases it knows, and the questions that wait for a shard on the move. No I/O.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout_at},
};

use super::{
    lease::{Lease, Leases},
    membership::BootId,
    shard::{Shard, ShardError},
};

/// Questions that wait at once for shards on the move; more are shed.
const MOST_WAITING: usize = 2048;

/// What a worker has of a shard.
#[derive(Clone)]
enum Place {
    /// Its database is being opened in this epoch.
    Opening(u64),
    /// It is answered for.
    Serving(Arc<Shard>),
    /// Its database is being closed, for somebody else to open.
    Closing(Arc<Shard>),
}

/// What a worker has of all shards.
#[derive(Default)]
struct Places {
    shards: BTreeMap<u16, Place>,
    /// The newest lease of each shard that this worker has seen.
    leases: Leases,
}

/// The shards of a worker. Whoever asks for one that is on the move waits until it is open here, or until it is known who
/// has it next: asking again and again would take the store's time from those who open and close it.
pub(super) struct Service {
    me: BootId,
    places: watch::Sender<Places>,
    waiting: Semaphore,
}

impl Service {
    /// Of a worker that has no shard.
    pub(super) fn new(me: BootId) -> Self {
        Self { me, places: watch::Sender::default(), waiting: Semaphore::new(MOST_WAITING) }
    }

    /// A shard's database is being opened.
    pub(super) fn opening(&self, number: u16, epoch: u64) {
        self.put(number, Place::Opening(epoch));
    }

    /// From now on the shard is answered for.
    pub(super) fn serve(&self, shard: Arc<Shard>) {
        self.put(shard.number, Place::Serving(shard));
    }

    /// From now on questions about the shard wait.
    pub(super) fn closing(&self, shard: Arc<Shard>) {
        self.put(shard.number, Place::Closing(shard));
    }

    /// How many questions wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        MOST_WAITING - self.waiting.available_permits()
    }

    fn put(&self, number: u16, place: Place) {
        self.places.send_modify(|places| {
            places.shards.insert(number, place);
        });
    }

    /// The worker has nothing of the shard any more, unless it has opened it in a later epoch, perhaps in another store.
    pub(super) fn remove(&self, number: u16, epoch: u64) -> Option<Arc<Shard>> {
        let mut removed = None;
        self.places.send_modify(|places| {
            if places.shards.get(&number).is_some_and(|place| place.epoch() <= epoch) {
                removed = places.shards.remove(&number);
            }
        });
        removed.and_then(Place::into_shard)
    }

    /// The shards with an open database.
    pub(super) fn shards(&self) -> Vec<Arc<Shard>> {
        self.places.borrow().shards.values().cloned().filter_map(Place::into_shard).collect()
    }

    /// A shard that is answered for.
    pub(super) fn serving(&self, number: u16) -> Option<Arc<Shard>> {
        match self.places.borrow().shards.get(&number) {
            Some(Place::Serving(shard)) => Some(Arc::clone(shard)),
            Some(Place::Opening(_) | Place::Closing(_)) | None => None,
        }
    }

    /// Whether the shard is answered for here, or is handed over in order, which takes a moment: the next owner need not find
    /// out what the last one did.
    pub(super) fn is_served_soon(&self, number: u16) -> bool {
        let places = self.places.borrow();
        match places.shards.get(&number) {
            Some(Place::Serving(_) | Place::Closing(_)) => true,
            Some(Place::Opening(_)) | None => places
                .leases
                .shards
                .get(&number)
                .is_some_and(|lease| lease.is_held_by(&self.me) && lease.closed_in.is_some()),
        }
    }

    /// The shard once it does not move; none when it is not this worker's then, or still moves at the deadline.
    pub(super) async fn at_rest(&self, number: u16, deadline: Instant) -> Result<Option<Arc<Shard>>, ShardError> {
        let is_at_rest = |places: &Places| match places.shards.get(&number) {
            Some(Place::Serving(_)) => true,
            Some(Place::Opening(_) | Place::Closing(_)) => false,
            // One that was given to this worker a moment ago, or that it is about to take anew.
            None => !places.leases.shards.get(&number).is_some_and(|lease| lease.is_held_by(&self.me)),
        };
        let mut places = self.places.subscribe();
        if !is_at_rest(&places.borrow()) {
            let _permit = self.waiting.try_acquire().map_err(|_| ShardError::Overloaded)?;
            // The sender lives as long as this worker, so what ends the wait is a change or the deadline.
            let _ = timeout_at(deadline, places.wait_for(is_at_rest)).await;
        }
        Ok(self.serving(number))
    }

    /// Whether the shard is answered for in this epoch, or a later one, before the deadline.
    pub(super) async fn serves(&self, number: u16, epoch: u64, deadline: Instant) -> bool {
        let mut places = self.places.subscribe();
        let served = places.wait_for(
            |places| matches!(places.shards.get(&number), Some(Place::Serving(shard)) if shard.epoch >= epoch),
        );
        timeout_at(deadline, served).await.is_ok_and(|served| served.is_ok())
    }

    /// Takes in all leases, as they were just read, and gives the newest of each shard: what was read may be older than
    /// what others have said since.
    pub(super) fn learn(&self, leases: Leases) -> Leases {
        self.places.send_modify(|places| places.leases.learn(leases));
        self.leases()
    }

    /// Takes in one lease, as it was just written.
    pub(super) fn learn_one(&self, number: u16, lease: Lease) {
        self.places.send_modify(|places| {
            places.leases.learn_one(number, lease);
        });
    }

    /// The newest leases that this worker has seen.
    pub(super) fn leases(&self) -> Leases {
        self.places.borrow().leases.clone()
    }

    /// The newest lease of a shard that this worker has seen.
    pub(super) fn lease(&self, number: u16) -> Option<Lease> {
        self.places.borrow().leases.shards.get(&number).cloned()
    }
}

impl Place {
    fn epoch(&self) -> u64 {
        match self {
            Self::Opening(epoch) => *epoch,
            Self::Serving(shard) | Self::Closing(shard) => shard.epoch,
        }
    }

    fn into_shard(self) -> Option<Arc<Shard>> {
        match self {
            Self::Opening(_) => None,
            Self::Serving(shard) | Self::Closing(shard) => Some(shard),
        }
    }
}
