//! What the Embedded adapter promises beyond the contract of the ports.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use storage_adapters::{
    BlobStore, GetOptions, Key, Metadata, PutMode, Store,
    config::{EmbeddedConfig, Provider, StorageConfig},
};

fn config(path: &Path) -> StorageConfig {
    StorageConfig { provider: Provider::Embedded, embedded: Some(EmbeddedConfig { path: path.to_path_buf() }) }
}

async fn open(path: &Path) -> Store {
    Store::open(&config(path)).await.expect("the store opens")
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a legal key")
}

async fn put(blobs: &dyn BlobStore, name: &str, body: &'static str) {
    blobs
        .put(&key(name), Bytes::from_static(body.as_bytes()), &Metadata::new(), PutMode::Overwrite)
        .await
        .expect("put");
}

async fn read(blobs: &dyn BlobStore, name: &str) -> BytesMut {
    let blob = blobs.get(&key(name), GetOptions::default()).await.expect("get");
    blob.body.try_collect().await.expect("body")
}

#[tokio::test]
async fn what_was_put_is_there_after_the_store_is_opened_again() {
    let place = tempfile::tempdir().expect("a folder");
    put(&*open(place.path()).await.blobs, "a/b", "body").await;
    assert_eq!(read(&*open(place.path()).await.blobs, "a/b").await, "body");
}

#[tokio::test]
async fn an_open_and_closed_store_leaves_no_staged_files() {
    let place = tempfile::tempdir().expect("a folder");
    drop(open(place.path()).await);
    assert_eq!(std::fs::read_dir(place.path().join("staging")).expect("readable").count(), 0);
}
