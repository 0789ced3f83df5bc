//! The writes of a shopper: each is sent once, judged by its answer, and written to the ledger. Network I/O.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::catalogue::encoded;
use crate::http::{Answer, Call, Client, Failure};
use crate::ledger::{Ledger, Operation, Outcome};

/// Names a write, so that it can be repeated and is still done once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says which commands of an order are accepted but not known to be applied.
pub const ORDER_PENDING: HeaderName = HeaderName::from_static("order-pending");

/// An order, as a shopper knows it.
#[derive(Clone, Debug)]
pub struct OrderRef {
    /// Its id.
    pub id: String,
    /// The newest `Order-Pending` that came with it.
    pub pending: Option<HeaderValue>,
}

impl OrderRef {
    /// An order of which nothing is pending.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), pending: None }
    }
}

/// One write.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make an order.
    Create,
    /// Add an item.
    Add {
        /// To this order.
        order: OrderRef,
        /// Which product.
        sku: String,
        /// How many.
        quantity: u32,
    },
    /// Set an item's quantity.
    Set {
        /// Of this order.
        order: OrderRef,
        /// Which product.
        sku: String,
        /// How many.
        quantity: u32,
    },
    /// Remove an item.
    Remove {
        /// From this order.
        order: OrderRef,
        /// Which product.
        sku: String,
    },
    /// Submit the order.
    Submit {
        /// This one.
        order: OrderRef,
    },
    /// Cancel the order.
    Cancel {
        /// This one.
        order: OrderRef,
    },
}

/// An order, as the shop answers it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// `open`, `submitted`, `confirmed`, `fulfilled` or `cancelled`; empty where a queued command's answer does not tell.
    #[serde(default)]
    pub status: String,
    /// Its lines; none where a queued command's answer does not tell.
    #[serde(default)]
    pub items: Vec<Line>,
    /// `persisted` or `queue`.
    pub durability: String,
    /// When it was persisted, RFC 3339.
    pub persisted_at: Option<jiff::Timestamp>,
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Which product.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What it means for the store.
    pub outcome: Outcome,
    /// The order, when it was acknowledged and the answer holds it.
    pub order: Option<Order>,
    /// The newest `Order-Pending`, when there is one.
    pub pending: Option<HeaderValue>,
    /// What went wrong, for counting: a failure's name, or status and code of a problem.
    pub fault: Option<String>,
}

/// The problem codes of a 5xx that say for certain that nothing was done.
const NOT_DONE: [&str; 6] = ["not_done", "overloaded", "rate_limited", "behind", "not_ready", "disk_full"];

/// Sends commands to one shop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Commands {
    /// How they are sent.
    pub client: Client,
    /// Where they are written down.
    pub ledger: Ledger,
}

impl Commands {
    /// Sends a command once and writes it to the ledger.
    pub async fn send(&self, command: Command, key: String) -> Answered {
        let (call, op, order, item) = prepared(command);
        let item = item.as_ref().map(|(sku, quantity)| (sku.as_str(), *quantity));
        let mut attempt = self.ledger.attempt(op, order.as_ref().map(|order| order.id.clone()), item, key);
        let call = with_headers(call, &attempt.entry.key, order.and_then(|order| order.pending));
        let answered = match call {
            Some(call) => judged(self.client.send(call).await),
            None => (None, failed(Failure::Invalid)),
        };
        let (status, answered) = answered;
        attempt.entry.http = status.map(|status| status.as_u16());
        attempt.entry.outcome = answered.outcome;
        if let Some(order) = &answered.order {
            attempt.entry.order = Some(order.id.clone());
            attempt.entry.durability = Some(order.durability.clone());
            attempt.entry.persisted_ns = order.persisted_at.and_then(|at| u64::try_from(at.as_nanosecond()).ok());
        }
        answered
    }

    /// Reads an order.
    ///
    /// # Errors
    /// What went wrong, when the answer is not 200 with an order.
    pub async fn read(&self, order: &OrderRef) -> Result<Order, String> {
        let mut call = Call::get(format!("/api/v1/orders/{}", order.id));
        if let Some(pending) = &order.pending {
            call.headers.insert(ORDER_PENDING, pending.clone());
        }
        let answer = self.client.send(call).await.map_err(|failure| failure.name().to_owned())?;
        if answer.status != StatusCode::OK {
            return Err(fault(&answer).0);
        }
        serde_json::from_slice(&answer.body).map_err(|_| WRONG_BODY.to_owned())
    }
}

/// The fault of an answer of 200 that holds something else than was asked for.
pub(crate) const WRONG_BODY: &str = "wrong_body";

type Prepared = (Call, Operation, Option<OrderRef>, Option<(String, u32)>);

