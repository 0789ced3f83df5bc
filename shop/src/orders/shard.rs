//! One order shard: its database, and commands on it one at a time for each order. Does I/O.

mod accepted;
mod import;
mod life;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use slatedb::{
    Db, WriteBatch,
    config::{PutOptions, Ttl},
};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::domain::{
    Command, CommandRecord, Decision, IdempotencyKey, Order, OrderId, Outcome, Refusal, Request, Status, apply,
};

use super::{
    answer::Answer,
    capacity::Capacity,
    clock::{Clock, ShardClock},
    membership::Validity,
    memory::Memory,
    metrics::OrderMetrics,
    object_store_bridge::{Gate, GateKeeper},
    opening::{LOG_FILES, Opened, Opening, Upkeep},
    outbox::Outbox,
    parking::Parking,
    recent::Recent,
    rows::{self, OutboxRow, RowError},
};

/// How long a command's full answer is kept; a later replay gets the order as it is.
const ANSWERS_KEPT: Duration = Duration::from_hours(24);

/// Commands and reads of one shard under way at once; more are shed.
const MOST_AT_ONCE: usize = 512;

/// Packs of accepted commands of one shard under way at once, so that what was queued during a partition takes no more than
/// a share of the shard when it is over.
const MOST_PACKS: usize = 4;

/// Orders share this many turns; two orders with the same turn wait for each other, for as long as a decision takes.
const TURNS: usize = 1024;

/// A term of a worker: from its first heartbeat until its validity lapses.
#[derive(Debug)]
pub(super) struct Term {
    clock: Arc<dyn Clock>,
    validity: Mutex<Validity>,
    /// Whether leases were read since it began. Those that named this worker by then are taken anew: whoever saw it dead before may
    /// be about to take them. Only later ones are gifts.
    knows_leases: AtomicBool,
}

impl Term {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, validity: Mutex::default(), knows_leases: AtomicBool::new(false) }
    }

    /// Changes the validity.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Validity, Duration) -> T) -> T {
        let mut validity = self.validity.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that a later look never has an earlier time.
        let now = self.clock.since_boot();
        change(&mut validity, now)
    }

    /// Whether the worker may answer now.
    pub(super) fn holds(&self) -> bool {
        self.with(|validity, now| validity.holds(now))
    }

    /// Leases were read while it held.
    pub(super) fn learn_leases(&self) {
        self.knows_leases.store(true, Ordering::SeqCst);
    }

    /// Whether leases were read while it held.
    pub(super) fn knows_leases(&self) -> bool {
        self.knows_leases.load(Ordering::SeqCst)
    }

    /// Whether a shard that is given to the worker now is opened at once.
    pub(super) fn takes_gifts(&self) -> bool {
        self.knows_leases() && self.holds()
    }
}

/// Why a shard gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ShardError {
    /// Decided: no.
    #[error("{0}")]
    Refused(Refusal),
    /// This process does not own the shard now, and has done nothing.
    #[error("this worker does not own the shard now")]
    NotOwner,
    /// The shard's owner changed or ended before the answer was durable.
    #[error("the command's outcome is not known")]
    Unknown,
    /// The store has no room, and nothing was done. What was under way when it filled up is [`Self::Unknown`]: the
    /// database holds it, and writes it when there is room.
    #[error("the store is full")]
    Full,
    /// There are too many commands at once.
    #[error("the shard has too much to do")]
    Overloaded,
    /// The worker gets too little of a processor for all that it is asked, and has done nothing.
    #[error("the worker has too much to do")]
    Late,
    /// Commands that this one comes after are not here yet; nothing was done.
    #[error("earlier commands of the order are still on their way")]
    Behind,
    /// A stored row is damaged.
    #[error("a stored row is damaged")]
    Damaged,
}

/// What a decision gives to answer with, once `sequence` is durable.
struct Decided {
    answer: Result<(Order, bool), Refusal>,
    sequence: u64,
    /// Whether a record or a rejected line tells of the command.
    is_recorded: bool,
}

