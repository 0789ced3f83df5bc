//! Gathers what concurrent callers ask for into requests of several entries, which cost as much as one. No I/O of its own.
//!
//! When no request is under way an entry goes at once; others wait for it a few milliseconds at most, or until a request
//! is full.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// Most entries of one request
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
pub(super) const MOST_ENTRIES: usize = 10;

/// Most bytes of all entries of one request: the limit that every queue has had, below the 1 MiB that AWS allows now.
const MOST_BYTES: usize = 256 * 1024;

/// Longest time that an entry waits for others.
const GATHERING: Duration = Duration::from_millis(3);

/// Makes one request; the outcomes are those of the entries, in their order.
type Work<Entry> = dyn Fn(Vec<Entry>) -> BoxFuture<'static, Result<Vec<Result<()>>>> + Send + Sync;

struct Waiting<Entry> {
    entry: Entry,
    bytes: usize,
    tell: oneshot::Sender<Result<()>>,
}

struct State<Entry> {
    waiting: VecDeque<Waiting<Entry>>,
    bytes: usize,
    under_way: usize,
}

struct Shared<Entry> {
    state: Mutex<State<Entry>>,
    work: Box<Work<Entry>>,
}

/// Entries on their way into requests.
pub(super) struct Batches<Entry>(Arc<Shared<Entry>>);

impl<Entry: Send + 'static> Batches<Entry> {
    pub(super) fn new(
        work: impl Fn(Vec<Entry>) -> BoxFuture<'static, Result<Vec<Result<()>>>> + Send + Sync + 'static,
    ) -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, under_way: 0 };
        Self(Arc::new(Shared { state: Mutex::new(state), work: Box::new(work) }))
    }

    /// Sends an entry of so many bytes with others, and returns its own outcome; absent when nobody tells it.
    pub(super) async fn add(&self, entry: Entry, bytes: usize) -> Option<Result<()>> {
        let (tell, told) = oneshot::channel();
        let pause = {
            let mut state = self.0.lock();
            state.waiting.push_back(Waiting { entry, bytes, tell });
            state.bytes += bytes;
            let (entries, is_idle) = (state.waiting.len(), state.under_way == 0);
            match entries {
                1 if !is_idle => Some(GATHERING),
                1 => Some(Duration::ZERO),
                _ if entries >= MOST_ENTRIES || state.bytes > MOST_BYTES => Some(Duration::ZERO),
                // The first of those that wait has seen to it that a request is made.
                _ => None,
            }
        };
        if let Some(pause) = pause {
            Shared::spawn(&self.0, pause);
        }
        told.await.ok()
    }
}

impl<Entry: Send + 'static> Shared<Entry> {
    fn lock(&self) -> MutexGuard<'_, State<Entry>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a request of what waits after `pause`. It is a task of its own, so that a caller who goes away takes no
    /// other caller's entry along; its end is told to all whose entries it carries.
    fn spawn(this: &Arc<Self>, pause: Duration) {
        let this = this.clone();
        tokio::spawn(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let (batch, is_more) = {
                let mut state = this.lock();
                let batch = state.take();
                state.under_way += usize::from(!batch.is_empty());
                (batch, !state.waiting.is_empty())
            };
            if is_more {
                Self::spawn(&this, Duration::ZERO);
            }
            if batch.is_empty() {
                return;
            }
            let (entries, tell): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|waiting| (waiting.entry, waiting.tell)).unzip();
            let outcomes = (this.work)(entries).await;
            this.lock().under_way -= 1;
            tell_all(tell, outcomes);
        });
    }
}

impl<Entry> State<Entry> {
    /// As many entries as one request takes.
    fn take(&mut self) -> Vec<Waiting<Entry>> {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting<Entry>| {
            bytes += waiting.bytes;
            bytes <= MOST_BYTES
        };
        let count = self.waiting.iter().take(MOST_ENTRIES).take_while(fits).count();
        let rest = self.waiting.split_off(count);
        let batch: Vec<_> = mem::replace(&mut self.waiting, rest).into();
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        batch
    }
}

