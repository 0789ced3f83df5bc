//! Opens a store on what a power cut left, and holds it to what was promised.

use std::{collections::BTreeSet, path::Path, time::Duration};

use futures::TryStreamExt;
use storage_adapters::{ErrorKind, PutMode, embedded::Embedded};

use super::work::{Promise, open};
use crate::{get, put};

/// Opens the store in `folder`; says what is there and should not be, or is not and should.
pub(super) async fn recover(folder: &Path, promise: &Promise) -> Result<(), String> {
    let store = open(folder).map_err(|error| format!("it does not open: {error:?}"))?;
    blobs(&store, promise).await?;
    messages(&store, promise).await
}

async fn blobs(store: &Embedded, promise: &Promise) -> Result<(), String> {
    let listed: Vec<_> =
        store.blobs.list("", None).try_collect().await.map_err(|error| format!("no list: {error:?}"))?;
    let mut listed: BTreeSet<String> = listed.into_iter().map(|blob| blob.key.to_string()).collect();
    for (key, bodies) in &promise.blobs {
        let found = match get(&*store.blobs, key).await {
            Ok((_, body)) => Some(String::from_utf8_lossy(&body).into_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(format!("blob '{key}' cannot be read: {error:?}")),
        };
        if !bodies.contains(&found) {
            return Err(format!("blob '{key}' is {found:?}, but was acknowledged as {bodies:?}"));
        }
        if listed.remove(key) != found.is_some() {
            return Err(format!("blob '{key}' is listed, or it is there, but not both"));
        }
        // What is left of unfinished writes is in nobody's way.
        let mode = if found.is_some() { PutMode::Overwrite } else { PutMode::IfAbsent };
        put(&*store.blobs, key, "after", mode).await.map_err(|error| format!("'{key}' takes no put: {error:?}"))?;
    }
    if listed.is_empty() { Ok(()) } else { Err(format!("nobody put {listed:?}")) }
}

async fn messages(store: &Embedded, promise: &Promise) -> Result<(), String> {
    let mut delivered = BTreeSet::new();
    loop {
        let failed = |error| format!("the queue fails: {error:?}");
        let received = store.queue.receive(10, Duration::from_mins(1), Duration::ZERO).await.map_err(failed)?;
        if received.is_empty() {
            break;
        }
        for message in received {
            let body = String::from_utf8_lossy(&message.body).into_owned();
            if !delivered.insert(body.clone()) {
                return Err(format!("message '{body}' is there twice"));
            }
        }
    }
    let lost: Vec<_> = promise.sent.difference(&delivered).collect();
    let invented: Vec<_> = delivered
        .iter()
        .filter(|body| !promise.sent.contains(*body) && !promise.perhaps_sent.contains(*body))
        .collect();
    if lost.is_empty() && invented.is_empty() {
        Ok(())
    } else {
        Err(format!("messages {lost:?} are lost, {invented:?} were acknowledged or never sent"))
    }
}
