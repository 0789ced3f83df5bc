//! What is stored of one order, and whether it is sound in itself. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{Asked, CommandRecord, IdempotencyKey, Order, OrderId, Outcome, Request, Status};

use super::rows::RowError;

/// Everything a shard's database holds of one order.
#[derive(Debug)]
pub(super) struct Stored {
    /// The order's name.
    pub(super) id: OrderId,
    /// The order; `None` when only other rows name it.
    pub(super) order: Option<Order>,
    /// Its commands, by key.
    pub(super) commands: BTreeMap<String, CommandRecord>,
    /// Whether it waits for the shop to confirm it.
    pub(super) in_outbox: bool,
    /// Commands that were accepted and wait for earlier ones.
    pub(super) parked: Vec<Request>,
    /// Rows that cannot be read.
    pub(super) damaged: Vec<(&'static str, RowError)>,
}

impl Stored {
    pub(super) fn new(id: OrderId) -> Self {
        Self { id, order: None, commands: BTreeMap::new(), in_outbox: false, parked: Vec::new(), damaged: Vec::new() }
    }

    /// Whether there are only commands that wait for the order's create.
    pub(super) fn is_parked_only(&self) -> bool {
        let has_nothing_else = self.order.is_none() && self.commands.is_empty() && self.damaged.is_empty();
        has_nothing_else && !self.in_outbox && !self.parked.is_empty()
    }
}

/// In which way the store differs from what it should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Something that was acknowledged, or recorded as applied, is not there.
    Lost,
    /// Something took effect more than once.
    Doubled,
    /// Something is there that nobody asked for, or that was refused.
    Phantom,
    /// What is stored cannot be read, or contradicts itself.
    Corrupt,
}

/// One way in which the store is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Which way.
    pub kind: FaultKind,
    /// The order.
    pub order: String,
    /// What is wrong with it, for people.
    pub what: String,
}

/// Checks that what is stored of an order fits together: every row readable, every applied command one version of the
/// order, and the lines what the commands make of them.
pub(super) fn examine(stored: &Stored) -> Vec<Fault> {
    let fault = |kind, what: String| Fault { kind, order: stored.id.to_string(), what };
    let mut faults: Vec<Fault> = stored
        .damaged
        .iter()
        .map(|(row, error)| fault(FaultKind::Corrupt, format!("its {row} cannot be read: {error}")))
        .collect();
    let Some(order) = &stored.order else {
        if faults.is_empty() && !stored.is_parked_only() {
            faults.push(fault(FaultKind::Lost, "its commands are stored and it is not".to_owned()));
        }
        return faults;
    };
    if !order.adds_up() {
        faults.push(fault(FaultKind::Corrupt, "its total is not the sum of its lines".to_owned()));
    }
    if stored.in_outbox != (order.status == Status::Submitted) {
        let what = if stored.in_outbox { "is" } else { "is not" };
        faults.push(fault(FaultKind::Corrupt, format!("it is {:?} and {what} in the outbox", order.status)));
    }
    let applied = by_version(&stored.commands);
    let expected: Vec<u64> = (1..=order.version).collect();
    let found: Vec<u64> = applied.iter().map(|(version, _)| *version).collect();
    if found != expected {
        let what = format!("it has version {} and its commands made versions {found:?}", order.version);
        faults.push(fault(FaultKind::Corrupt, what));
        return faults;
    }
    faults.extend(compare_lines(order, &replay(&applied)).into_iter().map(|(kind, what)| fault(kind, what)));
    faults
}

fn by_version(commands: &BTreeMap<String, CommandRecord>) -> Vec<(u64, &Asked)> {
    let mut applied: Vec<(u64, &Asked)> = commands
        .values()
        .filter_map(|record| match record.outcome {
            Outcome::Applied { version } => Some((version, &record.asked)),
            Outcome::Refused(_) => None,
        })
        .collect();
    applied.sort_unstable_by_key(|(version, _)| *version);
    applied
}

/// The quantity of each product after the commands, each applied once and in order.
fn replay(applied: &[(u64, &Asked)]) -> HashMap<String, u32> {
    let mut lines = HashMap::new();
    for (_, asked) in applied {
        match asked {
            Asked::AddItem { sku, quantity } => *lines.entry(folded(sku.as_str())).or_insert(0) += quantity.get(),
            Asked::SetQuantity { sku, quantity } => {
                lines.insert(folded(sku.as_str()), quantity.get());
            }
            Asked::RemoveItem { sku } => {
                lines.remove(&folded(sku.as_str()));
            }
            Asked::Create | Asked::Submit | Asked::Cancel | Asked::Confirm => {}
        }
    }
    lines
}

fn compare_lines(order: &Order, expected: &HashMap<String, u32>) -> Vec<(FaultKind, String)> {
    let found: HashMap<String, u32> =
        order.items.iter().map(|line| (folded(line.sku.as_str()), line.quantity.get())).collect();
    let mut products: Vec<&String> = expected.keys().chain(found.keys()).collect();
    products.sort_unstable();
    products.dedup();
    products
        .into_iter()
        .filter_map(|sku| {
            let (found, expected) = (found.get(sku).copied().unwrap_or(0), expected.get(sku).copied().unwrap_or(0));
            let kind = match found.cmp(&expected) {
                std::cmp::Ordering::Less => FaultKind::Lost,
                std::cmp::Ordering::Equal => return None,
                std::cmp::Ordering::Greater => FaultKind::Doubled,
            };
            Some((kind, format!("it holds {found} pieces of {sku} and its commands make {expected}")))
        })
        .collect()
}

/// A SKU in the one spelling that tells two apart.
pub(super) fn folded(sku: &str) -> String {
    sku.to_ascii_uppercase()
}

/// The key of a stored command as a ledger spells it.
pub(super) fn is_of_shop(key: &str) -> bool {
    IdempotencyKey::try_from(key.to_owned()).is_ok_and(|key| key.is_of_shop())
}
