//! Measures durable commands on one worker with a disk: throughput, and latency at a steady rate. Prints a table.
//!
//! `cargo bench -p shop --bench orders -- [SECONDS]`; the data goes into the folder for temporary files.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::registry::Registry;
use shop::{
    domain::{Command, Currency, IdempotencyKey, Money, OrderId, Quantity, Request},
    orders::{InternalToken, OrderClient, OrderMetrics, Role, ShopOpener, Worker, WorkerSettings},
    readiness::Readiness,
};
use shop_contract::config::{
    CatalogueConfig, FORMAT, InternalConfig, OnPartitionConfig, OrdersConfig, ShopConfig, ShopIdentity,
};
use storage_adapters::{
    Store,
    config::{EmbeddedConfig, Provider, StorageConfig},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The service levels' rate of adds and submits together.
const STEADY: u32 = 550;

/// Shoppers who ask one after the other, for the most that a worker can do.
const SHOPPERS: usize = 256;

/// Orders that commands are spread over; none gets a thousand.
const ORDERS: usize = 4000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn config(folder: &std::path::Path) -> ShopConfig {
    ShopConfig {
        format: FORMAT,
        shop: ShopIdentity {
            name: "bench".into(),
            namespace: "bench".into(),
            uid: "bench".into(),
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

fn key() -> IdempotencyKey {
    IdempotencyKey::from_uuid(Uuid::new_v4())
}

fn add(number: usize) -> Result<Request, Failure> {
    let command = Command::AddItem {
        sku: format!("SKU-{}", number % 20).parse()?,
        name: format!("product {}", number % 20),
        quantity: Quantity::try_from(1)?,
        unit_price: Money { amount: 250, currency: Currency::EUR },
        catalogue_version: 1,
    };
    Ok(Request::new(key(), command))
}

/// Times of answers, and how many commands had none.
#[derive(Default)]
struct Measured {
    times: Vec<Duration>,
    failed: usize,
    took: Duration,
}

impl Measured {
    fn take(&mut self, result: &Result<Duration, Failure>) {
        match result {
            Ok(time) => self.times.push(*time),
            Err(_) => self.failed += 1,
        }
    }

    fn line(mut self, name: &str) -> String {
        self.times.sort_unstable();
        let at = |part: usize| {
            self.times
                .get(self.times.len().saturating_sub(1) * part / 1000)
                .map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        let rate = f64::from(u32::try_from(self.times.len()).unwrap_or(u32::MAX)) / self.took.as_secs_f64();
        format!(
            "| {name} | {rate:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {} |\n",
            at(500),
            at(990),
            at(999),
            at(1000),
            self.failed
        )
    }
}

async fn one(client: &OrderClient, order: OrderId, number: usize, due: Instant) -> Result<Duration, Failure> {
    client.execute(order, add(number)?).await?;
    Ok(due.elapsed())
}

/// Commands at a fixed rate, timed from when each was due.
async fn steadily(client: &Arc<OrderClient>, orders: &[OrderId], length: Duration) -> Measured {
    let (mut measured, mut under_way, began) = (Measured::default(), JoinSet::new(), Instant::now());
    for number in 0_u32.. {
        let after = Duration::from_secs(1) * number / STEADY;
        if after >= length {
            break;
        }
        let (due, number) = (began + after, number as usize);
        tokio::time::sleep_until(due.into()).await;
        let (client, order) = (Arc::clone(client), orders[number % orders.len()]);
        under_way.spawn(async move { one(&client, order, number, due).await });
        while let Some(Ok(result)) = under_way.try_join_next() {
            measured.take(&result);
        }
    }
    while let Some(Ok(result)) = under_way.join_next().await {
        measured.take(&result);
    }
    measured.took = began.elapsed();
    measured
}

/// Each shopper asks again as soon as there is an answer.
async fn at_most(client: &Arc<OrderClient>, orders: &[OrderId], length: Duration) -> Measured {
    let (mut shoppers, began) = (JoinSet::new(), Instant::now());
    for shopper in 0..SHOPPERS {
        let mine: Vec<_> = orders.iter().skip(shopper).step_by(SHOPPERS).copied().collect();
        let client = Arc::clone(client);
        shoppers.spawn(async move {
            let mut measured = Measured::default();
            for number in 0.. {
                if began.elapsed() >= length {
                    break;
                }
                measured.take(&one(&client, mine[number % mine.len()], number, Instant::now()).await);
            }
            measured
        });
    }
    let mut measured = Measured::default();
    while let Some(Ok(part)) = shoppers.join_next().await {
        measured.times.extend(part.times);
        measured.failed += part.failed;
    }
    measured.took = began.elapsed();
    measured
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let length = Duration::from_secs(seconds);
    let folder = tempfile::tempdir()?;
    let config = config(folder.path());
    let store = Store::open(&config.storage).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let token = InternalToken::of_process(&Uuid::new_v4().to_string());
    let readiness = Readiness::starting();
    let worker = Worker::new(WorkerSettings {
        config: config.clone(),
        store: store.clone(),
        others: Vec::new(),
        address: listener.local_addr()?.to_string(),
        token: token.clone(),
        state_folder: None,
        flush_interval: WorkerSettings::flush_interval_of(Provider::Embedded, 4),
        readiness: readiness.clone(),
        metrics: OrderMetrics::register(&mut Registry::default()),
    })?;
    let mut server = JoinSet::new();
    server.spawn(axum::serve(listener, worker.router()).into_future());
    let ending = CancellationToken::new();
    let mut life = JoinSet::new();
    let until = ending.clone();
    life.spawn(async move { worker.run(until).await });
    readiness.ready().await;
    let mut opener = ShopOpener::new(Arc::clone(&store.blobs), config.shop.clone(), &config.orders, Role::Web);
    let records = opener.attempt(Duration::ZERO).await?;
    let client = Arc::new(OrderClient::new(Arc::clone(&store.blobs), records, token)?);

    let mut orders = Vec::new();
    while orders.len() < ORDERS {
        let batch = (0..100).map(|_| async {
            let key = key();
            let order = client.order_id(&key);
            let request = Request::new(key, Command::Create { currency: Currency::EUR });
            client.execute(order, request).await.map(|answer| answer.order.id)
        });
        orders.extend(futures::future::try_join_all(batch).await?);
    }
    let steady = steadily(&client, &orders, length).await.line(&format!("adds, {STEADY}/s"));
    let most = at_most(&client, &orders, length).await.line(&format!("adds, {SHOPPERS} shoppers"));
    let mut output = std::io::stdout().lock();
    writeln!(
        output,
        "| durable commands, one worker, 4 shards | per second | p50 ms | p99 ms | p99.9 ms | max ms | failed |"
    )?;
    writeln!(output, "|---|---|---|---|---|---|---|")?;
    write!(output, "{steady}{most}")?;
    drop(output);
    ending.cancel();
    while let Some(ended) = life.join_next().await {
        ended??;
    }
    server.shutdown().await;
    Ok(())
}
