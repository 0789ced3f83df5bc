//! A worker: owns order shards, answers for them, and drives heartbeats, leases, hints and upkeep until told to end. Does I/O.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use shop_contract::{
    config::ShopConfig,
    status::{OwnedShard, PodStatus, QueueStatus, WaitingReason},
};
use storage_adapters::{Store, config::Provider};
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{OrderId, Request, shard_of},
    readiness::Readiness,
};

use super::{
    answer::Answer,
    client::{self, ClientError, OrderClient},
    clock::{Clock, MachineClock},
    export::Exported,
    hints,
    import::Imported,
    lease::Lease,
    membership::{BootId, Heartbeat, Pace},
    metrics::OrderMetrics,
    predecessor::Succession,
    records::{OpenError, Role, ShopOpener, ShopRecords},
    registry::{Registry, RegistryError},
    service::Service,
    shard::{Shard, ShardError, Term},
    stewardship::Stewardship,
    token::InternalToken,
};

/// How often the store is looked at while it is not this shop's yet.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// How soon a heartbeat that failed is sent again.
const BEAT_AGAIN: Duration = Duration::from_millis(500);

/// How often the queue's depth and the dead letters are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// How often they are counted while there are no commands, for cost.
const COUNT_IDLE_EVERY: Duration = Duration::from_secs(30);

/// How often shards are looked over for upkeep.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Shortest time between two writes of a shard in a cloud; each takes about that long itself.
const SHORTEST_CLOUD_FLUSH: Duration = Duration::from_millis(50);

/// Longest time that commands are gathered: an answer has half a second, and the write comes on top.
const LONGEST_CLOUD_FLUSH: Duration = Duration::from_millis(200);

/// Everything a worker needs to run.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The shop's config.
    pub config: ShopConfig,
    /// The shop's open store.
    pub store: Store,
    /// `host:port` at which other pods reach this worker's internal API.
    pub address: String,
    /// The token of the internal API.
    pub token: InternalToken,
    /// A folder of this pod that outlives a restart of its container; with it a restarted worker is back at once.
    pub state_folder: Option<PathBuf>,
    /// How long commands are gathered before they are written together.
    pub flush_interval: Duration,
    /// What the process waits for.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: OrderMetrics,
}

impl WorkerSettings {
    /// How long commands are gathered on a store of this provider. A disk charges nothing for a write; a cloud does, so
    /// all shards together make at most 20 writes a second there, as far as answers stay quick.
    #[must_use]
    pub fn flush_interval_of(provider: Provider, shards: u16) -> Duration {
        match provider {
            Provider::Embedded => Duration::from_millis(20),
            Provider::Aws | Provider::Azure => {
                (Duration::from_secs(1) / 20 * u32::from(shards)).clamp(SHORTEST_CLOUD_FLUSH, LONGEST_CLOUD_FLUSH)
            }
        }
    }
}

/// Why a worker ended that was not told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The lock file cannot be used.
    #[error("the state folder {folder} cannot be used; mend its permissions or name another")]
    StateFolder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The client for internal requests cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A part of the worker ended by itself, which is a defect.
    #[error("a part of the worker ended by itself; report it")]
    Part(#[from] JoinError),
}

