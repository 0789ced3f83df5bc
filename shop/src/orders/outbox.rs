//! Submitted orders of a shard that the shop has not looked at, and when to hint at each. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::domain::OrderId;

/// After how long an order that is still submitted is hinted at again.
const HINT_AGAIN: Duration = Duration::from_mins(1);

/// What is in memory of a shard's outbox. It is whole once the rows of the database were read; until then the shard answers
/// already, and what happens meanwhile counts.
#[derive(Debug)]
pub(super) struct Outbox {
    /// When each order is to be hinted at, as time since boot.
    due: BTreeMap<OrderId, Duration>,
    /// The orders that were looked at before the rows were read; none when they are.
    settled: Option<BTreeSet<OrderId>>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { due: BTreeMap::new(), settled: Some(BTreeSet::new()) }
    }
}

impl Outbox {
    /// Takes in the orders that the database has rows of.
    pub(super) fn read(&mut self, orders: Vec<OrderId>) {
        let settled = self.settled.take().unwrap_or_default();
        for order in orders {
            if !settled.contains(&order) {
                self.due.entry(order).or_insert(Duration::ZERO);
            }
        }
    }

    /// An order was submitted.
    pub(super) fn submitted(&mut self, order: OrderId) {
        self.due.insert(order, Duration::ZERO);
    }

    /// An order is not waiting to be looked at, or not any more.
    pub(super) fn settled(&mut self, order: OrderId) {
        self.due.remove(&order);
        if let Some(settled) = &mut self.settled {
            settled.insert(order);
        }
    }

    /// Up to `most` orders that are to be hinted at by `now`, as time since boot; each is due again after a while.
    pub(super) fn take_due(&mut self, most: usize, now: Duration) -> Vec<OrderId> {
        let due: Vec<_> = self.due.iter().filter(|(_, at)| **at <= now).map(|(order, _)| *order).take(most).collect();
        for order in &due {
            self.due.insert(*order, now + HINT_AGAIN);
        }
        due
    }

    /// Hints that could not be sent are due again.
    pub(super) fn give_back(&mut self, orders: &[OrderId]) {
        for order in orders {
            if let Some(due) = self.due.get_mut(order) {
                *due = Duration::ZERO;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{IdempotencyKey, OrderIdSecret};

    fn order(number: u128) -> OrderId {
        OrderId::derive(&OrderIdSecret::new([0; 32]), &IdempotencyKey::from_uuid(Uuid::from_u128(number)))
    }

    #[test]
    fn what_happens_before_the_rows_are_read_counts() {
        let mut outbox = Outbox::default();
        outbox.submitted(order(1));
        outbox.settled(order(2));
        outbox.read(vec![order(1), order(2), order(3)]);
        let due: BTreeSet<_> = outbox.take_due(10, Duration::ZERO).into_iter().collect();
        assert_eq!(due, [order(1), order(3)].into());
    }

    #[test]
    fn a_hint_comes_again_after_a_while_or_at_once_when_it_was_not_sent() {
        let mut outbox = Outbox::default();
        outbox.submitted(order(1));
        assert_eq!(outbox.take_due(10, Duration::ZERO), [order(1)]);
        assert_eq!(outbox.take_due(10, HINT_AGAIN / 2), []);
        outbox.give_back(&[order(1)]);
        assert_eq!(outbox.take_due(10, HINT_AGAIN / 2), [order(1)]);
        assert_eq!(outbox.take_due(10, HINT_AGAIN * 2), [order(1)]);
        outbox.settled(order(1));
        outbox.give_back(&[order(1)]);
        assert_eq!(outbox.take_due(10, HINT_AGAIN * 9), []);
    }
}
