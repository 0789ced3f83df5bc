//! Files that are not as they were written.

use std::{fs, path::Path, time::Duration};

use futures::TryStreamExt;
use storage_adapters::{ErrorKind, GetOptions, PutMode};

use crate::{files, get, key, kind, open, place, put, read};

const BLOCK: usize = 64 * 1024;

/// The one file that holds a version of a blob.
fn stored(root: &Path) -> std::path::PathBuf {
    let mut files = files(&root.join("blobs"));
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// Changes one bit of a file.
fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[byte] ^= 1;
    fs::write(path, bytes).expect("writable");
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_corrupt_and_never_served() {
    let place = place();
    let store = open(place.path()).await;
    put(&*store.blobs, "a", vec![7; 1_000], PutMode::IfAbsent).await.expect("put");
    let path = stored(place.path());
    let length = fs::metadata(&path).expect("readable").len();
    for byte in 0..usize::try_from(length).expect("small") {
        flip(&path, byte);
        assert_eq!(kind(get(&*store.blobs, "a").await), Some(ErrorKind::Corrupt), "byte {byte}");
        flip(&path, byte);
    }
    assert_eq!(read(&*store.blobs, "a").await, vec![7; 1_000]);
}

#[tokio::test]
async fn a_damaged_block_of_a_large_blob_spoils_no_other_block() {
    let place = place();
    let store = open(place.path()).await;
    let body: Vec<u8> = (0..4_000_000_u32).map(|number| u8::try_from(number % 251).unwrap_or(0)).collect();
    put(&*store.blobs, "a", body.clone(), PutMode::IfAbsent).await.expect("put");
    flip(&stored(place.path()), 3_000_000);
    assert_eq!(kind(get(&*store.blobs, "a").await), Some(ErrorKind::Corrupt));
    let range = async |range: std::ops::Range<usize>| {
        let options = GetOptions { range: Some(range.start as u64..range.end as u64), if_version: None };
        store.blobs.get(&key("a"), options).await?.body.try_collect::<bytes::BytesMut>().await
    };
    assert_eq!(range(0..BLOCK).await.expect("not damaged"), body[0..BLOCK]);
    assert_eq!(kind(range(2_999_000..2_999_001).await), Some(ErrorKind::Corrupt));
}

#[tokio::test]
async fn a_blob_that_was_cut_off_is_corrupt() {
    let place = place();
    let store = open(place.path()).await;
    put(&*store.blobs, "a", vec![7; 100_000], PutMode::IfAbsent).await.expect("put");
    let path = stored(place.path());
    let bytes = fs::read(&path).expect("readable");
    for length in [0, 10, 100, 50_000, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).expect("writable");
        assert_eq!(kind(get(&*store.blobs, "a").await), Some(ErrorKind::Corrupt), "{length} bytes");
    }
}

#[tokio::test]
async fn a_blob_in_the_place_of_another_is_corrupt() {
    let place = place();
    let store = open(place.path()).await;
    put(&*store.blobs, "a", "body", PutMode::IfAbsent).await.expect("put");
    fs::rename(place.path().join("blobs/a@"), place.path().join("blobs/b@")).expect("writable");
    assert_eq!(kind(get(&*store.blobs, "b").await), Some(ErrorKind::Corrupt));
    assert_eq!(kind(store.blobs.list("", None).try_collect::<Vec<_>>().await), Some(ErrorKind::Corrupt));
}

#[tokio::test]
async fn a_listing_that_meets_a_damaged_blob_ends_in_an_error() {
    let place = place();
    let store = open(place.path()).await;
    put(&*store.blobs, "a", "body", PutMode::IfAbsent).await.expect("put");
    flip(&stored(place.path()), 20);
    assert_eq!(kind(store.blobs.list("", None).try_collect::<Vec<_>>().await), Some(ErrorKind::Corrupt));
}

#[tokio::test]
async fn a_damaged_blob_can_be_replaced_and_deleted() {
    let place = place();
    let store = open(place.path()).await;
    put(&*store.blobs, "a", "body", PutMode::IfAbsent).await.expect("put");
    flip(&stored(place.path()), 20);
    put(&*store.blobs, "a", "new", PutMode::Overwrite).await.expect("put");
    assert_eq!(read(&*store.blobs, "a").await, "new");
    flip(&stored(place.path()), 20);
    store.blobs.delete(&key("a")).await.expect("delete");
    assert_eq!(kind(get(&*store.blobs, "a").await), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn a_damaged_message_is_set_aside_and_holds_up_no_other() {
    for damaged in 0..2 {
        let place = place();
        let store = open(place.path()).await;
        for number in 0..2 {
            let before = files(&place.path().join("queue"));
            // Messages of one millisecond are in no order.
            tokio::time::sleep(Duration::from_millis(2)).await;
            store.queue.send(format!("message {number}").into()).await.expect("send");
            let sent = files(&place.path().join("queue")).into_iter().find(|path| !before.contains(path));
            if number == damaged {
                flip(&sent.expect("a file"), 14);
            }
        }
        let (lease, wait) = (Duration::from_mins(1), Duration::from_secs(10));
        let mut outcomes = [store.queue.receive(10, lease, wait).await, store.queue.receive(10, lease, wait).await];
        outcomes.sort_by_key(Result::is_ok);
        let [refused, delivered] = outcomes;
        assert_eq!(kind(refused), Some(ErrorKind::Corrupt));
        let delivered = delivered.expect("the one that is whole");
        assert_eq!(
            delivered.iter().map(|message| &*message.body).collect::<Vec<_>>(),
            [format!("message {}", 1 - damaged).as_bytes()]
        );
        assert_eq!(files(&place.path().join("queue/damaged")).len(), 1);
    }
}
