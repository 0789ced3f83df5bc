//! A disk without room.

use std::{path::Path, process::Command};

use futures::StreamExt;
use storage_adapters::{Error, ErrorKind, PutMode};

use crate::{files, key, kind, open, place, put, read};

/// Where the child process finds its small disk.
const SMALL_DISK: &str = "STORAGE_ADAPTERS_SMALL_DISK";

#[test]
fn a_full_disk_stores_nothing_by_halves_and_goes_on_when_there_is_room() {
    let place = place();
    let test = std::env::current_exe().expect("a path");
    // The mount is the child's alone and goes with it.
    let script = r#"mount -t tmpfs -o size=2m none "$0" && exec "$1" --ignored --exact full_disk::on_a_small_disk"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount"]);
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let outcome = unshare.args(["sh", "-c", script]).arg(place.path()).arg(test).env(SMALL_DISK, place.path()).output();
    let outcome = outcome.expect("the command `unshare` is there");
    let said = [outcome.stdout, outcome.stderr].concat();
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
#[ignore = "needs a small disk; the test above makes one and runs it"]
async fn on_a_small_disk() {
    let path = std::env::var(SMALL_DISK).expect("the test above names the disk");
    let path = Path::new(&path);
    let store = open(path).await;
    let blobs = &*store.blobs;
    put(blobs, "kept", "body", PutMode::IfAbsent).await.expect("there is room");
    store.queue.send("kept".into()).await.expect("there is room");
    let message = store.queue.receive(1, crate::PATIENCE, crate::PATIENCE / 6).await.expect("receive").remove(0);

    let mut filled = 0;
    let full = loop {
        match put(blobs, &format!("filling/{filled}"), vec![1; 200_000], PutMode::IfAbsent).await {
            Ok(_) => filled += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    assert!(filled > 2);
    while put(blobs, &format!("filling/{filled}"), vec![1; 2_000], PutMode::IfAbsent).await.is_ok() {
        filled += 1;
    }
    assert_eq!(kind(put(blobs, "kept", vec![2; 100_000], PutMode::Overwrite).await), Some(ErrorKind::Full));
    let pieces = futures::stream::iter((0..100).map(|_| Ok::<_, Error>(vec![3; 100_000].into()))).boxed();
    let outcome = blobs.put_stream(&key("streamed"), pieces, &[].into(), PutMode::IfAbsent).await;
    assert_eq!(kind(outcome), Some(ErrorKind::Full));
    assert_eq!(kind(store.queue.send(vec![4; 40_000].into()).await), Some(ErrorKind::Full));

    // Nothing half stored is left: only the file that deletions link to.
    assert_eq!(files(&path.join("staging")).len(), 1);
    assert_eq!(read(blobs, "kept").await, "body");
    assert_eq!(kind(blobs.head(&key("streamed")).await), Some(ErrorKind::NotFound));

    // What frees room needs none.
    store.queue.ack(&message.receipt).await.expect("ack");
    for number in 0..filled {
        blobs.delete(&key(&format!("filling/{number}"))).await.expect("delete");
    }
    put(blobs, "kept", vec![2; 100_000], PutMode::Overwrite).await.expect("there is room again");
    store.queue.send(vec![4; 40_000].into()).await.expect("there is room again");
}
