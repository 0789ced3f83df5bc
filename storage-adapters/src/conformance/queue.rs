//! Sentences about the queue. Does I/O through the port.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::{assert_kind, pattern};
use crate::{
    error::ErrorKind,
    queue::{Depth, MAX_LEASE, MAX_PACK_BYTES, MAX_RECEIVE, MAX_WAIT, Message, Queue, Receipt},
};

const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_mins(1);

/// Longer than a short lease and the time in which an ended one is noticed.
const PATIENCE: Duration = Duration::from_secs(10);

type Subject = Arc<dyn Queue>;

async fn send(queue: &Subject, pack: impl Into<Bytes>) {
    queue.send(pack.into()).await.expect("send");
}

/// The one message that is delivered within the time that an ended lease needs.
async fn receive_one(queue: &Subject, lease: Duration) -> Message {
    let mut messages = queue.receive(1, lease, PATIENCE).await.expect("receive");
    assert_eq!(messages.len(), 1, "one message is delivered");
    messages.remove(0)
}

async fn assert_empty(queue: &Subject) {
    assert_eq!(queue.receive(MAX_RECEIVE, SHORT, Duration::ZERO).await.expect("receive"), []);
}

pub async fn a_sent_pack_is_delivered(queue: Subject) {
    send(&queue, "pack").await;
    let message = receive_one(&queue, LONG).await;
    assert_eq!((message.body, message.deliveries), ("pack".into(), 1));
}

pub async fn a_pack_of_the_largest_size_is_delivered_unchanged(queue: Subject) {
    let pack = pattern(MAX_PACK_BYTES);
    send(&queue, pack.clone()).await;
    assert!(receive_one(&queue, LONG).await.body == pack);
}

pub async fn a_pack_of_any_byte_is_delivered_unchanged(queue: Subject) {
    let packs: Vec<Bytes> = (0..=255).map(|byte| Bytes::from(vec![byte])).collect();
    join_all(packs.iter().map(|pack| send(&queue, pack.clone()))).await;
    let mut received = Vec::new();
    while received.len() < packs.len() {
        let messages = queue.receive(MAX_RECEIVE, LONG, PATIENCE).await.expect("receive");
        assert!(!messages.is_empty(), "every message is delivered");
        received.extend(messages.into_iter().map(|message| message.body));
    }
    received.sort();
    assert_eq!(received, packs);
}

pub async fn an_empty_pack_is_invalid_input(queue: Subject) {
    assert_kind(queue.send(Bytes::new()).await, ErrorKind::InvalidInput);
    assert_empty(&queue).await;
}

pub async fn a_pack_over_the_limit_is_too_large(queue: Subject) {
    assert_kind(queue.send(pattern(MAX_PACK_BYTES + 1)).await, ErrorKind::TooLarge);
    assert_empty(&queue).await;
}

pub async fn every_message_is_delivered_once_while_its_lease_holds(queue: Subject) {
    const MESSAGES: usize = 200;
    join_all((0..MESSAGES).map(|number| send(&queue, number.to_string()))).await;
    let receive = || async {
        let mut bodies = Vec::new();
        loop {
            let messages = queue.receive(MAX_RECEIVE, LONG, SHORT).await.expect("receive");
            if messages.is_empty() {
                return bodies;
            }
            bodies.extend(messages.into_iter().map(|message| message.body));
        }
    };
    let mut counts = BTreeMap::new();
    for body in join_all((0..4).map(|_| receive())).await.into_iter().flatten() {
        *counts.entry(body).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), MESSAGES, "every message is delivered");
    assert!(counts.values().all(|count| *count == 1), "no leased message is delivered twice");
}

pub async fn a_receive_returns_at_most_as_many_as_it_asks_for(queue: Subject) {
    for number in 0..5 {
        send(&queue, number.to_string()).await;
    }
    assert!(queue.receive(2, LONG, PATIENCE).await.expect("receive").len() <= 2);
}

pub async fn a_receive_out_of_bounds_is_invalid_input(queue: Subject) {
    let refused = [
        (0, SHORT, Duration::ZERO),
        (MAX_RECEIVE + 1, SHORT, Duration::ZERO),
        (1, Duration::ZERO, Duration::ZERO),
        (1, Duration::from_millis(999), Duration::ZERO),
        (1, Duration::from_millis(1_500), Duration::ZERO),
        (1, MAX_LEASE + SHORT, Duration::ZERO),
        (1, SHORT, MAX_WAIT + Duration::from_millis(1)),
    ];
    for (max, lease, wait) in refused {
        assert_kind(queue.receive(max, lease, wait).await, ErrorKind::InvalidInput);
    }
}

