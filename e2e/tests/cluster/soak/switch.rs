//! A shop of many orders that moves between clouds and a disk while people buy; only `SOAK=switch make soak` runs it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use e2e::cluster::{Share, Shop, in_namespace, verify_store};
use kube::api::DynamicObject;
use load::ledger::Outcome;
use load::report::{Kind, KindReport, Report};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::{now_ns, overload::of_queued_orders};
use crate::partition::{entries_in, until_applied};
use crate::traffic::{join_ledgers, make_orders};

/// Orders that are there before anything moves, unless `SWITCH_ORDERS` says how many.
const ORDERS: usize = 100_000;

/// Searches, adds and submits a second, unless `SWITCH_RATES` says others: those of the challenge, of searches a fifth.
const RATES: &str = "2000,500,50";

/// Longest that the load lasts.
const LOAD: &str = "30m";

/// Trade before, between and after the switches.
const CALM: Duration = Duration::from_secs(10);

/// Longest until everything is in the other store.
const MOVED: Duration = Duration::from_mins(10);

/// Longest from the end of the load until everything that was accepted is applied.
const PERSISTED: Duration = Duration::from_secs(10);

/// Longest that the orders of a shard may not be answered for, and that any answer may take.
const HELD_MS: u64 = 500;
const ANSWERED_MS: f64 = 500.0;
const LATEST_MS: f64 = 1_000.0;

/// One in so many writes may be accepted into a queue.
const QUEUED_ONE_IN: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: SOAK=switch make soak"]
async fn a_shop_of_many_orders_moves_between_clouds_and_a_disk_and_no_request_fails() {
    Box::pin(in_namespace(Share::Alone, "switch-many", async |namespace| {
        let mut spec = namespace.small_shop();
        spec["storage"] = namespace.storage_to_move().await.expect("a run in a cloud");
        assert_eq!(spec["storage"]["provider"], "Aws", "PROVIDERS=aws");
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let folder = tempfile::tempdir().expect("a folder");
        let (made, bought) = (folder.path().join("made"), folder.path().join("bought"));
        make_orders(&shop, orders(), &made).await;
        let load = start_load(&shop, &bought).await;
        let mut timeline = Vec::new();
        sleep(CALM).await;
        println!("| from | to | phases, and seconds until each | longest hold (ms) | MB copied | orders compared | pods of it after (s) |\n|---|---|---|---|---|---|---|");
        let mut longest = 0;
        for to in ["Azure", "Aws", "Embedded", "Azure"] {
            longest = longest.max(switch(&shop, &mut spec, to, &mut timeline).await);
            sleep(CALM).await;
        }
        let report = end(load).await;
        print_timeline(timeline, &bought);
        until_applied(&shop.api().await, &of_queued_orders(&bought), PERSISTED).await;
        let config = shop.delete().await;
        let whole = folder.path().join("ledger");
        join_ledgers(&[&made, &bought], &whole);
        let stored = verify_store(&shop, &config, Some(&whole)).await;
        println!("\n{stored} orders in the store, nothing lost or doubled; the longest hold was {longest} ms");
        judge(&report, longest);
    }))
    .await;
}

/// How many orders are made first.
fn orders() -> usize {
    std::env::var("SWITCH_ORDERS").map_or(ORDERS, |orders| orders.parse().expect("SWITCH_ORDERS is a number"))
}

/// Starts the load, by the program that users have: in a debug build the generator would take the cores of the shop.
async fn start_load(shop: &Shop, ledger: &Path) -> Child {
    let program = std::env::var("SHOP_LOAD").expect("SOAK=switch make soak says where shop-load is");
    let rates = std::env::var("SWITCH_RATES").unwrap_or_else(|_| RATES.to_owned());
    let [searches, adds, submits] = rates.split(',').collect::<Vec<_>>()[..] else {
        panic!("SWITCH_RATES is searches, adds and submits a second, such as {RATES}");
    };
    let mut load = Command::new(program);
    load.args(["run", "--target", &shop.url().await, "--duration", LOAD, "--seed", "11"]);
    load.args(["--searches", searches, "--adds", adds, "--submits", submits]);
    load.args(["--in-flight", "4000", "--connections", "2000", "--ledger"]).arg(ledger);
    load.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    load.spawn().expect("shop-load runs")
}

