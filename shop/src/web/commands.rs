//! What API and storefront share of commands: keys, versions and errors. No I/O.

use axum::http::{HeaderMap, header};
use uuid::Uuid;

use super::{
    IDEMPOTENCY_KEY,
    problem::{Code, Problem, sentence},
};
use crate::{
    domain::{IdempotencyKey, InvalidIdempotencyKey},
    orders::OrderError,
};

/// The key of a create: the client's, or a new one.
pub(super) fn create_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    key(headers, IdempotencyKey::for_create)
}

/// The key of a command on an order: the client's, or a new one.
pub(super) fn command_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    key(headers, IdempotencyKey::for_order)
}

fn key(
    headers: &HeaderMap,
    read: impl FnOnce(&str) -> Result<IdempotencyKey, InvalidIdempotencyKey>,
) -> Result<IdempotencyKey, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(IdempotencyKey::from_uuid(Uuid::new_v4()));
    };
    // What is not text cannot be a key either.
    let text = value.to_str().unwrap_or_default();
    read(text).map_err(|error| Problem::new(Code::InvalidKey, sentence(&error.to_string())))
}

/// The version that `If-Match` names; none when it is absent or `*`.
pub(super) fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text).parse();
    version.map(Some).map_err(|_| {
        Problem::new(
            Code::Malformed,
            "If-Match names the order's version, such as \"3\". Send the ETag you were given.",
        )
    })
}

/// What a client is told of an order that was not answered.
pub(super) fn problem_of(error: OrderError) -> Problem {
    let detail = sentence(&error.to_string());
    let seconds = error.retry_after().map(|wait| u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX));
    let (code, key) = match error {
        OrderError::Refused(refusal) => (refusal.into(), None),
        OrderError::NotDone | OrderError::Unreadable => (Code::NotDone, None),
        OrderError::OutcomeUnknown { key } => (Code::OutcomeUnknown, Some(key)),
        OrderError::Behind => (Code::Behind, None),
        OrderError::Overloaded { .. } => (Code::Overloaded, None),
        OrderError::DiskFull => (Code::DiskFull, None),
        OrderError::NotReady => (Code::NotReady, None),
    };
    let mut problem = Problem::new(code, detail);
    if let Some(seconds) = seconds {
        problem = problem.retry_after(seconds);
    }
    match key {
        Some(key) => problem.with_key(key),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;

    use super::*;
    use crate::domain::Refusal;

    #[test]
    fn each_error_of_the_order_service_keeps_its_code_and_status() {
        let key = IdempotencyKey::for_order("a-key").expect("a key");
        for error in [
            OrderError::Refused(Refusal::OrderEmpty),
            OrderError::NotDone,
            OrderError::Unreadable,
            OrderError::OutcomeUnknown { key },
            OrderError::Overloaded { retry_after: Duration::from_secs(2) },
            OrderError::DiskFull,
            OrderError::NotReady,
        ] {
            let (code, status) = (error.code(), error.status());
            let problem = problem_of(error);
            assert_eq!((problem.code().as_str(), problem.code().status().as_u16()), (code, status));
        }
    }

    #[test]
    fn a_version_is_read_as_an_etag_or_a_number() {
        let read = |text: &'static str| {
            expected_version(&HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(text))]))
        };
        assert_eq!(read("\"3\""), Ok(Some(3)));
        assert_eq!(read("3"), Ok(Some(3)));
        assert_eq!(read("*"), Ok(None));
        for wrong in ["", "\"", "W/\"3\"", "three", "-1"] {
            assert_eq!(read(wrong).expect_err(wrong).code(), Code::Malformed);
        }
    }

    #[test]
    fn a_key_that_is_absent_is_made() {
        assert!(create_key(&HeaderMap::new()).is_ok());
        assert_ne!(command_key(&HeaderMap::new()), command_key(&HeaderMap::new()));
    }
}
