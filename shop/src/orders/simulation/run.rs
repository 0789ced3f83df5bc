//! One run: a shop opens, customers buy, things go wrong, everything heals, and what is stored is held to what was answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use prometheus_client::registry::Registry as MetricsRegistry;
use serde::{Deserialize, Serialize};
use shop_contract::config::{OnPartition, OnPartitionConfig, ShopConfig};
use storage_adapters::config::Provider;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::{
    customers::{Market, WEBS},
    network::{Place, SimulatedHttp},
    store::MemoryStore,
    time::HostClock,
    trouble::{Cell, Doing, Fault, Trouble, Where, cells},
    world::World,
};
use crate::{
    orders::{
        GatewaySettings, InternalToken, Ledger, OrderGateway, OrderMetrics, OtherStore, Role, ShopOpener, StoredOrders,
        clock::Clock,
        test_workers::{TOKEN, config},
        worker::{Worker, WorkerSettings},
    },
    readiness::Readiness,
};

/// Workers, of which one comes and goes.
const WORKERS: u8 = 3;

/// Commands of a run at least.
const COMMANDS: u64 = 1_000;

/// Different things that go wrong, at once or one after the other.
const TROUBLES: usize = 6;

/// Longest that anything is waited for in a run that heals.
const PATIENCE: Duration = Duration::from_mins(2);

/// Longest from the healing, with every shard served, until the queue is empty.
const PERSISTED: Duration = Duration::from_secs(10);

/// The furthest that a time of day is off, in milliseconds.
const HOUR: u64 = 3_600_000;

/// What became of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) seed: u64,
    /// The same for the same seed.
    pub(super) trace: u64,
    pub(super) commands: u64,
    /// Numbers of the cells in which something went wrong on purpose.
    cells: Vec<usize>,
    /// What should not be.
    pub(super) wrong: Vec<String>,
}

impl Ended {
    pub(super) fn failed(seed: u64, what: String) -> Self {
        Self { seed, trace: 0, commands: 0, cells: Vec::new(), wrong: vec![what] }
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = Cell> {
        let all = cells();
        self.cells.iter().map(move |number| all[*number])
    }
}

/// A shop in a simulated world.
struct Run {
    world: World,
    store: MemoryStore,
    /// The store of another cloud, in half of the runs.
    other: Option<MemoryStore>,
    market: Arc<Market>,
    config: ShopConfig,
    workers: BTreeMap<u8, (Arc<Worker>, CancellationToken)>,
    clocks: BTreeMap<Place, HostClock>,
    /// Troubles that are not over, and processes that are to be started again.
    troubles: Vec<Trouble>,
    cells: Vec<usize>,
}

/// Runs a seed.
pub(super) fn run(seed: u64) -> Ended {
    let mut run = Run::new(seed);
    let wrong = match run.go(seed) {
        Ok(()) => run.verify(),
        Err(reason) => vec![reason],
    };
    let mut told = std::mem::take(&mut *run.market.wrong.lock().unwrap_or_else(PoisonError::into_inner));
    told.extend(wrong);
    let trace = run.world.network.trace();
    Ended { seed, trace, commands: run.market.commands.load(Ordering::Relaxed), cells: run.cells, wrong: told }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let store = |queue| MemoryStore::new(world.time.clone(), world.network.clone(), queue);
        let has_other = world.network.draw(2) == 0;
        let (store, other) = (store(Place::Queue), has_other.then(|| store(Place::OtherQueue)));
        let market = Market::new(world.network.clone());
        world.start(Place::Blobs, async {});
        world.start(Place::Queue, async {});
        world.start(Place::OtherQueue, async {});
        let choice = || if world.network.draw(4) == 0 { OnPartition::Consistency } else { OnPartition::Availability };
        let on_partition = OnPartitionConfig { carts: choice(), submit: choice() };
        Self {
            store,
            other,
            market,
            // The store that it names is never opened: this one is in memory.
            config: ShopConfig { on_partition, ..config(Path::new("/dev/null")) },
            workers: BTreeMap::new(),
            clocks: BTreeMap::new(),
            troubles: Vec::new(),
            cells: Vec::new(),
            world,
        }
    }

