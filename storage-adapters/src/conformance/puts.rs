//! Sentences about putting, copying and deleting blobs. Does I/O through the port.

use std::future::pending;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::join_all, stream};

use super::{Subject, assert_kind, collect, pattern, pieces};
use crate::{
    blob::{MAX_KEY_BYTES, MAX_METADATA_BYTES, Metadata, PutMode, Version},
    error::{Error, ErrorKind},
};

const LARGE: usize = 64 * 1024 * 1024;

/// Writers that try the same thing at once.
const WRITERS: usize = 16;

pub async fn a_blob_reads_back_with_its_body_and_metadata(subject: Subject) {
    let metadata: Metadata = [("sha256".into(), "0f".into()), ("put_id".into(), "~!@#$%^&*()".into())].into();
    let key = subject.key("a");
    subject.store.put(&key, "body".into(), &metadata, PutMode::IfAbsent).await.expect("put");
    let blob = subject.get("a").await.expect("get");
    assert_eq!(blob.metadata, metadata);
    assert_eq!(collect(blob).await, "body");
}

pub async fn a_put_returns_the_state_that_is_read_afterwards(subject: Subject) {
    let version = subject.store("a", "body").await;
    assert_eq!(subject.get("a").await.expect("get").info.version, version);
}

pub async fn overwrite_creates_what_is_absent(subject: Subject) {
    subject.put("a", "new", PutMode::Overwrite).await.expect("put");
    assert_eq!(subject.read("a").await, "new");
}

pub async fn overwrite_replaces_what_is_there_and_its_metadata(subject: Subject) {
    let metadata: Metadata = [("old".into(), "1".into())].into();
    subject.store.put(&subject.key("a"), "old".into(), &metadata, PutMode::Overwrite).await.expect("put");
    subject.put("a", "new", PutMode::Overwrite).await.expect("put");
    let blob = subject.get("a").await.expect("get");
    assert_eq!(blob.metadata, Metadata::new());
    assert_eq!(collect(blob).await, "new");
}

pub async fn if_absent_creates_what_is_absent(subject: Subject) {
    subject.put("a", "new", PutMode::IfAbsent).await.expect("put");
    assert_eq!(subject.read("a").await, "new");
}

pub async fn if_absent_conflicts_with_a_blob_and_leaves_it(subject: Subject) {
    subject.store("a", "old").await;
    assert_kind(subject.put("a", "new", PutMode::IfAbsent).await, ErrorKind::Conflict);
    assert_eq!(subject.read("a").await, "old");
}

pub async fn if_version_replaces_exactly_that_state(subject: Subject) {
    let first = subject.store("a", "1").await;
    let second = subject.put("a", "2", PutMode::IfVersion(first)).await.expect("put");
    subject.put("a", "3", PutMode::IfVersion(second)).await.expect("put");
    assert_eq!(subject.read("a").await, "3");
}

pub async fn if_version_conflicts_with_another_state_and_leaves_it(subject: Subject) {
    let first = subject.store("a", "1").await;
    subject.store("a", "2").await;
    assert_kind(subject.put("a", "3", PutMode::IfVersion(first)).await, ErrorKind::Conflict);
    assert_eq!(subject.read("a").await, "2");
}

pub async fn if_version_conflicts_with_an_absent_blob(subject: Subject) {
    let elsewhere = subject.store("b", "1").await;
    assert_kind(subject.put("a", "1", PutMode::IfVersion(elsewhere)).await, ErrorKind::Conflict);
    assert_kind(subject.get("a").await, ErrorKind::NotFound);
}

pub async fn if_version_conflicts_with_a_deleted_blob(subject: Subject) {
    let version = subject.store("a", "1").await;
    subject.store.delete(&subject.key("a")).await.expect("delete");
    assert_kind(subject.put("a", "1", PutMode::IfVersion(version)).await, ErrorKind::Conflict);
}

pub async fn of_many_concurrent_creations_one_wins(subject: Subject) {
    for round in 0..20 {
        let name = format!("round-{round}");
        let bodies: Vec<String> = (0..WRITERS).map(|writer| format!("writer {writer}")).collect();
        let puts = bodies.iter().map(|body| subject.put(&name, body.clone(), PutMode::IfAbsent));
        let winner = only_winner(join_all(puts).await);
        assert_eq!(subject.read(&name).await, bodies[winner]);
    }
}

