//! Compares the orders of the shards that moved to another store with those in the store that they left, and writes down what that
//! showed, for the report of the switch. Does I/O.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use shop_contract::switch::{Switch, Verify};
use storage_adapters::{BlobStore, Error, PutMode, config::Provider};
use tokio::time::{Instant, sleep};

use crate::errors::with_causes;

use super::{
    blobs::{self, Record, RecordError},
    comparing::{Compared, Comparison},
    copying::Place,
    home::Home,
    lease::Lease,
    opening,
    reader::{Part, ReadError},
    registry::{Registry, RegistryError},
    spent::Spent,
    switch_report::{SWITCHES, newest, part},
    worker::Worker,
};

/// How long comparing a shard is tried without getting on: a store that was left may be out of reach, which is why it was left.
pub(super) const WITHOUT_PROGRESS: Duration = Duration::from_mins(1);

/// Most characters that are kept of why it was given up.
const MOST_TOLD: usize = 200;

/// How soon it is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What comparing a shard's orders showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VerifiedShard {
    /// The copy that was compared.
    pub(super) generation: u64,
    /// Which orders were to be.
    pub(super) verify: Verify,
    /// What that showed; of a shard that did not move there is nothing to compare.
    pub(super) compared: Compared,
    /// Why not all were that were to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    /// What that took.
    pub(super) spent: Spent,
}

impl Record for VerifiedShard {
    const FORMAT: u32 = 1;
}

/// Why a shard could not be compared.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Store(#[from] Error),
    #[error("the store of {0} is not open")]
    NotOpen(Provider),
    #[error("the store that was left was written to afterwards, by a request that was on its way for long")]
    WrittenTo,
}

/// How long something is tried again that does not get on.
struct Patience {
    without_progress: Duration,
    /// When it first failed since it last got on.
    failing_since: Option<Instant>,
}

impl Patience {
    fn got_on(&mut self) {
        self.failing_since = None;
    }

    /// It failed; whether it is to be tried again.
    fn has_failed(&mut self) -> bool {
        let now = Instant::now();
        now < *self.failing_since.get_or_insert(now) + self.without_progress
    }
}

fn name(number: u64, shard: u16) -> String {
    format!("{SWITCHES}{number}/verified-{shard}")
}

/// What comparing a shard in this generation showed, once that is written.
pub(super) async fn verified(
    blobs: &dyn BlobStore,
    switch: Switch,
    shard: u16,
    generation: u64,
) -> Result<Option<VerifiedShard>, RecordError> {
    let says_enough = |number: u64, verified: &VerifiedShard| {
        let is_newest = number == switch.number;
        verified.generation == generation
            && verified.verify <= switch.verify
            && (is_newest || verified.failure.is_none())
    };
    newest(blobs, switch, |number| name(number, shard), says_enough).await
}

impl Worker {
    /// Compares the shards that this worker serves where a switch has them, those that were not yet; ends early when something
    /// else is wished. What does not get on for so long is given up.
    pub(super) async fn verify_shards(
        &self,
        switch: Switch,
        to: &Home,
        without_progress: Duration,
    ) -> Result<(), RecordError> {
        let mut patience = Patience { without_progress, failing_since: None };
        for shard in self.service.shards() {
            let lease = self.service.lease(shard.number).filter(|lease| lease.home == switch.to);
            let Some(lease) = lease else { continue };
            if verified(&*to.blobs, switch, shard.number, lease.generation).await?.is_some() {
                continue;
            }
            let Some(verified) = self.verify_shard(switch, to, shard.number, &lease, &mut patience).await else {
                return Ok(());
            };
            let Compared { orders, mismatches, .. } = verified.compared;
            let failure = verified.failure.as_deref();
            tracing::info!(shard = shard.number, orders, mismatches, failure, "a shard was compared in both stores");
            for order in &verified.compared.named {
                tracing::error!(shard = shard.number, order, "an order has lost something in the move; report it");
            }
            let key = blobs::key(&name(switch.number, shard.number))?;
            blobs::write(&*to.blobs, &key, &verified, PutMode::Overwrite).await?;
        }
        Ok(())
    }

