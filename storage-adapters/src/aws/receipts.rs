//! Which receipts are good: SQS keeps a message's handle when its lease is extended, and takes stale ones. No I/O.
//!
//! A receipt names a message and a number. Only the newest number of a message counts, and only until its lease ends by
//! this process's clock. What is forgotten is stale, as is every receipt of another process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::queue::Receipt;

/// Receipts of ended leases that are kept at least before they are looked for.
const PRUNED_FROM: usize = 1_024;

/// A message that this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// How SQS calls the delivery.
    pub(super) handle: String,
    /// When its lease began at the earliest.
    pub(super) received: Instant,
    /// When its lease ends at the earliest.
    pub(super) ends: Instant,
}

#[derive(Debug, Default)]
struct State {
    newest: HashMap<String, (u64, Held)>,
    last_number: u64,
    prune_at: usize,
}

/// The good receipts of one queue.
#[derive(Debug, Default)]
pub(super) struct Receipts(Mutex<State>);

impl Receipts {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receipt of a delivery; an earlier one of the message is stale from now on.
    pub(super) fn grant(&self, message: &str, held: Held, now: Instant) -> Receipt {
        let mut state = self.lock();
        if state.newest.len() >= state.prune_at.max(PRUNED_FROM) {
            state.newest.retain(|_, (_, held)| now < held.ends);
            // As many again may come before it is worth looking through all of them.
            state.prune_at = state.newest.len() * 2;
        }
        state.replace(message, held)
    }

    /// The delivery of a receipt that is good.
    pub(super) fn find(&self, receipt: &Receipt, now: Instant) -> Option<Held> {
        let held = self.lock().get(receipt)?.clone();
        (now < held.ends).then_some(held)
    }

    /// Replaces a receipt whose lease was extended; absent when it was replaced meanwhile.
    pub(super) fn extend(&self, receipt: &Receipt, ends: Instant) -> Option<Receipt> {
        let mut state = self.lock();
        let held = Held { ends, ..state.get(receipt)?.clone() };
        let message = parse(receipt)?.1;
        Some(state.replace(message, held))
    }

    /// The lease may end as early as this, as nobody knows whether it was changed.
    pub(super) fn doubt(&self, receipt: &Receipt, ends: Instant) {
        if let Some(held) = self.lock().get(receipt) {
            held.ends = held.ends.min(ends);
        }
    }

    /// The message is gone.
    pub(super) fn forget(&self, receipt: &Receipt) {
        let mut state = self.lock();
        if state.get(receipt).is_some()
            && let Some((_, message)) = parse(receipt)
        {
            state.newest.remove(message);
        }
    }
}

impl State {
    fn replace(&mut self, message: &str, held: Held) -> Receipt {
        self.last_number += 1;
        self.newest.insert(message.to_owned(), (self.last_number, held));
        Receipt(format!("{} {message}", self.last_number))
    }

    fn get(&mut self, receipt: &Receipt) -> Option<&mut Held> {
        let (number, message) = parse(receipt)?;
        self.newest.get_mut(message).filter(|(newest, _)| *newest == number).map(|(_, held)| held)
    }
}

fn parse(receipt: &Receipt) -> Option<(u64, &str)> {
    let (number, message) = receipt.0.split_once(' ')?;
    Some((number.parse().ok()?, message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LEASE: Duration = Duration::from_secs(4);

    fn held(handle: &str, now: Instant) -> Held {
        Held { handle: handle.to_owned(), received: now, ends: now + LEASE }
    }

    #[tokio::test]
    async fn a_receipt_is_good_until_its_lease_ends() {
        let (receipts, now) = (Receipts::default(), Instant::now());
        let receipt = receipts.grant("message", held("handle", now), now);
        assert_eq!(receipts.find(&receipt, now + LEASE - Duration::from_nanos(1)), Some(held("handle", now)));
        assert_eq!(receipts.find(&receipt, now + LEASE), None);
    }

    #[tokio::test]
    async fn another_delivery_makes_the_receipts_before_it_stale() {
        let (receipts, now) = (Receipts::default(), Instant::now());
        let first = receipts.grant("message", held("one", now), now);
        let second = receipts.grant("message", held("two", now), now);
        assert_ne!(first, second);
        assert_eq!(receipts.find(&first, now), None);
        receipts.forget(&first);
        assert_eq!(receipts.find(&second, now).expect("good").handle, "two");
    }

    #[tokio::test]
    async fn of_two_extensions_of_one_receipt_only_the_first_counts() {
        let (receipts, now) = (Receipts::default(), Instant::now());
        let first = receipts.grant("message", held("handle", now), now);
        let second = receipts.extend(&first, now + LEASE * 2).expect("good");
        assert_eq!(receipts.extend(&first, now + LEASE * 3), None);
        assert_eq!(receipts.find(&second, now + LEASE).expect("good").ends, now + LEASE * 2);
    }

    #[tokio::test]
    async fn an_extension_in_doubt_never_lengthens_a_lease() {
        let (receipts, now) = (Receipts::default(), Instant::now());
        let receipt = receipts.grant("message", held("handle", now), now);
        receipts.doubt(&receipt, now + LEASE * 2);
        assert_eq!(receipts.find(&receipt, now + LEASE), None);
        receipts.doubt(&receipt, now + LEASE / 2);
        assert_eq!(receipts.find(&receipt, now + LEASE / 2), None);
    }

    #[tokio::test]
    async fn a_receipt_of_an_acknowledged_message_is_stale() {
        let (receipts, now) = (Receipts::default(), Instant::now());
        let receipt = receipts.grant("message", held("handle", now), now);
        receipts.forget(&receipt);
        assert_eq!(receipts.find(&receipt, now), None);
        assert_eq!(receipts.extend(&receipt, now + LEASE), None);
    }

    #[tokio::test]
    async fn receipts_of_ended_leases_take_no_room_for_ever() {
        let (receipts, now) = (Receipts::default(), Instant::now());
        for number in 0..100_000_u32 {
            let now = now + LEASE * number;
            receipts.grant(&number.to_string(), held("handle", now), now);
        }
        assert!(receipts.lock().newest.len() <= PRUNED_FROM);
    }
}