    /// Everything until the shop is at rest again.
    fn go(&mut self, seed: u64) -> Result<(), String> {
        for number in 0..WORKERS - 1 {
            self.start_worker(number);
        }
        for number in 0..WEBS {
            self.start_web(number);
        }
        self.until("the shop opens", PATIENCE, |run| run.is_open() && run.doing() == Doing::Serving)?;
        let market = Arc::clone(&self.market);
        self.world.start(Place::Customers, market.open());
        self.go_wrong(seed)?;
        let enough = |run: &Self| run.market.commands.load(Ordering::Relaxed) >= COMMANDS;
        self.until("enough was bought", PATIENCE, enough)?;
        self.market.closing.store(true, Ordering::Relaxed);
        self.until("customers have gone home", PATIENCE, |run| run.market.present.load(Ordering::Relaxed) == 0)?;
        self.until("what is late has arrived", PATIENCE, |run| run.world.network.is_quiet())?;
        self.until("all shards are served", PATIENCE, |run| run.doing() != Doing::Moving)?;
        self.until("what was queued is applied", PERSISTED, |run| run.doing() == Doing::Serving)?;
        for (_, ending) in self.workers.values() {
            ending.cancel();
        }
        self.until("workers end", PATIENCE, |run| {
            run.workers.values().all(|(worker, _)| worker.service.shards().is_empty())
        })
    }

    /// Lets things go wrong: first the cell that is this seed's own, then others.
    fn go_wrong(&mut self, seed: u64) -> Result<(), String> {
        let all = cells();
        let own = usize::try_from(seed).expect("small") % all.len();
        let (fault, place, doing) = all[own];
        self.prepare(doing);
        // In some runs the state does not come, since nothing needs the queue.
        let _ = self.until("the state of the cell", Duration::from_secs(10), |run| run.doing() == doing);
        self.begin(fault, place);
        let mut faults = BTreeSet::from([fault]);
        while faults.len() < TROUBLES {
            let pause = Duration::from_millis(self.world.network.draw(4_000));
            self.pass(pause);
            if self.world.network.draw(5) == 0 {
                self.come_or_leave();
            }
            // Each time another fault.
            let (fault, place) = loop {
                let (fault, place, _) = *self.world.network.choose(&all);
                if faults.insert(fault) {
                    break (fault, place);
                }
            };
            self.begin(fault, place);
        }
        self.until("everything heals", PATIENCE, |run| run.troubles.is_empty())
    }

    /// Brings the shop where `doing` is soon.
    fn prepare(&mut self, doing: Doing) {
        match doing {
            Doing::Serving => {}
            Doing::Moving => drop(self.begin_for(Fault::Crash, Where::Worker, Duration::from_secs(2))),
            Doing::Queueing => drop(self.begin_for(Fault::Cut, Where::WebToWorker, Duration::from_secs(3))),
        }
    }

    /// The last worker comes, or leaves as it should.
    fn come_or_leave(&mut self) {
        let last = WORKERS - 1;
        match self.workers.get(&last) {
            Some((_, ending)) => ending.cancel(),
            None => self.start_worker(last),
        }
    }

    /// Something goes wrong from now on, in the state that the shop is in.
    fn begin(&mut self, fault: Fault, place: Where) {
        let lasts = Duration::from_millis(500 + self.world.network.draw(9_500));
        let cell = (fault, place, self.doing());
        if self.begin_for(fault, place, lasts) {
            self.cells.extend(cells().iter().position(|known| *known == cell));
        }
    }

