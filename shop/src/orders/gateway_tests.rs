//! Whole workers behind a connection that breaks, asked by the gateway that web asks by.

use jiff::Timestamp;
use storage_adapters::{
    ErrorKind,
    config::Provider,
    decorators::{Fault, FaultPlan, Operation, Rule},
};
use tokio::task::JoinSet;

use super::*;
use crate::{
    domain::{Currency, Order, Status},
    orders::{
        Durability,
        packs::Pack,
        test_workers::{
            PATIENCE, Running, TOKEN, add, create, key, start, start_disturbed, start_gated, start_gated_with_another,
        },
    },
};

/// Longest that an answer may take under availability, with room for a busy machine.
const ANSWERED: Duration = Duration::from_millis(500);

struct TestGateway {
    gateway: OrderGateway,
    _work: JoinSet<()>,
}

impl std::ops::Deref for TestGateway {
    type Target = OrderGateway;

    fn deref(&self) -> &OrderGateway {
        &self.gateway
    }
}

/// A web pod's way to the orders of a worker.
fn gateway(running: &Running, carts: OnPartition, submit: OnPartition) -> TestGateway {
    let (gateway, work) = OrderGateway::new(GatewaySettings {
        store: running.worker.settings.store.clone(),
        others: running.worker.settings.others.clone(),
        records: running.records(),
        token: InternalToken::of_process(TOKEN),
        on_partition: OnPartitionConfig { carts, submit },
    })
    .expect("a gateway");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { match work.await {} });
    TestGateway { gateway, _work: tasks }
}

fn available(running: &Running) -> TestGateway {
    gateway(running, OnPartition::Availability, OnPartition::Availability)
}

fn consistent(running: &Running) -> TestGateway {
    gateway(running, OnPartition::Consistency, OnPartition::Consistency)
}

fn quantity(order: &Order, sku: &str) -> u32 {
    order.items.iter().find(|line| line.sku.as_str() == sku).map_or(0, |line| line.quantity.get())
}

/// What a queued command is told.
#[track_caller]
fn queued(done: Result<Done, OrderError>) -> (Option<View>, Pending) {
    match done {
        Ok(Done::Queued { view, pending, .. }) => (view, pending),
        other => panic!("{other:?}"),
    }
}

