//! The catalogue in the blob store: versions that never change, and a record of the current one that is swapped. Does I/O.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use storage_adapters::{BlobStore, Error, ErrorKind, GetOptions, Key, Metadata, PutMode, Version, config::Provider};
use tokio::{sync::mpsc, time::timeout};

use super::{
    places::{Found, Places},
    sample::{SAMPLE_PRODUCTS, SAMPLE_SEED, SampleError, sample},
    snapshot::Snapshot,
    version::{
        CurrentRecord, Decoder, Encoded, FormatError, VERSIONS_PREFIX, check_digest, encode, number_of, version_key,
    },
};
use crate::domain::Product;

/// Versions that are kept besides the current one, for a pod that is still reading one of them.
const KEPT_VERSIONS: u64 = 2;

/// How often a swap of the record is tried while others swap it too.
const SWAP_TRIES: usize = 5;

/// Time between two looks for a catalogue that is just being moved.
const MOVING_AGAIN: Duration = Duration::from_millis(200);

/// Longest time of an operation on the record.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time of reading or writing a version: 256 MiB at little more than 2 MiB a second.
const VERSION_TIMEOUT: Duration = Duration::from_mins(2);

/// Most bytes of the record.
const MAX_RECORD_BYTES: u64 = 16 * 1024;

/// Pieces of a version that wait to be parsed.
const WAITING_PIECES: usize = 4;

/// What could not be done with the stored catalogue.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store failed.
    #[error("could not {step}")]
    Store {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: Error,
    },
    /// The store took too long.
    #[error("could not {step} within {} s; the store is slow or out of reach", limit.as_secs())]
    Timeout {
        /// What was being done.
        step: &'static str,
        /// Time that it had.
        limit: Duration,
    },
    /// The record of the current version cannot be used.
    #[error("the record catalogue/current cannot be used")]
    Record(#[source] FormatError),
    /// A version cannot be used.
    #[error("catalogue version {number} cannot be used")]
    Version {
        /// Its number.
        number: u64,
        /// Why.
        #[source]
        source: FormatError,
    },
    /// Others kept replacing the catalogue.
    #[error("other imports replaced the catalogue {SWAP_TRIES} times meanwhile; import again when they have ended")]
    Contended,
    /// It is in a store that is not at hand.
    #[error(
        "the catalogue is in the store of {0}, which cannot be opened here; put its settings into the config, or mend them"
    )]
    Elsewhere(Provider),
    /// It is between two stores.
    #[error("the catalogue is just being moved to another store; try again in a moment")]
    Moving,
    /// The sample's own data is bad.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A defect of ours.
    #[error("the catalogue could not be written or read: {0}")]
    Internal(String),
}

impl StoreError {
    /// Whether trying the same again soon may help without anything else changing.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            // A version that is not there was cleaned up because a newer one is there.
            Self::Store { source, .. } => {
                source.is_transient() || matches!(source.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
            }
            Self::Timeout { .. } | Self::Contended | Self::Elsewhere(_) | Self::Moving => true,
            Self::Record(_) | Self::Version { .. } | Self::Sample(_) | Self::Internal(_) => false,
        }
    }
}

/// What became of products that were to be the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Number of the version that is current now.
    pub number: u64,
    /// Its products.
    pub products: usize,
    /// Whether it is a new version; otherwise the store had these products already.
    pub changed: bool,
}

impl Published {
    /// What is the shop's catalogue now; `None` when it has none.
    ///
    /// # Errors
    /// When the store could not be read.
    pub async fn current(places: &Places) -> Result<Option<Self>, StoreError> {
        let Found { current, .. } = places.find().await?;
        Ok(current.map(|(_, record)| Self { number: record.number, products: record.products, changed: false }))
    }
}

