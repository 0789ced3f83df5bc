//! The ledger: what was attempted and answered, one JSON object a line, written by whoever makes load and read by
//! `shop verify`. No I/O.

use serde::{Deserialize, Serialize};

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// An order was to be made.
    Create,
    /// An item was to be added.
    Add,
    /// An item's quantity was to be set.
    Set,
    /// An item was to be removed.
    Remove,
    /// The order was to be submitted.
    Submit,
    /// The order was to be cancelled.
    Cancel,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The shop said that it is done: it must be in the store, once.
    Acked,
    /// The shop said that it is not done, or never saw it: it must not be in the store.
    Refused,
    /// Nobody said: it may be in the store, once.
    Unknown,
}

/// One attempted write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was sent, in nanoseconds since 1970.
    pub at_ns: u64,
    /// What was attempted.
    pub op: Operation,
    /// The order, once it is known.
    pub order: Option<String>,
    /// The product, for item operations.
    pub sku: Option<String>,
    /// The quantity, for `add` and `set`.
    pub quantity: Option<u32>,
    /// The `Idempotency-Key`.
    pub key: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Status of the answer, if there was one.
    pub http: Option<u16>,
    /// `persisted` or `queue`, as the answer said.
    pub durability: Option<String>,
    /// When the shop says that it was persisted, in nanoseconds since 1970.
    pub persisted_ns: Option<u64>,
}
