//! What answers of S3, and the lack of them, mean to a caller.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use storage_adapters::{ErrorKind, GetOptions, Metadata, PutMode, Version, aws::Aws};

use crate::{
    fixture::variables,
    key, kind,
    places::config_at,
    server::{Reply, Server},
};

/// A store on a server that can be opened, and then answers as it is told.
pub(crate) struct Canned {
    pub(crate) store: Aws,
    pub(crate) server: Server,
    reply: Arc<Mutex<Option<Reply>>>,
}

impl Canned {
    pub(crate) async fn open() -> Self {
        let reply = Arc::<Mutex<Option<Reply>>>::default();
        let told = reply.clone();
        let server = Server::answering(move |request| {
            if let Some(reply) = told.lock().expect("no panic").clone() {
                return reply;
            }
            if request.asks_for("GetQueueUrl") {
                Reply::new(200, "", r#"{"QueueUrl":"http://elsewhere.invalid/1/queue"}"#)
            } else if request.asks_for("GetQueueAttributes") {
                Reply::new(200, "", r#"{"Attributes":{"MessageRetentionPeriod":"1209600"}}"#)
            } else {
                Reply::new(200, "", "")
            }
        })
        .await;
        let config = config_at("bucket", "queue", &server.url);
        let store = Aws::open_with(&config, &variables()).await.expect("the store opens");
        Self { store, server, reply }
    }

    pub(crate) fn say(&self, reply: Reply) {
        *self.reply.lock().expect("no panic") = Some(reply);
    }

    async fn put(&self, mode: PutMode) -> Option<ErrorKind> {
        kind(self.store.blobs.put(&key("a"), Bytes::from_static(b"body"), &Metadata::new(), mode).await)
    }

    async fn get(&self) -> Option<ErrorKind> {
        kind(self.store.blobs.get(&key("a"), GetOptions::default()).await)
    }

    async fn list(&self) -> Option<ErrorKind> {
        kind(self.store.blobs.list("", None).try_collect::<Vec<_>>().await)
    }
}

fn error(status: u16, headers: &str, code: &str) -> Reply {
    let body = format!("<Error><Code>{code}</Code><Message>because</Message></Error>");
    Reply::new(status, headers, &body)
}

fn throttled(seconds: Option<u64>) -> ErrorKind {
    ErrorKind::Throttled { after: seconds.map(Duration::from_secs) }
}

#[tokio::test]
async fn each_answer_of_s3_has_a_kind() {
    let canned = Canned::open().await;
    let table = [
        (404, "", "NoSuchKey", ErrorKind::NotFound),
        (404, "", "NoSuchBucket", ErrorKind::Unavailable),
        (403, "", "AccessDenied", ErrorKind::Denied),
        (403, "", "InvalidAccessKeyId", ErrorKind::Denied),
        (403, "", "SignatureDoesNotMatch", ErrorKind::Denied),
        (400, "", "ExpiredToken", ErrorKind::Denied),
        (412, "", "PreconditionFailed", ErrorKind::Conflict),
        (409, "", "OperationAborted", throttled(None)),
        (429, "retry-after: 3\r\n", "TooManyRequests", throttled(Some(3))),
        (503, "", "SlowDown", throttled(None)),
        (503, "retry-after: 7\r\n", "SlowDown", throttled(Some(7))),
        (400, "", "RequestLimitExceeded", throttled(None)),
        (503, "", "ServiceUnavailable", ErrorKind::Unavailable),
        (500, "", "InternalError", ErrorKind::Unavailable),
        (502, "", "", ErrorKind::Unavailable),
        (504, "", "", ErrorKind::Unavailable),
        (408, "", "", ErrorKind::Unavailable),
        (301, "", "PermanentRedirect", ErrorKind::Unavailable),
        (400, "", "RequestTimeout", ErrorKind::Unavailable),
        (400, "", "BadDigest", ErrorKind::Unavailable),
        (400, "", "EntityTooLarge", ErrorKind::TooLarge),
        (403, "", "QuotaExceeded", ErrorKind::Full),
        (507, "", "XMinioStorageFull", ErrorKind::Full),
        (400, "", "InvalidRequest", ErrorKind::Internal),
        (501, "", "NotImplemented", ErrorKind::Internal),
    ];
    for (status, headers, code, expected) in table {
        canned.say(error(status, headers, code));
        for found in [canned.get().await, canned.put(PutMode::Overwrite).await, canned.list().await] {
            assert_eq!(found, Some(expected), "{status} {code}");
        }
    }
}

#[tokio::test]
async fn a_put_of_a_named_state_of_an_absent_blob_conflicts() {
    let canned = Canned::open().await;
    canned.say(error(404, "", "NoSuchKey"));
    assert_eq!(canned.put(PutMode::IfVersion(Version("v".into()))).await, Some(ErrorKind::Conflict));
}

#[tokio::test]
async fn a_conditional_put_in_the_middle_of_another_is_asked_again_and_then_throttled() {
    let canned = Canned::open().await;
    let before = canned.server.requests().len();
    canned.say(error(409, "", "ConditionalRequestConflict"));
    assert_eq!(canned.put(PutMode::IfAbsent).await, Some(throttled(None)));
    assert_eq!(canned.server.requests().len() - before, 4);
}

#[tokio::test]
async fn a_put_without_an_answer_is_unknown_when_it_has_a_condition() {
    let canned = Canned::open().await;
    canned.say(Reply::Nothing);
    assert_eq!(canned.put(PutMode::IfAbsent).await, Some(ErrorKind::Unknown));
    assert_eq!(canned.put(PutMode::IfVersion(Version("v".into()))).await, Some(ErrorKind::Unknown));
    assert_eq!(canned.put(PutMode::Overwrite).await, Some(ErrorKind::Unavailable));
    assert_eq!(canned.get().await, Some(ErrorKind::Unavailable));
    assert_eq!(kind(canned.store.blobs.delete(&key("a")).await), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_put_whose_answer_names_no_version_is_unknown() {
    let canned = Canned::open().await;
    canned.say(Reply::new(200, "", ""));
    assert_eq!(canned.put(PutMode::IfAbsent).await, Some(ErrorKind::Unknown));
}

#[tokio::test]
async fn a_put_that_reaches_no_server_is_unavailable() {
    let Canned { store, server, .. } = Canned::open().await;
    drop(server);
    let outcome = async || {
        kind(store.blobs.put(&key("a"), Bytes::from_static(b"body"), &Metadata::new(), PutMode::IfAbsent).await)
    };
    // The port is closed as soon as the server's task has noticed its end.
    crate::until("no server listens", async || outcome().await == Some(ErrorKind::Unavailable)).await;
}

#[tokio::test]
async fn an_error_within_an_answer_of_success_is_an_error() {
    let canned = Canned::open().await;
    canned.say(error(200, "", "InternalError"));
    let copied = canned.store.blobs.copy(&key("a"), &key("b")).await;
    assert!(copied.is_err(), "{copied:?}");
}

#[tokio::test]
async fn a_missing_blob_in_a_missing_bucket_is_no_missing_blob() {
    let canned = Canned::open().await;
    canned.say(error(404, "", "NoSuchBucket"));
    assert_eq!(kind(canned.store.blobs.head(&key("a")).await), Some(ErrorKind::Unavailable));
    canned.say(error(404, "", "NoSuchKey"));
    assert_eq!(kind(canned.store.blobs.head(&key("a")).await), Some(ErrorKind::NotFound));
}

const FACTS: &str = "etag: \"tag\"\r\nlast-modified: Mon, 23 Nov 2026 06:00:00 GMT\r\n";

#[tokio::test]
async fn a_body_that_breaks_off_ends_in_an_error() {
    let canned = Canned::open().await;
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n{FACTS}\r\n12345");
    canned.say(Reply::Bytes(text.into_bytes()));
    let blob = canned.store.blobs.get(&key("a"), GetOptions::default()).await.expect("get");
    let pieces: Vec<_> = blob.body.collect().await;
    let last = pieces.into_iter().next_back().expect("an end");
    assert_eq!(kind(last), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_refused() {
    let canned = Canned::open().await;
    canned.say(Reply::new(200, FACTS, "0123456789"));
    let options = GetOptions { range: Some(2..4), if_version: None };
    assert_eq!(kind(canned.store.blobs.get(&key("a"), options).await), Some(ErrorKind::Internal));
}

fn page(is_truncated: bool, keys: &[&str]) -> Reply {
    let entry = |key: &&str| {
        format!(
            "<Contents><Key>{key}</Key><Size>1</Size><ETag>\"t\"</ETag><LastModified>2026-11-23T06:00:00Z</LastModified></Contents>"
        )
    };
    let entries: String = keys.iter().map(entry).collect();
    let body = format!("<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{entries}</ListBucketResult>");
    Reply::new(200, "", &body)
}

#[tokio::test]
async fn a_page_that_says_there_is_more_but_not_how_to_go_on_is_an_error() {
    let canned = Canned::open().await;
    canned.say(page(true, &["a", "b"]));
    assert_eq!(canned.list().await, Some(ErrorKind::Unavailable));
    canned.say(page(false, &["a", "b"]));
    assert_eq!(canned.list().await, None);
}

#[tokio::test]
async fn a_server_that_lists_in_another_order_is_refused() {
    let canned = Canned::open().await;
    canned.say(page(false, &["b", "a"]));
    assert_eq!(canned.list().await, Some(ErrorKind::Internal));
}
