//! The time of a simulation, the same everywhere, and the clocks that hosts read it by, which are wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::orders::clock::Clock;

/// When every simulation begins.
const BEGINNING: i64 = 1_800_000_000_000;

/// Time since the simulation began. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Time(Arc<AtomicU64>);

impl Time {
    pub(super) fn since_boot(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).expect("short"), Ordering::Relaxed);
    }
}

/// A host's clock. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct HostClock {
    time: Time,
    /// How far the time of day is off, in milliseconds.
    skew: Arc<AtomicI64>,
}

impl HostClock {
    pub(super) fn new(time: Time, skew: i64) -> Self {
        Self { time, skew: Arc::new(AtomicI64::new(skew)) }
    }

    /// From now on the time of day is off by so much.
    pub(super) fn jump(&self, skew: i64) {
        self.skew.store(skew, Ordering::Relaxed);
    }
}

impl Clock for HostClock {
    fn since_boot(&self) -> Duration {
        self.time.since_boot()
    }

    fn wall(&self) -> Timestamp {
        let millis = i64::try_from(self.time.since_boot().as_millis()).expect("short");
        Timestamp::from_millisecond(BEGINNING + millis + self.skew.load(Ordering::Relaxed)).expect("a time")
    }
}
