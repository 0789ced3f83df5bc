//! What the decorators add to the contract, tried out around a real store.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use storage_adapters::{
    Blob, BlobStore, Error, ErrorKind, GetOptions, Key, Metadata, PutMode, Queue, Version,
    conformance::TemporaryStore,
    decorators::{
        Budget, Fault, FaultPlan, Faulty, Meter, Metered, Operation, Retried, RetryPolicy, Rule, TimeLimited,
        TimeLimits, Usage,
    },
};

/// A store that is disturbed as `plan` says, and repeated around that.
struct Stack {
    blobs: Retried<dyn BlobStore>,
    queue: Retried<dyn Queue>,
    plan: Arc<FaultPlan>,
    /// Counts every attempt.
    meter: Arc<Meter>,
    temporary: TemporaryStore,
}

fn stack() -> Stack {
    let temporary = TemporaryStore::in_memory();
    let (plan, meter, budget) = (FaultPlan::new(7), Arc::new(Meter::default()), Arc::new(Budget::default()));
    let policy = RetryPolicy { first_pause: Duration::from_millis(1), ..RetryPolicy::default() };
    let blobs: Arc<dyn BlobStore> = Arc::new(Faulty::new(temporary.store.blobs.clone(), plan.clone()));
    let queue: Arc<dyn Queue> = Arc::new(Faulty::new(temporary.store.queue.clone(), plan.clone()));
    let blobs: Arc<dyn BlobStore> = Arc::new(Metered::new(blobs, meter.clone()));
    let queue: Arc<dyn Queue> = Arc::new(Metered::new(queue, meter.clone()));
    let blobs = Retried::new(blobs, policy, budget.clone());
    Stack { blobs, queue: Retried::new(queue, policy, budget), plan, meter, temporary }
}

impl Stack {
    /// Lets enough succeed that a few repetitions can be paid.
    async fn save_up(&self) {
        for _ in 0..100 {
            let _ = self.blobs.head(&key("nothing")).await;
        }
    }

    async fn put(&self, body: &'static str, mode: PutMode) -> Result<Version, Error> {
        self.blobs.put(&key("a"), Bytes::from_static(body.as_bytes()), &Metadata::new(), mode).await
    }

    async fn read(&self) -> Bytes {
        collect(self.blobs.get(&key("a"), GetOptions::default()).await.expect("get")).await
    }
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a legal key")
}

async fn collect(blob: Blob) -> Bytes {
    blob.body.try_collect::<BytesMut>().await.expect("body").freeze()
}

