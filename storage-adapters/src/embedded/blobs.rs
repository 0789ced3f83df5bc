//! The port [`BlobStore`] on a local folder: hands each operation to a thread that may block.

use std::{fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    errors::Task,
    format::{Header, Kind},
    listing::{Walk, info_of},
    paths,
    reading::OpenVersion,
    root::Root,
    staging::StagedBlob,
    versions::{Versions, is_expected, version_of},
};
use crate::{
    blob::{
        Blob, BlobInfo, BlobStore, ByteStream, GetOptions, Key, Listing, Metadata, PutMode, Version, check_metadata,
    },
    error::{Error, ErrorKind, Result},
};

/// Blobs that a listing reads at once.
const LISTED_AT_ONCE: usize = 256;

/// Bytes of a streamed body that are collected before they are written.
const WRITTEN_AT_ONCE: usize = 256 * 1024;

/// Blobs in a folder.
#[derive(Clone)]
pub(super) struct FolderBlobs {
    root: Arc<Root>,
    versions: Arc<Versions>,
}

impl fmt::Debug for FolderBlobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("FolderBlobs").field(&self.root.path()).finish()
    }
}

impl FolderBlobs {
    pub(super) fn new(root: Arc<Root>) -> Self {
        let versions = Arc::new(Versions::new(root.blobs()));
        Self { root, versions }
    }

    /// Runs `work` on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        task: &Task,
        work: impl FnOnce(&Self, &Task) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (this, inner) = (self.clone(), task.clone());
        self.root.run(task, move || work(&this, &inner)).await
    }

    fn folder(&self, key: &Key) -> PathBuf {
        paths::of_key(&self.root.blobs(), key)
    }

    /// Opens the blob as it is now.
    fn open(&self, key: &Key, task: &Task) -> Result<Option<OpenVersion>> {
        let found = Versions::newest(&self.folder(key), task)?;
        match &found {
            Some(version) if version.header.key != key.as_str() => {
                Err(task.explain(ErrorKind::Corrupt, format!("it holds the blob '{}'", version.header.key)))
            }
            _ => Ok(found),
        }
    }

    /// Begins a put: refuses what is already known to fail, then stages an empty body.
    fn begin(&self, key: &Key, metadata: Metadata, mode: &PutMode, task: &Task) -> Result<StagedBlob> {
        if *mode != PutMode::Overwrite {
            let found = self.open(key, task)?;
            if !is_expected(found.as_ref().map(|version| &version.header), mode) {
                return Err(task.fail(ErrorKind::Conflict));
            }
        }
        let header = Header {
            kind: Kind::Body,
            key: key.as_str().to_owned(),
            metadata,
            size: 0,
            modified: Timestamp::now(),
            nonce: Uuid::new_v4(),
        };
        StagedBlob::begin(self.root.staging(), header).map_err(|fault| task.os(fault))
    }

    /// Ends a put: makes the staged body durable, then visible.
    fn finish(&self, key: &Key, staged: StagedBlob, mode: &PutMode, task: &Task) -> Result<Version> {
        let (staged, header) = staged.finish().map_err(|fault| task.os(fault))?;
        self.versions.put(self.root.staging(), &self.folder(key), &staged, mode, task)?;
        Ok(version_of(&header))
    }

    /// The bytes of `range`, read as they are asked for.
    fn stream(&self, version: OpenVersion, first: Bytes, range: std::ops::Range<u64>, task: Task) -> ByteStream {
        let begins = range.start + first.len() as u64;
        let first = stream::iter((!first.is_empty()).then_some(Ok(first)));
        if begins >= range.end {
            return first.boxed();
        }
        let rest = stream::try_unfold((self.clone(), version, begins), move |(this, version, begins)| {
            let (task, end) = (task.clone(), range.end);
            async move {
                if begins >= end {
                    return Ok(None);
                }
                let read = move |_: &Self, task: &Task| {
                    let bytes = version.read(&(begins..end), task)?;
                    Ok((version, bytes))
                };
                let (version, bytes) = this.run(&task, read).await?;
                let next = begins + bytes.len() as u64;
                Ok::<_, Error>(Some((bytes, (this, version, next))))
            }
        });
        first.chain(rest).boxed()
    }
}

