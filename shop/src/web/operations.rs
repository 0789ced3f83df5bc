//! The operations port (`/livez`, `/readyz`, `/metrics`) and the internal status of a web pod. No I/O here.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde::Serialize;
use shop_contract::status::{PodStatus, STATUS_PATH, Waiting};

use super::problem::{Code, Problem};
use crate::{orders::InternalToken, readiness::Readiness};

/// Content type of the text format that the encoder writes.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answer of `/readyz`.
#[derive(Serialize)]
struct ReadyDocument {
    ready: bool,
    waiting: Vec<Waiting>,
}

/// `/livez` says that the process serves, `/readyz` names what it waits for, `/metrics` shows `registry`.
pub fn operations(readiness: Readiness, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "the process serves\n" }))
        .route("/readyz", get(async move || ready(&readiness)))
        .route("/metrics", get(async move || metrics(&registry)))
}

/// Whether a path is one of [`operations`].
pub(super) fn is_operations_path(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics")
}

fn ready(readiness: &Readiness) -> Response<Body> {
    let waiting = readiness.waiting();
    let status = if waiting.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = (status, Json(ReadyDocument { ready: waiting.is_empty(), waiting })).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn metrics(registry: &Registry) -> Response<Body> {
    let mut text = String::new();
    if encode(&mut text, registry).is_err() {
        return Problem::internal().into();
    }
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}

/// The internal port of a web pod: its status, for requests that carry the shop's token.
pub fn internal(token: InternalToken, status: impl Fn() -> PodStatus + Clone + Send + Sync + 'static) -> Router {
    let answer = async move |headers: HeaderMap| {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if given.is_some_and(|given| token.accepts(given)) {
            Json(status()).into_response()
        } else {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
        }
    };
    Router::new().route(STATUS_PATH, get(answer)).fallback(|| async {
        Problem::new(Code::NotFound, "The internal port of a web pod serves its status and nothing else.")
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use shop_contract::status::WaitingReason;
    use tower::ServiceExt;

    use super::*;

    async fn get(router: Router, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        let response = router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 65_536).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn readyz_names_what_the_process_waits_for() {
        let readiness = Readiness::starting();
        readiness.clear(WaitingReason::Starting);
        readiness.wait_for(WaitingReason::CatalogueMissing, "import one");
        let router = operations(readiness.clone(), Arc::new(Registry::default()));
        let (status, body) = get(router.clone(), "/readyz", &[]).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, r#"{"ready":false,"waiting":[{"reason":"CatalogueMissing","message":"import one"}]}"#);
        readiness.clear(WaitingReason::CatalogueMissing);
        assert_eq!(get(router.clone(), "/readyz", &[]).await.0, StatusCode::OK);
        assert_eq!(get(router, "/livez", &[]).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_internal_status_needs_the_shops_token() {
        let status = || PodStatus {
            boot_id: "boot".into(),
            version: "1".into(),
            store_owner: None,
            waiting: Vec::new(),
            shards: Vec::new(),
            queue: None,
            lacks: Vec::new(),
            switch: None,
            settled: None,
            moved: None,
            copying: None,
        };
        let router = internal(InternalToken::of_process("a secret of the shop"), status);
        for wrong in ["", "Bearer", "Bearer ", "Bearer another secret", "Basic a secret of the shop"] {
            let answer = get(router.clone(), STATUS_PATH, &[("authorization", wrong)]).await;
            assert_eq!(answer.0, StatusCode::UNAUTHORIZED, "{wrong}");
        }
        let (answer, body) = get(router, STATUS_PATH, &[("authorization", "Bearer a secret of the shop")]).await;
        assert_eq!(answer, StatusCode::OK);
        assert!(body.contains(r#""boot_id":"boot""#), "{body}");
    }
}
