//! What the order service answers: an order as it is durably stored, or why not. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{IdempotencyKey, Order, OrderId, Refusal};

use super::pending::Pending;

/// An order as its owner answers it, durably stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The order.
    pub order: Order,
    /// When this state was known to be durable.
    pub persisted_at: Timestamp,
    /// Whether the command had been applied before, so that this answer repeats.
    pub replayed: bool,
}

/// Where what an answer says is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In the shop's home store.
    Persisted,
    /// In a queue, on its way to the home store.
    Queue,
}

/// An order as a customer is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The order. Where it is stale, with what this pod knows of commands that are on their way.
    pub order: Order,
    /// Where the newest command in it is durable.
    pub durability: Durability,
    /// Whether there may be a newer state, since who knows it was out of reach.
    pub stale: bool,
    /// When this was the newest state.
    pub as_of: Timestamp,
    /// When this state was known to be durable in the home store, if it is.
    pub persisted_at: Option<Timestamp>,
}

impl From<Answer> for View {
    fn from(Answer { order, persisted_at, replayed: _ }: Answer) -> Self {
        let durability = Durability::Persisted;
        Self { order, durability, stale: false, as_of: persisted_at, persisted_at: Some(persisted_at) }
    }
}

/// What became of a command that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is applied and in the home store.
    Persisted(View),
    /// It was accepted into a queue, and is applied, or kept with the reason why not, when the owner is back.
    Queued {
        /// The order.
        order: OrderId,
        /// What this pod knows of the order, with this command as far as can be told.
        view: Option<View>,
        /// What is on its way of the order now, this command included.
        pending: Pending,
    },
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
    /// Earlier commands of the order are still on their way, and this one waits for them: it was not done.
    #[error("an earlier change of the order is still on its way; this one was not done, try again in a moment")]
    Behind,
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
    /// Whether the owner or the store was out of reach, or not in time.
    #[must_use]
    pub fn is_of_partition(&self) -> bool {
        match self {
            Self::NotDone | Self::OutcomeUnknown { .. } | Self::Behind | Self::Unreadable => true,
            Self::Refused(_) | Self::Overloaded { .. } | Self::DiskFull | Self::NotReady => false,
        }
    }

    /// The `code` of the problem body.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NotDone | Self::Unreadable => "not_done",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::Behind => "behind",
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
            | Self::Behind
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
            Self::NotDone | Self::Unreadable | Self::OutcomeUnknown { .. } | Self::Behind | Self::NotReady => {
                Some(Duration::from_secs(1))
            }
        }
    }
}
