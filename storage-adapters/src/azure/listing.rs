//! Listing blobs, page by page. Does I/O through the SDK.

use azure_storage_blob::{
    BlobContainerClient,
    models::{BlobContainerClientListBlobsOptions, BlobItem},
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    blobs::{time_of, version_of},
    errors::Task,
};
use crate::{
    blob::{BlobInfo, Key, Listing},
    error::Result,
};

/// Lists the blobs of a container whose key starts with `prefix`, after `after`.
pub(super) fn list(container: &BlobContainerClient, prefix: &str, after: Option<&Key>) -> Listing {
    let task = Task::repeatable("list", prefix);
    let (prefix, after) = (prefix.to_owned(), after.cloned());
    if !may_find(&prefix, after.as_ref()) {
        return stream::empty().boxed();
    }
    // The service begins at this name; one before all that start with the prefix is left out.
    let start_from = after.as_ref().filter(|after| after.as_str() > prefix.as_str()).map(Key::to_string);
    let options = BlobContainerClientListBlobsOptions { prefix: Some(prefix), start_from, ..Default::default() };
    let pages = match container.list_blobs(Some(options)) {
        Ok(pages) => pages.into_pages(),
        Err(fault) => return stream::iter([Err(task.sdk(fault))]).boxed(),
    };
    let found = pages.map(move |page| {
        let page = page.and_then(azure_core::http::Response::into_model).map_err(|fault| task.sdk(fault))?;
        let after = after.clone();
        let found: Result<Vec<_>> =
            page.blob_items.into_iter().filter_map(|item| info_of(item, &task).transpose()).collect();
        let later = move |info: &BlobInfo| after.as_ref().is_none_or(|after| info.key > *after);
        Ok(stream::iter(found?.into_iter().filter(later).map(Ok)))
    });
    found.try_flatten().boxed()
}

/// Whether any key could be found: a prefix of none would only be refused, and one before `after` was passed.
fn may_find(prefix: &str, after: Option<&Key>) -> bool {
    let is_of_keys = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=/".contains(&byte));
    is_of_keys && after.is_none_or(|after| after.as_str() < prefix || after.as_str().starts_with(prefix))
}

/// What a listing says of a blob; absent when its name is no key, so that it is nothing of ours.
fn info_of(item: BlobItem, task: &Task) -> Result<Option<BlobInfo>> {
    let name = item.name.ok_or_else(|| task.incomplete("name"))?;
    let Ok(key) = Key::new(name) else { return Ok(None) };
    let properties = item.properties.ok_or_else(|| task.incomplete("properties"))?;
    Ok(Some(BlobInfo {
        key,
        size: properties.content_length.ok_or_else(|| task.incomplete("length"))?,
        version: properties.etag.as_ref().map(version_of).ok_or_else(|| task.incomplete("version"))?,
        modified: properties.last_modified.and_then(time_of).ok_or_else(|| task.incomplete("time of modification"))?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_found_is_not_asked_for() {
        let key = |text: &str| Key::new(text).expect("a key");
        let table = [
            ("", None, true),
            ("a b", None, false),
            ("a/", Some("Z"), true),
            ("a/", Some("a/2"), true),
            ("a/", Some("c"), false),
            ("", Some("c"), true),
        ];
        for (prefix, after, expected) in table {
            assert_eq!(may_find(prefix, after.map(key).as_ref()), expected, "{prefix} {after:?}");
        }
    }
}
