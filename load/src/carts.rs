//! Which order gets the next item and which is submitted next. Pure.

use std::collections::VecDeque;

use rand::{Rng, RngExt};

use crate::commands::OrderRef;
use crate::ledger::Outcome;

/// The orders that are open now.
#[derive(Debug)]
pub struct Carts {
    /// Oldest first.
    open: VecDeque<Cart>,
    most_adds: u32,
}

#[derive(Debug)]
struct Cart {
    order: OrderRef,
    /// Adds that are on it, or may be.
    sent: u32,
    acked: u32,
    outstanding: u32,
}

impl Carts {
    /// None open; none will be given more than `most_adds` adds.
    #[must_use]
    pub fn new(most_adds: u32) -> Self {
        Self { open: VecDeque::new(), most_adds }
    }

    /// An order was made.
    pub fn opened(&mut self, order: OrderRef) {
        self.open.push_back(Cart { order, sent: 0, acked: 0, outstanding: 0 });
    }

    /// Any order that may have one more item, each as likely as the others. A shopper waits for an answer before the next
    /// item, so one that waits for an answer comes only when all do.
    pub fn next_add(&mut self, rng: &mut impl Rng) -> Option<OrderRef> {
        if self.open.is_empty() {
            return None;
        }
        let start = rng.random_range(0..self.open.len());
        let mut with_room =
            (start..self.open.len()).chain(0..start).filter(|&index| self.open[index].sent < self.most_adds);
        let idle = with_room.clone().find(|&index| self.open[index].outstanding == 0);
        let index = idle.or_else(|| with_room.next())?;
        let cart = &mut self.open[index];
        cart.sent += 1;
        cart.outstanding += 1;
        Some(cart.order.clone())
    }

    /// An add ended; one that was refused leaves room for another. `pending` is what the answer said is pending now.
    pub fn add_ended(&mut self, order: &str, outcome: Outcome, pending: Option<hyper::header::HeaderValue>) {
        let Some(cart) = self.open.iter_mut().find(|cart| cart.order.id == order) else { return };
        cart.outstanding -= 1;
        match outcome {
            Outcome::Acked => cart.acked += 1,
            Outcome::Refused => cart.sent -= 1,
            Outcome::Unknown => {}
        }
        if pending.is_some() {
            cart.order.pending = pending;
        }
    }

    /// The oldest order that has an item and waits for no answer; it is open no longer.
    pub fn next_submit(&mut self) -> Option<OrderRef> {
        let index = self.open.iter().position(|cart| cart.acked > 0 && cart.outstanding == 0)?;
        self.open.remove(index).map(|cart| cart.order)
    }

    /// Forgets orders that are full, for runs that submit nothing.
    pub fn abandon_full(&mut self) {
        let most = self.most_adds;
        self.open.retain(|cart| cart.sent < most || cart.outstanding > 0);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn an_order_is_submitted_only_with_an_item_and_no_answer_outstanding() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut carts = Carts::new(1);
        assert!(carts.next_add(&mut rng).is_none());
        carts.opened(OrderRef::new("a"));
        assert!(carts.next_submit().is_none(), "it is empty");
        carts.next_add(&mut rng).expect("open");
        assert!(carts.next_submit().is_none(), "an add is under way");
        carts.add_ended("a", Outcome::Refused, None);
        assert!(carts.next_submit().is_none(), "the add was refused");
        carts.next_add(&mut rng).expect("open");
        carts.add_ended("a", Outcome::Acked, None);
        assert!(carts.next_add(&mut rng).is_none(), "it is full");
        assert_eq!(carts.next_submit().expect("ready").id, "a");
        assert!(carts.next_submit().is_none());
    }

    #[test]
    fn the_oldest_is_submitted_first_and_a_full_one_is_passed_over_by_adds() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut carts = Carts::new(1);
        carts.opened(OrderRef::new("old"));
        carts.opened(OrderRef::new("new"));
        let added: Vec<String> =
            std::iter::from_fn(|| carts.next_add(&mut rng)).map(|order| order.id).take(3).collect();
        assert_eq!(added.len(), 2);
        carts.add_ended("new", Outcome::Acked, None);
        carts.add_ended("old", Outcome::Acked, None);
        assert_eq!(carts.next_submit().expect("ready").id, "old");
        carts.abandon_full();
        assert!(carts.next_submit().is_none());
    }
}
