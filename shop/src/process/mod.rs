//! What one process of a shop runs: a web pod, a worker pod, or the whole shop. Does I/O.

mod alone;
mod guard;
mod offline;
mod open_files;
mod parts;
mod store_usage;
mod web;
mod worker;

use std::{io, net::SocketAddr, path::PathBuf};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinError,
};
use tokio_util::sync::CancellationToken;

pub use self::{alone::run_alone, offline::offline, web::run_web, worker::run_worker};
use crate::orders::{ClientError, TokenError, WorkerError};

/// Why a process cannot run, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// An address is taken, or not this machine's.
    #[error("cannot listen on {address}; end the process that does, or choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The shop runs, so nothing else may change its orders.
    #[error("the shop in {0} runs; end it, and repeat this")]
    Runs(PathBuf),
    /// Whether the shop runs cannot be found out.
    #[error("the state folder {folder} cannot be used; mend its permissions")]
    StateFolder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address of the pod is not known.
    #[error("the variable {0} must hold the address at which other pods reach this one")]
    PodAddress(&'static str),
    /// There is no internal token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The order service cannot run.
    #[error(transparent)]
    Orders(#[from] WorkerError),
    /// The order service cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Signals cannot be received.
    #[error("signals cannot be received, so the process could not end in order")]
    Signals(#[source] io::Error),
    /// A part of the process ended by itself, which is a defect.
    #[error("a part of the process ended by itself; report it")]
    Part(#[from] JoinError),
}

/// A token that is cancelled when the process is asked to end, by SIGTERM or SIGINT. The future drives it.
fn asked_to_end() -> Result<(CancellationToken, impl Future<Output = ()> + Send), ProcessError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ProcessError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProcessError::Signals)?;
    let asked = CancellationToken::new();
    let cancel = asked.clone();
    let watch = async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("ending, as asked by SIGTERM"),
            _ = interrupt.recv() => tracing::info!("ending, as asked by SIGINT"),
        }
        cancel.cancel();
    };
    Ok((asked, watch))
}
