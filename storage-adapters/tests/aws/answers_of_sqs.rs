//! What answers of SQS, and the lack of them, mean to a caller; and what the adapter asks SQS for.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use storage_adapters::{ErrorKind, Queue, Receipt, aws::Aws};

use crate::{
    answers_of_s3::Canned,
    fixture::{self, variables},
    kind,
    places::config_at,
    server::{Reply, Server},
};

const LEASE: Duration = Duration::from_mins(1);

fn error(status: u16, code: &str) -> Reply {
    let body = format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"because"}}"#);
    Reply::new(status, "", &body)
}

/// A message that the server gives.
fn message() -> Reply {
    let body = r#"{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"cGFjaw==","Attributes":{"ApproximateReceiveCount":"3"}}]}"#;
    Reply::new(200, "", body)
}

async fn send(queue: &dyn Queue) -> Option<ErrorKind> {
    kind(queue.send(Bytes::from_static(b"pack")).await)
}

async fn receive(canned: &Canned) -> Receipt {
    canned.say(message());
    let received = canned.store.queue.receive(1, LEASE, Duration::ZERO).await.expect("receive");
    assert_eq!((received[0].body.clone(), received[0].deliveries), ("pack".into(), 3));
    received[0].receipt.clone()
}

#[tokio::test]
async fn each_answer_of_sqs_has_a_kind() {
    let canned = Canned::open().await;
    let throttled = ErrorKind::Throttled { after: None };
    let table = [
        (400, "QueueDoesNotExist", ErrorKind::Unavailable),
        (404, "", ErrorKind::Unavailable),
        (403, "AccessDeniedException", ErrorKind::Denied),
        (400, "UnrecognizedClientException", ErrorKind::Denied),
        (403, "ExpiredToken", ErrorKind::Denied),
        (400, "KmsDisabled", ErrorKind::Denied),
        (400, "RequestThrottled", throttled),
        (403, "OverLimit", throttled),
        (400, "KmsThrottled", throttled),
        (429, "", throttled),
        (500, "InternalFailure", ErrorKind::Unavailable),
        (503, "ServiceUnavailable", ErrorKind::Unavailable),
        (400, "InvalidMessageContents", ErrorKind::InvalidInput),
        (400, "UnsupportedOperation", ErrorKind::Internal),
    ];
    for (status, code, expected) in table {
        canned.say(error(status, code));
        let queue = &*canned.store.queue;
        let received = kind(queue.receive(1, LEASE, Duration::ZERO).await);
        for found in [send(queue).await, received, kind(queue.depth().await)] {
            assert_eq!(found, Some(expected), "{status} {code}");
        }
    }
}

#[tokio::test]
async fn each_answer_to_an_extension_has_a_kind() {
    let canned = Canned::open().await;
    let table = [
        (400, "MessageNotInflight", ErrorKind::LeaseLost),
        (404, "ReceiptHandleIsInvalid", ErrorKind::LeaseLost),
        (400, "InvalidParameterValue", ErrorKind::LeaseLost),
        (500, "InternalFailure", ErrorKind::Unavailable),
    ];
    for (status, code, expected) in table {
        let receipt = receive(&canned).await;
        canned.say(error(status, code));
        assert_eq!(kind(canned.store.queue.extend(&receipt, LEASE).await), Some(expected), "{status} {code}");
    }
}

#[tokio::test]
async fn a_send_without_an_answer_is_unknown_and_other_operations_are_unavailable() {
    let canned = Canned::open().await;
    let receipt = receive(&canned).await;
    canned.say(Reply::Nothing);
    let queue = &*canned.store.queue;
    assert_eq!(send(queue).await, Some(ErrorKind::Unknown));
    assert_eq!(kind(queue.receive(1, LEASE, Duration::ZERO).await), Some(ErrorKind::Unavailable));
    assert_eq!(kind(queue.ack(&receipt).await), Some(ErrorKind::Unavailable));
    assert_eq!(kind(queue.extend(&receipt, LEASE).await), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn an_acknowledgement_that_failed_can_be_made_again() {
    let canned = Canned::open().await;
    let receipt = receive(&canned).await;
    canned.say(error(500, "InternalFailure"));
    assert_eq!(kind(canned.store.queue.ack(&receipt).await), Some(ErrorKind::Unavailable));
    canned.say(Reply::new(200, "", r#"{"Successful":[{"Id":"0"}],"Failed":[]}"#));
    let before = canned.server.requests().len();
    canned.store.queue.ack(&receipt).await.expect("ack");
    assert_eq!(canned.server.requests().len() - before, 1);
}

#[tokio::test]
async fn a_message_of_a_batch_fails_by_itself() {
    let canned = Canned::open().await;
    let failed = r#"{"Successful":[],"Failed":[{"Id":"0","SenderFault":false,"Code":"InternalError","Message":"m"}]}"#;
    canned.say(Reply::new(200, "", failed));
    assert_eq!(send(&*canned.store.queue).await, Some(ErrorKind::Unavailable));
    canned.say(Reply::new(200, "", r#"{"Successful":[],"Failed":[]}"#));
    assert_eq!(send(&*canned.store.queue).await, Some(ErrorKind::Unknown), "the answer says nothing of it");
}

#[tokio::test]
async fn a_message_of_a_stranger_is_corrupt() {
    let canned = Canned::open().await;
    let body = r#"{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"no base64!"}]}"#;
    canned.say(Reply::new(200, "", body));
    let received = canned.store.queue.receive(1, LEASE, Duration::ZERO).await;
    assert_eq!(kind(received), Some(ErrorKind::Corrupt));
}

#[tokio::test]
async fn sends_and_acknowledgements_at_the_same_time_share_requests() {
    let proxy = Server::before_emulator(|_| false).await;
    let made = fixture::config().await;
    let config = config_at(&made.bucket, &made.queue, &proxy.url);
    let queue = Aws::open_with(&config, &variables()).await.expect("the store opens").queue;
    join_all((0..40).map(|_| queue.send(Bytes::from_static(b"pack")))).await.into_iter().for_each(|outcome| {
        outcome.expect("send");
    });
    let mut receipts = Vec::new();
    while receipts.len() < 40 {
        let messages = queue.receive(10, LEASE, LEASE / 60).await.expect("receive");
        receipts.extend(messages.into_iter().map(|message| message.receipt));
    }
    for outcome in join_all(receipts.iter().map(|receipt| queue.ack(receipt))).await {
        outcome.expect("ack");
    }
    let count = |operation| proxy.requests().iter().filter(|request| request.asks_for(operation)).count();
    let (sends, deletions) = (count("SendMessageBatch"), count("DeleteMessageBatch"));
    assert!((4..=6).contains(&sends) && (4..=6).contains(&deletions), "{sends} sends, {deletions} deletions");
}
