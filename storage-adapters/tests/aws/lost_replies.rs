//! Writes whose reply was lost, with the decorators that every store has.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use storage_adapters::{Metadata, PutMode, Store};

use crate::{
    fixture, key,
    places::{SecretFolder, config_at, with_secret},
    server::Server,
};

/// A store behind a proxy that loses the reply to one put each time that it is told to.
async fn open() -> (Store, Server, Arc<AtomicBool>, SecretFolder) {
    let loses = Arc::new(AtomicBool::new(false));
    let told = loses.clone();
    let proxy = Server::before_emulator(move |request| request.is("PUT") && told.swap(false, Ordering::SeqCst)).await;
    let made = fixture::config().await;
    let secret = SecretFolder::new("key");
    let config = with_secret(config_at(&made.bucket, &made.queue, &proxy.url), &secret);
    let store = Store::open(&config.into()).await.expect("the store opens");
    (store, proxy, loses, secret)
}

#[tokio::test]
async fn a_conditional_put_whose_reply_was_lost_is_known_to_have_won() {
    let (store, _proxy, loses, _secret) = open().await;
    let put = async |body: &'static str, mode| {
        store.blobs.put(&key("a"), Bytes::from_static(body.as_bytes()), &Metadata::new(), mode).await
    };
    // Lets enough succeed that two repetitions can be paid.
    for _ in 0..20 {
        let _ = store.blobs.head(&key("nothing")).await;
    }
    loses.store(true, Ordering::SeqCst);
    let first = put("one", PutMode::IfAbsent).await.expect("it won");
    assert!(!loses.load(Ordering::SeqCst), "a reply was lost");
    loses.store(true, Ordering::SeqCst);
    let second = put("two", PutMode::IfVersion(first)).await.expect("it won");
    assert!(!loses.load(Ordering::SeqCst), "a reply was lost");
    let (info, metadata) = store.blobs.head(&key("a")).await.expect("head");
    assert_eq!((info.version, metadata), (second, Metadata::new()));
}
