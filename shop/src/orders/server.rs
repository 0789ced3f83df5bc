//! The internal API of a worker: commands, reads, packs, imports, gifts of leases, a nudge, wishes, and its status. Each
//! request carries the shop's token.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::de::DeserializeOwned;
use shop_contract::{
    status::STATUS_PATH,
    switch::{SWITCH_PATH, Switch},
};
use tokio::time::Instant;

use super::{
    protocol::{
        COMMANDS_PATH, CommandMessage, FORMAT, GIFTS_PATH, GiftMessage, IMPORTS_PATH, ImportMessage, LATE, LOOK_PATH,
        MAX_IMPORT_BYTES, MAX_PACK_REQUEST_BYTES, MAX_PATIENCE, MAX_REQUEST_BYTES, PACKS_PATH, PackMessage, READS_PATH,
        ReadMessage, Reply, TAKEN_OVER,
    },
    worker::Worker,
};

/// After how long an asker who has no answer yet is told that the question was heard.
const HEARD_AFTER: Duration = Duration::from_millis(100);

impl Worker {
    /// The internal API.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(COMMANDS_PATH, post(command))
            .route(READS_PATH, post(read))
            .route(PACKS_PATH, post(pack).layer(DefaultBodyLimit::max(MAX_PACK_REQUEST_BYTES)))
            .route(LOOK_PATH, post(look))
            .route(GIFTS_PATH, post(gift))
            .route(IMPORTS_PATH, post(import).layer(DefaultBodyLimit::max(MAX_IMPORT_BYTES)))
            .route(STATUS_PATH, get(status))
            .route(SWITCH_PATH, put(wish))
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
    let (asked, asking) = (OnceLock::new(), Arc::clone(&worker));
    let mut response = replied(&body, |CommandMessage { format: _, order, request, patience_millis }| {
        let _ = asked.set(order);
        async move {
            let result = asking.execute(order, request, deadline(patience_millis)).await;
            asking.want_packs_if_behind(&result);
            Reply::to(result, || asking.lease_of(order))
        }
    })
    .await;
    if asked.get().is_some_and(|order| !worker.serves_soon(*order)) {
        mark(&mut response, TAKEN_OVER);
    }
    if worker.capacity.is_reduced() {
        mark(&mut response, LATE);
    }
    response
}

fn mark(response: &mut Response, name: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static("true"));
}

async fn read(State(worker): State<Arc<Worker>>, body: Bytes) -> Response {
    replied(&body, |ReadMessage { format: _, order, after, patience_millis }| async move {
        let result = worker.read(order, &after, deadline(patience_millis)).await;
        worker.want_packs_if_behind(&result);
        Reply::to(result, || worker.lease_of(order))
    })
    .await
}

async fn pack(State(worker): State<Arc<Worker>>, body: Bytes) -> Response {
    replied(&body, |PackMessage { format: _, shard, commands, patience_millis }| async move {
        let result = worker.accept(shard, &commands, deadline(patience_millis)).await;
        Reply::to(result, || worker.service.lease(shard))
    })
    .await
}

async fn import(State(worker): State<Arc<Worker>>, body: Bytes) -> Response {
    replied(&body, |ImportMessage { format: _, exported, patience_millis }| async move {
        let order = exported.order.id;
        let result = worker.import(Arc::new(exported), deadline(patience_millis)).await;
        Reply::to(result, || worker.lease_of(order))
    })
    .await
}

/// The answer to a question that may take its time; one that is malformed is told so at once.
async fn replied<M: DeserializeOwned, F>(body: &Bytes, work: impl FnOnce(M) -> F) -> Response
where
    F: Future<Output = Reply> + Send + 'static,
{
    match message(body) {
        Ok(message) => answered(work(message)).await,
        Err(response) => *response,
    }
}

/// The reply once it is there; after a while the head of the answer goes ahead, so that the asker knows that it was heard.
async fn answered(work: impl Future<Output = Reply> + Send + 'static) -> Response {
    let mut work = Box::pin(work);
    match tokio::time::timeout(HEARD_AFTER, &mut work).await {
        Ok(reply) => Json(reply).into_response(),
        Err(_later) => {
            let body = async move { serde_json::to_vec(&work.await).map(Bytes::from) };
            let body = Body::from_stream(futures::stream::once(body));
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}

async fn look(State(worker): State<Arc<Worker>>) -> StatusCode {
    for home in worker.homes() {
        home.look.notify_one();
    }
    StatusCode::NO_CONTENT
}

async fn gift(State(worker): State<Arc<Worker>>, body: Bytes) -> Response {
    let GiftMessage { format: _, shard, lease, wait } = match message(&body) {
        Ok(message) => message,
        Err(response) => return *response,
    };
    let (epoch, home) = (lease.epoch, lease.home);
    worker.service.learn_one(shard, lease);
    match worker.home_of(home) {
        Some(home) => home.gifts.notify_one(),
        None => worker.want_home(home),
    }
    let done = !wait || worker.service.serves(shard, epoch, Instant::now() + MAX_PATIENCE).await;
    if done { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }.into_response()
}

async fn wish(State(worker): State<Arc<Worker>>, Json(switch): Json<Switch>) -> StatusCode {
    match tokio::time::timeout(MAX_PATIENCE, worker.make_wish(switch)).await {
        Ok(Ok(true)) => StatusCode::NO_CONTENT,
        Ok(Ok(false)) => StatusCode::CONFLICT,
        Ok(Err(error)) => {
            tracing::warn!(%error, "a wish where the shards are to live was not written down");
            StatusCode::SERVICE_UNAVAILABLE
        }
        Err(_late) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn status(State(worker): State<Arc<Worker>>) -> Response {
    Json(worker.status()).into_response()
}
