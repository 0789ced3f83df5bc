//! Reading blobs: one request that streams the bytes asked for, all of one state. Does I/O through the SDK.

use std::{num::NonZero, ops::Range};

use azure_core::http::headers::HeaderName;
use azure_storage_blob::models::{BlobClientDownloadOptions, BlobClientDownloadResult};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    blobs::{ContainerBlobs, etag_of, time_of, version_of},
    errors::{Answer, Task},
};
use crate::{
    blob::{Blob, BlobInfo, ByteStream, GetOptions, Key},
    error::{Error, ErrorKind, Result},
};

/// More than any blob has. The SDK would read what is larger in several requests, and hold each answer in memory.
const LARGEST: u64 = 1 << 50;

const READ_AT_ONCE: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(1 << 50);

const CONTENT_RANGE: HeaderName = HeaderName::from_static("content-range");

/// Reads a blob or a range of it.
pub(super) async fn get(blobs: &ContainerBlobs, key: &Key, options: GetOptions) -> Result<Blob> {
    let task = Task::repeatable("get", key.as_str());
    let asked = options.range.unwrap_or(0..u64::MAX);
    loop {
        if !asked.is_empty() && asked.start < LARGEST {
            let options = BlobClientDownloadOptions {
                if_match: options.if_version.as_ref().map(etag_of),
                partition_size: Some(READ_AT_ONCE),
                range: Some((asked.start..asked.end.min(asked.start + LARGEST)).into()),
                ..Default::default()
            };
            match blobs.blob(key).download(Some(options)).await {
                Ok(found) => return opened(key, found, &task),
                // It begins at or beyond the end.
                Err(fault) if Answer::of(&fault).is_some_and(|answer| answer.is(416, "InvalidRange")) => {}
                Err(fault) => return Err(refused(blobs, key, task.sdk(fault), &task).await),
            }
        }
        let (info, metadata) = match blobs.look(key, options.if_version.as_ref(), &task).await {
            Ok(found) => found,
            Err(error) => return Err(refused(blobs, key, error, &task).await),
        };
        if asked.is_empty() || asked.start >= info.size {
            let start = asked.start.min(info.size);
            return Ok(Blob { info, metadata, range: start..start, body: stream::empty().boxed() });
        }
        // It has grown meanwhile.
    }
}

/// The same error, except that an unmet condition may also mean that there is no blob.
async fn refused(blobs: &ContainerBlobs, key: &Key, error: Error, task: &Task) -> Error {
    match error.kind() {
        ErrorKind::Conflict => blobs.look(key, None, task).await.err().unwrap_or(error),
        _ => error,
    }
}

fn opened(key: &Key, found: BlobClientDownloadResult, task: &Task) -> Result<Blob> {
    let BlobClientDownloadResult { body, properties, headers, .. } = found;
    let length = properties.content_length.ok_or_else(|| task.incomplete("length"))?;
    // A whole blob comes without the header.
    let (range, size) = match headers.get_optional_str(&CONTENT_RANGE) {
        Some(text) => parse_content_range(text).ok_or_else(|| task.incomplete("range"))?,
        None => (0..length, length),
    };
    let etag = properties.etag.as_ref().ok_or_else(|| task.incomplete("version"))?;
    let modified = properties.last_modified.and_then(time_of).ok_or_else(|| task.incomplete("time of modification"))?;
    let info = BlobInfo { key: key.clone(), size, version: version_of(etag), modified };
    let task = task.clone();
    let pieces = body.map_err({
        let task = task.clone();
        move |fault| task.sdk(fault)
    });
    let body = complete(pieces.boxed(), range.end - range.start, task);
    Ok(Blob { info, metadata: properties.metadata.into_iter().collect(), range, body })
}

/// The same pieces, and an error when they are not as long together as was announced.
fn complete(pieces: ByteStream, length: u64, task: Task) -> ByteStream {
    let watched = stream::try_unfold((pieces, length), move |(mut pieces, left)| {
        let task = task.clone();
        async move {
            let Some(piece) = pieces.try_next().await? else {
                let cut =
                    || task.explain(ErrorKind::Unavailable, format!("the body ended {left} bytes before its end"));
                return if left == 0 { Ok(None) } else { Err(cut()) };
            };
            match left.checked_sub(piece.len() as u64) {
                Some(left) => Ok(Some((piece, (pieces, left)))),
                None => Err(task.explain(ErrorKind::Unavailable, "the body is longer than was announced")),
            }
        }
    });
    watched.boxed()
}

/// The range and the whole length in "bytes 2-4/10".
fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_understood_or_refused() {
        assert_eq!(parse_content_range("bytes 2-4/10"), Some((2..5, 10)));
        for text in ["", "2-4/10", "bytes */10", "bytes 2-4/*", "bytes 2/10"] {
            assert_eq!(parse_content_range(text), None, "{text}");
        }
    }
}
