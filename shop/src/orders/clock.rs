//! The clocks that orders go by: time since boot for validity, wall time for people, and SlateDB's. Reads the machine's clocks.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use slatedb_common::clock::{SystemClock, SystemClockTicker};

/// The machine's clocks, or a test's.
pub(super) trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Time since boot; goes on while the machine is suspended, so that a lease does not outlive a nap.
    fn since_boot(&self) -> Duration;
    /// The time of day, which may jump.
    fn wall(&self) -> Timestamp;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MachineClock;

impl Clock for MachineClock {
    fn since_boot(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The time of day as it was when this process began, going on evenly since. What a worker says of its databases' clocks in
/// a heartbeat bounds them until the next one only if none of them can jump in between.
#[derive(Clone, Debug)]
pub(super) struct SteadyClock {
    clock: Arc<dyn Clock>,
    began: Duration,
    began_at: Timestamp,
}

impl SteadyClock {
    /// Goes on from what `clock` shows now.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { began: clock.since_boot(), began_at: clock.wall(), clock }
    }
}

impl Clock for SteadyClock {
    fn since_boot(&self) -> Duration {
        self.clock.since_boot()
    }

    fn wall(&self) -> Timestamp {
        let since = self.clock.since_boot().saturating_sub(self.began);
        self.began_at.saturating_add(since).unwrap_or(Timestamp::MAX)
    }
}

/// The clock of one shard's database: the wall clock, never below a floor and never going back. A database whose
/// writer's clock is behind the one before refuses every write, so the floor is raised above that one when it is opened.
#[derive(Clone, Debug)]
pub(super) struct ShardClock {
    clock: Arc<dyn Clock>,
    newest: Arc<AtomicI64>,
}

impl ShardClock {
    /// A clock that never shows less than `floor`, in milliseconds since 1970.
    pub(super) fn new(clock: Arc<dyn Clock>, floor: i64) -> Self {
        Self { clock, newest: Arc::new(AtomicI64::new(floor)) }
    }

    /// Milliseconds since 1970.
    pub(super) fn millis(&self) -> i64 {
        let wall = self.clock.wall().as_millisecond();
        self.newest.fetch_max(wall, Ordering::SeqCst).max(wall)
    }
}

impl SystemClock for ShardClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.millis()).unwrap_or_default()
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn ticker(&self, duration: Duration) -> SystemClockTicker<'_> {
        SystemClockTicker::new(self, duration)
    }
}

/// The clock of a database that is read as it was when it was opened. SlateDB has a reader look for news by a ticker of its clock,
/// whose first tick comes at once: in the midst of what reads several rows. This one never ticks.
#[derive(Debug)]
pub(super) struct TicklessClock;

impl SystemClock for TicklessClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn ticker(&self, duration: Duration) -> SystemClockTicker<'_> {
        SystemClockTicker::new(&Endless, duration)
    }
}

/// A clock by which nobody wakes up.
#[derive(Debug)]
struct Endless;

impl SystemClock for Endless {
    fn now(&self) -> DateTime<Utc> {
        TicklessClock.now()
    }

    fn sleep<'a>(&'a self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::pending())
    }

    fn ticker(&self, duration: Duration) -> SystemClockTicker<'_> {
        SystemClockTicker::new(self, duration)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug)]
    struct Hands(Mutex<i64>);

    impl Clock for Hands {
        fn since_boot(&self) -> Duration {
            Duration::ZERO
        }

        fn wall(&self) -> Timestamp {
            Timestamp::from_millisecond(*self.0.lock().expect("a lock")).expect("a time")
        }
    }

    #[test]
    fn the_clock_of_a_database_never_goes_back_nor_below_its_floor() {
        let hands = Arc::new(Hands(Mutex::new(1_000)));
        let clock = ShardClock::new(hands.clone(), 5_000);
        assert_eq!(clock.millis(), 5_000);
        *hands.0.lock().expect("a lock") = 9_000;
        assert_eq!(clock.millis(), 9_000);
        *hands.0.lock().expect("a lock") = 2_000;
        assert_eq!(clock.millis(), 9_000);
    }

    #[test]
    fn a_jump_of_the_time_of_day_moves_no_steady_clock() {
        let hands = Arc::new(Hands(Mutex::new(1_000)));
        let clock = SteadyClock::new(hands.clone());
        for jump in [3_600_000, 0] {
            *hands.0.lock().expect("a lock") = jump;
            assert_eq!(clock.wall().as_millisecond(), 1_000);
        }
    }

    #[test]
    fn time_since_boot_goes_on() {
        let before = MachineClock.since_boot();
        assert!(before > Duration::ZERO && MachineClock.since_boot() >= before);
    }
}
