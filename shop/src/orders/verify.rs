//! Compares a ledger with what is stored: acknowledged ⊆ stored ⊆ attempted, each once. Pure.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use shop_contract::ledger::{Entry, Operation, Outcome as Answered};

use crate::domain::{Asked, CommandRecord, IdempotencyKey, OrderId, OrderIdSecret, Outcome};

use super::audit::{Fault, FaultKind, Stored, examine, folded, is_of_shop};

/// Most faults that are told one by one; all are counted.
const MAX_TOLD: usize = 100;

/// What `shop verify` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Orders in the store.
    pub orders: u64,
    /// What was acknowledged and is not stored.
    pub lost: u64,
    /// What took effect more than once.
    pub doubled: u64,
    /// What is stored and was never attempted, or was refused.
    pub phantom: u64,
    /// What cannot be read, or contradicts itself.
    pub corrupt: u64,
    /// The first hundred faults.
    pub faults: Vec<Fault>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.phantom + self.corrupt == 0
    }

    fn tell(&mut self, fault: Fault) {
        let count = match fault.kind {
            FaultKind::Lost => &mut self.lost,
            FaultKind::Doubled => &mut self.doubled,
            FaultKind::Phantom => &mut self.phantom,
            FaultKind::Corrupt => &mut self.corrupt,
        };
        *count += 1;
        if self.faults.len() < MAX_TOLD {
            self.faults.push(fault);
        }
    }
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A line is no entry.
    #[error("line {line} of the ledger is no entry: {reason}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// A line names no order and none can be derived.
    #[error("line {line} of the ledger names no order, so nothing can be said about it")]
    NoOrder {
        /// Number of the line, from 1.
        line: usize,
    },
}

/// All attempts with one key.
type Attempts = Vec<Entry>;

/// What was attempted, by order and key.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<OrderId, BTreeMap<String, Attempts>>);

impl Ledger {
    /// Takes in the lines of a ledger. The order of a create follows from its key, also when it was never answered.
    ///
    /// # Errors
    /// When a line is no entry or names no order. A last line without its end, which a killed writer leaves, is left out:
    /// it was written before the request was sent, or its request has an unknown end.
    pub fn add(&mut self, text: &str, secret: &OrderIdSecret) -> Result<(), LedgerError> {
        for (index, whole) in text.split_inclusive('\n').enumerate() {
            let line = index + 1;
            let entry = match serde_json::from_str::<Entry>(whole) {
                Ok(entry) => entry,
                Err(_) if !whole.ends_with('\n') => break,
                Err(reason) => return Err(LedgerError::Line { line, reason }),
            };
            let (order, key) = name(&entry, secret).ok_or(LedgerError::NoOrder { line })?;
            self.0.entry(order).or_default().entry(key).or_default().push(entry);
        }
        Ok(())
    }
}

/// The order and the key that the store has an entry's command under.
fn name(entry: &Entry, secret: &OrderIdSecret) -> Option<(OrderId, String)> {
    if entry.op == Operation::Create {
        let key = IdempotencyKey::for_create(&entry.key).ok()?;
        return Some((OrderId::derive(secret, &key), key.as_str().to_owned()));
    }
    Some((entry.order.as_ref()?.parse().ok()?, entry.key.clone()))
}

/// Takes in what is stored, order by order, and says at the end how it differs from the ledger.
#[derive(Debug)]
pub(super) struct Verification {
    ledger: Option<Ledger>,
    seen: HashMap<OrderId, u16>,
    report: VerifyReport,
}

impl Verification {
    pub(super) fn new(ledger: Option<Ledger>) -> Self {
        Self { ledger, seen: HashMap::new(), report: VerifyReport::default() }
    }

    /// Takes in an order that was found in `shard` and belongs into `home`.
    pub(super) fn take(&mut self, stored: &Stored, shard: u16, home: u16) {
        self.report.orders += u64::from(!stored.is_parked_only());
        let fault = |kind, what| Fault { kind, order: stored.id.to_string(), what };
        if shard != home {
            self.report.tell(fault(FaultKind::Corrupt, format!("it is in shard {shard} and belongs into {home}")));
        }
        if let Some(other) = self.seen.insert(stored.id, shard) {
            self.report.tell(fault(FaultKind::Doubled, format!("it is in the shards {other} and {shard}")));
        }
        for fault in examine(stored) {
            self.report.tell(fault);
        }
        if let Some(ledger) = &mut self.ledger {
            let attempted = ledger.0.remove(&stored.id).unwrap_or_default();
            for (kind, what) in compare(stored, &attempted) {
                self.report.tell(fault(kind, what));
            }
        }
    }

