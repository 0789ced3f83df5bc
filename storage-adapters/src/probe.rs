//! Proves on a live store that it honours the contract, before anybody relies on it. Does I/O through the ports.
//!
//! A store that ignores a condition, as some that speak a cloud's protocol do, would lose data silently; here it is
//! refused with the name of what it does not honour. The probe's blobs lie under [`PREFIX`] and are removed again.

use std::{future::Future, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    blob::{BlobInfo, BlobStore, GetOptions, Key, Metadata, PutMode, Version},
    error::{Error, ErrorKind},
    queue::Queue,
};

/// How often the probe looks whether another receiver has heard it.
const HEARD_EVERY: Duration = Duration::from_millis(200);

/// What the keys of the probe's blobs begin with; nobody else uses it.
pub const PREFIX: &str = "probe/";

/// How the probe's packs begin; see [`hear`].
pub const PACK: &[u8] = b"cloudshop probe ";

/// Longest time that the probe of one port takes.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Age at which a blob under [`PREFIX`] is the leaving of a probe that was killed.
const LEFT_BEHIND: Duration = Duration::from_mins(10);

/// Longest wait for a message after one was sent.
const ROUND_TRIP: Duration = Duration::from_secs(5);

/// A store that does not honour the contract, or cannot show that it does.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It did something else than the contract says.
    #[error("the store does not honour the contract: {0}; use one that does")]
    Broken(&'static str),
    /// It could not be asked.
    #[error("the store could not be tried out while it should {step}")]
    Failed {
        /// What it should do.
        step: &'static str,
        /// What went wrong.
        source: Error,
    },
    /// It took too long.
    #[error("the store did not finish being tried out within {} s; look whether it is overloaded or out of reach", TIME_LIMIT.as_secs())]
    TooSlow,
}

fn failed(step: &'static str) -> impl FnOnce(Error) -> ProbeError {
    move |source| ProbeError::Failed { step, source }
}

fn require(holds: bool, what_is_broken: &'static str) -> Result<(), ProbeError> {
    if holds { Ok(()) } else { Err(ProbeError::Broken(what_is_broken)) }
}

async fn within_limit(probe: impl Future<Output = Result<(), ProbeError>>) -> Result<(), ProbeError> {
    timeout(TIME_LIMIT, probe).await.unwrap_or(Err(ProbeError::TooSlow))
}

/// Tries out conditional puts, metadata, reading, listing and deleting.
///
/// # Errors
/// When the store does not do as the contract says, fails, or takes longer than [`TIME_LIMIT`].
pub async fn probe_blobs(store: &dyn BlobStore) -> Result<(), ProbeError> {
    // A key of its own, so that probes at the same time do not meet.
    let Ok(key) = Key::new(format!("{PREFIX}{}", Uuid::new_v4().simple())) else {
        return Err(ProbeError::Broken("the probe has no legal key"));
    };
    let outcome = within_limit(try_blobs(store, &key)).await;
    if outcome.is_err() {
        // The reason why the probe failed is what matters, not whether its blob could be removed.
        let _ = timeout(TIME_LIMIT, store.delete(&key)).await;
    }
    outcome
}

async fn try_blobs(store: &dyn BlobStore, key: &Key) -> Result<(), ProbeError> {
    let metadata: Metadata = [("probe".to_owned(), "yes".to_owned())].into();
    let put = |body: &'static str, mode| store.put(key, Bytes::from_static(body.as_bytes()), &metadata, mode);
    let refused = |outcome: Result<Version, Error>, what_is_broken| match outcome {
        Ok(_) => Err(ProbeError::Broken(what_is_broken)),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        Err(source) => Err(ProbeError::Failed { step: "refuse a put whose condition does not hold", source }),
    };

    let first = put("one", PutMode::IfAbsent).await.map_err(failed("create a blob"))?;
    refused(put("two", PutMode::IfAbsent).await, "it replaces a blob although the put said: only if there is none")?;
    let second = put("two", PutMode::IfVersion(first.clone())).await.map_err(failed("replace a blob"))?;
    require(first != second, "a replaced blob keeps its version")?;
    refused(
        put("three", PutMode::IfVersion(first)).await,
        "it replaces a blob although the put named another version of it",
    )?;

    let blob = store.get(key, GetOptions::default()).await.map_err(failed("read a blob"))?;
    require(blob.info.version == second, "a read finds another version than the last put made")?;
    require(blob.metadata == metadata, "it does not keep a blob's metadata")?;
    let body = blob.body.try_collect::<BytesMut>().await.map_err(failed("read a blob"))?;
    require(body == b"two"[..], "a read finds other bytes than were put")?;

    let listed = list(store).await?;
    require(listed.iter().any(|info| info.key == *key), "a listing lacks a blob that was put before")?;
    remove_leavings(store, &listed).await?;
    store.delete(key).await.map_err(failed("delete a blob"))?;
    let is_gone = match store.head(key).await {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(source) => return Err(ProbeError::Failed { step: "look for a deleted blob", source }),
    };
    require(is_gone, "a deleted blob is still there")?;
    let is_listed = list(store).await?.iter().any(|info| info.key == *key);
    require(!is_listed, "a listing has a blob that was deleted before")
}

