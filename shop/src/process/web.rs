//! A web pod: pages, API and search. Does I/O.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::Router;
use prometheus_client::registry::Registry;
use shop_contract::{
    INTERNAL_PORT, OPERATIONS_PORT, PUBLIC_PORT,
    config::ShopConfig,
    status::{PodStatus, WaitingReason},
};
use storage_adapters::Store;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    catalogue::{CatalogueHandle, catalogue, run_poller},
    orders::{GatewaySettings, InternalToken, OrderGateway, OtherStore, Role, ShopOpener, ShopRecords},
    readiness::Readiness,
    web::{Backend, Concurrency, Metrics, ServerSettings, internal, public, serve},
};

use super::{
    ProcessError, asked_to_end,
    guard::guard,
    open_files,
    parts::{SideServers, listen_at, open_store, places},
    store_usage,
};

/// How often a store that is not this shop's yet is looked at, and the catalogue's problem told anew.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs a web pod that listens on the ports of `address` until the process is asked to end.
///
/// # Errors
/// When a port is taken, the token is missing, or a part of the process ends by itself.
pub async fn run_web(config: ShopConfig, address: IpAddr) -> Result<(), ProcessError> {
    open_files::allow_most();
    let token = InternalToken::from_file(&config.internal.token_file)?;
    let listen = |port| listen_at((address, port).into());
    let (public_listener, operations_listener, internal_listener) =
        (listen(PUBLIC_PORT)?, listen(OPERATIONS_PORT)?, listen(INTERNAL_PORT)?);
    let (asked, watch) = asked_to_end()?;
    let readiness = starting();
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let meters = store_usage::register(&mut registry, &config.storage);
    let owner = Arc::new(OnceLock::new());
    let others = meters.others();
    let status = status(readiness.clone(), Arc::clone(&owner), others.clone());
    let mut side = SideServers::start(
        operations_listener,
        internal_listener,
        internal(token.clone(), status),
        Arc::new(registry),
        &readiness,
    );
    let work = async {
        let opened = asked.run_until_cancelled(async {
            let store = open_store(&config, &readiness, &meters.home).await;
            let records = open_shop(&store, &config, &readiness).await;
            (store, records)
        });
        let Some((store, records)) = opened.await else { return Ok(()) };
        let _ = owner.set(records.owner.clone());
        readiness.clear(WaitingReason::Starting);
        let web =
            Web { config: &config, store, others, records, token, metrics, readiness: &readiness, operations: None };
        web.serve(public_listener, ServerSettings::POD, asked.clone()).await
    };
    tokio::select! {
        ended = work => ended?,
        failed = side.failed() => return Err(failed),
        () = async { watch.await; std::future::pending().await } => {}
    }
    side.stop().await
}

/// A process that has only begun and will serve a catalogue: never ready without one, whatever is cleared first.
pub(super) fn starting() -> Readiness {
    let readiness = Readiness::starting();
    readiness.wait_for(WaitingReason::CatalogueMissing, "the catalogue is being looked for");
    readiness
}

/// The public side of a shop whose store is open.
pub(super) struct Web<'a> {
    pub(super) config: &'a ShopConfig,
    pub(super) store: Store,
    pub(super) others: Vec<Arc<OtherStore>>,
    pub(super) records: ShopRecords,
    pub(super) token: InternalToken,
    pub(super) metrics: Metrics,
    pub(super) readiness: &'a Readiness,
    /// The operations routes, where the public port serves them too.
    pub(super) operations: Option<Router>,
}

impl Web<'_> {
    /// Serves pages and API until `stop`, following the catalogue and watching over the store meanwhile.
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        settings: ServerSettings,
        stop: CancellationToken,
    ) -> Result<(), ProcessError> {
        let Self { config, store, others, records, token, metrics, readiness, operations } = self;
        let (publisher, handle) = catalogue();
        let (orders, order_work) = OrderGateway::new(GatewaySettings {
            store: store.clone(),
            others: others.clone(),
            records,
            token,
            on_partition: config.on_partition,
        })?;
        let name = config.shop.name.as_str().into();
        let backend = Backend { name, catalogue: handle.clone(), orders: Arc::new(orders) };
        let application = public(backend, metrics, Concurrency::default(), operations);
        let polled = run_poller(|| places(config, &store, &others), publisher);
        tokio::select! {
            ended = serve(listener, application, settings, readiness.clone(), stop) => {
                if ended.cut > 0 {
                    tracing::warn!(connections = ended.cut, "connections outlived the drain and were cut");
                }
            }
            // These go on for as long as the server does.
            never = order_work => match never {},
            never = polled => match never {},
            never = guard(store.clone(), config, readiness) => match never {},
            never = follow_catalogue(handle, readiness) => match never {},
        }
        Ok(())
    }
}

/// Is ready as soon as there is a catalogue; says until then what is the matter.
async fn follow_catalogue(mut handle: CatalogueHandle, readiness: &Readiness) -> Infallible {
    while timeout(LOOK_AGAIN, handle.wait_for(1)).await.is_err() {
        if let Some(problem) = handle.problem() {
            readiness.wait_for(WaitingReason::CatalogueMissing, &*problem);
        }
    }
    readiness.clear(WaitingReason::CatalogueMissing);
    std::future::pending().await
}

/// Waits until a worker has made the store this shop's, or it is known to be.
pub(super) async fn open_shop(store: &Store, config: &ShopConfig, readiness: &Readiness) -> ShopRecords {
    let begun = Instant::now();
    let mut opener = ShopOpener::new(Arc::clone(&store.blobs), config.shop.clone(), &config.orders, Role::Web);
    let mut before = None;
    loop {
        let waiting = match opener.attempt(begun.elapsed()).await {
            Ok(records) => {
                if let Some(reason) = before {
                    readiness.clear(reason);
                }
                return records;
            }
            Err(error) => error.waiting(),
        };
        if before != Some(waiting.reason) {
            if waiting.reason == WaitingReason::Starting {
                tracing::info!(why = waiting.message, "the store is not this shop's yet");
            } else {
                tracing::warn!(reason = ?waiting.reason, why = waiting.message, "the store cannot be used yet");
            }
            if let Some(reason) = before.filter(|reason| *reason != WaitingReason::Starting) {
                readiness.clear(reason);
            }
        }
        before = Some(waiting.reason);
        readiness.wait_for(waiting.reason, waiting.message);
        sleep(LOOK_AGAIN).await;
    }
}

fn status(
    readiness: Readiness,
    owner: Arc<OnceLock<String>>,
    others: Vec<Arc<OtherStore>>,
) -> impl Fn() -> PodStatus + Clone + Send + Sync {
    let boot_id = Uuid::new_v4().to_string();
    move || PodStatus {
        boot_id: boot_id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store_owner: owner.get().cloned(),
        waiting: readiness.waiting(),
        shards: Vec::new(),
        queue: None,
        lacks: others.iter().filter_map(|other| other.lacks()).collect(),
        switch: None,
        settled: None,
        moved: None,
        copying: None,
    }
}
