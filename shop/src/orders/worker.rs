//! A worker: owns order shards, answers for them, and drives heartbeats, leases, hints and upkeep until told to end. Does I/O.

mod houses;
mod questions;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use shop_contract::{
    config::ShopConfig,
    status::{OwnedShard, PodStatus, QueueStatus, WaitingReason},
    switch::Switch,
};
use storage_adapters::{Queue, Store, config::Provider};
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::readiness::Readiness;

use super::{
    blobs,
    capacity::Capacity,
    client::{ClientError, OrderClient},
    clock::{Clock, MachineClock, SteadyClock},
    copy_progress::CopyProgress,
    dead_letters, hints,
    home::Home,
    inbox::Inbox,
    membership::{BootId, Pace},
    memory::Memories,
    metrics::OrderMetrics,
    other_store::OtherStore,
    predecessor::Succession,
    recent::RecentOrders,
    records::{OpenError, Role, ShopOpener, ShopRecords},
    service::Service,
    switch_report::Reported,
    token::InternalToken,
    transport::{Http, Transport},
};

/// How often the store is looked at while it is not this shop's yet.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// How often the queue's depth and the dead letters are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// How often they are counted while there are no commands, for cost.
const COUNT_IDLE_EVERY: Duration = Duration::from_secs(30);

/// How often shards are looked over for upkeep.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Writes a second of all shards together, within the bounds below: a cloud charges for each, and on a disk each takes a processor
/// the time of some commands.
const CLOUD_WRITES: u32 = 20;
const DISK_WRITES: u32 = 50;

/// Shortest time between two writes of a shard in a cloud; each takes about that long itself.
const SHORTEST_CLOUD_FLUSH: Duration = Duration::from_millis(50);

/// Longest time that commands are gathered: an answer has half a second, and the write comes on top. On a disk less than an owner
/// has before others are asked as well.
const LONGEST_CLOUD_FLUSH: Duration = Duration::from_millis(200);
const LONGEST_DISK_FLUSH: Duration = Duration::from_millis(100);

