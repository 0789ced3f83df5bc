//! Reading blobs of S3: whole, a range, or only what is known of them. Does I/O over the network.

use std::{collections::HashMap, ops::Range};

use aws_sdk_s3::{
    error::SdkError,
    operation::get_object::{GetObjectError, GetObjectOutput},
    primitives::DateTime,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::byte_stream::ByteStream as SdkStream;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::{
    blobs::{Bucket, tag_of, task, version_of},
    errors::{Answer, Task},
};
use crate::{
    blob::{Blob, BlobInfo, ByteStream, GetOptions, Key, Metadata, Version},
    error::{Error, ErrorKind, Result},
};

/// Times that a read begins anew because the blob was replaced in the middle.
const RACES: usize = 3;

/// More than any blob has: S3 refuses numbers that are much larger, and others ignore them.
const BEYOND: u64 = 1 << 50;

impl Bucket {
    /// Reads a blob or a range of it.
    pub(super) async fn read(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        let task = task("get", key.as_str());
        let GetOptions { range, if_version } = options;
        for _ in 0..RACES {
            let header = match &range {
                None => None,
                Some(range) if range.is_empty() || range.start >= BEYOND => {
                    return self.read_nothing(key, range.start, if_version.as_ref(), &task).await;
                }
                Some(range) if range.end > BEYOND => Some(format!("bytes={}-", range.start)),
                Some(range) => Some(format!("bytes={}-{}", range.start, range.end - 1)),
            };
            let get = self.client.get_object().bucket(&*self.name).key(key.as_str());
            let get = get.set_range(header).set_if_match(if_version.as_ref().map(tag_of));
            let fault = match get.send().await {
                Ok(answer) => return blob_of(key, answer, range.as_ref(), task),
                Err(fault) => fault,
            };
            let begins = match &range {
                Some(range) if is_beyond_the_end(&fault) => range.start,
                _ => return Err(task.sdk(fault)),
            };
            // The range begins beyond the end, unless the blob has grown since.
            let blob = self.read_nothing(key, begins, if_version.as_ref(), &task).await?;
            if blob.info.size <= begins {
                return Ok(blob);
            }
        }
        Err(replaced(&task))
    }

    /// The blob with no byte of its body.
    async fn read_nothing(&self, key: &Key, start: u64, version: Option<&Version>, task: &Task) -> Result<Blob> {
        let (info, metadata) = self.look(key, version, task).await?;
        let start = start.min(info.size);
        Ok(Blob { info, metadata, range: start..start, body: stream::empty().boxed() })
    }

    /// What is known of a blob without its body.
    pub(super) async fn look(&self, key: &Key, version: Option<&Version>, task: &Task) -> Result<(BlobInfo, Metadata)> {
        for _ in 0..RACES {
            // A read of one byte, since the answer to a head has no body that says what is missing, and a bucket that is
            // gone is no empty shop.
            let get = self.client.get_object().bucket(&*self.name).key(key.as_str()).range("bytes=0-0");
            let fault = match get.set_if_match(version.map(tag_of)).send().await {
                Ok(answer) => {
                    let Blob { info, metadata, body, .. } = blob_of(key, answer, Some(&(0..1)), task.clone())?;
                    // The byte is taken in, or the connection could not be used again.
                    body.try_for_each(async |_| Ok(())).await?;
                    return Ok((info, metadata));
                }
                Err(fault) => fault,
            };
            if !is_beyond_the_end(&fault) {
                return Err(task.sdk(fault));
            }
            // An empty blob has no byte to read.
            let head = self.client.head_object().bucket(&*self.name).key(key.as_str());
            let fault = match head.set_if_match(version.map(tag_of)).send().await {
                Ok(answer) => {
                    let size = answer.content_length().and_then(|size| size.try_into().ok());
                    let info = info_of(key, size, answer.e_tag(), answer.last_modified(), task)?;
                    return Ok((info, metadata_of(answer.metadata)));
                }
                Err(fault) => fault,
            };
            let error = task.sdk(fault);
            if error.kind() != ErrorKind::NotFound {
                return Err(error);
            }
        }
        Err(replaced(task))
    }
}

/// Whether the range that was asked for begins beyond the end of the blob.
fn is_beyond_the_end(fault: &SdkError<GetObjectError, HttpResponse>) -> bool {
    Answer::read(fault).is_some_and(|answer| answer.status == 416)
}

fn replaced(task: &Task) -> Error {
    task.explain(ErrorKind::Unavailable, "the blob was replaced again and again while it was read")
}

fn blob_of(key: &Key, answer: GetObjectOutput, asked: Option<&Range<u64>>, task: Task) -> Result<Blob> {
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    let (range, size) = match (asked, answer.content_range()) {
        (None, _) => (length.map(|length| 0..length), length),
        (Some(_), Some(text)) => match parse_content_range(text) {
            Some((range, size)) => (Some(range), Some(size)),
            None => return Err(task.explain(ErrorKind::Internal, format!("the server named the range '{text}'"))),
        },
        (Some(_), None) => return Err(task.explain(ErrorKind::Internal, "the server ignores the range asked for")),
    };
    let info = info_of(key, size, answer.e_tag(), answer.last_modified(), &task)?;
    let range = range.unwrap_or_default();
    if asked.is_some_and(|asked| range.start != asked.start || range.end != asked.end.min(info.size)) {
        let reason = format!("the server sent the bytes {} to {} instead of those asked for", range.start, range.end);
        return Err(task.explain(ErrorKind::Internal, reason));
    }
    let left = range.end - range.start;
    Ok(Blob { info, metadata: metadata_of(answer.metadata), range, body: body_of(answer.body, left, task) })
}

/// The pieces of a body, which must have so many bytes.
fn body_of(body: SdkStream, left: u64, task: Task) -> ByteStream {
    let pieces = stream::try_unfold((body, left, task), |(mut body, left, task)| async move {
        let interrupted = |left: u64| format!("the body broke off {left} bytes before its end");
        match body.next().await {
            Some(Ok(piece)) => match left.checked_sub(piece.len() as u64) {
                Some(left) => Ok(Some((piece, (body, left, task)))),
                None => Err(task.explain(ErrorKind::Corrupt, "the body is longer than the server said")),
            },
            Some(Err(fault)) => Err(task.fail(ErrorKind::Unavailable).with_source(fault)),
            None if left > 0 => Err(task.explain(ErrorKind::Unavailable, interrupted(left))),
            None => Ok(None),
        }
    });
    pieces.boxed()
}

/// What an answer says of a blob.
pub(super) fn info_of(
    key: &Key,
    size: Option<u64>,
    tag: Option<&str>,
    modified: Option<&DateTime>,
    task: &Task,
) -> Result<BlobInfo> {
    // A listing may be more exact than a head, and both are to say the same.
    let modified = modified.and_then(|time| Timestamp::from_second(time.secs()).ok());
    let (Some(size), Some(modified)) = (size, modified) else {
        return Err(task.explain(ErrorKind::Internal, "the server said neither how large the blob is nor how old"));
    };
    Ok(BlobInfo { key: key.clone(), size, version: version_of(tag, task)?, modified })
}

fn metadata_of(metadata: Option<HashMap<String, String>>) -> Metadata {
    metadata.unwrap_or_default().into_iter().collect()
}

/// Reads `bytes 2-4/10` as a range and the size of the whole.
fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (start, end) = (first.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    (start <= end).then_some((start..end, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_as_it_is_written() {
        assert_eq!(parse_content_range("bytes 2-4/10"), Some((2..5, 10)));
        assert_eq!(parse_content_range("bytes 0-0/1"), Some((0..1, 1)));
        for text in ["bytes */10", "bytes 4-2/10", "2-4/10", "bytes 2-4/*", "bytes 2-18446744073709551615/9"] {
            assert_eq!(parse_content_range(text), None, "{text}");
        }
    }
}
