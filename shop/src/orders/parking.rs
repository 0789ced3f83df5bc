//! Which orders of a shard have parked commands: accepted ones that wait for earlier ones. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use storage_adapters::RETENTION;

use crate::domain::OrderId;

/// Most commands that are parked in one shard; what comes beyond stays in the queue.
const MOST: usize = 10_000;

/// What is in memory of a shard's parked commands. It is whole once the rows of the database were read; until then the
/// shard answers already.
#[derive(Debug, Default)]
pub(super) struct Parking {
    orders: BTreeMap<OrderId, Parked>,
    count: usize,
    /// Orders whose commands nobody has looked at yet.
    unseen: BTreeSet<OrderId>,
}

#[derive(Debug)]
struct Parked {
    count: usize,
    oldest: Timestamp,
}

impl Parking {
    /// A command of the order was accepted then and is parked.
    pub(super) fn park(&mut self, order: OrderId, accepted_at: Timestamp) {
        let parked = self.orders.entry(order).or_insert(Parked { count: 0, oldest: accepted_at });
        parked.count += 1;
        parked.oldest = parked.oldest.min(accepted_at);
        self.count += 1;
    }

    /// Commands of the order were found, and it is not known yet how many.
    pub(super) fn found(&mut self, order: OrderId, now: Timestamp) {
        if !self.has(order) {
            self.park(order, now);
        }
        self.look_again(order);
    }

    /// Somebody must look at the order's commands.
    pub(super) fn look_again(&mut self, order: OrderId) {
        self.unseen.insert(order);
    }

    /// So many commands of the order are left, and the oldest was accepted then.
    pub(super) fn left(&mut self, order: OrderId, left: &[Timestamp]) {
        let before = self.orders.remove(&order).map_or(0, |parked| parked.count);
        self.count = self.count.saturating_sub(before) + left.len();
        if let Some(oldest) = left.iter().min() {
            self.orders.insert(order, Parked { count: left.len(), oldest: *oldest });
        }
    }

    /// Whether the order has parked commands.
    pub(super) fn has(&self, order: OrderId) -> bool {
        self.orders.contains_key(&order)
    }

    /// Whether no more may be parked.
    pub(super) fn is_full(&self) -> bool {
        self.count >= MOST
    }

    /// The orders that somebody must look at, and those with a command that waits for longer than any queue would have kept
    /// what it waits for.
    pub(super) fn take_due(&mut self, now: Timestamp) -> (BTreeSet<OrderId>, Vec<OrderId>) {
        let overdue = self.orders.iter().filter(|(_, parked)| is_overdue(parked.oldest, now));
        let overdue = overdue.map(|(order, _)| *order).collect();
        (std::mem::take(&mut self.unseen), overdue)
    }
}

/// Whether what a command that was accepted then waits for can no longer come.
pub(super) fn is_overdue(accepted_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(accepted_at).unsigned_abs() > RETENTION && now > accepted_at
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{IdempotencyKey, OrderIdSecret};

    fn order(number: u128) -> OrderId {
        OrderId::derive(&OrderIdSecret::new([0; 32]), &IdempotencyKey::from_uuid(Uuid::from_u128(number)))
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 24 * 60 * 60).expect("a time")
    }

    #[test]
    fn an_order_is_overdue_by_its_oldest_command() {
        let mut parking = Parking::default();
        parking.park(order(1), at(10));
        parking.park(order(1), at(2));
        parking.park(order(2), at(9));
        assert_eq!(parking.take_due(at(16)).1, []);
        assert_eq!(parking.take_due(at(17)).1, [order(1)]);
        parking.left(order(1), &[at(10)]);
        assert_eq!(parking.take_due(at(17)).1, []);
        parking.left(order(1), &[]);
        assert!(!parking.has(order(1)) && parking.has(order(2)));
    }

    #[test]
    fn what_was_found_is_looked_at_once_and_counted_when_it_was() {
        let mut parking = Parking::default();
        parking.park(order(1), at(1));
        parking.found(order(1), at(2));
        parking.found(order(2), at(2));
        assert_eq!(parking.take_due(at(2)).0, [order(1), order(2)].into());
        assert_eq!(parking.take_due(at(2)).0, [].into());
        parking.left(order(2), &[at(1); 3]);
        assert_eq!(parking.count, 4);
    }

    #[test]
    fn no_more_than_so_many_are_parked() {
        let mut parking = Parking::default();
        for number in 0..MOST {
            assert!(!parking.is_full(), "{number}");
            parking.park(order(number as u128 % 7), at(0));
        }
        assert!(parking.is_full());
        parking.left(order(0), &[]);
        assert!(!parking.is_full());
    }
}
