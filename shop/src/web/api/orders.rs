//! Create, read and change orders. Asks the order service.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use serde_json::Value;
use utoipa::ToSchema;

use super::{documents::OrderDocument, json};
use crate::{
    domain::{Command, OrderId, Quantity, Refusal, Request, Sku},
    orders::Answer,
    web::{
        Backend, IDEMPOTENCY_KEY, body,
        commands::{command_key, create_key, expected_version, problem_of},
        problem::{Code, Problem, ProblemBody},
    },
};

/// A product to be put on an order.
#[derive(ToSchema)]
#[schema(as = NewItem)]
#[expect(dead_code, reason = "describes what is read with its own errors for each field")]
pub(super) struct NewItemDocument {
    /// The product.
    #[schema(example = "KIT-0042", max_length = 64)]
    sku: String,
    /// How many; more of a product that is on the order add up.
    #[schema(minimum = 1, maximum = 9999)]
    quantity: u32,
}

/// How many pieces of a product an order shall have.
#[derive(ToSchema)]
#[schema(as = NewQuantity)]
#[expect(dead_code, reason = "describes what is read with its own errors for each field")]
pub(super) struct NewQuantityDocument {
    /// How many from now on.
    #[schema(minimum = 1, maximum = 9999)]
    quantity: u32,
}

type OrderPath = Result<Path<String>, PathRejection>;
type ItemPath = Result<Path<(String, String)>, PathRejection>;

/// Begins an order.
#[utoipa::path(
    post,
    path = "/api/v1/orders",
    tag = "orders",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "UUID of version 4 or 7; the order's id comes from it"),
    ),
    responses(
        (status = 201, description = "The order, durably stored", body = OrderDocument, headers(
            ("Location" = String, description = "Path of the order"),
            ("Idempotency-Key" = String, description = "Name of the command, made by the shop when absent"),
            ("ETag" = String, description = "Version of the order"),
        )),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_key`, `key_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `not_done`, `outcome_unknown`, `behind`, `not_ready`, `disk_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create_order(
    State(backend): State<Arc<Backend>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let key = create_key(&headers)?;
    let read = async {
        let bytes = body::read(&headers, body).await?;
        if !bytes.is_empty() && !serde_json::from_slice::<Value>(&bytes).is_ok_and(|value| value.is_object()) {
            return Err(Problem::new(Code::Malformed, "The body of a new order is empty or a JSON object."));
        }
        Ok(())
    };
    read.await.map_err(|problem| problem.with_key(key.clone()))?;
    let order = backend.orders.order_id(&key);
    let command = Command::Create { currency: backend.currency() };
    let mut response = execute(&backend, order, Request::new(key, command)).await?;
    *response.status_mut() = StatusCode::CREATED;
    // An id is hexadecimal digits and hyphens, always fit for a header.
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/orders/{order}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Reads an order.
#[utoipa::path(
    get,
    path = "/api/v1/orders/{id}",
    tag = "orders",
    params(("id" = String, Path, description = "The order's id")),
    responses(
        (status = 200, description = "The order", body = OrderDocument),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `not_done`, `not_ready`, `disk_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read_order(
    State(backend): State<Arc<Backend>>,
    path: OrderPath,
) -> Result<Response<Body>, Problem> {
    let order = order_id(path.ok().map(|Path(id)| id))?;
    let answer = backend.orders.read(order).await.map_err(problem_of)?;
    Ok(order_response(answer))
}

/// Puts pieces of a product on an order.
#[utoipa::path(
    post,
    path = "/api/v1/orders/{id}/items",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of the command: 1 to 64 visible ASCII characters"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    request_body = NewItemDocument,
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `version_conflict`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`unknown_sku`, `invalid_quantity`, `mixed_currency`, `invalid_key`, `key_reused`, `too_many_commands`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `not_done`, `outcome_unknown`, `behind`, `not_ready`, `disk_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn add_item(
    State(backend): State<Arc<Backend>>,
    path: OrderPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let id = path.ok().map(|Path(id)| id);
    change(&backend, id, &headers, body, |bytes| {
        let fields = fields(bytes)?;
        let sku = match fields.get("sku") {
            Some(Value::String(sku)) => sku,
            Some(_) => return Err(Problem::new(Code::Malformed, "The field 'sku' is a string.")),
            None => return Err(Problem::new(Code::Malformed, "The field 'sku' is missing. Name the product to add.")),
        };
        let quantity = quantity(&fields)?;
        backend.add_item(sku, quantity)
    })
    .await
}

/// Changes how many pieces of a product an order has.
#[utoipa::path(
    put,
    path = "/api/v1/orders/{id}/items/{sku}",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("sku" = String, Path, description = "The product's SKU, case aside"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of the command: 1 to 64 visible ASCII characters"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    request_body = NewQuantityDocument,
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`, also when the product is not on the order", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `version_conflict`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_quantity`, `invalid_key`, `key_reused`, `too_many_commands`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `not_done`, `outcome_unknown`, `behind`, `not_ready`, `disk_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn set_quantity(
    State(backend): State<Arc<Backend>>,
    path: ItemPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let (id, sku) = path.ok().map(|Path(both)| both).unzip();
    change(&backend, id, &headers, body, |bytes| {
        let quantity = quantity(&fields(bytes)?)?;
        Ok(Command::SetQuantity { sku: line_sku(sku)?, quantity })
    })
    .await
}

