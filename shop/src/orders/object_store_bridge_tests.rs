use std::sync::Arc;

use object_store::{ObjectStoreExt, UpdateVersion};
use storage_adapters::{
    Store,
    config::EmbeddedConfig,
    decorators::{Meter, Metered},
};

use super::*;
use crate::orders::clock::MachineClock;

struct Bench {
    _folder: tempfile::TempDir,
    gate: Arc<Gate>,
    store: ObjectStoreBridge,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = EmbeddedConfig { path: folder.path().join("store") };
    let store = Store::open(&embedded.into()).await.expect("a store");
    let gate = Arc::new(Gate::new(Arc::new(MachineClock), true));
    Bench { _folder: folder, store: ObjectStoreBridge::new(store.blobs, Arc::clone(&gate)), gate }
}

fn path(text: &str) -> Path {
    Path::from(text)
}

async fn names(listing: BoxStream<'static, Result<ObjectMeta>>) -> Vec<String> {
    listing.map_ok(|meta| meta.location.to_string()).try_collect().await.expect("lists")
}

#[tokio::test]
async fn a_second_create_finds_the_first_with_its_put_id() {
    let bench = bench().await;
    let at = path("wal/00000000000000000001.sst");
    let id = (Attribute::Metadata("slatedbputid".into()), AttributeValue::from("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    let options =
        PutOptions { mode: PutMode::Create, attributes: [id.clone()].into_iter().collect(), ..PutOptions::default() };
    bench.store.put_opts(&at, "one".into(), options.clone()).await.expect("creates");
    let second = bench.store.put_opts(&at, "two".into(), options).await;
    assert!(matches!(second, Err(object_store::Error::AlreadyExists { .. })), "{second:?}");
    let found = bench.store.get_opts(&at, GetOptions { head: true, ..GetOptions::default() }).await.expect("is there");
    assert_eq!(found.attributes.get(&id.0), Some(&id.1));
    assert_eq!(found.meta.size, 3);
}

#[tokio::test]
async fn an_update_of_another_state_is_a_failed_precondition() {
    let bench = bench().await;
    let at = path("gc/manifest.boundary");
    let first = bench.store.put(&at, "one".into()).await.expect("puts");
    let update = |result: PutResult| PutOptions {
        mode: PutMode::Update(UpdateVersion { e_tag: result.e_tag, version: result.version }),
        ..PutOptions::default()
    };
    bench.store.put_opts(&at, "two".into(), update(first.clone())).await.expect("updates");
    let stale = bench.store.put_opts(&at, "three".into(), update(first)).await;
    assert!(matches!(stale, Err(object_store::Error::Precondition { .. })), "{stale:?}");
}

#[tokio::test]
async fn a_file_of_the_log_takes_one_request_to_be_asked_for_and_read() {
    let bench = bench().await;
    let meter = Arc::new(Meter::default());
    let blobs: Arc<dyn BlobStore> = Arc::new(Metered::new(Arc::clone(&bench.store.blobs), Arc::clone(&meter)));
    let store = ObjectStoreBridge::new(blobs, Arc::clone(&bench.gate));
    let requests = |meter: &Meter| -> u64 { meter.snapshot().values().map(|usage| usage.requests).sum() };
    let head = || GetOptions { head: true, ..GetOptions::default() };
    let range = |range| GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
    let at = path("orders/0/1/wal/00000000000000000001.sst");
    bench.store.put(&at, "0123456789".into()).await.expect("puts");
    let before = requests(&meter);
    assert_eq!(store.get_opts(&at, head()).await.expect("is there").meta.size, 10);
    let found = store.get_opts(&at, range(4..10)).await.expect("is there");
    assert_eq!((found.range.clone(), found.meta.size), (4..10, 10));
    assert_eq!(found.bytes().await.expect("reads"), "456789");
    assert_eq!(requests(&meter) - before, 1);
    // What was given out is not kept, and what is beyond the end is the store's to say.
    assert_eq!(store.get_opts(&at, range(0..2)).await.expect("is there").bytes().await.expect("reads"), "01");
    store.get_opts(&at, head()).await.expect("is there");
    assert_eq!(store.get_opts(&at, range(8..20)).await.expect("is there").bytes().await.expect("reads"), "89");
    let empty = path("orders/0/1/wal/00000000000000000002.sst");
    bench.store.put(&empty, PutPayload::new()).await.expect("puts");
    assert_eq!(store.get_opts(&empty, head()).await.expect("is there").meta.size, 0);
    let missing = store.get_opts(&path("orders/0/1/wal/00000000000000000003.sst"), head()).await;
    assert!(matches!(missing, Err(object_store::Error::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn ranges_are_read_from_the_start_from_an_offset_and_from_the_end() {
    let bench = bench().await;
    let at = path("compacted/a.sst");
    bench.store.put(&at, "0123456789".into()).await.expect("puts");
    for (range, expected) in [
        (GetRange::Bounded(2..5), "234"),
        (GetRange::Bounded(8..20), "89"),
        (GetRange::Offset(7), "789"),
        (GetRange::Suffix(3), "789"),
        (GetRange::Suffix(30), "0123456789"),
    ] {
        let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
        let found = bench.store.get_opts(&at, options).await.expect("is there");
        assert_eq!(found.meta.size, 10);
        assert_eq!(found.bytes().await.expect("reads"), expected, "{range:?}");
    }
    assert!(matches!(bench.store.get(&path("no")).await, Err(object_store::Error::NotFound { .. })));
}

#[tokio::test]
async fn listings_keep_to_their_folder_and_know_its_folders() {
    let bench = bench().await;
    for name in ["orders/1/a", "orders/1/wal/1", "orders/1/wal/2", "orders/10/a"] {
        bench.store.put(&path(name), "x".into()).await.expect("puts");
    }
    assert_eq!(
        names(bench.store.list(Some(&path("orders/1")))).await,
        ["orders/1/a", "orders/1/wal/1", "orders/1/wal/2"]
    );
    let after = bench.store.list_with_offset(Some(&path("orders/1")), &path("orders/1/wal/1"));
    assert_eq!(names(after).await, ["orders/1/wal/2"]);
    let listed = bench.store.list_with_delimiter(Some(&path("orders/1"))).await.expect("lists");
    assert_eq!(listed.common_prefixes, [path("orders/1/wal")]);
    assert_eq!(listed.objects.len(), 1);
}

#[tokio::test]
async fn deletes_and_copies_do_what_they_say() {
    let bench = bench().await;
    bench.store.put(&path("a"), "x".into()).await.expect("puts");
    bench.store.copy_if_not_exists(&path("a"), &path("b")).await.expect("copies");
    let again = bench.store.copy_if_not_exists(&path("a"), &path("b")).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    bench.store.delete(&path("a")).await.expect("deletes");
    bench.store.delete(&path("a")).await.expect("absent is a success");
    assert_eq!(names(bench.store.list(None)).await, ["b"]);
}

#[tokio::test]
async fn an_upload_in_parts_is_whole_in_order_or_not_there_at_all() {
    let bench = bench().await;
    let at = path("compacted/b.sst");
    let mut upload = bench.store.put_multipart(&at).await.expect("begins");
    let parts: Vec<_> = ["one ", "two ", "three"].into_iter().map(|part| upload.put_part(part.into())).collect();
    // Awaited in another order than given.
    for part in parts.into_iter().rev() {
        part.await.expect("is taken");
    }
    upload.complete().await.expect("completes");
    assert_eq!(bench.store.get(&at).await.expect("is there").bytes().await.expect("reads"), "one two three");
    let given_up = path("compacted/c.sst");
    let mut upload = bench.store.put_multipart(&given_up).await.expect("begins");
    upload.put_part("one".into()).await.expect("is taken");
    drop(upload);
    let mut upload = bench.store.put_multipart(&given_up).await.expect("begins");
    upload.put_part("one".into()).await.expect("is taken");
    upload.abort().await.expect("aborts");
    drop(upload);
    assert!(matches!(bench.store.head(&given_up).await, Err(object_store::Error::NotFound { .. })));
}

#[tokio::test]
async fn nothing_passes_a_shut_gate() {
    let bench = bench().await;
    bench.store.put(&path("a"), "x".into()).await.expect("puts");
    let mut upload = bench.store.put_multipart(&path("c")).await.expect("begins");
    bench.gate.shut();
    let refused = bench.store.put(&path("b"), "x".into()).await.expect_err("refused");
    assert!(NonRetryable::find(&refused).is_some(), "{refused:?}");
    assert!(bench.store.get(&path("a")).await.is_err());
    assert!(bench.store.delete(&path("a")).await.is_err());
    assert!(bench.store.list(None).next().await.is_some_and(|found| found.is_err()));
    assert!(upload.complete().await.is_err());
}

#[tokio::test]
async fn a_database_that_must_be_there_is_not_created_anew() {
    let Bench { _folder, store, gate } = bench().await;
    let first = Path::from("orders/0/1/manifest/00000000000000000001.manifest");
    store.put_opts(&first, PutPayload::from_static(b"new"), PutMode::Create.into()).await.expect("it may be created");
    assert!(!gate.has_missed());
    let must_be_there = Arc::new(Gate::new(Arc::new(MachineClock), false));
    let store = ObjectStoreBridge::new(store.blobs, Arc::clone(&must_be_there));
    let first = Path::from("orders/1/1/manifest/00000000000000000001.manifest");
    let second = Path::from("orders/1/1/manifest/00000000000000000002.manifest");
    store.put_opts(&first, PutPayload::from_static(b"new"), PutMode::Create.into()).await.expect_err("it was there");
    assert!(must_be_there.has_missed());
    assert!(matches!(store.head(&first).await, Err(object_store::Error::NotFound { .. })));
    store.put_opts(&second, PutPayload::from_static(b"more"), PutMode::Create.into()).await.expect("what comes later");
}