/// Makes `products` the shop's catalogue.
///
/// # Errors
/// When it could not be stored; then the old catalogue stays, unless the error is of the record's last swap and its end unknown.
pub async fn publish(places: &Places, products: Vec<Product>) -> Result<Published, StoreError> {
    let encoded = encode_apart(products).await?;
    for _ in 0..SWAP_TRIES {
        let Found { store, current, .. } = match places.find().await {
            Err(StoreError::Moving) => {
                tokio::time::sleep(MOVING_AGAIN).await;
                continue;
            }
            found => found?,
        };
        if let Some((_, record)) = &current
            && record.sha256 == encoded.sha256
        {
            return Ok(Published { number: record.number, products: record.products, changed: false });
        }
        if let Some(published) = swap(store, &encoded, current).await? {
            return Ok(published);
        }
    }
    Err(StoreError::Contended)
}

/// Gives a store without a catalogue the sample; says whether this call did. Any number of processes may call it at once.
///
/// # Errors
/// When the store could not be read or written.
pub async fn seed_sample_if_absent(places: &Places) -> Result<bool, StoreError> {
    let Found { store, current: None, .. } = places.find().await? else { return Ok(false) };
    let encoded = encode_apart(sample(SAMPLE_PRODUCTS, SAMPLE_SEED)?).await?;
    // When another was faster there is a catalogue now, whichever.
    Ok(swap(store, &encoded, None).await?.is_some())
}

async fn encode_apart(products: Vec<Product>) -> Result<Encoded, StoreError> {
    tokio::task::spawn_blocking(|| encode(products))
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))?
        .map_err(|error| StoreError::Internal(error.to_string()))
}

/// Stores a version and makes it current, provided that `before` still is; `None` when it is not.
async fn swap(
    store: &dyn BlobStore,
    encoded: &Encoded,
    before: Option<(Version, CurrentRecord)>,
) -> Result<Option<Published>, StoreError> {
    let (mode, number, home) = match before {
        None => (PutMode::IfAbsent, 1, None),
        Some((version, record)) => (PutMode::IfVersion(version), record.number.saturating_add(1), record.home),
    };
    let internal = |error: &dyn std::error::Error| StoreError::Internal(error.to_string());
    let key = version_key(number, &encoded.sha256).map_err(|error| internal(&error))?;
    put_version(store, &key, encoded.bytes.clone()).await?;
    let record = CurrentRecord::new(number, &key, encoded, home);
    if !put_current(store, &record, mode).await? {
        return Ok(None);
    }
    if let Err(error) = clean_up(store, number).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "old catalogue versions were not removed; the next import does it"
        );
    }
    Ok(Some(Published { number, products: record.products, changed: true }))
}

/// Writes the record of the current version; whether nobody else was faster.
pub(super) async fn put_current(
    store: &dyn BlobStore,
    record: &CurrentRecord,
    mode: PutMode,
) -> Result<bool, StoreError> {
    let body = serde_json::to_vec(record).map_err(|error| StoreError::Internal(error.to_string()))?;
    let (key, metadata) = (current_key()?, Metadata::new());
    let put = store.put(&key, body.into(), &metadata, mode);
    match within("replace catalogue/current", RECORD_TIMEOUT, put).await {
        Ok(_) => Ok(true),
        Err(StoreError::Store { source, .. }) if source.kind() == ErrorKind::Conflict => Ok(false),
        // It may have happened all the same, and what is there tells.
        Err(error) => match current(store).await {
            Ok(Some((_, found))) if found == *record => Ok(true),
            Ok(_) | Err(_) => Err(error),
        },
    }
}

/// Copies the version that a record names from one store to another.
pub(super) async fn copy_version(
    from: &dyn BlobStore,
    to: &dyn BlobStore,
    record: &CurrentRecord,
) -> Result<(), StoreError> {
    let key = Key::new(record.key.clone()).map_err(|error| StoreError::Internal(error.to_string()))?;
    let read = async { from.get(&key, GetOptions::default()).await?.body.try_collect::<BytesMut>().await };
    let bytes = within("read the version", VERSION_TIMEOUT, read).await?;
    check_digest(&bytes, record).map_err(|source| StoreError::Version { number: record.number, source })?;
    put_version(to, &key, bytes.freeze()).await
}

/// Stores a version; one with its name has its content.
async fn put_version(store: &dyn BlobStore, key: &Key, bytes: Bytes) -> Result<(), StoreError> {
    let metadata = Metadata::new();
    let put = store.put(key, bytes, &metadata, PutMode::IfAbsent);
    match within("store the version", VERSION_TIMEOUT, put).await {
        Ok(_) => Ok(()),
        Err(StoreError::Store { source, .. }) if source.kind() == ErrorKind::Conflict => Ok(()),
        Err(error) => match within("look for the version", RECORD_TIMEOUT, store.head(key)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(error),
        },
    }
}

