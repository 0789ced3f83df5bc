//! The open-loop run: each request is sent when it is due, whatever became of the others. Network I/O.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use crate::carts::Carts;
use crate::catalogue::{self, CatalogueError, Product, encoded};
use crate::commands::{Answered, Command, Commands, OrderRef, WRONG_BODY};
use crate::http::{Call, Client};
use crate::ledger::{LedgerError, Outcome};
use crate::pace::Pace;
use crate::queries::{self, Zipf};
use crate::report::{Durations, GeneratorReport, Kind, KindReport, Report, Tally};

/// Most requests a second that a run may ask for in all.
pub const HIGHEST_RATE: f64 = 50_000.0;
/// Longest run.
pub const LONGEST_RUN: Duration = Duration::from_hours(24);
/// Different searches that a run repeats.
const SEARCHES: usize = 20_000;
/// Of so many search answers one is read closely.
const CHECK_ONE_IN: u64 = 64;
/// How long answers are waited for when a run is ended before its time.
const HASTY_END: Duration = Duration::from_secs(2);
/// Items an order gets at most, unless the asked rates need more.
const MOST_ADDS: u32 = 20;
/// Orders being made at the same time before the run begins.
const PREPARING: usize = 16;

/// Requests a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Searches.
    pub searches: f64,
    /// Items added to orders.
    pub adds: f64,
    /// Orders submitted.
    pub submits: f64,
}

/// What is asked of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests a second.
    pub rates: Rates,
    /// How long requests are sent.
    pub duration: Duration,
    /// Most requests under way at a time; what is due beyond that is never sent and counted as an overrun.
    pub in_flight: usize,
    /// Seed of the choice of products and searches.
    pub seed: u64,
}

