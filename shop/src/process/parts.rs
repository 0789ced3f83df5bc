//! What web and worker processes have in common: opening the store, and the servers beside the public one. Does I/O.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use prometheus_client::registry::Registry;
use shop_contract::{config::ShopConfig, status::WaitingReason};
use storage_adapters::{Store, decorators::Meter};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    catalogue::Places,
    errors::with_causes,
    orders::OtherStore,
    readiness::Readiness,
    web::{ServerSettings, listen, operations, serve},
};

use super::ProcessError;

/// How often a store that cannot be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Listens on an address.
pub(super) fn listen_at(address: SocketAddr) -> Result<TcpListener, ProcessError> {
    listen(address).map_err(|source| ProcessError::Listen { address, source })
}

/// Opens the store of a shop, again and again until it can be opened; says meanwhile why it cannot.
pub(super) async fn open_store(config: &ShopConfig, readiness: &Readiness, meter: &Arc<Meter>) -> Store {
    loop {
        match Store::open_metered(&config.storage, Arc::clone(meter)).await {
            Ok(store) => {
                readiness.clear(WaitingReason::StoreUnavailable);
                return store;
            }
            Err(error) => {
                let message = with_causes(&error);
                tracing::warn!(error = message, "the store cannot be opened; trying again");
                readiness.wait_for(WaitingReason::StoreUnavailable, message);
            }
        }
        sleep(OPEN_AGAIN).await;
    }
}

/// The stores that a shop's catalogue may be in, as far as they are open.
pub(super) fn places(config: &ShopConfig, store: &Store, others: &[Arc<OtherStore>]) -> Places {
    let others = others.iter().filter_map(|other| other.blobs());
    Places::new(config.storage.provider, Arc::clone(&store.blobs), others)
}

/// The servers of a pod that outlive its public one: operations, and the internal API.
pub(super) struct SideServers {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl SideServers {
    /// Serves both until [`stop`](Self::stop).
    pub(super) fn start(
        operations_listener: TcpListener,
        internal_listener: TcpListener,
        internal: Router,
        registry: Arc<Registry>,
        readiness: &Readiness,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let applications =
            [(operations_listener, operations(readiness.clone(), registry)), (internal_listener, internal)];
        for (listener, application) in applications {
            let served = serve(listener, application, ServerSettings::ALONE, readiness.clone(), stop.clone());
            tasks.spawn(async move {
                served.await;
            });
        }
        Self { tasks, stop }
    }

    /// Returns when one of them ends although nobody asked it to.
    pub(super) async fn failed(&mut self) -> ProcessError {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) => return error.into(),
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Ends both in order.
    pub(super) async fn stop(mut self) -> Result<(), ProcessError> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        Ok(())
    }
}
