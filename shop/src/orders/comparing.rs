//! Compares a shard's database with the one that it was copied from, order by order, as both are stored. Does I/O.
//!
//! The one that was left is as it was then; the other is in use. What was in the first has to be in the second, and what changed
//! since has to come from commands that are there as well.

use std::{cmp::Ordering, sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use crate::domain::Order;

use super::{
    audit::{Stored, examine},
    capacity::Capacity,
    copying::Place,
    reader::{Found, Orders, Part, ReadError, ShardReader},
};

/// Most orders that are named.
const MOST_NAMED: usize = 10;

/// Orders that are compared without a pause. The pause is as long as they took: those who buy use the same processor.
const WITHOUT_PAUSE: u64 = 64;

/// What comparing showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Compared {
    /// Orders that were there before.
    pub(super) orders: u64,
    /// Those of them that are not there now, or have lost something.
    pub(super) mismatches: u64,
    /// The first of them, and what is wrong.
    pub(super) named: Vec<String>,
}

impl Compared {
    /// What comparing another part showed as well.
    pub(super) fn add(&mut self, other: Self) {
        self.orders += other.orders;
        self.mismatches += other.mismatches;
        self.named.extend(other.named);
        self.named.truncate(MOST_NAMED);
    }

    fn take(&mut self, before: &Stored, now: Option<&Stored>) {
        self.orders += 1;
        let Some(what) = difference(before, now) else { return };
        self.mismatches += 1;
        if self.named.len() < MOST_NAMED {
            self.named.push(format!("the order {} {what}", before.id));
        }
    }
}

/// A database and the one that it was copied from.
pub(super) struct Comparison {
    before: ShardReader,
    now: ShardReader,
    capacity: Arc<Capacity>,
}

impl Comparison {
    /// Opens both. They are read more slowly while the worker is late.
    pub(super) async fn open(before: &Place, now: &Place, capacity: &Arc<Capacity>) -> Result<Self, ReadError> {
        let open = |place: &Place| {
            let (store, path) = (place.bridge().giving_way(Arc::clone(capacity)), place.path.clone());
            async move { ShardReader::open(Arc::new(store), &path).await }
        };
        let (before, now) = (open(before).await?, open(now).await?);
        Ok(Self { before, now, capacity: Arc::clone(capacity) })
    }

    /// Compares a part of the orders.
    pub(super) async fn compare(&self, part: Part) -> Result<Compared, ReadError> {
        let (mut before, mut now) = (self.before.part(part).await?, self.now.part(part).await?);
        let mut compared = Compared::default();
        let (mut there, mut began) = (next(&mut now).await?, Instant::now());
        while let Some(stored) = next(&mut before).await? {
            while there.as_ref().is_some_and(|there| order(there, &stored) == Ordering::Less) {
                there = next(&mut now).await?;
            }
            compared.take(&stored, there.as_deref().filter(|there| there.id == stored.id));
            if compared.orders.is_multiple_of(WITHOUT_PAUSE) {
                tokio::time::sleep(began.elapsed()).await;
                self.capacity.give_way().await;
                began = Instant::now();
            }
        }
        Ok(compared)
    }
}

fn order(one: &Stored, other: &Stored) -> Ordering {
    one.id.as_bytes().cmp(other.id.as_bytes())
}

/// The next order. One of which there are only commands that wait is on its way still, and a row without a name belongs to none.
async fn next(orders: &mut Orders<'_>) -> Result<Option<Box<Stored>>, ReadError> {
    while let Some(found) = orders.next().await? {
        match found {
            Found::Order(stored) if !stored.is_parked_only() => return Ok(Some(stored)),
            Found::Order(_) | Found::Nameless(_) => {}
        }
    }
    Ok(None)
}

/// What an order has lost, or what is wrong with it that was not before.
fn difference(before: &Stored, now: Option<&Stored>) -> Option<String> {
    let Some(now) = now else { return Some("is missing".to_owned()) };
    let changed = |(key, record)| (now.commands.get(key) != Some(record)).then_some(key);
    if let Some(key) = before.commands.iter().find_map(changed) {
        return Some(format!("does not have its command {key} as it was"));
    }
    if let (Some(then), Some(order)) = (&before.order, &now.order) {
        if order.version < then.version {
            return Some(format!("has version {} and had {}", order.version, then.version));
        }
        if order.version == then.version && of_version(order) != of_version(then) {
            return Some(format!("differs in version {}", order.version));
        }
        if let Some(line) = then.rejected_items.iter().find(|line| !order.rejected_items.contains(line)) {
            return Some(format!("does not have the late line of the command {}", line.key.as_str()));
        }
    }
    let (then, faults) = (examine(before), examine(now));
    faults.into_iter().find(|fault| !then.contains(fault)).map(|fault| format!("is damaged: {}", fault.what))
}

/// An order without what commands that are refused add to it, which makes no version.
fn of_version(order: &Order) -> Order {
    Order { rejected_items: Vec::new(), updated_at: order.created_at, commands: 0, ..order.clone() }
}

#[cfg(test)]
#[path = "comparing_tests.rs"]
mod tests;
