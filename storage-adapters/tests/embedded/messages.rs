//! Messages of another time: long ago, or before the machine was started again.

use std::{fs, path::Path, time::Duration};

use storage_adapters::Depth;

use crate::{PATIENCE, files, open, place};

const SHORT: Duration = Duration::from_secs(1);

/// Renames the one message in `folder`, of whose name `change` replaces a field.
fn rename_only(folder: &Path, change: impl Fn(usize, &str) -> String) {
    let path = files(folder).remove(0);
    let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let fields: Vec<_> = name.split('-').enumerate().map(|(index, field)| change(index, field)).collect();
    fs::rename(&path, folder.join(fields.join("-"))).expect("writable");
}

#[tokio::test]
async fn a_message_past_its_retention_is_removed() {
    let place = place();
    let store = open(place.path()).await;
    store.queue.send("pack".into()).await.expect("send");
    let long_ago = |index, field: &str| if index == 0 { "0".repeat(field.len()) } else { field.to_owned() };
    rename_only(&place.path().join("queue/waiting"), long_ago);
    assert_eq!(store.queue.receive(1, SHORT, SHORT).await.expect("receive"), []);
    assert_eq!(store.queue.depth().await.expect("depth"), Depth::default());
}

#[tokio::test]
async fn every_lease_ends_when_the_machine_is_started_again() {
    let place = place();
    let store = open(place.path()).await;
    store.queue.send("pack".into()).await.expect("send");
    let receipt = store.queue.receive(1, PATIENCE * 60, SHORT).await.expect("receive").remove(0).receipt;
    let another_life = |index, field: &str| if index == 1 { "a".repeat(field.len()) } else { field.to_owned() };
    rename_only(&place.path().join("queue/leased"), another_life);
    let again = store.queue.receive(1, PATIENCE, SHORT * 10).await.expect("receive").remove(0);
    assert_eq!(again.deliveries, 2);
    assert_ne!(again.receipt, receipt);
}