/// Everything a worker needs to run.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The shop's config.
    pub config: ShopConfig,
    /// The shop's open store.
    pub store: Store,
    /// The stores of other providers, whose queues are emptied as well.
    pub others: Vec<Arc<OtherStore>>,
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
    /// How long commands are gathered on a store of this provider: so that all shards together make few writes a second, as far
    /// as answers stay quick.
    #[must_use]
    pub fn flush_interval_of(provider: Provider, shards: u16) -> Duration {
        let (writes, shortest, longest) = match provider {
            Provider::Embedded => (DISK_WRITES, Duration::ZERO, LONGEST_DISK_FLUSH),
            Provider::Aws | Provider::Azure => (CLOUD_WRITES, SHORTEST_CLOUD_FLUSH, LONGEST_CLOUD_FLUSH),
        };
        (Duration::from_secs(1) / writes * u32::from(shards)).clamp(shortest, longest)
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
    /// The clock that databases go by.
    pub(super) steady: Arc<dyn Clock>,
    /// The store that it was started with.
    pub(super) home: Arc<Home>,
    /// All stores that it keeps house in.
    homes: RwLock<Vec<Arc<Home>>>,
    /// Those that shards live in, or are to.
    wanted_homes: watch::Sender<BTreeSet<Provider>>,
    /// The newest wish where the shards are to live.
    switch: Mutex<Option<Switch>>,
    /// Number of the newest wish of which everything but the order shards is where it is to be; 0 of none.
    settled: AtomicU64,
    /// Why nothing moves to a store that it was to move to, by that.
    obstacles: Mutex<BTreeMap<Provider, String>>,
    /// How far copying shards to another store is.
    pub(super) copying: Arc<CopyProgress>,
    /// The report of the newest switch that is over.
    pub(super) reported: Reported,
    /// Whoever reads whole databases, to merge or to compare them, takes turns: each takes memory of its own.
    pub(super) whole_reads: AsyncMutex<()>,
    pub(super) transport: Arc<dyn Transport>,
    /// Tells the inboxes that a customer waits for a command that is in a queue.
    pub(super) wanted_packs: watch::Sender<()>,
    /// The shards that this worker serves.
    pub(super) service: Service,
    /// What it may have under way.
    pub(super) capacity: Arc<Capacity>,
    /// What it has decided about lately.
    pub(super) recent: Arc<RecentOrders>,
    /// What it knows of shards that are between two openings.
    pub(super) memories: Memories,
    pub(super) records: OnceLock<ShopRecords>,
    /// What the queues held, and when that was begun to count.
    queue: Mutex<Option<(Duration, QueueStatus)>>,
    leaving: AtomicBool,
    /// Whether there has been no command for a while.
    idle: AtomicBool,
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
        let transport = Arc::new(Http::new().map_err(ClientError::from)?);
        Self::over(transport, Arc::new(MachineClock), settings)
    }

    /// A worker that asks others over this transport and goes by this clock.
    pub(super) fn over(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        settings: WorkerSettings,
    ) -> Result<Arc<Self>, WorkerError> {
        let boot_id = BootId::new(Uuid::new_v4());
        let provider = settings.config.storage.provider;
        let blobs = Arc::clone(&settings.store.blobs);
        let home = Home::new(provider, blobs, settings.flush_interval, Arc::clone(&clock), &settings.readiness);
        let home = Arc::new(home.map_err(ClientError::from)?);
        Ok(Arc::new(Self {
            service: Service::new(boot_id.clone()),
            capacity: Arc::default(),
            recent: Arc::default(),
            memories: Memories::default(),
            boot_id,
            homes: RwLock::new(vec![Arc::clone(&home)]),
            home,
            wanted_homes: watch::Sender::default(),
            switch: Mutex::new(None),
            settled: AtomicU64::new(0),
            obstacles: Mutex::default(),
            copying: Arc::default(),
            reported: Reported::default(),
            whole_reads: AsyncMutex::default(),
            transport,
            wanted_packs: watch::Sender::default(),
            records: OnceLock::new(),
            queue: Mutex::new(None),
            leaving: AtomicBool::new(false),
            idle: AtomicBool::new(false),
            #[cfg(feature = "planted-bugs")]
            bug: Mutex::new(super::planted::Bug::planted()),
            steady: Arc::new(SteadyClock::new(Arc::clone(&clock))),
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
        let client = Arc::new(
            OrderClient::over(
                Arc::clone(&self.transport),
                Arc::clone(&self.settings.store.blobs),
                records.clone(),
                self.settings.token.clone(),
            )?
            .looking_into(self.settings.others.clone()),
        );
        let _ = self.records.set(records);
        self.home.readiness.wait_for(WaitingReason::ShardsUnowned, "the worker has yet to look for free shards");
        self.settings.readiness.clear(WaitingReason::Starting);

        // Everything but the stewardship ends first: what it hands over must be at rest.
        let mut parts: JoinSet<()> = JoinSet::new();
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { hints::publish(&worker, &until).await });
        let (worker, until, asking) = (Arc::clone(self), ending.clone(), Arc::clone(&client));
        parts.spawn(async move {
            let (of, provider) = (&worker.settings.store, worker.home.provider);
            Inbox { worker: &worker, client: &asking, of, provider }.empty(&until).await;
        });
        for other in &self.settings.others {
            let (worker, other, until) = (Arc::clone(self), Arc::clone(other), ending.clone());
            let asking = Arc::clone(&client);
            parts.spawn(async move {
                let Some(of) = until.run_until_cancelled(other.open()).await else { return };
                Inbox { worker: &worker, client: &asking, of, provider: other.provider() }.empty(&until).await;
            });
        }
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { worker.count(&until).await });
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { worker.shorten_logs(&until).await });
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { worker.keep_up(&until).await });
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move { worker.look_over_parked(&until).await });
        let (worker, until) = (Arc::clone(self), ending.clone());
        parts.spawn(async move {
            until.run_until_cancelled(worker.capacity.watch(&worker.settings.metrics)).await;
            worker.capacity.restore();
        });
        let mut stewards: JoinSet<()> = JoinSet::new();
        let keeping =
            Arc::clone(self).keep_house(Arc::clone(&self.home), succession.predecessor.clone(), ending.clone());
        stewards.spawn(keeping);
        for other in &self.settings.others {
            let (worker, other, until) = (Arc::clone(self), Arc::clone(other), ending.clone());
            stewards.spawn(worker.keep_house_elsewhere(other, succession.predecessor.clone(), until));
        }
        let ended = tokio::select! {
            ended = all_ended(&mut stewards) => ended,
            // While nobody told it to end, a part that ends has failed.
            Some(failed) = parts.join_next(), if !ending.is_cancelled() => {
                if ending.is_cancelled() { all_ended(&mut stewards).await } else { failed }
            }
        };
        ending.cancel();
        all_ended(&mut parts).await?;
        ended?;
        Ok(())
    }

    /// Waits until the store is this shop's. `None` never, but the type of a loop without end wants a value.
    async fn open(&self) -> Option<ShopRecords> {
        let config = &self.settings.config;
        let blobs = Arc::clone(&self.settings.store.blobs);
        let mut opener = ShopOpener::new(blobs, config.shop.clone(), &config.orders, Role::Worker(self.home.provider));
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
        self.send_heartbeat(&self.home, Pace::BUSY).await.map_err(|error| OpenError::Unavailable(error.to_string()))?;
        opener.attempt(self.clock.since_boot()).await
    }

    /// Counts the queues and the dead letters until told to end.
    async fn count(&self, ending: &CancellationToken) {
        loop {
            let begun = self.clock.since_boot();
            let Some(counted) = ending.run_until_cancelled(self.count_once()).await else {
                return;
            };
            match counted {
                Ok(status) => {
                    self.settings.metrics.set_queue(status.depth, status.dead_letters);
                    *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun, status));
                }
                Err(error) => tracing::debug!(%error, "the queue was not counted"),
            }
            let pause = if self.is_idle() { COUNT_IDLE_EVERY } else { COUNT_EVERY };
            if ending.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn count_once(&self) -> Result<QueueStatus, storage_adapters::Error> {
        let WorkerSettings { store, others, .. } = &self.settings;
        let here = queue_length(&*store.queue).await?;
        let mut elsewhere = BTreeMap::new();
        for other in others {
            // One that is out of reach hides nothing of the others.
            if let Ok(length) = self.length_beside(other).await {
                elsewhere.insert(other.provider(), length);
            }
        }
        let depth = here + elsewhere.values().sum::<u64>();
        Ok(QueueStatus { depth, elsewhere, dead_letters: dead_letters::count(&*store.blobs).await?, age_millis: 0 })
    }

    /// About how many messages are in the queue of a store beside the home. Whoever finds that of a disk empty is to find its dead
    /// letters at home: soon no pod may mount it any more.
    async fn length_beside(&self, other: &OtherStore) -> Result<u64, storage_adapters::Error> {
        let length = queue_length(other).await?;
        if let Some((Provider::Embedded, disk)) = other.blobs() {
            dead_letters::copy_all(&*disk, &*self.home.blobs).await?;
        }
        Ok(length)
    }

    /// Keeps the logs of the databases short until told to end: those of a store one after the other, since each takes processor time.
    async fn shorten_logs(&self, ending: &CancellationToken) {
        loop {
            let mut by_store: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for shard in self.service.shards() {
                let store = self.service.lease(shard.number).map(|lease| lease.home);
                by_store.entry(store).or_default().push(shard);
            }
            let of_stores = by_store.values().map(async |shards| {
                for shard in shards {
                    shard.shorten_log().await;
                }
            });
            futures::future::join_all(of_stores).await;
            if ending.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Keeps the databases small until told to end: one after the other, since merging takes processor time that commands wait
    /// for.
    async fn keep_up(&self, ending: &CancellationToken) {
        loop {
            for shard in self.service.shards() {
                let Some(_turn) = ending.run_until_cancelled(self.whole_reads.lock()).await else { return };
                shard.keep_up(ending).await;
            }
            if ending.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Looks after the accepted commands that wait for earlier ones, until told to end.
    async fn look_over_parked(&self, ending: &CancellationToken) {
        loop {
            for shard in self.service.shards() {
                let dead = shard.look_over_parked().await;
                if !dead.is_empty()
                    && dead_letters::bury_all(&*self.settings.store.blobs, &dead).await
                    && let Err(error) = shard.forget_parked(&dead).await
                {
                    tracing::warn!(shard = shard.number, %error, "commands that were buried are still parked");
                }
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

    /// Whether it is on its way out.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// From now on it takes nothing more.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.settings.readiness.wait_for(WaitingReason::ShuttingDown, "the worker hands its shards over and ends");
    }

    fn queue_status(&self) -> Option<QueueStatus> {
        let (begun, status) = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let age = self.clock.since_boot().saturating_sub(begun);
        Some(QueueStatus { age_millis: u64::try_from(age.as_millis()).unwrap_or(u64::MAX), ..status })
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
                .map(|shard| OwnedShard {
                    shard: shard.number,
                    epoch: shard.epoch,
                    home: self.service.lease(shard.number).map(|lease| lease.home),
                })
                .collect(),
            queue: self.queue_status(),
            lacks: self.settings.others.iter().filter_map(|other| other.lacks()).chain(self.obstacle()).collect(),
            switch: self.wish(None),
            settled: Some(self.settled.load(Ordering::Relaxed)).filter(|number| *number > 0),
            moved: self.reported.newest(),
            copying: self.copying.status(),
        }
    }
}

/// Waits until all have ended, or one in an unforeseen way.
async fn all_ended(parts: &mut JoinSet<()>) -> Result<(), JoinError> {
    while let Some(part) = parts.join_next().await {
        part?;
    }
    Ok(())
}

/// About how many messages are in a queue.
async fn queue_length(queue: &dyn Queue) -> Result<u64, storage_adapters::Error> {
    let depth = blobs::bounded("depth", "queue", queue.depth()).await?;
    Ok(depth.waiting + depth.leased)
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
