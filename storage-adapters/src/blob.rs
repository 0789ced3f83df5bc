//! The port [`BlobStore`]: named blobs with conditional writes. No I/O.

use std::{collections::BTreeMap, fmt, ops::Range, str::FromStr};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::error::Result;
#[cfg(feature = "adapter")]
use crate::error::{Error, ErrorKind};

/// Longest key in bytes: S3 allows 1,024 and Azure 1,024 characters; the rest is room for an adapter's own prefix.
pub const MAX_KEY_BYTES: usize = 512;

/// Most metadata a blob carries, names and values together, in bytes: S3 allows 2 KiB, Azure 8 KiB; the rest is room for an adapter's own entries.
pub const MAX_METADATA_BYTES: usize = 1024;

/// The metadata entry by which a put whose reply was lost is known again; it is not the caller's, and does not count as theirs.
pub(crate) const NONCE_ENTRY: &str = "put_nonce";

/// A body that arrives in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// The blobs that a listing finds, in key order.
pub type Listing = BoxStream<'static, Result<BlobInfo>>;

/// Small facts a blob carries: names of lower-case ASCII letters, digits and `_` that start with a letter, values of one or
/// more visible ASCII characters.
pub type Metadata = BTreeMap<String, String>;

/// Refuses metadata that some provider could not keep.
#[cfg(feature = "adapter")]
pub(crate) fn check_metadata(operation: &'static str, key: &Key, metadata: &Metadata) -> Result<()> {
    let refuse = |reason: String| Err(Error::new(ErrorKind::InvalidInput, operation, key.as_str()).with_source(reason));
    for (name, value) in metadata {
        let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name {
            return refuse(format!(
                "metadata is named with lower-case letters, digits and '_', not '{}'",
                name.escape_default()
            ));
        }
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse(format!("the metadata '{name}' is no visible ASCII text of a character or more"));
        }
    }
    let own = metadata.iter().filter(|(name, _)| *name != NONCE_ENTRY);
    let bytes: usize = own.map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_METADATA_BYTES {
        return refuse(format!("{bytes} bytes of metadata are more than {MAX_METADATA_BYTES}"));
    }
    Ok(())
}

/// Name of a blob: segments of ASCII letters, digits, `-`, `_`, `.` and `=`, joined by single `/`; no segment is `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// A text that is no [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no key: write 1 to {MAX_KEY_BYTES} bytes, segments of ASCII letters, digits, '-', '_', '.' and '=' joined by single '/', none of them '.' or '..'"
)]
pub struct InvalidKey(String);

impl Key {
    /// Parses a key.
    ///
    /// # Errors
    /// When `text` breaks a rule of the type.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        let legal = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte))
        };
        if text.len() <= MAX_KEY_BYTES && text.split('/').all(legal) { Ok(Self(text)) } else { Err(InvalidKey(text)) }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// One state of a blob, as its store names it; opaque, compared only for equality and only within one store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub String);

/// What a [`BlobStore::put`] expects to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// Whatever is there is replaced.
    Overwrite,
    /// Nothing is there.
    IfAbsent,
    /// Exactly this state is there.
    IfVersion(Version),
}

/// What a [`BlobStore::get`] asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// Bytes to read, clipped to the blob's end; everything when absent.
    pub range: Option<Range<u64>>,
    /// The state to read; another one is [`Conflict`](crate::ErrorKind::Conflict).
    pub if_version: Option<Version>,
}

/// A blob without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name.
    pub key: Key,
    /// Length of the whole body in bytes.
    pub size: u64,
    /// Its state.
    pub version: Version,
    /// When this state was written, by the store's clock, to a second at least.
    pub modified: Timestamp,
}

/// A blob that was read.
pub struct Blob {
    /// Everything but metadata and body.
    pub info: BlobInfo,
    /// The metadata it was put with.
    pub metadata: Metadata,
    /// The bytes that `body` yields, as offsets of the whole body.
    pub range: Range<u64>,
    /// The bytes asked for. An error in it means that the body is incomplete.
    pub body: ByteStream,
}

impl fmt::Debug for Blob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Blob")
            .field("info", &self.info)
            .field("metadata", &self.metadata)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// Named blobs in one bucket, container or folder.
///
/// - A write is atomic: a reader sees the old body or the new one, with its own metadata, never a part.
/// - A write that returned is durable, and every later `get`, `head` and `list` sees it.
/// - An operation that returned [`Unknown`](crate::ErrorKind::Unknown) or
///   [`Unavailable`](crate::ErrorKind::Unavailable) may have happened.
/// - A conditional put whose reply was lost and that is sent again carries the same nonce. Found in place, it won; it lost
///   only where the key is written once and holds what another put; else it is `Unknown`, never a bare `Conflict`.
#[async_trait]
pub trait BlobStore: Send + Sync + fmt::Debug + 'static {
    /// Stores `body`, which may be empty, and `metadata` under `key`, and returns the new state.
    ///
    /// - Nothing is left of the body or the metadata that it replaces.
    /// - Of many concurrent conditional puts that expect the same state, one wins and the others get `Conflict`.
    /// - A put that gets `Conflict` leaves what is there.
    /// - Concurrent puts without a condition all succeed, and one of them stays.
    /// - States of different bytes have different versions. Those of equal bytes may share one, so what is to be told apart
    ///   says something new with each put.
    /// - A blob and blobs below its key (`a` and `a/b`) live side by side, as do keys that differ only in case.
    ///
    /// # Errors
    /// `Conflict` when `mode` does not hold; `Unknown` when that cannot be told; `InvalidInput` for illegal or too much metadata.
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version>;

    /// Stores a body that arrives in pieces; otherwise as [`put`](Self::put).
    ///
    /// When `body` yields an error, or the future is dropped before `body` has ended, nothing is stored.
    ///
    /// # Errors
    /// As [`put`](Self::put), and the error that `body` yields.
    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version>;

    /// Reads a blob or a range of it. The body is of one state, however long reading takes, or ends in an error.
    ///
    /// A range that starts at or beyond the end, or is empty, yields no bytes.
    ///
    /// # Errors
    /// `NotFound` when there is no blob, whatever `if_version` says; `Conflict` when another state than `if_version` is there; `Corrupt` when the stored bytes are damaged.
    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob>;

    /// Reads everything but the body: the same as a `get` finds.
    ///
    /// # Errors
    /// `NotFound`.
    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)>;

    /// Copies body and metadata of `from` to `to`, which must be absent, inside the store, and returns the state of `to`.
    ///
    /// The copy lives on when the original goes.
    ///
    /// # Errors
    /// `NotFound` when `from` is absent; `Conflict` when `to` exists.
    async fn copy(&self, from: &Key, to: &Key) -> Result<Version>;

    /// Removes a blob; an absent one is a success. Its key may be created again.
    ///
    /// # Errors
    /// Only those of reaching the store.
    async fn delete(&self, key: &Key) -> Result<()>;

    /// Lists the blobs whose key starts with `prefix`, in byte order of their keys, after (not including) `after`.
    ///
    /// - `prefix` is any text, and may end within a segment; `after` need not exist.
    /// - A blob that exists during the whole listing is in it once, also when it is replaced; one that comes or goes meanwhile may be.
    /// - A listing that is interrupted ends in an error, never early.
    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing;
}
