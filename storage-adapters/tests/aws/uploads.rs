//! Bodies that are uploaded in parts.

use std::future::pending;

use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use storage_adapters::{Error, ErrorKind, GetOptions, Metadata, PutMode, aws::Aws};

use crate::{
    fixture::{self, Admin, variables},
    key, kind, until,
};

const MIB: usize = 1024 * 1024;

async fn open() -> (Aws, String) {
    let config = fixture::config().await;
    (Aws::open_with(&config, &variables()).await.expect("the store opens"), config.bucket)
}

/// Pieces of a megabyte each.
fn pieces(count: usize) -> impl futures::Stream<Item = Result<Bytes, Error>> + Send + 'static {
    stream::iter((0..count).map(|number| Ok(Bytes::from(vec![u8::try_from(number % 251).unwrap_or(0); MIB]))))
}

async fn no_upload_is_left(bucket: &str) {
    let admin = Admin::new();
    until("no upload is left", async || {
        let uploads = admin.s3.list_multipart_uploads().bucket(bucket).send().await.expect("listed").uploads;
        uploads.unwrap_or_default().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_body_of_several_parts_honours_its_condition_and_keeps_its_metadata() {
    let (store, bucket) = open().await;
    let metadata: Metadata = [("a".to_owned(), "1".to_owned())].into();
    let put = async |mode| store.blobs.put_stream(&key("a"), pieces(20).boxed(), &metadata, mode).await;
    let version = put(PutMode::IfAbsent).await.expect("put");
    let blob = store.blobs.get(&key("a"), GetOptions::default()).await.expect("get");
    assert_eq!((&blob.info.version, blob.info.size, &blob.metadata), (&version, 20 * MIB as u64, &metadata));
    let body: BytesMut = blob.body.try_collect().await.expect("complete");
    let expected: BytesMut = pieces(20).try_collect().await.expect("pieces");
    assert!(body == expected);
    assert_eq!(kind(put(PutMode::IfAbsent).await), Some(ErrorKind::Conflict));
    put(PutMode::IfVersion(version)).await.expect("put");
    no_upload_is_left(&bucket).await;
}

#[tokio::test]
async fn of_two_uploads_at_the_same_time_one_wins() {
    let (store, bucket) = open().await;
    let put = async |count| {
        store.blobs.put_stream(&key("a"), pieces(count).boxed(), &Metadata::new(), PutMode::IfAbsent).await
    };
    let (one, other) = futures::join!(put(17), put(18));
    let outcomes = [one.is_ok(), other.is_ok()];
    assert!(outcomes == [true, false] || outcomes == [false, true], "{outcomes:?}");
    assert_eq!(kind(one).or(kind(other)), Some(ErrorKind::Conflict));
    no_upload_is_left(&bucket).await;
}

#[tokio::test]
async fn a_body_that_fails_after_its_first_part_leaves_no_upload() {
    let (store, bucket) = open().await;
    let failure = stream::once(async { Err(Error::new(ErrorKind::Denied, "read", "elsewhere")) });
    let body = pieces(20).chain(failure).boxed();
    let outcome = store.blobs.put_stream(&key("a"), body, &Metadata::new(), PutMode::Overwrite).await;
    assert_eq!(kind(outcome), Some(ErrorKind::Denied));
    no_upload_is_left(&bucket).await;
    assert_eq!(kind(store.blobs.head(&key("a")).await), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing() {
    let (store, bucket) = open().await;
    let (arrived, has_arrived) = futures::channel::oneshot::channel();
    let endless = pieces(20).chain(stream::once(async move {
        let _ = arrived.send(());
        pending().await
    }));
    let (name, nothing) = (key("a"), Metadata::new());
    let mut put = store.blobs.put_stream(&name, endless.boxed(), &nothing, PutMode::Overwrite).boxed();
    futures::future::select(&mut put, has_arrived).await;
    drop(put);
    no_upload_is_left(&bucket).await;
    assert_eq!(kind(store.blobs.head(&key("a")).await), Some(ErrorKind::NotFound));
}
