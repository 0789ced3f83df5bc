//! Small records as blobs: read whole, written by compare-and-swap, every call bounded in time and size. Does I/O.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Serialize, de::DeserializeOwned};
use storage_adapters::{BlobInfo, BlobStore, Error, ErrorKind, GetOptions, Key, Metadata, PutMode, Version};

/// Largest record; the leases of 64 shards take less than a quarter of it.
const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// Longest that one call may take. A lease's validity is shorter than this many retries, so callers never wait for more.
const CALL: Duration = Duration::from_secs(4);

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The store could not be asked.
    #[error("{0}")]
    Store(#[from] Error),
    /// It was written by a newer version of the shop.
    #[error(
        "{key} has format {found}, this version reads up to {known}; run the version that wrote it, or a newer one"
    )]
    Newer {
        /// Which record.
        key: Key,
        /// Its format.
        found: u32,
        /// The newest format of this version.
        known: u32,
    },
    /// It is not what was written.
    #[error("{key} is damaged: {reason}")]
    Damaged {
        /// Which record.
        key: Key,
        /// What is wrong with it.
        reason: String,
    },
}

impl RecordError {
    /// The kind of the store's error, when the store gave one.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Store(error) => Some(error.kind()),
            Self::Newer { .. } | Self::Damaged { .. } => None,
        }
    }
}

/// A kind of record: the newest format that this version knows.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// The newest format.
    const FORMAT: u32;

    /// The format that this record needs: an older one where that says everything, so that older versions read it.
    fn format(&self) -> u32 {
        Self::FORMAT
    }
}

/// The key of a record whose name is known to be legal.
pub(crate) fn key(name: &str) -> Result<Key, Error> {
    Key::new(name).map_err(|error| Error::new(ErrorKind::InvalidInput, "name", name).with_source(error))
}

/// Runs one call against the store, and gives up on it in time.
pub(crate) async fn bounded<T>(
    operation: &'static str,
    subject: &str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(CALL, call).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Error::new(ErrorKind::Unavailable, operation, subject)),
    }
}

/// Reads a record; `None` when there is none.
pub(crate) async fn read<R: Record>(blobs: &dyn BlobStore, key: &Key) -> Result<Option<(R, Version)>, RecordError> {
    let found = bounded("get", key.as_str(), async {
        let blob = match blobs.get(key, GetOptions::default()).await {
            Ok(blob) => blob,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if blob.info.size > MAX_RECORD_BYTES {
            return Err(Error::new(ErrorKind::Corrupt, "get", key.as_str()));
        }
        let body = blob.body.try_fold(Vec::new(), |mut whole, part| async move {
            whole.extend_from_slice(&part);
            Ok(whole)
        });
        Ok(Some((body.await?, blob.info.version)))
    })
    .await?;
    found.map(|(body, version)| Ok((decode(key, &body)?, version))).transpose()
}

/// Writes a record and returns its new state.
pub(crate) async fn write<R: Record>(
    blobs: &dyn BlobStore,
    key: &Key,
    record: &R,
    mode: PutMode,
) -> Result<Version, RecordError> {
    let body =
        encode(record).map_err(|error| Error::new(ErrorKind::Internal, "encode", key.as_str()).with_source(error))?;
    Ok(bounded("put", key.as_str(), blobs.put(key, body, &Metadata::new(), mode)).await?)
}

/// The blobs under `prefix`, at most `most` of them.
pub(crate) async fn list(blobs: &dyn BlobStore, prefix: &str, most: usize) -> Result<Vec<BlobInfo>, Error> {
    use futures::StreamExt;
    bounded("list", prefix, blobs.list(prefix, None).take(most).try_collect()).await
}

#[derive(Serialize, serde::Deserialize)]
struct Enveloped<R> {
    format: u32,
    record: R,
}

fn encode<R: Record>(record: &R) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(&Enveloped { format: record.format(), record }).map(Bytes::from)
}

fn decode<R: Record>(key: &Key, body: &[u8]) -> Result<R, RecordError> {
    #[derive(serde::Deserialize)]
    struct Header {
        format: u32,
    }
    let damaged = |error: serde_json::Error| RecordError::Damaged { key: key.clone(), reason: error.to_string() };
    // The format is read first and alone, so that a newer record is refused by its format and not by a field.
    let header: Header = serde_json::from_slice(body).map_err(damaged)?;
    if header.format > R::FORMAT {
        return Err(RecordError::Newer { key: key.clone(), found: header.format, known: R::FORMAT });
    }
    serde_json::from_slice::<Enveloped<R>>(body).map(|enveloped| enveloped.record).map_err(damaged)
}
