//! Uploads in parts: bodies that arrive in pieces, and copies. Does I/O over the network.
//!
//! Nothing of an upload is seen until its end, and one that does not get there is aborted, for its parts cost money.

use std::{mem, time::Duration};

use aws_sdk_s3::{
    primitives::{ByteStream as Body, SdkBody},
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use tokio::{runtime::Handle, time::sleep};

use super::{
    blobs::{Bucket, condition, put_task, refused, version_of},
    errors::Task,
};
use crate::{
    blob::{ByteStream, Key, Metadata, PutMode, Version},
    error::{ErrorKind, Result},
};

/// Least size of a part. S3 wants 5 MiB, and takes 10,000 parts, so that a body may have 78 GiB
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
const PART: usize = 8 * 1024 * 1024;

/// Attempts to upload a part, which is still at hand when one fails, unlike the body before it.
const PART_ATTEMPTS: u32 = 3;
const PART_PAUSE: Duration = Duration::from_millis(200);

impl Bucket {
    /// Puts a body that arrives in pieces, holding one part of it at a time.
    pub(super) async fn put_pieces(
        &self,
        key: &Key,
        mut body: ByteStream,
        metadata: &Metadata,
        mode: &PutMode,
    ) -> Result<Version> {
        let task = put_task("put_stream", key.as_str(), mode);
        let (mut part, mut has_ended) = next_part(&mut body).await?;
        if has_ended {
            return self.put_whole(key, part, metadata, mode, &task).await;
        }
        self.refuse_early(key, mode, &task.clone().again()).await?;
        let mut upload = Upload::begin(self, key, metadata, &task).await?;
        loop {
            if !part.is_empty() {
                upload.put_part(part, &task).await?;
            }
            if has_ended {
                return upload.finish(mode, &task).await;
            }
            (part, has_ended) = next_part(&mut body).await?;
        }
    }

    /// Refuses an upload whose condition does not hold already at its beginning. What counts is its end.
    async fn refuse_early(&self, key: &Key, mode: &PutMode, task: &Task) -> Result<()> {
        if *mode == PutMode::Overwrite {
            return Ok(());
        }
        let found = match self.look(key, None, task).await {
            Ok((info, _)) => Some(info.version),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let holds = match mode {
            PutMode::Overwrite => true,
            PutMode::IfAbsent => found.is_none(),
            PutMode::IfVersion(version) => found.as_ref() == Some(version),
        };
        if holds { Ok(()) } else { Err(task.fail(ErrorKind::Conflict)) }
    }
}

/// The next pieces that together make a part, and whether the body has ended.
async fn next_part(body: &mut ByteStream) -> Result<(Bytes, bool)> {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    let mut has_ended = false;
    while length < PART && !has_ended {
        match body.try_next().await? {
            Some(piece) => {
                length += piece.len();
                pieces.push(piece);
            }
            None => has_ended = true,
        }
    }
    if pieces.len() == 1 {
        return Ok((pieces.remove(0), has_ended));
    }
    let mut part = BytesMut::with_capacity(length);
    for piece in &pieces {
        part.extend_from_slice(piece);
    }
    Ok((part.freeze(), has_ended))
}

/// An upload that has begun; aborted when it is dropped before its end.
pub(super) struct Upload {
    pub(super) bucket: Bucket,
    pub(super) key: Key,
    pub(super) id: String,
    parts: Vec<CompletedPart>,
    is_over: bool,
}

impl Upload {
    pub(super) async fn begin(bucket: &Bucket, key: &Key, metadata: &Metadata, task: &Task) -> Result<Self> {
        let begin = bucket.client.create_multipart_upload().bucket(&*bucket.name).key(key.as_str());
        let begin = begin.set_metadata(Some(metadata.clone().into_iter().collect()));
        // Lost or not, nothing is stored yet.
        let task = task.clone().again();
        let answer = begin.send().await.map_err(|fault| task.sdk(fault))?;
        let missing = || task.explain(ErrorKind::Internal, "the server gave the upload no id");
        let id = answer.upload_id.ok_or_else(missing)?;
        Ok(Self { bucket: bucket.clone(), key: key.clone(), id, parts: Vec::new(), is_over: false })
    }

    /// The number of the part to come; the first is 1.
    pub(super) fn next_number(&self) -> i32 {
        i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX)
    }

    /// Notes a part that the server has.
    pub(super) fn add(&mut self, tag: Option<&str>, task: &Task) -> Result<()> {
        let tag = version_of(tag, task)?.0;
        self.parts.push(CompletedPart::builder().part_number(self.next_number()).e_tag(format!("\"{tag}\"")).build());
        Ok(())
    }

    async fn put_part(&mut self, part: Bytes, task: &Task) -> Result<()> {
        let task = task.clone().again();
        let mut attempt = 1;
        loop {
            let put = self
                .bucket
                .client
                .upload_part()
                .bucket(&*self.bucket.name)
                .key(self.key.as_str())
                .upload_id(&self.id)
                .part_number(self.next_number())
                .body(Body::new(SdkBody::from(part.clone())));
            match put.send().await {
                Ok(answer) => return self.add(answer.e_tag(), &task),
                Err(fault) => {
                    let error = task.sdk(fault);
                    if !error.is_transient() || attempt >= PART_ATTEMPTS {
                        return Err(error);
                    }
                }
            }
            sleep((PART_PAUSE * attempt).mul_f64(rand::random())).await;
            attempt += 1;
        }
    }

    /// Makes all parts one blob, if `mode` holds now.
    pub(super) async fn finish(mut self, mode: &PutMode, task: &Task) -> Result<Version> {
        let (if_none_match, if_match) = condition(mode);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(mem::take(&mut self.parts))).build();
        let finish = self
            .bucket
            .client
            .complete_multipart_upload()
            .bucket(&*self.bucket.name)
            .key(self.key.as_str())
            .upload_id(&self.id)
            .multipart_upload(parts)
            .set_if_none_match(if_none_match)
            .set_if_match(if_match);
        let answer = finish.send().await.map_err(|fault| refused(task, mode, fault))?;
        self.is_over = true;
        version_of(answer.e_tag(), task)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // The best that can be done here; a lifecycle rule of the bucket removes what is left when the program ends.
        let Ok(runtime) = Handle::try_current() else { return };
        let abort = self.bucket.client.abort_multipart_upload().bucket(&*self.bucket.name);
        let abort = abort.key(self.key.as_str()).upload_id(&self.id);
        runtime.spawn(async move {
            let _ = abort.send().await;
        });
    }
}
