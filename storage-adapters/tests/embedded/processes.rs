//! Several processes on one folder, some of which are killed or stopped.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::TryStreamExt;
use rustix::process::{Pid, Signal, kill_process};
use storage_adapters::{BlobStore, ErrorKind, PutMode, Queue, Store, probe};

use crate::{PATIENCE, files, get, key, open, place, put, read, until};

const PLACE: &str = "STORAGE_ADAPTERS_PLACE";
const ROLE: &str = "STORAGE_ADAPTERS_ROLE";
const SHORT: Duration = Duration::from_secs(1);

/// Steps that each counting process takes.
const STEPS: usize = 25;

/// Size of the bodies that a process is killed in the middle of.
const LARGE: usize = 4_000_000;

/// A process of this test, ended when dropped.
struct Process(Child);

impl Process {
    fn start(role: &str, place: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--nocapture", "--ignored", "--exact", "processes::child"]).env(PLACE, place).env(ROLE, role);
        Self(command.stdout(Stdio::null()).spawn().expect("the process starts"))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the process is there");
    }

    async fn succeed(mut self) {
        let mut status = None;
        until("the process has ended", || {
            status = self.0.try_wait().expect("a child");
            status.is_some()
        })
        .await;
        assert!(status.is_some_and(|status| status.success()), "the process failed: {status:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the other processes do.
#[tokio::test]
#[ignore = "runs as a child of the other tests"]
async fn child() {
    let place = std::env::var(PLACE).expect("set by the parent");
    let store = open(place.as_ref()).await;
    let blobs = &*store.blobs;
    match std::env::var(ROLE).expect("set by the parent").as_str() {
        "count" => {
            for _ in 0..STEPS {
                count(blobs).await;
            }
        }
        "count for ever" => loop {
            count(blobs).await;
        },
        "exclude" => {
            for _ in 0..STEPS {
                count_alone(blobs).await;
            }
        }
        "write large" => loop {
            for digit in 1..=9 {
                put(blobs, "large", vec![digit; LARGE], PutMode::Overwrite).await.expect("put");
                let _ = put(blobs, "passing", vec![digit; LARGE], PutMode::IfAbsent).await;
                blobs.delete(&key("passing")).await.expect("delete");
            }
        },
        "work" => work(&store).await,
        role => panic!("no such role: {role}"),
    }
}

/// Adds one to a number, by compare-and-swap.
async fn count(blobs: &dyn BlobStore) {
    loop {
        let (version, body) = get(blobs, "counter").await.expect("get");
        let next = number(&body) + 1;
        match put(blobs, "counter", next.to_string(), PutMode::IfVersion(version)).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
}

/// Adds one to a number, without a condition, while a blob that only one can create keeps others out.
async fn count_alone(blobs: &dyn BlobStore) {
    while let Err(error) = put(blobs, "only-one", "", PutMode::IfAbsent).await {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    let next = number(&read(blobs, "counter").await) + 1;
    put(blobs, "counter", next.to_string(), PutMode::Overwrite).await.expect("put");
    blobs.delete(&key("only-one")).await.expect("delete");
}

/// Receives messages, records each, and acknowledges it, until there are no more.
async fn work(store: &Store) {
    loop {
        let messages = store.queue.receive(10, PATIENCE, SHORT).await.expect("receive");
        if messages.is_empty() {
            return;
        }
        for message in messages {
            // A process that opens the store meanwhile tries the queue out with a message of its own.
            if probe::hear(&*store.blobs, &message.body).await.expect("heard") {
                store.queue.ack(&message.receipt).await.expect("ack");
                continue;
            }
            let name = String::from_utf8(message.body.to_vec()).expect("text");
            put(&*store.blobs, &format!("done/{name}"), "", PutMode::IfAbsent).await.expect("nobody else received it");
            store.queue.ack(&message.receipt).await.expect("ack");
        }
    }
}

fn number(text: &[u8]) -> usize {
    std::str::from_utf8(text).expect("text").parse().expect("a number")
}

#[tokio::test]
async fn no_step_is_lost_when_several_processes_compare_and_swap() {
    let place = place();
    let store = open(place.path()).await;
    put(&*store.blobs, "counter", "0", PutMode::IfAbsent).await.expect("put");
    let processes = [(); 4].map(|()| Process::start("count", place.path()));
    for process in processes {
        process.succeed().await;
    }
    assert_eq!(number(&read(&*store.blobs, "counter").await), 4 * STEPS);
}

#[tokio::test]
async fn only_one_of_several_processes_creates_a_blob_that_comes_and_goes() {
    let place = place();
    let store = open(place.path()).await;
    put(&*store.blobs, "counter", "0", PutMode::IfAbsent).await.expect("put");
    let processes = [(); 4].map(|()| Process::start("exclude", place.path()));
    for process in processes {
        process.succeed().await;
    }
    assert_eq!(number(&read(&*store.blobs, "counter").await), 4 * STEPS);
}

#[tokio::test]
async fn several_processes_share_the_messages_of_a_queue() {
    const MESSAGES: usize = 200;
    let place = place();
    let store = open(place.path()).await;
    for number in 0..MESSAGES {
        store.queue.send(number.to_string().into()).await.expect("send");
    }
    let processes = [(); 3].map(|()| Process::start("work", place.path()));
    for process in processes {
        process.succeed().await;
    }
    let done: Vec<_> = store.blobs.list("done/", None).try_collect().await.expect("list");
    assert_eq!(done.len(), MESSAGES);
    assert_eq!(store.queue.depth().await.expect("depth"), storage_adapters::Depth::default());
}

#[tokio::test]
async fn a_process_killed_in_the_middle_of_a_put_leaves_nothing_half_done() {
    let place = place();
    let staging = place.path().join("staging");
    let store = open(place.path()).await;
    put(&*store.blobs, "large", vec![0; LARGE], PutMode::IfAbsent).await.expect("put");
    let own = files(&staging).len();
    for round in 0..6 {
        // What an earlier round left is no sign of this round's writer, which may still be trying the store out.
        let before = files(&staging);
        let writer = Process::start("write large", place.path());
        let is_large =
            |file: &PathBuf| !before.contains(file) && std::fs::metadata(file).is_ok_and(|found| found.len() > 100_000);
        until("a body is staged", || files(&staging).iter().any(is_large)).await;
        tokio::time::sleep(Duration::from_millis(3 * round)).await;
        writer.signal(Signal::KILL);
        drop(writer);
        for name in ["large", "passing"] {
            match get(&*store.blobs, name).await {
                Ok((_, body)) => assert!(body.len() == LARGE && body.iter().all(|byte| *byte == body[0]), "{name}"),
                Err(error) => assert_eq!((error.kind(), name), (ErrorKind::NotFound, "passing"), "{error}"),
            }
        }
    }
    // The next one to open takes away what the killed left, and a listing what was half deleted.
    let next = open(place.path()).await;
    let listed: Vec<_> = next.blobs.list("", None).try_collect().await.expect("list");
    assert_eq!(files(&staging).len(), own + 1);
    put(&*next.blobs, "passing", "end", PutMode::Overwrite).await.expect("put");
    put(&*next.blobs, "large", "end", PutMode::Overwrite).await.expect("put");
    assert!(listed.iter().any(|info| info.key == key("large")));
    let mut left = files(&place.path().join("blobs"));
    left.sort();
    let folders: Vec<_> = left.iter().filter_map(|file| file.parent()?.file_name()?.to_str()).collect();
    assert_eq!(folders, ["large@", "passing@"], "{left:?}");
}

#[tokio::test]
async fn a_stopped_process_blocks_nobody() {
    let place = place();
    let store = open(place.path()).await;
    put(&*store.blobs, "counter", "0", PutMode::IfAbsent).await.expect("put");
    let other = Process::start("count for ever", place.path());
    for round in 0..20 {
        let before = number(&read(&*store.blobs, "counter").await);
        other.signal(Signal::CONT);
        while number(&read(&*store.blobs, "counter").await) < before + 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(137 * round)).await;
        other.signal(Signal::STOP);
        let alone = async {
            for _ in 0..5 {
                count(&*store.blobs).await;
            }
            put(&*store.blobs, "passing", "", PutMode::IfAbsent).await.expect("put");
            store.blobs.delete(&key("passing")).await.expect("delete");
            round_trip(&*store.queue).await;
            let listed: Vec<_> = store.blobs.list("", None).try_collect().await.expect("list");
            assert_eq!(listed.len(), 1);
        };
        tokio::time::timeout(PATIENCE, alone).await.expect("nothing waits for a stopped process");
    }
}

async fn round_trip(queue: &dyn Queue) {
    queue.send("pack".into()).await.expect("send");
    let message = queue.receive(1, PATIENCE, SHORT).await.expect("receive").remove(0);
    queue.ack(&message.receipt).await.expect("ack");
}

#[tokio::test]
async fn messages_of_a_killed_receiver_come_again() {
    let place = place();
    let store = open(place.path()).await;
    {
        let killed = open(place.path()).await;
        store.queue.send("pack".into()).await.expect("send");
        assert_eq!(killed.queue.receive(1, SHORT, SHORT).await.expect("receive").len(), 1);
    }
    let again = store.queue.receive(1, PATIENCE, Duration::from_secs(20)).await.expect("receive");
    assert_eq!((again.len(), again[0].deliveries), (1, 2));
}
