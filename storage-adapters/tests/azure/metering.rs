//! What a store on Azure counts as requests: those that are billed, also where an operation takes several.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use storage_adapters::{
    Metadata, PutMode, Store,
    azure::fixture,
    config::{AzureConfig, AzureCredentials},
    conformance::emulators,
    decorators::{Meter, Operation},
};
use tempfile::tempdir;

use crate::{key, mount};

#[tokio::test]
async fn requests_count_as_they_leave_by_what_they_are_billed_as() {
    let folder = tempdir().expect("a folder");
    mount(folder.path(), "..1", &[("AZURE_STORAGE_KEY", &fixture::key())]);
    let config = fixture::config(emulators::azure(), None);
    fixture::create(&config).await;
    let credentials = AzureCredentials::Secret { folder: folder.path().to_owned() };
    let meter = Arc::new(Meter::default());
    let config = AzureConfig { credentials, ..config };
    let Store { blobs, queue } = Store::open_metered(&config.into(), meter.clone()).await.expect("it opens");
    let opening = meter.snapshot();
    let since_then = |operation| meter.snapshot()[&operation].requests - opening[&operation].requests;

    let pieces = stream::iter((0..20).map(|_| Ok(Bytes::from(vec![7; 1024 * 1024]))));
    blobs.put_stream(&key("large"), pieces.boxed(), &Metadata::new(), PutMode::IfAbsent).await.expect("put");
    let (blocks, puts) = (since_then(Operation::PutStream), since_then(Operation::Put));
    assert!(blocks >= 2, "20 MiB left in {blocks} blocks");
    assert_eq!(puts, 1, "the list of blocks");
    blobs.copy(&key("large"), &key("copy")).await.expect("copied");
    assert!(since_then(Operation::Copy) >= 1);
    blobs.list("", None).try_collect::<Vec<_>>().await.expect("listed");
    assert_eq!(since_then(Operation::List), 1);

    queue.send("pack".into()).await.expect("sent");
    assert_eq!(since_then(Operation::Send), 1);
    let second = Duration::from_secs(1);
    let message = queue.receive(1, second, second).await.expect("received").pop().expect("a message");
    queue.ack(&message.receipt).await.expect("acknowledged");
    assert_eq!(since_then(Operation::Ack), 1);
    let before = since_then(Operation::Receive);
    assert!(queue.receive(1, second, second).await.expect("received").is_empty());
    let looks = since_then(Operation::Receive) - before;
    assert!(looks >= 3, "a receive that waits looks again and again, not {looks} times");
}