fn prepared(command: Command) -> Prepared {
    let path = |order: &OrderRef, rest: &str| format!("/api/v1/orders/{}{rest}", order.id);
    match command {
        Command::Create => (Call::json(Method::POST, "/api/v1/orders", &json!({})), Operation::Create, None, None),
        Command::Add { order, sku, quantity } => {
            let body = json!({"sku": sku, "quantity": quantity});
            let call = Call::json(Method::POST, path(&order, "/items"), &body);
            (call, Operation::Add, Some(order), Some((sku, quantity)))
        }
        Command::Set { order, sku, quantity } => {
            let item = path(&order, &format!("/items/{}", encoded(&sku)));
            let call = Call::json(Method::PUT, item, &json!({"quantity": quantity}));
            (call, Operation::Set, Some(order), Some((sku, quantity)))
        }
        Command::Remove { order, sku } => {
            let mut call = Call::get(path(&order, &format!("/items/{}", encoded(&sku))));
            call.method = Method::DELETE;
            (call, Operation::Remove, Some(order), Some((sku, 0)))
        }
        Command::Submit { order } => (bare_post(path(&order, "/submit")), Operation::Submit, Some(order), None),
        Command::Cancel { order } => (bare_post(path(&order, "/cancel")), Operation::Cancel, Some(order), None),
    }
}

fn bare_post(path: String) -> Call {
    let mut call = Call::get(path);
    call.method = Method::POST;
    call
}

fn with_headers(mut call: Call, key: &str, pending: Option<HeaderValue>) -> Option<Call> {
    call.headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(key).ok()?);
    if let Some(pending) = pending {
        call.headers.insert(ORDER_PENDING, pending);
    }
    Some(call)
}

fn judged(result: Result<Answer, Failure>) -> (Option<StatusCode>, Answered) {
    let answer = match result {
        Ok(answer) => answer,
        Err(failure) => return (None, failed(failure)),
    };
    let pending = answer.headers.get(ORDER_PENDING).cloned();
    let answered = if answer.status.is_success() {
        let order: Option<Order> = serde_json::from_slice(&answer.body).ok();
        let fault = order.is_none().then(|| WRONG_BODY.to_owned());
        Answered { outcome: Outcome::Acked, order, pending, fault }
    } else {
        let (fault, outcome) = fault(&answer);
        Answered { outcome, order: None, pending, fault: Some(fault) }
    };
    (Some(answer.status), answered)
}

fn failed(failure: Failure) -> Answered {
    let outcome = if failure.never_sent() { Outcome::Refused } else { Outcome::Unknown };
    Answered { outcome, order: None, pending: None, fault: Some(failure.name().to_owned()) }
}

fn fault(answer: &Answer) -> (String, Outcome) {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    let problem: Option<Problem> = serde_json::from_slice(&answer.body).ok();
    let code = problem.as_ref().map(|problem| problem.code.as_str());
    let certain = answer.status.is_client_error() || code.is_some_and(|code| NOT_DONE.contains(&code));
    let outcome = if certain { Outcome::Refused } else { Outcome::Unknown };
    let status = answer.status.as_u16();
    (code.map_or_else(|| status.to_string(), |code| format!("{status}_{code}")), outcome)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderMap;

    use super::*;

    fn outcome(status: u16, body: &'static str) -> Outcome {
        let status = StatusCode::from_u16(status).expect("a status");
        judged(Ok(Answer { status, headers: HeaderMap::new(), body: body.into() })).1.outcome
    }

    #[test]
    fn only_what_is_certainly_not_done_counts_as_refused() {
        assert_eq!(outcome(200, "{}"), Outcome::Acked);
        assert_eq!(outcome(202, r#"{"id":"o","durability":"queue","stale":true}"#), Outcome::Acked);
        assert_eq!(outcome(409, r#"{"code":"order_closed"}"#), Outcome::Refused);
        assert_eq!(outcome(503, r#"{"code":"disk_full"}"#), Outcome::Refused);
        assert_eq!(outcome(503, r#"{"code":"not_done"}"#), Outcome::Refused);
        assert_eq!(outcome(503, r#"{"code":"outcome_unknown"}"#), Outcome::Unknown);
        assert_eq!(outcome(503, "busy"), Outcome::Unknown);
        assert_eq!(outcome(500, r#"{"code":"internal"}"#), Outcome::Unknown);
        assert_eq!(failed(Failure::Connect).outcome, Outcome::Refused);
        assert_eq!(failed(Failure::Broken).outcome, Outcome::Unknown);
        assert_eq!(failed(Failure::TimedOut).outcome, Outcome::Unknown);
    }
}