fn kind<T>(outcome: Result<T, Error>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

const LOST: Fault = Fault::LoseReply(ErrorKind::Unavailable);
const FAILS: Fault = Fault::Fail(ErrorKind::Unavailable);

#[tokio::test]
async fn a_conditional_put_whose_reply_was_lost_is_known_again() {
    let stack = stack();
    stack.save_up().await;
    stack.plan.add(Rule::once(Operation::Put, LOST));
    let first = stack.put("1", PutMode::IfAbsent).await.expect("it won");
    stack.plan.add(Rule::once(Operation::Put, LOST));
    stack.put("2", PutMode::IfVersion(first)).await.expect("it won");
    assert_eq!(stack.read().await, "2");
}

#[tokio::test]
async fn a_put_that_is_repeated_shows_no_metadata_but_its_own() {
    let stack = stack();
    stack.put("1", PutMode::IfAbsent).await.expect("put");
    assert_eq!(stack.blobs.head(&key("a")).await.expect("head").1, Metadata::new());
    assert_eq!(stack.blobs.get(&key("a"), GetOptions::default()).await.expect("get").metadata, Metadata::new());
    let reserved: Metadata = [("put_nonce".into(), "1".into())].into();
    let outcome = stack.blobs.put(&key("a"), Bytes::new(), &reserved, PutMode::Overwrite).await;
    assert_eq!(kind(outcome), Some(ErrorKind::InvalidInput));
}

#[tokio::test]
async fn a_conditional_put_that_never_happened_is_put_again() {
    let stack = stack();
    stack.save_up().await;
    stack.plan.add(Rule::once(Operation::Put, FAILS));
    stack.put("1", PutMode::IfAbsent).await.expect("put");
    assert_eq!(stack.read().await, "1");
}

#[tokio::test]
async fn a_conditional_put_that_met_another_blob_after_a_lost_reply_is_unknown() {
    let stack = stack();
    stack.save_up().await;
    stack.temporary.store.blobs.put(&key("a"), "other".into(), &Metadata::new(), PutMode::IfAbsent).await.expect("put");
    stack.plan.add(Rule::once(Operation::Put, FAILS));
    assert_eq!(kind(stack.put("1", PutMode::IfAbsent).await), Some(ErrorKind::Unknown));
}

#[tokio::test]
async fn a_conditional_put_that_gives_up_is_unknown_and_a_first_conflict_is_a_conflict() {
    let stack = stack();
    stack.put("1", PutMode::IfAbsent).await.expect("put");
    assert_eq!(kind(stack.put("2", PutMode::IfAbsent).await), Some(ErrorKind::Conflict));
    stack.plan.add(Rule::always(Operation::Put, FAILS));
    assert_eq!(kind(stack.put("2", PutMode::IfAbsent).await), Some(ErrorKind::Unknown));
    assert_eq!(kind(stack.put("2", PutMode::Overwrite).await), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_copy_that_met_a_blob_after_a_lost_reply_is_unknown() {
    let stack = stack();
    stack.save_up().await;
    stack.put("1", PutMode::IfAbsent).await.expect("put");
    stack.plan.add(Rule::once(Operation::Copy, LOST));
    assert_eq!(kind(stack.blobs.copy(&key("a"), &key("b")).await), Some(ErrorKind::Unknown));
}

#[tokio::test]
async fn when_everything_fails_requests_grow_by_a_tenth_at_most() {
    let stack = stack();
    for operation in Operation::ALL {
        stack.plan.add(Rule::always(operation, FAILS));
    }
    let wait = Duration::from_secs(1);
    for _ in 0..100 {
        kind(stack.put("1", PutMode::Overwrite).await).expect("it fails");
        kind(stack.put("1", PutMode::IfAbsent).await).expect("it fails");
        kind(stack.blobs.get(&key("a"), GetOptions::default()).await).expect("it fails");
        kind(stack.blobs.head(&key("a")).await).expect("it fails");
        kind(stack.blobs.copy(&key("a"), &key("b")).await).expect("it fails");
        kind(stack.blobs.delete(&key("a")).await).expect("it fails");
        kind(stack.blobs.list("", None).try_collect::<Vec<_>>().await).expect("it fails");
        kind(stack.queue.send("1".into()).await).expect("it fails");
        kind(stack.queue.receive(1, wait, Duration::ZERO).await).expect("it fails");
        kind(stack.queue.depth().await).expect("it fails");
    }
    let requests: u64 = stack.meter.snapshot().values().map(|usage| usage.requests).sum();
    assert!((1_000..=1_100).contains(&requests), "{requests} requests for 1,000 operations");
}

#[tokio::test]
async fn only_passing_errors_are_repeated() {
    let stack = stack();
    stack.save_up().await;
    let table = [
        (ErrorKind::Unavailable, true),
        (ErrorKind::Throttled { after: None }, true),
        (ErrorKind::Throttled { after: Some(Duration::from_millis(1)) }, true),
        (ErrorKind::Throttled { after: Some(Duration::from_mins(1)) }, false),
        (ErrorKind::Denied, false),
        (ErrorKind::Corrupt, false),
        (ErrorKind::Full, false),
        (ErrorKind::Internal, false),
        (ErrorKind::InvalidInput, false),
    ];
    for (fault, is_repeated) in table {
        stack.plan.add(Rule::once(Operation::Delete, Fault::Fail(fault)));
        assert_eq!(stack.blobs.delete(&key("a")).await.is_ok(), is_repeated, "{fault:?}");
    }
}

#[tokio::test]
async fn an_interrupted_listing_goes_on_where_it_was() {
    let stack = stack();
    stack.save_up().await;
    for name in ["a", "b", "c"] {
        stack.blobs.put(&key(name), "body".into(), &Metadata::new(), PutMode::IfAbsent).await.expect("put");
    }
    stack.plan.add(Rule::once(Operation::List, LOST));
    let listed: Vec<_> = stack.blobs.list("", None).map_ok(|info| info.key).try_collect().await.expect("list");
    assert_eq!(listed, ["a", "b", "c"].map(key));
}

#[tokio::test]
async fn an_interrupted_listing_or_body_that_is_not_repeated_ends_in_an_error() {
    let temporary = TemporaryStore::in_memory();
    let plan = FaultPlan::new(1);
    let blobs = Faulty::new(temporary.store.blobs.clone(), plan.clone());
    blobs.put(&key("a"), vec![1; 3_000_000].into(), &Metadata::new(), PutMode::IfAbsent).await.expect("put");
    plan.add(Rule::once(Operation::List, LOST));
    plan.add(Rule::once(Operation::Get, LOST));
    assert_eq!(kind(blobs.list("", None).try_collect::<Vec<_>>().await), Some(ErrorKind::Unavailable));
    let blob = blobs.get(&key("a"), GetOptions::default()).await.expect("get");
    assert_eq!(kind(blob.body.try_collect::<BytesMut>().await), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_fault_meets_only_the_keys_and_as_often_as_its_rule_says() {
    let temporary = TemporaryStore::in_memory();
    let plan = FaultPlan::new(1);
    let blobs = Faulty::new(temporary.store.blobs.clone(), plan.clone());
    plan.add(Rule { prefix: "wal/".into(), times: Some(2), ..Rule::always(Operation::Delete, FAILS) });
    blobs.delete(&key("other")).await.expect("another key");
    blobs.delete(&key("wal/1")).await.expect_err("the first");
    blobs.delete(&key("wal/2")).await.expect_err("the second");
    blobs.delete(&key("wal/3")).await.expect("no more");
    plan.add(Rule::always(Operation::Delete, FAILS));
    plan.clear();
    blobs.delete(&key("wal/3")).await.expect("no rule is left");
}

#[tokio::test]
async fn chance_is_the_same_for_the_same_seed() {
    let temporary = TemporaryStore::in_memory();
    let run = async |seed| {
        let plan = FaultPlan::new(seed);
        plan.add(Rule { probability: 0.5, ..Rule::always(Operation::Delete, FAILS) });
        let blobs = Faulty::new(temporary.store.blobs.clone(), plan);
        let mut outcomes = Vec::new();
        for _ in 0..64 {
            outcomes.push(blobs.delete(&key("a")).await.is_ok());
        }
        outcomes
    };
    assert_eq!(run(1).await, run(1).await);
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test]
async fn what_hangs_ends_in_time_with_the_kind_that_says_what_to_do() {
    let temporary = TemporaryStore::in_memory();
    let plan = FaultPlan::new(1);
    for operation in Operation::ALL {
        plan.add(Rule::always(operation, Fault::Hang));
    }
    let limits = TimeLimits { operation: Duration::from_millis(20), transfer: Duration::from_millis(20) };
    let blobs =
        TimeLimited::<dyn BlobStore>::new(Arc::new(Faulty::new(temporary.store.blobs.clone(), plan.clone())), limits);
    let queue = TimeLimited::<dyn Queue>::new(Arc::new(Faulty::new(temporary.store.queue.clone(), plan)), limits);
    let (a, b, none) = (key("a"), key("b"), Metadata::new());
    let second = Duration::from_secs(1);
    temporary.store.queue.send("pack".into()).await.expect("send");
    let receipt = temporary.store.queue.receive(1, second, second).await.expect("receive").remove(0).receipt;
    let (again, look) = (Some(ErrorKind::Unavailable), Some(ErrorKind::Unknown));
    assert_eq!(kind(blobs.put(&a, "1".into(), &none, PutMode::Overwrite).await), again);
    assert_eq!(kind(blobs.put(&a, "1".into(), &none, PutMode::IfAbsent).await), look);
    assert_eq!(kind(blobs.get(&a, GetOptions::default()).await), again);
    assert_eq!(kind(blobs.head(&a).await), again);
    assert_eq!(kind(blobs.copy(&a, &b).await), look);
    assert_eq!(kind(blobs.delete(&a).await), again);
    assert_eq!(kind(blobs.list("", None).try_collect::<Vec<_>>().await), again);
    assert_eq!(kind(queue.send("1".into()).await), look);
    assert_eq!(kind(queue.receive(1, second, Duration::ZERO).await), again);
    assert_eq!(kind(queue.extend(&receipt, second).await), look);
    assert_eq!(kind(queue.ack(&receipt).await), again);
    assert_eq!(kind(queue.depth().await), again);
}

#[tokio::test]
async fn a_body_that_stalls_ends_in_an_error_in_time() {
    let temporary = TemporaryStore::in_memory();
    let plan = FaultPlan::new(1);
    let limits = TimeLimits { operation: Duration::from_millis(200), ..TimeLimits::default() };
    temporary
        .store
        .blobs
        .put(&key("a"), vec![1; 3_000_000].into(), &Metadata::new(), PutMode::IfAbsent)
        .await
        .expect("put");
    plan.add(Rule::once(Operation::Get, Fault::HangAfterwards));
    let blobs = TimeLimited::<dyn BlobStore>::new(Arc::new(Faulty::new(temporary.store.blobs.clone(), plan)), limits);
    let blob = blobs.get(&key("a"), GetOptions::default()).await.expect("get");
    assert_eq!(kind(blob.body.try_collect::<BytesMut>().await), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_meter_counts_requests_and_bytes_by_operation() {
    let temporary = TemporaryStore::in_memory();
    let meter = Arc::new(Meter::default());
    let blobs = Metered::new(temporary.store.blobs.clone(), meter.clone());
    let queue = Metered::new(temporary.store.queue.clone(), meter.clone());
    blobs.put(&key("a"), "12345".into(), &Metadata::new(), PutMode::IfAbsent).await.expect("put");
    let conflict = blobs.put(&key("a"), "12345".into(), &Metadata::new(), PutMode::IfAbsent).await;
    assert_eq!(kind(conflict), Some(ErrorKind::Conflict), "also what fails is billed");
    let range = GetOptions { range: Some(1..4), if_version: None };
    collect(blobs.get(&key("a"), range).await.expect("get")).await;
    blobs.list("", None).try_collect::<Vec<_>>().await.expect("list");
    queue.send("123".into()).await.expect("send");
    let second = Duration::from_secs(1);
    queue.receive(1, second, second).await.expect("receive");
    let counted = meter.snapshot();
    assert_eq!(counted[&Operation::Put], Usage { requests: 2, bytes: 10 });
    assert_eq!(counted[&Operation::Get], Usage { requests: 1, bytes: 3 });
    assert_eq!(counted[&Operation::List], Usage { requests: 1, bytes: 0 });
    assert_eq!(counted[&Operation::Send], Usage { requests: 1, bytes: 3 });
    assert_eq!(counted[&Operation::Receive], Usage { requests: 1, bytes: 3 });
    assert_eq!(counted[&Operation::Delete], Usage::default());
}
