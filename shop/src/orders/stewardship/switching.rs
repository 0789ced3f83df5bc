//! Moves one shard to another store: copies it while it is answered for, then closes it, copies the rest, and gives its lease
//! over to that store. Does I/O.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shop_contract::switch::Switch;
use tokio::{
    task::{AbortHandle, JoinError},
    time::Instant,
};

use super::{
    super::{
        copying::{CopyError, Copying, Place},
        home::Home,
        lease::Lease,
        opening,
        registry::{RegistryError, Swap},
        shard::Shard,
        worker::Worker,
    },
    Stewardship,
};

/// A pass that copied no more bytes than this was short enough for the next to be made while nobody is answered.
const LITTLE: u64 = 256 * 1024;

/// Why a shard did not move.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("another worker has taken the shard")]
    Lost,
}

/// How soon the next shard is moved after one was not.
const AGAIN: Duration = Duration::from_secs(5);

/// How long a shard waits for those that go first while none of them moves.
const TURN: Duration = Duration::from_secs(10);

/// Longest that a shard that has moved is waited for before the next one goes.
const SERVED: Duration = Duration::from_secs(5);

/// How often it is looked meanwhile whether this worker leaves.
const LEAVING_SEEN: Duration = Duration::from_millis(100);

/// A move that is under way.
#[derive(Debug)]
pub(super) struct Moving {
    /// Ends it. It may be ended until it holds the shard.
    pub(super) task: AbortHandle,
    /// Whether the shard is being closed, or was, for the other store.
    holds: Arc<AtomicBool>,
}

/// What came of moving a shard.
#[derive(Debug)]
pub(super) struct Moved {
    number: u16,
    /// Whether its database was closed, wherever it is opened next.
    was_closed: bool,
    /// Whether it stays where it was for now.
    has_failed: bool,
}

impl Stewardship {
    /// Whether a move to another store has closed the shard, or is about to.
    pub(super) fn is_held_by_move(&self, shard: u16) -> bool {
        self.moving.get(&shard).is_some_and(|moving| moving.holds.load(Ordering::SeqCst))
    }

    /// Whether a shard may be given to another worker. While all shards move it stays where it is, unless this worker leaves;
    /// a move that only copies ends for that.
    pub(super) fn may_give(&mut self, shard: u16) -> bool {
        match self.moving.get(&shard) {
            None => true,
            Some(_) if !self.worker.is_leaving() || self.is_held_by_move(shard) => false,
            Some(moving) => {
                moving.task.abort();
                self.moving.remove(&shard);
                true
            }
        }
    }

    /// Begins to move a shard to the store where all are to live, one at a time.
    pub(super) fn move_next(&mut self, switch: Option<Switch>) {
        let away = switch.filter(|switch| switch.to != self.home.provider);
        let Some(to) = away.and_then(|switch| self.worker.home_of(switch.to)) else { return };
        let is_early = self.worker.clock.since_boot() < self.next_move;
        if is_early || !self.moving.is_empty() || self.worker.is_leaving() || !to.term().holds() {
            return;
        }
        let next = self.held.iter().find_map(|(number, lease)| {
            let shard = self.worker.service.serving(*number).filter(|shard| shard.epoch == lease.epoch)?;
            Some((shard, lease.clone()))
        });
        let Some((shard, lease)) = next else { return };
        let holds = Arc::new(AtomicBool::new(false));
        let (worker, from, number) = (Arc::clone(&self.worker), Arc::clone(&self.home), shard.number);
        let moving = Move { worker, from, to, shard, lease, holds: Arc::clone(&holds) };
        let task = self.moves.spawn(moving.run());
        self.moving.insert(number, Moving { task, holds });
    }

    pub(super) fn moved(&mut self, moved: Result<Moved, JoinError>) {
        match moved {
            Ok(Moved { number, was_closed, has_failed }) => {
                if self.moving.remove(&number).is_some() && was_closed {
                    self.held.remove(&number);
                    self.open_what_was_given();
                    // Whoever has the next shard may go on.
                    self.have_others_look();
                }
                if has_failed {
                    self.next_move = self.worker.clock.since_boot() + AGAIN;
                }
            }
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                // Which one is not told; everything that is not served is taken anew.
                tracing::error!(%error, "moving a shard failed in an unforeseen way");
                self.moving.clear();
                self.drop_what_is_not_served();
            }
        }
    }

    /// Ends the moves that only copy, and waits for those that hold a shard.
    pub(super) async fn end_moves(&mut self) {
        for moving in self.moving.values() {
            if !moving.holds.load(Ordering::SeqCst) {
                moving.task.abort();
            }
        }
        while let Some(moved) = self.moves.join_next().await {
            self.moved(moved);
        }
        self.moving.clear();
    }
}

/// What is moved, and between which stores.
struct Move {
    worker: Arc<Worker>,
    from: Arc<Home>,
    to: Arc<Home>,
    shard: Arc<Shard>,
    lease: Lease,
    holds: Arc<AtomicBool>,
}

impl Move {
    /// Moves the shard.
    async fn run(self) -> Moved {
        let number = self.shard.number;
        let moved = self.try_run().await;
        if let Err(error) = &moved {
            tracing::warn!(shard = number, to = %self.to.provider, %error, "a shard was not moved; it is tried again");
        }
        Moved { number, was_closed: self.holds.load(Ordering::SeqCst), has_failed: moved.is_err() }
    }