async fn end(load: Child) -> Report {
    let id = load.id().expect("it runs").to_string();
    let told = Command::new("kill").args(["-s", "INT", &id]).status().await.expect("kill runs");
    assert!(told.success(), "the load ended by itself");
    let output = load.wait_with_output().await.expect("it ends");
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// Moves a shop, prints a row of how that went, and gives the longest hold.
async fn switch(shop: &Shop, spec: &mut Value, to: &str, timeline: &mut Vec<(u64, String)>) -> u64 {
    let (before, began, began_ns) = (shop.pod_uids().await, Instant::now(), now_ns());
    spec["storage"]["provider"] = json!(to);
    let applied = shop.apply(spec).await.expect("accepted");
    let generation = applied.metadata.generation;
    let phases: Mutex<BTreeMap<String, f64>> = Mutex::default();
    let seen = |shop: &DynamicObject| {
        let status = &shop.data["status"];
        let (phase, is_new) = (&status["switch"]["phase"], status["observedGeneration"].as_i64() >= generation);
        let is_of_it = is_new && status["switch"]["to"] == to;
        if is_of_it {
            let mut phases = phases.lock().unwrap_or_else(PoisonError::into_inner);
            phases
                .entry(phase.as_str().unwrap_or_default().to_owned())
                .or_insert_with(|| began.elapsed().as_secs_f64());
        }
        is_of_it && *phase == "Completed" && status["provider"] == to
    };
    let mut done = shop.wait("everything is in the other store", MOVED, seen).await;
    let switch = done.data["status"]["switch"].take();
    shop.all_replaced(&before).await;
    shop.wait_ready(MOVED).await;
    let replaced = began.elapsed().as_secs_f64();
    let mut phases: Vec<_> = phases.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    phases.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let at = |seconds: f64| began_ns + u64::try_from(Duration::from_secs_f64(seconds).as_nanos()).expect("soon");
    timeline.extend(phases.iter().map(|(phase, after)| (at(*after), format!("to {to}: {phase}"))));
    timeline.push((at(replaced), format!("in {to}: all pods begin there")));
    let phases: Vec<_> = phases.into_iter().map(|(phase, after)| format!("{phase} {after:.1}")).collect();
    let held = switch["longestHoldMillis"].as_u64().expect("reported");
    let copied = switch["bytesCopied"].as_u64().expect("reported") / 1_000_000;
    let verification = &switch["verification"];
    assert_eq!(verification["result"], "Passed", "{verification}");
    println!(
        "| {} | {to} | {} | {held} | {copied} | {} | {replaced:.1} |",
        switch["from"].as_str().unwrap_or_default(),
        phases.join(", "),
        verification["orders"]
    );
    held
}

/// Prints when each phase began, and each command that was not acknowledged, by when it was sent.
fn print_timeline(mut timeline: Vec<(u64, String)>, ledger: &Path) {
    let entries = entries_in(ledger);
    let began = entries.iter().map(|entry| entry.at_ns).min().expect("commands");
    let failed = entries.iter().filter(|entry| entry.outcome != Outcome::Acked);
    timeline.extend(failed.map(|entry| (entry.at_ns, format!("{:?} was answered {:?}", entry.op, entry.http))));
    timeline.sort();
    println!("\n| second | |\n|---|---|");
    for (at, what) in timeline {
        println!("| {:.1} | {what} |", Duration::from_nanos(at.saturating_sub(began)).as_secs_f64());
    }
    println!();
}

/// Prints what the load was told, and checks that it is what was promised.
fn judge(report: &Report, longest_hold: u64) {
    println!(
        "\n| requests | answered | of them queued | p50 | p99 | p99.9 | max (ms) | others |\n|---|---|---|---|---|---|---|---|"
    );
    for (kind, row) in &report.kinds {
        let KindReport { requests, ok, queued, latency_ms, faults, .. } = row;
        println!(
            "| {} | {ok} of {requests} | {queued} | {:.0} | {:.0} | {:.0} | {:.0} | {faults:?} |",
            kind.name(),
            latency_ms.p50,
            latency_ms.p99,
            latency_ms.p999,
            latency_ms.max
        );
    }
    assert_eq!(report.generator.overruns, 0, "the generator could not keep up");
    for (kind, row) in &report.kinds {
        assert!(row.faults.is_empty(), "{}: {:?}", kind.name(), row.faults);
        assert!(row.latency_ms.p99 <= ANSWERED_MS, "{}: p99 {:.0} ms", kind.name(), row.latency_ms.p99);
        assert!(row.latency_ms.max <= LATEST_MS, "{}: {:.0} ms", kind.name(), row.latency_ms.max);
    }
    let writes = || report.kinds.iter().filter(|(kind, _)| **kind != Kind::Search).map(|(_, row)| row);
    let (queued, all): (u64, u64) = (writes().map(|row| row.queued).sum(), writes().map(|row| row.requests).sum());
    assert!(queued * QUEUED_ONE_IN <= all, "{queued} of {all} writes went to a queue");
    assert!(longest_hold < HELD_MS, "{longest_hold} ms");
}