pub async fn the_bounds_of_a_receive_are_allowed(queue: Subject) {
    send(&queue, "pack").await;
    assert_eq!(queue.receive(MAX_RECEIVE, MAX_LEASE, MAX_WAIT).await.expect("receive").len(), 1);
}

pub async fn a_receive_of_an_empty_queue_waits_and_returns_nothing(queue: Subject) {
    let begun = Instant::now();
    assert_eq!(queue.receive(1, SHORT, SHORT).await.expect("receive"), []);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(900) && waited < PATIENCE, "waited {waited:?}");
}

pub async fn a_waiting_receive_returns_when_a_message_is_sent(queue: Subject) {
    let begun = Instant::now();
    let send_later = async {
        sleep(Duration::from_millis(300)).await;
        send(&queue, "pack").await;
    };
    let (received, ()) = futures::join!(queue.receive(1, LONG, MAX_WAIT), send_later);
    assert_eq!(received.expect("receive").len(), 1);
    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
}

pub async fn a_leased_message_is_delivered_to_nobody_else(queue: Subject) {
    send(&queue, "pack").await;
    let message = receive_one(&queue, LONG).await;
    assert_eq!(queue.receive(MAX_RECEIVE, SHORT, SHORT).await.expect("receive"), []);
    queue.ack(&message.receipt).await.expect("ack");
}

pub async fn a_message_is_delivered_again_when_its_lease_ends(queue: Subject) {
    send(&queue, "pack").await;
    let first = receive_one(&queue, SHORT).await;
    let second = receive_one(&queue, LONG).await;
    assert_eq!(second.body, first.body);
    assert_ne!(second.receipt, first.receipt);
    assert!(second.deliveries > first.deliveries, "deliveries are counted");
}

pub async fn an_extended_lease_keeps_the_message(queue: Subject) {
    send(&queue, "pack").await;
    let message = receive_one(&queue, SHORT).await;
    queue.extend(&message.receipt, LONG).await.expect("extend");
    assert_eq!(queue.receive(1, SHORT, SHORT * 2).await.expect("receive"), []);
}

pub async fn an_extension_may_shorten_the_lease(queue: Subject) {
    send(&queue, "pack").await;
    let message = receive_one(&queue, LONG).await;
    queue.extend(&message.receipt, SHORT).await.expect("extend");
    assert_eq!(receive_one(&queue, LONG).await.body, message.body);
}

pub async fn an_extension_replaces_the_receipt(queue: Subject) {
    send(&queue, "pack").await;
    let first = receive_one(&queue, LONG).await.receipt;
    let second = queue.extend(&first, LONG).await.expect("extend");
    assert_kind(queue.extend(&first, LONG).await, ErrorKind::LeaseLost);
    queue.extend(&second, LONG).await.expect("the newest receipt is good");
}

pub async fn an_extension_of_a_message_that_another_holds_is_lease_lost(queue: Subject) {
    send(&queue, "pack").await;
    let first = receive_one(&queue, SHORT).await;
    let second = receive_one(&queue, LONG).await;
    assert_kind(queue.extend(&first.receipt, LONG).await, ErrorKind::LeaseLost);
    queue.extend(&second.receipt, LONG).await.expect("the newest receipt is good");
}

pub async fn an_extension_of_an_acknowledged_message_is_lease_lost(queue: Subject) {
    send(&queue, "pack").await;
    let receipt = receive_one(&queue, LONG).await.receipt;
    queue.ack(&receipt).await.expect("ack");
    assert_kind(queue.extend(&receipt, LONG).await, ErrorKind::LeaseLost);
}

pub async fn an_extension_out_of_bounds_is_invalid_input(queue: Subject) {
    send(&queue, "pack").await;
    let receipt = receive_one(&queue, LONG).await.receipt;
    for lease in [Duration::ZERO, Duration::from_millis(1_500), MAX_LEASE + SHORT] {
        assert_kind(queue.extend(&receipt, lease).await, ErrorKind::InvalidInput);
    }
    queue.extend(&receipt, MAX_LEASE).await.expect("the longest lease is allowed");
}

