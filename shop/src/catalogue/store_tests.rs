use std::sync::Arc;

use storage_adapters::{config::EmbeddedConfig, embedded::Embedded};
use tempfile::TempDir;

use super::*;

/// A store of the machine's own disk, gone with the folder.
pub(crate) fn store() -> (TempDir, Arc<dyn BlobStore>) {
    let folder = TempDir::new().expect("a folder");
    let config = EmbeddedConfig { path: folder.path().join("store") };
    let store = Embedded::open(&config).expect("a store");
    (folder, store.blobs)
}

/// The catalogue may be in this store alone.
pub(crate) fn only(store: &Arc<dyn BlobStore>) -> Places {
    Places::new(Provider::Embedded, Arc::clone(store), [])
}

async fn versions(store: &dyn BlobStore) -> Vec<u64> {
    let keys: Vec<_> = store.list(VERSIONS_PREFIX, None).try_collect().await.expect("a listing");
    keys.iter().filter_map(|info| number_of(&info.key)).collect()
}

/// Replaces the record by what `change` makes of it.
pub(crate) async fn change_record(store: &dyn BlobStore, change: impl FnOnce(&mut serde_json::Value)) {
    let (_, record) = current(store).await.expect("a store").expect("a record");
    let mut value = serde_json::to_value(&record).expect("JSON");
    change(&mut value);
    put_record(store, value.to_string()).await;
}

pub(crate) async fn put_record(store: &dyn BlobStore, text: String) {
    let key = current_key().expect("a key");
    store.put(&key, text.into(), &Metadata::new(), PutMode::Overwrite).await.expect("a put");
}

#[tokio::test]
async fn what_was_published_is_loaded_whole() {
    let (_folder, store) = store();
    let products = sample(3_000, 8).expect("a sample");
    let published = publish(&only(&store), products.clone()).await.expect("stored");
    assert_eq!(published, Published { number: 1, products: 3_000, changed: true });
    let (_, record) = current(&*store).await.expect("a store").expect("a record");
    let snapshot = load(&*store, &record).await.expect("a catalogue");
    assert_eq!((snapshot.number(), snapshot.product_count()), (1, 3_000));
    assert!(products.iter().all(|product| snapshot.product(&product.sku).is_some()));
}

#[tokio::test]
async fn the_same_products_again_make_no_version() {
    let (_folder, store) = store();
    let products = sample(100, 8).expect("a sample");
    publish(&only(&store), products.clone()).await.expect("stored");
    let before = current_version(&*store).await.expect("a store");
    let again = publish(&only(&store), products).await.expect("stored");
    assert_eq!(again, Published { number: 1, products: 100, changed: false });
    assert_eq!(current_version(&*store).await.expect("a store"), before);
}

#[tokio::test]
async fn a_few_old_versions_are_kept_and_older_ones_removed() {
    let (_folder, store) = store();
    for seed in 0..6 {
        publish(&only(&store), sample(10, seed).expect("a sample")).await.expect("stored");
    }
    assert_eq!(versions(&*store).await, [4, 5, 6]);
}

#[tokio::test]
async fn imports_at_once_all_end_and_one_of_them_is_current() {
    let (_folder, store) = store();
    let imports = (0..4).map(|seed| {
        let store = store.clone();
        async move { publish(&only(&store), sample(50, seed).expect("a sample")).await }
    });
    let ended = futures::future::join_all(imports).await;
    let mut numbers: Vec<u64> = ended.into_iter().map(|published| published.expect("stored").number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4], "each is a version of its own");
    let (_, record) = current(&*store).await.expect("a store").expect("a record");
    assert_eq!(record.number, 4);
    load(&*store, &record).await.expect("a catalogue");
}

#[tokio::test]
async fn the_sample_is_seeded_once_and_never_over_a_catalogue() {
    let (_folder, store) = store();
    let places = only(&store);
    let seeds = (0..4).map(|_| seed_sample_if_absent(&places));
    let seeded = futures::future::join_all(seeds).await;
    assert_eq!(seeded.into_iter().filter(|seeded| *seeded.as_ref().expect("a store")).count(), 1);

    publish(&only(&store), sample(5, 8).expect("a sample")).await.expect("stored");
    assert!(!seed_sample_if_absent(&only(&store)).await.expect("a store"));
    let (_, record) = current(&*store).await.expect("a store").expect("a record");
    assert_eq!((record.number, record.products), (2, 5));
}

#[tokio::test]
async fn a_record_of_a_newer_release_is_never_replaced() {
    let (_folder, store) = store();
    publish(&only(&store), sample(5, 8).expect("a sample")).await.expect("stored");
    put_record(&*store, r#"{"format":3,"where":"elsewhere"}"#.to_owned()).await;
    let before = current_version(&*store).await.expect("a store");
    for error in [
        publish(&only(&store), sample(6, 8).expect("a sample")).await.expect_err("refused"),
        seed_sample_if_absent(&only(&store)).await.expect_err("refused"),
    ] {
        assert!(matches!(error, StoreError::Record(FormatError::Format { found: 3, .. })), "{error}");
    }
    assert_eq!(current_version(&*store).await.expect("a store"), before);
}

#[tokio::test]
async fn a_version_with_other_bytes_than_were_written_is_refused() {
    let (_folder, store) = store();
    publish(&only(&store), sample(5, 8).expect("a sample")).await.expect("stored");
    let other = "0".repeat(64);
    change_record(&*store, |record| record["sha256"] = other.into()).await;
    let (_, record) = current(&*store).await.expect("a store").expect("a record");
    let error = load(&*store, &record).await.expect_err("refused");
    assert!(matches!(error, StoreError::Version { number: 1, source: FormatError::Digest { .. } }), "{error}");
}
