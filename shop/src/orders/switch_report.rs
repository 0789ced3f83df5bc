//! What moving a shop's data to another store did, as it stands there: parts for each shard, and the report that seals them.
//! Does I/O.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shop_contract::switch::{Switch, SwitchSummary, Verification};
use storage_adapters::{BlobStore, Error, ErrorKind, PutMode, config::Provider};
use tokio::time::{Instant, sleep};

use crate::hex;

use super::{
    blobs::{self, Record, RecordError},
    copying::WholeCopy,
    spent::Spent,
    verifying::{VerifiedShard, WITHOUT_PROGRESS, verified},
    worker::Worker,
};

/// Where reports are, each in a folder named for the number of its switch.
pub(super) const SWITCHES: &str = "switches/";

/// How long the parts of all shards are waited for once all shards are there. A worker that dies or cannot write before it
/// wrote one leaves none, and a shard that did not move in this switch has none.
const PARTS_WITHIN: Duration = Duration::from_secs(10);

/// Most orders that a report names, which has to fit into a record.
const MOST_NAMED: usize = 50;

/// How often they are looked for meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What moving one shard did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MovedShard {
    /// The store that it left.
    pub(super) from: Provider,
    /// The copy that is its database now.
    pub(super) generation: u64,
    /// Epoch of the lease that was left as a tombstone.
    pub(super) tombstone: u64,
    /// When it was.
    pub(super) at: Timestamp,
    /// For how long it was not answered for, in milliseconds; at least so long when it is not served.
    pub(super) held_millis: u64,
    /// Whether the worker that moved it served it when this was written.
    pub(super) is_served: bool,
    /// What was copied.
    pub(super) copy: WholeCopy,
    /// What that took; nothing of a version that did not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) spent: Option<Spent>,
}

impl Record for MovedShard {
    const FORMAT: u32 = 1;
}

/// What a whole switch did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SwitchReport {
    /// Which switch of the shop it was.
    number: u64,
    /// Where everything is since.
    to: Provider,
    /// By shard; those that did not move, or whose worker could not say so any more, are not in it.
    shards: BTreeMap<u16, MovedShard>,
    /// What comparing the orders in both stores showed, by shard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    verified: BTreeMap<u16, VerifiedShard>,
    /// Hexadecimal SHA-256 over the JSON of `shards`, and then that of `verified` where it is there, as they stand here.
    sha256: String,
}

impl Record for SwitchReport {
    const FORMAT: u32 = 2;

    /// Versions that do not compare would take one that does for damaged.
    fn format(&self) -> u32 {
        if self.verified.is_empty() { 1 } else { Self::FORMAT }
    }
}

impl SwitchReport {
    fn seal(
        switch: Switch,
        shards: BTreeMap<u16, MovedShard>,
        mut verified: BTreeMap<u16, VerifiedShard>,
    ) -> Result<Self, RecordError> {
        let mut left = MOST_NAMED;
        for shard in verified.values_mut() {
            shard.compared.named.truncate(left);
            left -= shard.compared.named.len();
        }
        let sha256 = digest(&shards, &verified)?;
        Ok(Self { number: switch.number, to: switch.to, shards, verified, sha256 })
    }

    /// Whether it is as it was sealed.
    fn is_whole(&self) -> Result<bool, RecordError> {
        Ok(digest(&self.shards, &self.verified)? == self.sha256)
    }

    /// What all of it took.
    fn spent(&self) -> Option<Spent> {
        let copying: Option<Spent> = self.shards.values().map(|shard| shard.spent).sum();
        Some(copying? + self.verified.values().map(|shard| shard.spent).sum())
    }

    fn verification(&self) -> Verification {
        let compared = || self.verified.values().map(|shard| &shard.compared);
        Verification {
            orders: compared().map(|compared| compared.orders).sum(),
            mismatches: compared().map(|compared| compared.mismatches).sum(),
            is_whole: self.verified.values().all(|shard| shard.failure.is_none()),
        }
    }

