use std::path::Path as FilePath;

use shop_contract::switch::Switch;
use slatedb::{
    Db,
    config::{CloseOptions, FlushOptions, FlushType, Settings},
};
use storage_adapters::{
    Metadata, Store,
    config::{EmbeddedConfig, Provider, StorageConfig},
};

use super::{super::copy_progress::CopyProgress, *};

const FROM: &str = "orders/0/1";
const TO: &str = "orders/0/2";

struct Bench {
    _folder: tempfile::TempDir,
    from: Place,
    to: Place,
}

async fn place(folder: &FilePath, name: &str, path: &str) -> Place {
    let storage = StorageConfig::from(EmbeddedConfig { path: folder.join(name) });
    Place { blobs: Store::open(&storage).await.expect("a store").blobs, path: path.to_owned() }
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (place(folder.path(), "from", FROM).await, place(folder.path(), "to", TO).await);
    Bench { _folder: folder, from, to }
}

fn bridge(place: &Place, creates: bool) -> Arc<dyn ObjectStore> {
    let gate = Arc::new(Gate::new(Arc::new(MachineClock), creates));
    Arc::new(ObjectStoreBridge::new(Arc::clone(&place.blobs), gate))
}

async fn open(place: &Place, creates: bool) -> Db {
    let settings = Settings { compactor_options: None, garbage_collector_options: None, ..Settings::default() };
    let builder = Db::builder(place.path.as_str(), bridge(place, creates)).with_settings(settings);
    builder.build().await.expect("opens")
}

/// Writes so many rows, each durable for itself, and makes a table of each tenth.
async fn write(db: &Db, rows: std::ops::Range<u32>) {
    for row in rows {
        db.put(row.to_be_bytes(), vec![7; 100]).await.expect("writes");
        let flush_type = if row % 10 == 9 { FlushType::MemTable } else { FlushType::Wal };
        db.flush_with_options(FlushOptions { flush_type }).await.expect("flushes");
    }
}

/// Closes a database as its owner does: what is in the log stays there.
async fn close(db: Db) {
    let options = CloseOptions::default().with_flush_type(Some(FlushType::Wal));
    db.close_with_options(options).await.expect("closes");
}

