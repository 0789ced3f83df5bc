//! The JSON API under `/api/v1`, with its description generated from the handlers. No I/O here.

mod catalogue;
mod documents;
mod orders;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Response, header},
    routing::get,
};
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Backend, problem::ProblemBody};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cloudshop",
        description = "List and search the catalogue, and fill, change and submit orders. Every write may carry an \
            `Idempotency-Key`: sent again with the same key it takes effect once and gets the same answer. Errors are \
            problem details of RFC 9457; `code` tells programs what happened."
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "catalogue", description = "Products"),
        (name = "orders", description = "Orders; whoever holds an order's id may read and change it"),
    )
)]
struct Description;

/// The routes and their description.
fn parts() -> (Router<Arc<Backend>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(catalogue::list_products))
        .routes(routes!(catalogue::read_product))
        .routes(routes!(catalogue::search))
        .routes(routes!(orders::create_order))
        .routes(routes!(orders::read_order))
        .routes(routes!(orders::add_item))
        .routes(routes!(orders::set_quantity, orders::remove_item))
        .routes(routes!(orders::submit_order))
        .routes(routes!(orders::cancel_order))
        .split_for_parts()
}

/// The API and its description at `/api/openapi.json`.
pub(super) fn router() -> Router<Arc<Backend>> {
    let (router, description) = parts();
    // It is made of this code's own types: a test writes it.
    let description = Bytes::from(serde_json::to_vec(&description).unwrap_or_default());
    router.route("/api/openapi.json", get(async move || json(description.clone())))
}

/// An answer of ready-made JSON.
fn json(body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod description_tests;