/// Removes versions that nobody reads any more, as well as those of imports that lost a race long ago.
async fn clean_up(store: &dyn BlobStore, current: u64) -> Result<(), StoreError> {
    let mut listing = store.list(VERSIONS_PREFIX, None);
    while let Some(info) = within("list the versions", RECORD_TIMEOUT, listing.try_next()).await? {
        if number_of(&info.key).is_some_and(|number| number.saturating_add(KEPT_VERSIONS) < current) {
            within("remove an old version", RECORD_TIMEOUT, store.delete(&info.key)).await?;
        }
    }
    Ok(())
}

pub(super) fn current_key() -> Result<Key, StoreError> {
    Key::new("catalogue/current").map_err(|error| StoreError::Internal(error.to_string()))
}

/// The state of the record of the current version; `None` when there is none.
pub(super) async fn current_version(store: &dyn BlobStore) -> Result<Option<Version>, StoreError> {
    match within("look for catalogue/current", RECORD_TIMEOUT, store.head(&current_key()?)).await {
        Ok((info, _)) => Ok(Some(info.version)),
        Err(StoreError::Store { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The record of the current version and its state; `None` when there is none.
pub(super) async fn current(store: &dyn BlobStore) -> Result<Option<(Version, CurrentRecord)>, StoreError> {
    let key = current_key()?;
    let read = async {
        let blob = store.get(&key, GetOptions::default()).await?;
        if blob.info.size > MAX_RECORD_BYTES {
            return Err(Error::new(ErrorKind::Corrupt, "get", key.as_str()));
        }
        let bytes: Vec<Bytes> = blob.body.try_collect().await?;
        Ok((blob.info.version, bytes.concat()))
    };
    match within("read catalogue/current", RECORD_TIMEOUT, read).await {
        Ok((version, bytes)) => Ok(Some((version, CurrentRecord::parse(&bytes).map_err(StoreError::Record)?))),
        Err(StoreError::Store { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the version that `record` names and indexes it, beside the runtime's threads.
pub(super) async fn load(store: &dyn BlobStore, record: &CurrentRecord) -> Result<Snapshot, StoreError> {
    let number = record.number;
    let key = Key::new(record.key.clone()).map_err(|error| StoreError::Internal(error.to_string()))?;
    let (pieces, mut arriving) = mpsc::channel::<Bytes>(WAITING_PIECES);
    let (done, is_done) = tokio::sync::oneshot::channel();
    let wanted = record.clone();
    let decode = tokio::task::spawn_blocking(move || {
        let mut decoder = Decoder::default();
        while let Some(piece) = arriving.blocking_recv() {
            decoder.push(&piece)?;
        }
        // When the reader was given up, the pieces end too, but nobody says that all have come.
        if is_done.blocking_recv().is_err() {
            return Ok(None);
        }
        decoder.finish(&wanted).map(Some)
    });
    let read = async move {
        let mut body = store.get(&key, GetOptions::default()).await?.body;
        while let Some(piece) = body.next().await {
            if pieces.send(piece?).await.is_err() {
                // The decoder has ended with an error, which says more.
                break;
            }
        }
        // The other end is gone only when the decoder has ended.
        let _ = done.send(());
        Ok(())
    };
    within("read the version", VERSION_TIMEOUT, read).await?;
    decode
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))?
        .map_err(|source| StoreError::Version { number, source })?
        .ok_or_else(|| StoreError::Internal("a version was given up while it was read".to_owned()))
}

/// Bounds an operation in time and names its step.
async fn within<T>(
    step: &'static str,
    limit: Duration,
    operation: impl Future<Output = Result<T, Error>>,
) -> Result<T, StoreError> {
    match timeout(limit, operation).await {
        Ok(result) => result.map_err(|source| StoreError::Store { step, source }),
        Err(_) => Err(StoreError::Timeout { step, limit }),
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
pub(super) mod tests;
