//! A whole worker that empties the queue of its store.

use storage_adapters::{
    Depth,
    decorators::{Fault, FaultPlan, Operation, Rule},
};

use super::*;
use crate::{
    domain::{Command, Currency, Request},
    orders::test_workers::{PATIENCE, key, start_disturbed},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_finishes_the_packs_that_it_has_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = FaultPlan::new(1);
    let running = start_disturbed(folder.path(), &plan, None).await;
    running.ready().await;
    let (client, queue) = (running.client(), running.worker.settings.store.queue.clone());
    let key = key();
    let order = client.order_id(&key);
    let request = Request::new(key, Command::Create { currency: Currency::EUR });
    // It is done long before it is acknowledged, so the worker ends in between.
    plan.add(Rule::always(Operation::Ack, Fault::Delay(Duration::from_millis(500))));
    let pack = Pack::Commands { commands: vec![QueuedCommand { order, request }] };
    queue.send(pack.encode().expect("JSON")).await.expect("sends");
    let applied = async {
        while client.read(order).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, applied).await.expect("the order is made");
    running.end().await;
    assert_eq!(queue.depth().await.expect("depth"), Depth::default(), "nobody has to do it once more");
}
