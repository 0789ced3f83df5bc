//! Where a request carries its `Order-Pending`, and where an answer does: a header and a cookie. No I/O.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    cookies::{cookie, set_cookie},
    problem::{Code, Problem, sentence},
};
use crate::{
    domain::OrderId,
    orders::{OrderGateway, Pending},
};

/// Says which commands of an order are accepted but not known to be applied.
pub(super) const ORDER_PENDING: HeaderName = HeaderName::from_static("order-pending");

/// How long a browser keeps it: as long as the queue keeps a command.
const SECONDS: u32 = 14 * 24 * 60 * 60;

fn cookie_name(order: OrderId) -> String {
    format!("order-pending-{order}")
}

/// What a request says is pending of an order: by its header, or else by its cookie.
///
/// # Errors
/// When the header is not one that this shop gave for this order. A cookie like that is taken for none.
pub(super) fn pending(orders: &OrderGateway, order: OrderId, headers: &HeaderMap) -> Result<Pending, Problem> {
    if let Some(header) = headers.get(ORDER_PENDING) {
        let pending = orders.pending(order, header.to_str().unwrap_or_default());
        return pending.map_err(|error| Problem::new(Code::Malformed, sentence(&error.to_string())));
    }
    let found = cookie(headers, &cookie_name(order)).and_then(|token| orders.pending(order, token).ok());
    Ok(found.unwrap_or_default())
}

/// The cookie that keeps what is pending of an order for the pages under `path`; without a token it is forgotten.
pub(super) fn pending_cookie(order: OrderId, token: Option<&str>, path: &str, headers: &HeaderMap) -> HeaderValue {
    let seconds = if token.is_some() { SECONDS } else { 0 };
    set_cookie(&cookie_name(order), token.unwrap_or_default(), path, seconds, headers)
}

/// Whether a request has a cookie that says what is pending of an order.
pub(super) fn has_cookie(order: OrderId, headers: &HeaderMap) -> bool {
    cookie(headers, &cookie_name(order)).is_some()
}
