//! Whether the operator sees its cluster. No I/O.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// After how long without an answer of the API server, or with a failing watch, the operator counts as blind.
pub const BLIND_AFTER: Duration = Duration::from_secs(30);
/// A watch that failed and then was silent for this long has recovered: a failing one tries again, and fails again, well
/// within it.
const RECOVERED_AFTER: Duration = Duration::from_secs(20);

/// What is known of the operator's view of its cluster.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    answered: Instant,
    watches: BTreeMap<&'static str, Watch>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    listed: bool,
    failing: Option<Failing>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    last: Instant,
}

impl Health {
    /// A view that begins now, with the watches of `kinds` not yet listed.
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = &'static str>, now: Instant) -> Self {
        let watches = kinds.into_iter().map(|kind| (kind, Watch::default())).collect();
        Self { state: Mutex::new(State { answered: now, watches }) }
    }

    /// The API server answered.
    pub fn answered(&self, now: Instant) {
        self.lock().answered = now;
    }

    /// A watch has shown everything there is.
    pub fn listed(&self, kind: &'static str) {
        self.lock().watches.entry(kind).or_default().listed = true;
    }

    /// A watch has shown something.
    pub fn seen(&self, kind: &'static str) {
        self.lock().watches.entry(kind).or_default().failing = None;
    }

    /// A watch has failed.
    pub fn failed(&self, kind: &'static str, now: Instant) {
        let mut state = self.lock();
        let failing = &mut state.watches.entry(kind).or_default().failing;
        let since = failing.filter(|failing| now - failing.last < RECOVERED_AFTER).map_or(now, |failing| failing.since);
        *failing = Some(Failing { since, last: now });
    }

    /// What the operator waits for before it can do its work; empty when it sees its cluster.
    #[must_use]
    pub fn waiting(&self, now: Instant) -> Vec<String> {
        let state = self.lock();
        let mut waiting = Vec::new();
        if now - state.answered > BLIND_AFTER {
            let silent = (now - state.answered).as_secs();
            waiting.push(format!("the API server has not answered for {silent} s"));
        }
        for (kind, watch) in &state.watches {
            if !watch.listed {
                waiting.push(format!("the first list of every {kind}"));
            }
            let failing = watch.failing.filter(|failing| now - failing.last < RECOVERED_AFTER);
            if failing.is_some_and(|failing| now - failing.since > BLIND_AFTER) {
                waiting.push(format!("the watch of every {kind}, which fails"));
            }
        }
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn an_operator_waits_for_the_first_list_of_every_kind() {
        let start = Instant::now();
        let health = Health::new(["Shop", "Service"], start);
        health.listed("Shop");
        assert_eq!(health.waiting(start), ["the first list of every Service"]);
        health.listed("Service");
        assert!(health.waiting(start).is_empty());
    }

    #[test]
    fn an_operator_whose_api_server_is_silent_for_too_long_is_blind_until_it_answers() {
        let start = Instant::now();
        let health = Health::new([], start);
        assert!(health.waiting(start + seconds(30)).is_empty());
        assert_eq!(health.waiting(start + seconds(31)), ["the API server has not answered for 31 s"]);
        health.answered(start + seconds(32));
        assert!(health.waiting(start + seconds(33)).is_empty());
    }

    #[test]
    fn a_watch_that_goes_on_failing_blinds_and_one_that_recovered_does_not() {
        let start = Instant::now();
        let health = Health::new(["Shop"], start);
        health.listed("Shop");
        for second in (0..40).step_by(5) {
            health.answered(start + seconds(second));
            health.failed("Shop", start + seconds(second));
        }
        assert_eq!(health.waiting(start + seconds(36)), ["the watch of every Shop, which fails"]);
        health.answered(start + seconds(60));
        assert!(health.waiting(start + seconds(60)).is_empty(), "silent since 35 s, so it works");
        health.failed("Shop", start + seconds(61));
        assert!(health.waiting(start + seconds(61)).is_empty(), "a new failure begins anew");
    }
}
