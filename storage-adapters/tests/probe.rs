//! The probe lets a store pass that honours the contract, and refuses by name one that does not.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use storage_adapters::{
    Blob, BlobInfo, BlobStore, ByteStream, Depth, ErrorKind, GetOptions, Key, Listing, Message, Metadata, PutMode,
    Queue, Receipt, Result, Version,
    conformance::TemporaryStore,
    decorators::{Fault, FaultPlan, Faulty, Operation, Rule},
    probe::{PACK, ProbeError, hear, probe_blobs, probe_queue},
};

/// What a store gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    IgnoresIfAbsent,
    IgnoresIfVersion,
    DropsMetadata,
    ListsNothing,
    KeepsDeleted,
    LosesMessages,
}

/// A real store with one flaw, such as stores have that speak a cloud's protocol without honouring all of it.
#[derive(Debug)]
struct Flawed<Port: ?Sized>(Arc<Port>, Flaw);

#[async_trait]
impl BlobStore for Flawed<dyn BlobStore> {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        let mode = match (mode, self.1) {
            (PutMode::IfAbsent, Flaw::IgnoresIfAbsent) | (PutMode::IfVersion(_), Flaw::IgnoresIfVersion) => {
                PutMode::Overwrite
            }
            (mode, _) => mode,
        };
        let none = Metadata::new();
        self.0.put(key, body, if self.1 == Flaw::DropsMetadata { &none } else { metadata }, mode).await
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        self.0.put_stream(key, body, metadata, mode).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        self.0.get(key, options).await
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        self.0.head(key).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        self.0.copy(from, to).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        if self.1 == Flaw::KeepsDeleted { Ok(()) } else { self.0.delete(key).await }
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        if self.1 == Flaw::ListsNothing { stream::empty().boxed() } else { self.0.list(prefix, after) }
    }
}

#[async_trait]
impl Queue for Flawed<dyn Queue> {
    async fn send(&self, pack: Bytes) -> Result<()> {
        if self.1 == Flaw::LosesMessages { Ok(()) } else { self.0.send(pack).await }
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        self.0.receive(max, lease, wait).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        self.0.extend(receipt, lease).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        self.0.ack(receipt).await
    }

    async fn depth(&self) -> Result<Depth> {
        self.0.depth().await
    }
}

#[tokio::test]
async fn a_store_that_honours_the_contract_passes_and_keeps_nothing_of_the_probe() {
    let temporary = TemporaryStore::in_memory();
    probe_blobs(&*temporary.store.blobs).await.expect("passes");
    probe_queue(&*temporary.store.queue, &*temporary.store.blobs).await.expect("passes");
    assert_eq!(temporary.store.blobs.list("", None).try_collect::<Vec<_>>().await.expect("list"), []);
    assert_eq!(temporary.store.queue.depth().await.expect("depth"), Depth::default());
}

#[tokio::test]
async fn each_flaw_is_refused_by_name() {
    let table = [
        (Flaw::IgnoresIfAbsent, "it replaces a blob although the put said: only if there is none"),
        (Flaw::IgnoresIfVersion, "it replaces a blob although the put named another version of it"),
        (Flaw::DropsMetadata, "it does not keep a blob's metadata"),
        (Flaw::ListsNothing, "a listing lacks a blob that was put before"),
        (Flaw::KeepsDeleted, "a deleted blob is still there"),
    ];
    for (flaw, name) in table {
        let temporary = TemporaryStore::in_memory();
        let refusal = probe_blobs(&Flawed(temporary.store.blobs.clone(), flaw)).await.expect_err("refused").to_string();
        assert!(refusal.contains(name), "{flaw:?}: {refusal}");
    }
}

#[tokio::test]
async fn a_queue_that_loses_messages_is_refused() {
    let temporary = TemporaryStore::in_memory();
    let queue = Flawed(temporary.store.queue.clone(), Flaw::LosesMessages);
    let refusal = probe_queue(&queue, &*temporary.store.blobs).await.expect_err("refused");
    assert!(matches!(refusal, ProbeError::Broken(_)), "{refusal}");
}

#[tokio::test]
async fn many_probes_at_once_all_pass() {
    let temporary = TemporaryStore::in_memory();
    let probe = || async {
        probe_blobs(&*temporary.store.blobs).await.expect("passes");
        probe_queue(&*temporary.store.queue, &*temporary.store.blobs).await.expect("passes");
    };
    join_all((0..20).map(|_| probe())).await;
    assert_eq!(temporary.store.queue.depth().await.expect("depth"), Depth::default());
}

#[tokio::test]
async fn a_probe_passes_beside_a_receiver_that_takes_every_message() {
    let temporary = TemporaryStore::in_memory();
    let (queue, blobs) = (&*temporary.store.queue, &*temporary.store.blobs);
    let taking = async {
        loop {
            for message in queue.receive(10, Duration::from_mins(1), Duration::from_secs(20)).await.expect("receive") {
                assert!(hear(blobs, &message.body).await.expect("answered"), "it is the probe's");
                queue.ack(&message.receipt).await.expect("ack");
            }
        }
    };
    let probing = async {
        for _ in 0..5 {
            probe_queue(queue, blobs).await.expect("passes");
        }
    };
    tokio::select! {
        () = taking => {}
        () = probing => {}
    }
    assert!(!hear(blobs, b"another pack").await.expect("nothing to answer"));
    assert_eq!(blobs.list("", None).try_collect::<Vec<_>>().await.expect("list"), []);
}

#[tokio::test]
async fn the_probe_leaves_messages_of_others_to_them() {
    let temporary = TemporaryStore::in_memory();
    temporary.store.queue.send("theirs".into()).await.expect("send");
    probe_queue(&*temporary.store.queue, &*temporary.store.blobs).await.expect("passes");
    let (minute, wait) = (Duration::from_mins(1), Duration::from_secs(20));
    let theirs = async {
        loop {
            let messages = temporary.store.queue.receive(1, minute, wait).await.expect("receive");
            let body = messages[0].body.clone();
            // The probe's own is left as well, since one of theirs was enough.
            if !body.starts_with(PACK) {
                return body;
            }
        }
    };
    assert_eq!(theirs.await, "theirs");
}

#[tokio::test]
async fn in_a_queue_that_is_full_of_others_messages_one_of_them_shows_that_it_delivers() {
    let temporary = TemporaryStore::in_memory();
    for pack in 0..10 {
        temporary.store.queue.send(pack.to_string().into()).await.expect("send");
    }
    // The probe's own never comes, as it does not for long behind thousands.
    let queue = Flawed(temporary.store.queue.clone(), Flaw::LosesMessages);
    probe_queue(&queue, &*temporary.store.blobs).await.expect("passes");
    let depth = temporary.store.queue.depth().await.expect("depth");
    assert_eq!(depth.waiting + depth.leased, 10, "it leaves all of them");
}

#[tokio::test]
async fn a_store_that_fails_is_refused_with_the_step_that_failed() {
    let temporary = TemporaryStore::in_memory();
    let plan = FaultPlan::new(1);
    plan.add(Rule::always(Operation::List, Fault::Fail(ErrorKind::Denied)));
    let refusal =
        probe_blobs(&Faulty::<dyn BlobStore>::new(temporary.store.blobs.clone(), plan)).await.expect_err("refused");
    assert_eq!(refusal.to_string(), "the store could not be tried out while it should list blobs");
    assert_eq!(temporary.store.blobs.list("", None).try_collect::<Vec<_>>().await.expect("list"), []);
}
