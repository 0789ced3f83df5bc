//! What a pod answers to `GET /internal/v1/status`, and what `/readyz` waits for. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storage_adapters::config::Provider;

use crate::switch::{CopyStatus, Switch, SwitchSummary};

/// Path of the status on the internal port; needs the shop's token.
pub const STATUS_PATH: &str = "/internal/v1/status";

/// How a pod fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Random name of this process life.
    pub boot_id: String,
    /// Version of the shop binary.
    pub version: String,
    /// UID in the store's owner marker, once it was read or written.
    pub store_owner: Option<String>,
    /// What the pod waits for before it is ready; empty when it is.
    pub waiting: Vec<Waiting>,
    /// The order shards that this pod owns now.
    pub shards: Vec<OwnedShard>,
    /// The queue, when the pod reads it.
    pub queue: Option<QueueStatus>,
    /// What the pod was told to use and serves without: what, why and what follows, for people.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// The newest wish where the shop's data is to live; none as long as that was never changed.
    #[serde(default)]
    pub switch: Option<Switch>,
    /// Number of the newest wish of which everything but the order shards is where it is to be.
    #[serde(default)]
    pub settled: Option<u64>,
    /// What the report of the newest switch that is over says.
    #[serde(default)]
    pub moved: Option<SwitchSummary>,
    /// How far this worker is with copying shards for the newest switch.
    #[serde(default)]
    pub copying: Option<CopyStatus>,
}

/// One thing that keeps a pod from being ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which kind of thing.
    pub reason: WaitingReason,
    /// What happened, to what, and what to do, for people.
    pub message: String,
}

/// Kinds of things that keep a pod from being ready; each is a condition reason of the Shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WaitingReason {
    /// It has only begun.
    Starting,
    /// The store was emptied or exchanged under the shop: its owner marker is gone.
    StoreEmpty,
    /// The store holds the data of another shop, or of an earlier one of this name.
    StoreBelongsToAnother,
    /// A record in the store was written by a newer version.
    StoreFormatNewer,
    /// The store is out of reach or does not honour its contract.
    StoreUnavailable,
    /// There is no catalogue yet.
    CatalogueMissing,
    /// Not every order shard has an owner.
    ShardsUnowned,
    /// It is on its way out.
    ShuttingDown,
}

/// An order shard that a pod owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedShard {
    /// Number of the shard.
    pub shard: u16,
    /// Epoch of the lease it is owned by.
    pub epoch: u64,
    /// In whose store it lives; unknown of pods that knew one store only.
    #[serde(default)]
    pub home: Option<Provider>,
}

/// The queue as one worker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Messages in it, approximately, and in those of other stores.
    pub depth: u64,
    /// Those of them that are in other stores, of each that could be asked.
    #[serde(default)]
    pub elsewhere: BTreeMap<Provider, u64>,
    /// Dead letters in the store.
    pub dead_letters: u64,
    /// Milliseconds since it was begun to count all that.
    #[serde(default)]
    pub age_millis: u64,
}
