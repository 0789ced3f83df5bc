//! The AWS adapter honours the contract, on the emulator or on the server that the environment names.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use storage_adapters::{BlobStore, Queue, aws::Aws, blob_conformance, queue_conformance};

#[path = "aws/fixture.rs"]
mod fixture;

async fn open() -> Aws {
    Aws::open_with(&fixture::config().await, &fixture::variables()).await.expect("the store opens")
}

async fn open_blobs() -> (Arc<dyn BlobStore>, ()) {
    (open().await.blobs, ())
}

async fn open_queue() -> (Arc<dyn Queue>, ()) {
    (open().await.queue, ())
}

blob_conformance!(open_blobs);
queue_conformance!(open_queue);
