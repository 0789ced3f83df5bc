//! Our [`BlobStore`] as the `object_store::ObjectStore` that SlateDB writes through, with a gate that shuts. Does I/O.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use object_store::{
    Attribute, AttributeValue, Attributes, CopyMode, CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart, path::Path,
};
use slatedb_common::retry::NonRetryable;
use storage_adapters::{self as port, BlobInfo, BlobStore, ErrorKind, Key, Metadata, Version};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    capacity::Capacity,
    clock::Clock,
    read_ahead::{LogFile, ReadAhead},
};

const STORE: &str = "shop store";

/// Deletes under way at once in one delete stream.
const DELETES_AT_ONCE: usize = 8;

/// Objects that one listing with a delimiter may hold in memory.
const MOST_LISTED: usize = 100_000;

/// Longest that one call of the store may take, and that the writing of a table of many megabytes may. Without it one call
/// whose answer got lost would stop a shard whose worker lives, for longer than the ten seconds in which everything is to be
/// persisted after a cut. What is called again does no harm.
const CALL: Duration = Duration::from_secs(3);
const LARGE_CALL: Duration = Duration::from_secs(15);

/// Smallest body that takes its time.
const LARGE: usize = 1024 * 1024;

/// Longest that a table written in parts may take once its last part was given.
const UPLOAD: Duration = Duration::from_mins(2);

/// How long a write that found no room counts.
const FULL_LASTS_MILLIS: u64 = 3_000;

/// Where in its database a file of the log is.
const LOG_FOLDER: &str = "/wal/";

/// End of the key that every database begins with.
const FIRST_MANIFEST: &str = "/manifest/00000000000000000001.manifest";

/// Lets a database's owner cut it off from the store at once, and tells it when the store has no room.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Arc<dyn Clock>,
    shut: AtomicBool,
    /// Whether the database may be created.
    creates: bool,
    /// Whether it was to be created and might not be, since it should have been there.
    missed: AtomicBool,
    /// When a write last found no room, as milliseconds since boot; 0 when the newest write found some.
    full_at: AtomicU64,
}

impl Gate {
    /// An open gate, to a database that may be created or one that must be there.
    pub(super) fn new(clock: Arc<dyn Clock>, creates: bool) -> Self {
        let no = || AtomicBool::new(false);
        Self { clock, shut: no(), creates, missed: no(), full_at: AtomicU64::new(0) }
    }

    /// Whether the database should have been there and was not.
    pub(super) fn has_missed(&self) -> bool {
        self.missed.load(Ordering::SeqCst)
    }

    /// From now on every call fails for good, so that the database ends without writing anything more.
    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// Whether it was shut.
    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::SeqCst)
    }

    /// Whether the newest write found no room a moment ago. A database repeats such a write every second or two, so
    /// when it was longer ago nothing waits for room, and only a new write can tell.
    pub(super) fn is_full(&self) -> bool {
        let at = self.full_at.load(Ordering::SeqCst);
        at != 0 && self.now().saturating_sub(at) < FULL_LASTS_MILLIS
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.since_boot().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Shuts a gate when it goes, so that a database whose opening or serving was given up writes nothing more.
#[derive(Debug)]
pub(super) struct GateKeeper(pub(super) Arc<Gate>);

impl Drop for GateKeeper {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// A store as SlateDB sees it.
#[derive(Clone, Debug)]
pub(super) struct ObjectStoreBridge {
    blobs: Arc<dyn BlobStore>,
    gate: Arc<Gate>,
    read_ahead: Arc<ReadAhead>,
    gives_way: Option<Arc<Capacity>>,
}

impl ObjectStoreBridge {
    /// Opens the gate to a store.
    pub(super) fn new(blobs: Arc<dyn BlobStore>, gate: Arc<Gate>) -> Self {
        Self { blobs, gate, read_ahead: Arc::default(), gives_way: None }
    }

    /// The same store, for what can wait: it is read more slowly while the worker is late.
    pub(super) fn giving_way(self, capacity: Arc<Capacity>) -> Self {
        Self { gives_way: Some(capacity), ..self }
    }

    fn pass(&self) -> Result<()> {
        if self.gate.is_shut() {
            let reason = "this process no longer owns the database".into();
            return Err(object_store::Error::Generic { store: STORE, source: Box::new(NonRetryable(reason)) });
        }
        Ok(())
    }

    async fn bounded<T>(
        operation: &'static str,
        subject: &str,
        call: impl Future<Output = port::Result<T>>,
    ) -> port::Result<T> {
        Self::bounded_by(CALL, operation, subject, call).await
    }

    async fn bounded_by<T>(
        limit: Duration,
        operation: &'static str,
        subject: &str,
        call: impl Future<Output = port::Result<T>>,
    ) -> port::Result<T> {
        let late = |_elapsed| Err(port::Error::new(ErrorKind::Unavailable, operation, subject));
        tokio::time::timeout(limit, call).await.unwrap_or_else(late)
    }

    fn wrote<T>(&self, result: port::Result<T>) -> port::Result<T> {
        match &result {
            Ok(_) => self.gate.full_at.store(0, Ordering::SeqCst),
            Err(error) if error.kind() == ErrorKind::Full => {
                self.gate.full_at.store(self.gate.now().max(1), Ordering::SeqCst);
            }
            Err(_) => {}
        }
        result
    }

    /// The bytes that `range` means; only a suffix needs to know the size, and asks for it.
    async fn resolve(&self, key: &Key, range: Option<GetRange>) -> port::Result<Option<Range<u64>>> {
        Ok(match range {
            None => None,
            Some(GetRange::Bounded(range)) => Some(range),
            Some(GetRange::Offset(start)) => Some(start..u64::MAX),
            Some(GetRange::Suffix(length)) => {
                let (info, _) = Self::bounded("head", key.as_str(), self.blobs.head(key)).await?;
                Some(info.size.saturating_sub(length)..info.size)
            }
        })
    }
}

impl fmt::Display for ObjectStoreBridge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(STORE)
    }
}

