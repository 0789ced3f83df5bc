//! What a store does while its calls are recorded, and what it has promised at a moment of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use storage_adapters::{
    Message, PutMode,
    config::EmbeddedConfig,
    embedded::{Embedded, OpenEmbeddedError},
};

use super::disk::Change;
use crate::{get, key, put};

/// Leases of messages: the shortest, so that they have ended when the store is opened again.
const LEASE: Duration = Duration::from_secs(1);

/// A work by its name.
type Work = (&'static str, for<'store> fn(&'store Embedded) -> BoxFuture<'store, ()>);

/// The works, each short, so that many parts of what it leaves can be tried.
pub(super) const WORKS: &[Work] = &[
    ("a blob is put, replaced and deleted", |store| replace(store).boxed()),
    ("a deleted key is put again", |store| put_again(store).boxed()),
    ("blobs are put into new folders", |store| new_folders(store).boxed()),
    ("large blobs", |store| large(store).boxed()),
    ("blobs are copied", |store| copies(store).boxed()),
    ("blobs and messages by turns", |store| by_turns(store).boxed()),
    ("messages are sent, leased and acknowledged", |store| messages(store).boxed()),
];

/// What is written of each step before it begins and when it is acknowledged.
const BEGINS: &str = "begins";
const DONE: &str = "done";

/// Opens the bare adapter, whose calls are those of its user alone.
pub(super) fn open(folder: &Path) -> Result<Embedded, OpenEmbeddedError> {
    Embedded::open(&EmbeddedConfig { path: folder.to_path_buf() })
}

/// Does one of the works in the store at `folder`.
pub(super) async fn run(name: &str, folder: &Path) {
    let (_, work) = WORKS.iter().find(|(known, _)| *known == name).expect("a work of that name");
    work(&open(folder).expect("the store opens")).await;
}

async fn replace(store: &Embedded) {
    put_blob(store, "a", "one", PutMode::IfAbsent).await;
    put_blob(store, "a", "two", PutMode::Overwrite).await;
    let version = get(&*store.blobs, "a").await.expect("a blob").0;
    put_blob(store, "a", "three", PutMode::IfVersion(version)).await;
    delete(store, "a").await;
}

async fn put_again(store: &Embedded) {
    put_blob(store, "a", "one", PutMode::IfAbsent).await;
    delete(store, "a").await;
    put_blob(store, "a", "two", PutMode::IfAbsent).await;
    put_blob(store, "a", "three", PutMode::Overwrite).await;
    delete(store, "a").await;
    put_blob(store, "a", "four", PutMode::IfAbsent).await;
}

async fn new_folders(store: &Embedded) {
    put_blob(store, "x/y/a", "one", PutMode::IfAbsent).await;
    put_blob(store, "x/a", "two", PutMode::IfAbsent).await;
    put_blob(store, "x/y", "three", PutMode::IfAbsent).await;
    put_blob(store, "x/y/a", "four", PutMode::Overwrite).await;
    delete(store, "x/a").await;
}

async fn large(store: &Embedded) {
    put_blob(store, "a", &"one".repeat(25_000), PutMode::IfAbsent).await;
    put_blob(store, "a", &"two".repeat(30_000), PutMode::Overwrite).await;
}

async fn copies(store: &Embedded) {
    put_blob(store, "a", "one", PutMode::IfAbsent).await;
    step("put b one", store.blobs.copy(&key("a"), &key("b"))).await;
    delete(store, "a").await;
    step("put a one", store.blobs.copy(&key("b"), &key("a"))).await;
}

async fn by_turns(store: &Embedded) {
    for round in ["one", "two", "three"] {
        put_blob(store, "x/a", round, PutMode::Overwrite).await;
        send(store, round).await;
        put_blob(store, &format!("x/{round}"), round, PutMode::IfAbsent).await;
        for message in receive(store, 1).await {
            acknowledge(store, &message).await;
        }
        delete(store, &format!("x/{round}")).await;
    }
}

async fn messages(store: &Embedded) {
    send(store, "one").await;
    send(store, "two").await;
    let [first, _] = receive(store, 2).await.try_into().expect("two messages");
    send(store, "three").await;
    let receipt = store.queue.extend(&first.receipt, LEASE).await.expect("extended");
    acknowledge(store, &Message { receipt, ..first }).await;
    for message in receive(store, 1).await {
        acknowledge(store, &message).await;
    }
}

async fn put_blob(store: &Embedded, name: &str, body: &str, mode: PutMode) {
    step(&format!("put {name} {body}"), put(&*store.blobs, name, body.to_owned(), mode)).await;
}

async fn delete(store: &Embedded, name: &str) {
    step(&format!("delete {name}"), store.blobs.delete(&key(name))).await;
}

async fn send(store: &Embedded, body: &str) {
    step(&format!("send {body}"), store.queue.send(body.to_owned().into())).await;
}

async fn receive(store: &Embedded, count: usize) -> Vec<Message> {
    store.queue.receive(count, LEASE, Duration::ZERO).await.expect("received")
}

async fn acknowledge(store: &Embedded, message: &Message) {
    let body = String::from_utf8_lossy(&message.body);
    step(&format!("acknowledge {body}"), store.queue.ack(&message.receipt)).await;
}

/// Says in the record that a step begins and that it is acknowledged.
async fn step<T>(text: &str, outcome: impl Future<Output = Result<T, storage_adapters::Error>>) {
    say(BEGINS, text);
    outcome.await.expect("the step succeeds");
    say(DONE, text);
}

fn say(mark: &str, text: &str) {
    // One write, which the tracer records among the store's own calls.
    std::io::stdout().write_all(format!("{mark} {text}\n").as_bytes()).expect("written");
}

/// What a store must hold, and what it may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Promise {
    /// Of each key the bodies that it may have; none is that it may be absent.
    pub(super) blobs: BTreeMap<String, BTreeSet<Option<String>>>,
    /// Messages that must be delivered.
    pub(super) sent: BTreeSet<String>,
    /// Messages that may be delivered.
    pub(super) perhaps_sent: BTreeSet<String>,
}

impl Promise {
    /// What was promised by the end of the record.
    pub(super) fn of(changes: &[Change]) -> Self {
        let mut promise = Self::default();
        for change in changes {
            let Change::Said(text) = change else { continue };
            let mut words = text.trim_end().split(' ');
            let mut word = || words.next().unwrap_or_default().to_owned();
            let (mark, verb, subject, body) = (word(), word(), word(), word());
            match (verb.as_str(), mark.as_str()) {
                ("put", mark) => promise.blob(subject, Some(body), mark == DONE),
                ("delete", mark) => promise.blob(subject, None, mark == DONE),
                ("send", DONE) => {
                    promise.perhaps_sent.remove(&subject);
                    promise.sent.insert(subject);
                }
                ("acknowledge", BEGINS) => {
                    promise.sent.remove(&subject);
                    promise.perhaps_sent.insert(subject);
                }
                ("send", _) => {
                    promise.perhaps_sent.insert(subject);
                }
                ("acknowledge", _) => {
                    promise.perhaps_sent.remove(&subject);
                }
                // What the test harness says.
                _ => {}
            }
        }
        promise
    }

    fn blob(&mut self, key: String, body: Option<String>, is_done: bool) {
        let bodies = self.blobs.entry(key).or_insert_with(|| [None].into());
        if is_done {
            bodies.clear();
        }
        bodies.insert(body);
    }
}
