//! Keeps the newest catalogue in memory: looks for a new version, loads it beside the requests, and swaps it in. Does I/O.

use std::{convert::Infallible, sync::Arc, time::Duration};

use storage_adapters::{Version, config::Provider};
use tokio::{sync::watch, time::Instant};

use super::{
    places::{Found, Places},
    snapshot::Snapshot,
    store::{StoreError, current_version, load},
};
use crate::errors::with_causes;

/// Time between two looks at the store: a new version is to be served within 5 s, loading included.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Time between two looks while a shop starts: its first worker may just be storing the sample.
const FIRST_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Looks that a start takes; a shop that is still without a catalogue then is looked at no more often than others.
const FIRST_POLLS: u32 = 25;

/// Longest time between two tries to load the same version.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// The newest catalogue that could be loaded, for those who serve it. Clones are cheap and see the same.
#[derive(Clone, Debug)]
pub struct CatalogueHandle(watch::Receiver<State>);

/// The other end of a [`CatalogueHandle`].
#[derive(Debug)]
pub struct CataloguePublisher(watch::Sender<State>);

#[derive(Clone, Debug, Default)]
struct State {
    snapshot: Option<Arc<Snapshot>>,
    problem: Option<Arc<str>>,
}

/// A handle, and the end that keeps it up to date.
#[must_use]
pub fn catalogue() -> (CataloguePublisher, CatalogueHandle) {
    let (sender, receiver) = watch::channel(State::default());
    (CataloguePublisher(sender), CatalogueHandle(receiver))
}

impl CatalogueHandle {
    /// The catalogue to serve; `None` while none could be loaded yet. Hold it for one request, so that the request sees one version.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.0.borrow().snapshot.clone()
    }

    /// Why the catalogue is missing, or may be older than the store's; `None` when all is well.
    #[must_use]
    pub fn problem(&self) -> Option<Arc<str>> {
        self.0.borrow().problem.clone()
    }

    /// Waits until a version of at least this number is served; returns early when its publisher is gone.
    pub async fn wait_for(&mut self, number: u64) {
        let reached = |state: &State| state.snapshot.as_ref().is_some_and(|snapshot| snapshot.number() >= number);
        // An error is the publisher's end, after which nothing will change.
        let _ = self.0.wait_for(reached).await;
    }
}

impl CataloguePublisher {
    /// Serves `snapshot` from now on.
    pub fn publish(&self, snapshot: Snapshot) {
        let snapshot = Some(Arc::new(snapshot));
        self.0.send_modify(|state| *state = State { snapshot, problem: None });
    }

    /// Says what is wrong, or that nothing is; logs only what is new.
    fn say(&self, problem: Option<&str>) {
        self.0.send_if_modified(|state| {
            if state.problem.as_deref() == problem {
                return false;
            }
            let serving = state.snapshot.as_ref().map(|snapshot| snapshot.number());
            if let Some(problem) = problem {
                tracing::warn!(problem, serving, "the newest catalogue is not served");
            } else {
                tracing::info!(serving, "the newest catalogue is served again");
            }
            state.problem = problem.map(Arc::from);
            true
        });
    }
}

/// Keeps `publisher` at the newest catalogue in `places`, for as long as it is polled; drop it to stop. They are asked for each
/// time, since stores may be opened later.
///
/// A version that cannot be loaded leaves the one before in service and is tried again, at longer and longer intervals up to a minute.
pub async fn run_poller(places: impl Fn() -> Places, publisher: CataloguePublisher) -> Infallible {
    let mut poller = Poller { publisher, at: None, served: None, failed: None };
    let mut first_polls = FIRST_POLLS;
    loop {
        poller.poll(&places()).await;
        let starting = poller.served.is_none() && first_polls > 0;
        first_polls = first_polls.saturating_sub(1);
        tokio::time::sleep(if starting { FIRST_POLL_INTERVAL } else { POLL_INTERVAL }).await;
    }
}

struct Poller {
    publisher: CataloguePublisher,
    /// Whose store the catalogue was last found in; the record there says when it has left.
    at: Option<Provider>,
    /// State of the record whose version is served.
    served: Option<Version>,
    failed: Option<Failed>,
}

/// A record whose version could not be loaded.
struct Failed {
    record: Version,
    wait: Duration,
    again: Instant,
}

impl Poller {
    async fn poll(&mut self, places: &Places) {
        let at = self.at.unwrap_or_else(|| places.first());
        let looked = async { current_version(places.store(at)?).await };
        match looked.await {
            Ok(None) => self.publisher.say(Some("the store has no catalogue; import one")),
            Ok(Some(found)) if self.served.as_ref() == Some(&found) => self.publisher.say(None),
            Ok(Some(found)) if self.waits_for(&found) => {}
            Ok(Some(found)) => match self.load(places, at).await {
                Ok(()) => {}
                Err(error) => self.fail(found, &error),
            },
            Err(error) => self.publisher.say(Some(&with_causes(&error))),
        }
    }

    fn waits_for(&self, found: &Version) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.record == *found && Instant::now() < failed.again)
    }

    async fn load(&mut self, places: &Places, at: Provider) -> Result<(), StoreError> {
        let Found { provider, store, current: Some((version, record)) } = places.find_from(at).await? else {
            return Ok(());
        };
        if self.served.is_some() && provider != at {
            tracing::info!(store = %provider, "the catalogue is in another store now");
        }
        let begun = Instant::now();
        let snapshot = load(store, &record).await?;
        tracing::info!(
            number = snapshot.number(),
            products = snapshot.product_count(),
            bytes = snapshot.bytes(),
            milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "a new catalogue is served"
        );
        self.publisher.publish(snapshot);
        self.at = Some(provider);
        self.served = Some(version);
        self.failed = None;
        Ok(())
    }

    fn fail(&mut self, record: Version, error: &StoreError) {
        let before = self.failed.take().filter(|failed| failed.record == record);
        let wait = match before {
            _ if error.may_pass() => POLL_INTERVAL,
            None => POLL_INTERVAL * 2,
            Some(failed) => (failed.wait * 2).min(LONGEST_BACKOFF),
        };
        // A little less than the wait, so that the look that comes after it finds it over.
        let again = Instant::now() + wait - POLL_INTERVAL / 2;
        self.publisher.say(Some(&with_causes(error)));
        self.failed = Some(Failed { record, wait, again });
    }
}

#[cfg(test)]
#[path = "poller_tests.rs"]
mod tests;
