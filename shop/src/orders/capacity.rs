//! How much a worker has under way at once: less while it keeps being late for what is due, since commands wait for its
//! processor then. One that waits for a slow store is not late, and may have as much under way as that takes. Reads the clock.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::metrics::OrderMetrics;

/// A look at how late the worker is: so many short sleeps. They take three times as long when it gets the processor 40 ms late;
/// a command needs it some five times, and leaves for the queue after 250 ms.
const SLEEPS: u32 = 5;
const SLEEP: Duration = Duration::from_millis(20);
const LATE: u32 = 3;

/// The most and the least that it may have under way. The least is answered within half a second even by a tenth of a core.
const MOST: u32 = 2048;
const LEAST: u32 = 32;

/// What a worker may have under way, and has.
#[derive(Debug)]
pub(super) struct Capacity {
    limit: AtomicU32,
    under_way: AtomicU32,
}

/// Something that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a AtomicU32);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self { limit: AtomicU32::new(MOST), under_way: AtomicU32::new(0) }
    }
}

impl Capacity {
    /// Takes something on, unless that is too much.
    pub(super) fn take_on(&self) -> Option<UnderWay<'_>> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(&self.under_way);
        (before < self.limit.load(Ordering::Relaxed)).then_some(under_way)
    }

    /// Takes on as much as it ever may, however little that is now.
    #[cfg(test)]
    pub(super) fn fill(&self) -> Vec<UnderWay<'_>> {
        self.under_way.fetch_add(MOST, Ordering::Relaxed);
        (0..MOST).map(|_| UnderWay(&self.under_way)).collect()
    }

    /// Whether it is less than at other times.
    pub(super) fn is_reduced(&self) -> bool {
        self.limit.load(Ordering::Relaxed) < MOST
    }

    /// Looks how late this process is, for as long as it is polled, and keeps what it may have under way to that.
    pub(super) async fn watch(&self, metrics: &OrderMetrics) {
        loop {
            let began = Instant::now();
            let (mut most_under_way, mut is_late) = (0, false);
            for _ in 0..SLEEPS {
                sleep(SLEEP).await;
                most_under_way = most_under_way.max(self.under_way.load(Ordering::Relaxed));
                is_late = began.elapsed() > LATE * SLEEPS * SLEEP;
                if is_late {
                    break;
                }
            }
            let before = self.limit.load(Ordering::Relaxed);
            let limit = if is_late { less_than(before.min(most_under_way)) } else { more_than(before) };
            if before == MOST && limit < MOST {
                tracing::warn!(limit, "this worker gets a processor too late; it takes on less");
            }
            self.limit.store(limit, Ordering::Relaxed);
            metrics.set_limit(limit);
        }
    }
}

/// Within two seconds from the least to some two hundred.
fn more_than(limit: u32) -> u32 {
    (limit + limit / 8).min(MOST)
}

fn less_than(limit: u32) -> u32 {
    (limit / 4 * 3).max(LEAST)
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};

    use prometheus_client::registry::Registry;

    use super::*;

    /// Has the looks go on for so long, in a process that gets a processor only every so often.
    async fn go_on(mut watching: Pin<&mut impl Future<Output = ()>>, duration: Duration, every: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            tokio::time::advance(every).await;
            assert!(futures::poll!(watching.as_mut()).is_pending());
        }
    }

    fn limit(capacity: &Capacity) -> u32 {
        let mut taken = Vec::new();
        while let Some(one) = capacity.take_on() {
            taken.push(one);
        }
        u32::try_from(taken.len()).expect("a few")
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_takes_on_less_while_it_is_late_and_as_much_as_before_soon_after() {
        let (capacity, metrics) = (Capacity::default(), OrderMetrics::register(&mut Registry::default()));
        let (in_time, late) = (Duration::from_millis(5), Duration::from_millis(70));
        let mut watching = pin!(capacity.watch(&metrics));
        assert_eq!(limit(&capacity), MOST);
        go_on(watching.as_mut(), Duration::from_secs(10), in_time).await;
        assert_eq!(limit(&capacity), MOST, "it was in time");

        let under_way: Vec<_> = (0..100).map_while(|_| capacity.take_on()).collect();
        go_on(watching.as_mut(), Duration::from_secs(2), late).await;
        assert!(capacity.is_reduced() && capacity.take_on().is_none(), "it has more under way than it may");
        drop(under_way);
        go_on(watching.as_mut(), Duration::from_secs(4), late).await;
        assert_eq!(limit(&capacity), LEAST);

        go_on(watching.as_mut(), Duration::from_secs(2), in_time).await;
        assert!(limit(&capacity) > 150, "{}", limit(&capacity));
        go_on(watching.as_mut(), Duration::from_secs(5), in_time).await;
        assert_eq!(limit(&capacity), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_was_stopped_takes_on_no_more_than_before_and_as_much_as_ever_soon_after() {
        let (capacity, metrics) = (Capacity::default(), OrderMetrics::register(&mut Registry::default()));
        let (in_time, stopped) = (Duration::from_millis(5), Duration::from_secs(10));
        let mut watching = pin!(capacity.watch(&metrics));
        go_on(watching.as_mut(), Duration::from_millis(50), in_time).await;
        let under_way: Vec<_> = (0..200).map_while(|_| capacity.take_on()).collect();
        go_on(watching.as_mut(), stopped, stopped).await;
        assert!(capacity.take_on().is_none());
        drop(under_way);
        assert!(limit(&capacity) >= 150, "{}", limit(&capacity));
        go_on(watching.as_mut(), Duration::from_secs(5), in_time).await;
        assert_eq!(limit(&capacity), MOST);
    }
}
