//! Twenty things that may happen to a shop in a cloud, each to a new one under load: whatever it is, nothing acknowledged is
//! lost or doubled. Only `SOAK=victims make soak` makes these runs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use e2e::cluster::{
    Cut, Share, Shop, TestNamespace, Way, in_namespace, kill_container, pause_container, resume_container, servers_of,
    verify_store,
};
use e2e::wait::until;
use k8s_openapi::api::core::v1::Pod;
use load::commands::Command;
use load::ledger::{Entry, Ledger, Outcome};
use load::run::new_key;
use serde_json::json;
use tokio::time::sleep;

use crate::partition::{INTERNAL_PORT, RATES, entries, until_applied};
use crate::traffic::{Traffic, commands};

/// Trade before something happens, and after it is over.
const CALM: Duration = Duration::from_secs(2);

/// How long it lasts: longer than any lease.
const LASTS: Duration = Duration::from_secs(12);

/// Longest until orders can be made again on every shard.
const BACK: Duration = Duration::from_mins(1);

/// Workers of the shop, and its order shards.
const WORKERS: usize = 3;
const SHARDS: u16 = 6;

/// What happens to a process.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// `kill -9`.
    Kill,
    /// SIGSTOP, and SIGCONT when it is over.
    Stop,
    /// Its pod is deleted.
    Delete,
}

/// Whose pods.
#[derive(Clone, Copy, Debug)]
enum Tier {
    Web,
    Worker,
}

/// Servers that are cut off.
#[derive(Clone, Copy, Debug)]
enum Server {
    Workers,
    Blobs,
    Queue,
}

/// One thing that happens: to so many pods of a tier, and to a connection.
#[derive(Clone, Copy, Debug)]
struct Case {
    blow: Option<(Blow, Tier, usize)>,
    cut: Option<(Tier, Server, Way)>,
}

const fn blow(blow: Blow, tier: Tier, pods: usize) -> Case {
    Case { blow: Some((blow, tier, pods)), cut: None }
}

const fn cut(from: Tier, to: Server, way: Way) -> Case {
    Case { blow: None, cut: Some((from, to, way)) }
}

const fn both(Case { blow, .. }: Case, Case { cut, .. }: Case) -> Case {
    Case { blow, cut }
}