/// Why a run did not happen, or proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The rates do not fit together.
    #[error("{0}")]
    Rates(&'static str),
    /// The catalogue could not be read.
    #[error("the run needs the shop's catalogue")]
    Catalogue(#[from] CatalogueError),
    /// There is nothing to buy.
    #[error("the shop's catalogue is empty; import one before the run")]
    EmptyCatalogue,
    /// No order could be made before the run.
    #[error("no order could be made before the run: {0}; check that the shop is ready")]
    Prepare(String),
    /// It was to end before it began.
    #[error("the run was ended while it prepared; nothing was measured")]
    StoppedEarly,
    /// The ledger is not whole.
    #[error("the run was stopped")]
    Ledger(#[from] LedgerError),
    /// A request's task panicked: a fault of the generator.
    #[error("the generator failed; report this")]
    Generator(#[from] JoinError),
}

/// A look at a run that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Time since it began.
    pub elapsed: Duration,
    /// Requests answered as asked, so far.
    pub ok: u64,
    /// Requests that were not, so far.
    pub failed: u64,
    /// Requests under way.
    pub in_flight: usize,
}

impl Options {
    fn checked(&self) -> Result<(), RunError> {
        let Rates { searches, adds, submits } = self.rates;
        let rates = [searches, adds, submits];
        if rates.iter().any(|rate| !rate.is_finite() || *rate < 0.0) {
            return Err(RunError::Rates("a rate is a number of requests a second, 0 or more"));
        }
        let sum: f64 = rates.iter().sum();
        if sum == 0.0 || sum > HIGHEST_RATE {
            return Err(RunError::Rates("the rates must sum up to more than 0 and at most 50000 requests a second"));
        }
        if submits > adds {
            return Err(RunError::Rates(
                "an order needs an item to be submitted: ask for at least as many adds as submits",
            ));
        }
        if submits > 0.0 && adds / submits > 100.0 {
            return Err(RunError::Rates("ask for at most 100 adds for each submit"));
        }
        if self.duration.is_zero() || self.duration > LONGEST_RUN {
            return Err(RunError::Rates("the duration must be more than 0 and at most 24 hours"));
        }
        Ok(())
    }

    /// New orders a second.
    fn creates(&self) -> f64 {
        if self.rates.submits > 0.0 { self.rates.submits } else { self.rates.adds / 10.0 }
    }

    fn most_adds(&self) -> u32 {
        if self.rates.submits == 0.0 {
            return MOST_ADDS;
        }
        let mut most = MOST_ADDS;
        while f64::from(most) < 2.0 * self.rates.adds / self.rates.submits {
            most += 1;
        }
        most
    }

    fn rate(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Search => self.rates.searches,
            Kind::Create => self.creates(),
            Kind::Add => self.rates.adds,
            Kind::Submit => self.rates.submits,
        }
    }
}

/// A request that ended.
struct Ended {
    kind: Kind,
    due: Instant,
    sent: Instant,
    at: Instant,
    result: Outcomes,
}

enum Outcomes {
    Search(Result<(), String>),
    Create(Answered),
    Add(String, Answered),
    Submit(Answered),
}

/// Runs the load against `commands` until its time is over or `stop` is.
///
/// # Errors
/// When the run cannot begin, or its ledger cannot be written.
pub async fn run(
    commands: &Commands,
    options: &Options,
    stop: impl Future<Output = ()>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, RunError> {
    options.checked()?;
    tokio::pin!(stop);
    let mut engine = tokio::select! {
        () = &mut stop => return Err(RunError::StoppedEarly),
        engine = prepared(commands, options) => engine?,
    };

    let started_at = jiff::Timestamp::now();
    let cpu = cpu_seconds();
    let begin = Instant::now();
    let end = begin + options.duration;
    engine.begin = begin;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let interrupted = loop {
        let next = engine.next_due().map_or(end, |due| (begin + due).min(end));
        tokio::select! {
            () = &mut stop => break true,
            ended = engine.tasks.join_next(), if !engine.tasks.is_empty() => engine.ended(ended)?,
            _ = second.tick() => {
                commands.ledger.flush()?;
                progress(engine.progress());
            }
            () = tokio::time::sleep_until(next) => {}
        }
        let now = Instant::now();
        if now >= end {
            break false;
        }
        engine.send_due(now);
    };
    let seconds = begin.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds().zip(cpu).map(|(after, before)| after - before);
    engine.finish(if interrupted { HASTY_END } else { commands.client.timeout() + HASTY_END }).await?;
    commands.ledger.flush()?;
    Ok(engine.report(&Measured { started_at, seconds, interrupted, cpu_seconds }))
}

async fn prepared(commands: &Commands, options: &Options) -> Result<Engine, RunError> {
    let products = catalogue::products(&commands.client).await?;
    if products.is_empty() {
        return Err(RunError::EmptyCatalogue);
    }
    let mut engine = Engine::new(commands.clone(), *options, products);
    engine.prepare().await?;
    Ok(engine)
}

struct Measured {
    started_at: jiff::Timestamp,
    seconds: f64,
    interrupted: bool,
    cpu_seconds: Option<f64>,
}

struct Engine {
    commands: Commands,
    options: Options,
    products: Vec<Product>,
    popularity: Zipf,
    searches: Vec<String>,
    searched: u64,
    rng: StdRng,
    begin: Instant,
    paces: BTreeMap<Kind, Pace>,
    carts: Carts,
    /// Due times of adds and submits for which there was no order yet.
    waiting_adds: VecDeque<Instant>,
    waiting_submits: VecDeque<Instant>,
    tasks: JoinSet<Ended>,
    under_way: BTreeMap<Kind, usize>,
    tallies: BTreeMap<Kind, Tally>,
    lateness: Durations,
    overruns: u64,
}

impl Engine {
    fn new(commands: Commands, options: Options, products: Vec<Product>) -> Self {
        let mut rng = StdRng::seed_from_u64(options.seed);
        let searches = queries::searches(&products, SEARCHES, &mut rng)
            .iter()
            .map(|text| format!("/api/v1/search?q={}", encoded(text)))
            .collect();
        Self {
            commands,
            options,
            popularity: Zipf::new(products.len()),
            products,
            searches,
            searched: 0,
            rng,
            begin: Instant::now(),
            paces: Kind::ALL.into_iter().map(|kind| (kind, Pace::new(options.rate(kind)))).collect(),
            carts: Carts::new(options.most_adds()),
            waiting_adds: VecDeque::new(),
            waiting_submits: VecDeque::new(),
            tasks: JoinSet::new(),
            under_way: BTreeMap::new(),
            tallies: Kind::ALL.into_iter().map(|kind| (kind, Tally::default())).collect(),
            lateness: Durations::default(),
            overruns: 0,
        }
    }

    /// Makes the orders that adds go to from the first moment on: as many as are made in four seconds, at least one.
    async fn prepare(&mut self) -> Result<(), RunError> {
        if self.options.rates.adds == 0.0 {
            return Ok(());
        }
        let wanted = self.options.creates() * 4.0;
        let (mut started, mut fault) = (0_u32, None);
        let mut making = JoinSet::new();
        loop {
            while making.len() < PREPARING && (started == 0 || f64::from(started) < wanted) {
                started += 1;
                let commands = self.commands.clone();
                making.spawn(async move { commands.send(Command::Create, new_key()).await });
            }
            let Some(made) = making.join_next().await else { break };
            let made = made?;
            match made.order {
                Some(order) => self.carts.opened(OrderRef { id: order.id, pending: made.pending }),
                None => fault = made.fault,
            }
        }
        fault.map_or(Ok(()), |fault| Err(RunError::Prepare(fault)))
    }

    fn next_due(&self) -> Option<Duration> {
        self.paces.values().filter_map(Pace::next_due).min()
    }

    fn send_due(&mut self, now: Instant) {
        let elapsed = now - self.begin;
        for kind in Kind::ALL {
            while let Some(due) = self.paces.get_mut(&kind).and_then(|pace| pace.take(elapsed)) {
                let due = self.begin + due;
                match kind {
                    Kind::Search => self.search(due, now),
                    Kind::Create => self.create(due, now),
                    Kind::Add => self.waiting_adds.push_back(due),
                    Kind::Submit => self.waiting_submits.push_back(due),
                }
            }
        }
        self.send_waiting();
    }

    /// Whether one more request may be under way; if not, it is counted.
    fn admits(&mut self, kind: Kind) -> bool {
        let admitted = self.tasks.len() < self.options.in_flight;
        if !admitted {
            self.overruns += 1;
            self.tally(kind).failed("overrun");
        }
        admitted
    }

    fn search(&mut self, due: Instant, now: Instant) {
        if !self.admits(Kind::Search) {
            return;
        }
        self.lateness.record(now - due);
        self.searched += 1;
        let checked = self.searched.is_multiple_of(CHECK_ONE_IN);
        let path = self.searches[self.rng.random_range(0..self.searches.len())].clone();
        let client = self.commands.client.clone();
        self.spawn(Kind::Search, due, async move { Outcomes::Search(searched(&client, path, checked).await) });
    }

    fn create(&mut self, due: Instant, now: Instant) {
        if !self.admits(Kind::Create) {
            return;
        }
        self.lateness.record(now - due);
        let commands = self.commands.clone();
        self.spawn(Kind::Create, due, async move { Outcomes::Create(commands.send(Command::Create, new_key()).await) });
    }

    /// Sends the adds and submits that are due and have an order to go to.
    fn send_waiting(&mut self) {
        while let Some(&due) = self.waiting_adds.front() {
            let Some(order) = self.carts.next_add(&mut self.rng) else { break };
            self.waiting_adds.pop_front();
            let id = order.id.clone();
            if !self.admits(Kind::Add) {
                self.carts.add_ended(&id, Outcome::Refused, None);
                continue;
            }
            let product = &self.products[self.popularity.draw(&mut self.rng)];
            let command = Command::Add { order, sku: product.sku.clone(), quantity: self.rng.random_range(1..=5) };
            let commands = self.commands.clone();
            self.spawn(Kind::Add, due, async move { Outcomes::Add(id, commands.send(command, new_key()).await) });
        }
        while let Some(&due) = self.waiting_submits.front() {
            let Some(order) = self.carts.next_submit() else { break };
            self.waiting_submits.pop_front();
            if !self.admits(Kind::Submit) {
                continue;
            }
            let commands = self.commands.clone();
            self.spawn(Kind::Submit, due, async move {
                Outcomes::Submit(commands.send(Command::Submit { order }, new_key()).await)
            });
        }
    }

    fn spawn(&mut self, kind: Kind, due: Instant, work: impl Future<Output = Outcomes> + Send + 'static) {
        let sent = Instant::now();
        *self.under_way.entry(kind).or_default() += 1;
        self.tasks.spawn(async move {
            let result = work.await;
            Ended { kind, due, sent, at: Instant::now(), result }
        });
    }

    fn ended(&mut self, ended: Option<Result<Ended, JoinError>>) -> Result<(), RunError> {
        let Some(ended) = ended else { return Ok(()) };
        let Ended { kind, due, sent, at, result } = ended?;
        self.under_way.entry(kind).and_modify(|requests| *requests -= 1);
        let is_queued = match &result {
            Outcomes::Search(_) => false,
            Outcomes::Create(answered) | Outcomes::Add(_, answered) | Outcomes::Submit(answered) => {
                answered.pending.is_some()
            }
        };
        let fault = match result {
            Outcomes::Search(result) => result.err(),
            Outcomes::Create(answered) => {
                if let Some(order) = answered.order {
                    self.carts.opened(OrderRef { id: order.id, pending: answered.pending });
                }
                answered.fault
            }
            Outcomes::Add(order, answered) => {
                self.carts.add_ended(&order, answered.outcome, answered.pending);
                if self.options.rates.submits == 0.0 {
                    self.carts.abandon_full();
                }
                answered.fault
            }
            Outcomes::Submit(answered) => answered.fault,
        };
        match fault {
            None => self.tally(kind).succeeded(at - due, at - sent, is_queued),
            Some(fault) => self.tally(kind).failed(&fault),
        }
        self.send_waiting();
        Ok(())
    }

    /// Waits for the answers that are outstanding, no longer than `limit`; what is still due then was never sent.
    async fn finish(&mut self, limit: Duration) -> Result<(), RunError> {
        let end = Instant::now() + limit;
        for (kind, waiting) in [(Kind::Add, &mut self.waiting_adds), (Kind::Submit, &mut self.waiting_submits)] {
            for _ in waiting.drain(..) {
                self.tallies.entry(kind).or_default().failed("no_order");
            }
        }
        while !self.tasks.is_empty() {
            let Ok(ended) = tokio::time::timeout_at(end, self.tasks.join_next()).await else { break };
            self.ended(ended)?;
        }
        // Dropping an attempt writes it to the ledger, as unknown.
        self.tasks.shutdown().await;
        for (kind, cut) in std::mem::take(&mut self.under_way) {
            for _ in 0..cut {
                self.tally(kind).failed("cut_short");
            }
        }
        Ok(())
    }

    fn tally(&mut self, kind: Kind) -> &mut Tally {
        self.tallies.entry(kind).or_default()
    }

    fn progress(&self) -> Progress {
        Progress {
            elapsed: self.begin.elapsed(),
            ok: self.tallies.values().map(|tally| tally.ok).sum(),
            failed: self.tallies.values().map(Tally::failures).sum(),
            in_flight: self.tasks.len(),
        }
    }

    fn report(&self, measured: &Measured) -> Report {
        let kind_report = |kind: Kind| {
            self.tallies
                .get(&kind)
                .map(|tally| (kind, KindReport::new(tally, self.options.rate(kind), measured.seconds)))
        };
        Report {
            target: self.commands.client.authority().to_owned(),
            started_at: measured.started_at,
            seconds: measured.seconds,
            interrupted: measured.interrupted,
            kinds: Kind::ALL.into_iter().filter_map(kind_report).collect(),
            generator: GeneratorReport {
                overruns: self.overruns,
                lateness_ms: self.lateness.summary(),
                connections: self.commands.client.connects(),
                cpu_seconds: measured.cpu_seconds,
            },
        }
    }
}

async fn searched(client: &Client, path: String, checked: bool) -> Result<(), String> {
    let answer = client.send(Call::get(path)).await.map_err(|failure| failure.name().to_owned())?;
    if answer.status != 200 {
        return Err(answer.status.as_u16().to_string());
    }
    if answer.body.is_empty() || (checked && serde_json::from_slice::<catalogue::Page>(&answer.body).is_err()) {
        return Err(WRONG_BODY.to_owned());
    }
    Ok(())
}

/// A new `Idempotency-Key`.
#[must_use]
pub fn new_key() -> String {
    Uuid::new_v4().to_string()
}

/// Processor time of all threads of this process so far.
fn cpu_seconds() -> Option<f64> {
    let mut nanoseconds = 0_u64;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        // A thread that ended meanwhile has no file any more.
        let Ok(text) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds).as_secs_f64())
}
