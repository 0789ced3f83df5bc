//! Moves one shard to another store: copies it while it is answered for, then closes it, copies the rest, and gives its lease
//! over to that store. Does I/O.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shop_contract::switch::Switch;
use storage_adapters::config::Provider;
use tokio::{
    task::{AbortHandle, JoinError},
    time::Instant,
};

use crate::errors::with_causes;

use super::{
    super::{
        copy_progress::ShardProgress,
        copying::{CopyError, Copying, Place},
        home::Home,
        lease::Lease,
        opening,
        registry::{RegistryError, Swap},
        shard::Shard,
        switch_report::{self, MovedShard},
        worker::Worker,
    },
    Stewardship,
};

/// A pass that copied no more bytes than this was short enough for the next to be made while nobody is answered.
const LITTLE: u64 = 256 * 1024;

/// Passes until one copies little; each has only what was written during the one before.
const PASSES: u32 = 10;

/// How soon a shard is moved after one was not: soon when that was for the first time, since it is the same one's turn then.
const SOON: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(5);

/// How long a shard waits for those that go first while none of them moves, and how much longer for each of them, so that those
/// behind one that cannot move do not all go at once. They are not waited for again.
const TURN: Duration = Duration::from_secs(10);
const TURN_OF_EACH: Duration = Duration::from_secs(1);

/// How long another worker has to open a shard that has moved before the next one goes.
const OPENING: Duration = Duration::from_millis(500);

/// Longest that this worker has for it.
const SERVED: Duration = Duration::from_secs(5);

/// How long the next shard is waited for before those that have arrived are given to other workers to even the load.
const NEXT_ARRIVES: Duration = Duration::from_secs(30);

/// Tries to write down what a move did.
const REPORT_TRIES: u32 = 3;

/// How often a move that waits looks at what it waits for.
const GLANCE: Duration = Duration::from_millis(100);

/// Why a shard did not move.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("another worker has taken the shard")]
    Lost,
    #[error("more was written than could be copied meanwhile; a limit of bytes a second may be too low")]
    TooBusy,
}

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
    /// Why it could not move, when it was to.
    failure: Option<String>,
    /// What was copied, when it did not move.
    copied: Option<Copying>,
    /// Shards that need not be waited for again, since it has in vain.
    waited_for: BTreeSet<u16>,
    /// Where it was to move.
    to: Provider,
}

/// A shard that was copied and has not moved.
#[derive(Debug)]
pub(super) struct NotMoved {
    /// When it was last copied, as time since boot.
    at: Duration,
    /// How often, one after the other, it was to move and could not.
    failures: u32,
    /// Why it could not the last time.
    failure: Option<String>,
    /// What the other store has of it.
    copying: Copying,
}

impl NotMoved {
    /// Whether others go first, since it failed more than once.
    fn goes_last(&self) -> bool {
        self.failures > 1
    }
}

impl Stewardship {
    /// Whether a move to another store has closed the shard, or is about to.
    pub(super) fn is_held_by_move(&self, shard: u16) -> bool {
        self.moving.get(&shard).is_some_and(|moving| moving.holds.load(Ordering::SeqCst))
    }

    /// Whether a shard may be given to another worker. While it moves it stays where it is, unless this worker leaves;
    /// a move that only copies ends for that. While some shards have moved and others are about to, none is given to even the load:
    /// in each store alone it looks uneven, and is not once all are there.
    pub(super) fn may_give(&mut self, shard: u16) -> bool {
        match self.moving.get(&shard) {
            None => self.worker.is_leaving() || !self.are_between_stores(),
            Some(_) if !self.worker.is_leaving() || self.is_held_by_move(shard) => false,
            Some(moving) => {
                moving.task.abort();
                self.moving.remove(&shard);
                true
            }
        }
    }

    /// Whether some shards live where all are to and others do not yet, and the last one arrived a moment ago.
    fn are_between_stores(&mut self) -> bool {
        let Some(wish) = self.worker.wish(None) else { return false };
        let leases = self.worker.service.leases();
        let arrived = leases.shards.values().filter(|lease| lease.home == wish.to).count();
        let now = self.worker.clock.since_boot();
        if arrived != self.arrived.0 {
            self.arrived = (arrived, now);
        }
        arrived > 0 && arrived < leases.shards.len() && now < self.arrived.1 + NEXT_ARRIVES
    }

