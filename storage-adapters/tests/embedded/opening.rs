//! Opening a folder as a store.

use std::{error::Error as _, fs, time::Duration};

use storage_adapters::config::EmbeddedConfig;
use storage_adapters::{
    PutMode, Store,
    embedded::{Embedded, OpenEmbeddedError},
};

use crate::{PATIENCE, config, files, open, place, put, read};

#[tokio::test]
async fn what_was_put_is_there_after_the_store_is_opened_again() {
    let place = place();
    put(&*open(place.path()).await.blobs, "a/b", "body", PutMode::IfAbsent).await.expect("put");
    assert_eq!(read(&*open(place.path()).await.blobs, "a/b").await, "body");
}

#[tokio::test]
async fn a_closed_store_leaves_no_staged_files_and_nothing_of_the_probe() {
    let place = place();
    drop(open(place.path()).await);
    assert_eq!(files(place.path()), [place.path().join("FORMAT")]);
    assert_eq!(fs::read_dir(place.path().join("staging")).expect("readable").count(), 0);
}

#[tokio::test]
async fn two_stores_of_one_folder_share_blobs_and_messages() {
    let place = place();
    let (one, other) = (open(place.path()).await, open(place.path()).await);
    put(&*one.blobs, "a", "body", PutMode::IfAbsent).await.expect("put");
    assert_eq!(read(&*other.blobs, "a").await, "body");
    let lease = Duration::from_mins(1);
    let (received, sent) =
        futures::join!(other.queue.receive(1, lease, Duration::from_secs(20)), one.queue.send("pack".into()));
    sent.expect("send");
    assert_eq!(received.expect("receive").len(), 1);
}

#[tokio::test]
async fn a_waiting_receiver_soon_notices_what_another_process_sends() {
    let place = place();
    let (one, other) = (open(place.path()).await, open(place.path()).await);
    let receive = async {
        let received = other.queue.receive(1, PATIENCE, Duration::from_secs(20)).await.expect("receive");
        (received.len(), tokio::time::Instant::now())
    };
    let send = async {
        // By then the receiver has looked once and found nothing.
        tokio::time::sleep(Duration::from_millis(250)).await;
        one.queue.send("pack".into()).await.expect("send");
        tokio::time::Instant::now()
    };
    let ((received, noticed), begun) = futures::join!(receive, send);
    assert_eq!(received, 1);
    let reaction = noticed.duration_since(begun);
    assert!(reaction < Duration::from_secs(5), "{reaction:?}");
}

#[test]
fn each_unfit_folder_is_refused_with_what_to_do() {
    let place = place();
    let at = |path: &str| Embedded::open(&EmbeddedConfig { path: path.into() }).expect_err("refused");
    let below = |name: &str| at(place.path().join(name).to_str().expect("UTF-8"));
    fs::write(place.path().join("file"), "").expect("writable");
    fs::create_dir(place.path().join("newer")).expect("writable");
    fs::write(place.path().join("newer/FORMAT"), "cloudshop store, format 2\n").expect("writable");

    assert!(matches!(at("data"), OpenEmbeddedError::NotAbsolute(_)));
    assert!(matches!(below("missing/folder"), OpenEmbeddedError::Missing(_)));
    assert!(matches!(below("file"), OpenEmbeddedError::Inaccessible { .. }));
    assert!(matches!(below("newer"), OpenEmbeddedError::UnknownFormat(_)));
    let refusal = at("/proc/self").to_string();
    assert!(refusal.contains("0x9fa0"), "{refusal}");
}

#[test]
fn a_refused_folder_is_left_as_it_was() {
    let place = place();
    fs::create_dir(place.path().join("newer")).expect("writable");
    fs::write(place.path().join("newer/FORMAT"), "something else").expect("writable");
    Embedded::open(&EmbeddedConfig { path: place.path().join("newer") }).expect_err("refused");
    let left =
        fs::read_dir(place.path().join("newer")).expect("readable").map(|entry| entry.expect("readable").file_name());
    assert!(left.eq(["FORMAT"]));
}

#[tokio::test]
async fn a_configuration_that_names_no_folder_is_refused() {
    let mut config = config("/data".as_ref());
    config.embedded = None;
    let refusal = Store::open(&config).await.expect_err("refused");
    assert!(refusal.to_string().contains("its settings are missing") && refusal.source().is_none());
}
