//! A reply that is lost after the write: a proxy before the emulator swallows it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use storage_adapters::{
    BlobStore, ErrorKind, GetOptions, PutMode,
    azure::{Azure, fixture},
    conformance::emulators::{self, Server},
    decorators::{Budget, Retried, RetryPolicy},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

use crate::{key, kind, put};

/// Passes everything on to the emulator, except one reply when it is told so.
async fn proxy() -> (Server, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let emulator = emulators::azure().clone();
    let target = format!("127.0.0.1:{}", emulator.blob.port().expect("a port"));
    let swallow = Arc::new(AtomicBool::new(false));
    let told = swallow.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (target, told) = (target.clone(), told.clone());
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(target).await else { return };
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let requests = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
                let mut piece = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = from_server.read(&mut piece).await {
                    if told.swap(false, Ordering::SeqCst) || to_client.write_all(&piece[..count]).await.is_err() {
                        break;
                    }
                }
                requests.abort();
            });
        }
    });
    let mut server = emulator;
    server.blob.set_port(Some(port)).expect("it may have a port");
    (server, swallow)
}

#[tokio::test]
async fn a_conditional_put_whose_reply_is_lost_is_reported_won() {
    let (server, swallow) = proxy().await;
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
    let (server, swallow) = proxy().await;
    let Azure { blobs, .. } = fixture::open(&server).await;
    swallow.store(true, Ordering::SeqCst);
    assert_eq!(kind(&put(&*blobs, "a", PutMode::IfAbsent).await), Some(ErrorKind::Unknown));
    blobs.head(&key("a")).await.expect("it did happen");
}
