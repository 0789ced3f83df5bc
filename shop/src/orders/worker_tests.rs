//! Whole workers on a store on disk: their internal API on loopback, asked by the real client.

use std::{collections::BTreeSet, path::Path};

use prometheus_client::registry::Registry as MetricsRegistry;
use shop_contract::config::{CatalogueConfig, FORMAT, InternalConfig, OrdersConfig, ShopIdentity};
use storage_adapters::{
    ErrorKind,
    config::{EmbeddedConfig, Provider, StorageConfig},
    decorators::{Fault, FaultPlan, Faulty, Operation, Rule},
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::*;
use crate::{
    domain::{Command, Currency, IdempotencyKey, Money, Quantity, Refusal, Sku, Status},
    orders::{
        InternalToken, OrderError,
        protocol::{self, ReadMessage, Reply},
    },
};

const TOKEN: &str = "a token of the tests";

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(folder: &Path) -> ShopConfig {
    ShopConfig {
        format: FORMAT,
        shop: ShopIdentity {
            name: "corner".into(),
            namespace: "shops".into(),
            uid: "uid-1".into(),
            initialise: true,
            adopt_existing: false,
        },
        orders: OrdersConfig { shards: 4 },
        catalogue: CatalogueConfig { sample: false },
        internal: InternalConfig { token_file: "/dev/null".into() },
        storage: StorageConfig::from(EmbeddedConfig { path: folder.join("store") }),
    }
}

struct Running {
    worker: Arc<Worker>,
    ending: CancellationToken,
    life: JoinHandle<Result<(), WorkerError>>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.life.abort();
        self.server.abort();
    }
}

async fn start_with(config: ShopConfig, state_folder: Option<PathBuf>) -> Running {
    if std::env::var_os(crate::telemetry::FILTER_VARIABLE).is_some() {
        // The second test of a process finds that the first has set them up.
        let _ = crate::telemetry::start(crate::telemetry::LogFormat::Text);
    }
    let store = Store::open(&config.storage).await.expect("a store");
    start_on(store, config, state_folder).await
}

/// Starts a worker whose store does what the plan says.
async fn start_disturbed(folder: &Path, plan: &Arc<FaultPlan>, state_folder: Option<PathBuf>) -> Running {
    let config = config(folder);
    let store = Store::open(&config.storage).await.expect("a store");
    let blobs = Arc::new(Faulty::new(store.blobs, Arc::clone(plan)));
    start_on(Store { blobs, ..store }, config, state_folder).await
}

async fn start_on(store: Store, config: ShopConfig, state_folder: Option<PathBuf>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let worker = Worker::new(WorkerSettings {
        config,
        store,
        address: listener.local_addr().expect("an address").to_string(),
        token: InternalToken::of_process(TOKEN),
        state_folder,
        flush_interval: WorkerSettings::flush_interval_of(Provider::Embedded, 4),
        readiness: Readiness::starting(),
        metrics: OrderMetrics::register(&mut MetricsRegistry::default()),
    })
    .expect("a worker");
    let server = tokio::spawn(axum::serve(listener, worker.router()).into_future());
    let ending = CancellationToken::new();
    let (living, until) = (Arc::clone(&worker), ending.clone());
    let life = tokio::spawn(async move { living.run(until).await });
    Running { worker, ending, life, server }
}

