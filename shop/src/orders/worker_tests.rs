//! Whole workers on a store on disk: their internal API on loopback, asked by the real client.

use bytes::Bytes;
use storage_adapters::{
    ErrorKind,
    config::EmbeddedConfig,
    decorators::{Fault, FaultPlan, Operation, Rule},
};
use tokio::time::Instant;

use super::*;
use crate::{
    domain::{Command, Currency, Refusal, Request, Status, shard_of},
    orders::{
        OrderError,
        lease::Lease,
        protocol::{self, ReadMessage, Reply},
        test_workers::{
            PATIENCE, Shoppers, TOKEN, add, config, create, key, start, start_between, start_disturbed,
            start_gated_with_another, start_with, until,
        },
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_filled_submitted_and_confirmed_and_a_replay_repeats_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    let first = add("A-1", 2);
    let answer = client.execute(order, first.clone()).await.expect("adds");
    assert_eq!((answer.order.version, answer.order.total.amount, answer.replayed), (2, 500, false));
    let answer = client.execute(order, add("a-1", 3)).await.expect("adds");
    assert_eq!((answer.order.items.len(), answer.order.total.amount), (1, 1250));
    let again = client.execute(order, first.clone()).await.expect("repeats");
    assert_eq!((again.order.version, again.order.total.amount, again.replayed), (2, 500, true));
    let other = Request { command: Command::Submit, ..first };
    assert_eq!(client.execute(order, other).await, Err(OrderError::Refused(Refusal::KeyReused)));
    client.execute(order, Request::new(key(), Command::Submit)).await.expect("submits");
    let confirmed = async {
        while client.read(order).await.expect("reads").order.status != Status::Confirmed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, confirmed).await.expect("the shop confirms");
    let late = client.execute(order, add("B-2", 1)).await;
    assert_eq!(late, Err(OrderError::Refused(Refusal::OrderClosed)));
    assert!(running.end().await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_queues_of_other_stores_is_counted_apart_with_its_age() {
    let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plan = FaultPlan::new(1);
    let running = start_between(folder.path(), elsewhere.path(), &plan).await;
    running.ready().await;
    let counted = || running.worker.status().queue;
    until("they are counted", || counted().is_some_and(|queue| queue.elsewhere.contains_key(&Provider::Aws))).await;
    let before = counted().expect("a count").age_millis;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let queue = counted().expect("a count");
    assert_eq!(queue.depth, queue.elsewhere[&Provider::Aws], "nothing is in its own");
    assert!(queue.age_millis >= before + 20 || queue.age_millis < before, "it grows until it is counted anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_disk_are_at_home_before_its_queue_counts_as_empty() {
    let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let disk = EmbeddedConfig { path: elsewhere.path().join("store") };
    let disk = Store::open(&disk.into()).await.expect("a store");
    assert!(dead_letters::bury(&*disk.blobs, &Bytes::from_static(b"of no use to anybody"), "unreadable").await);
    let plan = FaultPlan::new(1);
    let (running, _gate) = start_gated_with_another(folder.path(), &plan, elsewhere.path(), Provider::Embedded).await;
    running.ready().await;
    let on_disk = || running.worker.status().queue.and_then(|queue| queue.elsewhere.get(&Provider::Embedded).copied());
    until("its queue is counted", || on_disk() == Some(0)).await;
    assert_eq!(dead_letters::count(&*running.worker.settings.store.blobs).await.expect("counts"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_order_is_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    running.ready().await;
    let client = running.client();
    let order = client.order_id(&key());
    assert_eq!(client.read(order).await, Err(OrderError::Refused(Refusal::OrderNotFound)));
    assert_eq!(client.execute(order, add("A-1", 1)).await, Err(OrderError::Refused(Refusal::OrderNotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_crash_and_each_shard_is_taken_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let first = start_with(config(folder.path()), Some(state.clone())).await;
    first.ready().await;
    let client = first.client();
    let mut orders = Vec::new();
    for number in 1..=20_u32 {
        let order = create(&client).await;
        client.execute(order, add("A-1", number)).await.expect("adds");
        orders.push((order, number));
    }
    drop(client);
    first.crash().await;
    let began = Instant::now();
    let second = start_with(config(folder.path()), Some(state)).await;
    second.ready().await;
    let epochs = second.worker.status().shards.iter().map(|shard| shard.epoch).max();
    assert_eq!(epochs, Some(2), "each shard was taken once");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    let client = second.client();
    for (order, number) in orders {
        let stored = client.read(order).await.expect("reads").order;
        assert_eq!(stored.items[0].quantity.get(), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_lease_says_that_it_lives_in_another_store_is_nobody_s_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    let registry = first.worker.home.registry.clone();
    first.end().await;
    let (leases, _) = registry.leases().await.expect("leases");
    let moved = Lease { home: Provider::Aws, ..leases.shards[&0].clone() };
    registry.swap(0, &leases.shards[&0], |_| moved.clone()).await.expect("written");
    let second = start(folder.path()).await;
    second.ready().await;
    assert_eq!(second.owns(), [1, 2, 3].into());
    second.end().await;
    assert_eq!(registry.leases().await.expect("leases").0.shards[&0], moved);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_shards_and_a_hand_over_fails_no_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    assert_eq!(first.owns().len(), 4);
    let client = first.client();
    let shoppers = Shoppers::start(&first, 8).await;
    let second = start(folder.path()).await;
    until("the shards are shared", || first.owns().len() == 2 && second.owns().len() == 2).await;
    first.end().await;
    until("the second has all", || second.owns().len() == 4).await;
    for (order, added) in shoppers.end().await {
        assert!(added > 0);
        let stored = client.read(order).await.expect("reads").order;
        assert_eq!(stored.items[0].quantity.get(), added, "each was applied once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_a_worker_that_gave_a_shard_away_is_told_who_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    let second = start(folder.path()).await;
    until("the shards are shared", || first.owns().len() == 2 && second.owns().len() == 2).await;
    let client = first.client();
    let (order, shard) = loop {
        let order = client.order_id(&key());
        let shard = shard_of(order, 4);
        if second.owns().contains(&shard) {
            break (order, shard);
        }
    };
    let question = ReadMessage { format: protocol::FORMAT, order, after: Vec::new(), patience_millis: 1_000 };
    let (transport, address) = (&first.worker.transport, &first.worker.settings.address);
    let asking = transport.post(address, protocol::READS_PATH, TOKEN, protocol::encode(&question));
    let reply = asking.await.expect("an answer").bytes().await.expect("a body");
    let Reply::NotOwner { lease: Some(lease) } = serde_json::from_slice(&reply).expect("a reply") else {
        panic!("{reply:?}");
    };
    assert_eq!(lease.holder.expect("a holder").boot_id, second.worker.boot_id);
    assert_eq!(Some(lease.epoch), second.worker.status().shards.iter().find(|s| s.shard == shard).map(|s| s.epoch));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_for_a_shard_on_the_move_and_no_longer_than_its_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    running.ready().await;
    let order = create(&running.client()).await;
    let service = &running.worker.service;
    let shard = service.serving(shard_of(order, 4)).expect("it is served");
    service.closing(Arc::clone(&shard));
    let client = running.impatient_client();
    let began = Instant::now();
    assert_eq!(client.execute(order, add("A-1", 1)).await, Err(OrderError::NotDone));
    assert!((900..1_100).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let client = running.client();
    let waiting = tokio::spawn(async move { client.execute(order, add("A-1", 1)).await });
    until("the question has come", || service.waiting() == 1).await;
    service.serve(shard);
    assert_eq!(waiting.await.expect("no panic").expect("adds").order.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_a_worker_that_died_are_taken_over_in_ten_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    let client = first.client();
    let order = create(&client).await;
    client.execute(order, add("A-1", 7)).await.expect("adds");
    let second = start(folder.path()).await;
    until("the shards are shared", || first.owns().len() == 2 && second.owns().len() == 2).await;
    first.crash().await;
    let began = Instant::now();
    until("the second has all", || second.owns().len() == 4).await;
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert_eq!(client.read(order).await.expect("reads").order.items[0].quantity.get(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_repeated_around_a_crash_gives_the_same_order_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let first = start_with(config(folder.path()), Some(state.clone())).await;
    first.ready().await;
    let client = first.client();
    let create = Request::new(key(), Command::Create { currency: Currency::EUR });
    let order = client.order_id(&create.key);
    let before = client.execute(order, create.clone()).await.expect("creates");
    client.execute(order, add("A-1", 1)).await.expect("adds");
    first.crash().await;
    let second = start_with(config(folder.path()), Some(state)).await;
    second.ready().await;
    let after = second.client().execute(order, create).await.expect("repeats");
    assert!(after.replayed);
    assert_eq!(after.order, before.order);
    assert_eq!(second.client().read(order).await.expect("reads").order.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_store_is_never_an_empty_shop() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(folder.path());
    config.shop.initialise = false;
    let running = start_with(config, None).await;
    let readiness = running.worker.settings.readiness.clone();
    until("it says that the store is empty", || {
        readiness.waiting().iter().any(|waiting| waiting.reason == WaitingReason::StoreEmpty)
    })
    .await;
    assert!(running.owns().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_shop_is_taken_only_when_told_to_and_when_nobody_lives_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    let order = create(&first.client()).await;
    first.end().await;
    let mut other = config(folder.path());
    other.shop.uid = "uid-2".into();
    let refused = start_with(other.clone(), None).await;
    let readiness = refused.worker.settings.readiness.clone();
    until("it says whose the store is", || {
        readiness
            .waiting()
            .iter()
            .any(|waiting| waiting.reason == WaitingReason::StoreBelongsToAnother && waiting.message.contains("uid-1"))
    })
    .await;
    drop(refused);
    other.shop.adopt_existing = true;
    let adopted = start_with(other, None).await;
    adopted.ready().await;
    assert_eq!(adopted.client().read(order).await.expect("reads").order.id, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_database_is_named_and_never_created_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    first.ready().await;
    first.end().await;
    let blobs = Store::open(&config(folder.path()).storage).await.expect("a store").blobs;
    for blob in super::super::blobs::list(&*blobs, "orders/2/", 1000).await.expect("lists") {
        blobs.delete(&blob.key).await.expect("deletes");
    }
    let second = start(folder.path()).await;
    let readiness = second.worker.settings.readiness.clone();
    until("it says which database is missing", || {
        readiness.waiting().iter().any(|waiting| waiting.message.contains("does not hold the database of shard 2"))
    })
    .await;
    assert!(!second.owns().contains(&2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_the_token_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    let address = &running.worker.settings.address;
    let status = format!("http://{address}{}", shop_contract::status::STATUS_PATH);
    let http = reqwest::Client::new();
    let refused = http.get(&status).bearer_auth("another token").send().await.expect("an answer");
    assert_eq!(refused.status(), 401);
    let answer = http.get(&status).bearer_auth(TOKEN).send().await.expect("an answer");
    let status: PodStatus = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a status");
    assert_eq!(status.boot_id, running.worker.boot_id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_commands_with_the_reason_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = FaultPlan::new(1);
    let running = start_disturbed(folder.path(), &plan, None).await;
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    let client = running.impatient_client();
    let (mut acknowledged, mut refused, mut unknown) = (0, 0, 0);
    plan.add(Rule::always(Operation::Put, Fault::Fail(ErrorKind::Full)));
    let began = Instant::now();
    // Longer than any lease lasts, so that the databases are lost and opened anew as well.
    while began.elapsed() < Duration::from_secs(10) {
        match client.execute(order, add("A-1", 1)).await {
            Err(OrderError::DiskFull) => refused += 1,
            // The database holds it, and may yet write it.
            Err(OrderError::OutcomeUnknown { .. }) => unknown += 1,
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused > 0);
    plan.clear();
    let going_on = async {
        while acknowledged < 5 {
            match client.execute(order, add("B-1", 1)).await {
                Ok(_) => acknowledged += 1,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, going_on).await.expect("it goes on by itself");
    let stored = running.client().read(order).await.expect("reads").order;
    let line =
        |sku: &str| stored.items.iter().find(|line| line.sku.as_str() == sku).map_or(0, |line| line.quantity.get());
    assert!(line("B-1") >= acknowledged && line("A-1") <= unknown, "{stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_lost_on_leases_and_logs_cost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = FaultPlan::new(7);
    let lose = |prefix: &str| Rule {
        prefix: prefix.into(),
        probability: 0.3,
        ..Rule::always(Operation::Put, Fault::LoseReply(ErrorKind::Unknown))
    };
    plan.add(lose("leases"));
    plan.add(lose("orders/"));
    let running = start_disturbed(folder.path(), &plan, None).await;
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    for _ in 0..20 {
        client.execute(order, add("A-1", 1)).await.expect("adds");
    }
    assert_eq!(client.read(order).await.expect("reads").order.items[0].quantity.get(), 20);
}

#[test]
fn commands_are_gathered_longer_the_more_shards_there_are_but_not_for_long() {
    let of = |provider, shards| WorkerSettings::flush_interval_of(provider, shards).as_millis();
    for (shards, disk, cloud) in [(1, 20, 50), (2, 40, 100), (4, 80, 200), (6, 100, 200), (64, 100, 200)] {
        assert_eq!(of(Provider::Embedded, shards), disk, "{shards}");
        assert_eq!((of(Provider::Aws, shards), of(Provider::Azure, shards)), (cloud, cloud), "{shards}");
    }
}
