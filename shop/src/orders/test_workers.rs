//! Whole workers for tests: on a store on disk, their internal API on loopback.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use prometheus_client::registry::Registry as MetricsRegistry;
use shop_contract::config::{
    CatalogueConfig, FORMAT, InternalConfig, OnPartitionConfig, OrdersConfig, ShopConfig, ShopIdentity,
};
use storage_adapters::{
    Store,
    config::{EmbeddedConfig, Provider, StorageConfig},
    decorators::{FaultPlan, Faulty},
};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    client::OrderClient,
    metrics::OrderMetrics,
    other_store::OtherStore,
    planted::Bug,
    records::ShopRecords,
    test_gate::TestGate,
    token::InternalToken,
    worker::{Worker, WorkerError, WorkerSettings},
};
use crate::{
    domain::{Command, Currency, IdempotencyKey, Money, OrderId, Quantity, Request, Sku},
    readiness::Readiness,
};

pub(super) const TOKEN: &str = "a token of the tests";

/// Longest that anything is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn config(folder: &Path) -> ShopConfig {
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
        on_partition: OnPartitionConfig::default(),
        catalogue: CatalogueConfig { sample: false },
        internal: InternalConfig { token_file: "/dev/null".into() },
        storage: StorageConfig::from(EmbeddedConfig { path: folder.join("store") }),
    }
}

pub(super) struct Running {
    pub(super) worker: Arc<Worker>,
    pub(super) ending: CancellationToken,
    life: JoinHandle<Result<(), WorkerError>>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.life.abort();
        self.server.abort();
    }
}

pub(super) async fn start_with(config: ShopConfig, state_folder: Option<PathBuf>) -> Running {
    let store = Store::open(&config.storage).await.expect("a store");
    start_on(store, Vec::new(), config, state_folder).await
}

/// Starts a worker whose store does what the plan says.
pub(super) async fn start_disturbed(folder: &Path, plan: &Arc<FaultPlan>, state_folder: Option<PathBuf>) -> Running {
    let config = config(folder);
    let store = Store::open(&config.storage).await.expect("a store");
    let blobs = Arc::new(Faulty::new(store.blobs, Arc::clone(plan)));
    let queue = Arc::new(Faulty::new(store.queue, Arc::clone(plan)));
    start_on(Store { blobs, queue }, Vec::new(), config, state_folder).await
}

/// A worker that others reach only through the gate that is returned.
pub(super) async fn start_gated(folder: &Path) -> (Running, TestGate) {
    let config = config(folder);
    let store = Store::open(&config.storage).await.expect("a store");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gate = TestGate::before(listener.local_addr().expect("an address")).await;
    (serve(store, Vec::new(), config, None, listener, gate.address), gate)
}

/// The same, with a home queue that does what the plan says, and with a store in `other` that passes for one of `provider`.
pub(super) async fn start_gated_with_another(
    folder: &Path,
    plan: &Arc<FaultPlan>,
    other: &Path,
    provider: Provider,
) -> (Running, TestGate) {
    let config = config(folder);
    let Store { blobs, queue } = Store::open(&config.storage).await.expect("a store");
    let store = Store { blobs, queue: Arc::new(Faulty::new(queue, Arc::clone(plan))) };
    let other = Store::open(&EmbeddedConfig { path: other.join("store") }.into()).await.expect("another store");
    let others = vec![Arc::new(OtherStore::open_from_the_start(provider, other))];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gate = TestGate::before(listener.local_addr().expect("an address")).await;
    (serve(store, others, config, None, listener, gate.address), gate)
}

/// A worker whose shards may live in `folder`, where they do at first, and in `other`, which passes for a store of AWS.
pub(super) async fn start_between(folder: &Path, other: &Path, plan: &Arc<FaultPlan>) -> Running {
    let config = config(folder);
    let store = Store::open(&config.storage).await.expect("a store");
    let other = Store::open(&EmbeddedConfig { path: other.join("store") }.into()).await.expect("another store");
    let other = Store { blobs: Arc::new(Faulty::new(other.blobs, Arc::clone(plan))), queue: other.queue };
    start_on(store, vec![Arc::new(OtherStore::open_from_the_start(Provider::Aws, other))], config, None).await
}

async fn start_on(
    store: Store,
    others: Vec<Arc<OtherStore>>,
    config: ShopConfig,
    state_folder: Option<PathBuf>,
) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    serve(store, others, config, state_folder, listener, address)
}

