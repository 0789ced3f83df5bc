//! Reads request bodies, bounded in size and time. Reads the connection.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::problem::{Code, Problem};

/// Most bytes of a body.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a body may take; at the limit of its size that is 6.4 KiB/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole body.
///
/// # Errors
/// When it is too large, too slow, or the connection broke.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, "The body is larger than 64 KiB. Send a smaller one.");
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_broken)) => Err(Problem::new(Code::Malformed, "The body ended early. Send it again.")),
        Err(_elapsed) => {
            Err(Problem::new(Code::Malformed, "The body did not arrive within 10 seconds. Send it again, faster."))
        }
    }
}