/// What a conflict means to the caller, whose operation decides between two errors of one meaning.
#[derive(Clone, Copy)]
enum Conflict {
    AlreadyExists,
    Precondition,
}

fn failed(error: port::Error, path: &Path, conflict: Conflict) -> object_store::Error {
    let at = path.to_string();
    match (error.kind(), conflict) {
        (ErrorKind::NotFound, _) => object_store::Error::NotFound { path: at, source: Box::new(error) },
        (ErrorKind::Conflict, Conflict::AlreadyExists) => {
            object_store::Error::AlreadyExists { path: at, source: Box::new(error) }
        }
        (ErrorKind::Conflict, Conflict::Precondition) => {
            object_store::Error::Precondition { path: at, source: Box::new(error) }
        }
        (ErrorKind::Denied, _) => object_store::Error::PermissionDenied { path: at, source: Box::new(error) },
        // Sent again with the same put id, an unknown end is found to have been won or is won then.
        (
            ErrorKind::Unknown
            | ErrorKind::Unavailable
            | ErrorKind::Throttled { .. }
            | ErrorKind::Full
            | ErrorKind::LeaseLost,
            _,
        ) => object_store::Error::Generic { store: STORE, source: Box::new(error) },
        (ErrorKind::TooLarge | ErrorKind::InvalidInput | ErrorKind::Corrupt | ErrorKind::Internal, _) => {
            object_store::Error::Generic { store: STORE, source: Box::new(NonRetryable(Box::new(error))) }
        }
    }
}

fn key(path: &Path) -> Result<Key> {
    Key::new(path.as_ref()).map_err(|error| unsupported(error.to_string()))
}

fn unsupported(what: impl Into<String>) -> object_store::Error {
    object_store::Error::NotSupported { source: what.into().into() }
}

fn metadata(attributes: &Attributes) -> Result<Metadata> {
    attributes
        .iter()
        .map(|(attribute, value)| match attribute {
            Attribute::Metadata(name) => Ok((name.to_string(), value.to_string())),
            other => Err(unsupported(format!("the attribute {other:?}"))),
        })
        .collect()
}

fn attributes(metadata: Metadata) -> Attributes {
    metadata.into_iter().map(|(name, value)| (Attribute::Metadata(name.into()), AttributeValue::from(value))).collect()
}

fn meta(info: BlobInfo) -> ObjectMeta {
    ObjectMeta {
        location: Path::from(info.key.as_str()),
        last_modified: DateTime::<Utc>::from_timestamp_nanos(
            i64::try_from(info.modified.as_nanosecond()).unwrap_or_default(),
        ),
        size: info.size,
        e_tag: Some(info.version.0),
        version: None,
    }
}

fn put_result(version: Version) -> PutResult {
    PutResult { e_tag: Some(version.0), version: None, extensions: object_store::Extensions::new() }
}

