use std::pin::pin;

use futures::future::{Either, select};
use storage_adapters::BlobStore;

use super::*;
use crate::catalogue::{
    publish, sample,
    store::tests::{change_record, only, put_record, store},
};

/// Longest wait for a condition, far above what it takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `steps` while the poller runs.
async fn with_poller(store: &Arc<dyn BlobStore>, steps: impl AsyncFnOnce(CatalogueHandle)) {
    let (publisher, handle) = catalogue();
    let poller = pin!(run_poller(|| only(store), publisher));
    match select(poller, pin!(tokio::time::timeout(LIMIT, steps(handle)))).await {
        Either::Left((never, _)) => match never {},
        Either::Right((ended, _)) => ended.expect("the condition within the limit"),
    }
}

async fn problem(handle: &mut CatalogueHandle, part: &str) {
    let has = |state: &State| state.problem.as_ref().is_some_and(|problem| problem.contains(part));
    handle.0.wait_for(has).await.expect("a poller");
}

async fn import(store: &Arc<dyn BlobStore>, count: usize) {
    publish(&only(store), sample(count, 3).expect("a sample")).await.expect("stored");
}

#[tokio::test]
async fn a_new_version_is_served_within_five_seconds_and_the_old_one_until_then() {
    let (_folder, store) = store();
    import(&store, 10).await;
    with_poller(&store, async |mut handle| {
        handle.wait_for(1).await;
        let held = handle.current().expect("a catalogue");
        import(&store, 20).await;
        assert_eq!(handle.current().expect("a catalogue").number(), 1);
        let begun = Instant::now();
        handle.wait_for(2).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(handle.current().expect("a catalogue").product_count(), 20);
        assert_eq!(held.product_count(), 10, "a request that began before keeps its version");
    })
    .await;
}

#[tokio::test]
async fn a_store_without_catalogue_says_so_until_one_is_imported() {
    let (_folder, store) = store();
    with_poller(&store, async |mut handle| {
        problem(&mut handle, "no catalogue").await;
        assert!(handle.current().is_none());
        import(&store, 10).await;
        handle.wait_for(1).await;
        assert_eq!(handle.problem(), None);
    })
    .await;
}

#[tokio::test]
async fn a_version_that_cannot_be_read_leaves_the_old_one_and_says_so() {
    let (_folder, store) = store();
    import(&store, 10).await;
    with_poller(&store, async |mut handle| {
        handle.wait_for(1).await;
        put_record(&*store, r#"{"format":9}"#.to_owned()).await;
        problem(&mut handle, "has format 9").await;
        assert_eq!(handle.current().expect("a catalogue").number(), 1);

        let key = current_key_of_versions(&store).await;
        let good = serde_json::json!({
            "format": 1, "number": 1, "key": key, "products": 10, "bytes": 1, "sha256": "0",
        });
        put_record(&*store, good.to_string()).await;
        problem(&mut handle, "SHA-256").await;
        assert_eq!(handle.current().expect("a catalogue").product_count(), 10);

        change_record(&*store, |record| record["number"] = 5.into()).await;
        import(&store, 30).await;
        handle.wait_for(6).await;
        assert_eq!(handle.problem(), None);
    })
    .await;
}

async fn current_key_of_versions(store: &Arc<dyn BlobStore>) -> String {
    use futures::TryStreamExt as _;
    let mut listing = store.list("catalogue/versions/", None);
    listing.try_next().await.expect("a listing").expect("a version").key.to_string()
}
