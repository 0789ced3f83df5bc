//! What the Embedded adapter promises beyond the contract of the ports.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod damage;
mod full_disk;
mod messages;
mod opening;
mod power_cut;
mod processes;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use storage_adapters::{
    BlobStore, Error, ErrorKind, GetOptions, Key, Metadata, PutMode, Store, Version,
    config::{EmbeddedConfig, StorageConfig},
};
use tempfile::TempDir;

/// Longest time that a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_mins(1);

fn place() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn config(path: &Path) -> StorageConfig {
    EmbeddedConfig { path: path.to_path_buf() }.into()
}

async fn open(path: &Path) -> Store {
    Store::open(&config(path)).await.expect("the store opens")
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a legal key")
}

async fn put(blobs: &dyn BlobStore, name: &str, body: impl Into<Bytes>, mode: PutMode) -> Result<Version, Error> {
    blobs.put(&key(name), body.into(), &Metadata::new(), mode).await
}

/// The version and the whole body.
async fn get(blobs: &dyn BlobStore, name: &str) -> Result<(Version, Bytes), Error> {
    let blob = blobs.get(&key(name), GetOptions::default()).await?;
    let body: BytesMut = blob.body.try_collect().await?;
    Ok((blob.info.version, body.freeze()))
}

async fn read(blobs: &dyn BlobStore, name: &str) -> Bytes {
    get(blobs, name).await.expect("the blob is there").1
}

fn kind<T>(outcome: Result<T, Error>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

/// Every file below `folder`, of which some may come and go meanwhile.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("readable").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Waits for what has to come.
async fn until(what: &str, mut has_come: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !has_come() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
