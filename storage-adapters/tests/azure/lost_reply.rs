//! A reply that is lost after the write: a proxy before the emulator swallows it.

use std::sync::{Arc, atomic::Ordering};

use storage_adapters::{
    BlobStore, ErrorKind, GetOptions, PutMode,
    azure::{Azure, fixture},
    decorators::{Budget, Retried, RetryPolicy},
};

use crate::{key, kind, proxy::Proxy, put};

#[tokio::test]
async fn a_conditional_put_whose_reply_is_lost_is_reported_won() {
    let Proxy { server, swallow, .. } = Proxy::start().await;
    let Azure { blobs, .. } = fixture::open(&server).await;
    let retried: Arc<dyn BlobStore> =
        Arc::new(Retried::new(blobs.clone(), RetryPolicy::default(), Arc::new(Budget::default())));
    // The first attempt earns what the repetition costs only after some others.
    for number in 0..20 {
        put(&*retried, &format!("other-{number}"), PutMode::IfAbsent).await.expect("put");
    }
    swallow.store(true, Ordering::SeqCst);
    let created = put(&*retried, "a", PutMode::IfAbsent).await.expect("it won");
    assert!(!swallow.load(Ordering::SeqCst), "a reply was swallowed");
    let found = retried.get(&key("a"), GetOptions::default()).await.expect("get");
    assert_eq!((found.info.version, found.metadata.len()), (created.clone(), 0));
    swallow.store(true, Ordering::SeqCst);
    put(&*retried, "a", PutMode::IfVersion(created)).await.expect("it won again");
    assert!(!swallow.load(Ordering::SeqCst), "a reply was swallowed");
}

#[tokio::test]
async fn a_conditional_put_whose_reply_is_lost_is_unknown_to_whoever_does_not_repeat_it() {
    let Proxy { server, swallow, .. } = Proxy::start().await;
    let Azure { blobs, .. } = fixture::open(&server).await;
    swallow.store(true, Ordering::SeqCst);
    assert_eq!(kind(&put(&*blobs, "a", PutMode::IfAbsent).await), Some(ErrorKind::Unknown));
    blobs.head(&key("a")).await.expect("it did happen");
}
