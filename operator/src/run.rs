//! Sets up and runs the operator until it is told to end. Does I/O: network, signals.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{
    Client, Config,
    runtime::events::{Recorder, Reporter},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    apply::Applier,
    args::RunArguments,
    constants::EVENT_REPORTER,
    context::{Context, Failures},
    controller,
    health::Health,
    index::Index,
    metrics::Metrics,
    operations,
    pods::PodClient,
};

/// How long the API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the API server may be silent in the middle of an answer; longer than a watch lasts.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the operator does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It finds no cluster.
    #[error("no cluster to work for; run it in a pod, or set KUBECONFIG")]
    Configuration(#[source] Box<kube::config::InferConfigError>),
    /// The client for the Kubernetes API cannot be set up.
    #[error("the client for the Kubernetes API cannot be set up")]
    Client(#[source] Box<kube::Error>),
    /// The client for the shops' pods cannot be set up.
    #[error("the client for the shops' pods cannot be set up")]
    PodClient(#[source] reqwest::Error),
    /// The operations port cannot be served.
    #[error("{address} cannot be served; set --operations-address to a free one")]
    Operations {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The signals that end the process cannot be awaited.
    #[error("the signals that end the process cannot be awaited")]
    Signals(#[source] io::Error),
    /// A part of it ended by itself, which none should.
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

/// Runs until SIGTERM or SIGINT. Every step of a reconciliation may be the last, so nothing is waited for.
///
/// # Errors
/// When it cannot be set up, or a part of it ends by itself.
pub async fn run(arguments: RunArguments) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let address = arguments.operations_address;
    let failed = |source| RunError::Operations { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;

    let mut configuration = Config::infer().await.map_err(|error| RunError::Configuration(Box::new(error)))?;
    configuration.connect_timeout = Some(CONNECT_TIMEOUT);
    configuration.read_timeout = Some(READ_TIMEOUT);
    configuration.reset_reader_on_write = true;
    let client = Client::try_from(configuration).map_err(|error| RunError::Client(Box::new(error)))?;

    let metrics = Arc::new(Metrics::default());
    let index = Arc::new(Index::default());
    let health = Arc::new(Health::new(controller::watched_kinds(), Instant::now()));
    let reporter = Reporter { controller: EVENT_REPORTER.into(), instance: None };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        applier: Applier::new(client.clone(), index.clone(), metrics.clone()),
        pods: PodClient::new(metrics.clone()).map_err(RunError::PodClient)?,
        settings: arguments.build_settings(),
        failures: Failures::default(),
        client: client.clone(),
        index,
        metrics: metrics.clone(),
    });
    tracing::info!(image = context.settings.image, "the operator starts");
    tokio::select! {
        () = controller::run(context, health.clone()) => Err(RunError::Ended("the controller")),
        () = controller::heartbeat(client, health.clone()) => Err(RunError::Ended("the heartbeat")),
        served = operations::serve(listener, health, metrics) => {
            served.map_err(failed)?;
            Err(RunError::Ended("the operations port"))
        }
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}
