//! The internal API of a worker: commands, reads, imports, gifts of leases, a nudge, and its status. Each request carries
//! the shop's token.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::de::DeserializeOwned;
use shop_contract::status::STATUS_PATH;
use tokio::time::Instant;

use super::{
    protocol::{
        COMMANDS_PATH, CommandMessage, FORMAT, GIFTS_PATH, GiftMessage, IMPORTS_PATH, ImportMessage, LOOK_PATH,
        MAX_IMPORT_BYTES, MAX_PATIENCE, MAX_REQUEST_BYTES, READS_PATH, ReadMessage, Reply,
    },
    worker::Worker,
};

impl Worker {
    /// The internal API.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(COMMANDS_PATH, post(command))
            .route(READS_PATH, post(read))
            .route(LOOK_PATH, post(look))
            .route(GIFTS_PATH, post(gift))
            .route(IMPORTS_PATH, post(import).layer(DefaultBodyLimit::max(MAX_IMPORT_BYTES)))
            .route(STATUS_PATH, get(status))
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .route_layer(middleware::from_fn_with_state(Arc::clone(self), authorise))
            .with_state(Arc::clone(self))
    }
}

async fn authorise(State(worker): State<Arc<Worker>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let token = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if token.is_some_and(|token| worker.settings.token.accepts(token)) {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
    }
}

/// A message of a format that this build speaks.
fn message<T: DeserializeOwned>(body: &Bytes) -> Result<T, Box<Response>> {
    #[derive(serde::Deserialize)]
    struct Header {
        format: u32,
    }
    let malformed = |error: serde_json::Error| Box::new((StatusCode::BAD_REQUEST, error.to_string()).into_response());
    let header: Header = serde_json::from_slice(body).map_err(malformed)?;
    if header.format > FORMAT {
        return Err(Box::new(Json(Reply::Format { known: FORMAT }).into_response()));
    }
    serde_json::from_slice(body).map_err(malformed)
}

fn deadline(patience_millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(patience_millis).min(MAX_PATIENCE)
}

async fn command(State(worker): State<Arc<Worker>>, body: Bytes) -> Response {
    let message: CommandMessage = match message(&body) {
        Ok(message) => message,
        Err(response) => return *response,
    };
    let result = worker.execute(message.order, message.request, deadline(message.patience_millis)).await;
    Json(Reply::to(result, || worker.lease_of(message.order))).into_response()
}

async fn read(State(worker): State<Arc<Worker>>, body: Bytes) -> Response {
    let message: ReadMessage = match message(&body) {
        Ok(message) => message,
        Err(response) => return *response,
    };
    let result = worker.read(message.order, deadline(message.patience_millis)).await;
    Json(Reply::to(result, || worker.lease_of(message.order))).into_response()
}

async fn import(State(worker): State<Arc<Worker>>, body: Bytes) -> Response {
    let ImportMessage { format: _, exported, patience_millis } = match message(&body) {
        Ok(message) => message,
        Err(response) => return *response,
    };
    let order = exported.order.id;
    let result = worker.import(Arc::new(exported), deadline(patience_millis)).await;
    Json(Reply::to(result, || worker.lease_of(order))).into_response()
}

async fn look(State(worker): State<Arc<Worker>>) -> StatusCode {
    worker.look.notify_one();
    StatusCode::NO_CONTENT
}

async fn gift(State(worker): State<Arc<Worker>>, body: Bytes) -> Response {
    let GiftMessage { format: _, shard, lease, wait } = match message(&body) {
        Ok(message) => message,
        Err(response) => return *response,
    };
    let epoch = lease.epoch;
    worker.service.learn_one(shard, lease);
    worker.gifts.notify_one();
    let done = !wait || worker.service.serves(shard, epoch, Instant::now() + MAX_PATIENCE).await;
    if done { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }.into_response()
}

async fn status(State(worker): State<Arc<Worker>>) -> Response {
    Json(worker.status()).into_response()
}
