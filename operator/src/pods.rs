//! Asks the pods of a shop how they fare, and tells them where its data is to be. Does I/O: HTTP to the pods' internal port.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use shop_contract::{
    INTERNAL_PORT,
    status::{PodStatus, STATUS_PATH},
    switch::{SWITCH_PATH, Switch},
};

use crate::{
    labels::Component,
    metrics::{Counter, Metrics},
    observation::{PodState, Report},
    token::Token,
};

/// How long a pod may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a pod may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may be, in bytes; 64 shards and a few messages take less than 16 KiB.
const MAX_ANSWER: usize = 256 * 1024;
/// How many pods are asked at the same time.
const AT_ONCE: usize = 8;
/// How many pods of a shop are asked at all: every worker that there can be, and some web pods.
const MAX_ASKED: usize = 80;

/// Why a pod's answer is of no use.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("it has no address that can be used")]
    Address,
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("no connection")]
    Unreachable,
    #[error("HTTP {0}")]
    Refused(u16),
    #[error("the answer has more than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("the answer is no status")]
    Malformed,
}

/// Asks pods.
#[derive(Clone, Debug)]
pub struct PodClient {
    http: reqwest::Client,
    metrics: Arc<Metrics>,
}

impl PodClient {
    /// A client that speaks to pods only, by no proxy, and follows no redirect.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(metrics: Arc<Metrics>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { http, metrics })
    }

    /// Asks those of a shop's pods that have something to say, a few at a time, and notes their answers.
    pub async fn ask(&self, pods: &mut [PodState], token: &Token) {
        let asked: Vec<_> = pods
            .iter()
            .enumerate()
            .filter(|(_, pod)| worth_asking(pod))
            .map(|(position, pod)| (position, pod.address.clone()))
            .take(MAX_ASKED)
            .collect();
        let reports: Vec<_> = stream::iter(asked)
            .map(|(position, address)| async move { (position, self.ask_one(address.as_deref(), token).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (position, answer) in reports {
            let Some(pod) = pods.get_mut(position) else { continue };
            pod.report = match answer {
                Ok(status) => {
                    self.metrics.count(Counter::PodRequests("answered"));
                    Report::Told(Box::new(status))
                }
                Err(error) => {
                    self.metrics.count(Counter::PodRequests("failed"));
                    Report::Failed(error.to_string())
                }
            };
        }
    }

    /// Leaves a wish where the shop's data is to live with the first worker that takes it; the next reconciliation sees whether one
    /// did.
    pub async fn leave_wish(&self, pods: &[PodState], token: &Token, wish: Switch) {
        for pod in pods.iter().filter(|pod| pod.component == Component::Worker && worth_asking(pod)) {
            match self.leave_wish_with(pod.address.as_deref(), token, wish).await {
                Ok(()) => {
                    tracing::info!(pod = pod.name, number = wish.number, to = %wish.to, "a worker knows where the data is to be");
                    self.metrics.count(Counter::PodRequests("answered"));
                    return;
                }
                Err(error) => {
                    tracing::warn!(pod = pod.name, number = wish.number, to = %wish.to, %error, "a worker did not take a wish");
                    self.metrics.count(Counter::PodRequests("failed"));
                }
            }
        }
    }

    async fn leave_wish_with(&self, address: Option<&str>, token: &Token, wish: Switch) -> Result<(), AskError> {
        let response = self
            .http
            .put(url(address, SWITCH_PATH)?)
            .bearer_auth(token.reveal())
            .json(&wish)
            .send()
            .await
            .map_err(|error| transport(&error))?;
        if response.status().is_success() { Ok(()) } else { Err(AskError::Refused(response.status().as_u16())) }
    }

    async fn ask_one(&self, address: Option<&str>, token: &Token) -> Result<PodStatus, AskError> {
        let mut response = self
            .http
            .get(url(address, STATUS_PATH)?)
            .bearer_auth(token.reveal())
            .send()
            .await
            .map_err(|error| transport(&error))?;
        if !response.status().is_success() {
            return Err(AskError::Refused(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(AskError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| AskError::Malformed)
    }
}

/// Where a pod answers.
fn url(address: Option<&str>, path: &str) -> Result<String, AskError> {
    let address: IpAddr = address.and_then(|text| text.parse().ok()).ok_or(AskError::Address)?;
    Ok(match address {
        IpAddr::V4(address) => format!("http://{address}:{INTERNAL_PORT}{path}"),
        IpAddr::V6(address) => format!("http://[{address}]:{INTERNAL_PORT}{path}"),
    })
}

/// Workers know the shards and the queue; a web pod is asked only when it is not ready, for the reason.
fn worth_asking(pod: &PodState) -> bool {
    let running = pod.address.is_some() && pod.trouble.is_none() && !pod.terminating;
    running && (pod.component == Component::Worker || !pod.ready)
}

fn transport(error: &reqwest::Error) -> AskError {
    if error.is_timeout() { AskError::Timeout } else { AskError::Unreachable }
}

#[cfg(test)]
#[path = "pods_tests.rs"]
mod tests;
