//! Web's way into the queue, for commands whose owner is out of reach: gathered into packs, each answered for when its pack
//! is durable. Does I/O.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use storage_adapters::{ErrorKind, MAX_PACK_BYTES, Queue};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::packs::{self, Pack, QueuedCommand};

/// Commands that wait for their pack at once; more are refused.
const MOST_WAITING: usize = 2048;

/// A pack takes along what would leave within this time.
const TOGETHER: Duration = Duration::from_millis(150);

/// Packs being sent at once.
const MOST_SENDING: usize = 64;

/// Longest that a queue is given before the next one is asked as well, and the share of the time left that it is at most.
const NEXT_AFTER: Duration = Duration::from_millis(100);
const NEXT_AFTER_SHARE: u32 = 3;

/// Whether a command is in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It is, durably.
    Yes,
    /// It is not, and never will be.
    No,
    /// Nobody knows.
    Perhaps,
}

/// A command on its way to the queue.
struct Waiting {
    command: QueuedCommand,
    bytes: usize,
    /// When its pack leaves at the latest.
    leave_at: Instant,
    /// When its customer must have been answered.
    deadline: Instant,
    settled: Settled,
    done: oneshot::Sender<Queued>,
}

/// What becomes of a command that waits is settled once: it leaves, or its customer is told that it never will. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled(Arc<AtomicBool>);

impl Settled {
    /// Whether it falls to the caller to settle it.
    pub(super) fn settle(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Hands commands to the [`Packer`]. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct WayOut(mpsc::Sender<Waiting>);

/// Gathers commands and sends them.
pub(super) struct Packer {
    incoming: mpsc::Receiver<Waiting>,
    /// The home's queue, and others to be asked when it does not answer.
    queues: Vec<Arc<dyn Queue>>,
}

/// Both ends of the way into `queues`, the home's first.
pub(super) fn way_out(queues: Vec<Arc<dyn Queue>>) -> (WayOut, Packer) {
    let (sender, incoming) = mpsc::channel(MOST_WAITING);
    (WayOut(sender), Packer { incoming, queues })
}

impl WayOut {
    /// Puts a command into a queue before `deadline`. It waits for others to share its message, until `leave_at`; nothing is
    /// sent of one that is given up by then, or that the caller has settled.
    pub(super) async fn queue(
        &self,
        command: QueuedCommand,
        leave_at: Instant,
        deadline: Instant,
        settled: Settled,
    ) -> Queued {
        // One that cannot be written was never read either.
        let bytes = serde_json::to_vec(&command).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > MAX_PACK_BYTES / 2 {
            return Queued::No;
        }
        let (done, answer) = oneshot::channel();
        if self.0.try_send(Waiting { command, bytes, leave_at, deadline, settled: settled.clone(), done }).is_err() {
            return Queued::No;
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(queued)) => queued,
            // A pod that had no core for a while may not have sent it yet.
            Ok(Err(_)) | Err(_) if settled.settle() => Queued::No,
            Ok(Err(_)) | Err(_) => Queued::Perhaps,
        }
    }
}

impl Packer {
    /// Works for as long as it is polled.
    pub(super) async fn run(mut self) -> Infallible {
        let mut gathered: Vec<Waiting> = Vec::new();
        let mut sending = FuturesUnordered::new();
        loop {
            let leave_at = gathered.iter().map(|waiting| waiting.leave_at).min();
            let is_full = gathered.iter().map(|waiting| waiting.bytes).sum::<usize>() >= MAX_PACK_BYTES;
            tokio::select! {
                biased;
                Some(()) = sending.next() => {}
                () = leave(leave_at, is_full), if sending.len() < MOST_SENDING => {
                    gathered.retain(|waiting| !waiting.done.is_closed());
                    let now = Instant::now();
                    if is_full || gathered.iter().any(|waiting| waiting.leave_at <= now) {
                        let (leaving, staying): (Vec<_>, Vec<_>) =
                            gathered.into_iter().partition(|waiting| is_full || waiting.leave_at <= now + TOGETHER);
                        gathered = staying;
                        let leaving = leaving.into_iter().filter(|waiting| waiting.settled.settle()).collect();
                        for pack in packs::cut(leaving, |waiting| waiting.bytes) {
                            sending.push(send(&self.queues, pack));
                        }
                    }
                }
                // The web server ends before this does, and with it the last sender.
                Some(waiting) = self.incoming.recv(), if gathered.len() < MOST_WAITING => gathered.push(waiting),
                else => std::future::pending().await,
            }
        }
    }
}

/// Returns when what was gathered is to leave; never when that is nothing.
async fn leave(at: Option<Instant>, now: bool) {
    match at {
        Some(_) if now => {}
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Sends a pack and tells its customers.
async fn send(queues: &[Arc<dyn Queue>], pack: Vec<Waiting>) {
    // Each customer waits for as long as its own deadline says.
    let deadline = pack.iter().map(|waiting| waiting.deadline).max().unwrap_or_else(Instant::now);
    let (commands, customers): (Vec<_>, Vec<_>) =
        pack.into_iter().map(|waiting| (waiting.command, waiting.done)).unzip();
    let outcome = match (Pack::Commands { commands }).encode() {
        Ok(message) => send_to_any(queues, &message, deadline).await,
        Err(error) => {
            tracing::error!(%error, "a pack of commands could not be written");
            Queued::No
        }
    };
    for customer in customers {
        // A customer who has gone away needs no answer.
        let _ = customer.send(outcome);
    }
}

/// Sends to the first queue, and to the next as well when that fails or takes its time: a command that is in two queues
/// takes effect once.
async fn send_to_any(queues: &[Arc<dyn Queue>], message: &bytes::Bytes, deadline: Instant) -> Queued {
    let mut queues = queues.iter();
    let mut trying = FuturesUnordered::new();
    let mut outcome = Queued::No;
    loop {
        if let Some(queue) = queues.next() {
            trying.push(queue.send(message.clone()));
        } else if trying.is_empty() {
            return outcome;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = if queues.len() > 0 { NEXT_AFTER.min(left / NEXT_AFTER_SHARE) } else { left };
        match timeout(patience, trying.next()).await {
            Ok(Some(Ok(()))) => return Queued::Yes,
            Ok(Some(Err(error))) => {
                tracing::warn!(%error, "a queue did not take commands");
                if error.kind() == ErrorKind::Unknown {
                    outcome = Queued::Perhaps;
                }
            }
            Ok(None) => {}
            Err(_late) if Instant::now() >= deadline => {
                tracing::warn!(tried = trying.len(), "no queue said in time whether it has commands");
                return Queued::Perhaps;
            }
            Err(_late) => {}
        }
    }
}

#[cfg(test)]
#[path = "queueing_tests.rs"]
mod tests;
