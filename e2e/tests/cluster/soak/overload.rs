//! More commands than a shop can do, and clients that are slow on purpose; only `SOAK=overload make soak` runs it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use e2e::cluster::{Share, Shop, TestNamespace, in_namespace};
use load::ledger::{Entry, Outcome};
use load::report::{KindReport, Report};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::partition::{entries_in, until_applied};

/// What the only worker of an overloaded shop may take of a core: web, and what asks three times what it can do, need the rest.
const WORKER_CPU: &str = "300m";

/// Adds a second at which looking for the peak begins; a tenth as many orders are made.
const FIRST_RATE: f64 = 100.0;

/// A rate of which less than this share is done is more than a shop can do. A moment in which tables are made is not.
const ENOUGH: f64 = 0.95;

/// How long one rate is tried.
const TRY: Duration = Duration::from_secs(10);

/// How long the overload lasts.
const OVERLOAD: Duration = Duration::from_mins(1);

/// Longest that it takes until everything is as before.
const RECOVERED: Duration = Duration::from_secs(5);

/// Longest that a command takes that is accepted, whatever else comes.
const ANSWERED_MS: f64 = 500.0;

/// Longest until what was accepted into a queue is applied, when the overload is over.
const APPLIED: Duration = Duration::from_secs(10);

/// Adds a second that leave room for the slow ones.
const NORMAL: f64 = 100.0;

/// Connections that send their headers a few bytes at a time.
const SLOW_CONNECTIONS: u32 = 4_000;

/// Rounds without and with them, and how long each lasts.
const SLOW_ROUNDS: usize = 7;
const SLOW_ROUND: Duration = Duration::from_secs(15);

/// Head of the tables that are printed.
const HEAD: &str =
    "| load | adds asked a second | done a second | queued a second | p99 (ms) | others |\n|---|---|---|---|---|---|";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: SOAK=overload make soak"]
async fn three_times_what_a_shop_can_do_leaves_nine_tenths_of_it_in_time_and_is_over_in_five_seconds() {
    in_namespace(Share::Alone, "overload", async |namespace| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spec = spec(&namespace);
        spec["web"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 1});
        spec["worker"]["resources"] = json!({"requests": {"cpu": WORKER_CPU}, "limits": {"cpu": WORKER_CPU}});
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let ledger = folder.path().join("ledger");
        println!("{HEAD}");
        let mut rate = FIRST_RATE;
        while done(&put(&shop, "looking for the peak", rate, TRY, None).await) >= ENOUGH * 1.1 * rate {
            rate *= 2.0;
        }
        sleep(RECOVERED).await;
        // For as long as the overload, since a shop that writes for long has tables to merge as well.
        let peak = done(&put(&shop, "a little too much: the peak", rate, OVERLOAD, None).await);
        sleep(RECOVERED).await;
        // As many adds a second as make three times the peak with their creates.
        let report = put(&shop, "three times the peak", peak * 3.0 * 10.0 / 11.0, OVERLOAD, Some(&ledger)).await;
        let (api, of_queued_orders) = (shop.api().await, of_queued_orders(&ledger));
        let (after, ()) = tokio::join!(
            async {
                sleep(RECOVERED).await;
                put(&shop, "normal, 5 s later", peak / 4.0, TRY, None).await
            },
            until_applied(&api, &of_queued_orders, APPLIED)
        );
        assert!(done(&report) >= 0.9 * peak, "{:.0} of {peak:.0} a second", done(&report));
        for report in [&report, &after] {
            assert!(p99(report) <= ANSWERED_MS, "p99 {:.0} ms", p99(report));
        }
        assert!(faults(&after).is_empty(), "after the overload: {:?}", faults(&after));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: SOAK=overload make soak"]
async fn four_thousand_slow_connections_raise_the_p99_of_others_by_less_than_a_fifth() {
    in_namespace(Share::Alone, "slow", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &spec(&namespace)).await;
        let url = shop.url().await;
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        println!("{HEAD}");
        for _ in 0..SLOW_ROUNDS {
            alone.push(p99(&put(&shop, "alone", NORMAL, SLOW_ROUND, None).await));
            let slow = SlowClients::start(&url);
            sleep(Duration::from_secs(3)).await;
            let report = put(&shop, "beside slow connections", NORMAL, SLOW_ROUND, None).await;
            slow.end();
            assert!(faults(&report).is_empty(), "beside slow connections: {:?}", faults(&report));
            beside.push(p99(&report));
            sleep(Duration::from_secs(3)).await;
        }
        let (alone, beside) = (median(alone), median(beside));
        println!("p99 {alone:.0} ms alone, {beside:.0} ms beside {SLOW_CONNECTIONS} slow connections: medians of {SLOW_ROUNDS}");
        assert!(beside < 1.2 * alone, "{beside:.0} ms beside, {alone:.0} ms alone");
    })
    .await;
}

