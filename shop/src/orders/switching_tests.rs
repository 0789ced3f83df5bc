//! Shards that move from one store to another while people buy.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt};
use shop_contract::switch::{About, Switch, Verification, Verify};
use storage_adapters::{
    BlobInfo, ErrorKind, Store,
    config::{EmbeddedConfig, Provider, StorageConfig},
    decorators::{Fault, FaultPlan, Operation, Rule},
};

use super::{
    blobs,
    lease::{Lease, Leases},
    records,
    registry::Registry,
    stored::StoredOrders,
    test_workers::{PATIENCE, Running, Shoppers, add, create, start_between, until},
};
use crate::domain::OrderId;

/// The store that passes for one of AWS.
pub(super) const AWAY: Provider = Provider::Aws;
pub(super) const BACK: Provider = Provider::Embedded;

/// A plan without a fault.
fn calm() -> Arc<FaultPlan> {
    FaultPlan::new(1)
}

pub(super) async fn store(folder: &Path) -> Store {
    Store::open(&StorageConfig::from(EmbeddedConfig { path: folder.join("store") })).await.expect("a store")
}

pub(super) async fn leases(folder: &Path) -> Leases {
    let registry = Registry::new(store(folder).await.blobs).expect("a registry");
    registry.leases().await.expect("leases").0
}

/// The files of a shard's database.
pub(super) async fn files(folder: &Path, shard: u16, generation: u64) -> BTreeSet<String> {
    let prefix = format!("orders/{shard}/{generation}/");
    let found: Vec<BlobInfo> = store(folder).await.blobs.list(&prefix, None).try_collect().await.expect("lists");
    let name = |info: &BlobInfo| info.key.as_str().strip_prefix(&prefix).expect("in its folder").to_owned();
    found.iter().map(name).collect()
}

/// Has all shards move to `to`, as the operator asks for it: by a record in the store where they live.
pub(super) async fn switch(from: &Path, number: u64, to: Provider) {
    let registry = Registry::new(store(from).await.blobs).expect("a registry");
    registry.wish(Switch::new(number, to)).await.expect("wishes");
}

/// Two workers with two shards each, and what the other store does of each.
async fn two_workers(here: &Path, there: &Path) -> ([Running; 2], [Arc<FaultPlan>; 2]) {
    let plans = [calm(), calm()];
    let first = start_between(here, there, &plans[0]).await;
    first.ready().await;
    let second = start_between(here, there, &plans[1]).await;
    second.ready().await;
    until("both have shards", || first.owns().len() == 2 && second.owns().len() == 2).await;
    ([first, second], plans)
}

/// Whether a worker answers for all shards, and each lives in this store.
pub(super) fn lives_in(running: &Running, home: Provider) -> bool {
    let leases = running.worker.service.leases().living_in(home);
    let serves = |(number, lease): (&u16, &Lease)| {
        running.worker.service.serving(*number).is_some_and(|shard| shard.epoch == lease.epoch)
    };
    leases.shards.len() == 4 && leases.shards.iter().all(serves)
}

