//! A worker of its own for a verb that changes orders of a shop that does not run. Does I/O.

use std::{net::Ipv4Addr, sync::Arc};

use prometheus_client::registry::Registry;
use shop_contract::status::WaitingReason;
use storage_adapters::config::EmbeddedConfig;
use tokio_util::sync::CancellationToken;

use crate::{
    orders::{OrderClient, OrderMetrics, is_used},
    readiness::Readiness,
    web::{ServerSettings, serve},
};

use super::{
    ProcessError, alone,
    parts::{listen_at, open_store},
    store_usage,
    web::open_shop,
};

/// Has `work` done on the orders of the shop in a folder, which must not run meanwhile. A new shop is made in an empty one.
///
/// # Errors
/// When the shop runs, or a part of it ends by itself.
pub async fn offline<T>(embedded: EmbeddedConfig, work: impl AsyncFnOnce(OrderClient) -> T) -> Result<T, ProcessError> {
    let state_folder = alone::state_folder(&embedded);
    if is_used(&state_folder).map_err(|source| ProcessError::StateFolder { folder: state_folder.clone(), source })? {
        return Err(ProcessError::Runs(embedded.path));
    }
    let config = alone::config(embedded.into());
    let listener = listen_at((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = listener
        .local_addr()
        .map_err(|source| ProcessError::Listen { address: (Ipv4Addr::LOCALHOST, 0).into(), source })?;
    let token = alone::token();
    let readiness = Readiness::starting();
    let mut registry = Registry::default();
    let metrics = OrderMetrics::register(&mut registry);
    let meters = store_usage::register(&mut registry, &config.storage);
    let store = open_store(&config, &readiness, &meters.home).await;
    let worker = alone::worker(&config, &store, address, &token, &readiness, metrics)?;
    let ending = CancellationToken::new();
    let end_server = CancellationToken::new();
    let server = serve(listener, worker.router(), ServerSettings::ALONE, readiness.clone(), end_server.clone());
    let order_service = async {
        let ended = worker.run(ending.clone()).await;
        end_server.cancel();
        ended
    };
    let working = async {
        let _done = ending.clone().drop_guard();
        let records = open_shop(&store, &config, &readiness).await;
        readiness.clear(WaitingReason::Starting);
        readiness.ready().await;
        Ok::<T, ProcessError>(work(OrderClient::new(Arc::clone(&store.blobs), records, token)?).await)
    };
    let (done, ended, _) = tokio::join!(working, order_service, server);
    ended?;
    done
}