    /// Whether it was possible.
    fn begin_for(&mut self, fault: Fault, place: Where, lasts: Duration) -> bool {
        let of_all = self.world.network.draw(2) == 0;
        let only = match place {
            Where::Web => Some(Place::Web(self.draw_number(WEBS))),
            Where::Worker => Some(Place::Worker(self.draw_number(WORKERS - 1))),
            _ if of_all => None,
            Where::WebToWorker | Where::WebToBlobs | Where::WebToQueue => Some(Place::Web(self.draw_number(WEBS))),
            Where::WorkerToWorker | Where::WorkerToBlobs | Where::WorkerToQueue => {
                Some(Place::Worker(self.draw_number(WORKERS - 1)))
            }
        };
        let spares_other_queue = self.world.network.draw(2) == 0;
        let until = self.world.time.since_boot() + lasts;
        let trouble = Trouble { fault, place, only, spares_other_queue, until };
        match (fault, only) {
            (Fault::Crash, Some(host)) => {
                if !self.world.is_up(host) {
                    return false;
                }
                self.crash(host);
            }
            (Fault::Pause, Some(host)) => self.world.stop(host, true),
            (Fault::ClockJump, Some(host)) => {
                let skew = self.draw_skew();
                if let Some(clock) = self.clocks.get(&host) {
                    clock.jump(skew);
                }
            }
            _ => self.world.network.trouble(trouble),
        }
        self.world.network.note((fault, place, only.is_some()));
        self.troubles.push(trouble);
        true
    }

    fn draw_number(&self, below: u8) -> u8 {
        u8::try_from(self.world.network.draw(below.into())).expect("few")
    }

    /// How far a time of day is off, in milliseconds.
    fn draw_skew(&self) -> i64 {
        i64::try_from(self.world.network.draw(2 * HOUR)).expect("small") - i64::try_from(HOUR).expect("small")
    }

    /// Ends what is over.
    fn end_troubles(&mut self) {
        let now = self.world.time.since_boot();
        self.world.network.heal(|trouble| trouble.until <= now);
        let (over, open) = self.troubles.drain(..).partition(|trouble| trouble.until <= now);
        self.troubles = open;
        let over: Vec<Trouble> = over;
        for trouble in over {
            match (trouble.fault, trouble.only) {
                (Fault::Crash, Some(Place::Worker(number))) if !self.world.is_up(Place::Worker(number)) => {
                    self.start_worker(number);
                }
                (Fault::Crash, Some(Place::Web(number))) if !self.world.is_up(Place::Web(number)) => {
                    self.start_web(number);
                }
                (Fault::Pause, Some(host)) => {
                    let again =
                        self.troubles.iter().any(|other| other.fault == Fault::Pause && other.only == Some(host));
                    self.world.stop(host, again);
                }
                _ => {}
            }
        }
    }