fn serve(
    store: Store,
    others: Vec<Arc<OtherStore>>,
    config: ShopConfig,
    state_folder: Option<PathBuf>,
    listener: TcpListener,
    address: SocketAddr,
) -> Running {
    if std::env::var_os(crate::telemetry::FILTER_VARIABLE).is_some() {
        // The second test of a process finds that the first has set them up.
        let _ = crate::telemetry::start(crate::telemetry::LogFormat::Text);
    }
    let worker = Worker::new(WorkerSettings {
        config,
        store,
        others,
        address: address.to_string(),
        token: InternalToken::of_process(TOKEN),
        state_folder,
        flush_interval: WorkerSettings::flush_interval_of(Provider::Embedded, 1),
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

pub(super) async fn start(folder: &Path) -> Running {
    start_with(config(folder), None).await
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

impl Running {
    pub(super) async fn ready(&self) {
        let ready = tokio::time::timeout(PATIENCE, self.worker.settings.readiness.ready()).await;
        assert!(ready.is_ok(), "{:?}", self.worker.settings.readiness.waiting());
    }

    pub(super) fn owns(&self) -> BTreeSet<u16> {
        self.worker.status().shards.iter().map(|shard| shard.shard).collect()
    }

    /// Ends in order; how long it took.
    pub(super) async fn end(mut self) -> Duration {
        let began = Instant::now();
        self.ending.cancel();
        (&mut self.life).await.expect("no panic").expect("no error");
        began.elapsed()
    }

    /// Ends as `kill -9` does: nothing is flushed, closed or given back. The databases' own tasks are cut off from the store.
    pub(super) async fn crash(mut self) {
        for shard in self.worker.service.shards() {
            shard.cut_off();
        }
        self.life.abort();
        assert!((&mut self.life).await.is_err_and(|error| error.is_cancelled()));
    }

    pub(super) fn records(&self) -> ShopRecords {
        self.worker.records.get().expect("an open shop").clone()
    }

    /// A client that waits for as long as the tests do: how quick the machine is today is not theirs to say.
    pub(super) fn client(&self) -> OrderClient {
        self.impatient_client().patient(PATIENCE)
    }

    /// A client that gives up when web does.
    pub(super) fn impatient_client(&self) -> OrderClient {
        let store = &self.worker.settings.store;
        let records = self.records();
        let client = OrderClient::new(Arc::clone(&store.blobs), records, InternalToken::of_process(TOKEN));
        client.expect("a client").looking_into(self.worker.settings.others.clone())
    }
}

/// Has a worker make a mistake from now on, where tests are compiled to.
pub(super) fn plant(running: &Running, bug: Option<Bug>) {
    #[cfg(feature = "planted-bugs")]
    {
        *running.worker.bug.lock().expect("a lock") = bug;
    }
    #[cfg(not(feature = "planted-bugs"))]
    assert_eq!(bug, None, "no mistake is compiled into {:?}", running.worker);
}

pub(super) fn key() -> IdempotencyKey {
    IdempotencyKey::from_uuid(Uuid::new_v4())
}

pub(super) fn add(sku: &str, quantity: u32) -> Request {
    let command = Command::AddItem {
        sku: sku.parse::<Sku>().expect("a SKU"),
        name: format!("product {sku}"),
        quantity: Quantity::try_from(quantity).expect("a quantity"),
        unit_price: Money { amount: 250, currency: Currency::EUR },
        catalogue_version: 1,
    };
    Request::new(key(), command)
}

pub(super) async fn create(client: &OrderClient) -> OrderId {
    let key = key();
    let order = client.order_id(&key);
    let request = Request::new(key, Command::Create { currency: Currency::EUR });
    client.execute(order, request).await.expect("creates").order.id
}

/// Shoppers who each add one item after the other to an order of their own, until told to stop.
pub(super) struct Shoppers {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<(OrderId, u32)>>,
}

impl Shoppers {
    pub(super) async fn start(running: &Running, count: usize) -> Self {
        let client = Arc::new(running.client());
        let orders = futures::future::join_all((0..count).map(|_| create(&client))).await;
        let stop = CancellationToken::new();
        let buying = |order| {
            let (client, stop) = (Arc::clone(&client), stop.clone());
            tokio::spawn(async move {
                let mut added = 0;
                while !stop.is_cancelled() && added < 900 {
                    client.execute(order, add("A-1", 1)).await.expect("no command fails");
                    added += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                (order, added)
            })
        };
        Self { tasks: orders.into_iter().map(buying).collect(), stop }
    }

    /// What each order holds by now.
    pub(super) async fn end(self) -> Vec<(OrderId, u32)> {
        self.stop.cancel();
        futures::future::join_all(self.tasks).await.into_iter().map(|order| order.expect("no panic")).collect()
    }
}
