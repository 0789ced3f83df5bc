//! A network that breaks between web and the owners of orders, and owners that stop: what a business has chosen is kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::api::{Api, Ask, json_of};
use e2e::cluster::{
    Cut, Share, Shop, Way, in_namespace, kill_container, pause_container, resume_container, servers_of, verify_store,
};
use e2e::wait::until;
use hyper::{Method, StatusCode};
use load::ledger::{Entry, Ledger, Operation, Outcome};
use load::run::Rates;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::traffic::{Traffic, assert_available, assert_quick};

/// As many orders are made as are submitted.
pub(crate) const RATES: Rates = Rates { searches: 20.0, adds: 70.0, submits: 15.0 };

/// Ports of web pods for customers, and of workers for web pods.
const PUBLIC_PORT: u16 = 8080;
pub(crate) const INTERNAL_PORT: u16 = 9091;

/// Trade before something breaks.
const CALM: Duration = Duration::from_secs(2);

/// How long the network is broken, or an owner gone: longer than any lease lasts, or as long as `PARTITION_SECONDS` says.
fn broken() -> Duration {
    let named = std::env::var("PARTITION_SECONDS").ok();
    Duration::from_secs(named.map_or(10, |seconds| seconds.parse().expect("PARTITION_SECONDS is a number")))
}

