//! The table of a soak: printed, and added to the file that `SOAK_ROWS` names. Writes that file.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use e2e::cloud_store::Cloud;
use e2e::fault_proxy::Counts;

use super::scenarios::Scenario;

/// What came of a scenario on a cloud.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) cloud: Cloud,
    pub(super) scenario: &'static str,
    /// While it failed.
    pub(super) counts: Counts,
    /// Orders that the shop acknowledged, over the whole run.
    pub(super) acknowledged: usize,
    /// Orders that the store holds in the end.
    pub(super) stored: u64,
    /// Attempts that shoppers had to repeat.
    pub(super) repeated: u32,
    /// From the last fault until orders were made on all shards.
    pub(super) recovered: Duration,
}

/// Adds a scenario that went well.
pub(super) fn report(row: &Row) {
    let Row { cloud, scenario, counts, acknowledged, stored, repeated, recovered } = row;
    let injected: Vec<String> = counts.injected.iter().map(|(fault, count)| format!("{count} {fault}")).collect();
    write(&format!(
        "| {scenario} | {cloud} | {} | {} | {} | {acknowledged} | {stored} | {repeated} | {:.1} | passed |",
        counts.requests,
        counts.passed,
        injected.join(", "),
        recovered.as_secs_f64(),
    ));
}

/// Adds scenarios one of which failed.
pub(super) fn report_failure(cloud: Cloud, scenarios: &[Scenario]) {
    for scenario in scenarios {
        write(&format!("| {} | {cloud} | | | | | | | | FAILED |", scenario.name));
    }
}

#[expect(clippy::print_stdout, reason = "whoever watches the soak reads it")]
fn write(line: &str) {
    println!("{line}");
    let Some(path) = std::env::var_os("SOAK_ROWS") else { return };
    let mut file = File::options().create(true).append(true).open(path).expect("the file of SOAK_ROWS");
    writeln!(file, "{line}").expect("written");
}
