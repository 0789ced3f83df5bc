//! How much a worker has under way at once: less while commands take too long because it is late for what is due, since they
//! wait for its processor then. One that waits for a slow store is not late, and may have as much under way as that takes.
//! Reads the clock.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::metrics::OrderMetrics;

/// A look at how late the worker is: so many short sleeps. They take three times as long when it gets the processor 40 ms late;
/// a command needs it some five times, and leaves for the queue after 250 ms.
const SLEEPS: u32 = 5;
const SLEEP: Duration = Duration::from_millis(20);
const LATE: u32 = 3;

/// How long commands take, in the mean of a look, when they are too many at once for a late worker; while they take less than
/// three quarters of it there may be more. Not fewer than need be: those that are under way together are written together, which
/// is cheap.
const TOO_LONG: Duration = Duration::from_millis(150);

/// Longest that what can wait gives way at once, so that it ends all the same.
const GIVES_WAY: Duration = Duration::from_millis(200);

/// For how long nothing big is begun after it had less under way than at other times: what an overload ends again and again was
/// done for nothing.
const CALM: Duration = Duration::from_secs(30);

/// The most and the least that it may have under way. The least is answered within half a second even by a tenth of a core.
const MOST: u32 = 2048;
const LEAST: u32 = 32;

/// What a worker may have under way, and has.
#[derive(Debug)]
pub(super) struct Capacity {
    limit: AtomicU32,
    under_way: AtomicU32,
    /// Whether it was late at the last look.
    late: AtomicBool,
    /// When it was last to have less under way than at other times.
    reduced_at: Mutex<Option<Instant>>,
    /// Commands that ended since the last look, and how long they took together, in microseconds.
    ended: AtomicU32,
    spent: AtomicU64,
}

/// Something that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    capacity: Arc<Capacity>,
    since: Instant,
    writes: bool,
}

impl UnderWay {
    /// Of something that was counted.
    fn begin(capacity: &Arc<Capacity>) -> Self {
        Self { capacity: Arc::clone(capacity), since: Instant::now(), writes: false }
    }

