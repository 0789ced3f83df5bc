//! Filling, changing and placing an order through plain forms. Asks the order service.
//!
//! Each form carries a key, so that sending it twice does its work once. What fails for now is answered with the same
//! form, ready to be sent again; what is refused is shown on the page that it came from.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header},
};
use uuid::Uuid;

use super::{
    error_page, error_page_with,
    pages::{Again, Alert, CartPage, Frame, OrderPage, OrderView, note, page},
    product_page, visitor,
};
use crate::{
    domain::{Command, IdempotencyKey, OrderId, Quantity, Refusal, Request, Sku, Status},
    orders::{Done, OrderError, Pending},
    web::{
        Backend, body,
        commands::problem_of,
        pending::{has_cookie, pending, pending_cookie},
        problem::{Code, Problem},
    },
};

type OnePart = Result<Path<String>, PathRejection>;

/// A key for a form.
pub(super) fn new_key() -> String {
    IdempotencyKey::from_uuid(Uuid::new_v4()).as_str().to_owned()
}

/// What a form holds.
struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        if !visitor::is_own_form(headers) {
            return Err(Problem::new(
                Code::Malformed,
                "This form did not come from a page of this shop, so nothing was done. Open the shop and try again there.",
            ));
        }
        let bytes = body::read(headers, body).await?;
        Ok(Self { fields: form_urlencoded::parse(&bytes).into_owned().collect() })
    }

    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    fn key(&self) -> Result<IdempotencyKey, Problem> {
        IdempotencyKey::for_create(self.field("key")).map_err(|_| {
            Problem::new(
                Code::InvalidKey,
                "This form is not as we made it. Open the page again and repeat what you did.",
            )
        })
    }

    fn quantity(&self) -> Result<Quantity, Problem> {
        let pieces = self.field("quantity").trim().parse::<u32>().ok();
        pieces
            .and_then(|pieces| Quantity::try_from(pieces).ok())
            .ok_or_else(|| Problem::new(Code::InvalidQuantity, "Write a whole number from 1 to 9999 as the quantity."))
    }

    /// The same form, to be sent again.
    fn again(self, uri: &Uri) -> Again {
        Again { action: uri.path().to_owned(), fields: self.fields }
    }
}

/// Whether trying again later may help.
fn may_pass(problem: &Problem) -> bool {
    problem.code().status().is_server_error()
}