    fn summary(&self) -> SwitchSummary {
        let copies = || self.shards.values().map(|shard| &shard.copy);
        SwitchSummary {
            number: self.number,
            report_key: report_name(self.number),
            files: copies().map(|copy| copy.files).sum(),
            bytes: copies().map(|copy| copy.bytes).sum(),
            longest_hold_millis: self.shards.values().map(|shard| shard.held_millis).max(),
            nanodollars: self.spent().map(|spent| spent.nanodollars),
            verification: (!self.verified.is_empty()).then(|| self.verification()),
        }
    }
}

fn digest(shards: &BTreeMap<u16, MovedShard>, verified: &BTreeMap<u16, VerifiedShard>) -> Result<String, RecordError> {
    let failed = |error| Error::new(ErrorKind::Internal, "encode", "the report of a switch").with_source(error);
    let mut digest = Sha256::new_with_prefix(serde_json::to_vec(shards).map_err(failed)?);
    if !verified.is_empty() {
        digest.update(serde_json::to_vec(verified).map_err(failed)?);
    }
    Ok(hex::encode(&digest.finalize()))
}

fn part_name(number: u64, shard: u16) -> String {
    format!("{SWITCHES}{number}/shard-{shard}")
}

fn report_name(number: u64) -> String {
    format!("{SWITCHES}{number}/report")
}

/// Keeps what moving a shard did, in the store that it moved to.
pub(super) async fn keep_part(
    blobs: &dyn BlobStore,
    number: u64,
    shard: u16,
    moved: &MovedShard,
) -> Result<(), RecordError> {
    let key = blobs::key(&part_name(number, shard))?;
    // A switch moves a shard once, so what was there comes from an earlier try of this very write.
    blobs::write(blobs, &key, moved, PutMode::Overwrite).await.map(drop)
}

