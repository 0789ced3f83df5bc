//! The whole shop in one process, on Embedded storage. Does I/O.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use prometheus_client::registry::Registry;
use shop_contract::{
    config::{CatalogueConfig, FORMAT, InternalConfig, OnPartitionConfig, OrdersConfig, ShopConfig, ShopIdentity},
    status::WaitingReason,
};
use storage_adapters::{
    Store,
    config::{EmbeddedConfig, StorageConfig},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    orders::{InternalToken, OrderMetrics, Worker, WorkerError, WorkerSettings},
    readiness::Readiness,
    web::{Metrics, ServerSettings, operations, serve},
};

use super::{
    ProcessError, asked_to_end, open_files,
    parts::{listen_at, open_store, places},
    store_usage,
    web::{Web, open_shop, starting},
    worker::seed,
};

/// Number of order shards of a new shop.
const SHARDS: u16 = 4;

/// What the owner marker of such a shop names; there is no Shop resource whose UID it could be.
const UID: &str = "shop-run";

/// Runs a shop whose data is in `storage` and that listens on `address`, until the process is asked to end. `ready` is
/// told the address, with its port, when the shop sells.
///
/// # Errors
/// When the address is taken, or a part of the process ends by itself.
pub async fn run_alone(
    storage: StorageConfig,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ProcessError> {
    open_files::allow_most();
    let listener = listen_at(address)?;
    let address = listener.local_addr().map_err(|source| ProcessError::Listen { address, source })?;
    let internal_listener = listen_at((Ipv4Addr::LOCALHOST, 0).into())?;
    let internal_address = internal_listener.local_addr().map_err(|source| ProcessError::Listen { address, source })?;
    let config = config(storage);
    let token = token();
    let (asked, watch) = asked_to_end()?;
    let readiness = starting();
    // Known to be missing from the start, so that the shop never counts as open in the moment before anybody has looked.
    readiness.wait_for(WaitingReason::CatalogueMissing, "the catalogue is being looked for");
    let mut registry = Registry::default();
    let (metrics, order_metrics) = (Metrics::register(&mut registry), OrderMetrics::register(&mut registry));
    let meters = store_usage::register(&mut registry, &config.storage);
    let operations = operations(readiness.clone(), Arc::new(registry));
    let work = async {
        let Some(store) = asked.run_until_cancelled(open_store(&config, &readiness, &meters.home)).await else {
            return Ok(());
        };
        let worker = worker(&config, &store, internal_address, &token, &readiness, order_metrics)?;
        let (end_worker, end_internal) = (CancellationToken::new(), CancellationToken::new());
        let internal =
            serve(internal_listener, worker.router(), ServerSettings::ALONE, readiness.clone(), end_internal.clone());
        let shopfront = async {
            let opened = asked.run_until_cancelled(open_shop(&store, &config, &readiness)).await;
            if let Some(records) = opened {
                let web = Web {
                    config: &config,
                    store: store.clone(),
                    others: Vec::new(),
                    records,
                    token,
                    metrics,
                    readiness: &readiness,
                    operations: Some(operations),
                };
                web.serve(listener, ServerSettings::ALONE, asked.clone()).await?;
            }
            // The worker ends last, since the last requests are still its.
            end_worker.cancel();
            Ok::<(), ProcessError>(())
        };
        let order_service = async {
            let ended = worker.run(end_worker.clone()).await;
            end_internal.cancel();
            asked.cancel();
            ended
        };
        let beside = async {
            seed(&config, || places(&config, &store, &[]), &worker).await;
            readiness.ready().await;
            ready(address);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            (sold, done, _) = async { tokio::join!(shopfront, order_service, internal) } => {
                sold?;
                done?;
            }
            () = beside => {}
        }
        Ok::<(), ProcessError>(())
    };
    tokio::select! {
        ended = work => ended,
        () = async { watch.await; std::future::pending().await } => Ok(()),
    }
}

/// The worker of a shop that no operator made.
pub(super) fn worker(
    config: &ShopConfig,
    store: &Store,
    address: SocketAddr,
    token: &InternalToken,
    readiness: &Readiness,
    metrics: OrderMetrics,
) -> Result<Arc<Worker>, WorkerError> {
    Worker::new(WorkerSettings {
        config: config.clone(),
        store: store.clone(),
        // All that it has is on this machine.
        others: Vec::new(),
        address: address.to_string(),
        token: token.clone(),
        state_folder: config.storage.embedded.as_ref().map(state_folder),
        flush_interval: WorkerSettings::flush_interval_of(config.storage.provider, config.orders.shards),
        readiness: readiness.clone(),
        metrics,
    })
}

/// A token that nobody else knows.
pub(super) fn token() -> InternalToken {
    InternalToken::of_process(&Uuid::new_v4().simple().to_string())
}

/// Where a process says that it runs a shop, beside the shop's data.
pub(super) fn state_folder(embedded: &EmbeddedConfig) -> PathBuf {
    embedded.path.join("run")
}

/// The config of a shop that no operator made.
pub(super) fn config(storage: StorageConfig) -> ShopConfig {
    ShopConfig {
        format: FORMAT,
        shop: ShopIdentity {
            name: "shop".to_owned(),
            namespace: String::new(),
            uid: UID.to_owned(),
            // An empty folder is a new shop: nothing else could be meant by running one there.
            initialise: true,
            adopt_existing: false,
        },
        orders: OrdersConfig { shards: SHARDS },
        on_partition: OnPartitionConfig::default(),
        catalogue: CatalogueConfig { sample: true },
        internal: InternalConfig { token_file: "/dev/null".into() },
        storage,
    }
}