    /// It is a command that was decided, and is waited for until it is durable or the asker has gone.
    pub(super) fn writes(&mut self) {
        self.writes = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.writes {
            self.capacity.ended(self.since.elapsed());
        }
        self.capacity.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Capacity {
    fn default() -> Self {
        let (under_way, late, reduced_at, ended, spent) = Default::default();
        Self { limit: AtomicU32::new(MOST), under_way, late, reduced_at, ended, spent }
    }
}

impl Capacity {
    /// Takes something on, unless that is too much.
    pub(super) fn take_on(self: &Arc<Self>) -> Option<UnderWay> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay::begin(self);
        (before < self.limit.load(Ordering::Relaxed)).then_some(under_way)
    }

    /// Takes on as much as it ever may, however little that is now.
    #[cfg(test)]
    pub(super) fn fill(self: &Arc<Self>) -> Vec<UnderWay> {
        self.under_way.fetch_add(MOST, Ordering::Relaxed);
        (0..MOST).map(|_| UnderWay::begin(self)).collect()
    }

    /// Takes on as little as it ever does, for now.
    #[cfg(test)]
    pub(super) fn reduce(&self) {
        self.set_limit(LEAST);
    }

    /// Whether it is less than at other times.
    pub(super) fn is_reduced(&self) -> bool {
        self.limit.load(Ordering::Relaxed) < MOST
    }

    /// Whether it was less than at other times a moment ago.
    pub(super) fn was_reduced_lately(&self) -> bool {
        let reduced_at = self.reduced_at.lock().unwrap_or_else(PoisonError::into_inner);
        reduced_at.is_some_and(|at| at.elapsed() < CALM)
    }

    fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
        if limit < MOST {
            *self.reduced_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Takes on as much as ever: a worker that ends does not look any more.
    pub(super) fn restore(&self) {
        self.limit.store(MOST, Ordering::Relaxed);
        self.late.store(false, Ordering::Relaxed);
    }

    /// Waits for as long as the worker is late, but not for long: for what can wait, and would make it later.
    pub(super) async fn give_way(&self) {
        let until = Instant::now() + GIVES_WAY;
        while self.late.load(Ordering::Relaxed) && Instant::now() < until {
            sleep(SLEEP).await;
        }
    }

    /// A command has ended, after so long.
    fn ended(&self, took: Duration) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.spent.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long commands took since this was last asked, in the mean; none when none has ended.
    fn mean(&self) -> Option<Duration> {
        let (ended, spent) = (self.ended.swap(0, Ordering::Relaxed), self.spent.swap(0, Ordering::Relaxed));
        Duration::from_micros(spent).checked_div(ended)
    }

    /// Looks how late this process is and how long commands take, for as long as it is polled, and keeps what it may have under
    /// way to that.
    pub(super) async fn watch(&self, metrics: &OrderMetrics) {
        loop {
            let began = Instant::now();
            let (mut most_under_way, mut is_late) = (self.under_way.load(Ordering::Relaxed), false);
            for _ in 0..SLEEPS {
                sleep(SLEEP).await;
                most_under_way = most_under_way.max(self.under_way.load(Ordering::Relaxed));
                is_late = began.elapsed() > LATE * SLEEPS * SLEEP;
                if is_late {
                    break;
                }
            }
            self.late.store(is_late, Ordering::Relaxed);
            let before = self.limit.load(Ordering::Relaxed);
            let limit = match self.mean() {
                _ if !is_late => more_than(before),
                Some(mean) if mean < TOO_LONG / 4 * 3 => more_than(before),
                Some(mean) if mean < TOO_LONG => before,
                None if most_under_way == 0 => before,
                mean => less_than(before.min(most_under_way), mean.unwrap_or(Duration::MAX)),
            };
            if before == MOST && limit < MOST {
                tracing::warn!(limit, "this worker gets a processor too late; it takes on less");
            }
            self.set_limit(limit);
            metrics.set_limit(limit);
        }
    }
}

/// Within two seconds from the least to some two hundred.
fn more_than(limit: u32) -> u32 {
    (limit + limit / 8).min(MOST)
}

/// As much less as commands take too long in the mean, by Little's law, but not by more than a quarter at once.
fn less_than(limit: u32, mean: Duration) -> u32 {
    let enough = u128::from(limit) * TOO_LONG.as_millis() / mean.as_millis();
    u32::try_from(enough).unwrap_or(limit).clamp(limit / 4 * 3, limit).max(LEAST)
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};

    use prometheus_client::registry::Registry;

    use super::*;

    const QUICK: Duration = Duration::from_millis(20);
    const SLOW: Duration = Duration::from_millis(400);

    /// How late the looks come in a process that has a processor, and in one that waits for it.
    const IN_TIME: Duration = Duration::from_millis(5);
    const LATE: Duration = Duration::from_millis(70);

    /// Has the looks go on for so long, in a process that gets a processor only every so often; each time a command ends that
    /// took so long.
    async fn go_on(
        capacity: &Capacity,
        mut watching: Pin<&mut impl Future<Output = ()>>,
        duration: Duration,
        every: Duration,
        took: Duration,
    ) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            tokio::time::advance(every).await;
            capacity.ended(took);
            assert!(futures::poll!(watching.as_mut()).is_pending());
        }
    }

    fn limit(capacity: &Arc<Capacity>) -> u32 {
        let mut taken = Vec::new();
        while let Some(one) = capacity.take_on() {
            taken.push(one);
        }
        u32::try_from(taken.len()).expect("a few")
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_takes_on_less_while_it_is_late_and_as_much_as_before_soon_after() {
        let (capacity, metrics) = (Arc::<Capacity>::default(), OrderMetrics::register(&mut Registry::default()));
        let mut watching = pin!(capacity.watch(&metrics));
        assert_eq!(limit(&capacity), MOST);
        go_on(&capacity, watching.as_mut(), Duration::from_secs(10), IN_TIME, SLOW).await;
        assert_eq!(limit(&capacity), MOST, "it was in time, so its store is slow");

        let under_way: Vec<_> = (0..100).map_while(|_| capacity.take_on()).collect();
        go_on(&capacity, watching.as_mut(), Duration::from_secs(2), LATE, SLOW).await;
        assert!(capacity.take_on().is_none(), "it has more under way than it may");
        drop(under_way);
        go_on(&capacity, watching.as_mut(), Duration::from_secs(4), LATE, SLOW).await;
        assert_eq!(limit(&capacity), LEAST);

        go_on(&capacity, watching.as_mut(), Duration::from_secs(4), LATE, QUICK).await;
        assert!(limit(&capacity) > LEAST, "late or not, commands are quick");
        let before = limit(&capacity);
        go_on(&capacity, watching.as_mut(), Duration::from_secs(1), LATE, TOO_LONG / 3 * 2).await;
        assert!(limit(&capacity) > before, "they are quick enough");
        let as_long_as_they_may = TOO_LONG * 4 / 5;
        go_on(&capacity, watching.as_mut(), Duration::from_secs(1), LATE, as_long_as_they_may).await;
        let enough = limit(&capacity);
        go_on(&capacity, watching.as_mut(), Duration::from_secs(4), LATE, as_long_as_they_may).await;
        assert_eq!(limit(&capacity), enough);

        go_on(&capacity, watching.as_mut(), Duration::from_secs(7), IN_TIME, QUICK).await;
        assert_eq!(limit(&capacity), MOST);
        assert!(capacity.was_reduced_lately(), "it may be so again in a moment");
        go_on(&capacity, watching.as_mut(), CALM, IN_TIME, QUICK).await;
        assert!(!capacity.was_reduced_lately());
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_wait_gives_way_while_the_worker_is_late_but_only_for_a_moment() {
        let (capacity, metrics) = (Arc::<Capacity>::default(), OrderMetrics::register(&mut Registry::default()));
        let mut watching = pin!(capacity.watch(&metrics));
        go_on(&capacity, watching.as_mut(), Duration::from_secs(1), IN_TIME, QUICK).await;
        assert!(futures::poll!(pin!(capacity.give_way())).is_ready());
        go_on(&capacity, watching.as_mut(), Duration::from_secs(1), LATE, QUICK).await;
        let mut waiting = pin!(capacity.give_way());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        go_on(&capacity, watching.as_mut(), Duration::from_secs(1), IN_TIME, QUICK).await;
        assert!(futures::poll!(waiting.as_mut()).is_ready());
        go_on(&capacity, watching.as_mut(), Duration::from_secs(1), LATE, QUICK).await;
        let mut waiting = pin!(capacity.give_way());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        tokio::time::advance(GIVES_WAY).await;
        assert!(futures::poll!(waiting.as_mut()).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_was_stopped_takes_on_no_more_than_before_and_as_much_as_ever_soon_after() {
        let (capacity, metrics) = (Arc::<Capacity>::default(), OrderMetrics::register(&mut Registry::default()));
        let stopped = Duration::from_secs(10);
        let mut watching = pin!(capacity.watch(&metrics));
        assert!(futures::poll!(watching.as_mut()).is_pending());
        tokio::time::advance(stopped).await;
        assert!(futures::poll!(watching.as_mut()).is_pending());
        assert_eq!(limit(&capacity), MOST, "it had nothing under way");

        go_on(&capacity, watching.as_mut(), Duration::from_millis(50), IN_TIME, QUICK).await;
        let under_way: Vec<_> = (0..200).map_while(|_| capacity.take_on()).collect();
        go_on(&capacity, watching.as_mut(), stopped, stopped, stopped).await;
        assert!(capacity.take_on().is_none());
        drop(under_way);
        assert!(limit(&capacity) >= 150, "{}", limit(&capacity));
        go_on(&capacity, watching.as_mut(), Duration::from_secs(5), IN_TIME, QUICK).await;
        assert_eq!(limit(&capacity), MOST);
    }
}
