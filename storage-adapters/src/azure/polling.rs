//! When a receive that waits asks again, as Queue Storage has no long poll; and which leases this process holds. No I/O.
//!
//! The pause is an eighth of the time since messages last moved, from 50 ms to 2 s: a busy queue answers within 200 ms, a
//! message that comes after ten quiet seconds waits 1.25 s at most, and an idle receiver makes 1,800 requests an hour.
//! Whatever this process sends, and each lease of its own that ends, wakes a receive at once.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Pause while messages come.
const SHORTEST: Duration = Duration::from_millis(50);

/// Pause when none have come for long.
const LONGEST: Duration = Duration::from_secs(2);

/// Share of the quiet time that is waited before asking again.
const SHARE: u32 = 8;

/// How long to wait before asking again, when messages last moved this long ago.
fn pause(quiet: Duration) -> Duration {
    (quiet / SHARE).clamp(SHORTEST, LONGEST)
}

/// What this process knows of its queue.
#[derive(Debug)]
pub(super) struct Activity(Mutex<Known>);

#[derive(Debug)]
struct Known {
    moved: Instant,
    /// Ends of the leases that this process took, by the message's id.
    leases: HashMap<String, Instant>,
}

impl Activity {
    /// Nothing is known yet, so that messages may be on their way.
    pub(super) fn begin() -> Self {
        Self(Mutex::new(Known { moved: Instant::now(), leases: HashMap::new() }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was sent.
    pub(super) fn sent(&self) {
        self.known().moved = Instant::now();
    }

    /// A message was received, or its lease extended.
    pub(super) fn leased(&self, message: &str, until: Instant) {
        let mut known = self.known();
        known.moved = Instant::now();
        known.leases.insert(message.to_owned(), until);
    }

    /// A message was acknowledged, or its lease has passed to somebody else.
    pub(super) fn given_up(&self, message: &str) {
        self.known().leases.remove(message);
    }

    /// Leases of this process that hold now.
    pub(super) fn held(&self) -> u64 {
        let mut known = self.known();
        let now = Instant::now();
        known.leases.retain(|_, until| *until > now);
        known.leases.len() as u64
    }

    /// When a receive that found nothing asks again.
    pub(super) fn next_look(&self) -> Instant {
        let mut known = self.known();
        let now = Instant::now();
        known.leases.retain(|_, until| *until > now);
        let planned = now + pause(now.saturating_duration_since(known.moved));
        // The service's clock may be a little behind when a lease ends; the shortest pause covers that.
        let ended = known.leases.values().min().map(|until| *until + SHORTEST);
        ended.map_or(planned, |ended| planned.min(ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_quiet_time() {
        let table =
            [(0, 50), (400, 50), (1_000, 125), (1_500, 187), (10_000, 1_250), (16_000, 2_000), (3_600_000, 2_000)];
        for (quiet, expected) in table {
            assert_eq!(pause(Duration::from_millis(quiet)).as_millis(), expected, "quiet for {quiet} ms");
        }
    }

    #[test]
    fn a_minute_of_quiet_takes_few_requests() {
        let (mut quiet, mut requests) = (Duration::ZERO, 0);
        while quiet < Duration::from_mins(1) {
            quiet += pause(quiet);
            requests += 1;
        }
        assert_eq!(requests, 62);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_this_process_that_ends_is_looked_for_at_once() {
        let activity = Activity::begin();
        tokio::time::advance(Duration::from_mins(1)).await;
        activity.leased("one", Instant::now() + Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(activity.held(), 1);
        assert_eq!(activity.next_look(), Instant::now() + Duration::from_millis(1_050));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(activity.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_given_up_is_no_longer_counted() {
        let activity = Activity::begin();
        activity.leased("one", Instant::now() + Duration::from_secs(30));
        activity.given_up("one");
        assert_eq!(activity.held(), 0);
    }
}