async fn start(folder: &Path) -> Running {
    start_with(config(folder), None).await
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

impl Running {
    async fn ready(&self) {
        let ready = tokio::time::timeout(PATIENCE, self.worker.settings.readiness.ready()).await;
        assert!(ready.is_ok(), "{:?}", self.worker.settings.readiness.waiting());
    }

    fn owns(&self) -> BTreeSet<u16> {
        self.worker.status().shards.iter().map(|shard| shard.shard).collect()
    }

    /// Ends in order; how long it took.
    async fn end(mut self) -> Duration {
        let began = Instant::now();
        self.ending.cancel();
        (&mut self.life).await.expect("no panic").expect("no error");
        began.elapsed()
    }

    /// Ends as `kill -9` does: nothing is flushed, closed or given back. The databases' own tasks are cut off from the store.
    async fn crash(mut self) {
        for shard in self.worker.service.shards() {
            shard.cut_off();
        }
        self.life.abort();
        assert!((&mut self.life).await.is_err_and(|error| error.is_cancelled()));
    }

    /// A client that waits for as long as the tests do: how quick the machine is today is not theirs to say.
    fn client(&self) -> OrderClient {
        self.impatient_client().patient(PATIENCE)
    }

    /// A client that gives up when web does.
    fn impatient_client(&self) -> OrderClient {
        let store = &self.worker.settings.store;
        let records = self.worker.records.get().expect("an open shop").clone();
        OrderClient::new(Arc::clone(&store.blobs), records, InternalToken::of_process(TOKEN)).expect("a client")
    }
}

fn key() -> IdempotencyKey {
    IdempotencyKey::from_uuid(Uuid::new_v4())
}

fn add(sku: &str, quantity: u32) -> Request {
    let command = Command::AddItem {
        sku: sku.parse::<Sku>().expect("a SKU"),
        name: format!("product {sku}"),
        quantity: Quantity::try_from(quantity).expect("a quantity"),
        unit_price: Money { amount: 250, currency: Currency::EUR },
        catalogue_version: 1,
    };
    Request::new(key(), command)
}

async fn create(client: &OrderClient) -> OrderId {
    let key = key();
    let order = client.order_id(&key);
    let request = Request::new(key, Command::Create { currency: Currency::EUR });
    client.execute(order, request).await.expect("creates").order.id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_filled_submitted_and_confirmed_and_a_replay_repeats_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    let first = add("A-1", 2);
    let answer = client.execute(order, first.clone()).await.expect("adds");
    assert_eq!((answer.order.version, answer.order.total.amount, answer.replayed), (2, 500, false));
    let answer = client.execute(order, add("a-1", 3)).await.expect("adds");
    assert_eq!((answer.order.items.len(), answer.order.total.amount), (1, 1250));
    let again = client.execute(order, first.clone()).await.expect("repeats");
    assert_eq!((again.order.version, again.order.total.amount, again.replayed), (2, 500, true));
    let other = Request { command: Command::Submit, ..first };
    assert_eq!(client.execute(order, other).await, Err(OrderError::Refused(Refusal::KeyReused)));
    client.execute(order, Request::new(key(), Command::Submit)).await.expect("submits");
    let confirmed = async {
        while client.read(order).await.expect("reads").order.status != Status::Confirmed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, confirmed).await.expect("the shop confirms");
    let late = client.execute(order, add("B-2", 1)).await;
    assert_eq!(late, Err(OrderError::Refused(Refusal::OrderClosed)));
    assert!(running.end().await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_order_is_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    running.ready().await;
    let client = running.client();
    let order = client.order_id(&key());
    assert_eq!(client.read(order).await, Err(OrderError::Refused(Refusal::OrderNotFound)));
    assert_eq!(client.execute(order, add("A-1", 1)).await, Err(OrderError::Refused(Refusal::OrderNotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_crash_and_each_shard_is_taken_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let first = start_with(config(folder.path()), Some(state.clone())).await;
    first.ready().await;
    let client = first.client();
    let mut orders = Vec::new();
    for number in 1..=20_u32 {
        let order = create(&client).await;
        client.execute(order, add("A-1", number)).await.expect("adds");
        orders.push((order, number));
    }
    drop(client);
    first.crash().await;
    let began = Instant::now();
    let second = start_with(config(folder.path()), Some(state)).await;
    second.ready().await;
    let epochs = second.worker.status().shards.iter().map(|shard| shard.epoch).max();
    assert_eq!(epochs, Some(2), "each shard was taken once");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    let client = second.client();
    for (order, number) in orders {
        let stored = client.read(order).await.expect("reads").order;
        assert_eq!(stored.items[0].quantity.get(), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_shards_and_a_hand_over_fails_no_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    assert_eq!(first.owns().len(), 4);
    let client = Arc::new(first.client());
    let orders = futures::future::join_all((0..8).map(|_| create(&client))).await;
    let stop = CancellationToken::new();
    let shoppers: Vec<_> = orders
        .iter()
        .map(|order| {
            let (client, stop, order) = (Arc::clone(&client), stop.clone(), *order);
            tokio::spawn(async move {
                let mut added = 0;
                while !stop.is_cancelled() && added < 900 {
                    client.execute(order, add("A-1", 1)).await.expect("no command fails");
                    added += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                (order, added)
            })
        })
        .collect();
    let second = start(folder.path()).await;
    until("the shards are shared", || first.owns().len() == 2 && second.owns().len() == 2).await;
    first.end().await;
    until("the second has all", || second.owns().len() == 4).await;
    stop.cancel();
    for shopper in shoppers {
        let (order, added) = shopper.await.expect("no panic");
        assert!(added > 0);
        let stored = client.read(order).await.expect("reads").order;
        assert_eq!(stored.items[0].quantity.get(), added, "each was applied once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_a_worker_that_gave_a_shard_away_is_told_who_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    let second = start(folder.path()).await;
    until("the shards are shared", || first.owns().len() == 2 && second.owns().len() == 2).await;
    let client = first.client();
    let (order, shard) = loop {
        let order = client.order_id(&key());
        let shard = shard_of(order, 4);
        if second.owns().contains(&shard) {
            break (order, shard);
        }
    };
    let question = ReadMessage { format: protocol::FORMAT, order, patience_millis: 1_000 };
    let asking = client::http()
        .expect("a client")
        .post(format!("http://{}{}", first.worker.settings.address, protocol::READS_PATH))
        .bearer_auth(TOKEN)
        .json(&question);
    let reply = asking.send().await.expect("an answer").bytes().await.expect("a body");
    let Reply::NotOwner { lease: Some(lease) } = serde_json::from_slice(&reply).expect("a reply") else {
        panic!("{reply:?}");
    };
    assert_eq!(lease.holder.expect("a holder").boot_id, second.worker.boot_id);
    assert_eq!(Some(lease.epoch), second.worker.status().shards.iter().find(|s| s.shard == shard).map(|s| s.epoch));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_for_a_shard_on_the_move_and_no_longer_than_its_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    running.ready().await;
    let order = create(&running.client()).await;
    let service = &running.worker.service;
    let shard = service.serving(shard_of(order, 4)).expect("it is served");
    service.closing(Arc::clone(&shard));
    let client = running.impatient_client();
    let began = Instant::now();
    assert_eq!(client.execute(order, add("A-1", 1)).await, Err(OrderError::NotDone));
    assert!((900..1_100).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let client = running.client();
    let waiting = tokio::spawn(async move { client.execute(order, add("A-1", 1)).await });
    until("the question has come", || service.waiting() == 1).await;
    service.serve(shard);
    assert_eq!(waiting.await.expect("no panic").expect("adds").order.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_a_worker_that_died_are_taken_over_in_ten_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    let client = first.client();
    let order = create(&client).await;
    client.execute(order, add("A-1", 7)).await.expect("adds");
    let second = start(folder.path()).await;
    until("the shards are shared", || first.owns().len() == 2 && second.owns().len() == 2).await;
    first.crash().await;
    let began = Instant::now();
    until("the second has all", || second.owns().len() == 4).await;
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert_eq!(client.read(order).await.expect("reads").order.items[0].quantity.get(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_repeated_around_a_crash_gives_the_same_order_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let first = start_with(config(folder.path()), Some(state.clone())).await;
    first.ready().await;
    let client = first.client();
    let create = Request::new(key(), Command::Create { currency: Currency::EUR });
    let order = client.order_id(&create.key);
    let before = client.execute(order, create.clone()).await.expect("creates");
    client.execute(order, add("A-1", 1)).await.expect("adds");
    first.crash().await;
    let second = start_with(config(folder.path()), Some(state)).await;
    second.ready().await;
    let after = second.client().execute(order, create).await.expect("repeats");
    assert!(after.replayed);
    assert_eq!(after.order, before.order);
    assert_eq!(second.client().read(order).await.expect("reads").order.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_store_is_never_an_empty_shop() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path());
    config.shop.initialise = false;
    let running = start_with(config, None).await;
    let readiness = running.worker.settings.readiness.clone();
    until("it says that the store is empty", || {
        readiness.waiting().iter().any(|waiting| waiting.reason == WaitingReason::StoreEmpty)
    })
    .await;
    assert!(running.owns().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_shop_is_taken_only_when_told_to_and_when_nobody_lives_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    let order = create(&first.client()).await;
    first.end().await;
    let mut other = config(folder.path());
    other.shop.uid = "uid-2".into();
    let refused = start_with(other.clone(), None).await;
    let readiness = refused.worker.settings.readiness.clone();
    until("it says whose the store is", || {
        readiness
            .waiting()
            .iter()
            .any(|waiting| waiting.reason == WaitingReason::StoreBelongsToAnother && waiting.message.contains("uid-1"))
    })
    .await;
    drop(refused);
    other.shop.adopt_existing = true;
    let adopted = start_with(other, None).await;
    adopted.ready().await;
    assert_eq!(adopted.client().read(order).await.expect("reads").order.id, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_database_is_named_and_never_created_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    first.end().await;
    let blobs = Store::open(&config(folder.path()).storage).await.expect("a store").blobs;
    for blob in super::super::blobs::list(&*blobs, "orders/2/", 1000).await.expect("lists") {
        blobs.delete(&blob.key).await.expect("deletes");
    }
    let second = start(folder.path()).await;
    let readiness = second.worker.settings.readiness.clone();
    until("it says which database is missing", || {
        readiness.waiting().iter().any(|waiting| waiting.message.contains("does not hold the database of shard 2"))
    })
    .await;
    assert!(!second.owns().contains(&2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_the_token_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    let address = &running.worker.settings.address;
    let status = format!("http://{address}{}", shop_contract::status::STATUS_PATH);
    let http = client::http().expect("a client");
    let refused = http.get(&status).bearer_auth("another token").send().await.expect("an answer");
    assert_eq!(refused.status(), 401);
    let answer = http.get(&status).bearer_auth(TOKEN).send().await.expect("an answer");
    let status: PodStatus = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a status");
    assert_eq!(status.boot_id, running.worker.boot_id.as_str());
}

fn writes_of_databases(fault: Fault) -> Rule {
    Rule { prefix: "orders/".into(), ..Rule::always(Operation::Put, fault) }
}

/// Answers of commands, reads and replays while nothing can be flushed, then the end of the process: what was
/// acknowledged and is not there afterwards.
async fn acknowledged_and_lost(
    #[cfg(feature = "planted-bugs")] bug: Option<super::super::planted::Bug>,
) -> Vec<&'static str> {
    let folder = tempfile::tempdir().expect("a folder");
    let (plan, state) = (FaultPlan::new(1), folder.path().join("state"));
    let first = start_disturbed(folder.path(), &plan, Some(state.clone())).await;
    #[cfg(feature = "planted-bugs")]
    {
        *first.worker.bug.lock().expect("a lock") = bug;
    }
    first.ready().await;
    let client = first.client();
    let order = create(&client).await;
    let client = first.impatient_client();
    plan.add(writes_of_databases(Fault::Hang));
    let request = add("A-1", 1);
    let added = client.execute(order, request.clone()).await;
    let replayed = client.execute(order, request).await;
    let read = client.read(order).await;
    first.crash().await;
    plan.clear();
    let second = start_with(config(folder.path()), Some(state)).await;
    second.ready().await;
    let stored = match second.client().read(order).await {
        Ok(answer) => answer.order.version,
        // With the mistake even the create may have been answered and lost.
        Err(OrderError::Refused(Refusal::OrderNotFound)) => 0,
        Err(error) => panic!("{error}"),
    };
    let shown = |answer: Result<Answer, OrderError>| answer.is_ok_and(|answer| answer.order.version > stored);
    let answers = [("an add", added), ("its replay", replayed), ("a read", read)];
    answers.into_iter().filter_map(|(name, answer)| shown(answer).then_some(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_never_precedes_its_flush_also_of_a_read_and_a_replay() {
    let lost = acknowledged_and_lost(
        #[cfg(feature = "planted-bugs")]
        None,
    )
    .await;
    assert!(lost.is_empty(), "{lost:?}");
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_answer_before_the_flush_is_caught() {
    let lost = acknowledged_and_lost(Some(super::super::planted::Bug::AnswerBeforeFlush)).await;
    assert_eq!(lost, ["an add", "its replay", "a read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_commands_with_the_reason_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = FaultPlan::new(1);
    let running = start_disturbed(folder.path(), &plan, None).await;
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    let client = running.impatient_client();
    let (mut acknowledged, mut refused, mut unknown) = (0, 0, 0);
    plan.add(Rule::always(Operation::Put, Fault::Fail(ErrorKind::Full)));
    let began = Instant::now();
    // Longer than any lease lasts, so that the databases are lost and opened anew as well.
    while began.elapsed() < Duration::from_secs(10) {
        match client.execute(order, add("A-1", 1)).await {
            Err(OrderError::DiskFull) => refused += 1,
            // The database holds it, and may yet write it.
            Err(OrderError::OutcomeUnknown { .. }) => unknown += 1,
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused > 0);
    plan.clear();
    let going_on = async {
        while acknowledged < 5 {
            match client.execute(order, add("B-1", 1)).await {
                Ok(_) => acknowledged += 1,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, going_on).await.expect("it goes on by itself");
    let stored = running.client().read(order).await.expect("reads").order;
    let line =
        |sku: &str| stored.items.iter().find(|line| line.sku.as_str() == sku).map_or(0, |line| line.quantity.get());
    assert!(line("B-1") >= acknowledged && line("A-1") <= unknown, "{stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_lost_on_leases_and_logs_cost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = FaultPlan::new(7);
    let lose = |prefix: &str| Rule {
        prefix: prefix.into(),
        probability: 0.3,
        ..Rule::always(Operation::Put, Fault::LoseReply(ErrorKind::Unknown))
    };
    plan.add(lose("leases"));
    plan.add(lose("orders/"));
    let running = start_disturbed(folder.path(), &plan, None).await;
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    for _ in 0..20 {
        client.execute(order, add("A-1", 1)).await.expect("adds");
    }
    assert_eq!(client.read(order).await.expect("reads").order.items[0].quantity.get(), 20);
}