/// Takes a product off an order.
#[utoipa::path(
    delete,
    path = "/api/v1/orders/{id}/items/{sku}",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("sku" = String, Path, description = "The product's SKU, case aside"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of the command: 1 to 64 visible ASCII characters"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`, also when the product is not on the order", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `version_conflict`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_key`, `key_reused`, `too_many_commands`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `not_done`, `outcome_unknown`, `behind`, `not_ready`, `disk_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove_item(
    State(backend): State<Arc<Backend>>,
    path: ItemPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let (id, sku) = path.ok().map(|Path(both)| both).unzip();
    change(&backend, id, &headers, body, |_| Ok(Command::RemoveItem { sku: line_sku(sku)? })).await
}

/// Buys an order.
#[utoipa::path(
    post,
    path = "/api/v1/orders/{id}/submit",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of the command: 1 to 64 visible ASCII characters"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `order_empty`, `version_conflict`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_key`, `key_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `not_done`, `outcome_unknown`, `behind`, `not_ready`, `disk_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn submit_order(
    State(backend): State<Arc<Backend>>,
    path: OrderPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let id = path.ok().map(|Path(id)| id);
    change(&backend, id, &headers, body, |_| Ok(Command::Submit)).await
}

/// Gives an order up.
#[utoipa::path(
    post,
    path = "/api/v1/orders/{id}/cancel",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of the command: 1 to 64 visible ASCII characters"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `version_conflict`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_key`, `key_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `not_done`, `outcome_unknown`, `behind`, `not_ready`, `disk_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel_order(
    State(backend): State<Arc<Backend>>,
    path: OrderPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let id = path.ok().map(|Path(id)| id);
    change(&backend, id, &headers, body, |_| Ok(Command::Cancel { reason: None })).await
}

/// A command on an order that exists: reads the request, makes the command of it, has it applied.
async fn change(
    backend: &Backend,
    id: Option<String>,
    headers: &HeaderMap,
    body: Body,
    command: impl FnOnce(&[u8]) -> Result<Command, Problem>,
) -> Result<Response<Body>, Problem> {
    let key = command_key(headers)?;
    let read = async {
        let bytes = body::read(headers, body).await?;
        let order = order_id(id)?;
        Ok((order, command(&bytes)?, expected_version(headers)?))
    };
    let (order, command, expected_version) = read.await.map_err(|problem: Problem| problem.with_key(key.clone()))?;
    execute(backend, order, Request { key, command, expected_version }).await
}

async fn execute(backend: &Backend, order: OrderId, request: Request) -> Result<Response<Body>, Problem> {
    let key = request.key.clone();
    let answer = backend.orders.execute(order, request).await;
    let answer = answer.map_err(|error| problem_of(error).with_key(key.clone()))?;
    let mut response = order_response(answer);
    if let Ok(key) = HeaderValue::from_str(key.as_str()) {
        response.headers_mut().insert(IDEMPOTENCY_KEY, key);
    }
    Ok(response)
}

fn order_response(answer: Answer) -> Response<Body> {
    let version = answer.order.version;
    // Strings and numbers: nothing in it can fail to be written.
    let mut response = json(serde_json::to_vec(&OrderDocument::from(answer)).unwrap_or_default());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(version) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, version);
    }
    response
}

/// What is no order id names no order.
fn order_id(text: Option<String>) -> Result<OrderId, Problem> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Refusal::OrderNotFound.into())
}

/// What is no SKU is on no order.
fn line_sku(text: Option<String>) -> Result<Sku, Problem> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Refusal::LineNotFound.into())
}

fn fields(bytes: &[u8]) -> Result<serde_json::Map<String, Value>, Problem> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Problem::new(Code::Malformed, "The body is JSON, but not an object.")),
        Err(error) => Err(Problem::new(Code::Malformed, format!("The body is not JSON: {error}."))),
    }
}

fn quantity(fields: &serde_json::Map<String, Value>) -> Result<Quantity, Problem> {
    let Some(value) = fields.get("quantity") else {
        return Err(Problem::new(Code::Malformed, "The field 'quantity' is missing. Say how many pieces."));
    };
    let pieces = value.as_u64().and_then(|pieces| u32::try_from(pieces).ok());
    pieces.and_then(|pieces| Quantity::try_from(pieces).ok()).ok_or_else(|| Refusal::InvalidQuantity.into())
}
