//! A worker's end of a queue: takes packs, acts on what is in them, and acknowledges what needs nobody any more. Does I/O.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use storage_adapters::{BlobStore, Error, ErrorKind, Message, Store, config::Provider, probe};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::shard_of;

use super::{
    client::OrderClient,
    dead_letters::{bury, bury_all},
    hints,
    packs::{Pack, PackError, QueuedCommand},
    worker::Worker,
};

/// How long a pack is ours before another worker gets it; short, since a worker that dies has it too.
const LEASE: Duration = Duration::from_secs(4);

/// How often the lease of a pack under work is extended.
const EXTEND: Duration = Duration::from_secs(2);

/// How long nothing is received after a pack could not be acted on. Packs for an owner that is gone must not keep the store
/// busy that its shards are opened from; they come again when their leases end.
const REST: Duration = Duration::from_secs(1);

/// Packs taken at once.
const PACKS: usize = 10;

/// Packs under work at once, as long as all goes well.
const MOST_AT_WORK: usize = 60;

/// Orders of one pack checked at once.
const CHECKS: usize = 16;

/// How long to wait for a pack.
const WAIT: Duration = Duration::from_secs(5);

/// Longest that one call to the queue may take beyond the time it was asked to wait. What got lost in a cut of the network is
/// given up after it, so with the wait it is well within the ten seconds in which everything is applied after the cut.
const QUEUE_CALL: Duration = Duration::from_secs(3);

/// How long the owner of a shard is looked for before a pack is left to come again; shorter than until its lease is extended.
const DELIVERY: Duration = Duration::from_millis(1_500);

/// Shortest time between two looks that were asked for.
const LOOKS_APART: Duration = Duration::from_millis(250);

/// What acting on packs takes.
pub(super) struct Inbox<'a> {
    pub(super) worker: &'a Worker,
    pub(super) client: &'a OrderClient,
    /// Whose queue it is: the shop's own store, or one beside it.
    pub(super) of: &'a Store,
    /// The provider of that store.
    pub(super) provider: Provider,
}

/// How many packs are worked on at once: fewer when commands are not done in time, since all would come again and again then, and
/// be done never. Hints that are not checked say nothing of that: an owner that has too much to do leaves them for later.
struct Room(AtomicUsize);

impl Default for Room {
    fn default() -> Self {
        Self(AtomicUsize::new(MOST_AT_WORK))
    }
}

impl Room {
    fn for_packs(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes in whether a pack was done.
    fn learn(&self, done: bool) {
        let room = self.for_packs();
        let room = if done { (room + 1).min(MOST_AT_WORK) } else { (room / 2).max(1) };
        self.0.store(room, Ordering::Relaxed);
    }
}

impl Inbox<'_> {
    /// Takes packs from the queue and acts on them, until told to end. What was taken, or is being given, by then is acted on:
    /// cut off, it would come again only when its lease ends, and whoever waits for it has a second.
    pub(super) async fn empty(&self, ending: &CancellationToken) {
        let room = Room::default();
        tokio::join!(self.wait_for_packs(ending, &room), self.look_when_asked(ending, &room));
    }

    async fn wait_for_packs(&self, ending: &CancellationToken, room: &Room) {
        let mut at_work = FuturesUnordered::new();
        let mut went_well = true;
        while !ending.is_cancelled() {
            let (rest, wait) = if went_well { (Duration::ZERO, WAIT) } else { (REST, Duration::ZERO) };
            let most = room.for_packs().saturating_sub(at_work.len()).clamp(1, PACKS);
            let receiving = async {
                tokio::time::sleep(rest).await;
                self.receive(most, wait).await
            };
            tokio::pin!(receiving);
            went_well = true;
            let received = loop {
                tokio::select! {
                    received = &mut receiving => break received,
                    Some(done) = at_work.next() => went_well &= done,
                    () = ending.cancelled(), if !self.provider.holds_receives() => break Ok(Vec::new()),
                }
            };
            match received {
                Ok(packs) => at_work.extend(packs.into_iter().map(|pack| self.handle(pack, room))),
                Err(error) => {
                    tracing::warn!(%error, "packs were not received; they are looked for again");
                    went_well = false;
                }
            }
            while at_work.len() >= room.for_packs() {
                went_well &= at_work.next().await.unwrap_or(true);
            }
        }
        while at_work.next().await.is_some() {}
    }

