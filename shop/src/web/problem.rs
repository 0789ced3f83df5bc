//! Errors as clients see them: problem details of RFC 9457, `application/problem+json`. No I/O.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{IdempotencyKey, Refusal};

/// What went wrong, for programs; each has one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is not of the form that was asked for.
    Malformed,
    /// There is nothing under this address.
    NotFound,
    /// The address does not take this method.
    MethodNotAllowed,
    /// The order was submitted, confirmed, fulfilled or cancelled.
    OrderClosed,
    /// A submit of an order without items.
    OrderEmpty,
    /// The order has another version than `If-Match` names.
    VersionConflict,
    /// The request's body is larger than 64 KiB.
    BodyTooLarge,
    /// No product has this SKU.
    UnknownSku,
    /// A quantity is a whole number from 1 to 9999.
    InvalidQuantity,
    /// The product is priced in another currency than the order.
    MixedCurrency,
    /// The `Idempotency-Key` named another request before.
    KeyReused,
    /// The `Idempotency-Key` is not of the form that was asked for.
    InvalidKey,
    /// The order has had its thousand commands.
    TooManyCommands,
    /// Earlier changes of the order, which this one was to come after, never arrived.
    Orphaned,
    /// The shop has more to do than it can.
    Overloaded,
    /// This client asks too often.
    RateLimited,
    /// The store is out of reach and nothing was changed.
    NotDone,
    /// The store is out of reach and nobody knows whether the change was made.
    OutcomeUnknown,
    /// An earlier change of this order is still on its way.
    Behind,
    /// The shop is starting, or is not what it should be.
    NotReady,
    /// The store's disk is full and nothing was changed.
    DiskFull,
    /// A fault of the shop itself.
    Internal,
}

impl Code {
    /// The status of an answer with this code.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::OrderClosed | Self::OrderEmpty | Self::VersionConflict | Self::Orphaned => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownSku
            | Self::InvalidQuantity
            | Self::MixedCurrency
            | Self::KeyReused
            | Self::InvalidKey
            | Self::TooManyCommands => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded
            | Self::NotDone
            | Self::OutcomeUnknown
            | Self::Behind
            | Self::NotReady
            | Self::DiskFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code in a few words, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request is malformed",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::OrderClosed => "The order is closed",
            Self::OrderEmpty => "The order is empty",
            Self::VersionConflict => "The order has changed",
            Self::BodyTooLarge => "The body is too large",
            Self::UnknownSku => "Unknown SKU",
            Self::InvalidQuantity => "Invalid quantity",
            Self::MixedCurrency => "Mixed currencies",
            Self::KeyReused => "Idempotency-Key reused",
            Self::InvalidKey => "Invalid Idempotency-Key",
            Self::TooManyCommands => "Too many commands",
            Self::Orphaned => "Orphaned",
            Self::Overloaded => "Overloaded",
            Self::RateLimited => "Rate limited",
            Self::NotDone => "Not done",
            Self::OutcomeUnknown => "Outcome unknown",
            Self::Behind => "Behind",
            Self::NotReady => "Not ready",
            Self::DiskFull => "Disk full",
            Self::Internal => "Internal error",
        }
    }

    /// The code as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::OrderClosed => "order_closed",
            Self::OrderEmpty => "order_empty",
            Self::VersionConflict => "version_conflict",
            Self::BodyTooLarge => "body_too_large",
            Self::UnknownSku => "unknown_sku",
            Self::InvalidQuantity => "invalid_quantity",
            Self::MixedCurrency => "mixed_currency",
            Self::KeyReused => "key_reused",
            Self::InvalidKey => "invalid_key",
            Self::TooManyCommands => "too_many_commands",
            Self::Orphaned => "orphaned",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::NotDone => "not_done",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Behind => "behind",
            Self::NotReady => "not_ready",
            Self::DiskFull => "disk_full",
            Self::Internal => "internal",
        }
    }
}

impl From<Refusal> for Code {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OrderNotFound | Refusal::LineNotFound => Self::NotFound,
            Refusal::OrderClosed => Self::OrderClosed,
            Refusal::OrderEmpty => Self::OrderEmpty,
            Refusal::VersionConflict => Self::VersionConflict,
            Refusal::InvalidQuantity => Self::InvalidQuantity,
            Refusal::MixedCurrency => Self::MixedCurrency,
            Refusal::KeyReused => Self::KeyReused,
            Refusal::TooManyCommands => Self::TooManyCommands,
            Refusal::Orphaned => Self::Orphaned,
        }
    }
}

/// Why a request was not answered as it was asked, in the form of RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u32>,
    key: Option<IdempotencyKey>,
}

/// The body of a problem.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody<'a> {
    /// URI that names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "tag:cloudshop.dev,2026:problem/unknown_sku")]
    kind: String,
    /// The kind of problem in a few words.
    title: &'a str,
    /// The status of the answer.
    #[schema(example = 422)]
    status: u16,
    /// What happened, to what, and what to do.
    detail: &'a str,
    /// The kind of problem, for programs.
    code: Code,
    /// Name of the command that was asked for; send it again to learn what became of it, or to have it done once.
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

impl Problem {
    /// A problem with the given words for people; one of load or reach asks to come back in a second.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let busy = matches!(code.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        Self { code, detail: detail.into(), retry_after_seconds: busy.then_some(1), key: None }
    }

    /// A fault of the shop itself.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Code::Internal, "The shop made a mistake and has noted it. Try again.")
    }

    /// Names the command that was asked for.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Asks to come back after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// When to come back; none for what will never succeed.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after_seconds
    }

    /// What went wrong.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened, to what, and what to do.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.into(), sentence(&refusal.to_string()))
    }
}

/// An error's text as a sentence for people.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let head = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{head}{}.", characters.as_str())
}

impl From<Problem> for Response<Body> {
    fn from(problem: Problem) -> Self {
        let status = problem.code.status();
        let body = ProblemBody {
            kind: format!("tag:cloudshop.dev,2026:problem/{}", problem.code.as_str()),
            title: problem.code.title(),
            status: status.as_u16(),
            detail: &problem.detail,
            code: problem.code,
            idempotency_key: problem.key.as_ref().map(IdempotencyKey::as_str),
        };
        // Strings and a number: nothing in it can fail to be written.
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(seconds) = problem.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(key) = problem.key.and_then(|key| HeaderValue::from_str(key.as_str()).ok()) {
            headers.insert(super::IDEMPOTENCY_KEY, key);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_its_name_says() {
        for code in [Code::Malformed, Code::UnknownSku, Code::OutcomeUnknown, Code::DiskFull, Code::MethodNotAllowed] {
            assert_eq!(serde_json::to_value(code).expect("writes"), code.as_str());
        }
    }

    #[test]
    fn a_refusal_keeps_its_code_and_status() {
        for refusal in [Refusal::OrderNotFound, Refusal::OrderEmpty, Refusal::KeyReused, Refusal::TooManyCommands] {
            assert_eq!(Code::from(refusal).as_str(), refusal.code());
            assert_eq!(Code::from(refusal).status(), refusal.status());
        }
    }

    #[test]
    fn what_can_pass_says_when_to_come_back() {
        let response: Response<Body> = Problem::new(Code::Overloaded, "Too much.").into();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
