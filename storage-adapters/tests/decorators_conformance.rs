//! Each decorator, around a real store, honours the contract as the store does.

use std::sync::Arc;

use storage_adapters::{
    BlobStore, Queue, blob_conformance,
    conformance::TemporaryStore,
    decorators::{Budget, FaultPlan, Faulty, Meter, Metered, Retried, RetryPolicy, TimeLimited, TimeLimits},
    queue_conformance,
};

/// Makes the tests of one decorator; `$around` puts it around a port.
macro_rules! conformance_of {
    ($decorator:ident, $around:expr) => {
        mod $decorator {
            use super::*;

            async fn open_blobs() -> (Arc<dyn BlobStore>, TemporaryStore) {
                let temporary = TemporaryStore::in_memory();
                (Arc::new($around(temporary.store.blobs.clone())), temporary)
            }

            async fn open_queue() -> (Arc<dyn Queue>, TemporaryStore) {
                let temporary = TemporaryStore::in_memory();
                (Arc::new($around(temporary.store.queue.clone())), temporary)
            }

            blob_conformance!(open_blobs);
            queue_conformance!(open_queue);
        }
    };
}

conformance_of!(metering, |inner| Metered::new(inner, Arc::new(Meter::default())));
conformance_of!(faults, |inner| Faulty::new(inner, FaultPlan::new(1)));
conformance_of!(timeout, |inner| TimeLimited::new(inner, TimeLimits::default()));
conformance_of!(retry, |inner| Retried::new(inner, RetryPolicy::default(), Arc::new(Budget::default())));