/// A worker. It runs while [`run`](Self::run) is awaited; its internal API answers at any time.
pub struct Worker {
    pub(super) settings: WorkerSettings,
    pub(super) boot_id: BootId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Registry,
    pub(super) http: reqwest::Client,
    /// Tells the lease loop to look now.
    pub(super) look: Notify,
    /// Tells the lease loop that a lease was given to this worker.
    pub(super) gifts: Notify,
    /// The shards that this worker serves.
    pub(super) service: Service,
    term: Mutex<Arc<Term>>,
    records: OnceLock<ShopRecords>,
    queue: Mutex<Option<QueueStatus>>,
    /// Whether the store had no room for the newest heartbeat or lease.
    full: AtomicBool,
    leaving: AtomicBool,
    /// Whether there has been no command for a while.
    idle: AtomicBool,
    beats: AtomicU64,
    #[cfg(feature = "planted-bugs")]
    pub(super) bug: Mutex<Option<super::planted::Bug>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Worker").field("boot_id", &self.boot_id).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that does nothing yet.
    ///
    /// # Errors
    /// When the client for internal requests cannot be made.
    pub fn new(settings: WorkerSettings) -> Result<Arc<Self>, WorkerError> {
        let clock: Arc<dyn Clock> = Arc::new(MachineClock);
        let boot_id = BootId::new(Uuid::new_v4());
        Ok(Arc::new(Self {
            service: Service::new(boot_id.clone()),
            boot_id,
            registry: Registry::new(Arc::clone(&settings.store.blobs)).map_err(ClientError::from)?,
            http: client::http().map_err(ClientError::from)?,
            look: Notify::new(),
            gifts: Notify::new(),
            term: Mutex::new(Arc::new(Term::new(Arc::clone(&clock)))),
            records: OnceLock::new(),
            queue: Mutex::new(None),
            full: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            idle: AtomicBool::new(false),
            beats: AtomicU64::new(0),
            #[cfg(feature = "planted-bugs")]
            bug: Mutex::new(super::planted::Bug::planted()),
            clock,
            settings,
        }))
    }

