//! Counters of what the operator does, in the Prometheus text format. No I/O.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

/// What is counted. Labels are few and fixed; no object's name is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Shops that were looked at, by how it went.
    Reconciliations(&'static str),
    /// Objects that were sent to the API server, by kind.
    Applied(&'static str),
    /// Objects that were as they should be and were not sent, by kind.
    Unchanged(&'static str),
    /// Objects that were deleted as no longer wanted, by kind.
    Pruned(&'static str),
    /// Statuses that were written.
    StatusWrites,
    /// Errors of watches, by kind.
    WatchErrors(&'static str),
    /// Questions to shops' pods, by how it went.
    PodRequests(&'static str),
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Reconciliations(_) => "cloudshop_operator_reconciliations_total",
            Self::Applied(_) => "cloudshop_operator_objects_applied_total",
            Self::Unchanged(_) => "cloudshop_operator_objects_unchanged_total",
            Self::Pruned(_) => "cloudshop_operator_objects_pruned_total",
            Self::StatusWrites => "cloudshop_operator_status_writes_total",
            Self::WatchErrors(_) => "cloudshop_operator_watch_errors_total",
            Self::PodRequests(_) => "cloudshop_operator_pod_requests_total",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Reconciliations(_) => "Shops that were looked at, by how it went.",
            Self::Applied(_) => "Objects sent to the API server.",
            Self::Unchanged(_) => "Objects that were as they should be.",
            Self::Pruned(_) => "Objects deleted as no longer wanted.",
            Self::StatusWrites => "Statuses of Shops written.",
            Self::WatchErrors(_) => "Errors of watches.",
            Self::PodRequests(_) => "Questions to the pods of shops, by how it went.",
        }
    }

    fn label(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Reconciliations(result) | Self::PodRequests(result) => Some(("result", result)),
            Self::Applied(kind) | Self::Unchanged(kind) | Self::Pruned(kind) | Self::WatchErrors(kind) => {
                Some(("kind", kind))
            }
            Self::StatusWrites => None,
        }
    }
}

/// The counters of one process.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<BTreeMap<Counter, u64>>,
}

impl Metrics {
    /// Counts one.
    pub fn count(&self, counter: Counter) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(counter).or_default() += 1;
    }

    /// How many were counted.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(&counter).copied().unwrap_or_default()
    }

    /// All of them, in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut last = "";
        for (counter, count) in self.counts.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let name = counter.name();
            // Writing to a String cannot fail.
            if name != last {
                let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} counter", counter.help());
                last = name;
            }
            let _ = match counter.label() {
                Some((label, value)) => writeln!(text, "{name}{{{label}=\"{value}\"}} {count}"),
                None => writeln!(text, "{name} {count}"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_render_in_the_prometheus_format_with_one_head_a_name() {
        let metrics = Metrics::default();
        metrics.count(Counter::Applied("Service"));
        metrics.count(Counter::Applied("Service"));
        metrics.count(Counter::Applied("Deployment"));
        metrics.count(Counter::StatusWrites);
        insta::assert_snapshot!(metrics.render(), @r#"
        # HELP cloudshop_operator_objects_applied_total Objects sent to the API server.
        # TYPE cloudshop_operator_objects_applied_total counter
        cloudshop_operator_objects_applied_total{kind="Deployment"} 1
        cloudshop_operator_objects_applied_total{kind="Service"} 2
        # HELP cloudshop_operator_status_writes_total Statuses of Shops written.
        # TYPE cloudshop_operator_status_writes_total counter
        cloudshop_operator_status_writes_total 1
        "#);
    }
}