/// A place in a body that is in memory.
fn offset(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn joined(payload: PutPayload) -> Bytes {
    payload.into()
}

#[async_trait]
impl ObjectStore for ObjectStoreBridge {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.pass()?;
        if !self.gate.creates && location.as_ref().ends_with(FIRST_MANIFEST) {
            self.gate.missed.store(true, Ordering::SeqCst);
            let reason = "a database that was written before is not created anew".into();
            return Err(object_store::Error::Generic { store: STORE, source: Box::new(NonRetryable(reason)) });
        }
        let (mode, conflict) = match options.mode {
            PutMode::Overwrite => (port::PutMode::Overwrite, Conflict::Precondition),
            PutMode::Create => (port::PutMode::IfAbsent, Conflict::AlreadyExists),
            PutMode::Update(expected) => {
                let version = expected.e_tag.ok_or_else(|| unsupported("an update without the state it expects"))?;
                (port::PutMode::IfVersion(Version(version)), Conflict::Precondition)
            }
        };
        let metadata = metadata(&options.attributes)?;
        let key = key(location)?;
        let body = joined(payload);
        let limit = if body.len() < LARGE { CALL } else { LARGE_CALL };
        let putting = self.blobs.put(&key, body, &metadata, mode);
        let result = Self::bounded_by(limit, "put", key.as_str(), putting).await;
        self.wrote(result).map(put_result).map_err(|error| failed(error, location, conflict))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.pass()?;
        let metadata = metadata(&options.attributes)?;
        Ok(Box::new(Upload::start(self.clone(), location.clone(), key(location)?, metadata)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(capacity) = &self.gives_way {
            capacity.give_way().await;
        }
        self.pass()?;
        if options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some()
            || options.version.is_some()
        {
            return Err(unsupported("a read under other conditions than if-match"));
        }
        let key = key(location)?;
        let refused = |error| failed(error, location, Conflict::Precondition);
        if options.head {
            let looked = if key.as_str().contains(LOG_FOLDER) {
                Self::bounded("get", key.as_str(), self.read_ahead.look(&*self.blobs, &key)).await
            } else {
                Self::bounded("head", key.as_str(), self.blobs.head(&key)).await
            };
            let (info, metadata) = looked.map_err(refused)?;
            let size = info.size;
            return Ok(GetResult {
                payload: GetResultPayload::Stream(stream::empty().boxed()),
                meta: meta(info),
                range: 0..size,
                attributes: attributes(metadata),
                extensions: object_store::Extensions::new(),
            });
        }
        let range = self.resolve(&key, options.range).await.map_err(refused)?;
        if let (Some(range), None) = (&range, &options.if_match)
            && let Some(LogFile { info, metadata, body }) = self.read_ahead.take(&key, range)
        {
            let bytes = body.slice(offset(range.start)..offset(range.end));
            return Ok(GetResult {
                payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
                meta: meta(info),
                range: range.clone(),
                attributes: attributes(metadata),
                extensions: object_store::Extensions::new(),
            });
        }
        let asked = port::GetOptions { range, if_version: options.if_match.map(Version) };
        let blob = Self::bounded("get", key.as_str(), self.blobs.get(&key, asked)).await.map_err(refused)?;
        let at = location.clone();
        let body = blob.body.map_err(move |error| failed(error, &at, Conflict::Precondition));
        Ok(GetResult {
            payload: GetResultPayload::Stream(body.boxed()),
            meta: meta(blob.info),
            range: blob.range,
            attributes: attributes(blob.metadata),
            extensions: object_store::Extensions::new(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let bridge = self.clone();
        locations
            .map(move |location| {
                let bridge = bridge.clone();
                async move {
                    let location = location?;
                    bridge.pass()?;
                    let key = key(&location)?;
                    let deleted = Self::bounded("delete", key.as_str(), bridge.blobs.delete(&key)).await;
                    deleted.map_err(|error| failed(error, &location, Conflict::Precondition))?;
                    Ok(location)
                }
            })
            .buffered(DELETES_AT_ONCE)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_after(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match key(offset) {
            Ok(after) => self.list_after(prefix, Some(&after)),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let base = folder(prefix);
        let mut objects = Vec::new();
        let mut common_prefixes: Vec<Path> = Vec::new();
        let mut found = self.list(prefix).take(MOST_LISTED + 1).enumerate();
        while let Some((number, meta)) = found.next().await {
            if number == MOST_LISTED {
                return Err(unsupported(format!("a listing of more than {MOST_LISTED} objects")));
            }
            let meta = meta?;
            let rest = meta.location.as_ref().strip_prefix(&base).unwrap_or_default();
            match rest.split_once('/') {
                None => objects.push(meta),
                Some((head, _)) => {
                    let folder = Path::from(format!("{base}{head}"));
                    // Keys come in order, so one folder's are together.
                    if common_prefixes.last() != Some(&folder) {
                        common_prefixes.push(folder);
                    }
                }
            }
        }
        Ok(ListResult { common_prefixes, objects, extensions: object_store::Extensions::new() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pass()?;
        if options.mode != CopyMode::Create {
            return Err(unsupported("a copy onto an object that exists"));
        }
        let (source, target) = (key(from)?, key(to)?);
        let result = Self::bounded_by(LARGE_CALL, "copy", target.as_str(), self.blobs.copy(&source, &target)).await;
        self.wrote(result).map(drop).map_err(|error| failed(error, to, Conflict::AlreadyExists))
    }
}

fn folder(prefix: Option<&Path>) -> String {
    prefix.filter(|path| !path.as_ref().is_empty()).map_or_else(String::new, |path| format!("{path}/"))
}

impl ObjectStoreBridge {
    fn list_after(&self, prefix: Option<&Path>, after: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.pass() {
            return stream::once(async { Err(error) }).boxed();
        }
        let at = prefix.cloned().unwrap_or_default();
        self.blobs
            .list(&folder(prefix), after)
            .map(move |found| found.map(meta).map_err(|error| failed(error, &at, Conflict::Precondition)))
            .boxed()
    }
}

type Stored = port::Result<Version>;

/// What an upload's body is told.
enum Given {
    Part(Bytes, oneshot::Sender<()>),
    End,
}

/// An upload in parts. Parts are handed to the store in the order in which they were given, and a part counts as
/// uploaded when the store has taken it, so that the caller's own bound on parts under way bounds the memory.
struct Upload {
    bridge: ObjectStoreBridge,
    location: Path,
    parts: Option<mpsc::UnboundedSender<Given>>,
    put: JoinHandle<Stored>,
}

impl Upload {
    fn start(bridge: ObjectStoreBridge, location: Path, key: Key, metadata: Metadata) -> Self {
        let (parts, mut given) = mpsc::unbounded_channel();
        let blobs = Arc::clone(&bridge.blobs);
        let subject = location.to_string();
        let put = tokio::spawn(async move {
            let body = stream::poll_fn(move |context| {
                given.poll_recv(context).map(|given| match given {
                    Some(Given::Part(bytes, taken)) => {
                        let _ = taken.send(());
                        Some(Ok(bytes))
                    }
                    Some(Given::End) => None,
                    // The upload was given up: an error in the body keeps the store from storing a part of it.
                    None => Some(Err(port::Error::new(ErrorKind::Internal, "upload", subject.clone()))),
                })
            });
            blobs.put_stream(&key, body.boxed(), &metadata, port::PutMode::Overwrite).await
        });
        Self { bridge, location, parts: Some(parts), put }
    }

    fn ended(&self) -> object_store::Error {
        object_store::Error::Generic {
            store: STORE,
            source: format!("the upload of {} has ended", self.location).into(),
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Upload").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.put.abort();
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (taken, taking) = oneshot::channel();
        let sent = self.parts.as_ref().is_some_and(|parts| parts.send(Given::Part(joined(data), taken)).is_ok());
        let ended = self.ended();
        let part: BoxFuture<'static, Result<()>> =
            async move { if sent && taking.await.is_ok() { Ok(()) } else { Err(ended) } }.boxed();
        part
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.bridge.pass()?;
        let parts = self.parts.take().ok_or_else(|| self.ended())?;
        parts.send(Given::End).map_err(|_| self.ended())?;
        let putting = tokio::time::timeout(UPLOAD, &mut self.put).await.map_err(|_late| self.ended())?;
        let result = putting.map_err(|_| self.ended())?;
        self.bridge.wrote(result).map(put_result).map_err(|error| failed(error, &self.location, Conflict::Precondition))
    }

    async fn abort(&mut self) -> Result<()> {
        self.put.abort();
        self.parts = None;
        Ok(())
    }
}

#[cfg(test)]
#[path = "object_store_bridge_tests.rs"]
mod tests;
