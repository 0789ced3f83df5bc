//! Which owners are out of reach, so that not everybody who asks waits to find it out. No I/O.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// After how many misses in a row an owner is taken to be out of reach.
const MISSES: u32 = 3;

/// How often an owner that is out of reach is tried.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// How long an owner is remembered that nobody asks any more.
const REMEMBER: Duration = Duration::from_mins(1);

/// What is known of how owners were reached, by address.
#[derive(Debug, Default)]
pub(super) struct Breakers(Mutex<HashMap<String, Missed>>);

#[derive(Debug)]
struct Missed {
    times: u32,
    tried_at: Instant,
}

impl Breakers {
    /// Whether to ask an owner now; of one that is out of reach, one asker at a time finds out whether it still is.
    pub(super) fn may_ask(&self, address: &str) -> bool {
        let now = Instant::now();
        match self.owners().get_mut(address) {
            Some(missed) if missed.times >= MISSES => {
                let is_time = now >= missed.tried_at + TRY_EVERY;
                if is_time {
                    missed.tried_at = now;
                }
                is_time
            }
            Some(_) | None => true,
        }
    }

    /// An owner was reached.
    pub(super) fn reached(&self, address: &str) {
        self.owners().remove(address);
    }

    /// An owner was not reached, or did not say in time that it was.
    pub(super) fn missed(&self, address: &str) {
        let now = Instant::now();
        let mut owners = self.owners();
        owners.retain(|_, missed| now < missed.tried_at + REMEMBER);
        let missed = owners.entry(address.to_owned()).or_insert(Missed { times: 0, tried_at: now });
        missed.times = missed.times.saturating_add(1);
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Missed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "10.0.0.1:9091";

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_was_missed_again_and_again_is_tried_now_and_then_until_it_is_back() {
        let breakers = Breakers::default();
        for _ in 0..MISSES {
            assert!(breakers.may_ask(OWNER));
            breakers.missed(OWNER);
        }
        assert!(!breakers.may_ask(OWNER));
        assert!(breakers.may_ask("10.0.0.2:9091"), "others are asked");
        tokio::time::advance(TRY_EVERY).await;
        assert_eq!([OWNER; 3].map(|owner| breakers.may_ask(owner)), [true, false, false]);
        breakers.reached(OWNER);
        assert!([OWNER; 3].iter().all(|owner| breakers.may_ask(owner)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_miss_stops_nobody() {
        let breakers = Breakers::default();
        breakers.missed(OWNER);
        breakers.missed(OWNER);
        breakers.reached(OWNER);
        breakers.missed(OWNER);
        assert!(breakers.may_ask(OWNER));
    }
}
