//! What the order service answers: an order as it is durably stored, or why not. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{IdempotencyKey, Order, Refusal};

/// Where what an answer says is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In the shop's home store.
    Persisted,
}

/// An order, with what is known about how it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The order.
    pub order: Order,
    /// Where it is durable.
    pub durability: Durability,
    /// When this state was known to be durable.
    pub persisted_at: Timestamp,
    /// Whether the command had been applied before, so that this answer repeats.
    pub replayed: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The command was decided, and it is no. Also an order that does not exist.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The order service was not reached: nothing has happened.
    #[error("the order service is out of reach; the command was not done, try again with the same Idempotency-Key")]
    NotDone,
    /// The order service was reached and its answer was not: the command may have been done.
    #[error(
        "the order service did not answer in time; whether the command was done is unknown, try again with Idempotency-Key {key}"
    )]
    OutcomeUnknown {
        /// The command's key.
        key: IdempotencyKey,
    },
    /// An order could not be read in time.
    #[error("the order could not be read in time; try again")]
    Unreadable,
    /// The order service has more to do than it can; nothing has happened.
    #[error("the shop is busy; the command was not done, try again with the same Idempotency-Key")]
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
    /// The shop's store has no room; nothing was answered that is not durable.
    #[error(
        "the shop's store is full, so it takes no orders until its operator makes room; try again with the same Idempotency-Key"
    )]
    DiskFull,
    /// This pod does not serve orders yet or any more.
    #[error("this pod is not ready to take orders; try again")]
    NotReady,
}

impl OrderError {
    /// The `code` of the problem body.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotDone | Self::Unreadable => "not_done",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::Overloaded { .. } => "overloaded",
            Self::DiskFull => "disk_full",
            Self::NotReady => "not_ready",
        }
    }

    /// The HTTP status of the problem.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::NotDone
            | Self::Unreadable
            | Self::OutcomeUnknown { .. }
            | Self::Overloaded { .. }
            | Self::DiskFull
            | Self::NotReady => 503,
        }
    }

    /// When to come back, for `Retry-After`; none for what will never succeed.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(_) => None,
            Self::Overloaded { retry_after } => Some(*retry_after),
            Self::DiskFull => Some(Duration::from_secs(10)),
            Self::NotDone | Self::Unreadable | Self::OutcomeUnknown { .. } | Self::NotReady => {
                Some(Duration::from_secs(1))
            }
        }
    }
}
