//! The role of `docs/clouds` grants what the adapter asks of Azure, and nothing that it does not ask.

use std::collections::BTreeSet;

use serde_json::Value;
use storage_adapters::{
    azure::{Azure, fixture},
    conformance::use_everything,
};

use crate::proxy::Proxy;

const ROLE: &str = include_str!("../../../docs/clouds/azure-role.json");

/// The actions that a request needs, below `Microsoft.Storage/storageAccounts/`, by
/// <https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory>.
fn needed(request: &str) -> Vec<&'static str> {
    let mut line = request.split(' ');
    let (method, target) = (line.next().expect("a method"), line.next().expect("a target"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let asks = |pair: &str| query.split('&').any(|found| found == pair);
    let depth = path.trim_matches('/').split('/').count();
    match method {
        // Asked in case it is allowed; an identity may not, and the probe finds out what matters.
        "GET" | "HEAD" if asks("restype=account") => vec![],
        "GET" if asks("comp=list") => vec!["blobServices/containers/blobs/read"],
        "GET" | "HEAD" if asks("restype=container") => vec!["blobServices/containers/read"],
        "GET" | "HEAD" if asks("comp=metadata") => vec!["queueServices/queues/read"],
        "GET" if path.ends_with("/messages") => vec!["queueServices/queues/messages/process/action"],
        "POST" if path.ends_with("/messages") => vec!["queueServices/queues/messages/add/action"],
        "PUT" if path.contains("/messages/") => vec!["queueServices/queues/messages/write"],
        "DELETE" if path.contains("/messages/") => vec!["queueServices/queues/messages/delete"],
        "GET" | "HEAD" if depth > 2 => vec!["blobServices/containers/blobs/read"],
        "DELETE" if depth > 2 => vec!["blobServices/containers/blobs/delete"],
        // Replacing needs the first, creating also the second.
        "PUT" if depth > 2 => {
            vec!["blobServices/containers/blobs/write", "blobServices/containers/blobs/add/action"]
        }
        other => panic!("nobody knows what {other} {target} needs"),
    }
}

#[tokio::test]
async fn the_role_grants_what_is_asked_for_and_nothing_else() {
    let proxy = Proxy::start().await;
    let Azure { blobs, queue } = fixture::open(&proxy.server).await;
    let before = proxy.asked().len();
    use_everything(&*blobs, &*queue).await;
    // Making the container and the queue is not the shop's.
    let is_made = |request: &String| request.starts_with("PUT") && !request.contains("/messages/");
    let mut opening = proxy.asked();
    let used = opening.split_off(before);
    let (making, opening): (Vec<_>, Vec<_>) = opening.into_iter().partition(is_made);
    assert_eq!(making.len(), 2, "{making:?}");
    let needed: BTreeSet<String> = opening
        .iter()
        .chain(&used)
        .flat_map(|request| needed(request))
        .map(|action| format!("Microsoft.Storage/storageAccounts/{action}"))
        .collect();
    let role: Value = serde_json::from_str(ROLE).expect("JSON");
    let actions = |kind: &str| role[kind].as_array().expect("a list").clone();
    let granted: BTreeSet<String> = [actions("Actions"), actions("DataActions")]
        .concat()
        .iter()
        .map(|action| action.as_str().expect("a text").to_owned())
        .collect();
    assert_eq!(granted, needed);
}
