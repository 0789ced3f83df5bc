//! Compares the orders of the shards that moved to another store with those in the store that they left, and writes down what that
//! showed, for the report of the switch. Does I/O.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use shop_contract::switch::{Switch, Verify};
use storage_adapters::{BlobStore, PutMode};
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
    registry::RegistryError,
    spent::Spent,
    switch_report::SWITCHES,
    worker::Worker,
};

/// How long comparing a shard is tried without getting on: a store that was left may be out of reach, which is why it was left.
pub(super) const WITHOUT_PROGRESS: Duration = Duration::from_mins(1);

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
}

/// Until when something is tried that does not get on.
struct Patience {
    without_progress: Duration,
    until: Instant,
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
    // It may have been compared before the switch was told something else.
    for number in (switch.id()..=switch.number).rev() {
        let found = blobs::read::<VerifiedShard>(blobs, &blobs::key(&name(number, shard))?).await?;
        if let Some((verified, _)) = found.filter(|(verified, _)| verified.generation == generation) {
            return Ok(Some(verified));
        }
    }
    Ok(None)
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
        let mut patience = Patience { without_progress, until: Instant::now() + without_progress };
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
        let parts = match verify {
            Verify::Full => Part::all().count(),
            Verify::Sample => 1,
        };
        let mut left = Part::all().take(parts).peekable();
        let mut compared = Compared::default();
        loop {
            let mut get_on = async || -> Result<Option<()>, VerifyError> {
                let Some(before) = self.left_behind(to, shard, lease).await? else { return Ok(Some(())) };
                let now = Place { blobs: Arc::clone(&to.moving.blobs), path: opening::path(shard, lease.generation) };
                let comparison = Comparison::open(&before, &now, &self.capacity).await?;
                while let Some(part) = left.peek() {
                    if self.ready_for() != Some(switch) || self.is_leaving() {
                        return Ok(None);
                    }
                    compared.add(comparison.compare(*part).await?);
                    left.next();
                    patience.until = Instant::now() + patience.without_progress;
                }
                comparison.close().await?;
                Ok(Some(()))
            };
            let failure = match get_on().await {
                Ok(None) => return None,
                Ok(Some(())) => None,
                Err(error) if Instant::now() < patience.until => {
                    let error = with_causes(&error);
                    tracing::warn!(shard, error, "a shard was not compared in both stores; trying again");
                    sleep(AGAIN).await;
                    continue;
                }
                Err(error) => Some(with_causes(&error)),
            };
            let spent = self.homes().iter().map(|home| home.moving.spent()).sum();
            return Some(VerifiedShard { generation: lease.generation, verify, compared, failure, spent });
        }
    }

    /// The database that a shard was copied from last; none when it did not move to where it is.
    async fn left_behind(&self, to: &Home, shard: u16, lease: &Lease) -> Result<Option<Place>, RegistryError> {
        for home in self.homes() {
            if home.provider == to.provider {
                continue;
            }
            let (leases, _) = home.registry.leases().await?;
            let left = leases.shards.get(&shard);
            if left.is_some_and(|left| left.home == to.provider && left.generation == lease.generation) {
                let path = opening::path(shard, lease.generation - 1);
                return Ok(Some(Place { blobs: Arc::clone(&home.moving.blobs), path }));
            }
        }
        Ok(None)
    }
}