    /// Looks at once when a customer waits for a command that is in the queue: a queue that is polled has longer pauses.
    async fn look_when_asked(&self, ending: &CancellationToken, room: &Room) {
        let mut wanted = self.worker.wanted_packs.subscribe();
        // The sender is the worker's own, so it is there.
        while let Some(Ok(())) = ending.run_until_cancelled(wanted.changed()).await {
            match self.receive(room.for_packs().min(PACKS), Duration::ZERO).await {
                Ok(packs) => {
                    futures::future::join_all(packs.into_iter().map(|pack| self.handle(pack, room))).await;
                }
                Err(error) => tracing::debug!(%error, "packs were not looked for at once"),
            }
            tokio::time::sleep(LOOKS_APART).await;
        }
    }

    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        let receiving = tokio::time::timeout(wait + QUEUE_CALL, self.of.queue.receive(most, LEASE, wait));
        receiving.await.unwrap_or_else(|_late| Err(Error::new(ErrorKind::Unavailable, "receive", "queue")))
    }

    /// Acts on one pack while keeping it, and acknowledges it when nothing is left to do; whether that is so.
    async fn handle(&self, mut message: Message, room: &Room) -> bool {
        let mut work = std::pin::pin!(self.act(message.body.clone(), room));
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                () = tokio::time::sleep(EXTEND) => match self.of.queue.extend(&message.receipt, LEASE).await {
                    Ok(receipt) => message.receipt = receipt,
                    // Another worker has it, or will: acting twice does no harm, keeping it does no good.
                    Err(error) => {
                        tracing::debug!(%error, "a pack was not kept");
                        return false;
                    }
                },
            }
        };
        if done && let Err(error) = self.of.queue.ack(&message.receipt).await {
            tracing::debug!(%error, "a pack was not acknowledged; it comes again");
        }
        done
    }

    /// Whether the pack needs nobody any more.
    async fn act(&self, message: Bytes, room: &Room) -> bool {
        let blobs = &*self.worker.settings.store.blobs;
        match Pack::decode(&message) {
            Ok(Pack::Hints { orders, .. }) => {
                let checks = futures::stream::iter(orders).map(|order| hints::check(blobs, self.client, order));
                checks.buffer_unordered(CHECKS).all(|done| async move { done }).await
            }
            Ok(Pack::Commands { commands }) => {
                let done = self.deliver_all(blobs, commands).await;
                room.learn(done);
                done
            }
            Err(error @ PackError::Newer(_)) => {
                tracing::warn!(%error, "a pack is not acted on");
                false
            }
            Err(PackError::Shape(_)) => match probe::hear(&*self.of.blobs, &message).await {
                Ok(true) => true,
                Ok(false) => bury(blobs, &message, "unreadable").await,
                Err(error) => {
                    tracing::debug!(%error, "a probe of the store was not answered; it comes again");
                    false
                }
            },
        }
    }

    /// Brings accepted commands to the owners of their shards.
    async fn deliver_all(&self, blobs: &dyn BlobStore, commands: Vec<QueuedCommand>) -> bool {
        let mut shards: BTreeMap<u16, Vec<QueuedCommand>> = BTreeMap::new();
        for command in commands {
            shards.entry(shard_of(command.order, self.client.shards())).or_default().push(command);
        }
        let deadline = Instant::now() + DELIVERY;
        let deliveries = shards.iter().map(|(shard, commands)| async move {
            match self.client.deliver(*shard, commands, deadline).await {
                Ok(dead) => bury_all(blobs, &dead).await,
                Err(error) => {
                    tracing::debug!(shard, %error, "accepted commands were not delivered; they come again");
                    false
                }
            }
        });
        let delivered = futures::future::join_all(deliveries).await;
        delivered.into_iter().all(|done| done)
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
