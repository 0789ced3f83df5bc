//! Accepted commands on the shards of a whole worker, brought there by the client that its inbox uses.

use std::{path::Path, time::Duration};

use jiff::{SignedDuration, ToSpan};
use storage_adapters::config::Provider;

use super::*;
use crate::{
    domain::{Currency, IdempotencyKey, Quantity},
    orders::{
        OrderClient, StoredOrders,
        planted::Bug,
        test_workers::{PATIENCE, Running, add, config, create, key, plant, start_with},
    },
};

async fn start(folder: &Path) -> Running {
    let running = start_with(config(folder), Some(folder.join("state"))).await;
    running.ready().await;
    running
}

fn accepted(order: OrderId, request: Request, after: &[&IdempotencyKey]) -> QueuedCommand {
    let after = after.iter().map(|key| (*key).clone()).collect();
    QueuedCommand { order, request: Request { after, accepted_at: Some(Timestamp::now()), ..request } }
}

async fn deliver(client: &OrderClient, commands: &[QueuedCommand]) -> Vec<DeadCommand> {
    let shard = crate::domain::shard_of(commands[0].order, client.shards());
    client.deliver(shard, commands, Instant::now() + PATIENCE).await.expect("delivers")
}

fn set(pieces: u32) -> Request {
    let quantity = Quantity::try_from(pieces).expect("a quantity");
    Request::new(key(), Command::SetQuantity { sku: "A-1".parse().expect("a SKU"), quantity })
}

/// The pieces of a product on an order whose commands arrive from last to first: an add, then two that set its quantity.
async fn pieces_when_commands_arrive_backwards(bug: Option<Bug>) -> u32 {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start_with(config(folder.path()), None).await;
    plant(&running, bug);
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    let (first, second, third) = (add("A-1", 1), set(5), set(7));
    let keys = [first.key.clone(), second.key.clone()];
    for command in [
        accepted(order, third, &[&keys[0], &keys[1]]),
        accepted(order, second, &[&keys[0]]),
        accepted(order, first, &[]),
    ] {
        assert_eq!(deliver(&client, &[command]).await, []);
    }
    let lines = client.read(order).await.expect("reads").order.items;
    lines.first().map_or(0, |line| line.quantity.get())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_a_command_shows_what_that_made_of_the_order_also_when_it_is_applied_just_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    let client = running.client();
    let order = create(&client).await;
    client.execute(order, add("A-1", 1)).await.expect("adds");
    let shard = running.worker.service.serving(crate::domain::shard_of(order, 4)).expect("it is served");
    let deadline = Instant::now() + PATIENCE;
    for pieces in 1..=200 {
        let command = set(pieces);
        let after = [command.key.clone()];
        let (shard, reader) = (Arc::clone(&shard), Arc::clone(&shard));
        let applying = tokio::spawn(async move { shard.execute(order, command, deadline).await });
        let read = loop {
            match reader.read(order, &after, deadline).await {
                Ok(answer) => break answer.order,
                Err(ShardError::Behind) => tokio::task::yield_now().await,
                Err(error) => panic!("{error:?}"),
            }
        };
        assert_eq!(read.items[0].quantity.get(), pieces);
        applying.await.expect("no panic").expect("applied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_that_arrive_together_wait_for_their_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    let client = running.client();
    let order = create(&client).await;
    // Many times those that are under way at once.
    let packs: Vec<_> = (0..32).map(|_| [accepted(order, add("A-1", 1), &[])]).collect();
    let delivered = futures::future::join_all(packs.iter().map(|pack| deliver(&client, pack))).await;
    assert!(delivered.iter().all(Vec::is_empty));
    let items = client.read(order).await.expect("reads").order.items;
    assert_eq!(items[0].quantity.get(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_arrive_backwards_are_applied_in_their_order() {
    assert_eq!(pieces_when_commands_arrive_backwards(None).await, 7);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_command_before_its_after_is_caught() {
    assert_ne!(pieces_when_commands_arrive_backwards(Some(Bug::ApplyBeforeAfter)).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_commands_survive_a_crash_and_wait_for_the_create_of_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    let client = running.client();
    let create = Request::new(key(), Command::Create { currency: Currency::EUR });
    let order = client.order_id(&create.key);
    let first = accepted(order, add("A-1", 2), &[]);
    let second = accepted(order, set(9), &[&first.request.key]);
    for _ in 0..2 {
        assert_eq!(deliver(&client, &[second.clone(), first.clone()]).await, []);
    }
    drop(client);
    running.crash().await;
    let running = start(folder.path()).await;
    let stored =
        StoredOrders::find(running.worker.settings.store.blobs.clone(), Provider::Embedded).await.expect("a store");
    assert!(stored.verify(None).await.expect("verifies").is_clean(), "parked commands alone are no fault");
    let client = running.client();
    let answer = client.execute(order, create).await.expect("creates");
    assert_eq!((answer.order.version, answer.order.items.len()), (1, 0), "its own answer");
    let applied = async {
        loop {
            let now = client.read(order).await.expect("reads").order;
            if now.version == 3 {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let now = tokio::time::timeout(PATIENCE, applied).await.expect("they are found and applied");
    assert_eq!(now.items[0].quantity.get(), 9);
    assert!(stored.verify(None).await.expect("verifies").is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_command_and_a_read_are_told_that_they_are_ahead() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    let client = running.client();
    let order = create(&client).await;
    let shard = running.worker.service.serving(crate::domain::shard_of(order, 4)).expect("it is served");
    let first = add("A-1", 1);
    let after = vec![first.key.clone()];
    let ahead = Request { after: after.clone(), ..add("A-1", 1) };
    let deadline = || Instant::now() + PATIENCE;
    assert_eq!(shard.execute(order, ahead.clone(), deadline()).await, Err(ShardError::Behind));
    assert_eq!(shard.read(order, &after, deadline()).await, Err(ShardError::Behind));
    shard.execute(order, first, deadline()).await.expect("adds");
    shard.execute(order, ahead, deadline()).await.expect("it is its turn");
    shard.read(order, &after, deadline()).await.expect("reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_longer_than_any_queue_keeps_is_given_up_with_its_reason_or_as_a_dead_letter() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    let client = running.client();
    let order = create(&client).await;
    let never_made = client.order_id(&key());
    let lost = key();
    let old = |command: QueuedCommand| {
        let accepted_at = Some(Timestamp::now() - 15 * 24.hours());
        QueuedCommand { request: Request { accepted_at, ..command.request }, ..command }
    };
    let orphan = old(accepted(order, add("A-1", 4), &[&lost]));
    let follower = accepted(order, add("B-2", 1), &[&orphan.request.key]);
    let dead = old(accepted(never_made, add("C-3", 1), &[]));
    for command in [&orphan, &follower, &dead] {
        assert_eq!(deliver(&client, &[(*command).clone()]).await, []);
    }
    let settled = async {
        loop {
            let now = client.read(order).await.expect("reads").order;
            let letters =
                crate::orders::dead_letters::count(&*running.worker.settings.store.blobs).await.expect("counts");
            if now.rejected_items.len() == 1 && now.items.len() == 1 && letters == 1 {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let now = tokio::time::timeout(PATIENCE, settled).await.expect("they are given up");
    assert_eq!((now.rejected_items[0].sku.as_str(), now.rejected_items[0].reason), ("A-1", Refusal::Orphaned));
    assert_eq!(now.items[0].sku.as_str(), "B-2", "what came after it went on");
    assert!(now.updated_at.duration_since(now.created_at) >= SignedDuration::ZERO);
}
