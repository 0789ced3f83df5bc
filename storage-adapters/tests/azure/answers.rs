//! What each answer of the service means, asked of a server that gives it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::TryStreamExt;
use storage_adapters::{Error, ErrorKind, GetOptions, PutMode, Receipt, Version, azure::Azure};

use crate::{
    key, kind, put,
    server::{self, Reply, Server, opened, reply, serve},
    told,
};

/// What a test asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Get,
    Head,
    List,
    Put,
    Create,
    Replace,
    Delete,
    Send,
    Receive,
    Extend,
    Ack,
    Depth,
}

async fn ask(store: &Azure, asked: Asked) -> Result<(), Error> {
    let Azure { blobs, queue } = store;
    let (lease, receipt) = (Duration::from_secs(30), Receipt("0a-1/AgAAAA==".into()));
    match asked {
        Asked::Get => blobs.get(&key("a"), GetOptions::default()).await.map(|_| ()),
        Asked::Head => blobs.head(&key("a")).await.map(|_| ()),
        Asked::List => blobs.list("", None).try_collect::<Vec<_>>().await.map(|_| ()),
        Asked::Put => put(&**blobs, "a", PutMode::Overwrite).await.map(|_| ()),
        Asked::Create => put(&**blobs, "a", PutMode::IfAbsent).await.map(|_| ()),
        Asked::Replace => put(&**blobs, "a", PutMode::IfVersion(Version("0x1".into()))).await.map(|_| ()),
        Asked::Delete => blobs.delete(&key("a")).await,
        Asked::Send => queue.send("pack".into()).await,
        Asked::Receive => queue.receive(1, lease, Duration::ZERO).await.map(|_| ()),
        Asked::Extend => queue.extend(&receipt, lease).await.map(|_| ()),
        Asked::Ack => queue.ack(&receipt).await,
        Asked::Depth => queue.depth().await.map(|_| ()),
    }
}

/// A server whose answer to everything but opening can be changed.
async fn changeable() -> (Server, Arc<Mutex<Reply>>) {
    let next: Arc<Mutex<Reply>> = Arc::default();
    let told = next.clone();
    let answer = move |request: &str| {
        let is_empty_queue = [("x-ms-approximate-messages-count", "0")];
        let reply_given = || told.lock().expect("no test panicked with it").clone();
        let is_depth = request.contains("comp=metadata") && reply_given().is_some();
        if opened(request) && !is_depth { reply(200, &is_empty_queue) } else { reply_given() }
    };
    let server = serve(Arc::new(answer)).await;
    (server, next)
}