async fn rows(db: &Db) -> u32 {
    let mut rows = db.scan(..).await.expect("scans");
    let mut count = 0;
    while rows.next().await.expect("reads").is_some() {
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_copied_while_it_is_in_use_and_opens_with_every_row() {
    let bench = bench().await;
    let db = open(&bench.from, true).await;
    write(&db, 0..25).await;
    let mut copying = Copying::new(bench.from.clone(), bench.to.clone());
    let first = copying.pass().await.expect("copies");
    assert!(first.files > 25 && first.bytes > 2_500, "{first:?}");
    write(&db, 25..32).await;
    close(db).await;
    let rest = copying.pass().await.expect("copies");
    assert!((7..first.files).contains(&rest.files), "only what is new: {rest:?} after {first:?}");
    copying.finish().await.expect("whole");
    assert_eq!(copying.pass().await.expect("copies"), Pass::default());
    let copy = open(&bench.to, false).await;
    assert_eq!(rows(&copy).await, 32);
    close(copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_tells_how_far_it_is_and_ends_when_something_else_is_wished_and_the_last_one_goes_on() {
    let bench = bench().await;
    let db = open(&bench.from, true).await;
    write(&db, 0..25).await;
    let wish = |number| Switch { max_bytes_per_second: Some(1 << 30), ..Switch::new(number, Provider::Azure) };
    let all = Arc::<CopyProgress>::default();
    all.begin(wish(1), 1);
    let progress = ShardProgress::new(&all, 3, Provider::Aws, wish(1));
    let mut copying = Copying::new(bench.from.clone(), bench.to.clone()).going_by(progress);
    let first = copying.pass().await.expect("copies");
    let told = all.status().expect("it copies").shards[&3];
    assert!(first.bytes > 0 && (told.copied, told.bytes) == (first.bytes, first.bytes), "{told:?} of {first:?}");
    write(&db, 25..32).await;
    close(db).await;
    all.begin(wish(2), 1);
    let superseded = copying.pass().await.expect("copies nothing");
    assert_eq!(superseded, Pass { is_superseded: true, ..Pass::default() });
    copying.finish().await.expect("whole");
    let copy = open(&bench.to, false).await;
    assert_eq!(rows(&copy).await, 32);
    close(copy).await;
}

/// How many of 32 rows, of which some are only in the log, a copy has that is shown to be whole.
async fn copied_rows(plant: impl Fn(&mut Copying)) -> u32 {
    let bench = bench().await;
    let db = open(&bench.from, true).await;
    write(&db, 0..32).await;
    close(db).await;
    let mut copying = Copying::new(bench.from.clone(), bench.to.clone());
    plant(&mut copying);
    copying.finish().await.expect("whole");
    let copy = open(&bench.to, false).await;
    let found = rows(&copy).await;
    close(copy).await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_rows_that_are_only_in_the_log() {
    assert_eq!(copied_rows(|_| ()).await, 32);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_loss_of_files_of_the_log_is_caught() {
    let lose = |copying: &mut Copying| copying.bug = Some(super::super::planted::Bug::LoseLogFiles);
    assert!(copied_rows(lose).await < 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_try_copied_counts_and_other_bytes_under_its_name_are_refused() {
    let bench = bench().await;
    let db = open(&bench.from, true).await;
    write(&db, 0..12).await;
    close(db).await;
    let mut first = Copying::new(bench.from.clone(), bench.to.clone());
    first.pass().await.expect("copies");
    let mut second = Copying::new(bench.from.clone(), bench.to.clone());
    second.finish().await.expect("what is there is the same, and whole");
    let key = bench.to.key(&log_file(3)).expect("a key");
    bench.to.blobs.put(&key, Bytes::from_static(b"other"), &Metadata::new(), PutMode::Overwrite).await.expect("puts");
    let mut third = Copying::new(bench.from.clone(), bench.to.clone());
    let refused = third.pass().await;
    assert!(matches!(&refused, Err(CopyError::Differs(found)) if *found == key), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_has_lost_meanwhile_is_copied_again() {
    let Bench { _folder, from, to } = bench().await;
    let db = open(&from, true).await;
    write(&db, 0..25).await;
    let mut copying = Copying::new(from, to.clone());
    let first = copying.pass().await.expect("copies");
    copying.look_again().await.expect("lists");
    assert_eq!(copying.pass().await.expect("copies"), Pass::default());
    for name in copying.copied.keys().take(2) {
        to.blobs.delete(&to.key(name).expect("a key")).await.expect("deletes");
    }
    copying.look_again().await.expect("lists");
    assert_eq!(copying.pass().await.expect("copies").files, 2, "of {}", first.files);
    close(db).await;
}

/// Says of a copy without the file that `lacks` picks why it is not whole.
async fn lacking(lacks: impl Fn(&str) -> bool) -> String {
    let bench = bench().await;
    let db = open(&bench.from, true).await;
    write(&db, 0..16).await;
    close(db).await;
    let mut copying = Copying::new(bench.from, bench.to);
    copying.pass().await.expect("copies");
    let lost = copying.copied.keys().rfind(|name| lacks(name)).expect("there is one").clone();
    copying.copied.remove(&lost);
    let manifests = copying.from.manifests().await.expect("reads");
    copying.show_whole(&manifests).await.expect_err("not whole").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_without_its_newest_manifest_a_table_or_a_file_of_the_log_is_not_whole() {
    let unnamed = lacking(|name| name.starts_with("manifest/")).await;
    assert!(unnamed.contains("the file manifest/"), "{unnamed}");
    let said = lacking(|name| name.starts_with("compacted/")).await;
    assert!(said.contains("the table orders/0/2/compacted/"), "{said}");
    let mut newest = lacking(|name| name.starts_with(LOG)).await;
    assert!(newest.contains("the file wal/"), "the last file: {newest}");
    newest = lacking(|name| name.starts_with(LOG) && name < log_file(14).as_str()).await;
    assert!(newest.contains(&log_file(13)), "one amid the others: {newest}");
}