    /// Begins to move a shard to the store where all are to live, one at a time; or only to copy it, the one that was not for
    /// longest, while that is to wait.
    pub(super) fn move_next(&mut self, switch: Option<Switch>) {
        if let Some(switch) = switch {
            let workers = self.members.takers().count();
            self.worker.copying.begin(switch, u64::try_from(workers).unwrap_or(u64::MAX));
        }
        let away = switch.filter(|switch| switch.to != self.home.provider);
        let Some((switch, to)) = away.and_then(|switch| Some((switch, self.worker.home_of(switch.to)?))) else {
            return;
        };
        let is_early = self.worker.clock.since_boot() < self.next_move;
        if is_early || !self.moving.is_empty() || self.worker.is_leaving() || !to.term().takes_gifts() {
            return;
        }
        let not_moved = self.not_moved.len();
        self.not_moved.retain(|number, _| self.held.contains_key(number));
        if self.not_moved.len() < not_moved {
            // What was in the way may have gone with its shard.
            self.note_obstacle(to.provider);
        }
        let leases = self.worker.service.leases();
        self.waited_for
            .retain(|number| leases.shards.get(number).is_some_and(|lease| lease.home == self.home.provider));
        let movable = self.held.iter().filter_map(|(number, lease)| {
            let shard = self.worker.service.serving(*number).filter(|shard| shard.epoch == lease.epoch)?;
            Some((shard, lease.clone()))
        });
        let next = movable.min_by_key(|(shard, _)| {
            let last = self.not_moved.get(&shard.number);
            let last = last.filter(|not_moved| switch.waits || not_moved.goes_last());
            (last.map(|not_moved| not_moved.at), shard.number)
        });
        let Some((shard, lease)) = next else { return };
        let last = self.not_moved.iter().filter(|(_, not_moved)| not_moved.goes_last());
        let left_behind = last.map(|(number, _)| *number).chain(self.waited_for.iter().copied()).collect();
        let begun = self.not_moved.get(&shard.number).map(|not_moved| not_moved.copying.clone());
        let holds = Arc::new(AtomicBool::new(false));
        let (worker, from, number) = (Arc::clone(&self.worker), Arc::clone(&self.home), shard.number);
        let moving = Move { switch, worker, from, to, shard, lease, left_behind, begun, holds: Arc::clone(&holds) };
        let task = self.moves.spawn(moving.run());
        self.moving.insert(number, Moving { task, holds });
    }

