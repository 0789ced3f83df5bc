//! The contract of the two ports as tests: a sentence, a test. Does I/O through the ports.
//!
//! An adapter or a decorator runs all of them with a file such as
//!
//! ```ignore
//! use storage_adapters::{BlobStore, Queue, blob_conformance, queue_conformance};
//!
//! async fn open_blobs() -> (Arc<dyn BlobStore>, impl Sized) { /* a store, and what it needs to live on */ }
//! async fn open_queue() -> (Arc<dyn Queue>, impl Sized) { /* an empty queue, and what it needs to live on */ }
//!
//! blob_conformance!(open_blobs);
//! queue_conformance!(open_queue);
//! ```
//!
//! Keys lie under a prefix of each test's own, so that many tests may share a bucket; a queue is used by one test at a time.

#![expect(missing_docs, reason = "the name of each test is the sentence that it proves")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "these are tests, which fail by panicking"
)]

pub mod blobs;
pub mod emulators;
mod everything;
mod lists;
mod puts;
pub mod queue;
mod reads;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use uuid::Uuid;

pub use self::everything::use_everything;
use crate::{
    blob::{Blob, BlobStore, ByteStream, GetOptions, Key, Metadata, PutMode, Version},
    config::EmbeddedConfig,
    embedded::Embedded,
    error::{Error, ErrorKind},
};

/// Longest time of one test: the longest makes ten thousand requests, of which an emulator answers a hundred a second.
pub const TIME_LIMIT: Duration = Duration::from_mins(5);

/// A real store in a folder of its own, removed when dropped, for the tests of other crates.
#[derive(Debug)]
pub struct TemporaryStore {
    /// The open folder.
    pub store: Embedded,
    /// Where it is.
    pub config: EmbeddedConfig,
    _folder: TempDir,
}

impl TemporaryStore {
    /// Opens a store on the disk, in the folder for temporary files.
    #[must_use]
    pub fn on_disk() -> Self {
        Self::open(std::env::temp_dir())
    }

    /// Opens a store in memory where the machine has a folder for that, else on the disk.
    #[must_use]
    pub fn in_memory() -> Self {
        let memory = PathBuf::from("/dev/shm");
        Self::open(if memory.is_dir() { memory } else { std::env::temp_dir() })
    }

    fn open(parent: PathBuf) -> Self {
        let folder = tempfile::tempdir_in(parent).expect("a folder can be made");
        let config = EmbeddedConfig { path: folder.path().to_path_buf() };
        let store = Embedded::open(&config).expect("a new folder can be opened as a store");
        Self { store, config, _folder: folder }
    }
}

/// The store that a test tries, and the test's own part of it.
#[derive(Clone, Debug)]
pub struct Subject {
    store: Arc<dyn BlobStore>,
    prefix: String,
}

impl Subject {
    /// Gives a test a part of the store.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self { store, prefix: format!("conformance/{}/", Uuid::new_v4().simple()) }
    }

    fn key(&self, name: &str) -> Key {
        Key::new(format!("{}{name}", self.prefix)).expect("a legal key")
    }

    async fn put(&self, name: &str, body: impl Into<Bytes>, mode: PutMode) -> Result<Version, Error> {
        self.store.put(&self.key(name), body.into(), &Metadata::new(), mode).await
    }

    /// Puts a blob that must succeed.
    async fn store(&self, name: &str, body: impl Into<Bytes>) -> Version {
        self.put(name, body, PutMode::Overwrite).await.expect("the put succeeds")
    }

    async fn put_stream(&self, name: &str, body: ByteStream, mode: PutMode) -> Result<Version, Error> {
        self.store.put_stream(&self.key(name), body, &Metadata::new(), mode).await
    }

    async fn get(&self, name: &str) -> Result<Blob, Error> {
        self.store.get(&self.key(name), GetOptions::default()).await
    }

    /// The body of a blob that must be there.
    async fn read(&self, name: &str) -> Bytes {
        collect(self.get(name).await.expect("the blob is there")).await
    }

    /// Names that a listing finds, without the test's prefix.
    async fn names(&self, prefix: &str, after: Option<&str>) -> Vec<String> {
        let after = after.map(|name| self.key(name));
        let listing = self.store.list(&format!("{}{prefix}", self.prefix), after.as_ref());
        let name = |key: &Key| key.as_str()[self.prefix.len()..].to_owned();
        listing.map_ok(|info| name(&info.key)).try_collect().await.expect("the listing does not fail")
    }
}

/// The whole body, which must be as long as the blob says.
async fn collect(blob: Blob) -> Bytes {
    let body: BytesMut = blob.body.try_collect().await.expect("the body is complete");
    assert_eq!(body.len() as u64, blob.range.end - blob.range.start, "the body is as long as its range");
    body.freeze()
}

/// A body in pieces.
fn pieces(pieces: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> ByteStream {
    stream::iter(pieces).map(Ok).boxed()
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

#[track_caller]
fn assert_kind<T>(outcome: Result<T, Error>, kind: ErrorKind) {
    match outcome {
        Ok(_) => panic!("it succeeded and should be {kind:?}"),
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
    }
}

/// Makes a test of every sentence of the contract of [`BlobStore`]; `$open` is an async function that gives a store and
/// what has to live as long as it.
#[macro_export]
macro_rules! blob_conformance {
    ($open:ident) => {
        $crate::for_each_blob_sentence!($open);
    };
}

/// Makes a test of every sentence of the contract of [`Queue`](crate::Queue); `$open` is an async function that gives an
/// empty queue and what has to live as long as it.
#[macro_export]
macro_rules! queue_conformance {
    ($open:ident) => {
        $crate::for_each_queue_sentence!($open);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($port:ident, $subject:path, $open:ident, $($sentence:ident)*) => {
        mod $port {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    let (store, _kept) = super::$open().await;
                    let test = $crate::conformance::$port::$sentence($subject(store));
                    tokio::time::timeout($crate::conformance::TIME_LIMIT, test).await.expect("the test ends in time");
                }
            )*
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Names of the public tests in a file's text.
    fn tests_of(text: &'static str) -> impl Iterator<Item = &'static str> {
        text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next())
    }

    /// Names in the list that makes the tests.
    fn listed_in(text: &'static str) -> BTreeSet<&'static str> {
        let list = text.split("$crate::conformance_tests! {").nth(1).and_then(|rest| rest.split('}').next());
        let lines = list.expect("the list").lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.contains('$')).collect()
    }

    #[test]
    fn every_sentence_of_the_blob_store_is_in_the_list() {
        let written = [include_str!("puts.rs"), include_str!("reads.rs"), include_str!("lists.rs")];
        let written: BTreeSet<_> = written.into_iter().flat_map(tests_of).collect();
        assert_eq!(listed_in(include_str!("blobs.rs")), written);
    }

    #[test]
    fn every_sentence_of_the_queue_is_in_the_list() {
        let text = include_str!("queue.rs");
        assert_eq!(listed_in(text), tests_of(text).collect());
    }
}
