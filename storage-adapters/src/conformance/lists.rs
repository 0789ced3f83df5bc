//! Sentences about listing blobs. Does I/O through the port.

use std::cell::Cell;

use futures::{StreamExt, TryStreamExt, stream};

use super::Subject;
use crate::{blob::PutMode, error::Error};

/// Keys of the long listing.
const MANY: usize = 10_000;

async fn store_all(subject: &Subject, names: &[&str]) {
    for name in names {
        subject.store(name, (*name).to_owned()).await;
    }
}

pub async fn a_listing_of_nothing_is_empty(subject: Subject) {
    assert_eq!(subject.names("", None).await, [""; 0]);
    assert_eq!(subject.names("nothing/here/", None).await, [""; 0]);
}

pub async fn a_listing_has_exactly_the_keys_that_start_with_its_prefix(subject: Subject) {
    store_all(&subject, &["a", "a/1", "a/1/x", "a/2", "ab", "b/1"]).await;
    assert_eq!(subject.names("a/", None).await, ["a/1", "a/1/x", "a/2"]);
    assert_eq!(subject.names("b/", None).await, ["b/1"]);
    assert_eq!(subject.names("c", None).await, [""; 0]);
}

pub async fn a_prefix_may_end_within_a_segment(subject: Subject) {
    store_all(&subject, &["wal/0001", "wal/0002", "wal/0010", "wal/01/x", "walk"]).await;
    assert_eq!(subject.names("wal/00", None).await, ["wal/0001", "wal/0002", "wal/0010"]);
    assert_eq!(subject.names("wal", None).await, ["wal/0001", "wal/0002", "wal/0010", "wal/01/x", "walk"]);
    assert_eq!(subject.names("wal/0010", None).await, ["wal/0010"]);
}

pub async fn a_prefix_that_begins_no_key_finds_nothing(subject: Subject) {
    store_all(&subject, &["a/b"]).await;
    for prefix in ["a//", "a/../a/", "a/./", "A/", "a/b/", "%", "a b"] {
        assert_eq!(subject.names(prefix, None).await, [""; 0], "{prefix}");
    }
}

pub async fn a_listing_is_in_byte_order_of_its_keys(subject: Subject) {
    let long = "x".repeat(200);
    let longer =
        [format!("{long}-"), format!("{long}."), format!("{long}/a"), format!("{long}0"), format!("{long}xxx/b")];
    let mut names =
        vec!["a", "a-", "a-b", "a.", "a.b/c", "a/", "a0", "a=", "aA", "a_", "aa", "B", "b/z", "b/z/y", &long];
    names.retain(|name| !name.ends_with('/'));
    names.extend(longer.iter().map(String::as_str));
    names.push("a/b");
    store_all(&subject, &names).await;
    names.sort_unstable();
    assert_eq!(subject.names("", None).await, names);
}

pub async fn a_listing_begins_after_the_given_key(subject: Subject) {
    let names = ["a", "a-b", "a/1", "a/2", "a/2/x", "a/3", "b"];
    store_all(&subject, &names).await;
    for (index, name) in names.iter().enumerate() {
        assert_eq!(subject.names("", Some(name)).await, names[index + 1..], "after {name}");
    }
    assert_eq!(subject.names("a/", Some("a/2")).await, ["a/2/x", "a/3"]);
}

pub async fn the_key_to_begin_after_need_not_exist(subject: Subject) {
    store_all(&subject, &["a/1", "a/3", "b"]).await;
    assert_eq!(subject.names("", Some("a/2")).await, ["a/3", "b"]);
    assert_eq!(subject.names("", Some("a")).await, ["a/1", "a/3", "b"]);
    assert_eq!(subject.names("a/", Some("Z")).await, ["a/1", "a/3"]);
    assert_eq!(subject.names("a/", Some("c")).await, [""; 0]);
}

pub async fn a_listing_says_the_same_as_a_head(subject: Subject) {
    store_all(&subject, &["a", "b/c"]).await;
    subject.store("a", "longer than before").await;
    let listed: Vec<_> = subject.store.list(&subject.prefix, None).try_collect().await.expect("list");
    for info in &listed {
        assert_eq!(*info, subject.store.head(&info.key).await.expect("head").0);
    }
    assert_eq!(listed.len(), 2);
}

pub async fn a_listing_may_be_dropped_before_it_ends(subject: Subject) {
    store_all(&subject, &["a", "b", "c"]).await;
    let mut listing = subject.store.list(&subject.prefix, None);
    listing.next().await.expect("a blob").expect("no error");
    drop(listing);
    assert_eq!(subject.names("", None).await, ["a", "b", "c"]);
}

pub async fn a_listing_of_10_000_keys_has_each_once_while_others_come_and_go(subject: Subject) {
    let stays = |number: usize| format!("many/{number:05}");
    let put = |number| {
        let subject = &subject;
        async move { subject.store(&stays(number), "stays").await }
    };
    stream::iter((0..MANY).map(put)).buffer_unordered(32).count().await;
    let has_ended = Cell::new(false);
    let come_and_go = async {
        let mut round = 0;
        while !has_ended.get() {
            let name = format!("many/{:05}-passing", round * 7_919 % MANY);
            subject.put(&name, "passing", PutMode::Overwrite).await.expect("put");
            subject.store.delete(&subject.key(&name)).await.expect("delete");
            round += 1;
        }
    };
    let list = async {
        for _ in 0..2 {
            let names = subject.names("many/", None).await;
            assert!(names.is_sorted_by(|one, other| one < other), "each key comes once and in order");
            let kept = names.iter().filter(|name| !name.ends_with("-passing"));
            assert!(kept.cloned().eq((0..MANY).map(stays)), "a key that stays is always listed");
        }
        has_ended.set(true);
    };
    futures::join!(come_and_go, list);
}

pub async fn a_blob_replaced_during_a_listing_is_listed_once(subject: Subject) {
    let names: Vec<String> = (0..50).map(|number| format!("blob-{number:02}")).collect();
    for name in &names {
        subject.store(name, "1").await;
    }
    let has_ended = Cell::new(false);
    let replace = async {
        let mut round = 0;
        while !has_ended.get() {
            subject.store(&names[round % names.len()], "2").await;
            round += 1;
        }
    };
    let list = async {
        for _ in 0..20 {
            let listed: Result<Vec<_>, Error> = subject.store.list(&subject.prefix, None).try_collect().await;
            assert_eq!(listed.expect("the listing does not fail").len(), names.len());
        }
        has_ended.set(true);
    };
    futures::join!(replace, list);
}