    pub(super) fn moved(&mut self, moved: Result<Moved, JoinError>) {
        match moved {
            Ok(Moved { number, was_closed, failure, copied, waited_for, to }) => {
                if self.moving.remove(&number).is_some() && was_closed {
                    self.held.remove(&number);
                    self.open_what_was_given();
                    // Whoever has the next shard may go on.
                    self.have_others_look();
                }
                self.waited_for.extend(waited_for);
                let before = self.not_moved.remove(&number);
                if let Some(copying) = copied {
                    let (at, is_first) = (self.worker.clock.since_boot(), before.is_none());
                    let failures = before.map_or(0, |before| before.failures).saturating_add(1);
                    let failures = if failure.is_some() { failures } else { 0 };
                    let not_moved = NotMoved { at, failures, failure, copying };
                    self.next_move = match not_moved.failures {
                        // All are copied once before any is again.
                        0 if is_first => at,
                        1 => at + SOON,
                        0 | 2.. => at + AGAIN,
                    };
                    self.not_moved.insert(number, not_moved);
                }
                self.note_obstacle(to);
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

    /// Tells what keeps shards from moving to a store, if anything does.
    fn note_obstacle(&self, to: Provider) {
        let last = self.not_moved.iter().filter(|(_, not_moved)| not_moved.goes_last());
        let mut stuck = last.filter_map(|(number, not_moved)| Some((number, not_moved.failure.as_ref()?)));
        let obstacle = stuck.next().map(|(number, why)| format!("the order shard {number} cannot yet: {why}"));
        self.worker.note_obstacle(to, obstacle);
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

/// Copies until little is left to copy; whether that is so, and nothing else is wished by now.
async fn catch_up(copying: &mut Copying) -> Result<bool, MoveError> {
    for _ in 0..PASSES {
        let pass = copying.pass().await?;
        if pass.is_superseded || pass.bytes <= LITTLE {
            return Ok(!pass.is_superseded);
        }
    }
    Err(MoveError::TooBusy)
}

/// What is moved, and between which stores.
struct Move {
    switch: Switch,
    worker: Arc<Worker>,
    from: Arc<Home>,
    to: Arc<Home>,
    shard: Arc<Shard>,
    lease: Lease,
    /// Shards that are not waited for: those of this worker that go last, and others that were waited for in vain.
    left_behind: BTreeSet<u16>,
    /// What an earlier move copied, which failed.
    begun: Option<Copying>,
    holds: Arc<AtomicBool>,
}

/// A shard whose home is another store by now.
struct Given {
    /// The lease that was left.
    tombstone: Lease,
    /// The epoch in which this worker has it there, if it does.
    taken_in: Option<u64>,
}

impl Move {
    #[cfg(feature = "planted-bugs")]
    fn bug(&self) -> Option<super::super::planted::Bug> {
        *self.worker.bug.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Moves the shard.
    async fn run(mut self) -> Moved {
        let number = self.shard.number;
        let (mut copying, mut waited_for) = (self.copying(), BTreeSet::new());
        let moved = self.try_run(&mut copying, &mut waited_for).await;
        if let Err(error) = &moved {
            tracing::warn!(shard = number, to = %self.to.provider, %error, "a shard was not moved; it is tried again");
        }
        let was_closed = self.holds.load(Ordering::SeqCst);
        let has_moved = was_closed && moved.is_ok();
        let failure = moved.err().map(|error| with_causes(&error));
        let copied = (!has_moved).then_some(copying);
        Moved { number, was_closed, failure, copied, waited_for, to: self.to.provider }
    }

    /// The copy that was begun, or a new one.
    fn copying(&mut self) -> Copying {
        let Lease { generation, .. } = self.lease;
        let place = |home: &Home, generation| Place {
            blobs: Arc::clone(&home.moving.blobs),
            path: opening::path(self.shard.number, generation),
        };
        let (from, to) = (place(&self.from, generation), place(&self.to, generation + 1));
        let begun = self.begun.take().filter(|begun| begun.is_between(&from, &to));
        let progress = ShardProgress::new(&self.worker.copying, self.shard.number, self.from.provider, self.switch);
        let copying = begun.unwrap_or_else(|| Copying::new(from, to)).going_by(progress);
        #[cfg(feature = "planted-bugs")]
        let copying = copying.making(self.bug());
        copying
    }

    async fn try_run(&self, copying: &mut Copying, waited_for: &mut BTreeSet<u16>) -> Result<(), MoveError> {
        let number = self.shard.number;
        copying.look_again().await?;
        if self.switch.waits {
            copying.pass_ahead().await?;
            return Ok(());
        }
        if !catch_up(copying).await? || !self.wait_for_turn(waited_for).await || !self.to.term().takes_gifts() {
            return Ok(());
        }
        if !catch_up(copying).await? {
            return Ok(());
        }
        // From here on nothing is merged, or the last pass could be a long one.
        let _at_rest = self.shard.rest().await;
        self.shard.prepare_hand_over().await;
        if !catch_up(copying).await? || !self.is_wished() {
            return Ok(());
        }
        self.holds.store(true, Ordering::SeqCst);
        let held = self.worker.clock.since_boot();
        self.worker.service.closing(Arc::clone(&self.shard));
        let closed_in = self.shard.hand_over().await;
        let given = self.give(copying, closed_in).await;
        if given.is_err() {
            self.take_back(closed_in).await;
        }
        self.worker.service.remove(number, self.shard.epoch);
        let Given { tombstone, taken_in } = given?;
        let is_served = match taken_in {
            Some(epoch) => self.wait_until_served(epoch).await,
            None => false,
        };
        let held = self.worker.clock.since_boot().saturating_sub(held);
        let held_millis = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(shard = number, held_millis, is_served, "a shard was not answered for while it moved");
        let moved = MovedShard {
            from: self.from.provider,
            generation: tombstone.generation,
            tombstone: tombstone.epoch,
            at: self.worker.clock.wall(),
            held_millis,
            is_served,
            copy: copying.total(),
            spent: Some(self.from.moving.spent() + self.to.moving.spent()),
        };
        self.report(&moved).await;
        Ok(())
    }

    /// Writes down what was done. It is done whether or not that can be.
    async fn report(&self, moved: &MovedShard) {
        // A newer wish for the same store takes over what an older one began.
        let newest = self.worker.wish(None).filter(|wish| wish.to == self.switch.to);
        let switch = newest.unwrap_or(self.switch);
        for tries_left in (0..REPORT_TRIES).rev() {
            let kept = switch_report::keep_part(&*self.to.blobs, switch.number, self.shard.number, moved);
            match kept.await {
                Ok(()) => return,
                Err(_) if tries_left > 0 => tokio::time::sleep(GLANCE).await,
                Err(error) => {
                    tracing::warn!(shard = self.shard.number, %error, "what moving a shard did was not written down; the report goes without it");
                }
            }
        }
    }

    /// Waits until this worker serves the shard in the other store, but not when it is about to end; whether it does.
    async fn wait_until_served(&self, epoch: u64) -> bool {
        let end = Instant::now() + SERVED;
        while !self.worker.is_leaving() && Instant::now() < end {
            if self.worker.service.serves(self.shard.number, epoch, Instant::now() + GLANCE).await {
                return true;
            }
        }
        false
    }

    /// Whether the shard is still to move there, and now.
    fn is_wished(&self) -> bool {
        self.worker.wish(None).is_some_and(|wish| wish.to == self.to.provider && !wish.waits)
    }

    /// Waits until no shard with a lower number is left here, or on its way: of the whole shop one is held at a time, since a
    /// store that is busy with another keeps the customers of both waiting. Those that do not move are waited for for a while, and
    /// are in `in_vain` then, with all others of the same workers.
    /// False when it is not to move now: this worker has another one that goes first, or it is not wished any more, or not yet.
    async fn wait_for_turn(&self, in_vain: &mut BTreeSet<u16>) -> bool {
        let Self { worker, from, shard, left_behind, .. } = self;
        let (mut left, mut since) = (0, worker.clock.since_boot());
        loop {
            if !self.is_wished() {
                return false;
            }
            let leases = worker.service.leases();
            let is_left = |lease: &Lease| lease.home == from.provider || lease.holder.is_none();
            let ahead =
                leases.shards.range(..shard.number).filter(|(_, lease)| is_left(lease)).map(|(number, _)| *number);
            let ahead: Vec<u16> = ahead.filter(|number| !left_behind.contains(number)).collect();
            if ahead.iter().any(|number| worker.service.serving(*number).is_some()) {
                return false;
            }
            if ahead.is_empty() {
                if left > 0 {
                    tokio::time::sleep(OPENING).await;
                }
                return true;
            }
            let now = worker.clock.since_boot();
            if ahead.len() != left {
                (left, since) = (ahead.len(), now);
            }
            if now >= since + TURN + TURN_OF_EACH * u32::try_from(left).unwrap_or(u32::MAX) {
                // Whoever does not move one may not be able to move any.
                let holder = |number: &u16| leases.shards[number].holder.as_ref();
                let stuck: Vec<_> = ahead.iter().filter_map(holder).collect();
                let theirs =
                    leases.shards.keys().filter(|number| holder(number).is_some_and(|who| stuck.contains(&who)));
                in_vain.extend(theirs.chain(&ahead).copied());
                return true;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Copies what the closed database has beyond the copy, and gives its lease to this worker in the other store.
    async fn give(&self, copying: &mut Copying, closed_in: Option<u64>) -> Result<Given, MoveError> {
        let number = self.shard.number;
        #[cfg(feature = "planted-bugs")]
        if self.bug() != Some(super::super::planted::Bug::TombstoneFirst) {
            copying.finish().await?;
        }
        #[cfg(not(feature = "planted-bugs"))]
        copying.finish().await?;
        let (to, floor) = (self.to.provider, self.shard.clock_millis());
        let moved =
            self.from.registry.swap(number, &self.expected(), |lease| lease.moved_to(to, closed_in, floor)).await?;
        let Swap::Won(tombstone) = moved else { return Err(MoveError::Lost) };
        #[cfg(feature = "planted-bugs")]
        if self.bug() == Some(super::super::planted::Bug::TombstoneFirst) {
            copying.finish().await?;
        }
        self.worker.service.learn_one(number, tombstone.clone());
        tracing::info!(shard = number, epoch = tombstone.epoch, %to, "a shard lives in another store now");
        if self.worker.is_leaving() {
            return Ok(Given { tombstone, taken_in: None });
        }
        // From here on any worker may take it there, and this one is the first to know.
        let taken_in = match self
            .to
            .registry
            .swap(number, &tombstone, |lease| lease.taken_by(self.worker.holder(), floor))
            .await
        {
            Ok(Swap::Won(lease)) => {
                let epoch = lease.epoch;
                self.pass_on(closed_in, &lease);
                self.worker.service.learn_one(number, lease);
                self.to.gifts.notify_one();
                Some(epoch)
            }
            Ok(Swap::Lost) => None,
            Err(error) => {
                tracing::warn!(shard = number, %error, "the lease of a shard that moved was not taken; whoever is first takes it");
                self.to.look.notify_one();
                None
            }
        };
        Ok(Given { tombstone, taken_in })
    }

    /// Has the shard opened again where it was, unless its lease says by now that it moved.
    async fn take_back(&self, closed_in: Option<u64>) {
        let (number, floor) = (self.shard.number, self.shard.clock_millis());
        let expected = self.expected();
        let renewed = |lease: &Lease| lease.given_to(Some(self.worker.holder()), closed_in, floor);
        match self.from.registry.swap(number, &expected, renewed).await {
            Ok(Swap::Won(lease)) => {
                self.pass_on(closed_in, &lease);
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

    /// Leaves what is in memory of the shard to its next opening, in the lease that follows the one it was closed in: nobody else can
    /// have written since. Not when it may hold what is not stored.
    fn pass_on(&self, closed_in: Option<u64>, lease: &Lease) {
        if closed_in.is_some() {
            self.worker.memories.leave(self.shard.number, lease.clone(), self.shard.memory());
        }
    }

    /// The lease as it is in the store that the shard leaves.
    fn expected(&self) -> Lease {
        Lease { new: false, ..self.lease.clone() }
    }
}
