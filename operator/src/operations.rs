//! `/livez`, `/readyz` and `/metrics`. Does I/O: serves HTTP.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tower_http::timeout::TimeoutLayer;

use crate::{health::Health, metrics::Metrics};

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Operations {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves until the process ends.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: TcpListener, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .with_state(Operations { health, metrics });
    axum::serve(listener, router).await
}

async fn ready(State(operations): State<Operations>) -> (StatusCode, String) {
    let waiting = operations.health.waiting(Instant::now());
    if waiting.is_empty() {
        (StatusCode::OK, "ok\n".into())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", waiting.join("; ")))
    }
}

async fn measured(State(operations): State<Operations>) -> ([(&'static str, &'static str); 1], String) {
    ([("content-type", "text/plain; version=0.0.4")], operations.metrics.render())
}
