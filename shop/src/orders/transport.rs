//! How a question reaches a worker: over HTTP, or, where tests simulate a network, over that. Does I/O.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

/// Longest that connecting to a worker may take; one in the same cluster answers at once or not at all.
pub(super) const CONNECTING: Duration = Duration::from_millis(300);

/// How long an idle connection to a worker is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A way to the internal API of workers.
#[async_trait]
pub(super) trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends a question, and returns when the head of the answer is here.
    async fn post(
        &self,
        address: &str,
        path: &'static str,
        token: &str,
        body: Bytes,
    ) -> Result<reqwest::Response, TransportError>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    /// There was no connection, so nothing was asked.
    #[error("no connection")]
    Unreached,
    /// The connection broke; whether the question arrived is not known.
    #[error(transparent)]
    Broken(#[from] reqwest::Error),
}

/// HTTP on connections that are kept.
#[derive(Clone, Debug)]
pub(super) struct Http(reqwest::Client);

impl Http {
    /// A client for internal requests.
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECTING)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(client))
    }
}

#[async_trait]
impl Transport for Http {
    async fn post(
        &self,
        address: &str,
        path: &'static str,
        token: &str,
        body: Bytes,
    ) -> Result<reqwest::Response, TransportError> {
        let sending = self
            .0
            .post(format!("http://{address}{path}"))
            .bearer_auth(token)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .send();
        sending.await.map_err(|error| if error.is_connect() { TransportError::Unreached } else { error.into() })
    }
}