/// What went into the log since its rows were last made a table.
struct Log {
    written: u32,
    since: Duration,
}

impl Log {
    /// Of a shard that was opened `now`: as if a part of the log were written already, for each shard another one. Those of a worker
    /// grow in step, and their tables, made all at once, would take its processor for seconds.
    fn of_new(shard: u16, flush_interval: Duration, now: Duration) -> Self {
        let written = LOG_FILES * u32::from(shard.reverse_bits()) / u32::from(u16::MAX);
        Self { written, since: now.saturating_sub(flush_interval * written) }
    }
}

/// An open shard that this process owns.
pub(super) struct Shard {
    /// Its number.
    pub(super) number: u16,
    /// The epoch of the lease it was opened in.
    pub(super) epoch: u64,
    db: Db,
    gate: Arc<Gate>,
    _keeper: GateKeeper,
    term: Arc<Term>,
    capacity: Arc<Capacity>,
    memory: Memory,
    clock: ShardClock,
    wall: Arc<dyn Clock>,
    turns: Vec<AsyncMutex<()>>,
    admission: Arc<Semaphore>,
    packs: Arc<Semaphore>,
    closing: AtomicBool,
    tasks: TaskTracker,
    outbox: Mutex<Outbox>,
    parking: Mutex<Parking>,
    answered: AtomicU64,
    metrics: OrderMetrics,
    upkeep: Arc<AsyncMutex<Upkeep>>,
    flush_interval: Duration,
    log: Mutex<Log>,
    /// When files were last deleted, as time since boot.
    kept_up_at: Mutex<Duration>,
    #[cfg(feature = "planted-bugs")]
    bug: Option<super::planted::Bug>,
}

