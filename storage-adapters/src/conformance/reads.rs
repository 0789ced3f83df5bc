//! Sentences about reading blobs. Does I/O through the port.

use std::{cell::Cell, ops::Range, time::Duration};

use bytes::Bytes;
use futures::{TryStreamExt, future::join_all};
use jiff::Timestamp;

use super::{Subject, assert_kind, collect, pattern};
use crate::{
    blob::{Blob, GetOptions, Metadata, PutMode},
    error::{Error, ErrorKind},
};

async fn get_range(subject: &Subject, name: &str, range: Range<u64>) -> Blob {
    let options = GetOptions { range: Some(range), if_version: None };
    subject.store.get(&subject.key(name), options).await.expect("the range is read")
}

pub async fn a_get_of_an_absent_blob_is_not_found(subject: Subject) {
    assert_kind(subject.get("a").await, ErrorKind::NotFound);
}

pub async fn a_get_below_a_blob_is_not_found(subject: Subject) {
    subject.store("a", "body").await;
    assert_kind(subject.get("a/b").await, ErrorKind::NotFound);
}

pub async fn a_range_yields_its_bytes(subject: Subject) {
    subject.store("a", "0123456789").await;
    let blob = get_range(&subject, "a", 2..5).await;
    assert_eq!((blob.range.clone(), blob.info.size), (2..5, 10));
    assert_eq!(collect(blob).await, "234");
}

pub async fn a_range_of_a_large_blob_yields_its_bytes(subject: Subject) {
    let body = pattern(5_000_000);
    subject.store("a", body.clone()).await;
    for (start, end) in [(0, 1), (65_535, 65_537), (65_536, 131_072), (1_000_000, 4_999_999), (4_999_999, 5_000_000)] {
        let blob = get_range(&subject, "a", start as u64..end as u64).await;
        assert!(collect(blob).await == body.slice(start..end), "{start}..{end}");
    }
}

pub async fn a_range_is_clipped_to_the_end_of_the_blob(subject: Subject) {
    subject.store("a", "0123456789").await;
    for end in [10, 11, u64::MAX] {
        let blob = get_range(&subject, "a", 8..end).await;
        assert_eq!(blob.range, 8..10);
        assert_eq!(collect(blob).await, "89");
    }
}

pub async fn a_range_that_starts_at_or_beyond_the_end_yields_no_bytes(subject: Subject) {
    subject.store("a", "0123456789").await;
    for range in [10..20, 11..20, u64::MAX - 1..u64::MAX] {
        let blob = get_range(&subject, "a", range).await;
        assert!(blob.range.is_empty());
        assert_eq!(collect(blob).await, "");
    }
}

pub async fn an_empty_range_yields_no_bytes(subject: Subject) {
    subject.store("a", "0123456789").await;
    let blob = get_range(&subject, "a", 3..3).await;
    assert!(blob.range.is_empty());
    assert_eq!(collect(blob).await, "");
}

pub async fn a_get_of_a_named_state_reads_it(subject: Subject) {
    let version = subject.store("a", "body").await;
    let options = GetOptions { range: Some(1..3), if_version: Some(version) };
    let blob = subject.store.get(&subject.key("a"), options).await.expect("get");
    assert_eq!(collect(blob).await, "od");
}

pub async fn a_get_of_another_state_than_is_there_conflicts(subject: Subject) {
    let first = subject.store("a", "1").await;
    subject.store("a", "2").await;
    let options = GetOptions { range: None, if_version: Some(first) };
    assert_kind(subject.store.get(&subject.key("a"), options).await, ErrorKind::Conflict);
}

pub async fn a_get_of_a_named_state_of_an_absent_blob_is_not_found(subject: Subject) {
    let version = subject.store("a", "1").await;
    subject.store.delete(&subject.key("a")).await.expect("delete");
    let options = GetOptions { range: None, if_version: Some(version) };
    assert_kind(subject.store.get(&subject.key("a"), options).await, ErrorKind::NotFound);
}

pub async fn a_blob_says_how_large_it_is_and_when_it_was_written(subject: Subject) {
    subject.store("a", "0123456789").await;
    let info = subject.get("a").await.expect("get").info;
    assert_eq!((info.key, info.size), (subject.key("a"), 10));
    let age = Timestamp::now().duration_since(info.modified).unsigned_abs();
    assert!(age < Duration::from_mins(10), "written {age:?} from now");
}

pub async fn a_head_says_the_same_as_a_get(subject: Subject) {
    let metadata: Metadata = [("a".into(), "1".into())].into();
    subject.store.put(&subject.key("a"), "body".into(), &metadata, PutMode::IfAbsent).await.expect("put");
    let blob = subject.get("a").await.expect("get");
    let (info, found) = subject.store.head(&subject.key("a")).await.expect("head");
    assert_eq!((info, found), (blob.info, blob.metadata));
}

pub async fn a_head_of_an_absent_blob_is_not_found(subject: Subject) {
    assert_kind(subject.store.head(&subject.key("a")).await, ErrorKind::NotFound);
}

pub async fn a_body_is_of_one_state_however_long_reading_takes(subject: Subject) {
    let old = pattern(8_000_000);
    subject.store("a", old.clone()).await;
    let mut blob = subject.get("a").await.expect("get");
    let first = blob.body.try_next().await.expect("the first piece").expect("there is one");
    subject.store("a", Bytes::from(vec![0; old.len()])).await;
    subject.store.delete(&subject.key("a")).await.expect("delete");
    let mut read = first.len();
    assert!(first == old.slice(..read));
    // It may end in an error, but never go on with another state.
    while let Ok(Some(piece)) = blob.body.try_next().await {
        assert!(piece == old.slice(read..read + piece.len()));
        read += piece.len();
    }
}

pub async fn a_reader_sees_one_body_with_its_own_metadata_while_it_is_replaced(subject: Subject) {
    let has_ended = Cell::new(false);
    let write = |number: usize| {
        let subject = &subject;
        async move {
            let metadata: Metadata = [("number".into(), number.to_string())].into();
            let body = Bytes::from(vec![u8::try_from(number % 251).unwrap_or(0); 1_000 + number * 1_000]);
            subject.store.put(&subject.key("a"), body, &metadata, PutMode::Overwrite).await.expect("put");
        }
    };
    write(0).await;
    let write_all = async {
        for number in 1..60 {
            write(number).await;
        }
        has_ended.set(true);
    };
    let read = || async {
        let mut newest = 0;
        while !has_ended.get() {
            let blob = subject.get("a").await.expect("the blob is there at any time");
            let number: usize = blob.metadata["number"].parse().expect("a number");
            assert!(number >= newest, "a reader never goes back");
            newest = number;
            let body = collect(blob).await;
            assert_eq!(body.len(), 1_000 + number * 1_000);
            assert!(body.iter().all(|byte| usize::from(*byte) == number % 251));
        }
    };
    futures::join!(write_all, join_all((0..4).map(|_| read())));
}

pub async fn a_write_that_returned_is_seen_by_every_read(subject: Subject) {
    for number in 0..20 {
        let name = format!("blob-{number}");
        let version = subject.store(&name, "body").await;
        let (by_get, by_head) = (subject.get(&name).await, subject.store.head(&subject.key(&name)).await);
        let listed: Result<Vec<_>, Error> = subject.store.list(subject.key(&name).as_str(), None).try_collect().await;
        assert_eq!(by_get.expect("get").info.version, version);
        assert_eq!(by_head.expect("head").0.version, version);
        assert_eq!(listed.expect("list").len(), 1);
    }
}
