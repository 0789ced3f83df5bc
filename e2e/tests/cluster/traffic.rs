//! Load that goes on while something happens to the shop.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::cluster::Shop;
use futures::{StreamExt, stream};
use load::commands::{Command, Commands};
use load::http::{Client, ClientOptions};
use load::ledger::{Ledger, Outcome};
use load::report::{Kind, KindReport, Report};
use load::run::{Options, Rates, new_key, run};
use load::target::Target;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Load that is under way.
pub(crate) struct Traffic {
    tell: oneshot::Sender<()>,
    running: JoinHandle<Report>,
}

/// A client of the shop's Service that sends commands and keeps `ledger`.
pub(crate) async fn commands(shop: &Shop, ledger: Ledger) -> Commands {
    let target = Target::resolve(&shop.url().await, false).await.expect("an address of the cluster");
    let options = ClientOptions { timeout: Duration::from_secs(10), connections: 1_000 };
    Commands { client: Client::new(target, options).expect("a client"), ledger }
}

/// Orders that are made at once before a run.
const MADE_AT_ONCE: usize = 128;

/// Makes so many orders, and writes down at `path` what was answered.
pub(crate) async fn make_orders(shop: &Shop, orders: usize, path: &Path) {
    let (began, ledger) = (Instant::now(), Ledger::create(path).expect("a ledger"));
    let commands = commands(shop, ledger.clone()).await;
    stream::iter(0..orders)
        .for_each_concurrent(MADE_AT_ONCE, async |_| {
            let key = new_key();
            // One that has no answer is asked for again: what is measured comes later.
            while commands.send(Command::Create, key.clone()).await.outcome != Outcome::Acked {
                sleep(Duration::from_millis(200)).await;
            }
        })
        .await;
    ledger.flush().expect("written");
    println!("{orders} orders made in {:.0} s", began.elapsed().as_secs_f64());
}

/// Writes one ledger of several.
pub(crate) fn join_ledgers(parts: &[&Path], whole: &Path) {
    let parts = parts.iter().map(|part| std::fs::read_to_string(part).expect("a ledger"));
    std::fs::write(whole, parts.collect::<String>()).expect("a ledger");
}

impl Traffic {
    /// Starts load on a shop; it ends when it is told to, or after five minutes.
    pub(crate) async fn start(shop: &Shop, rates: Rates, ledger: Ledger) -> Self {
        let commands = commands(shop, ledger).await;
        let (tell, told) = oneshot::channel();
        let running = tokio::spawn(async move {
            let options = Options { rates, duration: Duration::from_mins(5), in_flight: 2_000, seed: 11 };
            // Dropped by a test that failed, it ends the load as well.
            let end = async { told.await.unwrap_or(()) };
            run(&commands, &options, end, &mut |_| {}).await.expect("the load runs")
        });
        Self { tell, running }
    }

    /// Ends the load, and gives its report.
    pub(crate) async fn end(self) -> Report {
        self.tell.send(()).expect("the load goes on until it is told to end");
        self.running.await.expect("no panic")
    }
}

/// One in so many requests may fail under availability while something is cut off or dies: the service level, in whole requests,
/// rounded up.
const ONE_IN: u64 = 1_000;

/// How it may: nobody knows what became of it, or a pod that had no core in time knows that it was not done, perhaps since what it
/// comes after was not there yet.
const MAY_FAIL_BY: [&str; 3] = ["503_outcome_unknown", "503_not_done", "503_behind"];

/// Checks that as many requests were answered as asked as availability promises, and says how many there were.
pub(crate) fn assert_available(what: &str, report: &Report) {
    let requests = requests(report);
    let ok: u64 = report.kinds.values().map(|row| row.ok).sum();
    let faults: Vec<_> = report.kinds.values().flat_map(|row| &row.faults).collect();
    println!("{what}: {ok} of {requests} requests succeeded, the others: {faults:?}");
    let most = requests.div_ceil(ONE_IN);
    assert!(requests - ok <= most, "{what}: more than {most} of {requests} requests failed: {faults:?}");
    assert!(faults.iter().all(|(fault, _)| MAY_FAIL_BY.contains(&fault.as_str())), "{what}: {faults:?}");
}

/// All requests, of whatever kind.
fn requests(report: &Report) -> u64 {
    report.kinds.values().map(|row| row.requests).sum()
}

/// Checks that as many requests were answered within half a second as availability promises.
pub(crate) fn assert_quick(what: &str, report: &Report) {
    let slow = |(kind, row): (&Kind, &KindReport)| {
        (row.ok - row.ok_within_500_ms, format!("{} {:?}", kind.name(), row.latency_ms))
    };
    let (slow, latencies): (Vec<_>, Vec<_>) = report.kinds.iter().map(slow).unzip();
    let most = requests(report).div_ceil(ONE_IN);
    assert!(slow.iter().sum::<u64>() <= most, "{what}: more than {most} requests took over 500 ms: {latencies:?}");
}

/// Checks that every request was answered as asked, and says how many there were.
pub(crate) fn assert_no_failure(what: &str, report: &Report) {
    let requests: u64 = report.kinds.values().map(|row| row.ok).sum();
    let faults: Vec<_> =
        report.kinds.iter().filter(|(_, row)| !row.faults.is_empty()).map(|(kind, row)| (kind, &row.faults)).collect();
    assert!(faults.is_empty(), "{what}: {requests} requests succeeded, others did not: {faults:?}");
    assert_eq!(report.generator.overruns, 0, "{what}: the generator could not keep up");
    let per_kind: Vec<String> = report
        .kinds
        .iter()
        .map(|(kind, row)| format!("{} p99 {:.0} max {:.0} ms", kind.name(), row.latency_ms.p99, row.latency_ms.max))
        .collect();
    println!("{what}: {requests} requests in {:.0} s, 0 failed; {}", report.seconds, per_kind.join(", "));
}