    async fn try_run(&self) -> Result<(), MoveError> {
        let Lease { generation, .. } = self.lease;
        let number = self.shard.number;
        let place =
            |home: &Home, generation| Place { blobs: Arc::clone(&home.blobs), path: opening::path(number, generation) };
        let mut copying = Copying::new(place(&self.from, generation), place(&self.to, generation + 1));
        while copying.pass().await?.bytes > LITTLE {}
        let is_turn = self.is_turn().await;
        let is_wished = self.worker.wish(None).is_some_and(|wish| wish.to == self.to.provider);
        if !is_turn || !is_wished {
            return Ok(());
        }
        while copying.pass().await?.bytes > LITTLE {}
        // From here on nothing is merged, or the last pass could be a long one.
        let _at_rest = self.shard.rest().await;
        self.shard.prepare_hand_over().await;
        while copying.pass().await?.bytes > LITTLE {}
        self.holds.store(true, Ordering::SeqCst);
        let held = self.worker.clock.since_boot();
        self.worker.service.closing(Arc::clone(&self.shard));
        let closed_in = self.shard.hand_over().await;
        let given = self.give(&mut copying, closed_in).await;
        if given.is_err() {
            self.take_back(closed_in).await;
        }
        self.worker.service.remove(number, self.shard.epoch);
        if let Some(epoch) = given?
            && self.is_served(epoch).await
        {
            let milliseconds = (self.worker.clock.since_boot().saturating_sub(held)).as_millis();
            tracing::info!(shard = number, to = %self.to.provider, milliseconds, "a shard moved, and was not answered for meanwhile");
        }
        Ok(())
    }

    /// Waits until this worker serves the shard in the other store, but not when it is about to end.
    async fn is_served(&self, epoch: u64) -> bool {
        let end = Instant::now() + SERVED;
        while !self.worker.is_leaving() && Instant::now() < end {
            if self.worker.service.serves(self.shard.number, epoch, Instant::now() + LEAVING_SEEN).await {
                return true;
            }
        }
        false
    }

    /// Waits until no shard with a lower number is left here: of the whole shop one moves at a time, since a store that is busy
    /// with another keeps the customers of both waiting. One that cannot move is not waited for for long. False when this worker
    /// has another one that goes first.
    async fn is_turn(&self) -> bool {
        let Self { worker, from, shard, .. } = self;
        let (mut left, mut since) = (usize::MAX, worker.clock.since_boot());
        loop {
            let here = worker.service.leases().living_in(from.provider);
            let ahead: Vec<u16> = here.shards.into_keys().filter(|number| *number < shard.number).collect();
            if ahead.is_empty() {
                return true;
            }
            if ahead.iter().any(|number| worker.service.serving(*number).is_some()) {
                return false;
            }
            let now = worker.clock.since_boot();
            if ahead.len() != left {
                (left, since) = (ahead.len(), now);
            }
            if now >= since + TURN {
                return true;
            }
            worker.service.changed().await;
        }
    }

    /// Copies what the closed database has beyond the copy, and gives its lease to this worker in the other store; the epoch in
    /// which this worker has it there, if it does.
    async fn give(&self, copying: &mut Copying, closed_in: Option<u64>) -> Result<Option<u64>, MoveError> {
        let number = self.shard.number;
        copying.pass().await?;
        copying.show_whole().await?;
        let (to, floor) = (self.to.provider, self.shard.clock_millis());
        let moved =
            self.from.registry.swap(number, &self.expected(), |lease| lease.moved_to(to, closed_in, floor)).await?;
        let Swap::Won(tombstone) = moved else { return Err(MoveError::Lost) };
        self.worker.service.learn_one(number, tombstone.clone());
        tracing::info!(shard = number, epoch = tombstone.epoch, %to, "a shard lives in another store now");
        if self.worker.is_leaving() {
            return Ok(None);
        }
        // From here on any worker may take it there, and this one is the first to know.
        match self.to.registry.swap(number, &tombstone, |lease| lease.taken_by(self.worker.holder(), floor)).await {
            Ok(Swap::Won(lease)) => {
                let epoch = lease.epoch;
                self.worker.service.learn_one(number, lease);
                self.to.gifts.notify_one();
                Ok(Some(epoch))
            }
            Ok(Swap::Lost) => Ok(None),
            Err(error) => {
                tracing::warn!(shard = number, %error, "the lease of a shard that moved was not taken; whoever is first takes it");
                self.to.look.notify_one();
                Ok(None)
            }
        }
    }

    /// Has the shard opened again where it was, unless its lease says by now that it moved.
    async fn take_back(&self, closed_in: Option<u64>) {
        let (number, floor) = (self.shard.number, self.shard.clock_millis());
        let expected = self.expected();
        let renewed = |lease: &Lease| lease.given_to(Some(self.worker.holder()), closed_in, floor);
        match self.from.registry.swap(number, &expected, renewed).await {
            Ok(Swap::Won(lease)) => {
                self.worker.service.learn_one(number, lease);
                self.from.gifts.notify_one();
            }
            Ok(Swap::Lost) => self.from.look.notify_one(),
            Err(error) => {
                tracing::warn!(shard = number, %error, "the lease of a shard that did not move was not renewed; it is taken anew");
                self.from.look.notify_one();
            }
        }
    }

    /// The lease as it is in the store that the shard leaves.
    fn expected(&self) -> Lease {
        Lease { new: false, ..self.lease.clone() }
    }
}
