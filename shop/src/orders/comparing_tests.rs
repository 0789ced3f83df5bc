use std::path::Path;

use jiff::Timestamp;
use slatedb::{Db, WriteBatch};
use storage_adapters::{
    Store,
    config::{EmbeddedConfig, StorageConfig},
};

use super::{
    super::{
        clock::MachineClock,
        object_store_bridge::{Gate, ObjectStoreBridge},
        rows::{self, OutboxRow},
        verify::tests::{order_id, secret, stored, stored_as},
    },
    *,
};
use crate::domain::{
    Asked, Command, CommandRecord, IdempotencyKey, OrderId, Outcome, Quantity, Refusal, RejectedLine, Request, Status,
};

/// The same order once the shop has confirmed it.
fn later() -> Stored {
    let mut later = stored();
    let (order, confirm) = (later.order.as_mut().expect("an order"), IdempotencyKey::of_shop("confirm"));
    (order.status, order.version) = (Status::Confirmed, order.version + 1);
    let request = Request::new(confirm.clone(), Command::Confirm);
    let record = CommandRecord {
        fingerprint: request.fingerprint(order_id()),
        asked: Asked::Confirm,
        outcome: Outcome::Applied { version: order.version },
    };
    later.commands.insert(confirm.as_str().to_owned(), record);
    later.in_outbox = false;
    later
}

fn late_line() -> RejectedLine {
    RejectedLine {
        key: IdempotencyKey::for_order("late").expect("a key"),
        sku: "A-1".parse().expect("a SKU"),
        quantity: Quantity::try_from(1).expect("a quantity"),
        reason: Refusal::OrderClosed,
    }
}

fn with_late_line() -> Stored {
    let mut late = stored();
    let order = late.order.as_mut().expect("an order");
    order.rejected_items.push(late_line());
    order.updated_at = Timestamp::MAX;
    late
}

#[test]
fn an_order_that_is_as_it_was_or_went_on_from_there_has_lost_nothing() {
    for now in [stored(), later(), with_late_line()] {
        assert_eq!(difference(&stored(), Some(&now)), None, "{now:?}");
    }
}

#[test]
fn what_an_order_has_lost_is_told() {
    let without_command = |key: &str| {
        let mut now = stored();
        now.commands.remove(key);
        now
    };
    let mut other_total = stored();
    other_total.order.as_mut().expect("an order").items[0].name = "Another lamp".into();
    let mut without_outbox = stored();
    without_outbox.in_outbox = false;
    let mut without_order = stored();
    without_order.order = None;
    let mut earlier = later();
    earlier.order.clone_from(&stored().order);
    let cases = [
        (stored(), None, "is missing"),
        (stored(), Some(without_command("a")), "does not have its command a as it was"),
        (later(), Some(stored()), "does not have its command"),
        (later(), Some(earlier), "has version 3 and had 4"),
        (stored(), Some(other_total), "differs in version 3"),
        (with_late_line(), Some(stored()), "does not have the late line of the command late"),
        (stored(), Some(without_outbox), "is damaged: it is Submitted and is not in the outbox"),
        (stored(), Some(without_order), "is damaged: its commands are stored and it is not"),
    ];
    for (before, now, words) in cases {
        let difference = difference(&before, now.as_ref()).expect("a difference");
        assert!(difference.starts_with(words), "{difference:?} is not {words:?}");
    }
}

#[test]
fn what_was_wrong_before_is_no_loss() {
    let mut damaged = stored();
    damaged.in_outbox = false;
    assert_eq!(difference(&damaged, Some(&damaged)), None);
}

/// A database of these orders.
async fn database(folder: &Path, path: &str, orders: &[Stored]) -> Place {
    let storage = StorageConfig::from(EmbeddedConfig { path: folder.join("store") });
    let place = Place { blobs: Store::open(&storage).await.expect("a store").blobs, path: path.to_owned() };
    let gate = Arc::new(Gate::new(Arc::new(MachineClock), true));
    let db = Db::open(path, Arc::new(ObjectStoreBridge::new(Arc::clone(&place.blobs), gate))).await.expect("opens");
    let mut rows = WriteBatch::new();
    for stored in orders {
        let name = rows::order_name(stored.id);
        rows.put(&name, rows::encode(&name, &stored.order).expect("encodes"));
        for (key, record) in &stored.commands {
            let name = rows::command_name(stored.id, &IdempotencyKey::try_from(key.clone()).expect("a key"));
            rows.put(&name, rows::encode(&name, record).expect("encodes"));
        }
        let name = rows::outbox_name(stored.id);
        let outbox = OutboxRow { submitted_at: Timestamp::UNIX_EPOCH };
        rows.put(&name, rows::encode(&name, &outbox).expect("encodes"));
    }
    db.write(rows).await.expect("writes");
    db.close().await.expect("closes");
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_a_database_is_compared_and_what_the_other_lacks_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = |number| IdempotencyKey::from_uuid(uuid::Uuid::from_u128(number));
    let orders: Vec<Stored> = (0..200).map(|n| stored_as(OrderId::derive(&secret(), &key(n)))).collect();
    let before = database(folder.path(), "orders/0/1", &orders).await;
    let mut others = orders;
    let missing = others.remove(120).id;
    others[7].commands.remove("a");
    let (short, newer) = (others[7].id, stored_as(OrderId::derive(&secret(), &key(1000))));
    others.push(newer);
    let now = database(folder.path(), "orders/0/2", &others).await;
    let comparison = Comparison::open(&before, &now, &Arc::default()).await.expect("opens");
    let (mut compared, mut fewest) = (Compared::default(), u64::MAX);
    for part in Part::all() {
        let found = comparison.compare(part).await.expect("reads");
        fewest = fewest.min(found.orders);
        compared.add(found);
    }
    assert_eq!((compared.orders, compared.mismatches), (200, 2));
    assert!(fewest > 0, "a part is a sample");
    let mut named = vec![
        format!("the order {missing} is missing"),
        format!("the order {short} does not have its command a as it was"),
    ];
    named.sort_unstable();
    assert_eq!(compared.named, named, "by their ids");
}
