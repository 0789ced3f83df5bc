//! The port [`BlobStore`] on a container. Does I/O through the SDK.

use std::{collections::HashMap, fmt, num::NonZero};

use async_trait::async_trait;
use azure_core::{
    http::{Etag, NoFormat, Response},
    time::OffsetDateTime,
};
use azure_storage_blob::{
    BlobClient, BlobContainerClient,
    models::{
        BlobClientGetPropertiesOptions, BlobClientGetPropertiesResult, BlobClientGetPropertiesResultHeaders,
        BlobClientUploadOptions,
    },
};
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    copying::COPIED_AT_ONCE,
    errors::{Answer, Task},
    listing, reading,
};
use crate::{
    blob::{
        Blob, BlobInfo, BlobStore, ByteStream, GetOptions, Key, Listing, Metadata, PutMode, Version, check_metadata,
    },
    error::{ErrorKind, Result},
};

/// Most bytes that one request puts
/// (<https://learn.microsoft.com/rest/api/storageservices/put-blob#remarks>). The SDK would cut a body into blocks beyond
/// what is given here.
const PUT_AT_ONCE: NonZero<u64> = NonZero::<u64>::MIN.saturating_add(5_000 * 1024 * 1024 - 1);

/// Blobs in a container.
pub(super) struct ContainerBlobs {
    container: BlobContainerClient,
}

impl fmt::Debug for ContainerBlobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ContainerBlobs").field(&self.container.url().as_str()).finish()
    }
}

/// The headers by which a write expects a state.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    pub(super) if_match: Option<Etag>,
    pub(super) if_none_match: Option<Etag>,
}

impl Condition {
    pub(super) fn of(mode: &PutMode) -> Self {
        match mode {
            PutMode::Overwrite => Self::default(),
            PutMode::IfAbsent => Self { if_none_match: Some("*".into()), ..Self::default() },
            PutMode::IfVersion(version) => Self { if_match: Some(etag_of(version)), ..Self::default() },
        }
    }
}

/// A put without a condition may be repeated; of one with a condition the caller has to find out whether it happened.
pub(super) fn put_task(key: &Key, mode: &PutMode) -> Task {
    match mode {
        PutMode::Overwrite => Task::repeatable("put", key.as_str()),
        PutMode::IfAbsent | PutMode::IfVersion(_) => Task::uncertain("put", key.as_str()),
    }
}

impl ContainerBlobs {
    pub(super) fn new(container: BlobContainerClient) -> Self {
        Self { container }
    }

    pub(super) fn blob(&self, key: &Key) -> BlobClient {
        self.container.blob_client(key.as_str())
    }

    /// Puts a body with one request.
    pub(super) async fn put_at_once(
        &self,
        key: &Key,
        body: Bytes,
        metadata: &Metadata,
        mode: &PutMode,
    ) -> Result<Version> {
        let task = put_task(key, mode);
        let Condition { if_match, if_none_match } = Condition::of(mode);
        let options = BlobClientUploadOptions {
            if_match,
            if_none_match,
            metadata: Some(headers_of(metadata)),
            partition_size: Some(PUT_AT_ONCE),
            ..Default::default()
        };
        let put = self.blob(key).upload(body.into(), Some(options)).await;
        let put = put.map_err(|fault| refused_put(&task, mode, fault))?;
        put.etag.as_ref().map(version_of).ok_or_else(|| task.incomplete("version"))
    }

    /// What a blob is now, without its body.
    pub(super) async fn look(
        &self,
        key: &Key,
        if_version: Option<&Version>,
        task: &Task,
    ) -> Result<(BlobInfo, Metadata)> {
        let options = BlobClientGetPropertiesOptions { if_match: if_version.map(etag_of), ..Default::default() };
        let found = self.blob(key).get_properties(Some(options)).await.map_err(|fault| task.sdk(fault))?;
        let size = found.content_length().ok().flatten().ok_or_else(|| task.incomplete("length"))?;
        let info = info_of(key, size, &found, task)?;
        let metadata = found.metadata().map_err(|_| task.incomplete("metadata"))?;
        Ok((info, metadata.into_iter().collect()))
    }
}

fn info_of(
    key: &Key,
    size: u64,
    found: &Response<BlobClientGetPropertiesResult, NoFormat>,
    task: &Task,
) -> Result<BlobInfo> {
    let etag = found.etag().ok().flatten().ok_or_else(|| task.incomplete("version"))?;
    let modified = found.last_modified().ok().flatten().and_then(time_of);
    let modified = modified.ok_or_else(|| task.incomplete("time of modification"))?;
    Ok(BlobInfo { key: key.clone(), size, version: version_of(&etag), modified })
}

/// What it means that a put was refused: where a certain state was expected, no blob at all is another state.
pub(super) fn refused_put(task: &Task, mode: &PutMode, fault: azure_core::Error) -> crate::Error {
    let is_absent = Answer::of(&fault).is_some_and(|answer| answer.is(404, "BlobNotFound"));
    if is_absent && matches!(mode, PutMode::IfVersion(_)) { task.fail(ErrorKind::Conflict) } else { task.sdk(fault) }
}

/// A version is an entity tag without its quotes, since listings leave them out.
pub(super) fn version_of(etag: &Etag) -> Version {
    Version(etag.as_ref().trim_matches('"').to_owned())
}

pub(super) fn etag_of(version: &Version) -> Etag {
    format!("\"{}\"", version.0).into()
}

pub(super) fn time_of(time: OffsetDateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.unix_timestamp()).ok()
}

pub(super) fn headers_of(metadata: &Metadata) -> HashMap<String, String> {
    metadata.clone().into_iter().collect()
}

#[async_trait]
impl BlobStore for ContainerBlobs {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        check_metadata("put", key, metadata)?;
        self.put_at_once(key, body, metadata, &mode).await
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        check_metadata("put", key, metadata)?;
        self.put_in_blocks(key, body, metadata, &mode).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        reading::get(self, key, options).await
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        self.look(key, None, &Task::repeatable("head", key.as_str())).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        self.copy_if_absent(from, to, COPIED_AT_ONCE).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        match self.blob(key).delete(None).await {
            Ok(_) => Ok(()),
            Err(fault) if Answer::of(&fault).is_some_and(|answer| answer.is(404, "BlobNotFound")) => Ok(()),
            Err(fault) => Err(Task::repeatable("delete", key.as_str()).sdk(fault)),
        }
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        listing::list(&self.container, prefix, after)
    }
}
