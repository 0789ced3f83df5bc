//! What the operator reports about a Shop. No I/O.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shop_contract::switch::{About, Switch, Verification};

use super::storage::{StorageProvider, Verify};

/// What the operator last saw of a Shop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShopStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where shoppers find the shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where the shop's data is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<StorageProvider>,
    /// Whether the shop's store was set up. From then on a store that is found empty is never set up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_initialised: Option<bool>,
    /// The state of the shop, one entry a type.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The web pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<TierStatus>,
    /// The worker pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<TierStatus>,
    /// The order shards and who owns them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub shards: Vec<ShardStatus>,
    /// The queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    /// The newest move of the shop's data from one provider to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<SwitchStatus>,
}

/// One aspect of the state of a Shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    #[schemars(length(max = 64))]
    pub kind: String,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// Why, in one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Why, and what to do, in words.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// Since when the status is what it is.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Timestamp,
    /// The generation of the spec that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// The pods of one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TierStatus {
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that there should be now.
    pub desired: i32,
}

/// One order shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Number of the shard.
    #[schemars(extend("format" = "int32"))]
    pub id: u16,
    /// The pod that owns it; nothing while nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub owner: Option<String>,
    /// The epoch of its lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int64"))]
    pub epoch: Option<u64>,
    /// The provider that holds it.
    pub home: StorageProvider,
}

/// The queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// Messages in it, approximately.
    #[schemars(extend("format" = "int64"))]
    pub depth: u64,
    /// Dead letters in the store.
    #[schemars(extend("format" = "int64"))]
    pub dead_letters: u64,
}

/// A move of the shop's data from one provider to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwitchStatus {
    /// Which move of this shop it is, counted from 1.
    #[schemars(length(max = 20))]
    pub id: String,
    /// What the workers were told last about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WishStatus")]
    pub wish: Option<WishStatus>,
    /// Whether it was given up for good: everything is where it was and is wanted there, so that the next one is another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
    /// How far it is.
    pub phase: SwitchPhase,
    /// Where everything was.
    pub from: StorageProvider,
    /// Where everything is to be.
    pub to: StorageProvider,
    /// Order shards that are there.
    #[schemars(extend("format" = "int32"))]
    pub shards_moved: u16,
    /// Order shards of the shop.
    #[schemars(extend("format" = "int32"))]
    pub shards_total: u16,
    /// Bytes of the order shards that are where they are to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int64"))]
    pub bytes_copied: Option<u64>,
    /// Bytes of the order shards that are to be there, as far as workers have looked; until it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int64"))]
    pub bytes_total: Option<u64>,
    /// Bytes a second that are copied; while they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int64"))]
    pub bytes_per_second: Option<u64>,
    /// Seconds until the rest is copied at that rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int64"))]
    pub eta_seconds: Option<u64>,
    /// What copying and comparing costs about, in US dollars by list prices as if everything that is read left its cloud, such as
    /// 0.0123; as far as workers have looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub estimated_cost: Option<String>,
    /// The same as it was counted; known when it is over, as are the next three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub cost: Option<String>,
    /// What comparing the orders in both stores showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "VerificationStatus")]
    pub verification: Option<VerificationStatus>,
    /// Longest time that the orders of a shard were not answered for, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int64"))]
    pub longest_hold_millis: Option<u64>,
    /// Name of the report in the store that everything moved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub report_key: Option<String>,
    /// Since when every pod begins where everything is, so that no command comes into the queue of the disk that was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub draining_since: Option<Timestamp>,
    /// What to do next, or what is waited for, in words.
    #[schemars(length(max = 4096))]
    pub next_step: String,
}

impl SwitchStatus {
    /// The newest wish about it; none when it has an id that nobody gave it.
    #[must_use]
    pub fn newest_wish(&self) -> Option<Switch> {
        let id = self.id.parse().ok()?;
        let about = Some(About { id, from: self.from.into(), to: self.to.into() });
        Some(match self.wish {
            Some(WishStatus { number, to, waits, verify, max_bytes_per_second }) => {
                Switch { number, to: to.into(), waits, about, verify: verify.into(), max_bytes_per_second }
            }
            None => Switch { about, ..Switch::new(id, self.to.into()) },
        })
    }
}

/// What workers are told about a move of the shop's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WishStatus {
    /// Counts what they were told about all moves of this shop.
    #[schemars(extend("format" = "int64"))]
    pub number: u64,
    /// Where everything is to be.
    pub to: StorageProvider,
    /// Whether it is only copied for now.
    pub waits: bool,
    /// Which orders are compared in both stores at the end.
    #[serde(default)]
    pub verify: Verify,
    /// Most bytes a second that are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "int64"))]
    pub max_bytes_per_second: Option<u64>,
}

impl WishStatus {
    /// What a wish says.
    #[must_use]
    pub fn of(wish: Switch) -> Self {
        let Switch { number, to, waits, about: _, verify, max_bytes_per_second } = wish;
        Self { number, to: to.into(), waits, verify: verify.into(), max_bytes_per_second }
    }
}

/// What comparing the orders of a shop in both stores showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// Orders that were compared.
    #[schemars(extend("format" = "int64"))]
    pub orders: u64,
    /// Those of them that are not in the store that everything moved to, or have lost something there.
    #[schemars(extend("format" = "int64"))]
    pub mismatches: u64,
    /// In one word.
    pub result: VerificationResult,
}

/// What comparing orders showed, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerificationResult {
    /// All that were to be compared are there, and have lost nothing.
    Passed,
    /// Some are not there, or have lost something.
    Failed,
    /// What was compared has lost nothing, but not all could be: a store was out of reach.
    Incomplete,
}

impl From<Verification> for VerificationStatus {
    fn from(Verification { orders, mismatches, is_whole }: Verification) -> Self {
        let result = match (mismatches, is_whole) {
            (0, true) => VerificationResult::Passed,
            (0, false) => VerificationResult::Incomplete,
            _ => VerificationResult::Failed,
        };
        Self { orders, mismatches, result }
    }
}

/// How far a move of the shop's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SwitchPhase {
    /// Pods that know both stores replace the others.
    Preparing,
    /// The store that everything moves to is tried out by the workers.
    Preflight,
    /// What is in the one store is copied into the other; every order is changed in the first one.
    Copying,
    /// The shards move one after the other.
    CuttingOver,
    /// All shards have moved, and their orders are compared in both stores.
    Verifying,
    /// Everything is where it was to be, and pods that begin there replace the others and empty the queue of the disk that was left.
    Draining,
    /// Everything is where it was to be.
    Completed,
    /// Everything is back where it was.
    Aborted,
}

impl SwitchPhase {
    /// Whether nothing is under way any more.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Preparing
            | Self::Preflight
            | Self::Copying
            | Self::CuttingOver
            | Self::Verifying
            | Self::Draining => false,
            Self::Completed | Self::Aborted => true,
        }
    }

    /// Its name in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "Preparing",
            Self::Preflight => "Preflight",
            Self::Copying => "Copying",
            Self::CuttingOver => "CuttingOver",
            Self::Verifying => "Verifying",
            Self::Draining => "Draining",
            Self::Completed => "Completed",
            Self::Aborted => "Aborted",
        }
    }
}
