//! A client of the shop's public API, for tests that look at single answers. Network I/O.

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use load::commands::IDEMPOTENCY_KEY;
use load::http::{Answer, Call, Client, ClientOptions};
use load::run::new_key;
use load::target::Target;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::wait::until;

/// How long a test follows answers that ask to come back.
const COME_BACK_LIMIT: Duration = Duration::from_secs(15);

/// The public API of one shop.
#[derive(Clone, Debug)]
pub struct Api {
    /// Sends its requests.
    pub client: Client,
}

/// A request with its own headers.
#[derive(Clone, Debug)]
pub struct Ask(Call);

impl Ask {
    /// A request without a body.
    #[must_use]
    pub fn bare(method: Method, path: &str) -> Self {
        let mut call = Call::get(path);
        call.method = method;
        Self(call)
    }

    /// A request with a JSON body.
    #[must_use]
    pub fn with_json(method: Method, path: &str, body: &Value) -> Self {
        Self(Call::json(method, path, body))
    }

    /// A request with any bytes as its JSON body.
    #[must_use]
    pub fn raw(method: Method, path: &str, body: impl Into<bytes::Bytes>) -> Self {
        let mut call = Call::json(method, path, &Value::Null);
        call.body = body.into();
        Self(call)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.0.headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Names the command.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header(IDEMPOTENCY_KEY, key)
    }
}

impl Api {
    /// The API of the shop at `url`.
    pub async fn at(url: &str) -> Self {
        let target = Target::resolve(url, false).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let options = ClientOptions { timeout: Duration::from_secs(10), connections: 2_000 };
        Self { client: Client::new(target, options).expect("a host name") }
    }

    /// Sends a request; no answer at all fails the test. An answer that asks to come back, as a busy machine gives
    /// now and then, is followed, with the same key. So is one that says that a command with a key is in the queue.
    pub async fn ask(&self, ask: Ask) -> Answer {
        let end = Instant::now() + COME_BACK_LIMIT;
        let has_key = ask.0.headers.contains_key(IDEMPOTENCY_KEY);
        loop {
            let answer = self.ask_once(ask.clone()).await;
            let is_queued = has_key && answer.status == StatusCode::ACCEPTED;
            if !(is_queued || asks_to_come_back(&answer)) || Instant::now() > end {
                return answer;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Sends a request once; no answer at all fails the test. The server may close a connection that was kept at the very moment at
    /// which it is used again, so what only reads is sent once more then.
    pub async fn ask_once(&self, ask: Ask) -> Answer {
        let Ask(call) = ask;
        let line = format!("{} {}", call.method, call.path);
        let mut sent = self.client.send(call.clone()).await;
        if sent.is_err() && call.method == Method::GET {
            sent = self.client.send(call).await;
        }
        sent.unwrap_or_else(|failure| panic!("{line}: {failure}"))
    }

    /// Reads something that must be there.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Ask::bare(Method::GET, path)).await;
        assert_eq!(answer.status, StatusCode::OK, "GET {path}: {}", text(&answer));
        json_of(&answer)
    }

    /// Makes an order and gives its id.
    pub async fn create(&self, key: &str) -> String {
        let answer = self.ask(Ask::bare(Method::POST, "/api/v1/orders").key(key)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "create: {}", text(&answer));
        let order = json_of(&answer);
        let id = order["id"].as_str().expect("an order has an id").to_owned();
        let location = answer.headers.get("location").expect("a create answers its Location");
        assert!(location.to_str().expect("text").ends_with(&id), "{location:?}");
        id
    }

    /// A command that must succeed, with a key of its own; gives the whole order.
    pub async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let ask = match &body {
            Some(body) => Ask::with_json(method, path, body),
            None => Ask::bare(method, path),
        };
        let answer = self.ask(ask.key(&new_key())).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {body:?}: {}", text(&answer));
        json_of(&answer)
    }

    /// Adds an item.
    pub async fn add(&self, order: &str, sku: &str, quantity: u32) -> Value {
        let path = format!("/api/v1/orders/{order}/items");
        self.command(Method::POST, &path, Some(json!({"sku": sku, "quantity": quantity}))).await
    }

    /// Submits an order.
    pub async fn submit(&self, order: &str) -> Value {
        self.command(Method::POST, &format!("/api/v1/orders/{order}/submit"), None).await
    }

    /// Reads an order.
    pub async fn order(&self, order: &str) -> Value {
        self.get(&format!("/api/v1/orders/{order}")).await
    }

    /// Waits until an order is confirmed, and gives it.
    pub async fn confirmed(&self, order: &str) -> Value {
        until("the order is confirmed", Duration::from_secs(30), async || {
            let order = self.order(order).await;
            if order["status"] == "confirmed" { Ok(order) } else { Err(order.to_string()) }
        })
        .await
    }

    /// Every product, page by page.
    pub async fn products(&self, limit: u32) -> Vec<Value> {
        let mut products = Vec::new();
        let mut path = format!("/api/v1/products?limit={limit}");
        loop {
            let page = self.get(&path).await;
            let items = page["items"].as_array().expect("items").clone();
            assert!(items.len() <= limit as usize, "a page of {} products was asked for {limit}", items.len());
            products.extend(items);
            assert!(products.len() <= 100_000, "the pages do not end");
            let Some(cursor) = page["next_cursor"].as_str() else { return products };
            path = format!("/api/v1/products?limit={limit}&cursor={}", load::catalogue::encoded(cursor));
        }
    }

    /// What a search finds first, by SKU.
    pub async fn search(&self, text: &str) -> Vec<String> {
        let page = self.get(&format!("/api/v1/search?limit=50&q={}", load::catalogue::encoded(text))).await;
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["sku"].as_str().expect("a SKU").to_owned()).collect()
    }
}

fn asks_to_come_back(answer: &Answer) -> bool {
    const PASSING: [&str; 5] = ["not_done", "outcome_unknown", "overloaded", "rate_limited", "behind"];
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    matches!(answer.status.as_u16(), 429 | 503) && PASSING.iter().any(|code| problem["code"] == *code)
}

/// The answer's body as text.
#[must_use]
pub fn text(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

/// The answer's body as JSON.
#[must_use]
pub fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", text(answer)))
}

/// Checks that an answer is a problem of RFC 9457 with this status and code.
pub fn assert_problem(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{what}: {}", text(answer));
    let problem = assert_is_problem(what, answer);
    assert_eq!(problem["code"], code, "{what}: {problem}");
}

/// Checks that an answer is a problem of RFC 9457, and gives it.
pub fn assert_is_problem(what: &str, answer: &Answer) -> Value {
    let kind = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    assert_eq!(kind, Some(&b"application/problem+json"[..]), "{what}: {}", text(answer));
    let problem = json_of(answer);
    assert_eq!(problem["status"], answer.status.as_u16(), "{what}: {problem}");
    for field in ["type", "title", "detail", "code"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{what}: no {field} in {problem}");
    }
    problem
}
