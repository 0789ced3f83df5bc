//! One use of everything that the ports can do, for what watches an adapter's requests. Does I/O through the ports.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    blob::{BlobStore, GetOptions, Key, Metadata, PutMode},
    error::{Error, ErrorKind},
    queue::Queue,
};

/// Does everything that the ports can do, once.
pub async fn use_everything(blobs: &dyn BlobStore, queue: &dyn Queue) {
    let nothing = Metadata::new();
    let key = |text: &str| Key::new(text).expect("a legal key");
    let pieces = || stream::iter((0..20).map(|_| Ok(Bytes::from(vec![7; 1024 * 1024]))));
    blobs.put(&key("a"), "1".into(), &nothing, PutMode::IfAbsent).await.expect("put");
    blobs.put_stream(&key("large"), pieces().boxed(), &nothing, PutMode::IfAbsent).await.expect("put");
    let broken = pieces().chain(stream::once(async { Err(Error::new(ErrorKind::Denied, "read", "elsewhere")) }));
    blobs.put_stream(&key("broken"), broken.boxed(), &nothing, PutMode::IfAbsent).await.expect_err("its body fails");
    blobs.get(&key("large"), GetOptions { range: Some(1..4), if_version: None }).await.expect("read");
    blobs.head(&key("a")).await.expect("there");
    blobs.list("", None).try_collect::<Vec<_>>().await.expect("listed");
    blobs.copy(&key("large"), &key("copy")).await.expect("copied");
    blobs.delete(&key("copy")).await.expect("deleted");
    let second = Duration::from_secs(1);
    queue.send("pack".into()).await.expect("sent");
    let message = queue.receive(1, second * 20, second).await.expect("received").pop().expect("a message");
    let receipt = queue.extend(&message.receipt, second * 20).await.expect("extended");
    queue.ack(&receipt).await.expect("acknowledged");
    queue.depth().await.expect("counted");
}
