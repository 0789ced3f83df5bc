//! Listing blobs of S3, page by page. Does I/O over the network.

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    blobs::{Bucket, task},
    errors::Task,
    reading::info_of,
};
use crate::{
    blob::{BlobInfo, Key, Listing, MAX_KEY_BYTES},
    error::{Error, ErrorKind, Result},
};

/// Blobs of a page, the most that S3 gives: each page is a request that is paid for.
const PAGE: i32 = 1_000;

/// Where a listing stands.
struct Walk {
    bucket: Bucket,
    prefix: String,
    after: Option<String>,
    /// What the server gave to go on with.
    token: Option<String>,
    task: Task,
}

impl Bucket {
    /// Lists blobs in the order of their keys.
    pub(super) fn pages(&self, prefix: &str, after: Option<&Key>) -> Listing {
        if !may_begin_a_key(prefix) {
            return stream::empty().boxed();
        }
        let walk = Walk {
            bucket: self.clone(),
            prefix: prefix.to_owned(),
            after: after.map(|key| key.as_str().to_owned()),
            token: None,
            task: task("list", prefix),
        };
        let pages = stream::try_unfold(Some(walk), |walk| async {
            let Some(walk) = walk else { return Ok(None) };
            let (page, walk) = walk.next().await?;
            Ok::<_, Error>(Some((stream::iter(page.into_iter().map(Ok)), walk)))
        });
        pages.try_flatten().boxed()
    }
}

/// Whether a key can begin so: servers differ in how they take other texts.
fn may_begin_a_key(prefix: &str) -> bool {
    prefix.len() <= MAX_KEY_BYTES && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=/".contains(&byte))
}

impl Walk {
    /// The next page, and the rest of the listing if there is one.
    async fn next(mut self) -> Result<(Vec<BlobInfo>, Option<Self>)> {
        let list = self.bucket.client.list_objects_v2().bucket(&*self.bucket.name).prefix(&self.prefix).max_keys(PAGE);
        let list = match self.token.take() {
            Some(token) => list.continuation_token(token),
            None => list.set_start_after(self.after.clone()),
        };
        let answer = list.send().await.map_err(|fault| self.task.sdk(fault))?;
        let mut page = Vec::new();
        for object in answer.contents.unwrap_or_default() {
            // What has another name than a key is not of a shop, such as the folders that consoles make.
            let Some(key) = object.key().and_then(|name| Key::new(name).ok()) else { continue };
            if self.after.as_deref().is_some_and(|last| last >= key.as_str()) {
                let reason = "the server lists keys in another order than that of their bytes; use one that keeps it";
                return Err(self.task.explain(ErrorKind::Internal, reason));
            }
            let size = object.size().and_then(|size| size.try_into().ok());
            page.push(info_of(&key, size, object.e_tag(), object.last_modified(), &self.task)?);
            self.after = Some(key.as_str().to_owned());
        }
        match (answer.is_truncated, answer.next_continuation_token) {
            (Some(true), None) => {
                Err(self.task.explain(ErrorKind::Unavailable, "the server ended a page without saying how to go on"))
            }
            (Some(true), Some(token)) => Ok((page, Some(Self { token: Some(token), ..self }))),
            _ => Ok((page, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_begin_a_key_is_asked_for() {
        for prefix in ["", "a", "a/", "wal/00", "-_.=/"] {
            assert!(may_begin_a_key(prefix), "{prefix}");
        }
        for prefix in ["%", "a b", "é", "\n", &"x".repeat(MAX_KEY_BYTES + 1)] {
            assert!(!may_begin_a_key(prefix), "{prefix}");
        }
    }
}