pub async fn an_acknowledged_message_never_comes_again(queue: Subject) {
    send(&queue, "pack").await;
    let message = receive_one(&queue, SHORT).await;
    queue.ack(&message.receipt).await.expect("ack");
    assert_eq!(queue.receive(1, SHORT, SHORT * 2).await.expect("receive"), []);
}

pub async fn an_acknowledgement_leaves_other_messages(queue: Subject) {
    send(&queue, "one").await;
    let one = receive_one(&queue, LONG).await;
    send(&queue, "two").await;
    queue.ack(&one.receipt).await.expect("ack");
    assert_eq!(receive_one(&queue, LONG).await.body, "two");
}

pub async fn acknowledging_twice_is_a_success(queue: Subject) {
    send(&queue, "pack").await;
    let message = receive_one(&queue, LONG).await;
    queue.ack(&message.receipt).await.expect("ack");
    queue.ack(&message.receipt).await.expect("ack again");
}

pub async fn a_stale_acknowledgement_removes_nothing_and_is_a_success(queue: Subject) {
    send(&queue, "pack").await;
    let first = receive_one(&queue, SHORT).await;
    let second = receive_one(&queue, SHORT).await;
    queue.ack(&first.receipt).await.expect("a stale ack");
    let third = receive_one(&queue, LONG).await;
    assert_eq!(third.body, second.body);
}

pub async fn an_acknowledgement_with_a_replaced_receipt_removes_nothing(queue: Subject) {
    send(&queue, "pack").await;
    let first = receive_one(&queue, LONG).await.receipt;
    let second = queue.extend(&first, LONG).await.expect("extend");
    queue.ack(&first).await.expect("a stale ack");
    queue.extend(&second, LONG).await.expect("the message is still there");
}

pub async fn a_receipt_of_nobody_is_as_stale_as_can_be(queue: Subject) {
    let receipt = Receipt("../../nobody".into());
    queue.ack(&receipt).await.expect("ack");
    assert_kind(queue.extend(&receipt, LONG).await, ErrorKind::LeaseLost);
}

pub async fn a_depth_counts_what_waits_and_what_is_leased(queue: Subject) {
    for number in 0..3 {
        send(&queue, number.to_string()).await;
    }
    until_depth(&queue, Depth { waiting: 3, leased: 0 }).await;
    let message = receive_one(&queue, LONG).await;
    until_depth(&queue, Depth { waiting: 2, leased: 1 }).await;
    queue.ack(&message.receipt).await.expect("ack");
    until_depth(&queue, Depth { waiting: 2, leased: 0 }).await;
}

/// The count is approximate: it comes right, sooner or later.
async fn until_depth(queue: &Subject, expected: Depth) {
    let begun = Instant::now();
    loop {
        let found = queue.depth().await.expect("depth");
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < LONG, "the depth is {found:?}, not {expected:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! for_each_queue_sentence {
    ($open:ident) => {
        $crate::conformance_tests! {
            queue, ::std::convert::identity, $open,
            a_sent_pack_is_delivered
            a_pack_of_the_largest_size_is_delivered_unchanged
            a_pack_of_any_byte_is_delivered_unchanged
            an_empty_pack_is_invalid_input
            a_pack_over_the_limit_is_too_large
            every_message_is_delivered_once_while_its_lease_holds
            a_receive_returns_at_most_as_many_as_it_asks_for
            a_receive_out_of_bounds_is_invalid_input
            the_bounds_of_a_receive_are_allowed
            a_receive_of_an_empty_queue_waits_and_returns_nothing
            a_waiting_receive_returns_when_a_message_is_sent
            a_leased_message_is_delivered_to_nobody_else
            a_message_is_delivered_again_when_its_lease_ends
            an_extended_lease_keeps_the_message
            an_extension_may_shorten_the_lease
            an_extension_replaces_the_receipt
            an_extension_of_a_message_that_another_holds_is_lease_lost
            an_extension_of_an_acknowledged_message_is_lease_lost
            an_extension_out_of_bounds_is_invalid_input
            an_acknowledged_message_never_comes_again
            an_acknowledgement_leaves_other_messages
            acknowledging_twice_is_a_success
            a_stale_acknowledgement_removes_nothing_and_is_a_success
            an_acknowledgement_with_a_replaced_receipt_removes_nothing
            a_receipt_of_nobody_is_as_stale_as_can_be
            a_depth_counts_what_waits_and_what_is_leased
        }
    };
}
