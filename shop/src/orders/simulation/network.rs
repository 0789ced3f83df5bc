//! The network between simulated hosts: questions that are slow, lost, doubled or late, as the troubles of the moment say.
//!
//! What is asked runs on the host that is asked, also when the asker has stopped or died meanwhile: so a write of a process
//! that is gone may still reach the store.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, http};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    time::Time,
    trouble::{Fault, Trouble},
};
use crate::orders::transport::{Transport, TransportError};

/// How much sooner than others the copies arrive of what is doubled only while there is no answer.
const HURRIED: u32 = 20;

/// A host of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    Web(u8),
    Worker(u8),
    Blobs,
    Queue,
    /// The queue of another cloud.
    OtherQueue,
    Customers,
}

/// Work that a host does when a question has reached it.
pub(super) struct Delivery {
    /// How long the question is still under way.
    after: Duration,
    work: BoxFuture<'static, ()>,
}

impl Delivery {
    /// Does the work when the question has arrived.
    pub(super) async fn arrive(self) {
        sleep(self.after).await;
        self.work.await;
    }
}

/// Why there is no answer, and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Nobody is there.
    Unreached,
    /// Whoever was asked is gone.
    Broken,
}

/// The network. Clones share it.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<State>>);

struct State {
    time: Time,
    random: StdRng,
    hosts: BTreeMap<Place, mpsc::UnboundedSender<Delivery>>,
    addresses: BTreeMap<String, (Place, Router)>,
    troubles: Vec<Trouble>,
    trace: DefaultHasher,
    /// When the last question arrives that is under way.
    latest: Duration,
}

/// What becomes of one question.
#[derive(Debug, Hash)]
struct Fate {
    there: Duration,
    back: Duration,
    arrives: bool,
    is_answered: bool,
    again: Option<Duration>,
}

