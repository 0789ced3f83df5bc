//! Copies within a bucket that never replace anything. Does I/O over the network.
//!
//! A copy of S3 has no condition everywhere, but the end of an upload has: so the parts of the new blob are copied, and
//! the end says that nothing may be there.

use bytes::Bytes;

use super::{
    blobs::{Bucket, put_task, tag_of},
    errors::{Answer, Task},
    uploading::Upload,
};
use crate::{
    blob::{BlobInfo, Key, PutMode, Version},
    error::{ErrorKind, Result},
};

/// Size of a part, of which S3 copies 5 GiB at most. Smaller ones are quicker, larger ones are fewer requests.
const PART: u64 = 512 * 1024 * 1024;

/// Times that a copy begins anew because the original was replaced in the middle.
const RACES: usize = 3;

impl Bucket {
    /// Copies body and metadata of `from` to `to`, which must be absent.
    pub(super) async fn copy_within(&self, from: &Key, to: &Key) -> Result<Version> {
        let task = put_task("copy", format!("{from} to {to}"), &PutMode::IfAbsent);
        for _ in 0..RACES {
            let (info, metadata) = self.look(from, None, &task.clone().again()).await?;
            if info.size == 0 {
                // An upload has a part at least, and a copied part has a byte.
                return self.put_whole(to, Bytes::new(), &metadata, &PutMode::IfAbsent, &task).await;
            }
            let mut upload = Upload::begin(self, to, &metadata, &task).await?;
            if upload.copy_parts(&info, &task.clone().again()).await? {
                return upload.finish(&PutMode::IfAbsent, &task).await;
            }
        }
        Err(task.explain(ErrorKind::Unavailable, "the original was replaced again and again while it was copied"))
    }
}

impl Upload {
    /// Copies all parts of one state of a blob; false when it was replaced meanwhile.
    async fn copy_parts(&mut self, from: &BlobInfo, task: &Task) -> Result<bool> {
        // A key has no character that a header could not carry, but for this one, which means something in URLs.
        let source = format!("{}/{}", self.bucket.name, from.key.as_str().replace('=', "%3D"));
        let mut start = 0;
        while start < from.size {
            let end = (start + PART).min(from.size);
            let copy = self
                .bucket
                .client
                .upload_part_copy()
                .bucket(&*self.bucket.name)
                .key(self.key.as_str())
                .upload_id(&self.id)
                .part_number(self.next_number())
                .copy_source(&source)
                .copy_source_if_match(tag_of(&from.version))
                .copy_source_range(format!("bytes={start}-{}", end - 1));
            let fault = match copy.send().await {
                Ok(answer) => {
                    let part = answer.copy_part_result();
                    self.add(part.and_then(|part| part.e_tag()), task)?;
                    start = end;
                    continue;
                }
                Err(fault) => fault,
            };
            if Answer::read(&fault).is_some_and(|answer| answer.status == 412) {
                return Ok(false);
            }
            return Err(task.sdk(fault));
        }
        Ok(true)
    }
}