#[async_trait]
impl BlobStore for FolderBlobs {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        check_metadata("put", key, metadata)?;
        let task = Task::new("put", key.as_str());
        let (key, metadata) = (key.clone(), metadata.clone());
        let put = move |this: &Self, task: &Task| {
            let mut staged = this.begin(&key, metadata, &mode, task)?;
            staged.write(&body).map_err(|fault| task.os(fault))?;
            this.finish(&key, staged, &mode, task)
        };
        self.run(&task, put).await
    }

    async fn put_stream(&self, key: &Key, mut body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        check_metadata("put", key, metadata)?;
        let task = Task::new("put", key.as_str());
        let (begun_key, metadata, begun_mode) = (key.clone(), metadata.clone(), mode.clone());
        let mut staged = self.run(&task, move |this, task| this.begin(&begun_key, metadata, &begun_mode, task)).await?;
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut collected = 0;
        loop {
            let piece = body.try_next().await?;
            let has_ended = piece.is_none();
            if let Some(piece) = piece {
                collected += piece.len();
                pieces.push(piece);
            }
            if collected < WRITTEN_AT_ONCE && !has_ended {
                continue;
            }
            collected = 0;
            let pieces = std::mem::take(&mut pieces);
            let write = move |_: &Self, task: &Task| {
                for piece in pieces {
                    staged.write(&piece).map_err(|fault| task.os(fault))?;
                }
                Ok(staged)
            };
            staged = self.run(&task, write).await?;
            if has_ended {
                break;
            }
        }
        let key = key.clone();
        self.run(&task, move |this, task| this.finish(&key, staged, &mode, task)).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        let task = Task::new("get", key.as_str());
        let key = key.clone();
        let get = move |this: &Self, task: &Task| {
            let version = this.open(&key, task)?;
            if let Some(expected) = options.if_version {
                match &version {
                    Some(version) if version_of(&version.header) != expected => {
                        return Err(task.fail(ErrorKind::Conflict));
                    }
                    _ => {}
                }
            }
            let version = version.ok_or_else(|| task.fail(ErrorKind::NotFound))?;
            let size = version.header.size;
            let asked = options.range.unwrap_or(0..size);
            let start = asked.start.min(size);
            let range = start..asked.end.clamp(start, size);
            let first = version.read(&range, task)?;
            Ok((info_of(&version, task)?, version, first, range))
        };
        let (info, version, first, range) = self.run(&task, get).await?;
        let metadata = version.header.metadata.clone();
        Ok(Blob { info, metadata, range: range.clone(), body: self.stream(version, first, range, task) })
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        let task = Task::new("head", key.as_str());
        let key = key.clone();
        let head = move |this: &Self, task: &Task| {
            let version = this.open(&key, task)?.ok_or_else(|| task.fail(ErrorKind::NotFound))?;
            Ok((info_of(&version, task)?, version.header.metadata))
        };
        self.run(&task, head).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        let task = Task::new("copy", format!("{from} to {to}"));
        let (from, to) = (from.clone(), to.clone());
        let copy = move |this: &Self, task: &Task| {
            let source = this.open(&from, task)?.ok_or_else(|| task.fail(ErrorKind::NotFound))?;
            let mut staged = this.begin(&to, source.header.metadata.clone(), &PutMode::IfAbsent, task)?;
            let mut range = 0..source.header.size;
            while !range.is_empty() {
                let bytes = source.read(&range, task)?;
                staged.write(&bytes).map_err(|fault| task.os(fault))?;
                range.start += bytes.len() as u64;
            }
            this.finish(&to, staged, &PutMode::IfAbsent, task)
        };
        self.run(&task, copy).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let task = Task::new("delete", key.as_str());
        let key = key.clone();
        self.run(&task, move |this, task| Versions::delete(&this.folder(&key), this.root.deletion(), task)).await
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        let task = Task::new("list", prefix);
        let walk = Walk::new(&self.root.blobs(), prefix, after);
        let pages = stream::try_unfold((self.clone(), walk), move |(this, mut walk)| {
            let task = task.clone();
            async move {
                let read = move |_: &Self, _: &Task| {
                    let found = walk.next(LISTED_AT_ONCE)?;
                    Ok((walk, found))
                };
                let (walk, found) = this.run(&task, read).await?;
                Ok::<_, Error>((!found.is_empty()).then(|| (stream::iter(found.into_iter().map(Ok)), (this, walk))))
            }
        });
        pages.try_flatten().boxed()
    }
}
