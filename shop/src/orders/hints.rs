//! Hints: submitted orders go through the queue to any worker, which checks them and has them confirmed. Does I/O.

use std::time::Duration;

use storage_adapters::{BlobStore, Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use crate::domain::{Command, IdempotencyKey, OrderId, Refusal, Request, Status};

use super::{answer::OrderError, client::OrderClient, dead_letters::bury, packs::Pack, worker::Worker};

/// How often submitted orders are gathered into a pack.
const GATHER: Duration = Duration::from_millis(100);

/// How long to wait after the queue did not take a pack.
const SEND_AGAIN: Duration = Duration::from_secs(1);

/// Longest that sending a pack may take.
const SEND: Duration = Duration::from_secs(5);

/// Sends hints of the orders submitted on this worker's shards, until told to end.
pub(super) async fn publish(worker: &Worker, ending: &CancellationToken) {
    loop {
        let mut pause = GATHER;
        for shard in worker.service.shards() {
            let orders = shard.take_due_hints(Pack::MOST_HINTS);
            if orders.is_empty() {
                continue;
            }
            if let Err(error) = send(worker, shard.number, &orders).await {
                tracing::warn!(shard = shard.number, %error, "hints were not sent; they are sent again");
                shard.return_hints(&orders);
                pause = SEND_AGAIN;
            }
            #[cfg(feature = "planted-bugs")]
            if *worker.bug.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
                == Some(super::planted::Bug::ForgetOnceSent)
            {
                shard.forget_outbox(&orders).await;
            }
        }
        if ending.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn send(worker: &Worker, shard: u16, orders: &[OrderId]) -> Result<(), Error> {
    let pack = Pack::Hints { shard, orders: orders.to_vec() };
    let message =
        pack.encode().map_err(|error| Error::new(ErrorKind::Internal, "encode", "hints").with_source(error))?;
    let sending = worker.settings.store.queue.send(message);
    tokio::time::timeout(SEND, sending)
        .await
        .unwrap_or_else(|_late| Err(Error::new(ErrorKind::Unavailable, "send", "hints")))
}

/// Has a submitted order confirmed, or cancelled when its totals are wrong; `true` when nothing is left to do.
pub(super) async fn check(blobs: &dyn BlobStore, client: &OrderClient, id: OrderId) -> bool {
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
