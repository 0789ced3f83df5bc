//! What happens to every public request before and after the router: limits, metrics, request ids. No I/O.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response},
};
use tower::{Service, service_fn};
use tracing::Instrument;

use super::{
    metrics::Metrics,
    operations::is_operations_path,
    problem::{Code, Problem},
    route::{Class, Route},
    storefront,
};

/// Names a request in logs; a client's own is kept.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Most bytes of a client's request id.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// How many requests of each class are served at a time; more are answered 503 at once.
#[derive(Clone, Copy, Debug)]
pub struct Concurrency {
    /// Of what is answered from memory.
    pub catalogue: u16,
    /// Of what waits for the order service.
    pub orders: u16,
}

impl Default for Concurrency {
    fn default() -> Self {
        // A slow core does some 1,350 commands a second beside telling thousands to come back. With as many under way as it
        // does in a sixth of one, those that are let in are answered in time whatever else comes; when each takes a third of
        // a second, as in a partition, it is still more than 600 a second.
        Self { catalogue: 1024, orders: 224 }
    }
}

impl Concurrency {
    fn most(self, class: Class) -> i64 {
        i64::from(match class {
            Class::Catalogue => self.catalogue,
            Class::Orders => self.orders,
        })
    }
}

struct Edge {
    router: Router,
    /// Where one port serves both: neither limited nor counted, since it tells how the rest fares.
    operations: Option<Router>,
    name: Arc<str>,
    metrics: Metrics,
    concurrency: Concurrency,
    /// Random part of the request ids of this process life.
    boot: u32,
    requests: AtomicU64,
}

/// The service of the public port around its router.
pub(super) fn around(
    router: Router,
    operations: Option<Router>,
    name: Arc<str>,
    metrics: Metrics,
    concurrency: Concurrency,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let edge =
        Edge { router, operations, name, metrics, concurrency, boot: rand::random(), requests: AtomicU64::new(0) };
    let edge = Arc::new(edge);
    service_fn(move |request| answer(Arc::clone(&edge), request))
}

async fn answer(edge: Arc<Edge>, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    if let Some(operations) = edge.operations.as_ref().filter(|_| is_operations_path(request.uri().path())) {
        return operations.clone().call(request).await;
    }
    let started = Instant::now();
    let route = Route::of(request.method(), request.uri().path());
    let id = edge.request_id(request.headers());
    let mut response = match edge.metrics.admit(route.class(), edge.concurrency.most(route.class())) {
        None => shed(&edge.name, request.uri().path()),
        Some(_admitted) => {
            let mut router = edge.router.clone();
            match route.class() {
                // Nothing on the way of these logs, so they need no span.
                Class::Catalogue => router.call(request).await?,
                Class::Orders => {
                    let id = id.to_str().unwrap_or_default();
                    let span = tracing::info_span!("request", id, method = route.method(), route = route.template());
                    router.call(request).instrument(span).await?
                }
            }
        }
    };
    let took = started.elapsed();
    edge.metrics.answered(route, response.status(), took);
    tracing::debug!(
        id = id.to_str().unwrap_or_default(),
        method = route.method(),
        route = route.template(),
        status = response.status().as_u16(),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response)
}

fn shed(shop: &str, path: &str) -> Response<Body> {
    let problem = Problem::new(Code::Overloaded, "The shop is busy. Nothing was done; try again in a second.");
    if path.starts_with("/api/") { problem.into() } else { storefront::error_page(shop, &problem) }
}

impl Edge {
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let usable = |value: &&HeaderValue| {
            value.len() <= MAX_REQUEST_ID_BYTES && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        if let Some(id) = headers.get(REQUEST_ID).filter(usable) {
            return id.clone();
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:08x}-{number:x}", self.boot);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(id)).unwrap_or(HeaderValue::from_static("unnamed"))
    }
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;
