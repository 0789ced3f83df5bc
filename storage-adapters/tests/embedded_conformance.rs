//! The Embedded adapter honours the contract, on a real disk.

use std::sync::Arc;

use storage_adapters::{BlobStore, Queue, blob_conformance, conformance::TemporaryStore, queue_conformance};

async fn open_blobs() -> (Arc<dyn BlobStore>, TemporaryStore) {
    let temporary = TemporaryStore::on_disk();
    (temporary.store.blobs.clone(), temporary)
}

async fn open_queue() -> (Arc<dyn Queue>, TemporaryStore) {
    let temporary = TemporaryStore::on_disk();
    (temporary.store.queue.clone(), temporary)
}

blob_conformance!(open_blobs);
queue_conformance!(open_queue);
