//! A wish that a shop's data lives in another store, which the operator leaves with a worker. No I/O.

use std::collections::BTreeMap;

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
    /// Whether the order shards are only copied for now, and everything stays where it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// Which switch it is a word about, for whoever has to find that again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// Which orders are compared in both stores at the end.
    #[serde(default)]
    pub verify: Verify,
    /// Most bytes a second that all workers copy together while a shard is answered for; none as many as they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_second: Option<u64>,
}

/// Which orders of a shop that moved are compared in both stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verify {
    /// Each one.
    #[default]
    Full,
    /// One in sixteen.
    Sample,
}

/// A switch that wishes are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct About {
    /// Number of the first wish.
    pub id: u64,
    /// Where everything was.
    pub from: Provider,
    /// Where everything was to be.
    pub to: Provider,
}

impl Switch {
    /// A wish that says no more than number and store.
    #[must_use]
    pub fn new(number: u64, to: Provider) -> Self {
        Self { number, to, waits: false, about: None, verify: Verify::Full, max_bytes_per_second: None }
    }

    /// Which switch it is about: the number of its first wish.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.about.map_or(self.number, |about| about.id)
    }

    /// Whether versions that know only of number and store would do something else.
    #[must_use]
    pub fn says_more(&self) -> bool {
        self.waits || self.id() != self.number
    }
}

/// How far a worker is with copying shards to another store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStatus {
    /// Which switch it is for: the number of its first wish.
    pub id: u64,
    /// Bytes a second of late.
    pub bytes_per_second: u64,
    /// By shard; of those that this worker has not begun there is nothing.
    pub shards: BTreeMap<u16, ShardCopy>,
}

/// How far one shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCopy {
    /// Bytes of its database in the store that it leaves.
    pub bytes: u64,
    /// Those of them that are in the other store already.
    pub copied: u64,
    /// What copying and comparing all of it costs about, in billionths of a US dollar by list prices.
    pub nanodollars: u64,
}

/// What moving all of a shop's data did, as the report in the store that it moved to sums it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchSummary {
    /// Number of the newest wish of it.
    pub number: u64,
    /// Name of the report in the store.
    pub report_key: String,
    /// Files of the order shards that were copied.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The longest time that a shard was not answered for, in milliseconds; none when the report tells of no shard.
    pub longest_hold_millis: Option<u64>,
    /// What comparing the orders in both stores showed; none of a version that did not.
    #[serde(default)]
    pub verification: Option<Verification>,
    /// What copying and comparing cost, in billionths of a US dollar by list prices; none of a version that did not count.
    #[serde(default)]
    pub nanodollars: Option<u64>,
}

/// What comparing the orders of a shop in both stores showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Orders that were compared.
    pub orders: u64,
    /// Those of them that are not in the store that everything moved to, or have lost something there.
    pub mismatches: u64,
    /// Whether all were compared that were to be.
    pub is_whole: bool,
}
