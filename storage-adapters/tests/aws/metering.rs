//! What a store on AWS counts as requests: those that are billed, which are neither operations nor attempts above.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use storage_adapters::{
    Metadata, PutMode, Store,
    decorators::{Meter, Operation},
};

use crate::{
    fixture, key,
    places::{SecretFolder, with_secret},
};

#[tokio::test]
async fn requests_count_as_they_leave_by_what_they_are_billed_as() {
    let secret = SecretFolder::new("key");
    let meter = Arc::new(Meter::default());
    let config = with_secret(fixture::config().await, &secret);
    let Store { blobs, queue } = Store::open_metered(&config.into(), meter.clone()).await.expect("it opens");
    let opening = meter.snapshot();
    let since_then = |operation| meter.snapshot()[&operation].requests - opening[&operation].requests;

    // Two parts of 8 MiB and one of 4, a beginning and an end.
    let pieces = stream::iter((0..20).map(|_| Ok(Bytes::from(vec![7; 1024 * 1024]))));
    blobs.put_stream(&key("large"), pieces.boxed(), &Metadata::new(), PutMode::IfAbsent).await.expect("put");
    assert_eq!(since_then(Operation::PutStream), 5);
    blobs.put(&key("small"), "1".into(), &Metadata::new(), PutMode::IfAbsent).await.expect("put");
    assert_eq!(since_then(Operation::Put), 1);
    blobs.copy(&key("small"), &key("copy")).await.expect("copied");
    assert_eq!(since_then(Operation::Copy), 1);
    blobs.list("", None).try_collect::<Vec<_>>().await.expect("listed");
    assert_eq!(since_then(Operation::List), 1);

    let sent = join_all((0..20).map(|_| queue.send("pack".into()))).await;
    assert!(sent.iter().all(Result::is_ok));
    let batches = since_then(Operation::Send);
    assert!((2..=4).contains(&batches), "20 packs left in {batches} requests");
    let second = Duration::from_secs(1);
    let message = queue.receive(1, second, second).await.expect("received").pop().expect("a message");
    queue.ack(&message.receipt).await.expect("acknowledged");
    assert_eq!(since_then(Operation::Ack), 1);
}
