//! The lease loop of a worker in one store: looks at leases and heartbeats, takes, opens, drops and hands over shards, and moves
//! them to another store. Does I/O.

mod moves;
mod switching;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use shop_contract::status::WaitingReason;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::{
    moves::{NUDGE, Opened, hand_over, open, tell},
    switching::{Moved, Moving, NotMoved},
};
use super::{
    clock::Clock,
    home::Home,
    lease::{Action, Lease, Leases, Me, is_given, plan},
    membership::{BootId, Members, Pace},
    protocol::LOOK_PATH,
    registry::{Registry, RegistryError, Swap},
    shard::Term,
    worker::Worker,
};

/// How often leases and heartbeats are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often all heartbeats are listed while there are no commands, for cost; those that are known are read every time,
/// and a new worker tells the others that it is there.
const LIST_IDLE_EVERY: Duration = Duration::from_secs(8);

/// Longest that telling others about the end may take, of the little time that there is.
const FAREWELL: Duration = Duration::from_millis(300);

/// Shards that a worker hands over one after the other at most, before it does several at once. All at once share the
/// store, and then the orders of each are answered by nobody until the last is open again.
const HANDED_IN_TURN: usize = 8;

/// What a worker knows and does about the leases of a store.
pub(super) struct Stewardship {
    worker: Arc<Worker>,
    home: Arc<Home>,
    predecessor: Option<BootId>,
    members: Members,
    /// When all heartbeats were last listed; `None` when they are to be listed at the next look.
    listed: Option<Duration>,
    /// Whether the others know that this worker is there.
    introduced: bool,
    /// The leases that were taken in this term and are served or being opened.
    held: BTreeMap<u16, Lease>,
    /// The newest epoch of each shard that this worker opened in, or that named it before this term; none is opened in again.
    used: BTreeMap<u16, u64>,
    term: Arc<Term>,
    openings: JoinSet<Opened>,
    /// The shards that are on their way to another store.
    moving: BTreeMap<u16, Moving>,
    moves: JoinSet<Moved>,
    /// When the next move may begin, as time since boot.
    next_move: Duration,
    /// Shards that live where all are to, and when that number last changed, as time since boot.
    arrived: (usize, Duration),
    /// Shards that were to move and did not.
    not_moved: BTreeMap<u16, NotMoved>,
    /// Shards that were to move first, and that were waited for in vain.
    waited_for: BTreeSet<u16>,
    /// What else is under way: shards that settle in, databases that are being ended without a flush, and workers that are
    /// being told something.
    errands: JoinSet<()>,
    /// Shards that could not be opened of late.
    failures: BTreeMap<u16, Failures>,
}

/// Openings of a shard that failed, one after the other.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// Why the last one did, for readiness.
    last: String,
}

