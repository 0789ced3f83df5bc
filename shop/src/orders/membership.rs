//! Which workers live, and how long this one may answer. Pure: what was observed and when is passed in.
//!
//! Times are times since boot. A worker's validity ends a ttl after the **start** of its newest heartbeat, and another
//! worker waits a ttl after it **first saw** that heartbeat, which was later: so a shard never has two who may answer.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use storage_adapters::Version;

use super::blobs::Record;

/// How long no worker must have come or gone before the load is evened: longer than from a new pod's first heartbeat to the
/// end of the pod that it replaces.
const SETTLING: Duration = Duration::from_secs(5);

/// Random name of one process life.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct BootId(String);

impl BootId {
    /// The name that these random bits make.
    pub(super) fn new(random: uuid::Uuid) -> Self {
        Self(random.simple().to_string())
    }

    /// A name that was written before; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && uuid::Uuid::try_parse(text).is_ok()).then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How long a heartbeat lasts, and how often one is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Validity that one heartbeat gives.
    pub(super) ttl: Duration,
    /// Time from the start of one heartbeat to the start of the next.
    pub(super) every: Duration,
}

impl Pace {
    /// With commands to answer: a dead worker is found out quickly.
    pub(super) const BUSY: Self = Self { ttl: Duration::from_secs(6), every: Duration::from_secs(2) };
    /// Without: half the requests, for cost.
    pub(super) const IDLE: Self = Self { ttl: Duration::from_secs(8), every: Duration::from_secs(4) };
    /// How long a worker must have had no command to be idle.
    pub(super) const IDLE_AFTER: Duration = Duration::from_mins(1);
}

/// What a worker says of itself, in a blob of its own that it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heartbeat {
    /// Who.
    pub(super) boot_id: BootId,
    /// `host:port` of its internal API.
    pub(super) address: String,
    /// How long it lasts.
    pub(super) ttl_millis: u64,
    /// The newest clock of its databases, milliseconds since 1970.
    pub(super) clock_millis: i64,
    /// Counts up, so that each is a new state of the blob.
    pub(super) beat: u64,
    /// Whether it is on its way out and takes no shard.
    pub(super) leaving: bool,
}

impl Record for Heartbeat {
    const FORMAT: u32 = 1;
}

impl Heartbeat {
    pub(super) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_millis)
    }
}

/// How long a worker may answer. Once it has ended nothing brings it back: the worker begins a new term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Validity {
    until: Option<Duration>,
}

impl Validity {
    /// A heartbeat is about to be sent at `start`. One that lasts shorter than what is left cuts the validity now, since
    /// others may see it, and count from it, before its reply is here.
    pub(super) fn starting(&mut self, start: Duration, ttl: Duration) {
        if let Some(until) = &mut self.until {
            *until = (*until).min(start + ttl);
        }
    }

    /// The reply of a heartbeat that was started at `start` came at `now`.
    pub(super) fn confirmed(&mut self, start: Duration, ttl: Duration, now: Duration) {
        let before = self.until.unwrap_or(start + ttl);
        if now < before {
            self.until = Some(start + ttl);
        }
    }

    /// Whether the worker may answer at `now`.
    pub(super) fn holds(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Whether it has begun and ended.
    pub(super) fn has_lapsed(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// A worker as others see it.
#[derive(Clone, Debug)]
struct Sighting {
    heartbeat: Heartbeat,
    version: Version,
    first_seen: Duration,
    dead: bool,
}

/// All workers as this one sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    seen: BTreeMap<BootId, Sighting>,
    /// Holders of leases without any heartbeat, since when, and whether that was long enough.
    missing: BTreeMap<BootId, (Duration, bool)>,
    /// Since when the workers that may be given shards are the same.
    same_since: Duration,
}

impl Members {
    /// Whether the heartbeat of `worker` in state `version` is known already, so that it need not be read.
    pub(super) fn knows(&self, worker: &BootId, version: &Version) -> bool {
        self.seen.get(worker).is_some_and(|sighting| sighting.version == *version)
    }

    /// The workers that left a heartbeat when they were last looked at.
    pub(super) fn known(&self) -> impl Iterator<Item = &BootId> {
        self.seen.keys()
    }

    /// Takes in one look at all heartbeats, begun at `begun` and ended at `ended`: the states that were there, with the
    /// heartbeat of each that is new, and the boot ids that leases name.
    pub(super) fn observe(
        &mut self,
        begun: Duration,
        ended: Duration,
        found: BTreeMap<BootId, (Version, Option<Heartbeat>)>,
        holders: &[BootId],
    ) {
        let before: Vec<BootId> = self.takers().map(|(worker, _)| worker.clone()).collect();
        self.seen.retain(|worker, _| found.contains_key(worker));
        for (worker, (version, heartbeat)) in found {
            match (self.seen.get_mut(&worker), heartbeat) {
                (Some(sighting), _) if sighting.version == version => {
                    sighting.dead = begun >= sighting.first_seen + sighting.heartbeat.ttl();
                }
                (_, Some(heartbeat)) => {
                    let sighting = Sighting { heartbeat, version, first_seen: ended, dead: false };
                    self.seen.insert(worker, sighting);
                }
                // It changed between the listing and the read; the next look has it.
                (Some(sighting), None) => sighting.dead = false,
                (None, None) => {}
            }
        }
        self.missing.retain(|worker, _| holders.contains(worker) && !self.seen.contains_key(worker));
        for holder in holders.iter().filter(|holder| !self.seen.contains_key(*holder)) {
            let (since, dead) = self.missing.entry(holder.clone()).or_insert((ended, false));
            *dead = begun >= *since + Pace::IDLE.ttl;
        }
        if !self.takers().map(|(worker, _)| worker).eq(&before) {
            self.same_since = ended;
        }
    }

    /// Whether no worker has come or gone for a while.
    pub(super) fn are_settled(&self, now: Duration) -> bool {
        now >= self.same_since + SETTLING
    }

    /// Whether a worker has been seen to be dead.
    pub(super) fn is_dead(&self, worker: &BootId) -> bool {
        self.seen.get(worker).is_some_and(|sighting| sighting.dead)
            || self.missing.get(worker).is_some_and(|(_, dead)| *dead)
    }

    /// The workers that may be given shards, with their addresses.
    pub(super) fn takers(&self) -> impl Iterator<Item = (&BootId, &str)> {
        self.seen
            .iter()
            .filter(|(_, sighting)| !sighting.dead && !sighting.heartbeat.leaving)
            .map(|(worker, sighting)| (worker, sighting.heartbeat.address.as_str()))
    }

    /// The latest that the databases of a worker may have shown, milliseconds since 1970; `None` without a heartbeat.
    pub(super) fn clock_floor(&self, worker: &BootId) -> Option<i64> {
        let heartbeat = &self.seen.get(worker)?.heartbeat;
        Some(heartbeat.clock_millis.saturating_add(i64::try_from(heartbeat.ttl_millis).unwrap_or(i64::MAX)))
    }

    /// Workers that have been dead for `long`, whose heartbeats are litter.
    pub(super) fn long_dead(&self, now: Duration, long: Duration) -> impl Iterator<Item = &BootId> {
        self.seen
            .iter()
            .filter(move |(_, sighting)| sighting.dead && now >= sighting.first_seen + sighting.heartbeat.ttl() + long)
            .map(|(worker, _)| worker)
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
