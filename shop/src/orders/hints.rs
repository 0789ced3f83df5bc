//! Hints: submitted orders go through the queue to any worker, which checks them and has them confirmed. Does I/O.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use shop_contract::status::QueueStatus;
use storage_adapters::{BlobStore, Error, ErrorKind, Message, Metadata, PutMode, Store, probe};
use tokio_util::sync::CancellationToken;

use crate::domain::{Command, IdempotencyKey, OrderId, Refusal, Request, Status};

use super::{
    answer::OrderError,
    blobs,
    client::OrderClient,
    hex,
    protocol::{FORMAT, HintPack},
    worker::Worker,
};

/// How often submitted orders are gathered into a pack.
const GATHER: Duration = Duration::from_millis(100);

/// How long to wait after the queue did not take or give anything.
const QUEUE_AGAIN: Duration = Duration::from_secs(1);

/// How long a pack is ours before another worker gets it; short, since a worker that dies has it too.
const LEASE: Duration = Duration::from_secs(4);

/// How often the lease of a pack under work is extended.
const EXTEND: Duration = Duration::from_secs(2);

/// Packs taken at once.
const PACKS: usize = 10;

/// Orders of one pack checked at once.
const CHECKS: usize = 16;

/// How long to wait for a pack.
const WAIT: Duration = Duration::from_secs(5);

/// Longest that one call to the queue may take beyond the time it was asked to wait.
const QUEUE_CALL: Duration = Duration::from_secs(5);

/// Where messages go that nobody can ever use.
const DEAD: &str = "dead/";

/// Most dead letters that are counted.
const MOST_COUNTED: usize = 1000;

/// Sends hints of the orders submitted on this worker's shards, until told to end.
pub(super) async fn publish(worker: &Worker, ending: &CancellationToken) {
    loop {
        let mut pause = GATHER;
        for shard in worker.service.shards() {
            let orders = shard.take_due_hints(HintPack::MOST);
            if orders.is_empty() {
                continue;
            }
            if let Err(error) = send(worker, shard.number, &orders).await {
                tracing::warn!(shard = shard.number, %error, "hints were not sent; they are sent again");
                shard.return_hints(&orders);
                pause = QUEUE_AGAIN;
            }
        }
        if ending.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn send(worker: &Worker, shard: u16, orders: &[OrderId]) -> Result<(), Error> {
    let pack = HintPack { format: FORMAT, shard, orders: orders.to_vec() };
    let body = serde_json::to_vec(&pack)
        .map_err(|error| Error::new(ErrorKind::Internal, "encode", "hints").with_source(error))?;
    let sending = worker.settings.store.queue.send(body.into());
    tokio::time::timeout(QUEUE_CALL, sending)
        .await
        .unwrap_or_else(|_late| Err(Error::new(ErrorKind::Unavailable, "send", "hints")))
}

/// Takes hints from the queue and acts on them, until told to end.
pub(super) async fn consume(worker: &Worker, client: &OrderClient, ending: &CancellationToken) {
    let queue = &worker.settings.store.queue;
    while !ending.is_cancelled() {
        let receiving = tokio::time::timeout(WAIT + QUEUE_CALL, queue.receive(PACKS, LEASE, WAIT));
        let Some(received) = ending.run_until_cancelled(receiving).await else { return };
        let packs = match received.unwrap_or_else(|_late| Err(Error::new(ErrorKind::Unavailable, "receive", "hints"))) {
            Ok(packs) => packs,
            Err(error) => {
                tracing::warn!(%error, "hints were not received; they are looked for again");
                let _ = ending.run_until_cancelled(tokio::time::sleep(QUEUE_AGAIN)).await;
                continue;
            }
        };
        let work = futures::future::join_all(packs.into_iter().map(|pack| handle(worker, client, pack)));
        // What is cut off here is delivered again.
        if ending.run_until_cancelled(work).await.is_none() {
            return;
        }
    }
}

/// Acts on one pack while keeping it, and acknowledges it when nothing is left to do.
async fn handle(worker: &Worker, client: &OrderClient, mut message: Message) {
    let queue = &worker.settings.store.queue;
    let mut work = std::pin::pin!(act(worker, client, message.body.clone()));
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep(EXTEND) => match queue.extend(&message.receipt, LEASE).await {
                Ok(receipt) => message.receipt = receipt,
                // Another worker has it, or will: acting twice does no harm, keeping it does no good.
                Err(error) => {
                    tracing::debug!(%error, "a pack of hints was not kept");
                    return;
                }
            },
        }
    };
    if done && let Err(error) = queue.ack(&message.receipt).await {
        tracing::debug!(%error, "a pack of hints was not acknowledged; it comes again");
    }
}