    /// Compares a shard; none when something else is wished by now.
    async fn verify_shard(
        &self,
        switch: Switch,
        to: &Home,
        shard: u16,
        lease: &Lease,
        patience: &mut Patience,
    ) -> Option<VerifiedShard> {
        let Switch { verify, .. } = switch;
        let most = match verify {
            Verify::Full => Part::all().count(),
            Verify::Sample => 1,
        };
        let mut parts = Part::all().take(most).peekable();
        let mut compared = Compared::default();
        loop {
            let mut get_on = async || -> Result<Option<()>, VerifyError> {
                let Some(left) = self.left_behind(switch, to, shard, lease).await? else { return Ok(Some(())) };
                let now = Place { blobs: Arc::clone(&to.moving.blobs), path: opening::path(shard, lease.generation) };
                let comparison = Comparison::open(&left.place, &now, &self.capacity).await?;
                while let Some(part) = parts.peek() {
                    if self.ready_for() != Some(switch) || self.is_leaving() {
                        return Ok(None);
                    }
                    let _turn = self.whole_reads.lock().await;
                    // Nor are tables deleted meanwhile that are read here.
                    let serving = self.service.serving(shard);
                    let _at_rest = match &serving {
                        Some(shard) => Some(shard.rest().await),
                        None => None,
                    };
                    compared.add(comparison.compare(*part).await?);
                    parts.next();
                    patience.got_on();
                }
                if compared.mismatches > 0 && left.was_written_to().await? {
                    return Err(VerifyError::WrittenTo);
                }
                Ok(Some(()))
            };
            let failure = match get_on().await {
                Ok(None) => return None,
                Ok(Some(())) => None,
                Err(error @ VerifyError::WrittenTo) => {
                    compared = Compared { orders: compared.orders, ..Compared::default() };
                    Some(error.to_string())
                }
                Err(error) if patience.has_failed() => {
                    let error = with_causes(&error);
                    tracing::warn!(shard, error, "a shard was not compared in both stores; trying again");
                    sleep(AGAIN).await;
                    continue;
                }
                Err(error) => Some(with_causes(&error).chars().take(MOST_TOLD).collect()),
            };
            let spent = self.homes().iter().map(|home| home.moving.spent()).sum();
            return Some(VerifiedShard { generation: lease.generation, verify, compared, failure, spent });
        }
    }

    /// The database that a shard was copied from when it moved in this switch; none when it did not.
    async fn left_behind(
        &self,
        switch: Switch,
        to: &Home,
        shard: u16,
        lease: &Lease,
    ) -> Result<Option<LeftBehind>, VerifyError> {
        let moved = part(&*to.blobs, switch, shard).await?.filter(|moved| moved.generation == lease.generation);
        let from = match (&moved, switch.about) {
            (Some(moved), _) => moved.from,
            // Whoever moved it could not write that down. Of one that is back nothing tells whether it ever was away.
            (None, Some(about)) if about.to == switch.to => about.from,
            (None, _) => return Ok(None),
        };
        let blobs = self.blobs_of(from).ok_or(VerifyError::NotOpen(from))?;
        if moved.is_none() {
            let leases = Registry::new(Arc::clone(&blobs))?.leases().await?.0;
            let left = leases.shards.get(&shard);
            if left.is_none_or(|left| (left.home, left.generation) != (to.provider, lease.generation)) {
                return Ok(None);
            }
        }
        let place = Place { blobs, path: opening::path(shard, lease.generation - 1) };
        Ok(Some(LeftBehind { place, log_end: moved.map(|moved| moved.copy.log_end) }))
    }

    /// The blobs of this provider's store, if it is open, as moving shards uses them.
    fn blobs_of(&self, provider: Provider) -> Option<Arc<dyn BlobStore>> {
        if let Some(home) = self.home_of(provider) {
            return Some(Arc::clone(&home.moving.blobs));
        }
        let mut others = self.settings.others.iter().filter_map(|other| other.blobs());
        others.find(|(other, _)| *other == provider).map(|(_, blobs)| blobs)
    }
}

/// A database that was copied and left.
struct LeftBehind {
    place: Place,
    /// The last file of its log that was copied, if that was written down.
    log_end: Option<u64>,
}

impl LeftBehind {
    /// Whether something came into its log after it was copied: what nobody was told about, since it was left by then.
    async fn was_written_to(&self) -> Result<bool, Error> {
        let Some(log_end) = self.log_end else { return Ok(false) };
        Ok(self.place.log_end().await? > log_end)
    }
}