impl fmt::Debug for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shard")
            .field("number", &self.number)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// Takes an open database into service. [`settle_in`](Self::settle_in) does what can be done while it answers.
    pub(super) fn serve(
        opening: &Opening,
        opened: Opened,
        term: Arc<Term>,
        capacity: Arc<Capacity>,
        metrics: OrderMetrics,
    ) -> Self {
        let upkeep = Upkeep::new(opening, &opened, Arc::clone(&capacity));
        let Opened { db, gate, keeper, clock } = opened;
        Self {
            number: opening.shard,
            epoch: opening.lease.epoch,
            db,
            gate,
            _keeper: keeper,
            term,
            capacity,
            memory: opening.memory.clone(),
            clock,
            wall: Arc::clone(&opening.clock),
            metrics,
            upkeep: Arc::new(AsyncMutex::new(upkeep)),
            flush_interval: opening.flush_interval,
            log: Mutex::new(Log::of_new(opening.shard, opening.flush_interval, opening.clock.since_boot())),
            kept_up_at: Mutex::new(opening.clock.since_boot()),
            turns: (0..TURNS).map(|_| AsyncMutex::new(())).collect(),
            admission: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            packs: Arc::new(Semaphore::new(MOST_PACKS)),
            closing: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            outbox: Mutex::default(),
            parking: Mutex::default(),
            answered: AtomicU64::new(0),
            #[cfg(feature = "planted-bugs")]
            bug: opening.bug,
        }
    }

    /// Applies a command once and answers when what the answer says is durable.
    pub(super) async fn execute(
        self: &Arc<Self>,
        order: OrderId,
        request: Request,
        deadline: Instant,
    ) -> Result<Answer, ShardError> {
        let began = Instant::now();
        let result = self.try_execute(order, request, deadline).await;
        self.metrics.executed(&result, began.elapsed());
        result
    }

    async fn try_execute(
        self: &Arc<Self>,
        order: OrderId,
        request: Request,
        deadline: Instant,
    ) -> Result<Answer, ShardError> {
        let _answering = self.enter()?;
        let mut under_way = self.capacity.take_on().ok_or(ShardError::Late)?;
        let permit = Arc::clone(&self.admission).try_acquire_owned().map_err(|_| ShardError::Overloaded)?;
        let shard = Arc::clone(self);
        // A task of its own, so that a caller who goes away cannot free the order's turn while its write is under way.
        let deciding = self.tasks.spawn(async move {
            let _permit = permit;
            let decided = shard.decide(order, &request).await?;
            under_way.writes();
            Ok((decided, under_way))
        });
        let (decided, _under_way) = done(deciding, deadline).await?;
        self.wait_until_durable(decided.sequence, deadline).await?;
        self.answer(decided.answer)
    }

    /// Reads an order as it is durably stored, with all that the commands `after` made of it.
    pub(super) async fn read(
        &self,
        order: OrderId,
        after: &[IdempotencyKey],
        deadline: Instant,
    ) -> Result<Answer, ShardError> {
        let _answering = self.enter()?;
        let _under_way = self.capacity.take_on().ok_or(ShardError::Late)?;
        let _permit = self.admission.try_acquire().map_err(|_| ShardError::Overloaded)?;
        let reading = tokio::time::timeout_at(deadline, async {
            let stored = self.order(order).await?;
            self.must_know(order, stored.as_deref(), after).await?;
            // Some of them may have been applied between the two looks.
            if after.is_empty() { Ok(stored) } else { self.order(order).await }
        });
        let stored = reading.await.map_err(|_late| ShardError::NotOwner)??;
        let (order, sequence) = match stored {
            Some(stored) => (Ok((stored.order.clone(), false)), stored.sequence),
            None => (Err(Refusal::OrderNotFound), 0),
        };
        // Nothing was done, so nothing is unknown.
        self.wait_until_durable(sequence, deadline).await.map_err(|error| match error {
            ShardError::Unknown => ShardError::NotOwner,
            other => other,
        })?;
        self.answer(order)
    }

    /// The turn of an order, in which nobody else decides about it.
    async fn turn(&self, id: OrderId) -> tokio::sync::MutexGuard<'_, ()> {
        let turn = usize::from(u16::from_be_bytes([id.as_bytes()[0], id.as_bytes()[1]])) % TURNS;
        self.turns[turn].lock().await
    }

    fn enter(&self) -> Result<TaskTrackerToken, ShardError> {
        let token = self.keep_open();
        // Before anything else: a store without room takes the worker's heartbeats, and so its shards, away as well.
        if self.gate.is_full() {
            return Err(ShardError::Full);
        }
        token.filter(|_| self.term.holds()).ok_or(ShardError::NotOwner)
    }

    /// What closing waits for; none when it has begun.
    fn keep_open(&self) -> Option<TaskTrackerToken> {
        // The token first: whoever closes sets the flag and then waits for all tokens.
        let token = self.tasks.token();
        (!self.is_closing()).then_some(token)
    }

    /// Decides about a command that its customer waits for.
    async fn decide(&self, id: OrderId, request: &Request) -> Result<Decided, ShardError> {
        let _turn = self.turn(id).await;
        let stored = self.order(id).await?;
        self.must_know(id, stored.as_deref(), &request.after).await?;
        let decided = self.settle(id, stored, request, None).await?;
        self.unpark(id).await;
        Ok(decided)
    }

    /// Decides and writes, as the only one for this order. `parked` is the name of the row under which the command waited.
    async fn settle(
        &self,
        id: OrderId,
        stored: Option<Arc<Recent>>,
        request: &Request,
        parked: Option<&[u8]>,
    ) -> Result<Decided, ShardError> {
        let order_name = rows::order_name(id);
        let command_name = rows::command_name(id, &request.key);
        let (order, at) = stored.as_deref().map_or((None, 0), |stored| (Some(&stored.order), stored.sequence));
        let seen = match stored.as_deref() {
            Some(stored) if stored.may_have(&request.key) => self.get(&command_name).await?.map(|(record, _)| record),
            // Commands are written together with their order.
            Some(_) | None => None,
        };
        let now = self.wall.wall();
        let (mut batch, mut written) = (WriteBatch::new(), None);
        if let Some(name) = parked {
            batch.delete(name);
        }
        let (answer, is_recorded) = match apply(id, order, seen.as_ref(), request, now) {
            Decision::Reject(refusal) => {
                let is_kept = order.is_some_and(|order| order.has_rejected(&request.key));
                (Err(refusal), is_kept)
            }
            Decision::Replay(Outcome::Refused(refusal)) => (Err(refusal), true),
            Decision::Replay(Outcome::Applied { .. }) => {
                let kept = self.get::<Order>(&rows::answer_name(id, &request.key)).await?;
                let order = kept.map(|(order, _)| order).or_else(|| order.cloned()).ok_or(ShardError::Damaged)?;
                (Ok((order, true)), true)
            }
            Decision::Keep { order, refusal } => {
                put(&mut batch, &order_name, &order)?;
                written = Some((order, None));
                (Err(refusal), true)
            }
            Decision::Refuse { order, record, refusal } => {
                put(&mut batch, &order_name, &order)?;
                put(&mut batch, &command_name, &record)?;
                written = Some((order, Some(&request.key)));
                (Err(refusal), true)
            }
            Decision::Apply { order, record } => {
                put(&mut batch, &order_name, &order)?;
                put(&mut batch, &command_name, &record)?;
                #[cfg(feature = "planted-bugs")]
                if self.bug == Some(super::planted::Bug::ForgetCommand) {
                    batch.delete(&command_name);
                }
                let answer_name = rows::answer_name(id, &request.key);
                let kept = rows::encode(&answer_name, &order).map_err(damaged)?;
                if kept.len() <= rows::MAX_KEPT_ANSWER {
                    let millis = u64::try_from(ANSWERS_KEPT.as_millis()).unwrap_or(u64::MAX);
                    batch.put_with_options(&answer_name, &kept, &PutOptions { ttl: Ttl::ExpireAfterMillis(millis) });
                }
                let outbox_name = rows::outbox_name(id);
                if request.command == Command::Submit {
                    put(&mut batch, &outbox_name, &OutboxRow { submitted_at: now })?;
                } else if order.status != Status::Open {
                    batch.delete(&outbox_name);
                }
                written = Some((order.clone(), Some(&request.key)));
                (Ok((order, false)), true)
            }
        };
        let sequence = match written {
            None if batch.is_empty() => at,
            None => self.write(batch).await?,
            Some((order, command)) => {
                // What could not be written may have been all the same.
                self.memory.orders.forget(id).await;
                let sequence = self.write(batch).await?;
                self.memory.orders.keep(Recent::written(stored.as_deref(), order, sequence, command)).await;
                sequence
            }
        };
        if let Ok((order, false)) = &answer {
            // A hint that is sent before the submit is durable does no harm: whoever takes it asks here again.
            match order.status {
                Status::Submitted => self.outbox().submitted(id),
                Status::Open | Status::Confirmed | Status::Fulfilled | Status::Cancelled => self.outbox().settled(id),
            }
        }
        Ok(Decided { answer, sequence, is_recorded })
    }

    /// Whether each of these commands of an order is known to be applied or refused.
    async fn must_know(
        &self,
        id: OrderId,
        stored: Option<&Recent>,
        commands: &[IdempotencyKey],
    ) -> Result<(), ShardError> {
        #[cfg(feature = "planted-bugs")]
        if self.bug == Some(super::planted::Bug::ApplyBeforeAfter) {
            return Ok(());
        }
        for key in commands {
            let is_known = stored.is_some_and(|stored| stored.order.has_rejected(key))
                || self.get::<CommandRecord>(&rows::command_name(id, key)).await?.is_some();
            if !is_known {
                return Err(ShardError::Behind);
            }
        }
        Ok(())
    }

    /// An order as it was last written, durably or not.
    async fn order(&self, id: OrderId) -> Result<Option<Arc<Recent>>, ShardError> {
        if let Some(recent) = self.memory.orders.get(id).await {
            return Ok(Some(recent));
        }
        let stored = self.get::<Order>(&rows::order_name(id)).await?;
        Ok(stored.map(|(order, sequence)| Arc::new(Recent::read(order, sequence))))
    }

    async fn get<T: DeserializeOwned>(&self, name: &[u8]) -> Result<Option<(T, u64)>, ShardError> {
        match self.db.get_key_value(name).await {
            Ok(Some(row)) => Ok(Some((rows::decode(name, &row.value).map_err(damaged)?, row.seq))),
            Ok(None) => Ok(None),
            Err(error) => {
                tracing::warn!(shard = self.number, %error, "reading a row failed");
                Err(ShardError::NotOwner)
            }
        }
    }

    async fn write(&self, batch: WriteBatch) -> Result<u64, ShardError> {
        match self.db.write(batch).await {
            Ok(handle) => {
                let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                log.written = log.written.saturating_add(1);
                Ok(handle.seqnum())
            }
            Err(error) => {
                tracing::warn!(shard = self.number, %error, "writing a command failed");
                Err(ShardError::Unknown)
            }
        }
    }

    async fn wait_until_durable(&self, sequence: u64, deadline: Instant) -> Result<(), ShardError> {
        #[cfg(feature = "planted-bugs")]
        if self.bug == Some(super::planted::Bug::AnswerBeforeFlush) {
            return Ok(());
        }
        let mut status = self.db.subscribe();
        // A database that is closed in order is marked as closed before its last flush, so only another end is one.
        let reached = status.wait_for(|status| {
            let failed = status.close_reason.is_some_and(|reason| reason != slatedb::CloseReason::Clean);
            status.durable_seq >= sequence || failed
        });
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(status)) if status.durable_seq >= sequence => Ok(()),
            Ok(_) | Err(_) => Err(ShardError::Unknown),
        }
    }

    /// The last look before an answer leaves: what was read may be shown only while no other owner can have written.
    fn answer(&self, decided: Result<(Order, bool), Refusal>) -> Result<Answer, ShardError> {
        if !self.term.holds() {
            return Err(ShardError::Unknown);
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        let (order, replayed) = decided.map_err(ShardError::Refused)?;
        let persisted_at: Timestamp = self.wall.wall();
        Ok(Answer { order, persisted_at, replayed })
    }

    /// Whether it answers nothing new since it is being closed.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    fn outbox(&self) -> std::sync::MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parking(&self) -> std::sync::MutexGuard<'_, Parking> {
        self.parking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many answers the shard has given.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The newest time that the database may have stored, milliseconds since 1970.
    pub(super) fn clock_millis(&self) -> i64 {
        self.clock.millis()
    }

    /// Whether the database has ended by itself (fenced, or a write that failed for good).
    pub(super) fn has_ended(&self) -> bool {
        self.db.status().close_reason.is_some()
    }
}

/// What came of a task of a shard; past the deadline it goes on, and nobody knows.
async fn done<T>(task: JoinHandle<Result<T, ShardError>>, deadline: Instant) -> Result<T, ShardError> {
    match tokio::time::timeout_at(deadline, task).await {
        Ok(Ok(result)) => result,
        Ok(Err(_ended)) => Err(ShardError::Unknown),
        Err(_late) => Err(ShardError::Unknown),
    }
}

fn put<T: serde::Serialize>(batch: &mut WriteBatch, name: &[u8], row: &T) -> Result<(), ShardError> {
    batch.put(name, rows::encode(name, row).map_err(damaged)?);
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn damaged(error: RowError) -> ShardError {
    tracing::error!(%error, "a stored row cannot be used");
    ShardError::Damaged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_of_a_worker_make_their_tables_by_turns() {
        let part = |shard| Log::of_new(shard, Duration::from_millis(80), Duration::from_hours(1)).written;
        assert_eq!([0, 1, 2, 3].map(part), [0, 150, 75, 225]);
    }
}