#[tokio::test]
async fn each_answer_of_the_service_has_a_kind() {
    use Asked::{Ack, Create, Delete, Depth, Extend, Get, Head, List, Put, Receive, Replace, Send};
    use ErrorKind::{
        Conflict, Denied, Internal, InvalidInput, LeaseLost, NotFound, Throttled, TooLarge, Unavailable, Unknown,
    };
    let soon = Throttled { after: Some(Duration::from_secs(7)) };
    let table: &[(Asked, u16, &str, Option<ErrorKind>)] = &[
        (Get, 404, "BlobNotFound", Some(NotFound)),
        (Head, 404, "BlobNotFound", Some(NotFound)),
        (Get, 404, "ContainerNotFound", Some(Unavailable)),
        (Head, 404, "", Some(Unavailable)),
        (Get, 403, "AuthenticationFailed", Some(Denied)),
        (List, 401, "InvalidAuthenticationInfo", Some(Denied)),
        (Get, 503, "ServerBusy", Some(soon)),
        (Get, 429, "TooManyRequests", Some(soon)),
        (Get, 500, "OperationTimedOut", Some(Unavailable)),
        (List, 500, "InternalError", Some(Unavailable)),
        (Get, 502, "", Some(Unavailable)),
        (Get, 400, "InvalidHeaderValue", Some(Internal)),
        (Get, 409, "BlobArchived", Some(Unavailable)),
        (Create, 409, "BlobAlreadyExists", Some(Conflict)),
        (Create, 412, "ConditionNotMet", Some(Conflict)),
        (Replace, 412, "ConditionNotMet", Some(Conflict)),
        (Replace, 404, "BlobNotFound", Some(Conflict)),
        (Create, 404, "ContainerNotFound", Some(Unavailable)),
        (Create, 409, "ContainerBeingDeleted", Some(Unavailable)),
        (Replace, 412, "LeaseIdMissing", Some(Unavailable)),
        (Create, 503, "ServerBusy", Some(soon)),
        (Create, 503, "", Some(Unknown)),
        (Create, 500, "OperationTimedOut", Some(Unknown)),
        (Replace, 504, "", Some(Unknown)),
        (Put, 500, "OperationTimedOut", Some(Unavailable)),
        (Put, 403, "AuthorizationPermissionMismatch", Some(Denied)),
        (Put, 413, "RequestBodyTooLarge", Some(TooLarge)),
        (Put, 400, "InvalidMetadata", Some(InvalidInput)),
        (Put, 409, "BlobImmutableDueToPolicy", Some(Denied)),
        (Delete, 404, "BlobNotFound", None),
        (Delete, 404, "ContainerNotFound", Some(Unavailable)),
        (Delete, 409, "SnapshotsPresent", Some(Denied)),
        (Delete, 500, "InternalError", Some(Unavailable)),
        (Send, 404, "QueueNotFound", Some(Unavailable)),
        (Send, 500, "OperationTimedOut", Some(Unknown)),
        (Send, 503, "ServerBusy", Some(soon)),
        (Receive, 403, "AuthorizationFailure", Some(Denied)),
        (Receive, 500, "InternalError", Some(Unavailable)),
        (Extend, 404, "MessageNotFound", Some(LeaseLost)),
        (Extend, 400, "PopReceiptMismatch", Some(LeaseLost)),
        (Extend, 404, "QueueNotFound", Some(Unavailable)),
        (Extend, 500, "OperationTimedOut", Some(Unknown)),
        (Ack, 404, "MessageNotFound", None),
        (Ack, 400, "PopReceiptMismatch", None),
        (Ack, 404, "QueueNotFound", Some(Unavailable)),
        (Ack, 500, "InternalError", Some(Unavailable)),
        (Depth, 404, "QueueNotFound", Some(Unavailable)),
    ];
    let (server, next) = changeable().await;
    let store = server::open(&server).await;
    for (asked, status, code, expected) in table {
        *next.lock().expect("no test panicked with it") =
            reply(*status, &[("x-ms-error-code", code), ("retry-after", "7")]);
        let outcome = ask(&store, *asked).await;
        assert_eq!(kind(&outcome), *expected, "{asked:?} {status} {code}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_leaves_open_what_a_conditional_write_did() {
    let (server, _) = changeable().await;
    let store = server::open(&server).await;
    let table = [
        (Asked::Get, ErrorKind::Unavailable),
        (Asked::List, ErrorKind::Unavailable),
        (Asked::Put, ErrorKind::Unavailable),
        (Asked::Create, ErrorKind::Unknown),
        (Asked::Replace, ErrorKind::Unknown),
        (Asked::Send, ErrorKind::Unknown),
        (Asked::Extend, ErrorKind::Unknown),
        (Asked::Ack, ErrorKind::Unavailable),
    ];
    for (asked, expected) in table {
        assert_eq!(kind(&ask(&store, asked).await), Some(expected), "{asked:?}");
    }
}

#[tokio::test]
async fn a_server_out_of_reach_was_asked_for_nothing() {
    let (server, _) = changeable().await;
    let store = server::open(&server).await;
    drop(server);
    tokio::time::sleep(Duration::from_millis(100)).await;
    for asked in [Asked::Get, Asked::Create, Asked::Send, Asked::Extend] {
        assert_eq!(kind(&ask(&store, asked).await), Some(ErrorKind::Unavailable), "{asked:?}");
    }
}

#[tokio::test]
async fn no_error_tells_the_signature() {
    let (server, next) = changeable().await;
    let store = server::open(&server).await;
    let body = "<Error><Message>the signature canary is wrong</Message></Error>";
    let echo = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    for answer in [Some(echo), None, reply(500, &[("x-ms-error-code", "InternalError")])] {
        *next.lock().expect("no test panicked with it") = answer;
        for asked in [Asked::Get, Asked::Create, Asked::List, Asked::Send, Asked::Receive, Asked::Extend] {
            let told = told(&ask(&store, asked).await.expect_err("it fails"));
            assert!(!told.contains("canary"), "{told}");
        }
        let copied = blobs_copy(&store).await;
        assert!(!copied.contains("canary"), "{copied}");
    }
    assert!(!format!("{store:?}").contains("canary"));
    let asked = server.asked.lock().expect("no test panicked with it").join("\n");
    assert!(asked.contains("sig=canary"), "the server does get it");
}

async fn blobs_copy(store: &Azure) -> String {
    told(&store.blobs.copy(&key("a"), &key("b")).await.expect_err("it fails"))
}

#[tokio::test]
async fn a_copy_is_whole_before_it_is_seen_and_both_sides_are_signed() {
    let answer = |request: &str| {
        let found = [("etag", "\"0x1\""), ("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT")];
        let copied = [("etag", "\"0x2\""), ("x-ms-copy-status", "success")];
        if opened(request) {
            reply(200, &[("x-ms-approximate-messages-count", "0")])
        } else if request.starts_with("HEAD") {
            reply(200, &found)
        } else {
            reply(202, &copied)
        }
    };
    let server = serve(Arc::new(answer)).await;
    let store = server::open(&server).await;
    let version = store.blobs.copy(&key("a"), &key("b")).await.expect("copied");
    assert_eq!(version, Version("0x2".into()));
    let asked = server.asked.lock().expect("no test panicked with it").last().cloned().unwrap_or_default();
    for part in [
        "x-ms-requires-sync: true",
        "if-none-match: *",
        "/shop/a?sv=2024-11-04&sig=canary",
        "x-ms-source-if-match: \"0x1\"",
    ] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
}