const CASES: [Case; 20] = [
    blow(Blow::Kill, Tier::Worker, 1),
    blow(Blow::Kill, Tier::Worker, WORKERS),
    blow(Blow::Kill, Tier::Web, 1),
    blow(Blow::Stop, Tier::Worker, 1),
    blow(Blow::Stop, Tier::Worker, WORKERS),
    blow(Blow::Stop, Tier::Web, 1),
    blow(Blow::Delete, Tier::Worker, 2),
    cut(Tier::Web, Server::Workers, Way::Both),
    cut(Tier::Web, Server::Workers, Way::Requests),
    cut(Tier::Web, Server::Workers, Way::Answers),
    cut(Tier::Worker, Server::Workers, Way::Both),
    cut(Tier::Worker, Server::Blobs, Way::Both),
    cut(Tier::Worker, Server::Blobs, Way::Answers),
    cut(Tier::Worker, Server::Queue, Way::Answers),
    cut(Tier::Web, Server::Queue, Way::Answers),
    cut(Tier::Web, Server::Blobs, Way::Both),
    both(blow(Blow::Delete, Tier::Worker, 1), cut(Tier::Web, Server::Workers, Way::Answers)),
    both(blow(Blow::Delete, Tier::Web, 1), cut(Tier::Web, Server::Workers, Way::Requests)),
    both(blow(Blow::Kill, Tier::Worker, 1), cut(Tier::Worker, Server::Queue, Way::Both)),
    both(blow(Blow::Stop, Tier::Worker, 1), cut(Tier::Web, Server::Queue, Way::Both)),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: SOAK=victims make soak"]
async fn whatever_happens_to_whomever_nothing_acknowledged_is_lost_or_doubled() {
    for (number, case) in CASES.iter().enumerate() {
        let name = format!("victims-{number:02}");
        in_namespace(Share::Alone, &name, async |namespace| {
            assert!(namespace.store_servers().is_some(), "no network leads to an Embedded store");
            happens(&namespace, case).await;
        })
        .await;
    }
}

async fn happens(namespace: &TestNamespace, case: &Case) {
    let mut spec = namespace.small_shop();
    spec["orders"] = json!({"shards": SHARDS});
    spec["onPartition"] = json!({"carts": "Availability", "submit": "Consistency"});
    spec["worker"]["autoscaling"] = json!({"minReplicas": WORKERS, "maxReplicas": WORKERS});
    let shop = Shop::ready(namespace, "corner", &spec).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    let ledger = Ledger::create(&path).expect("a ledger");
    let traffic = Traffic::start(&shop, RATES, ledger.clone()).await;
    sleep(CALM).await;
    let broken = match case.cut {
        Some((from, to, way)) => Some(Cut::between(&pods(&shop, from).await, &servers(&shop, to).await, way).await),
        None => None,
    };
    let mut stopped = Vec::new();
    if let Some((blow, tier, count)) = case.blow {
        for victim in pods(&shop, tier).await.into_iter().take(count) {
            strike(&shop, blow, &victim).await;
            stopped.extend(matches!(blow, Blow::Stop).then_some(victim));
        }
    }
    sleep(LASTS).await;
    for victim in &stopped {
        resume_container(victim).await;
    }
    if let Some(broken) = broken {
        broken.heal();
    }
    let over = Instant::now();
    until_back(&shop, ledger.clone()).await;
    let back = over.elapsed();
    sleep(CALM).await;
    let report = traffic.end().await;
    let entries = entries(&ledger, &path);
    until_applied(&shop.api().await, &entries, BACK).await;
    let config = shop.delete().await;
    let orders = verify_store(&shop, &config, Some(&path)).await;
    let requests: u64 = report.kinds.values().map(|row| row.requests).sum();
    let ended = |outcome| entries.iter().filter(|entry: &&Entry| entry.outcome == outcome).count();
    let queued = entries.iter().filter(|entry| entry.durability.as_deref() == Some("queue")).count();
    println!(
        "| {} | {requests} | {} | {queued} | {} | {} | {:.1} | {orders} |",
        told(case),
        ended(Outcome::Acked),
        ended(Outcome::Refused),
        ended(Outcome::Unknown),
        back.as_secs_f64(),
    );
}

async fn pods(shop: &Shop, tier: Tier) -> Vec<Pod> {
    let component = match tier {
        Tier::Web => "web",
        Tier::Worker => "worker",
    };
    shop.pods(Some(component)).await
}

async fn servers(shop: &Shop, server: Server) -> Vec<SocketAddr> {
    let (blobs, queue) = shop.namespace.store_servers().expect("a cloud");
    match server {
        Server::Workers => servers_of(&pods(shop, Tier::Worker).await, INTERNAL_PORT),
        Server::Blobs => vec![blobs],
        Server::Queue => vec![queue],
    }
}

async fn strike(shop: &Shop, blow: Blow, victim: &Pod) {
    match blow {
        Blow::Kill => kill_container(victim).await,
        Blow::Stop => pause_container(victim).await,
        Blow::Delete => shop.delete_pod(victim).await,
    }
}

/// Waits until orders are made with so many keys that each shard has some: one of a thousand runs would miss one.
async fn until_back(shop: &Shop, ledger: Ledger) {
    let commands = commands(shop, ledger).await;
    let mut left: Vec<String> = (0..8 * SHARDS).map(|_| new_key()).collect();
    until("orders are made again", BACK, async || {
        let mut missing = Vec::new();
        for key in left.drain(..) {
            let answered = commands.send(Command::Create, key.clone()).await;
            let persisted = answered.order.is_some_and(|order| order.durability == "persisted");
            if answered.outcome != Outcome::Acked || !persisted {
                missing.push(key);
            }
        }
        left = missing;
        if left.is_empty() { Ok(()) } else { Err(format!("{} keys without an order that is persisted", left.len())) }
    })
    .await;
}

/// The case as a cell of the table.
fn told(Case { blow, cut }: &Case) -> String {
    let blow = blow.map(|(blow, tier, pods)| format!("{blow:?} {pods} {tier:?}"));
    let cut = cut.map(|(from, to, way)| format!("cut {from:?} from {to:?}, {way:?}"));
    [blow, cut].into_iter().flatten().collect::<Vec<_>>().join(" + ").to_lowercase()
}