    /// Works until `ending` is cancelled, then hands over what it owns. The internal API must answer meanwhile.
    ///
    /// # Errors
    /// When the state folder cannot be used, or a part of it ends by itself.
    pub async fn run(self: &Arc<Self>, ending: CancellationToken) -> Result<(), WorkerError> {
        let succession = match &self.settings.state_folder {
            None => Succession::unknown(),
            Some(folder) => Succession::take(folder, &self.boot_id)
                .map_err(|source| WorkerError::StateFolder { folder: folder.clone(), source })?,
        };
        let Some(Some(records)) = ending.run_until_cancelled(self.open()).await else {
            return Ok(());
        };
        let client = Arc::new(OrderClient::new(
            Arc::clone(&self.settings.store.blobs),
            records.clone(),
            self.settings.token.clone(),
        )?);
        let _ = self.records.set(records);
        self.settings.readiness.wait_for(WaitingReason::ShardsUnowned, "the worker has yet to look for free shards");
        self.settings.readiness.clear(WaitingReason::Starting);

        // Everything but the stewardship ends first: what it hands over must be at rest.
        let beating = CancellationToken::new();
        let mut parts: JoinSet<()> = JoinSet::new();
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { hints::publish(&worker, &until).await });
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { hints::consume(&worker, &client, &until).await });
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { worker.count(&until).await });
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { worker.shorten_logs(&until).await });
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { worker.keep_up(&until).await });
        let (worker, until) = (Arc::clone(self), beating.clone());
        parts.spawn(async move { worker.beat(&until).await });

        let stewardship = Stewardship::new(Arc::clone(self), succession.predecessor.clone());
        let mut steward = JoinSet::new();
        steward.spawn(stewardship.run(ending.clone()));
        let ended = tokio::select! {
            ended = steward.join_next() => ended.transpose(),
            // While nobody told it to end, a part that ends has failed.
            Some(failed) = parts.join_next(), if !ending.is_cancelled() => {
                if ending.is_cancelled() { steward.join_next().await.transpose() } else { failed.map(Some) }
            }
        };
        beating.cancel();
        ending.cancel();
        while let Some(part) = parts.join_next().await {
            part?;
        }
        if let Err(error) = self.registry.still(&self.boot_id).await {
            tracing::warn!(%error, "the heartbeat was not taken away; others wait until it is old");
        }
        ended?;
        Ok(())
    }

    /// Waits until the store is this shop's. `None` never, but the type of a loop without end wants a value.
    async fn open(&self) -> Option<ShopRecords> {
        let config = &self.settings.config;
        let blobs = Arc::clone(&self.settings.store.blobs);
        let mut opener = ShopOpener::new(blobs, config.shop.clone(), &config.orders, Role::Worker);
        let mut before: Option<WaitingReason> = None;
        loop {
            match self.open_once(&mut opener).await {
                Ok(records) => {
                    if let Some(reason) = before {
                        self.settings.readiness.clear(reason);
                    }
                    return Some(records);
                }
                Err(error) => {
                    let waiting = error.waiting();
                    if before != Some(waiting.reason) {
                        tracing::warn!(%error, "the store cannot be used yet");
                        if let Some(reason) = before.filter(|reason| *reason != WaitingReason::Starting) {
                            self.settings.readiness.clear(reason);
                        }
                    }
                    before = Some(waiting.reason);
                    self.settings.readiness.wait_for(waiting.reason, waiting.message);
                }
            }
            tokio::time::sleep(OPEN_AGAIN).await;
        }
    }

    /// Looks whose the store is, shows a sign of life, and looks again: whoever takes the store over looks for signs of
    /// life after writing its name, so one of the two sees the other.
    async fn open_once(&self, opener: &mut ShopOpener) -> Result<ShopRecords, OpenError> {
        opener.attempt(self.clock.since_boot()).await?;
        self.send_heartbeat(Pace::BUSY).await.map_err(|error| OpenError::Unavailable(error.to_string()))?;
        opener.attempt(self.clock.since_boot()).await
    }

    /// Sends heartbeats until told to end.
    async fn beat(&self, ending: &CancellationToken) {
        let (mut answered, mut active_at) = (0, self.clock.since_boot());
        loop {
            let started = Instant::now();
            let now: u64 = self.service.shards().iter().map(|shard| shard.answered()).sum();
            if now != answered {
                (answered, active_at) = (now, self.clock.since_boot());
            }
            let idle = self.clock.since_boot().saturating_sub(active_at) >= Pace::IDLE_AFTER;
            self.idle.store(idle, Ordering::Relaxed);
            let pace = if idle { Pace::IDLE } else { Pace::BUSY };
            let next = match self.send_heartbeat(pace).await {
                Ok(()) => started + pace.every,
                Err(error) => {
                    tracing::warn!(%error, "a heartbeat was not sent");
                    started + BEAT_AGAIN
                }
            };
            if ending.run_until_cancelled(tokio::time::sleep_until(next)).await.is_none() {
                return;
            }
        }
    }

    pub(super) async fn send_heartbeat(&self, pace: Pace) -> Result<(), RegistryError> {
        let term = self.term();
        let clock_millis = self.service.shards().iter().map(|shard| shard.clock_millis()).max();
        let heartbeat = Heartbeat {
            boot_id: self.boot_id.clone(),
            address: self.settings.address.clone(),
            ttl_millis: u64::try_from(pace.ttl.as_millis()).unwrap_or(u64::MAX),
            clock_millis: clock_millis.unwrap_or_else(|| self.clock.wall().as_millisecond()),
            beat: self.beats.fetch_add(1, Ordering::Relaxed),
            leaving: self.is_leaving(),
        };
        let start = term.with(|validity, now| {
            validity.starting(now, pace.ttl);
            now
        });
        let sent = self.registry.beat(&heartbeat).await;
        self.note_room(&sent);
        sent?;
        term.with(|validity, now| validity.confirmed(start, pace.ttl, now));
        Ok(())
    }

    /// Counts the queue and the dead letters until told to end.
    async fn count(&self, ending: &CancellationToken) {
        loop {
            let Some(counted) = ending.run_until_cancelled(hints::count(&self.settings.store)).await else { return };
            match counted {
                Ok(status) => {
                    self.settings.metrics.set_queue(status.depth, status.dead_letters);
                    *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
                }
                Err(error) => tracing::debug!(%error, "the queue was not counted"),
            }
            let pause = if self.is_idle() { COUNT_IDLE_EVERY } else { COUNT_EVERY };
            if ending.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Keeps the logs of the databases short until told to end.
    async fn shorten_logs(&self, ending: &CancellationToken) {
        loop {
            let shards = self.service.shards();
            futures::future::join_all(shards.iter().map(|shard| shard.shorten_log())).await;
            if ending.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Keeps the databases small until told to end: one after the other, since merging takes processor time that commands
    /// wait for.
    async fn keep_up(&self, ending: &CancellationToken) {
        loop {
            for shard in self.service.shards() {
                shard.keep_up(ending).await;
            }
            if ending.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Whether there has been no command for a while.
    pub(super) fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed)
    }

    /// Remembers whether the store had room for a record.
    pub(super) fn note_room<T>(&self, result: &Result<T, RegistryError>) {
        match result {
            Ok(_) => self.full.store(false, Ordering::Relaxed),
            Err(error) if error.is_full() => self.full.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }

    /// The term that runs.
    pub(super) fn term(&self) -> Arc<Term> {
        Arc::clone(&self.term.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a new term; the one before never comes back.
    pub(super) fn begin_term(&self) {
        *self.term.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Term::new(Arc::clone(&self.clock)));
    }

    /// Whether it is on its way out.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// From now on it takes nothing more.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.settings.readiness.wait_for(WaitingReason::ShuttingDown, "the worker hands its shards over and ends");
    }

    /// Applies a command to an order of a shard that this worker owns.
    pub(super) async fn execute(
        &self,
        order: OrderId,
        request: Request,
        deadline: Instant,
    ) -> Result<Answer, ShardError> {
        let ask = |shard: Arc<Shard>| {
            let request = request.clone();
            async move { shard.execute(order, request, deadline).await }
        };
        self.on_shard(order, deadline, ask).await
    }

    /// Reads an order of a shard that this worker owns.
    pub(super) async fn read(&self, order: OrderId, deadline: Instant) -> Result<Answer, ShardError> {
        self.on_shard(order, deadline, |shard| async move { shard.read(order, deadline).await }).await
    }

    /// Takes an exported order into a shard that this worker owns.
    pub(super) async fn import(&self, exported: Arc<Exported>, deadline: Instant) -> Result<Imported, ShardError> {
        let ask = |shard: Arc<Shard>| {
            let exported = Arc::clone(&exported);
            async move { shard.import(exported, deadline).await }
        };
        self.on_shard(exported.order.id, deadline, ask).await
    }

    async fn on_shard<T, F>(
        &self,
        order: OrderId,
        deadline: Instant,
        ask: impl Fn(Arc<Shard>) -> F,
    ) -> Result<T, ShardError>
    where
        F: Future<Output = Result<T, ShardError>>,
    {
        loop {
            let shard = self.owned(order, deadline).await?;
            match ask(Arc::clone(&shard)).await {
                // It began to close after it was found, and did nothing.
                Err(ShardError::NotOwner) if shard.is_closing() => {}
                result => return result,
            }
        }
    }

    async fn owned(&self, order: OrderId, deadline: Instant) -> Result<Arc<Shard>, ShardError> {
        let number = self.shard_of(order).ok_or(ShardError::NotOwner)?;
        match self.service.at_rest(number, deadline).await? {
            Some(shard) => Ok(shard),
            // Without room for heartbeats it could not keep its shards: say why, not just that it has none.
            None if self.full.load(Ordering::Relaxed) => Err(ShardError::Full),
            None => Err(ShardError::NotOwner),
        }
    }

    fn shard_of(&self, order: OrderId) -> Option<u16> {
        Some(shard_of(order, self.records.get()?.shards))
    }

    /// The newest lease of an order's shard that this worker has seen.
    pub(super) fn lease_of(&self, order: OrderId) -> Option<Lease> {
        self.service.lease(self.shard_of(order)?)
    }

    /// How this pod fares.
    #[must_use]
    pub fn status(&self) -> PodStatus {
        PodStatus {
            boot_id: self.boot_id.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store_owner: self.records.get().map(|records| records.owner.clone()),
            waiting: self.settings.readiness.waiting(),
            shards: self
                .service
                .shards()
                .iter()
                .map(|shard| OwnedShard { shard: shard.number, epoch: shard.epoch })
                .collect(),
            queue: self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