/// The newest record of this switch that counts, by the number of the wish that it was written under: a switch may have been told
/// something else since.
pub(super) async fn newest<R: Record>(
    blobs: &dyn BlobStore,
    switch: Switch,
    name: impl Fn(u64) -> String,
    counts: impl Fn(u64, &R) -> bool,
) -> Result<Option<R>, RecordError> {
    for number in (switch.id()..=switch.number).rev() {
        let found = blobs::read::<R>(blobs, &blobs::key(&name(number))?).await?;
        if let Some((record, _)) = found.filter(|(record, _)| counts(number, record)) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// What moving a shard did when it last moved in this switch, once it is written.
pub(super) async fn part(blobs: &dyn BlobStore, switch: Switch, shard: u16) -> Result<Option<MovedShard>, RecordError> {
    newest(blobs, switch, |number| part_name(number, shard), |_, _| true).await
}

/// The same, waited for until the deadline.
async fn part_by(
    blobs: &dyn BlobStore,
    switch: Switch,
    shard: u16,
    deadline: Instant,
) -> Result<Option<MovedShard>, RecordError> {
    loop {
        let found = part(blobs, switch, shard).await?;
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The report of the switch that this worker knows of, once there is one.
#[derive(Debug, Default)]
pub(super) struct Reported {
    newest: Mutex<Option<SwitchSummary>>,
}

impl Reported {
    /// What the newest report that was found says.
    pub(super) fn newest(&self) -> Option<SwitchSummary> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn found(&self, summary: SwitchSummary) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary);
    }
}

impl Worker {
    /// Writes the report of the newest switch into the store where everything is to be, once all shards are answered for there and
    /// their orders were compared, or finds the one that another worker wrote. To be called again and again.
    ///
    /// # Errors
    /// When a store cannot be read or written, or holds a report that is not as it was sealed.
    pub(crate) async fn report_switch(&self) -> Result<(), RecordError> {
        let Some(switch) = self.ready_for() else { return Ok(()) };
        let (Some(to), reported) = (self.home_of(switch.to), self.reported.newest()) else { return Ok(()) };
        if reported.is_some_and(|summary| summary.number == switch.number) {
            return Ok(());
        }
        let leases = self.service.leases();
        if leases.shards.is_empty()
            || !leases.shards.values().all(|lease| lease.home == switch.to && lease.holder.is_some())
        {
            return Ok(());
        }
        let (blobs, key) = (Arc::clone(&to.blobs), blobs::key(&report_name(switch.number))?);
        if let Some((report, _)) = blobs::read::<SwitchReport>(&*blobs, &key).await? {
            if !report.is_whole()? {
                return Err(RecordError::Damaged {
                    key,
                    reason: "its parts are not those that were sealed".to_owned(),
                });
            }
            self.reported.found(report.summary());
            return Ok(());
        }
        // The future is large.
        Box::pin(self.verify_shards(switch, &to, WITHOUT_PROGRESS)).await?;
        let mut compared = BTreeMap::new();
        for (&shard, lease) in &leases.shards {
            let Some(verified) = verified(&*blobs, switch, shard, lease.generation).await? else {
                // Another worker is about it.
                return Ok(());
            };
            compared.insert(shard, verified);
        }
        let deadline = Instant::now() + PARTS_WITHIN;
        let mut shards = BTreeMap::new();
        for &shard in leases.shards.keys() {
            if let Some(moved) = part_by(&*blobs, switch, shard, deadline).await? {
                shards.insert(shard, moved);
            }
        }
        if self.ready_for() != Some(switch) || self.service.leases().shards != leases.shards {
            // Something moved meanwhile, so a part may have come that was not looked for any more.
            return Ok(());
        }
        let report = SwitchReport::seal(switch, shards, compared)?;
        match blobs::write(&*blobs, &key, &report, PutMode::IfAbsent).await {
            Ok(_) => {
                let summary = report.summary();
                let SwitchSummary { files, bytes, longest_hold_millis, .. } = summary;
                tracing::info!(report = key.as_str(), files, bytes, longest_hold_millis, "a switch is reported");
                self.reported.found(summary);
                Ok(())
            }
            // Another worker's, or this one's without an answer; it is read the next time.
            Err(error) if matches!(error.kind(), Some(ErrorKind::Conflict | ErrorKind::Unknown)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use shop_contract::switch::Verify;

    use super::*;
    use crate::orders::comparing::Compared;

    fn moved(files: u64, held_millis: u64) -> MovedShard {
        let copy = WholeCopy { files, bytes: 10 * files, log_end: 7, sha256: "03".into() };
        let (from, at) = (Provider::Aws, Timestamp::UNIX_EPOCH);
        let spent = Some(Spent { requests: 2 * files, bytes_read: 10 * files, nanodollars: 700 * files });
        MovedShard { from, generation: 2, tombstone: 5, at, held_millis, is_served: true, copy, spent }
    }

    fn verified(orders: u64, mismatches: u64) -> VerifiedShard {
        let compared = Compared { orders, mismatches, named: Vec::new() };
        let spent = Spent { requests: 2, bytes_read: 100, nanodollars: 40 };
        VerifiedShard { generation: 2, verify: Verify::Full, compared, failure: None, spent }
    }

    #[test]
    fn a_report_sums_up_its_parts_and_shows_when_one_was_changed() {
        let switch = Switch::new(4, Provider::Azure);
        let parts = BTreeMap::from([(0, moved(3, 120)), (1, moved(2, 310)), (3, moved(1, 90))]);
        let compared = BTreeMap::from([(0, verified(7, 0)), (1, verified(5, 2))]);
        let mut report = SwitchReport::seal(switch, parts, compared).expect("JSON");
        assert_eq!(
            report.summary(),
            SwitchSummary {
                number: 4,
                report_key: "switches/4/report".into(),
                files: 6,
                bytes: 60,
                longest_hold_millis: Some(310),
                nanodollars: Some(6 * 700 + 2 * 40),
                verification: Some(Verification { orders: 12, mismatches: 2, is_whole: true }),
            }
        );
        let json = serde_json::to_string(&report).expect("JSON");
        report = serde_json::from_str(&json).expect("JSON");
        assert!(report.is_whole().expect("JSON"));
        let mut changed = report.clone();
        changed.shards.insert(1, moved(2, 31));
        assert!(!changed.is_whole().expect("JSON"));
        report.verified.insert(1, verified(5, 0));
        assert!(!report.is_whole().expect("JSON"));
    }
}