/// Longest from the healing until everything that was accepted is applied.
const PERSISTED: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_cut_a_stopped_and_a_killed_owner_fail_nothing_under_availability_and_lose_nothing() {
    in_namespace(Share::Alone, "cut", async |namespace| {
        let mut spec = namespace.small_shop();
        spec["onPartition"] = json!({"carts": "Availability", "submit": "Availability"});
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path).expect("a ledger");
        // Where the queue has a server of its own, the rest of the store is cut off as well.
        let blobs = namespace.store_servers().and_then(|(blobs, queue)| (blobs != queue).then_some(blobs));
        cut(&shop, blobs.as_slice(), &ledger, &path).await;
        stop_and_kill(&shop, &ledger, &path).await;
        let config = shop.delete().await;
        verify_store(&shop, &config, Some(&path)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn the_queue_of_another_cloud_takes_the_commands_when_owners_and_the_homes_store_are_cut_off() {
    in_namespace(Share::Alone, "cut-home", async |namespace| {
        let Some(storage) = namespace.storage_with_another_cloud().await else {
            println!("not tried: no network leads to an Embedded store");
            return;
        };
        let mut spec = namespace.small_shop();
        spec["storage"] = storage;
        spec["onPartition"] = json!({"carts": "Availability", "submit": "Availability"});
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        shop.until_all_noted("another store is open beside the shop's").await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path).expect("a ledger");
        let (blobs, queue) = namespace.store_servers().expect("a cloud");
        cut(&shop, &[blobs, queue], &ledger, &path).await;
        let config = shop.delete().await;
        verify_store(&shop, &config, Some(&path)).await;
    })
    .await;
}

/// Cuts web off from the owners of all orders, and from these servers.
async fn cut(shop: &Shop, servers: &[SocketAddr], ledger: &Ledger, path: &Path) {
    let traffic = Traffic::start(shop, RATES, ledger.clone()).await;
    sleep(CALM).await;
    let owners = servers_of(&shop.pods(Some("worker")).await, INTERNAL_PORT);
    let web = shop.pods(Some("web")).await;
    let cut = Cut::between(&web, &[owners.as_slice(), servers].concat(), Way::Requests).await;
    sleep(broken()).await;
    let report = traffic.end().await;
    let queued = entries(ledger, path).iter().filter(|entry| entry.durability.as_deref() == Some("queue")).count();
    assert!(queued > 400, "{queued} commands were queued");
    let order = stale_order(shop, &entries(ledger, path)).await;
    cut.heal();
    let healed = Instant::now();
    assert_available("while the network was broken", &report);
    assert_quick("while the network was broken", &report);
    let api = shop.api().await;
    until_applied(&api, &entries(ledger, path), PERSISTED).await;
    println!("{queued} queued commands applied {:.1} s after the healing", healed.elapsed().as_secs_f64());
    let read = json_of(&api.ask(Ask::bare(Method::GET, &format!("/api/v1/orders/{order}"))).await);
    assert_eq!((&read["stale"], &read["durability"]), (&json!(false), &json!("persisted")));
}

/// Stops one owner for longer than its lease lasts, lets it go on, and kills the other.
async fn stop_and_kill(shop: &Shop, ledger: &Ledger, path: &Path) {
    let traffic = Traffic::start(shop, RATES, ledger.clone()).await;
    sleep(CALM).await;
    let workers = shop.pods(Some("worker")).await;
    pause_container(&workers[0]).await;
    sleep(broken()).await;
    resume_container(&workers[0]).await;
    // It may think for a moment that its shards are still its own.
    sleep(CALM).await;
    kill_container(&workers[1]).await;
    sleep(broken()).await;
    let report = traffic.end().await;
    assert_available("while one owner stood still and the other was killed", &report);
    assert_quick("while one owner stood still and the other was killed", &report);
    until_applied(&shop.api().await, &entries(ledger, path), PERSISTED).await;
}

/// What a ledger has so far.
pub(crate) fn entries(ledger: &Ledger, path: &Path) -> Vec<Entry> {
    ledger.flush().expect("written");
    entries_in(path)
}

/// What a file of a ledger has.
pub(crate) fn entries_in(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).expect("the ledger");
    text.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect()
}

/// An order that was made during the cut is shown, marked as what it is.
async fn stale_order(shop: &Shop, entries: &[Entry]) -> String {
    let mut orders =
        entries.iter().filter(|entry| entry.op == Operation::Create).filter_map(|entry| entry.order.clone());
    let order = orders.next_back().expect("orders were made");
    // The pod that took the create knows the order.
    let mut pods = Vec::new();
    for server in servers_of(&shop.pods(Some("web")).await, PUBLIC_PORT) {
        pods.push(Api::at(&format!("http://{server}")).await);
    }
    let shown = until("an order that is on its way is shown by some pod", Duration::from_secs(10), async || {
        let mut said = Vec::new();
        for pod in &pods {
            let answer = pod.ask(Ask::bare(Method::GET, &format!("/api/v1/orders/{order}"))).await;
            if answer.status == StatusCode::OK {
                return Ok(json_of(&answer));
            }
            said.push(json_of(&answer).to_string());
        }
        Err(format!("{order}: {said:?}"))
    })
    .await;
    // Workers empty the queue meanwhile, so the store may hold it already.
    assert_eq!(shown["stale"], true, "{shown}");
    order
}

/// Waits until each order is exactly what its acknowledged commands make of it. Of those with a command whose end is unknown
/// the verification of the store says whether they are right.
pub(crate) async fn until_applied(api: &Api, entries: &[Entry], limit: Duration) {
    let mut expected: BTreeMap<&str, (BTreeMap<&str, u64>, bool)> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.outcome == Outcome::Acked) {
        let (lines, submitted) = expected.entry(entry.order.as_deref().expect("it names its order")).or_default();
        match entry.op {
            Operation::Add => {
                *lines.entry(entry.sku.as_deref().expect("a SKU")).or_default() +=
                    u64::from(entry.quantity.unwrap_or(0));
            }
            Operation::Submit => *submitted = true,
            Operation::Create | Operation::Set | Operation::Remove | Operation::Cancel => {}
        }
    }
    for entry in entries.iter().filter(|entry| entry.outcome == Outcome::Unknown) {
        expected.remove(entry.order.as_deref().unwrap_or_default());
    }
    assert!(expected.len() > 50, "{} orders", expected.len());
    until("every order is as was acknowledged", limit, async || {
        let mut wrong = Vec::new();
        for (order, (lines, submitted)) in &expected {
            let answer = api.ask(Ask::bare(Method::GET, &format!("/api/v1/orders/{order}"))).await;
            let read: Value = if answer.status == StatusCode::OK { json_of(&answer) } else { Value::Null };
            let items = read["items"].as_array().cloned().unwrap_or_default();
            let found: BTreeMap<&str, u64> =
                items.iter().filter_map(|line| Some((line["sku"].as_str()?, line["quantity"].as_u64()?))).collect();
            let is_submitted = read["status"] != "open";
            if read["stale"] != false || found != *lines || is_submitted != *submitted {
                wrong.push(format!("{order}: {} {read}, expected {lines:?}", answer.status));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("{} of {}; {}", wrong.len(), expected.len(), wrong[0])) }
    })
    .await;
}
