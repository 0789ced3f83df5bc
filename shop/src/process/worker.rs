//! A worker pod: owns order shards, confirms orders, and gives a new shop its sample catalogue. Does I/O.

use std::{
    convert::Infallible,
    env,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use prometheus_client::registry::Registry;
use shop_contract::{INTERNAL_PORT, OPERATIONS_PORT, config::ShopConfig, status::PodStatus};
use tokio::time::sleep;
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    catalogue::{CatalogueMove, Places, StoreError, seed_sample_if_absent},
    errors::with_causes,
    orders::{InternalToken, OrderMetrics, Worker, WorkerSettings},
    readiness::Readiness,
    web::internal,
};

use super::{
    ProcessError, asked_to_end,
    guard::guard,
    open_files,
    parts::{SideServers, listen_at, open_store, places},
    store_usage,
};

/// The variable with the pod's address.
const POD_ADDRESS: &str = "POD_IP";

/// A folder that outlives a restart of the container, when the pod mounts one.
const STATE_FOLDER: &str = "/var/run/cloudshop";

/// How often the sample is tried again, and the store's owner looked for.
const SEED_AGAIN: Duration = Duration::from_millis(500);

/// How often is looked whether the catalogue is to be moved, or a switch to be reported, or that is tried again.
const MOVE_AGAIN: Duration = Duration::from_secs(1);

/// Runs a worker pod that listens on the ports of `listen` until the process is asked to end.
///
/// # Errors
/// When a port is taken, the token is missing, or a part of the process ends by itself.
pub async fn run_worker(config: ShopConfig, listen: IpAddr) -> Result<(), ProcessError> {
    open_files::allow_most();
    let token = InternalToken::from_file(&config.internal.token_file)?;
    let address = env::var(POD_ADDRESS).ok().filter(|address| !address.is_empty());
    let address = address.ok_or(ProcessError::PodAddress(POD_ADDRESS))?;
    let (operations_listener, internal_listener) =
        (listen_at((listen, OPERATIONS_PORT).into())?, listen_at((listen, INTERNAL_PORT).into())?);
    let (asked, watch) = asked_to_end()?;
    let readiness = Readiness::starting();
    let mut registry = Registry::default();
    let metrics = OrderMetrics::register(&mut registry);
    let meters = store_usage::register(&mut registry, &config.storage);
    let serving = Arc::new(OnceLock::new());
    let mut side = SideServers::start(
        operations_listener,
        internal_listener,
        internal_api(token.clone(), readiness.clone(), Arc::clone(&serving)),
        Arc::new(registry),
        &readiness,
    );
    let work = async {
        let Some(store) = asked.run_until_cancelled(open_store(&config, &readiness, &meters.home)).await else {
            return Ok(());
        };
        let others = meters.others();
        let settings = WorkerSettings {
            config: config.clone(),
            store: store.clone(),
            others: others.clone(),
            address: format!("{}:{INTERNAL_PORT}", bracketed(&address)),
            token,
            state_folder: Some(PathBuf::from(STATE_FOLDER)).filter(|folder| folder.is_dir()),
            flush_interval: WorkerSettings::flush_interval_of(config.storage.provider, config.orders.shards),
            readiness: readiness.clone(),
            metrics,
        };
        let worker = Worker::new(settings)?;
        let _ = serving.set(worker.router());
        tokio::select! {
            ended = worker.run(asked.clone()) => ended?,
            never = guard(store.clone(), &config, &readiness) => match never {},
            never = keep_catalogue(|| places(&config, &store, &others), &config, &worker) => match never {},
            never = report_switches(&worker) => match never {},
        }
        Ok::<(), ProcessError>(())
    };
    tokio::select! {
        ended = work => ended?,
        failed = side.failed() => return Err(failed),
        () = async { watch.await; std::future::pending().await } => {}
    }
    side.stop().await
}

/// Gives the shop its first catalogue, and then has it, with the dead letters, in the store where everything is to be.
async fn keep_catalogue(places: impl Fn() -> Places, config: &ShopConfig, worker: &Worker) -> Infallible {
    seed(config, &places, worker).await;
    let mut moved = None;
    loop {
        sleep(MOVE_AGAIN).await;
        let Some(wish) = worker.ready_for().filter(|wish| moved != Some(*wish)) else { continue };
        let end = match places().move_to(wish).await {
            Ok(end) => end,
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(store = %wish.to, error, "the catalogue was not moved; trying again");
                continue;
            }
        };
        if end == CatalogueMove::Superseded {
            continue;
        }
        match worker.settle(wish).await {
            // A catalogue that is imported later moves then.
            Ok(()) if end == CatalogueMove::Nothing => {}
            Ok(()) => {
                tracing::info!(store = %wish.to, "the catalogue and the dead letters are where everything is to be");
                moved = Some(wish);
            }
            Err(error) => tracing::warn!(store = %wish.to, %error, "dead letters were not copied; trying again"),
        }
    }
}

/// Has each switch reported, once it is over.
async fn report_switches(worker: &Worker) -> Infallible {
    loop {
        sleep(MOVE_AGAIN).await;
        if let Err(error) = worker.report_switch().await {
            tracing::warn!(%error, "a switch was not reported; trying again");
        }
    }
}

/// Gives the shop the sample catalogue when it asks for it and has none, once the store is known to be the shop's.
pub(super) async fn seed(config: &ShopConfig, places: impl Fn() -> Places, worker: &Worker) {
    if !config.catalogue.sample {
        return;
    }
    while worker.status().store_owner.is_none() {
        sleep(SEED_AGAIN).await;
    }
    loop {
        match seed_sample_if_absent(&places()).await {
            Ok(seeded) => {
                if seeded {
                    tracing::info!("the shop had no catalogue and got the sample");
                }
                return;
            }
            // Another store has it, which is opened in a moment.
            Err(StoreError::Elsewhere(_) | StoreError::Moving) => {}
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "the sample catalogue was not stored; trying again");
            }
        }
        sleep(SEED_AGAIN).await;
    }
}

/// The worker's API once there is a worker, until then its status alone.
fn internal_api(token: InternalToken, readiness: Readiness, worker: Arc<OnceLock<Router>>) -> Router {
    let boot_id = Uuid::new_v4().to_string();
    let waiting = internal(token, move || PodStatus {
        boot_id: boot_id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store_owner: None,
        waiting: readiness.waiting(),
        shards: Vec::new(),
        queue: None,
        lacks: Vec::new(),
        switch: None,
        settled: None,
        moved: None,
        copying: None,
    });
    Router::new().fallback(async move |request: Request<Body>| {
        let router = worker.get().unwrap_or(&waiting).clone();
        router.oneshot(request).await
    })
}

/// An address as it stands before a port.
fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}