fn tell_all(tell: Vec<oneshot::Sender<Result<()>>>, outcomes: Result<Vec<Result<()>>>) {
    // A caller that has gone hears nothing, which is all right.
    match outcomes {
        Ok(outcomes) => {
            for (tell, outcome) in tell.into_iter().zip(outcomes) {
                let _ = tell.send(outcome);
            }
        }
        Err(error) => {
            let shared = Arc::new(error);
            for tell in tell {
                let error = Error::new(shared.kind(), shared.operation(), "queue");
                let _ = tell.send(Err(error.with_source(Common(shared.clone()))));
            }
        }
    }
}

/// What made the request fail that carried the entries of several callers.
#[derive(Debug)]
struct Common(Arc<Error>);

impl Common {
    fn cause(&self) -> &(dyn std::error::Error + 'static) {
        std::error::Error::source(&*self.0).unwrap_or(&*self.0)
    }
}

impl fmt::Display for Common {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.cause(), formatter)
    }
}

impl std::error::Error for Common {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause().source()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};
    use tokio::time::Instant;

    use super::*;
    use crate::error::ErrorKind;

    type Requests = Arc<Mutex<Vec<Vec<usize>>>>;

    /// Requests of 10 ms each; those that carry the number 13 fail for it alone, with 99 as a whole.
    fn batches() -> (Batches<usize>, Requests) {
        let requests = Requests::default();
        let seen = requests.clone();
        let work = move |entries: Vec<usize>| {
            seen.lock().expect("no panic").push(entries.clone());
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let refuse = || Error::new(ErrorKind::InvalidInput, "send", "queue");
                if entries.contains(&99) {
                    return Err(Error::new(ErrorKind::Unavailable, "send", "queue").with_source("a broken line"));
                }
                Ok(entries.into_iter().map(|entry| if entry == 13 { Err(refuse()) } else { Ok(()) }).collect())
            }
            .boxed()
        };
        (Batches::new(work), requests)
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_goes_at_once_when_no_request_is_under_way() {
        let (batches, _) = batches();
        let begun = Instant::now();
        batches.add(1, 1).await.expect("told").expect("sent");
        assert_eq!(begun.elapsed(), Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn entries_at_the_same_time_share_requests_of_at_most_ten() {
        let (batches, requests) = batches();
        let outcomes = join_all((20..60).map(|number| batches.add(number, 1))).await;
        assert!(outcomes.into_iter().all(|outcome| outcome.is_some_and(|outcome| outcome.is_ok())));
        let requests = requests.lock().expect("no panic");
        let mut sent: Vec<_> = requests.concat();
        sent.sort_unstable();
        assert!(sent.into_iter().eq(20..60), "each entry is sent once");
        assert!(requests.len() <= 5, "{requests:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_waits_a_few_milliseconds_at_most_while_a_request_is_under_way() {
        let (batches, requests) = batches();
        let late = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let begun = Instant::now();
            batches.add(2, 1).await.expect("told").expect("sent");
            begun.elapsed()
        };
        let (_, took) = futures::join!(batches.add(1, 1), late);
        assert!(took <= GATHERING + Duration::from_millis(11), "it took {took:?}");
        assert_eq!(*requests.lock().expect("no panic"), [[1], [2]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_holds_no_more_bytes_than_it_may() {
        let (batches, requests) = batches();
        join_all((0..6).map(|number| batches.add(number, 64 * 1024))).await;
        assert!(requests.lock().expect("no panic").iter().all(|request| request.len() <= 4));
    }

    #[tokio::test(start_paused = true)]
    async fn each_caller_gets_the_outcome_of_its_own_entry() {
        let (batches, _) = batches();
        for (number, outcome) in join_all((10..16).map(|number| batches.add(number, 1))).await.into_iter().enumerate() {
            let outcome = outcome.expect("told").map_err(|error| error.kind());
            assert_eq!(outcome, if number == 3 { Err(ErrorKind::InvalidInput) } else { Ok(()) });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_fails_fails_for_all_that_it_carries_with_its_cause() {
        let (batches, _) = batches();
        for outcome in join_all((98..101).map(|number| batches.add(number, 1))).await {
            let error = outcome.expect("told").expect_err("failed");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert_eq!(std::error::Error::source(&error).expect("a cause").to_string(), "a broken line");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_takes_no_other_entry_along() {
        let (batches, _) = batches();
        let mut first = Box::pin(batches.add(1, 1));
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(batches.add(2, 1));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        second.await.expect("told").expect("sent");
    }
}