/// Whether the pack needs nobody any more.
async fn act(worker: &Worker, client: &OrderClient, body: Bytes) -> bool {
    let blobs = &*worker.settings.store.blobs;
    let pack = match serde_json::from_slice::<HintPack>(&body) {
        Ok(pack) if pack.format > FORMAT => {
            tracing::warn!(format = pack.format, "a pack of hints is of a newer format; it is left to a newer worker");
            return false;
        }
        Ok(pack) if pack.orders.len() <= HintPack::MOST => pack,
        _ => {
            return match probe::hear(blobs, &body).await {
                Ok(true) => true,
                Ok(false) => bury(blobs, &body, "unreadable").await,
                Err(error) => {
                    tracing::debug!(%error, "a probe of the store was not answered; it comes again");
                    false
                }
            };
        }
    };
    futures::stream::iter(pack.orders)
        .map(|order| check(blobs, client, order))
        .buffer_unordered(CHECKS)
        .all(|done| async move { done })
        .await
}

/// Has a submitted order confirmed, or cancelled when its totals are wrong; `true` when nothing is left to do.
async fn check(blobs: &dyn BlobStore, client: &OrderClient, id: OrderId) -> bool {
    let order = match client.read(id).await {
        Ok(answer) => answer.order,
        // It was never made durable, so there is nothing to confirm.
        Err(OrderError::Refused(Refusal::OrderNotFound)) => return true,
        Err(error) => {
            tracing::debug!(%error, "a submitted order was not read; its hint comes again");
            return false;
        }
    };
    if order.status != Status::Submitted {
        return true;
    }
    let request = if order.adds_up() {
        Request::new(IdempotencyKey::of_shop("confirm"), Command::Confirm)
    } else {
        tracing::error!(order = %id, "the totals of a submitted order are wrong; it is cancelled");
        let letter = serde_json::to_vec(&order).unwrap_or_default();
        if !bury(blobs, &letter.into(), "wrong-totals").await {
            return false;
        }
        let reason = Some("its totals do not add up".to_owned());
        Request::new(IdempotencyKey::of_shop("cancel"), Command::Cancel { reason })
    };
    match client.execute(id, request).await {
        // Refused: it was confirmed or cancelled meanwhile.
        Ok(_) | Err(OrderError::Refused(_)) => true,
        Err(error) => {
            tracing::debug!(%error, "a submitted order was not confirmed; its hint comes again");
            false
        }
    }
}

/// Keeps what nobody can use where people find it; `true` when it is there.
async fn bury(blobs: &dyn BlobStore, body: &Bytes, reason: &str) -> bool {
    let name = format!("{DEAD}{reason}-{}", hex::encode(&Sha256::digest(body)[..16]));
    let buried = async {
        let key = blobs::key(&name)?;
        // Named for its content, so the same letter is kept once.
        match blobs::bounded("put", &name, blobs.put(&key, body.clone(), &Metadata::new(), PutMode::IfAbsent)).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            other => other.map(drop),
        }
    };
    match buried.await {
        Ok(()) => {
            tracing::error!(letter = name, "a message that nobody can use was kept as a dead letter");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "a dead letter was not kept; its message comes again");
            false
        }
    }
}

/// Counts the queue and the dead letters.
pub(super) async fn count(store: &Store) -> Result<QueueStatus, Error> {
    let depth = blobs::bounded("depth", "queue", store.queue.depth()).await?;
    let dead = blobs::list(&*store.blobs, DEAD, MOST_COUNTED).await?.len();
    Ok(QueueStatus { depth: depth.waiting + depth.leased, dead_letters: u64::try_from(dead).unwrap_or(u64::MAX) })
}

#[cfg(test)]
mod tests {
    use storage_adapters::MAX_PACK_BYTES;
    use uuid::Uuid;

    use super::*;
    use crate::domain::OrderIdSecret;

    #[test]
    fn the_largest_pack_fits_a_message() {
        let order = OrderId::derive(&OrderIdSecret::new([0; 32]), &IdempotencyKey::from_uuid(Uuid::nil()));
        let pack = HintPack { format: u32::MAX, shard: u16::MAX, orders: vec![order; HintPack::MOST] };
        assert!(serde_json::to_vec(&pack).expect("encodes").len() <= MAX_PACK_BYTES);
    }
}