    fn turn(&mut self) {
        self.world.turn();
        self.end_troubles();
        // A worker that has left is gone.
        let last = WORKERS - 1;
        let has_left = self
            .workers
            .get(&last)
            .is_some_and(|(worker, ending)| ending.is_cancelled() && worker.service.shards().is_empty());
        if has_left && !self.market.closing.load(Ordering::Relaxed) {
            self.crash(Place::Worker(last));
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.world.time.since_boot() + time;
        while self.world.time.since_boot() < until {
            self.turn();
        }
    }

    fn until(&mut self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let end = self.world.time.since_boot() + limit;
        while !holds(self) {
            if self.world.time.since_boot() >= end {
                return Err(format!("waited {} s in vain until {what}: {}", limit.as_secs(), self.describe()));
            }
            self.turn();
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let mut text = format!("{:?}, {} messages", self.world.time.since_boot(), self.messages());
        for (number, (worker, _)) in &self.workers {
            let status = worker.status();
            let shards: Vec<_> = status.shards.iter().map(|shard| shard.shard).collect();
            let _ = write!(text, "; worker {number} serves {shards:?}, waits for {:?}", status.waiting);
        }
        text
    }

    /// Messages in any queue.
    fn messages(&self) -> usize {
        self.store.messages() + self.other.as_ref().map_or(0, MemoryStore::messages)
    }

    /// The stores of other clouds as a host reaches them.
    fn others(&self, from: Place) -> Vec<Arc<OtherStore>> {
        let other =
            self.other.as_ref().map(|other| OtherStore::open_from_the_start(Provider::Aws, other.reached_from(from)));
        other.map(Arc::new).into_iter().collect()
    }

    fn doing(&self) -> Doing {
        let served: usize = self.workers.values().map(|(worker, _)| worker.service.shards().len()).sum();
        if served < usize::from(self.config.orders.shards) {
            Doing::Moving
        } else if self.messages() > 0 {
            Doing::Queueing
        } else {
            Doing::Serving
        }
    }

    fn is_open(&self) -> bool {
        self.market.gateways.lock().unwrap_or_else(PoisonError::into_inner).len() == usize::from(WEBS)
    }

    fn crash(&mut self, host: Place) {
        self.world.crash(host);
        match host {
            Place::Worker(number) => drop(self.workers.remove(&number)),
            Place::Web(number) => {
                self.market.gateways.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            }
            Place::Blobs | Place::Queue | Place::OtherQueue | Place::Customers => {}
        }
    }

    fn clock(&mut self, host: Place) -> HostClock {
        let skew = self.draw_skew();
        let clock = HostClock::new(self.world.time.clone(), skew);
        self.clocks.insert(host, clock.clone());
        clock
    }

    fn start_worker(&mut self, number: u8) {
        let host = Place::Worker(number);
        let (network, clock) = (self.world.network.clone(), self.clock(host));
        let address = format!("worker-{number}:9091");
        let settings = WorkerSettings {
            config: self.config.clone(),
            store: self.store.reached_from(host),
            others: self.others(host),
            address: address.clone(),
            token: InternalToken::of_process(TOKEN),
            state_folder: None,
            flush_interval: Duration::from_millis(50),
            readiness: Readiness::starting(),
            metrics: OrderMetrics::register(&mut MetricsRegistry::default()),
        };
        let transport = Arc::new(SimulatedHttp { from: host, network: network.clone() });
        let worker = Worker::over(transport, Arc::new(clock), settings).expect("a worker");
        let ending = CancellationToken::new();
        self.workers.insert(number, (Arc::clone(&worker), ending.clone()));
        let router = worker.router();
        self.world.start(host, async move {
            network.serve(host, &address, router);
            worker.run(ending).await.expect("it works");
        });
    }

    fn start_web(&mut self, number: u8) {
        let host = Place::Web(number);
        let (network, clock, config) = (self.world.network.clone(), self.clock(host), self.config.clone());
        let (store, others) = (self.store.reached_from(host), self.others(host));
        let gateways = Arc::clone(&self.market.gateways);
        self.world.start(host, async move {
            let mut opener = ShopOpener::new(Arc::clone(&store.blobs), config.shop, &config.orders, Role::Web);
            let records = loop {
                match opener.attempt(clock.since_boot()).await {
                    Ok(records) => break records,
                    Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            };
            let settings = GatewaySettings {
                store,
                others,
                records,
                token: InternalToken::of_process(TOKEN),
                on_partition: config.on_partition,
            };
            let transport = Arc::new(SimulatedHttp { from: host, network });
            let (gateway, work) = OrderGateway::over(transport, Arc::new(clock), settings).expect("a gateway");
            gateways.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(gateway));
            match work.await {}
        });
    }

    /// Reads the whole store, past all hosts, and compares it with the ledger.
    fn verify(&self) -> Vec<String> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let ledger = self.market.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = ledger.iter().map(|entry| serde_json::to_string(entry).expect("text") + "\n");
        let text: String = lines.collect();
        runtime
            .block_on(async {
                let orders = StoredOrders::find(Arc::new(self.store.clone()), Provider::Embedded)
                    .await
                    .map_err(|error| error.to_string())?;
                let mut ledger = Ledger::default();
                ledger.add(&text, orders.secret()).map_err(|error| error.to_string())?;
                let report = orders.verify(Some(ledger)).await.map_err(|error| error.to_string())?;
                // What was answered of an order says more than the fault alone.
                let history =
                    |order: &str| text.lines().filter(|line| line.contains(order)).collect::<Vec<_>>().join("\n");
                Ok(report.faults.iter().map(|fault| format!("{fault:?}\n{}", history(&fault.order))).collect())
            })
            .unwrap_or_else(|error: String| vec![error])
    }
}