/// Checks that a store holds these orders, and no other.
async fn assert_stored(folder: &Path, home: Provider, running: &Running, orders: &[(OrderId, u32)]) {
    let client = running.client();
    for (order, added) in orders {
        let stored = client.read(*order).await.expect("reads").order;
        assert_eq!(stored.items[0].quantity.get(), *added, "{order}");
    }
    let stored = StoredOrders::find(store(folder).await.blobs, home).await.expect("a store");
    let report = stored.verify(None).await.expect("reads");
    assert_eq!((report.faults.as_slice(), report.orders), (&[][..], u64::try_from(orders.len()).expect("few")));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shards_move_there_and_back_while_people_buy_and_no_command_fails() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plan = calm();
    let running = start_between(here.path(), there.path(), &plan).await;
    running.ready().await;
    // What moving a shard did is written down all the same.
    let writes = Rule::always(Operation::Put, Fault::Fail(ErrorKind::Unavailable));
    plan.add(Rule { prefix: "switches/".into(), times: Some(2), ..writes });
    let shoppers = Shoppers::start(&running, 8).await;
    switch(here.path(), 1, AWAY).await;
    until("all shards live in the other store", || lives_in(&running, AWAY)).await;
    let left = leases(here.path()).await;
    assert!(left.shards.values().all(|lease| lease.home == AWAY && lease.holder.is_none() && lease.generation == 2));
    running.worker.report_switch().await.expect("the store answers");
    let parts = store(there.path()).await.blobs.list("switches/1/", None).count().await;
    assert_eq!(parts, 9, "of each shard two, and what seals them");
    let there_first = running.worker.status().moved.and_then(|moved| moved.verification).expect("compared");
    assert_eq!(there_first, Verification { orders: 8, mismatches: 0, is_whole: true }, "under way as they were");
    switch(there.path(), 2, BACK).await;
    until("all shards are back", || lives_in(&running, BACK)).await;
    let orders = shoppers.end().await;
    assert!(orders.iter().all(|(_, added)| *added > 0));
    running.ready().await;
    assert_stored(here.path(), BACK, &running, &orders).await;
    running.worker.report_switch().await.expect("the store answers");
    let moved = running.worker.status().moved.expect("a report");
    assert_eq!((moved.number, moved.report_key.as_str()), (2, "switches/2/report"));
    assert_eq!(moved.verification, Some(Verification { orders: 8, mismatches: 0, is_whole: true }));
    assert!(moved.files > 0 && moved.bytes > 0 && moved.longest_hold_millis.is_some_and(|held| held > 0), "{moved:?}");
    let left = leases(there.path()).await;
    assert!(left.shards.values().all(|lease| lease.home == BACK && lease.generation == 3), "{left:?}");
    running.end().await;
    let next = start_between(here.path(), there.path(), &calm()).await;
    until("the next worker has them", || lives_in(&next, BACK)).await;
    next.worker.report_switch().await.expect("the store answers");
    assert_eq!(next.worker.status().moved, Some(moved), "the report that is there");
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_a_cart_in_use_reads_nothing_from_the_store_that_it_moved_to() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plan = calm();
    let running = start_between(here.path(), there.path(), &plan).await;
    running.ready().await;
    let client = running.client();
    let orders = futures::future::join_all((0..16).map(|_| create(&client))).await;
    switch(here.path(), 1, AWAY).await;
    until("all shards live in the other store", || lives_in(&running, AWAY)).await;
    let reads = Rule::always(Operation::Get, Fault::Fail(ErrorKind::Unavailable));
    plan.add(Rule { prefix: "orders/".into(), ..reads });
    for order in &orders {
        client.execute(*order, add("A-1", 1)).await.expect("nothing is read");
    }
    plan.clear();
    let orders: Vec<_> = orders.into_iter().map(|order| (order, 1)).collect();
    assert_stored(there.path(), AWAY, &running, &orders).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_are_to_wait_are_only_copied_and_go_on_or_back_when_they_are_told() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let running = start_between(here.path(), there.path(), &calm()).await;
    running.ready().await;
    let shoppers = Shoppers::start(&running, 4).await;
    let wish =
        async |wish: Switch| assert!(running.worker.make_wish(wish).await.expect("the store answers"), "{wish:?}");
    let about = Some(About { id: 1, from: BACK, to: AWAY });
    wish(Switch { waits: true, ..Switch::new(1, AWAY) }).await;
    let copying = async {
        for shard in 0..4 {
            while files(there.path(), shard, 2).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, copying).await.expect("all shards are copied");
    assert!(lives_in(&running, BACK) && running.worker.ready_for().is_none(), "{:?}", running.worker.status());
    wish(Switch { about, ..Switch::new(2, AWAY) }).await;
    until("all shards live in the other store", || lives_in(&running, AWAY)).await;
    let found = async {
        while leases(there.path()).await.switch.is_none_or(|found| found.waits) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("whoever looks only there finds that it may go on");
    wish(Switch { about, ..Switch::new(3, BACK) }).await;
    until("all shards are back", || lives_in(&running, BACK)).await;
    let orders = shoppers.end().await;
    assert_stored(here.path(), BACK, &running, &orders).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_two_workers_move_in_turn() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let ([first, second], plans) = two_workers(here.path(), there.path()).await;
    // Without turns the other one would be faster.
    let slow = usize::from(!first.owns().contains(&0));
    let copies = Rule::always(Operation::Put, Fault::Delay(Duration::from_millis(50)));
    plans[slow].add(Rule { prefix: "orders/".into(), ..copies });
    switch(here.path(), 1, AWAY).await;
    let moving = async {
        loop {
            let left: Vec<bool> = leases(here.path()).await.shards.values().map(|lease| lease.home == AWAY).collect();
            assert!(left.is_sorted_by(|before, after| before >= after), "{left:?}");
            if left.iter().all(|left| *left) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, moving).await.expect("all shards move");
    let owned = || first.owns().len() + second.owns().len();
    until("all are answered for again", || owned() == 4).await;
    first.end().await;
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_cannot_move_are_waited_for_once_and_move_when_they_can_and_each_moves_once() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (workers, plans) = two_workers(here.path(), there.path()).await;
    let stuck = usize::from(!workers[0].owns().contains(&0));
    plans[stuck].add(Rule::always(Operation::Put, Fault::Fail(ErrorKind::Denied)));
    let (stays, moves) = (workers[stuck].owns(), workers[1 - stuck].owns());
    switch(here.path(), 1, AWAY).await;
    let begun = Instant::now();
    let live_away = |shards: &BTreeSet<u16>| {
        let leases = workers[1 - stuck].worker.service.leases();
        shards.iter().all(|shard| leases.shards[shard].home == AWAY)
    };
    until("those that can move have", || live_away(&moves)).await;
    let waited = begun.elapsed();
    assert!(waited < 2 * Duration::from_secs(10), "they waited for each: {waited:?}");
    let left = leases(here.path()).await;
    assert!(stays.iter().all(|shard| left.shards[shard].home == BACK), "{left:?}");
    // Long enough for whoever would even the load of those that have moved.
    tokio::time::sleep(Duration::from_secs(4)).await;
    plans[stuck].clear();
    until("all shards move", || live_away(&stays)).await;
    let (left, arrived) = (leases(here.path()).await, leases(there.path()).await);
    for (shard, tombstone) in left.shards {
        assert_eq!(arrived.shards[&shard].epoch, tombstone.epoch + 1, "the shard {shard} was given on");
    }
    for worker in workers {
        worker.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_that_is_left_with_a_worker_counts_unless_it_is_old_or_of_a_store_that_it_has_no_settings_of() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let running = start_between(here.path(), there.path(), &calm()).await;
    running.ready().await;
    let wish = async |number, to| running.worker.make_wish(Switch::new(number, to)).await.expect("the store answers");
    assert!(!wish(1, Provider::Azure).await);
    assert!(wish(2, AWAY).await);
    assert!(wish(2, AWAY).await, "it may be left again");
    assert!(!wish(1, BACK).await);
    assert_eq!(leases(here.path()).await.switch, Some(Switch::new(2, AWAY)));
    until("all shards live in the other store", || lives_in(&running, AWAY)).await;
    assert_eq!(running.worker.status().switch, Some(Switch::new(2, AWAY)));
    assert!(running.worker.status().shards.iter().all(|shard| shard.home == Some(AWAY)));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_where_the_shards_left_finds_where_they_are() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let first = start_between(here.path(), there.path(), &calm()).await;
    first.ready().await;
    let order = create(&first.client()).await;
    switch(here.path(), 1, AWAY).await;
    until("all shards live in the other store", || lives_in(&first, AWAY)).await;
    first.crash().await;
    let second = start_between(here.path(), there.path(), &calm()).await;
    until("the next worker has them there", || lives_in(&second, AWAY)).await;
    second.ready().await;
    second.client().read(order).await.expect("reads");
    second.end().await;
}

/// Why a store takes no shard.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// Nothing can be written.
    ReadOnly,
    /// It is full by the time that shards are copied.
    NoRoom,
    /// It is another shop's.
    Another,
}

impl Refusal {
    async fn begin(self, here: &Path, there: &Path, plan: &FaultPlan) {
        let writes = |kind| Rule::always(Operation::Put, Fault::Fail(kind));
        match self {
            Self::ReadOnly => plan.add(writes(ErrorKind::Denied)),
            Self::NoRoom => plan.add(Rule { prefix: "orders/".into(), ..writes(ErrorKind::Full) }),
            Self::Another => {
                let (here, there) = (store(here).await.blobs, store(there).await.blobs);
                records::prepare(&*here, &*there, "uid-2").await.expect("another shop");
            }
        }
    }

    async fn end(self, there: &Path, plan: &FaultPlan) {
        plan.clear();
        if let Self::Another = self {
            let owner = blobs::key(records::OWNER).expect("a key");
            store(there).await.blobs.delete(&owner).await.expect("deletes");
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::ReadOnly => "nothing moves to Aws: ",
            Self::NoRoom => "cannot yet: ",
            Self::Another => "belongs to the Shop with UID uid-2",
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_is_named_while_the_shop_sells_and_everything_moves_when_it_is_mended() {
    for refusal in [Refusal::ReadOnly, Refusal::NoRoom, Refusal::Another] {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let plan = calm();
        let running = start_between(here.path(), there.path(), &plan).await;
        running.ready().await;
        let shoppers = Shoppers::start(&running, 4).await;
        refusal.begin(here.path(), there.path(), &plan).await;
        switch(here.path(), 1, AWAY).await;
        let lacks = || running.worker.status().lacks;
        until("the store is named", || lacks().iter().any(|why| why.contains(refusal.words()))).await;
        assert!(lives_in(&running, BACK), "{refusal:?}: {:?}", running.worker.status());
        refusal.end(there.path(), &plan).await;
        until("all shards live in the other store", || lives_in(&running, AWAY)).await;
        until("nothing is in the way any more", || lacks().is_empty()).await;
        let orders = shoppers.end().await;
        assert_stored(there.path(), AWAY, &running, &orders).await;
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_when_everything_is_back_compares_it_with_the_store_that_was_left() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let first = start_between(here.path(), there.path(), &calm()).await;
    first.ready().await;
    create(&first.client()).await;
    switch(here.path(), 1, AWAY).await;
    until("all shards live in the other store", || lives_in(&first, AWAY)).await;
    switch(there.path(), 2, BACK).await;
    until("all shards are back", || lives_in(&first, BACK)).await;
    first.end().await;
    let second = start_between(here.path(), there.path(), &calm()).await;
    until("the next worker has them", || lives_in(&second, BACK)).await;
    second.worker.report_switch().await.expect("the store answers");
    let verification = second.worker.status().moved.and_then(|moved| moved.verification);
    assert_eq!(verification, Some(Verification { orders: 1, mismatches: 0, is_whole: true }));
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_a_part_of_the_orders() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let running = start_between(here.path(), there.path(), &calm()).await;
    running.ready().await;
    let client = running.client();
    futures::future::join_all((0..64).map(|_| create(&client))).await;
    let registry = Registry::new(store(here.path()).await.blobs).expect("a registry");
    let sampled = Switch { verify: Verify::Sample, ..Switch::new(1, AWAY) };
    registry.wish(sampled).await.expect("wishes");
    until("all shards live in the other store", || lives_in(&running, AWAY)).await;
    running.worker.report_switch().await.expect("the store answers");
    let found = running.worker.status().moved.and_then(|moved| moved.verification).expect("compared");
    assert!(found.orders < 32 && found.mismatches == 0 && found.is_whole, "{found:?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_left_and_cannot_be_read_does_not_keep_a_switch_from_ending() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plan = calm();
    let running = start_between(here.path(), there.path(), &plan).await;
    running.ready().await;
    create(&running.client()).await;
    let (worker, home) = (&running.worker, Arc::clone(&running.worker.home));
    switch(here.path(), 1, AWAY).await;
    until("all shards live in the other store", || lives_in(&running, AWAY)).await;
    switch(there.path(), 2, BACK).await;
    until("all shards are back", || lives_in(&running, BACK)).await;
    let reads = Rule::always(Operation::Get, Fault::Fail(ErrorKind::Unavailable));
    plan.add(Rule { prefix: "orders/".into(), ..reads });
    let patience = Duration::from_millis(100);
    worker.verify_shards(Switch::new(2, BACK), &home, patience).await.expect("the store answers");
    worker.report_switch().await.expect("the store answers");
    let verification = worker.status().moved.and_then(|moved| moved.verification).expect("told");
    assert_eq!(verification, Verification { orders: 0, mismatches: 0, is_whole: false });
    plan.clear();
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_amid_the_move_loses_nothing_and_the_next_ends_it() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let first = start_between(here.path(), there.path(), &calm()).await;
    first.ready().await;
    let shoppers = Shoppers::start(&first, 8).await;
    let answered = || first.worker.service.shards().iter().map(|shard| shard.answered()).sum::<u64>();
    until("everybody has bought something", || answered() >= 100).await;
    let orders = shoppers.end().await;
    switch(here.path(), 1, AWAY).await;
    let some_moved = || first.worker.service.leases().shards.values().any(|lease| lease.home == AWAY);
    until("the first shard has moved", some_moved).await;
    first.crash().await;
    let second = start_between(here.path(), there.path(), &calm()).await;
    until("the rest has moved as well", || lives_in(&second, AWAY)).await;
    second.worker.report_switch().await.expect("the store answers");
    assert_eq!(second.worker.status().moved.map(|moved| moved.number), Some(1));
    tokio::time::timeout(PATIENCE, second.worker.settings.readiness.ready()).await.expect("ready");
    assert_stored(there.path(), AWAY, &second, &orders).await;
    second.end().await;
}
