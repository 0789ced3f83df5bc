//! Long runs at the challenge's rates, which only `SOAK=workers make soak` makes, beyond them (`SOAK=overload`), and while the shop
//! moves between clouds (`SOAK=switch`).

mod overload;
mod switch;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use e2e::cluster::{Share, Shop, in_namespace, kill_container, pods::name_of, verify_store};
use e2e::wait::until;
use load::ledger::{Ledger, Operation, Outcome};
use load::report::{Kind, KindReport, Report};
use load::run::Rates;
use serde_json::{Value, json};
use shop::domain::{OrderId, shard_of};
use tokio::time::sleep;

use crate::partition::entries;
use crate::traffic::{Traffic, assert_no_failure};

/// The rates of the Cloud Scale Challenge for commands, and some searches.
const CHALLENGE: Rates = Rates { searches: 50.0, adds: 500.0, submits: 50.0 };

/// What one worker does by the way.
const LITTLE: Rates = Rates { searches: 20.0, adds: 4.0, submits: 0.5 };

/// Order shards of these shops.
const SHARDS: u16 = 6;

/// Longest that commands under consistency may fail after the owner of their orders was killed.
const FAILING: Duration = Duration::from_secs(10);

/// Longest that a command may take while workers come and go in order.
const DELAYED_MS: f64 = 1_000.0;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: SOAK=workers make soak"]
async fn one_of_three_workers_killed_at_550_commands_a_second_fails_no_cart_and_few_submits_for_ten_seconds() {
    Box::pin(in_namespace(Share::Alone, "kill-550", async |namespace| {
        let mut spec = namespace.small_shop();
        spec["orders"] = json!({"shards": SHARDS});
        spec["onPartition"] = json!({"carts": "Availability", "submit": "Consistency"});
        spec["worker"]["autoscaling"] = json!({"minReplicas": 3, "maxReplicas": 3});
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        until_owned_by(&shop, 3).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path).expect("a ledger");
        let traffic = Traffic::start(&shop, CHALLENGE, ledger.clone()).await;
        sleep(Duration::from_secs(15)).await;
        let owners = owners(&shop).await;
        let victim = shop.pods(Some("worker")).await.into_iter().next().expect("a worker");
        let of_victim: BTreeSet<u16> =
            (0..SHARDS).filter(|shard| owners[usize::from(*shard)] == name_of(&victim)).collect();
        let killed = now_ns();
        kill_container(&victim).await;
        sleep(Duration::from_secs(30)).await;
        let report = traffic.end().await;
        println!("{}", told(&report));
        for kind in [Kind::Add, Kind::Create, Kind::Search] {
            let faults = &report.kinds[&kind].faults;
            assert!(faults.is_empty(), "{}: {faults:?}", kind.name());
        }
        let mut failed = 0;
        for entry in entries(&ledger, &path).iter().filter(|entry| entry.outcome != Outcome::Acked) {
            let order: OrderId = entry.order.as_deref().expect("an order").parse().expect("its id");
            let after = Duration::from_nanos(entry.at_ns.saturating_sub(killed));
            assert_eq!(entry.op, Operation::Submit);
            assert!(after <= FAILING, "{entry:?} failed {after:?} after the kill");
            assert!(of_victim.contains(&shard_of(order, SHARDS)), "{entry:?} had another owner than {of_victim:?}");
            failed += 1;
        }
        println!("{failed} submits of the shards {of_victim:?} failed");
        let config = shop.delete().await;
        verify_store(&shop, &config, Some(&path)).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: SOAK=workers make soak"]
async fn workers_follow_the_load_up_and_down_with_their_shards_and_delay_nobody() {
    in_namespace(Share::Alone, "workers", async |namespace| {
        let mut spec = namespace.small_shop();
        spec["orders"] = json!({"shards": SHARDS});
        spec["onPartition"] = json!({"carts": "Consistency", "submit": "Consistency"});
        spec["worker"] = json!({
            "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "targetCpuUtilization": 60},
            "resources": {"requests": {"cpu": "100m"}},
        });
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        follows("while workers came", &shop, CHALLENGE, 3).await;
        follows("while workers left", &shop, LITTLE, 1).await;
    })
    .await;
}

/// Puts load on a shop until so many workers own its shards, and checks that nobody noticed.
async fn follows(what: &str, shop: &Shop, rates: Rates, workers: usize) {
    let traffic = Traffic::start(shop, rates, Ledger::none()).await;
    let began = Instant::now();
    until_owned_by(shop, workers).await;
    println!("{what}: {workers} own all shards after {:.0} s", began.elapsed().as_secs_f64());
    sleep(Duration::from_secs(10)).await;
    let report = traffic.end().await;
    assert_no_failure(what, &report);
    for (kind, row) in &report.kinds {
        assert!(row.latency_ms.max <= DELAYED_MS, "{}: max {:.0} ms", kind.name(), row.latency_ms.max);
    }
}

/// The name of each shard's owner, as the Shop's status tells it.
async fn owners(shop: &Shop) -> Vec<String> {
    let shop = shop.shops().get(&shop.name).await.expect("the Shop");
    let shards = shop.data["status"]["shards"].as_array().cloned().unwrap_or_default();
    let owner = |shard: &Value| shard["owner"].as_str().unwrap_or_default().to_owned();
    shards.iter().map(owner).collect()
}

/// Waits until so many workers own all shards.
async fn until_owned_by(shop: &Shop, workers: usize) {
    until("the shards have owners", Duration::from_mins(4), async || {
        let owners = owners(shop).await;
        let different: BTreeSet<&String> = owners.iter().collect();
        let all_owned = owners.len() == usize::from(SHARDS) && owners.iter().all(|owner| !owner.is_empty());
        if all_owned && different.len() == workers { Ok(()) } else { Err(format!("{owners:?}")) }
    })
    .await;
}

fn told(report: &Report) -> String {
    let row = |(kind, row): (&Kind, &KindReport)| {
        format!(
            "{} {}: p99 {:.0} max {:.0} ms, {:?}",
            row.requests,
            kind.name(),
            row.latency_ms.p99,
            row.latency_ms.max,
            row.faults
        )
    };
    report.kinds.iter().map(row).collect::<Vec<_>>().join("; ")
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_nanos()).expect("before 2554")
}
