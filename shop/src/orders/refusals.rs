//! How many refusals may be asked for: an owner that is asked far more than it can do would have its hands full with refusing,
//! so what it would refuse is refused here. No I/O.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Refusals of an owner after which it is not asked any more.
const BUDGET: f64 = 64.0;

/// How many more it may refuse for each thing that it does, and for each second.
const FOR_EACH_DONE: f64 = 0.5;
const A_SECOND: f64 = 20.0;

/// How long an owner that has refused something is taken to have too much to do.
const OVERLOADED: Duration = Duration::from_secs(1);

/// What is known of owners that have refused something lately, by address.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Budget>>);

/// How many times an owner may still refuse.
#[derive(Clone, Copy, Debug)]
struct Budget {
    left: f64,
    at: Instant,
    refused_at: Instant,
}

impl Refusals {
    /// Whether to ask an owner; else it would refuse, by all that is known.
    pub(super) fn may_ask(&self, address: &str) -> bool {
        self.owners().get(address).is_none_or(|budget| budget.now().left >= 1.0)
    }

    /// Whether an owner has had too much to do until a moment ago.
    pub(super) fn is_overloaded(&self, address: &str) -> bool {
        self.owners().get(address).is_some_and(|budget| budget.refused_at.elapsed() < OVERLOADED)
    }

    /// An owner did what it was asked, or said why not.
    pub(super) fn done(&self, address: &str) {
        if let Some(budget) = self.owners().get_mut(address) {
            *budget = budget.now().plus(FOR_EACH_DONE);
        }
    }

    /// An owner had too much to do.
    pub(super) fn refused(&self, address: &str) {
        let mut owners = self.owners();
        owners.retain(|_, budget| budget.now().left < BUDGET);
        let now = Instant::now();
        let budget = owners.entry(address.to_owned()).or_insert(Budget { left: BUDGET, at: now, refused_at: now });
        *budget = Budget { refused_at: now, ..budget.now().plus(-1.0) };
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Budget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    fn now(self) -> Self {
        let at = Instant::now();
        let grown = at.saturating_duration_since(self.at).as_secs_f64() * A_SECOND;
        Self { at, ..self.plus(grown) }
    }

    fn plus(self, more: f64) -> Self {
        Self { left: (self.left + more).clamp(0.0, BUDGET), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "10.0.0.1:9091";

    /// Asks an owner so often that does what `does` says of the questions that it gets; how many it got, and refused.
    fn asked(refusals: &Refusals, times: u32, does: impl Fn(u32) -> bool) -> (u32, u32) {
        let (mut asked, mut refused) = (0, 0);
        for _ in 0..times {
            if refusals.may_ask(OWNER) {
                asked += 1;
                if does(asked) {
                    refusals.done(OWNER);
                } else {
                    refused += 1;
                    refusals.refused(OWNER);
                }
            }
        }
        (asked, refused)
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_refuses_all_is_asked_now_and_then_until_it_does_something_again() {
        let refusals = Refusals::default();
        assert_eq!(asked(&refusals, 1000, |_| false), (64, 64));
        assert!(refusals.is_overloaded(OWNER));
        assert!(refusals.may_ask("10.0.0.2:9091") && !refusals.is_overloaded("10.0.0.2:9091"), "others are asked");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!refusals.is_overloaded(OWNER));
        assert_eq!(asked(&refusals, 1000, |_| false), (20, 20));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(asked(&refusals, 1000, |_| true), (1000, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_does_a_part_is_not_asked_to_refuse_more_than_half_as_much() {
        let refusals = Refusals::default();
        assert_eq!(asked(&refusals, 3000, |number| number % 3 > 0), (3000, 1000), "within the budget");
        let (_, in_a_row) = asked(&refusals, 1000, |_| false);
        assert!((1..=64).contains(&in_a_row), "{in_a_row}");
        refusals.done(OWNER);
        assert!(!refusals.may_ask(OWNER));
        refusals.done(OWNER);
        assert!(refusals.may_ask(OWNER), "it did two things, and may refuse one");
    }
}
