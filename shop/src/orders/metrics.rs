//! What is counted of the order service. No I/O.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{answer::Answer, shard::ShardError};

/// Upper bounds of the buckets of latencies, in seconds.
const SECONDS: [f64; 12] = [0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// Counters of a worker; clones share them.
#[derive(Clone)]
pub struct OrderMetrics {
    commands: Family<OutcomeLabel, Counter>,
    seconds: Histogram,
    limit: Gauge,
    queued: Gauge,
    dead_letters: Gauge,
}

impl OrderMetrics {
    /// Counters that `registry` shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            commands: Family::default(),
            seconds: Histogram::new(SECONDS),
            limit: Gauge::default(),
            queued: Gauge::default(),
            dead_letters: Gauge::default(),
        };
        registry.register("shop_order_commands", "Commands on orders, by outcome", metrics.commands.clone());
        registry.register(
            "shop_order_command_seconds",
            "Time from a command's arrival at its shard to its durable answer",
            metrics.seconds.clone(),
        );
        registry.register(
            "shop_order_limit",
            "Commands and reads that the worker takes on at once; few while it has too little of a processor",
            metrics.limit.clone(),
        );
        registry.register("shop_queue_messages", "Messages in the queue, approximately", metrics.queued.clone());
        registry.register("shop_dead_letters", "Dead letters in the store", metrics.dead_letters.clone());
        metrics
    }

    pub(super) fn executed(&self, result: &Result<Answer, ShardError>, took: Duration) {
        let outcome = match result {
            Ok(answer) if answer.replayed => "replayed",
            Ok(_) => "applied",
            Err(ShardError::Refused(_)) => "refused",
            Err(ShardError::NotOwner) => "not_owner",
            Err(ShardError::Unknown) => "unknown",
            Err(ShardError::Full) => "full",
            Err(ShardError::Overloaded) => "overloaded",
            Err(ShardError::Late) => "late",
            Err(ShardError::Behind) => "behind",
            Err(ShardError::Damaged) => "damaged",
        };
        self.commands.get_or_create(&OutcomeLabel { outcome }).inc();
        if result.is_ok() {
            self.seconds.observe(took.as_secs_f64());
        }
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.set(i64::from(limit));
    }

    pub(super) fn set_queue(&self, queued: u64, dead_letters: u64) {
        self.queued.set(i64::try_from(queued).unwrap_or(i64::MAX));
        self.dead_letters.set(i64::try_from(dead_letters).unwrap_or(i64::MAX));
    }
}

impl fmt::Debug for OrderMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OrderMetrics").finish_non_exhaustive()
    }
}
