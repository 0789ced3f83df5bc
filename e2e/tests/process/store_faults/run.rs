//! One shop's life through scenarios: started, sold from, failed, left alone, ended and verified. Does I/O.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use e2e::cloud_store::{Cloud, CloudStore};
use e2e::fault_proxy::{Counts, FaultProxy};
use e2e::pods::{Pods, verified_orders};
use futures::FutureExt;
use tokio::time::sleep;

use super::report::{Row, report, report_failure};
use super::scenarios::Scenario;
use super::shoppers::{Shoppers, acknowledged};

/// Longest time after the last fault until orders are made again.
const RECOVERY: Duration = Duration::from_mins(1);

/// Trade before the first fault, and between two.
const CALM: Duration = Duration::from_secs(1);

/// What the workers log when a database gave up, which a passing fault must not make it do.
const GAVE_UP: &str = "the database ended by itself";

/// What they log when they close all databases because they could not show that they live.
const LAPSED: &str = "no heartbeat was confirmed in time";

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    /// Time with each scenario's faults.
    pub(super) under_fault: Duration,
    /// Shoppers at the same time.
    pub(super) shoppers: u32,
}

/// Lets a shop live through `scenarios`, and reports.
pub(super) async fn run(cloud: Cloud, scenarios: &'static [Scenario], length: Length) {
    match AssertUnwindSafe(live_through(cloud, scenarios, length)).catch_unwind().await {
        Ok(rows) => rows.iter().for_each(report),
        Err(panic) => {
            report_failure(cloud, scenarios);
            resume_unwind(panic);
        }
    }
}

async fn live_through(cloud: Cloud, scenarios: &'static [Scenario], length: Length) -> Vec<Row> {
    let folder = crate::folder();
    let store = CloudStore::make(cloud).await;
    let proxy = FaultProxy::start(&store.emulator, 11).await;
    let mut pods = Pods::start(folder.path(), &store, store.config(&proxy.server)).await;
    let shoppers = Shoppers::start(&pods.url, &folder.path().join("ledger"), length.shoppers).await;
    let mut seen = Vec::new();
    for scenario in scenarios {
        sleep(CALM).await;
        let (before, lapsed) = (proxy.counts(), lapsed(&pods));
        proxy.set(Some(scenario.plan));
        sleep(length.under_fault).await;
        proxy.set(None);
        let counts = proxy.counts();
        let recovered = shoppers.until_orders_are_made(RECOVERY).await;
        pods.assert_running();
        assert!(!scenario.stays_open || self::lapsed(&pods) == lapsed, "{}: databases were closed", scenario.name);
        seen.push((scenario, between(&before, &counts), recovered));
    }
    let ledger = shoppers.ledger().to_owned();
    let repeated = shoppers.end().await;
    let printed = pods.printed_by_workers();
    pods.end().await;
    let stored = verified_orders(folder.path(), &store, &ledger);
    let acknowledged = acknowledged(&ledger);
    assert!(
        usize::try_from(stored).is_ok_and(|stored| stored >= acknowledged),
        "{acknowledged} orders, {stored} stored"
    );
    assert!(!printed.contains(GAVE_UP), "a database was closed by a passing fault:\n{printed}");
    for (scenario, counts, _) in &seen {
        for fault in scenario.plan.faults {
            assert!(counts.injected.contains_key(fault.name()), "{}: no {} happened", scenario.name, fault.name());
        }
    }
    let row = |(scenario, counts, recovered): (&'static Scenario, Counts, Duration)| Row {
        cloud,
        scenario: scenario.name,
        counts,
        acknowledged,
        stored,
        repeated,
        recovered,
    };
    seen.into_iter().map(row).collect()
}

/// How often the workers closed all databases so far.
fn lapsed(pods: &Pods) -> usize {
    pods.printed_by_workers().matches(LAPSED).count()
}

/// What came between two counts.
fn between(before: &Counts, after: &Counts) -> Counts {
    let mut injected = after.injected.clone();
    for (fault, count) in &mut injected {
        *count -= before.injected.get(fault).copied().unwrap_or_default();
    }
    injected.retain(|_, count| *count > 0);
    Counts {
        requests: after.requests - before.requests,
        passed: after.passed - before.passed,
        unanswered: after.unanswered - before.unanswered,
        injected,
    }
}
