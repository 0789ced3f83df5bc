//! What a worker must never get wrong, and that each test of it fails when the worker does: run a second time with the
//! mistake planted, where tests are compiled to.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use storage_adapters::{
    ErrorKind, Store,
    config::Provider,
    decorators::{Fault, FaultPlan, Operation, Rule},
};
use tokio::time::Instant;

use super::{
    OrderError, StoredOrders,
    answer::Answer,
    clock::MachineClock,
    lease::Lease,
    memory::Memory,
    opening::{OpenShardError, Opening},
    planted::Bug,
    recent::RecentOrders,
    switching_tests::{AWAY, BACK, files, leases, lives_in, switch},
    test_workers::{
        PATIENCE, Shoppers, add, config, create, key, plant, start_between, start_disturbed, start_with, until,
    },
};
use crate::domain::{Command, Refusal, Request};

/// Answers of commands, reads and replays while nothing can be flushed, then the end of the process: what was
/// acknowledged and is not there afterwards.
async fn acknowledged_and_lost(bug: Option<Bug>) -> Vec<&'static str> {
    let folder = tempfile::tempdir().expect("a folder");
    let (plan, state) = (FaultPlan::new(1), folder.path().join("state"));
    let first = start_disturbed(folder.path(), &plan, Some(state.clone())).await;
    plant(&first, bug);
    first.ready().await;
    let client = first.client();
    let order = create(&client).await;
    let client = first.impatient_client();
    plan.add(Rule { prefix: "orders/".into(), ..Rule::always(Operation::Put, Fault::Hang) });
    let request = add("A-1", 1);
    let added = client.execute(order, request.clone()).await;
    let replayed = client.execute(order, request).await;
    let read = client.read(order).await;
    first.crash().await;
    plan.clear();
    let second = start_with(config(folder.path()), Some(state)).await;
    second.ready().await;
    let stored = match second.client().read(order).await {
        Ok(answer) => answer.order.version,
        // With the mistake even the create may have been answered and lost.
        Err(OrderError::Refused(Refusal::OrderNotFound)) => 0,
        Err(error) => panic!("{error}"),
    };
    let shown = |answer: Result<Answer, OrderError>| answer.is_ok_and(|answer| answer.order.version > stored);
    let answers = [("an add", added), ("its replay", replayed), ("a read", read)];
    answers.into_iter().filter_map(|(name, answer)| shown(answer).then_some(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_never_precedes_its_flush_also_of_a_read_and_a_replay() {
    let lost = acknowledged_and_lost(None).await;
    assert!(lost.is_empty(), "{lost:?}");
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_answer_before_the_flush_is_caught() {
    assert_eq!(acknowledged_and_lost(Some(Bug::AnswerBeforeFlush)).await, ["an add", "its replay", "a read"]);
}

/// The pieces of a product on an order after one add that was sent twice.
async fn pieces_of_an_add_sent_twice(bug: Option<Bug>) -> u32 {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start_with(config(folder.path()), None).await;
    plant(&running, bug);
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    let request = add("A-1", 3);
    for _ in 0..2 {
        client.execute(order, request.clone()).await.expect("adds");
    }
    client.read(order).await.expect("reads").order.items[0].quantity.get()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_sent_twice_takes_effect_once() {
    assert_eq!(pieces_of_an_add_sent_twice(None).await, 3);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_loss_of_what_was_decided_is_caught() {
    assert_ne!(pieces_of_an_add_sent_twice(Some(Bug::ForgetCommand)).await, 3);
}

/// Whether a term that has lapsed holds again when the reply of a heartbeat of it comes at last.
async fn a_late_reply_revives(bug: Option<Bug>) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = FaultPlan::new(1);
    let running = start_disturbed(folder.path(), &plan, None).await;
    plant(&running, bug);
    running.ready().await;
    let term = running.worker.home.term();
    assert!(term.holds());
    // Heartbeats last six seconds and are sent every two: these fail until the newest that was confirmed is three to five
    // seconds old, and the next one, which starts within half a second, is answered too late.
    let (failing, late) = (Duration::from_secs(3), Duration::from_millis(3_500));
    let heartbeats = |fault| Rule { prefix: "heartbeats/".into(), ..Rule::always(Operation::Put, fault) };
    plan.add(heartbeats(Fault::Fail(ErrorKind::Unavailable)));
    tokio::time::sleep(failing).await;
    plan.clear();
    plan.add(heartbeats(Fault::Delay(late)));
    until("the term lapses", || !term.holds()).await;
    let end = Instant::now() + late;
    while Instant::now() < end {
        if term.holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_whose_reply_comes_after_the_lapse_revives_nothing() {
    assert!(!a_late_reply_revives(None).await);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_revival_by_a_late_reply_is_caught() {
    assert!(a_late_reply_revives(Some(Bug::ReviveByReply)).await);
}

/// The opening of a shard in this epoch.
fn opening(store: &Store, epoch: u64, new: bool, bug: Option<Bug>) -> Opening {
    #[cfg(not(feature = "planted-bugs"))]
    assert_eq!(bug, None, "no mistake is compiled");
    let home = Provider::Embedded;
    Opening {
        blobs: Arc::clone(&store.blobs),
        shard: 0,
        lease: Lease { home, epoch, generation: 1, new, holder: None, closed_in: None, clock_floor: 0 },
        clock: Arc::new(MachineClock),
        steady: Arc::new(MachineClock),
        memory: Memory::of_stranger(Arc::<RecentOrders>::default().of_opening()),
        flush_interval: Duration::from_millis(20),
        failures: 0,
        #[cfg(feature = "planted-bugs")]
        bug,
    }
}

/// What comes of opening a database that the next owner has opened between our look at it and our opening.
async fn opening_after_the_next_owner(bug: Option<Bug>) -> Result<(), OpenShardError> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&config(folder.path()).storage).await.expect("a store");
    let opening = |epoch, new| opening(&store, epoch, new, bug);
    opening(1, true).open(|| async { true }).await.expect("the first owner opens").db.close().await.expect("closes");
    let (slow, next) = (opening(2, false), opening(3, false));
    // It has looked, and is about to open.
    let still_mine = || async {
        next.open(|| async { true }).await.expect("the next owner opens");
        true
    };
    slow.open(still_mine).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_the_next_owner_has_opened_is_not_opened() {
    let opened = opening_after_the_next_owner(None).await;
    assert!(matches!(opened, Err(OpenShardError::Lost)), "{opened:?}");
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_opening_without_the_expected_epoch_is_caught() {
    assert!(opening_after_the_next_owner(Some(Bug::OpenWithoutEpoch)).await.is_ok());
}

/// What comes of opening a database whose lease another worker, or another store, got before it was opened.
async fn opening_without_the_lease(bug: Option<Bug>) -> Result<(), OpenShardError> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&config(folder.path()).storage).await.expect("a store");
    let first = opening(&store, 1, true, None).open(|| async { true }).await.expect("the first owner opens");
    first.db.close().await.expect("closes");
    opening(&store, 2, false, bug).open(|| async { false }).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_lease_was_lost_before_it_was_opened_is_not_opened() {
    let opened = opening_without_the_lease(None).await;
    assert!(matches!(opened, Err(OpenShardError::Lost)), "{opened:?}");
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_opening_without_the_lease_is_caught() {
    assert!(opening_without_the_lease(Some(Bug::OpenLost)).await.is_ok());
}

/// The pieces on an order to which one was added at home, and one while it lived in another store, once it is back.
async fn pieces_after_there_and_back(bug: Option<Bug>) -> u32 {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let calm = FaultPlan::new(1);
    let first = start_between(here.path(), there.path(), &calm).await;
    plant(&first, bug);
    first.ready().await;
    let client = first.client();
    let order = create(&client).await;
    client.execute(order, add("A-1", 1)).await.expect("adds");
    switch(here.path(), 1, AWAY).await;
    until("all shards live in the other store", || lives_in(&first, AWAY)).await;
    client.execute(order, add("A-1", 1)).await.expect("adds");
    switch(there.path(), 2, BACK).await;
    until("all shards are back", || lives_in(&first, BACK)).await;
    first.end().await;
    // One that remembers nothing.
    let second = start_between(here.path(), there.path(), &calm).await;
    plant(&second, bug);
    until("the next worker has them", || lives_in(&second, BACK)).await;
    second.client().read(order).await.expect("reads").order.items[0].quantity.get()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_in_another_store_is_there_after_the_way_back() {
    assert_eq!(pieces_after_there_and_back(None).await, 2);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_opening_of_an_old_generation_is_caught() {
    assert_ne!(pieces_after_there_and_back(Some(Bug::OpenOldGeneration)).await, 2);
}

/// Whether the copy of each shard had all files when it was left to the other store.
async fn are_copied_when_they_are_left(bug: Option<Bug>) -> bool {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plan = FaultPlan::new(1);
    let running = start_between(here.path(), there.path(), &plan).await;
    plant(&running, bug);
    running.ready().await;
    let shoppers = Shoppers::start(&running, 4).await;
    let copies = Rule::always(Operation::Put, Fault::Delay(Duration::from_millis(20)));
    plan.add(Rule { prefix: "orders/".into(), ..copies });
    switch(here.path(), 1, AWAY).await;
    let (mut left, mut are_whole) = (BTreeSet::new(), true);
    let watching = async {
        while left.len() < 4 {
            for (shard, lease) in leases(here.path()).await.shards {
                if lease.home == AWAY && left.insert(shard) {
                    let there = files(there.path(), shard, 2).await;
                    are_whole &= files(here.path(), shard, 1).await.is_subset(&there);
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, watching).await.expect("all shards move");
    shoppers.end().await;
    running.end().await;
    are_whole
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_is_left_to_another_store_only_when_its_copy_there_is_whole() {
    assert!(are_copied_when_they_are_left(None).await);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_tombstone_before_the_copy_is_whole_is_caught() {
    assert!(!are_copied_when_they_are_left(Some(Bug::TombstoneFirst)).await);
}

/// Whether an order whose hint was sent, and was not acted on yet, waits in the store for the shop.
async fn waits_after_its_hint(bug: Option<Bug>) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = FaultPlan::new(1);
    plan.add(Rule::always(Operation::Receive, Fault::Hang));
    let running = start_disturbed(folder.path(), &plan, None).await;
    plant(&running, bug);
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    client.execute(order, add("A-1", 1)).await.expect("adds");
    client.execute(order, Request::new(key(), Command::Submit)).await.expect("submits");
    let store = &running.worker.settings.store;
    let sent = async {
        while store.queue.depth().await.expect("counts").waiting == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sent).await.expect("the hint is sent");
    // Long enough for whoever would take it away.
    for _ in 0..20 {
        let stored = StoredOrders::find(Arc::clone(&store.blobs), Provider::Embedded).await.expect("a store");
        if !stored.verify(None).await.expect("verifies").is_clean() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_order_waits_until_the_shop_has_looked_at_it_and_not_until_its_hint_is_sent() {
    assert!(waits_after_its_hint(None).await);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_loss_of_the_outbox_is_caught() {
    assert!(!waits_after_its_hint(Some(Bug::ForgetOnceSent)).await);
}
