//! What `shop verify` says about a store. Parses its answer; no I/O.

use serde_json::Value;

/// Checks that `shop verify --output json` found nothing wrong, and gives the number of orders.
#[must_use]
pub fn clean_orders(output: &str) -> u64 {
    let report: Value = serde_json::from_str(output.trim())
        .unwrap_or_else(|error| panic!("shop verify did not answer with JSON ({error}): {output}"));
    for wrong in ["lost", "doubled", "phantom", "corrupt"] {
        assert_eq!(report[wrong], 0, "{wrong}: {report:#}");
    }
    report["orders"].as_u64().unwrap_or_else(|| panic!("no number of orders: {report:#}"))
}
