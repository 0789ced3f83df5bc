use futures::FutureExt;
use storage_adapters::{
    Store,
    config::{EmbeddedConfig, StorageConfig},
    decorators::{Fault, FaultPlan, Faulty, Operation, Rule},
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;
use crate::domain::{Command, IdempotencyKey, OrderId, OrderIdSecret, Request};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A queue on disk, and the script that disturbs it.
struct TestQueue {
    queue: Arc<dyn Queue>,
    plan: Arc<FaultPlan>,
    _folder: TempDir,
}

impl TestQueue {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StorageConfig::from(EmbeddedConfig { path: folder.path().join("store") });
        let store = Store::open(&config).await.expect("a store");
        let plan = FaultPlan::new(1);
        Self { queue: Arc::new(Faulty::new(store.queue, Arc::clone(&plan))), plan, _folder: folder }
    }

    async fn packs(&self) -> Vec<Vec<QueuedCommand>> {
        self.plan.clear();
        let messages = self.queue.receive(10, Duration::from_mins(1), Duration::ZERO).await.expect("receives");
        let pack = |message: storage_adapters::Message| match Pack::decode(&message.body).expect("a pack") {
            Pack::Commands { commands } => commands,
            Pack::Hints { .. } => panic!("hints"),
        };
        messages.into_iter().map(pack).collect()
    }
}

fn command(number: u128) -> QueuedCommand {
    let key = IdempotencyKey::from_uuid(Uuid::from_u128(number));
    let order = OrderId::derive(&OrderIdSecret::new([0; 32]), &key);
    QueuedCommand { order, request: Request::new(key, Command::Submit) }
}

fn put(way_out: &WayOut, number: u128, leave_at: Instant, deadline: Instant) -> impl Future<Output = Queued> {
    way_out.queue(command(number), leave_at, deadline, Settled::default())
}

fn working(queues: &[&TestQueue]) -> (WayOut, JoinSet<()>) {
    let (way_out, packer) = way_out(queues.iter().map(|queue| Arc::clone(&queue.queue)).collect());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { match packer.run().await {} });
    (way_out, tasks)
}

#[tokio::test]
async fn commands_that_may_wait_share_a_message_and_keep_their_order() {
    let queue = TestQueue::new().await;
    let (way_out, _tasks) = working(&[&queue]);
    let now = Instant::now();
    let queueing = (0..20).map(|number| put(&way_out, number, now + PATIENCE / 20, now + PATIENCE));
    let queued = futures::future::join_all(queueing).await;
    assert!(queued.iter().all(|queued| *queued == Queued::Yes), "{queued:?}");
    assert_eq!(queue.packs().await, [(0..20).map(command).collect::<Vec<_>>()]);
}

#[tokio::test]
async fn one_that_is_given_up_is_not_sent_and_hurries_nobody() {
    let queue = TestQueue::new().await;
    let (way_out, _tasks) = working(&[&queue]);
    let now = Instant::now();
    let (soon, later) = (now + PATIENCE / 50, now + PATIENCE / 20);
    let given_up = put(&way_out, 1, soon, now + PATIENCE);
    assert!(timeout(PATIENCE / 100, given_up).await.is_err());
    assert_eq!(put(&way_out, 2, later, now + PATIENCE).await, Queued::Yes);
    assert!(Instant::now() >= later);
    assert_eq!(queue.packs().await, [[command(2)]]);
}

#[tokio::test]
async fn one_whose_customer_was_told_that_it_is_not_done_is_not_sent() {
    let queue = TestQueue::new().await;
    let (way_out, _tasks) = working(&[&queue]);
    let (soon, settled) = (Instant::now() + PATIENCE / 100, Settled::default());
    let told = way_out.queue(command(1), soon, soon + PATIENCE / 100, settled.clone());
    let (told, sent) = tokio::join!(told, async {
        assert!(settled.settle(), "it has not left");
        put(&way_out, 2, soon, soon + PATIENCE).await
    });
    assert_eq!((told, sent), (Queued::Perhaps, Queued::Yes));
    assert_eq!(queue.packs().await, [[command(2)]]);
}

#[tokio::test]
async fn the_next_queue_is_asked_when_the_first_fails_or_is_silent() {
    for fault in [Fault::Fail(ErrorKind::Unavailable), Fault::Hang] {
        let (home, other) = (TestQueue::new().await, TestQueue::new().await);
        home.plan.add(Rule::always(Operation::Send, fault));
        let (way_out, _tasks) = working(&[&home, &other]);
        let now = Instant::now();
        assert_eq!(put(&way_out, 1, now, now + PATIENCE).await, Queued::Yes, "{fault:?}");
        assert_eq!(other.packs().await, [[command(1)]]);
    }
}

#[tokio::test]
async fn a_queue_that_gives_no_answer_leaves_the_outcome_open_and_one_that_refuses_does_not() {
    for (fault, expected) in [
        (Fault::Fail(ErrorKind::Unavailable), Queued::No),
        (Fault::LoseReply(ErrorKind::Unknown), Queued::Perhaps),
        (Fault::Hang, Queued::Perhaps),
    ] {
        let queue = TestQueue::new().await;
        queue.plan.add(Rule::always(Operation::Send, fault));
        let (way_out, _tasks) = working(&[&queue]);
        let now = Instant::now();
        assert_eq!(put(&way_out, 1, now, now + PATIENCE / 20).await, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn one_that_did_not_leave_in_time_is_known_not_to_be_queued_and_never_is() {
    let queue = TestQueue::new().await;
    let (way_out, packer) = way_out(vec![Arc::clone(&queue.queue)]);
    let now = Instant::now();
    // The packer has no core until the customer was answered.
    assert_eq!(put(&way_out, 1, now, now + PATIENCE / 100).await, Queued::No);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { match packer.run().await {} });
    let now = Instant::now();
    assert_eq!(put(&way_out, 2, now, now + PATIENCE).await, Queued::Yes);
    assert_eq!(queue.packs().await, [[command(2)]]);
}

#[tokio::test]
async fn no_more_than_so_many_commands_wait() {
    let queue = TestQueue::new().await;
    // Nobody packs.
    let (way_out, _packer) = way_out(vec![Arc::clone(&queue.queue)]);
    let deadline = Instant::now() + PATIENCE;
    let mut waiting: FuturesUnordered<_> =
        (0..MOST_WAITING as u128).map(|number| put(&way_out, number, deadline, deadline)).collect();
    assert_eq!(tokio::task::unconstrained(waiting.next()).now_or_never(), None, "each of them waits");
    assert_eq!(put(&way_out, MOST_WAITING as u128, deadline, deadline).now_or_never(), Some(Queued::No));
}