/// Reads the order until everything pending is applied or refused.
async fn settled(gateway: &OrderGateway, order: OrderId, pending: &Pending) -> View {
    let reading = async {
        loop {
            match gateway.read(order, pending).await {
                Ok(view) if !view.stale => return view,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("what is pending is applied")
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_owner_is_out_of_reach_commands_are_queued_shown_and_applied_in_their_order_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, gate) = start_gated(folder.path()).await;
    running.ready().await;
    let gateway = available(&running);
    let order = create(&running.client()).await;
    gateway.read(order, &Pending::default()).await.expect("reads");
    gate.shut();
    let mut pending = Pending::default();
    for number in 1..=5 {
        let asked = Instant::now();
        let (view, after) = queued(gateway.execute(order, add("A-1", number), pending).await);
        assert!(asked.elapsed() < ANSWERED, "{:?}", asked.elapsed());
        let view = view.expect("this pod knows the order");
        assert_eq!((view.durability, view.stale, view.persisted_at), (Durability::Queue, true, None));
        assert_eq!(quantity(&view.order, "A-1"), (1..=number).sum::<u32>());
        pending = after;
    }
    let sku = "A-1".parse().expect("a SKU");
    let set = Request::new(key(), Command::SetQuantity { sku, quantity: 3.try_into().expect("a quantity") });
    let (_, pending) = queued(gateway.execute(order, set, pending).await);
    let shown = gateway.read(order, &pending).await.expect("the newest that is known");
    assert!(shown.stale && quantity(&shown.order, "A-1") == 3, "{shown:?}");
    gate.open();
    let view = settled(&gateway, order, &pending).await;
    assert_eq!((quantity(&view.order, "A-1"), view.order.version), (3, 7), "each command once, the set last");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_homes_queue_is_out_of_reach_too_the_queue_of_another_cloud_takes_the_commands() {
    for fault in [Fault::Fail(ErrorKind::Unavailable), Fault::Hang] {
        let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let plan = FaultPlan::new(1);
        let (running, gate) = start_gated_with_another(folder.path(), &plan, elsewhere.path(), Provider::Azure).await;
        running.ready().await;
        let gateway = available(&running);
        let order = create(&running.client()).await;
        gateway.read(order, &Pending::default()).await.expect("reads");
        gate.shut();
        plan.add(Rule::always(Operation::Send, fault));
        plan.add(Rule::always(Operation::Receive, fault));
        let mut pending = Pending::default();
        for _ in 0..3 {
            let asked = Instant::now();
            (_, pending) = queued(gateway.execute(order, add("A-1", 1), pending).await);
            assert!(asked.elapsed() < ANSWERED, "{:?}", asked.elapsed());
        }
        gate.open();
        let view = settled(&gateway, order, &pending).await;
        assert_eq!(quantity(&view.order, "A-1"), 3, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_a_disk_is_no_way_out_since_it_has_to_become_empty_for_good() {
    let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let plan = FaultPlan::new(1);
    let (running, gate) = start_gated_with_another(folder.path(), &plan, elsewhere.path(), Provider::Embedded).await;
    running.ready().await;
    let gateway = available(&running);
    let order = create(&running.client()).await;
    gate.shut();
    plan.add(Rule::always(Operation::Send, Fault::Fail(ErrorKind::Unavailable)));
    let ended = gateway.execute(order, add("A-1", 1), Pending::default()).await;
    assert!(ended.is_err(), "{ended:?}");
    let disk = running.worker.settings.others[0].depth().await.expect("counts");
    assert_eq!((disk.waiting, disk.leased), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_has_no_room_for_is_refused_at_once_and_never_queued() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = start(folder.path()).await;
    running.ready().await;
    let gateway = available(&running);
    let order = create(&running.client()).await;
    let full = running.worker.capacity.fill();
    for number in 1..=200 {
        let asked = Instant::now();
        let refused = gateway.execute(order, add("A-1", number), Pending::default()).await;
        assert!(matches!(refused, Err(OrderError::Overloaded { .. })), "{refused:?}");
        assert!(asked.elapsed() < ANSWERED, "{:?}", asked.elapsed());
    }
    assert!(matches!(gateway.read(order, &Pending::default()).await, Err(OrderError::Overloaded { .. })));
    drop(full);
    let request = add("A-1", 7);
    let done = async {
        while !matches!(gateway.execute(order, request.clone(), Pending::default()).await, Ok(Done::Persisted(_))) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("it is asked again");
    let depth = running.worker.settings.store.queue.depth().await.expect("counts");
    assert_eq!(depth.waiting + depth.leased, 0);
    let view = gateway.read(order, &Pending::default()).await.expect("reads");
    assert_eq!((quantity(&view.order, "A-1"), view.order.version), (7, 2), "what was refused was not done");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_with_too_little_of_a_processor_does_not_end_in_time_is_never_queued() {
    let (folder, plan) = (tempfile::tempdir().expect("a folder"), FaultPlan::new(1));
    let running = start_disturbed(folder.path(), &plan, None).await;
    running.ready().await;
    let gateway = available(&running);
    let order = create(&running.client()).await;
    running.worker.capacity.reduce();
    let done = gateway.execute(order, add("A-1", 1), Pending::default()).await;
    assert!(matches!(done, Ok(Done::Persisted(_))), "{done:?}");
    plan.add(Rule { prefix: "orders/".into(), ..Rule::always(Operation::Put, Fault::Hang) });
    for _ in 0..3 {
        running.worker.capacity.reduce();
        let done = gateway.execute(order, add("A-1", 1), Pending::default()).await;
        assert!(matches!(done, Err(OrderError::OutcomeUnknown { .. })), "{done:?}");
    }
    let depth = running.worker.settings.store.queue.depth().await.expect("counts");
    assert_eq!(depth.waiting + depth.leased, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_may_begin_and_end_in_the_queue() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, gate) = start_gated(folder.path()).await;
    running.ready().await;
    let gateway = available(&running);
    gate.shut();
    let key_of_create = key();
    let order = gateway.order_id(&key_of_create);
    let create = Request::new(key_of_create, Command::Create { currency: Currency::EUR });
    let (_, pending) = queued(gateway.execute(order, create, Pending::default()).await);
    let (_, pending) = queued(gateway.execute(order, add("A-1", 2), pending).await);
    let submit = Request::new(key(), Command::Submit);
    let (view, pending) = queued(gateway.execute(order, submit, pending).await);
    assert_eq!(view.expect("this pod made it").order.status, Status::Submitted);
    gate.open();
    let view = settled(&gateway, order, &pending).await;
    assert!(matches!(view.order.status, Status::Submitted | Status::Confirmed), "{view:?}");
    assert_eq!(quantity(&view.order, "A-1"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_after_queued_ones_never_overtakes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, gate) = start_gated(folder.path()).await;
    running.ready().await;
    let gateway = available(&running);
    let order = create(&running.client()).await;
    let sku = || "A-1".parse().expect("a SKU");
    for round in 1..=4_u32 {
        gate.shut();
        let (_, pending) = queued(gateway.execute(order, add("A-1", 7), Pending::default()).await);
        gate.open();
        let set =
            Request::new(key(), Command::SetQuantity { sku: sku(), quantity: round.try_into().expect("a quantity") });
        let pending = match gateway.execute(order, set, pending).await.expect("done or queued") {
            Done::Persisted(_) => Pending::default(),
            Done::Queued { pending, .. } => pending,
        };
        let view = settled(&gateway, order, &pending).await;
        assert_eq!(quantity(&view.order, "A-1"), round, "the set came last");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pod_shows_what_the_store_holds_marked_as_stale() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, gate) = start_gated(folder.path()).await;
    running.ready().await;
    let order = create(&running.client()).await;
    running.client().execute(order, add("A-1", 2)).await.expect("adds");
    gate.shut();
    let gateway = available(&running);
    let reading = async {
        loop {
            // The first read may come before the store is open for it.
            match gateway.read(order, &Pending::default()).await {
                Ok(view) => return view,
                Err(error) => assert_eq!(error, OrderError::Unreadable),
            }
        }
    };
    let view = tokio::time::timeout(PATIENCE, reading).await.expect("the store is read");
    assert!(view.stale && quantity(&view.order, "A-1") == 2, "{view:?}");
    let unknown = gateway.order_id(&key());
    let read = gateway.read(unknown, &Pending::default()).await;
    assert_eq!(read, Err(OrderError::Unreadable), "it may be on its way, so nobody says that it is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_consistency_a_short_cut_ends_in_success_and_a_longer_one_in_a_refusal_at_the_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, gate) = start_gated(folder.path()).await;
    running.ready().await;
    let gateway = consistent(&running);
    let order = create(&running.client()).await;
    gateway.read(order, &Pending::default()).await.expect("reads");
    gate.shut();
    let (done, ()) = tokio::join!(gateway.execute(order, add("A-1", 1), Pending::default()), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        gate.open();
    });
    assert!(matches!(done, Ok(Done::Persisted(_))), "{done:?}");
    gate.shut();
    let second = Duration::from_secs(1);
    for _ in 0..3 {
        let asked = Instant::now();
        let done = gateway.execute(order, add("A-1", 1), Pending::default()).await;
        let took = asked.elapsed();
        assert!(matches!(done, Err(OrderError::OutcomeUnknown { .. } | OrderError::NotDone)), "{done:?}");
        assert!(took.abs_diff(second) < Duration::from_millis(100), "{took:?}");
        let read = gateway.read(order, &Pending::default()).await;
        assert_eq!(read, Err(OrderError::Unreadable), "nothing old is shown");
    }
    assert_eq!(running.worker.settings.store.queue.depth().await.expect("counts").waiting, 0, "nothing was queued");
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_too_late_is_kept_on_the_order_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, _gate) = start_gated(folder.path()).await;
    running.ready().await;
    let client = running.client();
    let order = create(&client).await;
    client.execute(order, add("A-1", 1)).await.expect("adds");
    // One that was refused to the customer's face, whose answer was lost, so that web queued it as well.
    let refused = add("C-3", 1);
    client.execute(order, Request::new(key(), Command::Submit)).await.expect("submits");
    client.execute(order, refused.clone()).await.expect_err("it is too late");
    let accepted =
        |request: Request| QueuedCommand { order, request: Request { accepted_at: Some(Timestamp::now()), ..request } };
    let commands = vec![accepted(add("B-2", 4)), accepted(refused)];
    let pack = Pack::Commands { commands }.encode().expect("encodes");
    let queue = &running.worker.settings.store.queue;
    for _ in 0..2 {
        queue.send(pack.clone()).await.expect("sends");
    }
    let emptied = async {
        while queue.depth().await.expect("counts") != storage_adapters::Depth::default() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, emptied).await.expect("both packs are taken");
    let rejected = client.read(order).await.expect("reads").order.rejected_items;
    let mut told: Vec<_> = rejected.iter().map(|line| (line.sku.as_str(), line.quantity.get(), line.reason)).collect();
    told.sort_unstable_by_key(|(sku, ..)| *sku);
    assert_eq!(told, [("B-2", 4, Refusal::OrderClosed), ("C-3", 1, Refusal::OrderClosed)]);
}
