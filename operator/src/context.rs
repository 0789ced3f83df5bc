//! What every reconciliation uses, and what is remembered between them. No I/O.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{Client, runtime::events::Recorder};

use crate::{apply::Applier, build::BuildSettings, index::Index, metrics::Metrics, pods::PodClient};

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after many failures in a row.
const LAST_RETRY: Duration = Duration::from_mins(1);

/// What every reconciliation uses.
pub struct Context {
    /// The Kubernetes API.
    pub client: Client,
    /// Publishes events.
    pub recorder: Recorder,
    /// Applies objects.
    pub applier: Applier,
    /// What the watches saw.
    pub index: Arc<Index>,
    /// Asks pods.
    pub pods: PodClient,
    /// What shops are built with.
    pub settings: BuildSettings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Failures in a row of each Shop.
    pub failures: Failures,
}

/// Failures in a row, by namespace and name of the Shop.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<(String, String), u32>>);

impl Failures {
    /// Notes a failure; how long to wait before the next try, without jitter.
    pub fn next_wait(&self, namespace: &str, name: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry((namespace.to_owned(), name.to_owned())).or_default();
        let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(*count)).min(LAST_RETRY);
        *count = count.saturating_add(1);
        wait
    }

    /// Notes a success, or that the Shop is gone.
    pub fn clear(&self, namespace: &str, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(namespace.to_owned(), name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_second_to_one_minute_and_begin_anew_after_a_success() {
        let failures = Failures::default();
        let waits: Vec<_> = (0..8).map(|_| failures.next_wait("shops", "corner").as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(failures.next_wait("shops", "other").as_secs(), 1);
        failures.clear("shops", "corner");
        assert_eq!(failures.next_wait("shops", "corner").as_secs(), 1);
    }
}