/// A shop with one worker.
fn spec(namespace: &TestNamespace) -> Value {
    let mut spec = namespace.small_shop();
    spec["worker"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 1});
    spec
}

/// Asks a shop for so many adds a second, with their creates, and prints a row of what came of them. By the program that users
/// have: in a debug build the generator would take the cores of the shop.
async fn put(shop: &Shop, what: &str, adds: f64, duration: Duration, ledger: Option<&Path>) -> Report {
    let program = std::env::var("SHOP_LOAD").expect("SOAK=overload make soak says where shop-load is");
    let (asked, seconds) = (adds.round().to_string(), format!("{}s", duration.as_secs()));
    let mut load = Command::new(program);
    load.args(["run", "--target", &shop.url().await, "--adds", &asked, "--duration", &seconds, "--seed", "11"]);
    load.args(["--in-flight", "4000", "--connections", "4000"]);
    if let Some(ledger) = ledger {
        load.arg("--ledger").arg(ledger);
    }
    let output = load.output().await.expect("shop-load runs");
    let report = serde_json::from_slice(&output.stdout);
    let report: Report = report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let (done, queued) = (done(&report), a_second(&report, |row| row.queued));
    println!("| {what} | {asked} | {done:.0} | {queued:.0} | {:.0} | {:?} |", p99(&report), faults(&report));
    assert_eq!(report.generator.overruns, 0, "the generator could not keep up");
    report
}

fn a_second(report: &Report, count: impl Fn(&KindReport) -> u64) -> f64 {
    let count: u64 = report.kinds.values().map(count).sum();
    f64::from(u32::try_from(count).expect("a few")) / report.seconds
}

/// Commands done in a second: what a queue has accepted is not done.
fn done(report: &Report) -> f64 {
    a_second(report, |row| row.ok - row.queued)
}

/// The worst p99 of all kinds of commands, of those that were answered as asked, from the time that each was due.
fn p99(report: &Report) -> f64 {
    report.kinds.values().map(|row| row.latency_ms.p99).fold(0.0, f64::max)
}

/// What was not answered as asked, and how often.
fn faults(report: &Report) -> Vec<(&String, &u64)> {
    report.kinds.values().flat_map(|row| &row.faults).collect()
}

/// What a ledger says of the orders of which a command was accepted into a queue, and of a hundred others, but for those of which
/// the end of a command is not known.
pub(super) fn of_queued_orders(ledger: &Path) -> Vec<Entry> {
    let entries = entries_in(ledger);
    let of = |is_one: &dyn Fn(&Entry) -> bool| -> BTreeSet<_> {
        entries.iter().filter(|entry| is_one(entry)).map(|entry| entry.order.clone()).collect()
    };
    let unknown = of(&|entry| entry.outcome == Outcome::Unknown);
    let acked = of(&|entry| entry.outcome == Outcome::Acked);
    let queued = of(&|entry| entry.outcome == Outcome::Acked && entry.durability.as_deref() == Some("queue"));
    let others: BTreeSet<_> = acked.difference(&(&queued | &unknown)).take(100).cloned().collect();
    let compared = &(&queued - &unknown) | &others;
    println!(
        "{} of {} orders with queued commands, and {} others, are compared",
        compared.len() - others.len(),
        queued.len(),
        others.len()
    );
    entries.into_iter().filter(|entry| compared.contains(&entry.order)).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Clients that send their headers a few bytes at a time, on as many connections as the shop has not closed, and then anew.
struct SlowClients(JoinHandle<()>);

impl SlowClients {
    fn start(url: &str) -> Self {
        let url = format!("{url}/");
        Self(tokio::spawn(async move {
            loop {
                slowhttptest(&url).wait().await.expect("slowhttptest runs");
            }
        }))
    }

    fn end(self) {
        self.0.abort();
    }
}

fn slowhttptest(url: &str) -> Child {
    let connections = SLOW_CONNECTIONS.to_string();
    // The load gets a core whenever it wants one: the time of these clients must not pass for the shop's.
    Command::new("chrt")
        .args(["--idle", "0", "slowhttptest", "-H", "-c", &connections, "-r", "2000", "-i", "2", "-x", "10", "-p", "3"])
        .args(["-t", "GET", "-l", "7", "-u", url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("slowhttptest is installed: dev/prerequisites.sh slowhttptest=slowhttptest")
}
