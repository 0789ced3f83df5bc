//! A wish that a shop's data lives in another store, which the operator leaves with a worker. No I/O.

use serde::{Deserialize, Serialize};
use storage_adapters::config::Provider;

/// Path on the internal port of a worker where a wish is left by PUT; needs the shop's token. It answers 204 once the wish is
/// in the store, and 409 when the worker has no settings of that store or a newer wish is known.
pub const SWITCH_PATH: &str = "/internal/v1/switch";

/// A wish that all of a shop's data lives in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Switch {
    /// Counts the wishes of a shop: the highest is the newest, in whatever store it is found.
    pub number: u64,
    /// Whose store it is.
    pub to: Provider,
}

/// What moving all of a shop's data did, as the report in the store that it moved to sums it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchSummary {
    /// Number of the wish.
    pub number: u64,
    /// Name of the report in the store.
    pub report_key: String,
    /// Files of the order shards that were copied.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The longest time that a shard was not answered for, in milliseconds; none when the report tells of no shard.
    pub longest_hold_millis: Option<u64>,
}
