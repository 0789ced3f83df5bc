//! Opens one shard, hands one over, and tells other workers. Does I/O.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::super::{
    home::Home,
    lease::{Holder, Lease},
    memory::Memory,
    opening::{OpenShardError, Opening},
    protocol::{FORMAT, GIFTS_PATH, GiftMessage, encode},
    registry::Swap,
    shard::{Shard, Term},
    worker::Worker,
};

/// Longest that another worker is waited for when it is told something.
pub(super) const NUDGE: Duration = Duration::from_millis(300);

/// How long to wait after a shard was not opened. Whatever is wrong is still wrong a moment later, and each try costs an
/// epoch and a dozen requests.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Longest that a worker that leaves waits until what it gave is served, before it gives the next.
const GIVING: Duration = Duration::from_secs(2);

/// What came of opening a shard.
pub(super) struct Opened {
    pub(super) number: u16,
    pub(super) lease: Lease,
    pub(super) result: Result<Shard, OpenShardError>,
}

/// Opens the database of a lease that was won.
pub(super) async fn open(
    worker: Arc<Worker>,
    home: Arc<Home>,
    term: Arc<Term>,
    number: u16,
    lease: Lease,
    failures: u32,
) -> Opened {
    let result = try_open(&worker, &home, term, number, &lease, failures).await;
    if result.is_err() {
        tokio::time::sleep(OPEN_AGAIN).await;
    }
    Opened { number, lease, result }
}

async fn try_open(
    worker: &Worker,
    home: &Home,
    term: Arc<Term>,
    number: u16,
    lease: &Lease,
    failures: u32,
) -> Result<Shard, OpenShardError> {
    let memory = worker.memories.take(number, lease);
    let opening = Opening {
        blobs: Arc::clone(&home.blobs),
        shard: number,
        lease: lease.clone(),
        clock: Arc::clone(&worker.clock),
        steady: Arc::clone(&worker.steady),
        memory: memory.unwrap_or_else(|| Memory::of_stranger(worker.recent.of_opening())),
        flush_interval: home.flush_interval,
        failures,
        #[cfg(feature = "planted-bugs")]
        bug: *worker.bug.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
    };
    let opened = opening
        .open(|| async {
            let leases = home.registry.leases().await;
            leases.is_ok_and(|(leases, _)| leases.shards.get(&number) == Some(lease))
        })
        .await?;
    let (capacity, metrics) = (Arc::clone(&worker.capacity), worker.settings.metrics.clone());
    let shard = Shard::serve(&opening, opened, term, capacity, metrics);
    if lease.new {
        // From here on a missing database is a loss, not a beginning. Nothing was answered before.
        let created = home.registry.swap(number, lease, |lease| Lease { new: false, ..lease.clone() }).await;
        if !matches!(created, Ok(Swap::Won(_))) {
            shard.abandon().await;
            return Err(OpenShardError::Lost);
        }
    }
    Ok(shard)
}

/// Closes a shard and gives its lease to `to`, or back.
pub(super) async fn hand_over(
    worker: Arc<Worker>,
    home: Arc<Home>,
    shard: Arc<Shard>,
    lease: Lease,
    to: Option<Holder>,
) -> u16 {
    let number = shard.number;
    shard.prepare_hand_over().await;
    worker.service.closing(Arc::clone(&shard));
    let closed_in = shard.hand_over().await;
    // Whether or not the last flush came through: what was answered is durable, and nobody writes here any more.
    let floor = shard.clock_millis();
    let expected = Lease { new: false, ..lease };
    let swapped = home.registry.swap(number, &expected, |lease| lease.given_to(to.clone(), closed_in, floor)).await;
    let flushed = closed_in.is_some();
    let given = match swapped {
        Ok(Swap::Won(lease)) => {
            let to = to.as_ref().map(|to| to.boot_id.as_str());
            tracing::info!(shard = number, flushed, to, "handed a shard over");
            worker.service.learn_one(number, lease.clone());
            Some(lease)
        }
        Ok(Swap::Lost) => {
            tracing::info!(shard = number, "the shard had been taken over already");
            None
        }
        Err(error) => {
            tracing::warn!(shard = number, %error, "the lease was not given away; it is taken when it is old");
            None
        }
    };
    let gift = to
        .zip(given)
        .map(|(to, lease)| (to.address, GiftMessage { format: FORMAT, shard: number, lease, wait: false }));
    if let Some((address, gift)) = &gift {
        tell(&worker, address, GIFTS_PATH, gift, NUDGE).await;
    }
    // Those who waited learn now whom to ask, and that one knows.
    worker.service.remove(number, shard.epoch);
    if let Some((address, gift)) = gift
        && worker.is_leaving()
    {
        // The next shard is given when this one is served: two at once would share the store.
        tell(&worker, &address, GIFTS_PATH, &GiftMessage { wait: true, ..gift }, GIVING).await;
    }
    number
}

/// Tells another worker something, and waits for as long as `patience` until it has done what follows.
pub(super) async fn tell(
    worker: &Worker,
    address: &str,
    path: &'static str,
    message: &impl Serialize,
    patience: Duration,
) {
    let token = worker.settings.token.current();
    let telling = worker.transport.post(address, path, &token, encode(message));
    // It looks by itself before long.
    match tokio::time::timeout(patience, telling).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, address, path, "another worker was not told something"),
        Err(_late) => tracing::debug!(address, path, "another worker was told something and did not answer"),
    }
}