/// The order that the visitor is filling.
pub(super) async fn show(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Response<Body> {
    cart_page(&backend, &headers, None).await
}

async fn cart_page(backend: &Backend, headers: &HeaderMap, trouble: Option<&Problem>) -> Response<Body> {
    let view = match visitor::order(headers) {
        None => None,
        Some(id) => match backend.orders.read(id, &pending_of(backend, id, headers)).await {
            Ok(view) if view.order.status == Status::Open => Some(view),
            // Placed or cancelled in another tab, or by a form that was sent twice: it has its own page.
            Ok(view) if trouble.is_none() => {
                let mut response = see_other(&format!("/orders/{}", view.order.id));
                response.headers_mut().insert(header::SET_COOKIE, visitor::order_cookie(None, headers));
                return response;
            }
            Ok(_) | Err(OrderError::Refused(_)) => None,
            Err(error) => return error_page(&backend.name, &problem_of(error)),
        },
    };
    let template = CartPage {
        frame: Frame::new(&backend.name),
        note: view.as_ref().and_then(note),
        order: view.map(|view| OrderView::new(view.order, new_key)),
        alert: trouble.map(Alert::from),
    };
    page(trouble.map_or(StatusCode::OK, |problem| problem.code().status()), &template)
}

/// What is pending of an order, as the visitor's cookie says.
fn pending_of(backend: &Backend, order: OrderId, headers: &HeaderMap) -> Pending {
    pending(&backend.orders, order, headers).unwrap_or_default()
}

/// Has a command applied or queued; what is pending of the order then.
async fn execute(backend: &Backend, order: OrderId, request: Request, pending: Pending) -> Result<Pending, OrderError> {
    match backend.orders.execute(order, request, pending).await? {
        Done::Persisted(_) => Ok(Pending::default()),
        Done::Queued { pending, .. } => Ok(pending),
    }
}

/// The same for an order that there is, after what is pending of it by the visitor's cookie; gives the order as well.
async fn ask(
    backend: &Backend,
    headers: &HeaderMap,
    order: OrderId,
    request: Request,
) -> Result<(OrderId, Pending), Problem> {
    let pending = execute(backend, order, request, pending_of(backend, order, headers)).await;
    pending.map(|pending| (order, pending)).map_err(problem_of)
}

/// Sends the browser to a page of an order, with what is pending of it.
fn see_order(backend: &Backend, path: &str, order: OrderId, pending: &Pending, headers: &HeaderMap) -> Response<Body> {
    let mut response = see_other(path);
    let token = (!pending.is_empty()).then(|| backend.orders.token(order, pending));
    if token.is_some() || has_cookie(order, headers) {
        let cookie = pending_cookie(order, token.as_deref(), "/", headers);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Puts a product on the order; begins one when there is none that takes it.
pub(super) async fn add(
    State(backend): State<Arc<Backend>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let form = match Form::read(&headers, body).await {
        Ok(form) => form,
        Err(problem) => return error_page(&backend.name, &problem),
    };
    match add_item(&backend, &headers, &form).await {
        Ok((order, pending)) => {
            let mut response = see_order(&backend, "/order", order, &pending, &headers);
            response.headers_mut().append(header::SET_COOKIE, visitor::order_cookie(Some(order), &headers));
            response
        }
        Err(problem) if may_pass(&problem) => error_page_with(&backend.name, &problem, Some(form.again(&uri))),
        Err(problem) => product_page(&backend, form.field("sku"), form.field("quantity"), Some(&problem))
            .unwrap_or_else(|_| error_page(&backend.name, &problem)),
    }
}

async fn add_item(backend: &Backend, headers: &HeaderMap, form: &Form) -> Result<(OrderId, Pending), Problem> {
    let key = form.key()?;
    let command = backend.add_item(form.field("sku"), form.quantity()?)?;
    // The form's key names the create; the add of the same form needs a name of its own.
    let add_key = IdempotencyKey::for_order(&format!("add-{key}"));
    let add_key = add_key.map_err(|error| Problem::new(Code::InvalidKey, error.to_string()))?;
    if let Some(order) = visitor::order(headers) {
        let request = Request::new(add_key.clone(), command.clone());
        match execute(backend, order, request, pending_of(backend, order, headers)).await {
            Ok(pending) => return Ok((order, pending)),
            // It was placed meanwhile, or belongs to a shop that is no more: a new one takes the product.
            Err(OrderError::Refused(Refusal::OrderClosed | Refusal::OrderNotFound)) => {}
            Err(error) => return Err(problem_of(error)),
        }
    }
    let order = backend.orders.order_id(&key);
    let create = Request::new(key, Command::Create { currency: backend.currency() });
    let pending = execute(backend, order, create, Pending::default()).await.map_err(problem_of)?;
    let pending = execute(backend, order, Request::new(add_key, command), pending).await.map_err(problem_of)?;
    Ok((order, pending))
}

/// Changes how many pieces of a product the order has.
pub(super) async fn set_quantity(
    State(backend): State<Arc<Backend>>,
    sku: OnePart,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    change(&backend, &uri, &headers, body, |form| {
        Ok(Command::SetQuantity { sku: line_sku(sku)?, quantity: form.quantity()? })
    })
    .await
}

/// Takes a product off the order.
pub(super) async fn remove(
    State(backend): State<Arc<Backend>>,
    sku: OnePart,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    change(&backend, &uri, &headers, body, |_| Ok(Command::RemoveItem { sku: line_sku(sku)? })).await
}

fn line_sku(sku: OnePart) -> Result<Sku, Problem> {
    sku.ok().and_then(|Path(text)| text.parse().ok()).ok_or_else(|| Refusal::LineNotFound.into())
}

/// A change of the order being filled, which ends on its page.
async fn change(
    backend: &Backend,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
    command: impl FnOnce(&Form) -> Result<Command, Problem>,
) -> Response<Body> {
    let form = match Form::read(headers, body).await {
        Ok(form) => form,
        Err(problem) => return error_page(&backend.name, &problem),
    };
    let asked = async {
        let order = visitor::order(headers).ok_or(Refusal::OrderNotFound)?;
        ask(backend, headers, order, Request::new(form.key()?, command(&form)?)).await
    };
    match asked.await {
        Ok((order, pending)) => see_order(backend, "/order", order, &pending, headers),
        Err(problem) if may_pass(&problem) => error_page_with(&backend.name, &problem, Some(form.again(uri))),
        Err(problem) => cart_page(backend, headers, Some(&problem)).await,
    }
}

/// Places the order.
pub(super) async fn submit(
    State(backend): State<Arc<Backend>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let form = match Form::read(&headers, body).await {
        Ok(form) => form,
        Err(problem) => return error_page(&backend.name, &problem),
    };
    let asked = async {
        let order = visitor::order(&headers).ok_or(Refusal::OrderNotFound)?;
        ask(&backend, &headers, order, Request::new(form.key()?, Command::Submit)).await
    };
    match asked.await {
        Ok((order, pending)) => {
            let mut response = see_order(&backend, &format!("/orders/{order}?placed"), order, &pending, &headers);
            response.headers_mut().append(header::SET_COOKIE, visitor::order_cookie(None, &headers));
            response
        }
        Err(problem) if may_pass(&problem) => error_page_with(&backend.name, &problem, Some(form.again(&uri))),
        // An order that was placed already has its own page, and the visitor's wish is fulfilled.
        Err(problem) if problem.code() == Code::OrderClosed => cart_page(&backend, &headers, None).await,
        Err(problem) => cart_page(&backend, &headers, Some(&problem)).await,
    }
}

/// Gives an order up, from its own page.
pub(super) async fn cancel(
    State(backend): State<Arc<Backend>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let form = match Form::read(&headers, body).await {
        Ok(form) => form,
        Err(problem) => return error_page(&backend.name, &problem),
    };
    let asked = async {
        let order = form.field("order").parse::<OrderId>().map_err(|_| Refusal::OrderNotFound)?;
        ask(&backend, &headers, order, Request::new(form.key()?, Command::Cancel { reason: None })).await
    };
    match asked.await {
        Ok((order, pending)) => see_order(&backend, &format!("/orders/{order}"), order, &pending, &headers),
        Err(problem) if may_pass(&problem) => error_page_with(&backend.name, &problem, Some(form.again(&uri))),
        Err(problem) => error_page(&backend.name, &problem),
    }
}

/// An order at its own address.
pub(super) async fn placed(
    State(backend): State<Arc<Backend>>,
    id: OnePart,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let id = id.ok().and_then(|Path(text)| text.parse::<OrderId>().ok());
    let read = match id {
        Some(id) => backend.orders.read(id, &pending_of(&backend, id, &headers)).await.map_err(problem_of),
        None => Err(Refusal::OrderNotFound.into()),
    };
    let view = match read {
        Ok(view) => view,
        Err(problem) if problem.code() == Code::NotFound => {
            let unknown =
                Problem::new(Code::NotFound, "We know no order with this number. Check the address of the page.");
            return error_page(&backend.name, &unknown);
        }
        Err(problem) => return error_page(&backend.name, &problem),
    };
    let (order, is_stale) = (view.order.id, view.stale);
    let address = format!("/orders/{order}");
    let template = OrderPage::new(Frame::new(&backend.name), view, new_key);
    let mut response = page(StatusCode::OK, &template);
    if !is_stale && has_cookie(order, &headers) {
        response.headers_mut().append(header::SET_COOKIE, pending_cookie(order, None, "/", &headers));
    }
    // Right after placing it the page looks once more by itself; after that the visitor decides.
    if template.is_waiting()
        && uri.query() == Some("placed")
        && let Ok(refresh) = HeaderValue::from_str(&format!("2; url={address}"))
    {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

/// Sends the browser to a page, so that reloading it repeats nothing.
fn see_other(path: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