pub async fn of_many_concurrent_replacements_of_one_state_one_wins(subject: Subject) {
    let mut version = subject.store("a", "start").await;
    for round in 0..20 {
        let bodies: Vec<String> = (0..WRITERS).map(|writer| format!("{round} by {writer}")).collect();
        let put = |body: &String| subject.put("a", body.clone(), PutMode::IfVersion(version.clone()));
        let winner = only_winner(join_all(bodies.iter().map(put)).await);
        let blob = subject.get("a").await.expect("get");
        version = blob.info.version.clone();
        assert_eq!(collect(blob).await, bodies[winner]);
    }
}

/// The number of the one put that succeeded, while all others met a conflict.
fn only_winner(outcomes: Vec<Result<Version, Error>>) -> usize {
    let mut winners = Vec::new();
    for (writer, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(_) => winners.push(writer),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    assert_eq!(winners.len(), 1, "writers that succeeded: {winners:?}");
    winners[0]
}

pub async fn no_step_of_concurrent_counting_is_lost(subject: Subject) {
    const STEPS: usize = 10;
    subject.store("counter", "0").await;
    let count = || async {
        for _ in 0..STEPS {
            loop {
                let blob = subject.get("counter").await.expect("get");
                let version = blob.info.version.clone();
                let text = collect(blob).await;
                let number: usize = std::str::from_utf8(&text).expect("text").parse().expect("a number");
                match subject.put("counter", (number + 1).to_string(), PutMode::IfVersion(version)).await {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
        }
    };
    join_all((0..8).map(|_| count())).await;
    assert_eq!(subject.read("counter").await, (8 * STEPS).to_string());
}

pub async fn concurrent_overwrites_all_succeed_and_one_of_them_stays(subject: Subject) {
    let bodies: Vec<String> = (0..WRITERS).map(|writer| format!("writer {writer}")).collect();
    let put = |body: &String| subject.put("a", body.clone(), PutMode::Overwrite);
    for outcome in join_all(bodies.iter().map(put)).await {
        outcome.expect("every overwrite succeeds");
    }
    let found = subject.read("a").await;
    assert!(bodies.iter().any(|body| found == *body));
}

pub async fn creations_and_deletions_at_once_leave_a_whole_blob_or_none(subject: Subject) {
    let create = |writer: usize| {
        let subject = &subject;
        async move {
            for round in 0..10 {
                match subject.put("a", format!("{writer} {round}"), PutMode::IfAbsent).await {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
                subject.store.delete(&subject.key("a")).await.expect("a delete succeeds");
            }
        }
    };
    join_all((0..WRITERS).map(create)).await;
    subject.store.delete(&subject.key("a")).await.expect("delete");
    subject.put("a", "end", PutMode::IfAbsent).await.expect("the key is free");
    assert_eq!(subject.read("a").await, "end");
}

pub async fn states_of_different_bytes_have_different_versions(subject: Subject) {
    let mut seen = Vec::new();
    for number in 0..5 {
        let version = subject.store("a", number.to_string()).await;
        assert!(!seen.contains(&version));
        seen.push(version);
    }
}

pub async fn an_empty_body_is_a_blob(subject: Subject) {
    subject.store("a", "").await;
    let blob = subject.get("a").await.expect("get");
    assert_eq!(blob.info.size, 0);
    assert_eq!(collect(blob).await, "");
}

pub async fn a_body_of_64_mib_reads_back(subject: Subject) {
    let body = pattern(LARGE);
    subject.store("a", body.clone()).await;
    assert!(subject.read("a").await == body);
}

pub async fn illegal_metadata_is_invalid_input(subject: Subject) {
    let illegal = [
        ("Upper", "v"),
        ("1st", "v"),
        ("_a", "v"),
        ("", "v"),
        ("a-b", "v"),
        ("é", "v"),
        ("a", ""),
        ("a", "b c"),
        ("a", "é"),
        ("a", "\n"),
    ];
    for (name, value) in illegal {
        let metadata: Metadata = [(name.to_owned(), value.to_owned())].into();
        let outcome = subject.store.put(&subject.key("a"), "body".into(), &metadata, PutMode::Overwrite).await;
        assert_kind(outcome, ErrorKind::InvalidInput);
        let body = pieces([Bytes::from("body")]);
        let outcome = subject.store.put_stream(&subject.key("a"), body, &metadata, PutMode::Overwrite).await;
        assert_kind(outcome, ErrorKind::InvalidInput);
    }
    assert_kind(subject.get("a").await, ErrorKind::NotFound);
}

pub async fn the_most_metadata_reads_back(subject: Subject) {
    let metadata: Metadata = [("a".to_owned(), "v".repeat(MAX_METADATA_BYTES - 1))].into();
    subject.store.put(&subject.key("a"), "body".into(), &metadata, PutMode::Overwrite).await.expect("put");
    assert_eq!(subject.get("a").await.expect("get").metadata, metadata);
}

pub async fn too_much_metadata_is_invalid_input(subject: Subject) {
    let metadata: Metadata = [("a".to_owned(), "v".repeat(MAX_METADATA_BYTES))].into();
    let outcome = subject.store.put(&subject.key("a"), "body".into(), &metadata, PutMode::Overwrite).await;
    assert_kind(outcome, ErrorKind::InvalidInput);
}

pub async fn every_legal_character_makes_a_key(subject: Subject) {
    let legal: String =
        (0..128_u8).map(char::from).filter(|byte| byte.is_ascii_alphanumeric() || "-_.=".contains(*byte)).collect();
    let mut names: Vec<String> = legal.chars().filter(|letter| *letter != '.').map(String::from).collect();
    names.extend([legal, "...".into(), ".a".into(), "a.".into(), "-/=/_/...".into()]);
    join_all(names.iter().map(|name| subject.store(name, name.clone()))).await;
    for name in &names {
        assert_eq!(subject.read(name).await, *name);
    }
    names.sort();
    assert_eq!(subject.names("", None).await, names);
}

pub async fn keys_that_differ_only_in_case_are_two_blobs(subject: Subject) {
    subject.store("a", "lower").await;
    subject.store("A", "upper").await;
    assert_eq!(subject.read("a").await, "lower");
    assert_eq!(subject.read("A").await, "upper");
}

pub async fn the_longest_keys_are_kept(subject: Subject) {
    let room = MAX_KEY_BYTES - subject.prefix.len();
    let one_segment = "x".repeat(room);
    let many_segments = "y/".repeat(room / 2 - 1) + &"y".repeat(room - 2 * (room / 2 - 1));
    for name in [&one_segment, &many_segments] {
        assert_eq!(subject.key(name).as_str().len(), MAX_KEY_BYTES);
        subject.store(name, "body").await;
        assert_eq!(subject.read(name).await, "body");
    }
    assert_eq!(subject.names("", None).await, [one_segment, many_segments]);
}

pub async fn a_blob_and_blobs_below_its_key_live_side_by_side(subject: Subject) {
    for name in ["a", "a/b", "a/b/c"] {
        subject.store(name, name).await;
    }
    subject.store.delete(&subject.key("a/b")).await.expect("delete");
    assert_eq!(subject.read("a").await, "a");
    assert_eq!(subject.read("a/b/c").await, "a/b/c");
}

pub async fn a_streamed_body_reads_back(subject: Subject) {
    let body = pattern(1_000_003);
    let cuts = [0, 1, 1, 64 * 1024, 64 * 1024 + 7, 900_000, body.len()];
    let parts: Vec<Bytes> = cuts.windows(2).map(|cut| body.slice(cut[0]..cut[1])).collect();
    let metadata: Metadata = [("a".into(), "1".into())].into();
    subject.store.put_stream(&subject.key("a"), pieces(parts), &metadata, PutMode::IfAbsent).await.expect("put");
    let blob = subject.get("a").await.expect("get");
    assert_eq!(blob.metadata, metadata);
    assert!(collect(blob).await == body);
}

pub async fn a_streamed_body_of_64_mib_reads_back(subject: Subject) {
    let body = pattern(LARGE);
    let parts: Vec<Bytes> = (0..64).map(|part| body.slice(part * LARGE / 64..(part + 1) * LARGE / 64)).collect();
    subject.put_stream("a", pieces(parts), PutMode::IfAbsent).await.expect("put");
    assert!(subject.read("a").await == body);
}

pub async fn an_empty_stream_is_an_empty_blob(subject: Subject) {
    subject.put_stream("a", pieces([]), PutMode::IfAbsent).await.expect("put");
    assert_eq!(subject.read("a").await, "");
}

pub async fn a_streamed_put_honours_its_condition(subject: Subject) {
    let body = |text: &'static str| pieces([Bytes::from(text)]);
    let first = subject.put_stream("a", body("1"), PutMode::IfAbsent).await.expect("put");
    assert_kind(subject.put_stream("a", body("2"), PutMode::IfAbsent).await, ErrorKind::Conflict);
    subject.put_stream("a", body("3"), PutMode::IfVersion(first.clone())).await.expect("put");
    assert_kind(subject.put_stream("a", body("4"), PutMode::IfVersion(first)).await, ErrorKind::Conflict);
    assert_eq!(subject.read("a").await, "3");
}

pub async fn of_many_concurrent_streamed_creations_one_wins(subject: Subject) {
    let bodies: Vec<String> = (0..WRITERS).map(|writer| format!("writer {writer}")).collect();
    let put = |body: &String| subject.put_stream("a", pieces([Bytes::from(body.clone())]), PutMode::IfAbsent);
    let winner = only_winner(join_all(bodies.iter().map(put)).await);
    assert_eq!(subject.read("a").await, bodies[winner]);
}

pub async fn a_body_that_yields_an_error_stores_nothing_and_returns_it(subject: Subject) {
    subject.store("old", "old").await;
    for name in ["new", "old"] {
        let broken = stream::iter([Ok(pattern(300_000)), Err(Error::new(ErrorKind::Denied, "read", "elsewhere"))]);
        assert_kind(subject.put_stream(name, broken.boxed(), PutMode::Overwrite).await, ErrorKind::Denied);
    }
    assert_kind(subject.get("new").await, ErrorKind::NotFound);
    assert_eq!(subject.read("old").await, "old");
    assert_eq!(subject.names("", None).await, ["old"]);
}

pub async fn a_streamed_put_dropped_while_its_body_arrives_stores_nothing(subject: Subject) {
    let (arrived, has_arrived) = futures::channel::oneshot::channel();
    let endless = stream::iter([Ok(pattern(300_000))]).chain(stream::once(async move {
        let _ = arrived.send(());
        pending().await
    }));
    let mut put = subject.put_stream("a", endless.boxed(), PutMode::Overwrite).boxed();
    futures::future::select(&mut put, has_arrived).await;
    drop(put);
    assert_kind(subject.get("a").await, ErrorKind::NotFound);
    assert_eq!(subject.names("", None).await, [""; 0]);
}

pub async fn a_copy_has_the_body_and_the_metadata(subject: Subject) {
    let metadata: Metadata = [("a".into(), "1".into())].into();
    let body = pattern(3_000_000);
    subject.store.put(&subject.key("from"), body.clone(), &metadata, PutMode::IfAbsent).await.expect("put");
    let version = subject.store.copy(&subject.key("from"), &subject.key("to")).await.expect("copy");
    let blob = subject.get("to").await.expect("get");
    assert_eq!((&blob.info.version, &blob.metadata), (&version, &metadata));
    assert!(collect(blob).await == body);
}

pub async fn an_empty_blob_is_copied(subject: Subject) {
    subject.store("from", "").await;
    subject.store.copy(&subject.key("from"), &subject.key("to")).await.expect("copy");
    assert_eq!(subject.read("to").await, "");
}

pub async fn a_copy_lives_on_when_the_original_goes(subject: Subject) {
    subject.store("from", "body").await;
    subject.store.copy(&subject.key("from"), &subject.key("to")).await.expect("copy");
    subject.store.delete(&subject.key("from")).await.expect("delete");
    assert_eq!(subject.read("to").await, "body");
}

pub async fn a_copy_of_an_absent_blob_is_not_found(subject: Subject) {
    assert_kind(subject.store.copy(&subject.key("from"), &subject.key("to")).await, ErrorKind::NotFound);
}

pub async fn a_copy_onto_a_blob_conflicts_and_leaves_it(subject: Subject) {
    subject.store("from", "new").await;
    subject.store("to", "old").await;
    assert_kind(subject.store.copy(&subject.key("from"), &subject.key("to")).await, ErrorKind::Conflict);
    assert_eq!(subject.read("to").await, "old");
}

pub async fn a_deleted_blob_is_gone(subject: Subject) {
    subject.store("a", "body").await;
    subject.store.delete(&subject.key("a")).await.expect("delete");
    assert_kind(subject.get("a").await, ErrorKind::NotFound);
    assert_kind(subject.store.head(&subject.key("a")).await, ErrorKind::NotFound);
    assert_eq!(subject.names("", None).await, [""; 0]);
}

pub async fn deleting_an_absent_blob_is_a_success(subject: Subject) {
    subject.store.delete(&subject.key("never")).await.expect("delete");
    subject.store("a", "body").await;
    subject.store.delete(&subject.key("a")).await.expect("delete");
    subject.store.delete(&subject.key("a")).await.expect("delete again");
}

pub async fn a_deleted_key_can_be_created_again(subject: Subject) {
    for round in 0..5 {
        subject.put("a", format!("{round}"), PutMode::IfAbsent).await.expect("put");
        assert_eq!(subject.read("a").await, format!("{round}"));
        subject.store.delete(&subject.key("a")).await.expect("delete");
    }
}
