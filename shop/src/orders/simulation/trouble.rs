//! What goes wrong in a simulation: which fault, where, and in which state of the shop it begins.

use std::{fmt, time::Duration};

use super::network::Place;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    /// A process ends without a word, and is started again.
    Crash,
    /// A process stands still, and goes on.
    Pause,
    /// The time of day is off by up to an hour from now on.
    ClockJump,
    /// Nothing gets through, in both directions.
    Cut,
    /// Questions do not get through.
    CutThere,
    /// Answers do not get through.
    CutBack,
    /// Questions take up to a second.
    Slow,
    /// Some questions are lost.
    Lost,
    /// Some answers are lost.
    LostReply,
    /// Some questions arrive twice, the second time up to three seconds later.
    Doubled,
    /// Some questions arrive after two to twelve seconds, when nobody expects them any more.
    Late,
}

/// Faults of a process.
const OF_HOSTS: [Fault; 3] = [Fault::Crash, Fault::Pause, Fault::ClockJump];

/// Faults of the network.
const OF_LINKS: [Fault; 8] = [
    Fault::Cut,
    Fault::CutThere,
    Fault::CutBack,
    Fault::Slow,
    Fault::Lost,
    Fault::LostReply,
    Fault::Doubled,
    Fault::Late,
];

/// Where something goes wrong: a kind of process, or a kind of link, named by who asks and who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Where {
    Web,
    Worker,
    WebToWorker,
    WorkerToWorker,
    WebToBlobs,
    WebToQueue,
    WorkerToBlobs,
    WorkerToQueue,
}

const HOSTS: [Where; 2] = [Where::Web, Where::Worker];
const LINKS: [Where; 6] = [
    Where::WebToWorker,
    Where::WorkerToWorker,
    Where::WebToBlobs,
    Where::WebToQueue,
    Where::WorkerToBlobs,
    Where::WorkerToQueue,
];

/// What the shop is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Doing {
    /// Every shard is served, and the queue is empty.
    Serving,
    /// Some shard is served by nobody: it is given, taken over or opened.
    Moving,
    /// Commands are in the queue.
    Queueing,
}

const DOINGS: [Doing; 3] = [Doing::Serving, Doing::Moving, Doing::Queueing];

/// A cell of the table that no run of all seeds leaves empty.
pub(super) type Cell = (Fault, Where, Doing);

/// All cells.
pub(super) fn cells() -> Vec<Cell> {
    let hosts = OF_HOSTS.iter().flat_map(|fault| HOSTS.iter().map(move |place| (*fault, *place)));
    let links = OF_LINKS.iter().flat_map(|fault| LINKS.iter().map(move |place| (*fault, *place)));
    hosts.chain(links).flat_map(|(fault, place)| DOINGS.iter().map(move |doing| (fault, place, *doing))).collect()
}

/// One thing that goes wrong with the network or a host, until it is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) fault: Fault,
    pub(super) place: Where,
    /// The one process it is about; without one, every process of the kind.
    pub(super) only: Option<Place>,
    /// Whether a trouble with the queue is none with the queue of another cloud.
    pub(super) spares_other_queue: bool,
    pub(super) until: Duration,
}

impl Trouble {
    /// Whether it concerns a question from one host to another.
    pub(super) fn is_between(&self, from: Place, to: Place) -> bool {
        if to == Place::OtherQueue && self.spares_other_queue {
            return false;
        }
        let link = match (from, to) {
            (Place::Web(_), Place::Worker(_)) => Where::WebToWorker,
            (Place::Worker(_), Place::Worker(_)) => Where::WorkerToWorker,
            (Place::Web(_), Place::Blobs) => Where::WebToBlobs,
            (Place::Web(_), Place::Queue | Place::OtherQueue) => Where::WebToQueue,
            (Place::Worker(_), Place::Blobs) => Where::WorkerToBlobs,
            (Place::Worker(_), Place::Queue | Place::OtherQueue) => Where::WorkerToQueue,
            _ => return false,
        };
        self.place == link && self.only.is_none_or(|only| only == from || only == to)
    }
}

impl fmt::Display for Where {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Web => "web",
            Self::Worker => "worker",
            Self::WebToWorker => "web to worker",
            Self::WorkerToWorker => "worker to worker",
            Self::WebToBlobs => "web to blobs",
            Self::WebToQueue => "web to queue",
            Self::WorkerToBlobs => "worker to blobs",
            Self::WorkerToQueue => "worker to queue",
        })
    }
}