impl Stewardship {
    pub(super) fn new(worker: Arc<Worker>, home: Arc<Home>, predecessor: Option<BootId>) -> Self {
        let term = home.term();
        Self {
            worker,
            home,
            predecessor,
            members: Members::default(),
            listed: None,
            introduced: false,
            held: BTreeMap::new(),
            used: BTreeMap::new(),
            term,
            openings: JoinSet::new(),
            moving: BTreeMap::new(),
            moves: JoinSet::new(),
            next_move: Duration::ZERO,
            arrived: (0, Duration::ZERO),
            not_moved: BTreeMap::new(),
            waited_for: BTreeSet::new(),
            errands: JoinSet::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Keeps the leases until `ending` is cancelled, then hands over all of them.
    pub(super) async fn run(mut self, ending: CancellationToken) {
        while !ending.is_cancelled() {
            self.look().await;
            let mut pause = std::pin::pin!(tokio::time::sleep(LOOK_EVERY));
            loop {
                tokio::select! {
                    () = ending.cancelled() => break,
                    () = &mut pause => break,
                    () = self.home.look.notified() => {
                        self.listed = None;
                        break;
                    }
                    () = self.home.gifts.notified() => self.open_what_was_given(),
                    Some(opened) = self.openings.join_next() => {
                        self.opened(opened);
                        break;
                    }
                    Some(moved) = self.moves.join_next() => {
                        self.moved(moved);
                        break;
                    }
                    Some(_) = self.errands.join_next() => {}
                }
            }
        }
        self.worker.leave();
        // Others must know before they see its shards go, or they would even the load by giving it some back.
        match tokio::time::timeout(FAREWELL, self.worker.send_heartbeat(&self.home, Pace::BUSY)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "others were not told that this worker leaves"),
            Err(_late) => tracing::warn!("others were not told in time that this worker leaves"),
        }
        self.openings.shutdown().await;
        self.end_moves().await;
        self.drop_what_is_not_served();
        // Whoever is there may be given a shard.
        self.listed = None;
        self.look().await;
        self.hand_over_rest().await;
        while self.errands.join_next().await.is_some() {}
    }

    /// One look, and what follows from it.
    async fn look(&mut self) {
        self.drop_what_ended();
        match self.observe().await {
            Ok(leases) => {
                self.introduce();
                self.act(&leases).await;
                self.report(&leases);
            }
            Err(error) => {
                tracing::warn!(%error, "leases and heartbeats cannot be read");
                let reason = match &error {
                    RegistryError::Missing => WaitingReason::StoreEmpty,
                    RegistryError::Record(super::blobs::RecordError::Newer { .. }) => WaitingReason::StoreFormatNewer,
                    RegistryError::Record(_) => WaitingReason::StoreUnavailable,
                };
                self.home.readiness.wait_for(reason, error.to_string());
            }
        }
    }

    /// Reads leases and heartbeats. What others say meanwhile, and databases that are open by then, do not wait for it.
    async fn observe(&mut self) -> Result<Leases, RegistryError> {
        let (worker, home) = (Arc::clone(&self.worker), Arc::clone(&self.home));
        let begun = worker.clock.since_boot();
        let every = if worker.is_idle() { LIST_IDLE_EVERY } else { Duration::ZERO };
        let all = self.listed.is_none_or(|listed| begun >= listed + every);
        let term_holds = self.term.holds();
        let mut members = self.members.clone();
        let read = {
            let mut reading = std::pin::pin!(read(&home.registry, &mut members, all, &*worker.clock));
            loop {
                tokio::select! {
                    read = &mut reading => break read,
                    () = home.gifts.notified() => self.open_what_was_given(),
                    Some(opened) = self.openings.join_next() => self.opened(opened),
                    Some(moved) = self.moves.join_next() => self.moved(moved),
                }
            }
        };
        self.members = members;
        let read = read?;
        let switch = worker.wish(read.switch);
        if let Some(newest) = switch.filter(|newest| Some(*newest) > read.switch) {
            // Whoever keeps house in this store alone has to find it as well.
            let registry = home.registry.clone();
            self.errands.spawn(async move {
                if let Err(error) = registry.wish(newest).await {
                    tracing::warn!(%error, "a newer wish where the shards are to live was not passed on; it is tried again");
                }
            });
        }
        for elsewhere in read.shards.values().map(|lease| lease.home).chain(switch.map(|switch| switch.to)) {
            worker.want_home(elsewhere);
        }
        let leases = Leases { switch, ..worker.service.learn(read).living_in(home.provider) };
        if all {
            self.listed = Some(begun);
        }
        if term_holds && !self.term.knows_leases() {
            let mine = leases.shards.iter().filter(|(_, lease)| lease.is_held_by(&worker.boot_id));
            self.used.extend(mine.map(|(shard, lease)| (*shard, lease.epoch)));
            self.term.learn_leases();
        }
        self.open_what_was_given();
        for reason in [WaitingReason::StoreUnavailable, WaitingReason::StoreEmpty, WaitingReason::StoreFormatNewer] {
            home.readiness.clear(reason);
        }
        Ok(leases)
    }

    /// Tells the other workers, once, that this one is there, so that none has to list heartbeats often.
    fn introduce(&mut self) {
        if !std::mem::replace(&mut self.introduced, true) {
            self.have_others_look();
        }
    }

    /// Has the other workers look at leases and heartbeats now.
    fn have_others_look(&mut self) {
        let others = self.members.takers().filter(|(worker, _)| **worker != self.worker.boot_id);
        for (_, address) in others {
            let (worker, address) = (Arc::clone(&self.worker), address.to_owned());
            self.errands.spawn(async move { tell(&worker, &address, LOOK_PATH, &(), NUDGE).await });
        }
    }

    /// Drops everything when the validity has lapsed, and each database that ended by itself.
    fn drop_what_ended(&mut self) {
        if self.term.with(|validity, now| validity.has_lapsed(now)) {
            tracing::warn!("no heartbeat was confirmed in time; all shards are dropped and taken anew");
            for number in self.held.keys().copied().collect::<Vec<_>>() {
                self.drop_shard(number);
            }
            self.home.begin_term();
            self.term = self.home.term();
        }
        for shard in self.worker.service.shards() {
            let is_mine = self.held.get(&shard.number).is_some_and(|lease| lease.epoch == shard.epoch);
            if is_mine && shard.has_ended() && !self.is_held_by_move(shard.number) {
                tracing::warn!(shard = shard.number, "the database ended by itself; it is opened anew");
                self.drop_shard(shard.number);
            }
        }
    }

    fn drop_shard(&mut self, number: u16) {
        if let Some(moving) = self.moving.remove(&number) {
            moving.task.abort();
        }
        let Some(lease) = self.held.remove(&number) else { return };
        if let Some(shard) = self.worker.service.remove(number, lease.epoch) {
            self.errands.spawn(async move { shard.abandon().await });
        }
    }

    fn drop_what_is_not_served(&mut self) {
        let lost = |number: &u16| self.worker.service.serving(*number).is_none() && !self.is_held_by_move(*number);
        for number in self.held.keys().copied().filter(lost).collect::<Vec<_>>() {
            self.drop_shard(number);
        }
    }

    fn held_epochs(&self) -> BTreeMap<u16, u64> {
        self.held.iter().map(|(shard, lease)| (*shard, lease.epoch)).collect()
    }

    /// This worker, as it decides about leases.
    fn me<'a>(&'a self, held: &'a BTreeMap<u16, u64>) -> Me<'a> {
        Me {
            boot_id: &self.worker.boot_id,
            predecessor: self.predecessor.as_ref(),
            held,
            leaving: self.worker.is_leaving(),
        }
    }

    async fn act(&mut self, leases: &Leases) {
        let held = self.held_epochs();
        let actions = plan(&self.me(&held), leases, &self.members, self.worker.clock.since_boot());
        let mut handing = Vec::new();
        for action in actions {
            match action {
                Action::Drop { shard } => self.drop_shard(shard),
                Action::Take { shard } => self.take(shard, leases).await,
                Action::HandOver { shard, to } => {
                    if self.may_give(shard) {
                        handing.push((shard, to));
                    }
                }
            }
        }
        let at_once = handing.len().div_ceil(HANDED_IN_TURN).max(1);
        let worker = Arc::clone(&self.worker);
        let handovers = handing.into_iter().filter_map(|(shard, to)| {
            // One that is still being opened is handed over when it is open.
            let serving = worker.service.serving(shard)?;
            let lease = self.held.get(&shard).filter(|lease| lease.epoch == serving.epoch)?.clone();
            Some(hand_over(Arc::clone(&worker), Arc::clone(&self.home), serving, lease, to))
        });
        let handed: Vec<u16> = stream::iter(handovers.collect::<Vec<_>>()).buffer_unordered(at_once).collect().await;
        for shard in handed {
            self.held.remove(&shard);
        }
        self.move_next(leases.switch);
    }

    /// Opens the shards that others gave to this worker, in the epoch in which they were given.
    fn open_what_was_given(&mut self) {
        if !self.term.takes_gifts() {
            return;
        }
        let held = self.held_epochs();
        let leases = self.worker.service.leases().living_in(self.home.provider);
        let me = self.me(&held);
        let given = leases.shards.into_iter().filter(|(shard, lease)| is_given(&me, *shard, lease, &self.used));
        for (shard, lease) in given.collect::<Vec<_>>() {
            tracing::info!(shard, epoch = lease.epoch, "was given a shard");
            self.open(shard, lease);
        }
    }

    /// Opens the database of a lease that this worker has.
    fn open(&mut self, shard: u16, lease: Lease) {
        self.used.insert(shard, lease.epoch);
        self.held.insert(shard, lease.clone());
        self.worker.service.opening(shard, lease.epoch);
        let failures = self.failures.get(&shard).map_or(0, |failures| failures.count);
        self.openings.spawn(open(
            Arc::clone(&self.worker),
            Arc::clone(&self.home),
            Arc::clone(&self.term),
            shard,
            lease,
            failures,
        ));
    }

    async fn take(&mut self, shard: u16, leases: &Leases) {
        if !self.term.holds() || self.worker.is_leaving() {
            return;
        }
        let Some(lease) = leases.shards.get(&shard) else { return };
        let floor = lease.holder.as_ref().and_then(|holder| self.members.clock_floor(&holder.boot_id)).unwrap_or(0);
        let me = self.worker.holder();
        let swapped = self.home.registry.swap(shard, lease, |lease| lease.taken_by(me.clone(), floor)).await;
        self.home.note_room(&swapped);
        match swapped {
            Ok(Swap::Won(lease)) => {
                self.worker.service.learn_one(shard, lease.clone());
                tracing::info!(shard, epoch = lease.epoch, "took a shard");
                self.open(shard, lease);
            }
            Ok(Swap::Lost) => {}
            Err(error) => tracing::warn!(shard, %error, "a lease was not taken"),
        }
    }

    fn opened(&mut self, opened: Result<Opened, tokio::task::JoinError>) {
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // Which one is not told; everything that is not served is taken anew.
                tracing::error!(%error, "opening a shard failed in an unforeseen way");
                self.drop_what_is_not_served();
                return;
            }
        };
        let number = opened.number;
        let current = self.held.get(&number).is_some_and(|lease| lease.epoch == opened.lease.epoch);
        match opened.result {
            Ok(shard) if current => {
                self.failures.remove(&number);
                tracing::info!(shard = number, epoch = shard.epoch, "serves a shard");
                let shard = Arc::new(shard);
                self.worker.service.serve(Arc::clone(&shard));
                self.errands.spawn(async move { shard.settle_in().await });
            }
            Ok(shard) => {
                self.errands.spawn(async move { shard.abandon().await });
            }
            Err(error) => {
                tracing::warn!(shard = number, %error, "a shard was not opened; it is tried again");
                if current {
                    self.drop_shard(number);
                }
                let failures = self.failures.entry(number).or_default();
                *failures = Failures { count: failures.count.saturating_add(1), last: error.to_string() };
            }
        }
    }

    /// Says which shards nobody answers for.
    fn report(&self, leases: &Leases) {
        let readiness = &self.home.readiness;
        let unowned: Vec<String> = leases
            .shards
            .iter()
            .filter(|(number, lease)| match &lease.holder {
                None => true,
                Some(holder) if holder.boot_id == self.worker.boot_id => {
                    self.worker.service.serving(**number).is_none() && !self.is_held_by_move(**number)
                }
                Some(holder) => {
                    self.predecessor.as_ref() == Some(&holder.boot_id) || self.members.is_dead(&holder.boot_id)
                }
            })
            .map(|(number, _)| match self.failures.get(number) {
                Some(failures) => format!("{number} ({})", failures.last),
                None => number.to_string(),
            })
            .collect();
        if unowned.is_empty() {
            readiness.clear(WaitingReason::ShardsUnowned);
        } else {
            let message = format!("nobody answers yet for the order shards {}", unowned.join(", "));
            readiness.wait_for(WaitingReason::ShardsUnowned, message);
        }
    }

    /// At the end: closes what could not be handed over in order, and gives back every lease that still names this
    /// worker, so that nobody waits for its heartbeat to grow old.
    async fn hand_over_rest(&mut self) {
        let (worker, home) = (Arc::clone(&self.worker), Arc::clone(&self.home));
        let rest = self.worker.service.shards().into_iter().filter_map(|shard| {
            let lease = self.held.get(&shard.number).filter(|lease| lease.epoch == shard.epoch)?.clone();
            Some(hand_over(Arc::clone(&worker), Arc::clone(&home), shard, lease, None))
        });
        futures::future::join_all(rest).await;
        self.held.clear();
        let Ok((leases, _)) = home.registry.leases().await else { return };
        for (number, lease) in &leases.shards {
            if lease.holder.as_ref().is_some_and(|holder| holder.boot_id == worker.boot_id) {
                let given = home.registry.swap(*number, lease, Lease::given_back).await;
                match given {
                    Ok(Swap::Won(lease)) => worker.service.learn_one(*number, lease),
                    Ok(Swap::Lost) => {}
                    Err(error) => {
                        tracing::warn!(shard = number, %error, "the lease was not given back; it is taken when it is old");
                    }
                }
            }
        }
    }
}

/// Reads all leases, and the heartbeats of all workers or of those that are known.
async fn read(
    registry: &Registry,
    members: &mut Members,
    all: bool,
    clock: &dyn Clock,
) -> Result<Leases, RegistryError> {
    let (leases, _) = registry.leases().await?;
    if all {
        registry.look(members, &leases, clock).await?;
    } else {
        registry.look_at_known(members, &leases, clock).await?;
    }
    registry.sweep(members, clock.since_boot()).await?;
    Ok(leases)
}
