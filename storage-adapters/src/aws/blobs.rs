//! The port [`BlobStore`] on a bucket of S3. Does I/O over the network.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::SdkError,
    primitives::{ByteStream as Body, SdkBody},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use tokio::time::sleep;

use super::errors::{Answer, BUSY, Service, Task};
use crate::{
    blob::{
        Blob, BlobInfo, BlobStore, ByteStream, GetOptions, Key, Listing, Metadata, PutMode, Version, check_metadata,
    },
    error::{Error, ErrorKind, Result},
};

/// Attempts of a conditional put that meets other writers of its key. The first pause is this long at most, each further
/// one twice as long.
const BUSY_ATTEMPTS: u32 = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// A bucket of S3.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) name: Arc<str>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Bucket").field(&self.name).finish()
    }
}

/// A task on blobs.
pub(super) fn task(operation: &'static str, subject: impl Into<String>) -> Task {
    Task::new(Service::S3, operation, subject)
}

/// A put, which may be done twice only when it has no condition.
pub(super) fn put_task(operation: &'static str, subject: impl Into<String>, mode: &PutMode) -> Task {
    match mode {
        PutMode::Overwrite => task(operation, subject),
        PutMode::IfAbsent | PutMode::IfVersion(_) => task(operation, subject).once(),
    }
}

/// A condition as the headers `If-None-Match` and `If-Match`.
pub(super) fn condition(mode: &PutMode) -> (Option<String>, Option<String>) {
    match mode {
        PutMode::Overwrite => (None, None),
        PutMode::IfAbsent => (Some("*".to_owned()), None),
        PutMode::IfVersion(version) => (None, Some(tag_of(version))),
    }
}

/// The version that an entity tag names. Some servers leave its quotation marks out in some answers.
pub(super) fn version_of(tag: Option<&str>, task: &Task) -> Result<Version> {
    let missing = || task.explain(task.unheard(), "the server named no version of the blob");
    Ok(Version(tag.ok_or_else(missing)?.trim_matches('"').to_owned()))
}

/// The entity tag of a version.
pub(super) fn tag_of(version: &Version) -> String {
    format!("\"{}\"", version.0)
}

/// What it means that a put or the end of an upload was refused: an absent key cannot have the version that was named.
pub(super) fn refused<E>(task: &Task, mode: &PutMode, fault: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let error = task.sdk(fault);
    match (error.kind(), mode) {
        (ErrorKind::NotFound, PutMode::IfVersion(_)) => task.fail(ErrorKind::Conflict).with_source(error),
        _ => error,
    }
}

impl Bucket {
    /// Puts a body that is here as a whole.
    ///
    /// S3 answers 409 when another write of the key was under way, and did nothing then. Asked again it says who won, so
    /// it is asked again; a key that stays so busy is throttled, since nothing was stored and the same put may succeed.
    pub(super) async fn put_whole(
        &self,
        key: &Key,
        body: Bytes,
        metadata: &Metadata,
        mode: &PutMode,
        task: &Task,
    ) -> Result<Version> {
        let (if_none_match, if_match) = condition(mode);
        let mut attempt = 1;
        loop {
            let put = self
                .client
                .put_object()
                .bucket(&*self.name)
                .key(key.as_str())
                .set_metadata(Some(metadata.clone().into_iter().collect()))
                .set_if_none_match(if_none_match.clone())
                .set_if_match(if_match.clone())
                .body(Body::new(SdkBody::from(body.clone())));
            let fault = match put.send().await {
                Ok(answer) => return version_of(answer.e_tag(), task),
                Err(fault) => fault,
            };
            let is_busy = Answer::read(&fault).is_some_and(|answer| answer.is(BUSY));
            if !is_busy || attempt >= BUSY_ATTEMPTS {
                return Err(refused(task, mode, fault));
            }
            sleep((BUSY_PAUSE * (1 << (attempt - 1))).mul_f64(rand::random())).await;
            attempt += 1;
        }
    }
}

#[async_trait]
impl BlobStore for Bucket {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        check_metadata("put", key, metadata)?;
        self.put_whole(key, body, metadata, &mode, &put_task("put", key.as_str(), &mode)).await
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        check_metadata("put", key, metadata)?;
        self.put_pieces(key, body, metadata, &mode).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        self.read(key, options).await
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        self.look(key, None, &task("head", key.as_str())).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        self.copy_within(from, to).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let task = task("delete", key.as_str());
        let delete = self.client.delete_object().bucket(&*self.name).key(key.as_str());
        match delete.send().await.map_err(|fault| task.sdk(fault)) {
            // Some servers say that there was nothing to delete.
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        self.pages(prefix, after)
    }
}
