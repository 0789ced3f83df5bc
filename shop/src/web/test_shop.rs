//! A whole shop for tests: a worker on a store on disk, and the public service on a loopback socket.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use shop_contract::config::{
    CatalogueConfig, FORMAT, InternalConfig, OnPartition, OnPartitionConfig, OrdersConfig, ShopConfig, ShopIdentity,
};
use storage_adapters::{
    Store,
    config::{EmbeddedConfig, Provider, StorageConfig},
};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Backend, Concurrency, Metrics, ServerSettings, listen, public,
    raw_client::{RawAnswer, RawClient},
    serve,
};
use crate::{
    catalogue::{CataloguePublisher, SnapshotBuilder, catalogue, sample},
    orders::{GatewaySettings, InternalToken, OrderGateway, OrderMetrics, Role, ShopOpener, Worker, WorkerSettings},
    readiness::Readiness,
};

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(40);
/// Products of the catalogue.
pub(super) const PRODUCTS: usize = 240;

pub(super) struct TestShop {
    pub(super) address: SocketAddr,
    ending: CancellationToken,
    /// The worker, its server and the public server; they end with this.
    _tasks: JoinSet<()>,
    worker_ending: CancellationToken,
    _publisher: CataloguePublisher,
    _folder: TempDir,
}

impl TestShop {
    /// A shop as it is without a choice.
    pub(super) async fn start() -> Self {
        Self::start_with(OnPartitionConfig::default()).await
    }

    /// A shop that never tells anything that may be wrong.
    pub(super) async fn start_consistent() -> Self {
        let consistency = OnPartition::Consistency;
        Self::start_with(OnPartitionConfig { carts: consistency, submit: consistency }).await
    }

    async fn start_with(on_partition: OnPartitionConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = ShopConfig {
            format: FORMAT,
            shop: ShopIdentity {
                name: "Corner".into(),
                namespace: "shops".into(),
                uid: "uid-1".into(),
                initialise: true,
                adopt_existing: false,
            },
            orders: OrdersConfig { shards: 2 },
            on_partition,
            catalogue: CatalogueConfig { sample: false },
            internal: InternalConfig { token_file: "/dev/null".into() },
            storage: StorageConfig::from(EmbeddedConfig { path: folder.path().join("store") }),
        };
        let store = Store::open(&config.storage).await.expect("a store");
        let token = InternalToken::of_process("a token of the tests");
        let mut tasks = JoinSet::new();
        let ending = CancellationToken::new();
        let worker_ending = CancellationToken::new();

        let internal = listen(([127, 0, 0, 1], 0).into()).expect("a port");
        let worker = Worker::new(WorkerSettings {
            config: config.clone(),
            store: store.clone(),
            others: Vec::new(),
            address: internal.local_addr().expect("an address").to_string(),
            token: token.clone(),
            state_folder: None,
            flush_interval: WorkerSettings::flush_interval_of(Provider::Embedded, 1),
            readiness: Readiness::starting(),
            metrics: OrderMetrics::register(&mut Registry::default()),
        })
        .expect("a worker");
        let (router, until) = (worker.router(), worker_ending.clone());
        tasks.spawn(async move {
            serve(internal, router, ServerSettings::ALONE, Readiness::starting(), until).await;
        });
        let (living, until) = (Arc::clone(&worker), worker_ending.clone());
        tasks.spawn(async move { living.run(until).await.expect("the worker works") });

        let mut opener = ShopOpener::new(Arc::clone(&store.blobs), config.shop.clone(), &config.orders, Role::Web);
        let begun = tokio::time::Instant::now();
        let looking = async {
            loop {
                if let Ok(records) = opener.attempt(begun.elapsed()).await {
                    return records;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let records = timeout(PATIENCE, looking).await.expect("the worker makes the store this shop's");
        let (publisher, handle) = catalogue();
        let mut builder = SnapshotBuilder::default();
        for product in sample(PRODUCTS, 1).expect("a sample") {
            builder.push(&product).expect("a product");
        }
        publisher.publish(builder.finish(1, [1; 32]).expect("a snapshot"));
        let settings = GatewaySettings { store: store.clone(), others: Vec::new(), records, token, on_partition };
        let (orders, order_work) = OrderGateway::new(settings).expect("a gateway");
        tasks.spawn(async move { match order_work.await {} });
        let backend = Backend { name: "Corner".into(), catalogue: handle, orders: Arc::new(orders) };
        let application = public(backend, Metrics::register(&mut Registry::default()), Concurrency::default(), None);
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = listener.local_addr().expect("an address");
        let until = ending.clone();
        tasks.spawn(async move {
            serve(listener, application, ServerSettings::ALONE, Readiness::starting(), until).await;
        });
        let shop = Self { address, ending, _tasks: tasks, worker_ending, _publisher: publisher, _folder: folder };
        shop.eventually("orders are taken", async |shop| {
            shop.ask("POST", "/api/v1/orders", "", None).await.status == 201
        })
        .await;
        shop
    }

    /// A request on a connection of its own.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &str, body: Option<&str>) -> RawAnswer {
        let mut client = RawClient::connect(self.address).await.expect("connects");
        client.ask(method, path, headers, body).await.expect("an answer")
    }

    pub(super) async fn get(&self, path: &str) -> RawAnswer {
        self.ask("GET", path, "", None).await
    }

    /// Path of a new order.
    pub(super) async fn new_order(&self) -> String {
        let answer = self.ask("POST", "/api/v1/orders", "", None).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.header("location").expect("a location").to_owned()
    }

    pub(super) async fn eventually(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let waiting = async {
            while !holds(self).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}");
    }

    /// Ends the worker, so that no shard has an owner, and waits until nobody answers for orders.
    pub(super) async fn lose_the_worker(&self) {
        self.worker_ending.cancel();
        self.eventually("nobody answers for orders", async |shop| {
            shop.ask("POST", "/api/v1/orders", "", None).await.status != 201
        })
        .await;
    }
}

impl Drop for TestShop {
    fn drop(&mut self) {
        self.worker_ending.cancel();
        self.ending.cancel();
    }
}
