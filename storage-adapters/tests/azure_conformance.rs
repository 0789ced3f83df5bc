//! The Azure adapter honours the contract, on the emulator or on what the environment names.

use std::sync::Arc;

use storage_adapters::{BlobStore, Queue, azure::fixture, blob_conformance, conformance::emulators, queue_conformance};

async fn open_blobs() -> (Arc<dyn BlobStore>, ()) {
    (fixture::open(emulators::azure()).await.blobs, ())
}

async fn open_queue() -> (Arc<dyn Queue>, ()) {
    (fixture::open(emulators::azure()).await.queue, ())
}

blob_conformance!(open_blobs);
queue_conformance!(open_queue);
