//! Create, read and change orders. Asks the order service.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    documents::{OrderDocument, QueuedDocument},
    json,
};
use crate::{
    domain::{Command, OrderId, Quantity, Refusal, Request, Sku},
    orders::{Done, View},
    web::{
        Backend, IDEMPOTENCY_KEY, body,
        commands::{command_key, create_key, expected_version, problem_of},
        pending::{ORDER_PENDING, has_cookie, pending, pending_cookie},
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
        (status = 202, description = "Accepted into a queue while the order's owner is out of reach; the order as far as it is known", body = QueuedDocument, headers(
            ("Order-Pending" = String, description = "To be sent with later commands on the order and reads of it; also a cookie"),
            ("Idempotency-Key" = String, description = "Name of the command, made by the shop when absent"),
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
    let mut response = execute(&backend, order, Request::new(key, command), &headers).await?;
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::CREATED;
    }
    // An id is hexadecimal digits and hyphens, always fit for a header.
    if let Ok(location) = HeaderValue::from_str(&order_path(order)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Reads an order.
#[utoipa::path(
    get,
    path = "/api/v1/orders/{id}",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("Order-Pending" = Option<String>, Header, description = "The newest that the order's answers gave; what it names is in the answer, unless that is stale"),
    ),
    responses(
        (status = 200, description = "The order; stale where who knows the newest state is out of reach", body = OrderDocument),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `not_done`, `behind`, `not_ready`, `disk_full`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read_order(
    State(backend): State<Arc<Backend>>,
    path: OrderPath,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let order = order_id(path.ok().map(|Path(id)| id))?;
    let pending = pending(&backend.orders, order, &headers)?;
    let view = backend.orders.read(order, &pending).await.map_err(problem_of)?;
    let is_applied = !view.stale;
    let mut response = order_response(view);
    if is_applied && has_cookie(order, &headers) {
        forget_pending(&mut response, order, &headers);
    }
    Ok(response)
}

/// Puts pieces of a product on an order.
#[utoipa::path(
    post,
    path = "/api/v1/orders/{id}/items",
    tag = "orders",
    params(
        ("id" = String, Path, description = "The order's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Name of the command: 1 to 64 visible ASCII characters"),
        ("Order-Pending" = Option<String>, Header, description = "The newest that the order's answers gave; the command is applied after what it names"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    request_body = NewItemDocument,
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 202, description = "Accepted into a queue while the order's owner is out of reach; the order as far as it is known", body = QueuedDocument, headers(
            ("Order-Pending" = String, description = "To be sent with later commands on the order and reads of it; also a cookie"),
            ("Idempotency-Key" = String, description = "Name of the command, made by the shop when absent"),
        )),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `version_conflict`, `orphaned`", body = ProblemBody, content_type = "application/problem+json"),
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
        ("Order-Pending" = Option<String>, Header, description = "The newest that the order's answers gave; the command is applied after what it names"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    request_body = NewQuantityDocument,
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 202, description = "Accepted into a queue while the order's owner is out of reach; the order as far as it is known", body = QueuedDocument, headers(
            ("Order-Pending" = String, description = "To be sent with later commands on the order and reads of it; also a cookie"),
            ("Idempotency-Key" = String, description = "Name of the command, made by the shop when absent"),
        )),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`, also when the product is not on the order", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `version_conflict`, `orphaned`", body = ProblemBody, content_type = "application/problem+json"),
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
        ("Order-Pending" = Option<String>, Header, description = "The newest that the order's answers gave; the command is applied after what it names"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 202, description = "Accepted into a queue while the order's owner is out of reach; the order as far as it is known", body = QueuedDocument, headers(
            ("Order-Pending" = String, description = "To be sent with later commands on the order and reads of it; also a cookie"),
            ("Idempotency-Key" = String, description = "Name of the command, made by the shop when absent"),
        )),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`, also when the product is not on the order", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `version_conflict`, `orphaned`", body = ProblemBody, content_type = "application/problem+json"),
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
        ("Order-Pending" = Option<String>, Header, description = "The newest that the order's answers gave; the command is applied after what it names"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 202, description = "Accepted into a queue while the order's owner is out of reach; the order as far as it is known", body = QueuedDocument, headers(
            ("Order-Pending" = String, description = "To be sent with later commands on the order and reads of it; also a cookie"),
            ("Idempotency-Key" = String, description = "Name of the command, made by the shop when absent"),
        )),
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
        ("Order-Pending" = Option<String>, Header, description = "The newest that the order's answers gave; the command is applied after what it names"),
        ("If-Match" = Option<String>, Header, description = "Version that the order must have"),
    ),
    responses(
        (status = 200, description = "The whole order", body = OrderDocument),
        (status = 202, description = "Accepted into a queue while the order's owner is out of reach; the order as far as it is known", body = QueuedDocument, headers(
            ("Order-Pending" = String, description = "To be sent with later commands on the order and reads of it; also a cookie"),
            ("Idempotency-Key" = String, description = "Name of the command, made by the shop when absent"),
        )),
        (status = 400, description = "`malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`order_closed`, `version_conflict`, `orphaned`", body = ProblemBody, content_type = "application/problem+json"),
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
    let request = Request { expected_version, ..Request::new(key, command) };
    execute(backend, order, request, headers).await
}

async fn execute(
    backend: &Backend,
    order: OrderId,
    request: Request,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let key = request.key.clone();
    let asked = async {
        let pending = pending(&backend.orders, order, headers)?;
        backend.orders.execute(order, request, pending).await.map_err(problem_of)
    };
    let mut response = match asked.await.map_err(|problem| problem.with_key(key.clone()))? {
        Done::Persisted(view) => {
            let mut response = order_response(view);
            if has_cookie(order, headers) {
                forget_pending(&mut response, order, headers);
            }
            response
        }
        Done::Queued { order, view, pending } => {
            queued_response(order, view, &backend.orders.token(order, &pending), headers)
        }
    };
    if let Ok(key) = HeaderValue::from_str(key.as_str()) {
        response.headers_mut().insert(IDEMPOTENCY_KEY, key);
    }
    Ok(response)
}

fn order_response(view: View) -> Response<Body> {
    let version = (!view.stale).then(|| HeaderValue::from_str(&format!("\"{}\"", view.order.version)));
    // Strings and numbers: nothing in it can fail to be written.
    let mut response = not_stored(json(serde_json::to_vec(&OrderDocument::from(view)).unwrap_or_default()));
    if let Some(Ok(version)) = version {
        response.headers_mut().insert(header::ETAG, version);
    }
    response
}

/// An answer that nobody may keep.
fn not_stored(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a command that is in the queue.
fn queued_response(order: OrderId, view: Option<View>, token: &str, headers: &HeaderMap) -> Response<Body> {
    let mut response = view.map_or_else(
        || not_stored(json(serde_json::to_vec(&QueuedDocument::of(order)).unwrap_or_default())),
        order_response,
    );
    *response.status_mut() = StatusCode::ACCEPTED;
    // A token is made of visible ASCII without semicolons.
    if let Ok(token) = HeaderValue::from_str(token) {
        response.headers_mut().insert(ORDER_PENDING, token);
    }
    let cookie = pending_cookie(order, Some(token), &order_path(order), headers);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// Everything that was pending is applied or refused.
fn forget_pending(response: &mut Response<Body>, order: OrderId, headers: &HeaderMap) {
    response.headers_mut().append(header::SET_COOKIE, pending_cookie(order, None, &order_path(order), headers));
}

fn order_path(order: OrderId) -> String {
    format!("/api/v1/orders/{order}")
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
        Ok(_) => Err(Problem::new(
            Code::Malformed,
            "The body is JSON, but not an object; send one, as /api/openapi.json describes it.",
        )),
        Err(error) => Err(Problem::new(
            Code::Malformed,
            format!("The body is not JSON ({error}); send an object, as /api/openapi.json describes it."),
        )),
    }
}

fn quantity(fields: &serde_json::Map<String, Value>) -> Result<Quantity, Problem> {
    let Some(value) = fields.get("quantity") else {
        return Err(Problem::new(Code::Malformed, "The field 'quantity' is missing. Say how many pieces."));
    };
    let pieces = value.as_u64().and_then(|pieces| u32::try_from(pieces).ok());
    pieces.and_then(|pieces| Quantity::try_from(pieces).ok()).ok_or_else(|| Refusal::InvalidQuantity.into())
}
