//! More commands than a shop can do, and clients that are slow on purpose; only `SOAK=overload make soak` runs it.

use std::process::Stdio;
use std::time::Duration;

use e2e::cluster::{Share, Shop, TestNamespace, in_namespace};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What the only worker of an overloaded shop may take of a core: web, and what asks three times what it can do, need the rest.
const WORKER_CPU: &str = "100m";

/// Adds a second at which looking for the peak begins; a tenth as many orders are made.
const FIRST_RATE: f64 = 100.0;

/// A rate of which less than this share is answered as asked is more than a shop can do.
const ENOUGH: f64 = 0.99;

/// How long one rate is tried.
const TRY: Duration = Duration::from_secs(10);

/// How long the overload lasts.
const OVERLOAD: Duration = Duration::from_mins(1);

/// Longest that it takes until everything is as before.
const RECOVERED: Duration = Duration::from_secs(5);

/// Longest that a command takes that is accepted, whatever else comes.
const ANSWERED_MS: f64 = 500.0;

/// Adds a second that leave room for the slow ones.
const NORMAL: f64 = 100.0;

/// Connections that send their headers a few bytes at a time.
const SLOW_CONNECTIONS: u32 = 4_000;

/// Rounds without and with them, and how long each lasts.
const SLOW_ROUNDS: usize = 7;
const SLOW_ROUND: Duration = Duration::from_secs(15);

/// Head of the tables that are printed.
const HEAD: &str =
    "| load | adds asked a second | answered as asked a second | p99 (ms) | others |\n|---|---|---|---|---|";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: SOAK=overload make soak"]
async fn three_times_what_a_shop_can_do_leaves_nine_tenths_of_it_in_time_and_is_over_in_five_seconds() {
    in_namespace(Share::Alone, "overload", async |namespace| {
        let mut spec = spec(&namespace);
        spec["web"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 1});
        spec["worker"]["resources"] = json!({"requests": {"cpu": WORKER_CPU}, "limits": {"cpu": WORKER_CPU}});
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        println!("{HEAD}");
        let (mut peak, mut rate) = (0.0_f64, FIRST_RATE);
        loop {
            let report = put(&shop, "looking for the peak", rate, TRY).await;
            peak = peak.max(report.goodput());
            if report.goodput() < ENOUGH * 1.1 * rate {
                break;
            }
            rate *= 2.0;
        }
        // As many adds a second as make three times the peak with their creates.
        let report = put(&shop, "three times the peak", peak * 3.0 * 10.0 / 11.0, OVERLOAD).await;
        sleep(RECOVERED).await;
        let after = put(&shop, "normal, 5 s later", peak / 4.0, TRY).await;
        assert!(report.goodput() >= 0.9 * peak, "{:.0} of {peak:.0} a second", report.goodput());
        for report in [&report, &after] {
            assert!(report.p99() <= ANSWERED_MS, "p99 {:.0} ms", report.p99());
        }
        assert!(after.faults().is_empty(), "after the overload: {:?}", after.faults());
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
            alone.push(put(&shop, "alone", NORMAL, SLOW_ROUND).await.p99());
            let slow = SlowClients::start(&url);
            sleep(Duration::from_secs(3)).await;
            let report = put(&shop, "beside slow connections", NORMAL, SLOW_ROUND).await;
            slow.end();
            assert!(report.faults().is_empty(), "beside slow connections: {:?}", report.faults());
            beside.push(report.p99());
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
async fn put(shop: &Shop, what: &str, adds: f64, duration: Duration) -> Report {
    let program = std::env::var("SHOP_LOAD").expect("SOAK=overload make soak says where shop-load is");
    let (adds, duration) = (adds.round().to_string(), format!("{}s", duration.as_secs()));
    let arguments =
        ["--adds", &adds, "--duration", &duration, "--in-flight", "4000", "--connections", "4000", "--seed", "11"];
    let load = Command::new(program).args(["run", "--target", &shop.url().await]).args(arguments).output();
    let output = load.await.expect("shop-load runs");
    let told = serde_json::from_slice(&output.stdout);
    let report = Report(told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))));
    println!("| {what} | {adds} | {:.0} | {:.0} | {:?} |", report.goodput(), report.p99(), report.faults());
    assert_eq!(report.0["generator"]["overruns"], 0, "the generator could not keep up");
    report
}

/// What shop-load says.
struct Report(Value);

impl Report {
    fn kinds(&self) -> impl Iterator<Item = &Value> {
        self.0["kinds"].as_object().expect("kinds").values()
    }

    /// Commands answered as asked in a second.
    fn goodput(&self) -> f64 {
        self.kinds().filter_map(|kind| kind["ok_per_second"].as_f64()).sum()
    }

    /// The worst p99 of all kinds of commands, of those that were answered as asked, from the time that each was due.
    fn p99(&self) -> f64 {
        self.kinds().filter_map(|kind| kind["latency_ms"]["p99"].as_f64()).fold(0.0, f64::max)
    }

    /// What was not answered as asked, and how often.
    fn faults(&self) -> Vec<(&str, u64)> {
        let faults = self.kinds().filter_map(|kind| kind["faults"].as_object()).flatten();
        faults.map(|(fault, count)| (fault.as_str(), count.as_u64().unwrap_or_default())).collect()
    }
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