    /// Counts something that cannot even be said to be an order's.
    pub(super) fn take_damage(&mut self, what: String) {
        self.report.tell(Fault { kind: FaultKind::Corrupt, order: String::new(), what });
    }

    /// Everything stored was taken in: what was acknowledged and has not come is lost.
    pub(super) fn end(mut self) -> VerifyReport {
        let mut missing: Vec<_> = self.ledger.unwrap_or_default().0.into_iter().collect();
        missing.sort_unstable_by_key(|(order, _)| order.to_string());
        for (order, attempted) in missing {
            for (kind, what) in compare(&Stored::new(order), &attempted) {
                self.report.tell(Fault { kind, order: order.to_string(), what });
            }
        }
        self.report
    }
}

fn compare(stored: &Stored, attempted: &BTreeMap<String, Attempts>) -> Vec<(FaultKind, String)> {
    let mut faults = Vec::new();
    for (key, attempts) in attempted {
        let record = stored.commands.get(key);
        let applied = record.filter(|record| matches!(record.outcome, Outcome::Applied { .. }));
        let acked = attempts.iter().find(|entry| entry.outcome == Answered::Acked);
        match (acked, applied) {
            (Some(entry), None) if !is_kept(stored, key, record, entry) => {
                faults.push((FaultKind::Lost, format!("{:?} with key {key} was acknowledged", entry.op)));
            }
            (Some(entry), Some(record)) if !is_same(entry, &record.asked) => {
                let what = format!("{:?} with key {key} was acknowledged, and {:?} is stored", entry.op, record.asked);
                faults.push((FaultKind::Lost, what));
            }
            (None, Some(record)) if attempts.iter().all(|entry| entry.outcome == Answered::Refused) => {
                let what = format!("{:?} with key {key} was refused, and is stored as applied", record.asked);
                faults.push((FaultKind::Phantom, what));
            }
            (None, Some(record)) if !attempts.iter().any(|entry| is_same(entry, &record.asked)) => {
                let what = format!("{:?} with key {key} is stored, and something else was attempted", record.asked);
                faults.push((FaultKind::Phantom, what));
            }
            _ => {}
        }
    }
    let unasked = stored.commands.iter().filter(|(key, record)| {
        matches!(record.outcome, Outcome::Applied { .. }) && !attempted.contains_key(*key) && !is_of_shop(key)
    });
    faults.extend(unasked.map(|(key, record)| {
        (FaultKind::Phantom, format!("{:?} with key {key} is stored, and was never attempted", record.asked))
    }));
    faults
}

/// What was accepted into a queue is kept also where it was not applied: as a rejected line, as a command that was refused
/// later, or parked until what it comes after is here.
fn is_kept(stored: &Stored, key: &str, record: Option<&CommandRecord>, entry: &Entry) -> bool {
    let is_rejected = stored.order.iter().flat_map(|order| &order.rejected_items).any(|line| {
        line.key.as_str() == key
            && Some(folded(line.sku.as_str())) == entry.sku.as_deref().map(folded)
            && Some(line.quantity.get()) == entry.quantity
    });
    let was_queued = entry.durability.as_deref() == Some("queue");
    let is_refused = record.is_some_and(|record| is_same(entry, &record.asked));
    let is_parked = stored
        .parked
        .iter()
        .any(|request| request.key.as_str() == key && is_same(entry, &Asked::from(&request.command)));
    is_rejected || was_queued && (is_refused || is_parked)
}

fn is_same(entry: &Entry, asked: &Asked) -> bool {
    let sku = entry.sku.as_deref().map(folded);
    match (asked, entry.op) {
        (Asked::Create, Operation::Create)
        | (Asked::Submit, Operation::Submit)
        | (Asked::Cancel, Operation::Cancel) => true,
        (Asked::AddItem { sku: stored, quantity }, Operation::Add)
        | (Asked::SetQuantity { sku: stored, quantity }, Operation::Set) => {
            Some(folded(stored.as_str())) == sku && Some(quantity.get()) == entry.quantity
        }
        (Asked::RemoveItem { sku: stored }, Operation::Remove) => Some(folded(stored.as_str())) == sku,
        _ => false,
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
pub(super) mod tests;