impl fmt::Debug for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Network {
    pub(super) fn new(seed: u64, time: Time) -> Self {
        Self(Arc::new(Mutex::new(State {
            time,
            random: StdRng::seed_from_u64(seed),
            hosts: BTreeMap::new(),
            addresses: BTreeMap::new(),
            troubles: Vec::new(),
            trace: DefaultHasher::new(),
            latest: Duration::ZERO,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn since_boot(&self) -> Duration {
        self.state().time.since_boot()
    }

    /// A host that takes questions from now on.
    pub(super) fn join(&self, place: Place) -> mpsc::UnboundedReceiver<Delivery> {
        let (sender, inbox) = mpsc::unbounded_channel();
        self.state().hosts.insert(place, sender);
        inbox
    }

    /// A host that is gone, and what it served.
    pub(super) fn leave(&self, place: Place) {
        let mut state = self.state();
        state.hosts.remove(&place);
        state.addresses.retain(|_, (at, _)| *at != place);
    }

    /// What a host serves at an address.
    pub(super) fn serve(&self, place: Place, address: &str, router: Router) {
        self.state().addresses.insert(address.to_owned(), (place, router));
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        self.state().troubles.push(trouble);
    }

    /// Ends the troubles that are over.
    pub(super) fn heal(&self, is_over: impl Fn(&Trouble) -> bool) {
        self.state().troubles.retain(|trouble| !is_over(trouble));
    }

    /// A number of the seed's own.
    pub(super) fn draw(&self, below: u64) -> u64 {
        self.state().random.random_range(0..below)
    }

    /// One of several, as the seed says; there must be one.
    pub(super) fn choose<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.draw(from.len() as u64)).expect("few")]
    }

    /// Takes something that happened into the trace.
    pub(super) fn note(&self, what: impl Hash) {
        let mut state = self.state();
        let now = state.time.since_boot();
        (now, what).hash(&mut state.trace);
    }

    /// What tells one run from another: the same seed gives the same number.
    pub(super) fn trace(&self) -> u64 {
        self.state().trace.finish()
    }

    /// Whether every question that was late has arrived.
    pub(super) fn is_quiet(&self) -> bool {
        let state = self.state();
        // What is asked in the meantime takes milliseconds.
        state.latest <= state.time.since_boot() + Duration::from_millis(10)
    }

    /// Has `work` done at `to`. An answer that is lost never comes: the asker's patience is its own.
    ///
    /// With `is_dropped`, work ends when its asker has gone, as an HTTP server does; and what is doubled is done twice only
    /// while there is no answer yet, since a connection doubles nothing and whoever asks again does so for want of one.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        (from, to): (Place, Place),
        what: &str,
        is_dropped: bool,
        work: impl Fn() -> BoxFuture<'static, T>,
    ) -> Result<T, NoAnswer> {
        let (fate, inbox) = {
            let mut state = self.state();
            let fate = state.fate(from, to);
            let now = state.time.since_boot();
            (now, from, to, what, &fate).hash(&mut state.trace);
            state.latest = state.latest.max(now + fate.there.max(fate.again.unwrap_or_default()));
            (fate, state.hosts.get(&to).cloned())
        };
        if !fate.arrives {
            return std::future::pending().await;
        }
        let Some(inbox) = inbox else {
            sleep(fate.there).await;
            return Err(NoAnswer::Unreached);
        };
        let answered = CancellationToken::new();
        let _answered_when_over = answered.clone().drop_guard();
        if let Some(after) = fate.again {
            let (work, until) = (work(), if is_dropped { answered } else { CancellationToken::new() });
            let work = async move { drop(until.run_until_cancelled(work).await) };
            let after = if is_dropped { after / HURRIED } else { after };
            let _ = inbox.send(Delivery { after, work: work.boxed() });
        }
        let (mut reply, answer) = oneshot::channel();
        let asked = work();
        let work = async move {
            tokio::select! {
                biased;
                done = asked => drop(reply.send(done)),
                () = reply.closed(), if is_dropped => {}
            }
        };
        if inbox.send(Delivery { after: fate.there, work: work.boxed() }).is_err() {
            return Err(NoAnswer::Unreached);
        }
        let answer = answer.await.map_err(|_| NoAnswer::Broken);
        if !fate.is_answered {
            return std::future::pending().await;
        }
        sleep(fate.back).await;
        answer
    }
}

impl State {
    fn fate(&mut self, from: Place, to: Place) -> Fate {
        let random = &mut self.random;
        let mut millis = |range: std::ops::Range<u64>| Duration::from_millis(random.random_range(range));
        let mut fate = Fate { there: millis(1..4), back: millis(1..4), arrives: true, is_answered: true, again: None };
        for trouble in self.troubles.iter().filter(|trouble| trouble.is_between(from, to)) {
            let chance = self.random.random_range(0..100);
            let wait = self.random.random_range(0..1_000);
            match trouble.fault {
                Fault::CutThere | Fault::Cut => fate.arrives = false,
                Fault::CutBack => fate.is_answered = false,
                Fault::Slow => fate.there += Duration::from_millis(wait),
                Fault::Lost => fate.arrives &= chance >= 30,
                Fault::LostReply => fate.is_answered &= chance >= 30,
                Fault::Doubled if chance < 50 => fate.again = Some(fate.there + Duration::from_millis(wait * 3)),
                Fault::Late if chance < 30 => fate.there += Duration::from_millis(2_000 + wait * 10),
                Fault::Doubled | Fault::Late | Fault::Crash | Fault::Pause | Fault::ClockJump => {}
            }
        }
        fate
    }
}

/// The internal API over the simulated network.
#[derive(Debug)]
pub(super) struct SimulatedHttp {
    pub(super) from: Place,
    pub(super) network: Network,
}

#[async_trait::async_trait]
impl Transport for SimulatedHttp {
    async fn post(
        &self,
        address: &str,
        path: &'static str,
        token: &str,
        body: Bytes,
    ) -> Result<reqwest::Response, TransportError> {
        let Some((to, router)) = self.network.state().addresses.get(address).cloned() else {
            return Err(TransportError::Unreached);
        };
        let bearer = format!("Bearer {token}");
        let work = || {
            let request = http::Request::post(path)
                .header(http::header::AUTHORIZATION, &bearer)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.clone()))
                .expect("a request");
            serve(router.clone(), request).boxed()
        };
        match self.network.ask((self.from, to), path, true, work).await {
            Ok(response) => Ok(response),
            Err(NoAnswer::Unreached) => Err(TransportError::Unreached),
            // A connection that breaks looks to the asker like an answer that stops; HTTP errors cannot be made by hand.
            Err(NoAnswer::Broken) => Ok(broken()),
        }
    }
}

/// Answers on the host that is asked; the parts of a body that comes later are passed on.
async fn serve(router: Router, request: http::Request<Body>) -> reqwest::Response {
    let (head, mut body) = router.oneshot(request).await.unwrap_or_else(|never| match never {}).into_parts();
    let (parts, passed_on) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(part) = body.frame().await {
            let Ok(part) = part else { return };
            if let Ok(data) = part.into_data()
                && parts.send(Some(data)).is_err()
            {
                return;
            }
        }
        let _ = parts.send(None);
    });
    response(http::Response::from_parts(head, passed_on))
}

fn broken() -> reqwest::Response {
    let (_, nothing) = mpsc::unbounded_channel();
    response(http::Response::new(nothing))
}

fn response(response: http::Response<mpsc::UnboundedReceiver<Option<Bytes>>>) -> reqwest::Response {
    let body = |parts| {
        futures::stream::unfold(Some(parts), async |parts: Option<mpsc::UnboundedReceiver<Option<Bytes>>>| {
            let mut parts = parts?;
            match parts.recv().await {
                Some(Some(data)) => Some((Ok(data), Some(parts))),
                Some(None) => None,
                // Whoever answered is gone.
                None => Some((Err(std::io::ErrorKind::ConnectionReset.into()), None::<_>)),
            }
        })
    };
    reqwest::Response::from(response.map(|parts| {
        let body: std::pin::Pin<Box<dyn futures::Stream<Item = std::io::Result<Bytes>> + Send>> = Box::pin(body(parts));
        reqwest::Body::wrap_stream(body)
    }))
}
