//! Dead letters: messages that nobody can ever use, kept as blobs where people find them. Does I/O.

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use storage_adapters::{BlobStore, Error, ErrorKind, GetOptions, Key, Metadata, PutMode};

use crate::hex;

use super::{blobs, protocol::DeadCommand};

/// Where they are.
const DEAD: &str = "dead/";

/// Most dead letters that are counted.
const MOST_COUNTED: usize = 1000;

/// Keeps what nobody can use where people find it; `true` when it is there.
pub(super) async fn bury(blobs: &dyn BlobStore, body: &Bytes, reason: &str) -> bool {
    let name = format!("{DEAD}{reason}-{}", hex::encode(&Sha256::digest(body)[..16]));
    let buried = async { keep(blobs, &blobs::key(&name)?, body.clone()).await };
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

/// Keeps a letter; one that is named for its content is kept once.
async fn keep(blobs: &dyn BlobStore, key: &Key, body: Bytes) -> Result<(), Error> {
    let metadata = Metadata::new();
    match blobs::bounded("put", key.as_str(), blobs.put(key, body, &metadata, PutMode::IfAbsent)).await {
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        other => other.map(drop),
    }
}

/// Copies the letters of one store into another, where people look for them from now on.
pub(super) async fn copy_all(from: &dyn BlobStore, to: &dyn BlobStore) -> Result<(), Error> {
    for letter in blobs::list(from, DEAD, MOST_COUNTED).await? {
        let read = async { from.get(&letter.key, GetOptions::default()).await?.body.try_collect::<BytesMut>().await };
        let body = blobs::bounded("get", letter.key.as_str(), read).await?;
        keep(to, &letter.key, body.freeze()).await?;
    }
    Ok(())
}

/// Keeps accepted commands that can never be applied; whether all are kept.
pub(super) async fn bury_all(blobs: &dyn BlobStore, dead: &[DeadCommand]) -> bool {
    for command in dead {
        // Strings and numbers: nothing in it can fail to be written.
        let letter = serde_json::to_vec(command).unwrap_or_default();
        if !bury(blobs, &letter.into(), "never-applied").await {
            return false;
        }
    }
    true
}

/// Counts the dead letters, up to so many.
pub(super) async fn count(blobs: &dyn BlobStore) -> Result<u64, Error> {
    let dead = blobs::list(blobs, DEAD, MOST_COUNTED).await?.len();
    Ok(u64::try_from(dead).unwrap_or(u64::MAX))
}