async fn list(store: &dyn BlobStore) -> Result<Vec<BlobInfo>, ProbeError> {
    store.list(PREFIX, None).try_collect().await.map_err(failed("list blobs"))
}

/// Removes what probes left that were killed, by the store's own clock.
async fn remove_leavings(store: &dyn BlobStore, listed: &[BlobInfo]) -> Result<(), ProbeError> {
    let Some(newest) = listed.iter().map(|info| info.modified).max() else { return Ok(()) };
    for left in listed.iter().filter(|info| newest.duration_since(info.modified).unsigned_abs() > LEFT_BEHIND) {
        store.delete(&left.key).await.map_err(failed("delete what an earlier probe left"))?;
    }
    Ok(())
}

/// Tries out one round trip of a message. Another receiver may get the probe's message; it says so by a blob, see [`hear`].
///
/// A queue that holds messages of others shows by one of those that it delivers, and gives it out again after a second: the
/// probe's may be behind any number of them, and only whoever opens the store can take them. The probe's message stays then,
/// for a receiver to forget.
///
/// # Errors
/// When the queue does not do as the contract says, fails, or takes longer than [`TIME_LIMIT`].
pub async fn probe_queue(queue: &dyn Queue, blobs: &dyn BlobStore) -> Result<(), ProbeError> {
    within_limit(try_queue(queue, blobs)).await
}

/// Tells the probe that sent `pack` that it was delivered. False when no probe sent it; otherwise the receiver acknowledges
/// and forgets it.
///
/// # Errors
/// When that could not be told.
pub async fn hear(blobs: &dyn BlobStore, pack: &[u8]) -> Result<bool, Error> {
    let Some(heard) = heard_key(pack) else { return Ok(false) };
    blobs.put(&heard, Bytes::new(), &Metadata::new(), PutMode::Overwrite).await?;
    Ok(true)
}

/// Where a receiver says that it has heard the probe of this pack.
fn heard_key(pack: &[u8]) -> Option<Key> {
    let name = std::str::from_utf8(pack.strip_prefix(PACK)?).ok()?;
    Key::new(format!("{PREFIX}heard-{name}")).ok()
}

async fn try_queue(queue: &dyn Queue, blobs: &dyn BlobStore) -> Result<(), ProbeError> {
    let pack: Bytes = [PACK, Uuid::new_v4().simple().to_string().as_bytes()].concat().into();
    let Some(heard) = heard_key(&pack) else { return Err(ProbeError::Broken("the probe has no legal key")) };
    queue.send(pack.clone()).await.map_err(failed("send a message"))?;
    let until = Instant::now() + ROUND_TRIP;
    let mut delivers = false;
    while Instant::now() < until {
        tokio::select! {
            taken = take(queue, blobs, &pack) => match taken? {
                Taken::Own | Taken::Others => return Ok(()),
                Taken::Probe => delivers = true,
                Taken::Nothing => {}
            },
            answered = is_heard(blobs, &heard) => {
                answered?;
                return blobs.delete(&heard).await.map_err(failed("delete a blob"));
            }
        }
    }
    require(delivers, "a message that was sent is not delivered")
}

/// What a receive gave the probe.
enum Taken {
    Nothing,
    /// The probe's own message, acknowledged.
    Own,
    /// That of another probe, which was told so.
    Probe,
    /// A message for others, left to them.
    Others,
}

async fn take(queue: &dyn Queue, blobs: &dyn BlobStore, pack: &Bytes) -> Result<Taken, ProbeError> {
    let lease = Duration::from_secs(1);
    let received = queue.receive(1, lease, lease).await.map_err(failed("receive a message"))?;
    let Some(message) = received.first() else { return Ok(Taken::Nothing) };
    let taken = if message.body == *pack {
        Taken::Own
    } else if hear(blobs, &message.body).await.map_err(failed("create a blob"))? {
        Taken::Probe
    } else {
        Taken::Others
    };
    match queue.extend(&message.receipt, lease).await {
        Ok(_) if matches!(taken, Taken::Others) => {}
        Ok(receipt) => queue.ack(&receipt).await.map_err(failed("acknowledge a message"))?,
        Err(error) if error.kind() == ErrorKind::LeaseLost => {}
        Err(source) => return Err(ProbeError::Failed { step: "extend a lease", source }),
    }
    Ok(taken)
}

/// Ends when another receiver says that it has heard the probe.
async fn is_heard(blobs: &dyn BlobStore, heard: &Key) -> Result<(), ProbeError> {
    loop {
        tokio::time::sleep(HEARD_EVERY).await;
        match blobs.head(heard).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(ProbeError::Failed { step: "look for a blob", source }),
        }
    }
}
