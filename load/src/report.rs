//! What a run measured, as numbers and as JSON. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A search.
    #[serde(rename = "searches")]
    Search,
    /// A new order.
    #[serde(rename = "creates")]
    Create,
    /// One more item.
    #[serde(rename = "adds")]
    Add,
    /// An order's submission.
    #[serde(rename = "submits")]
    Submit,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Search, Self::Create, Self::Add, Self::Submit];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "searches",
            Self::Create => "creates",
            Self::Add => "adds",
            Self::Submit => "submits",
        }
    }
}

/// Durations, in microseconds up to 10 minutes, with three digits.
#[derive(Debug)]
pub struct Durations(Histogram<u64>);

const LONGEST_MICROSECONDS: u64 = 600_000_000;

/// Longest that a command is to take.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

impl Default for Durations {
    #[expect(clippy::expect_used, reason = "the bounds are constants that are always taken")]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_MICROSECONDS, 3).expect("taken"))
    }
}

impl Durations {
    /// Adds one.
    pub fn record(&mut self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(microseconds.clamp(1, LONGEST_MICROSECONDS));
    }

    /// The summary, in milliseconds.
    #[must_use]
    pub fn summary(&self) -> Percentiles {
        Percentiles {
            p50: self.milliseconds(0.5),
            p90: self.milliseconds(0.9),
            p99: self.milliseconds(0.99),
            p999: self.milliseconds(0.999),
            max: self.milliseconds(1.0),
        }
    }

    /// How many took no longer.
    #[must_use]
    pub fn within(&self, limit: Duration) -> u64 {
        self.0.count_between(0, u64::try_from(limit.as_micros()).unwrap_or(u64::MAX))
    }

    fn milliseconds(&self, quantile: f64) -> f64 {
        let microseconds = self.0.value_at_quantile(quantile).min(self.0.max());
        Duration::from_micros(microseconds).as_secs_f64() * 1_000.0
    }
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half took no longer.
    pub p50: f64,
    /// 90 % took no longer.
    pub p90: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// 99.9 % took no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Different faults kept apart; further ones are counted together.
const MOST_FAULTS: usize = 50;

/// What became of the requests of one kind.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answered as asked.
    pub ok: u64,
    /// Of these, accepted into a queue.
    pub queued: u64,
    /// All others, by what went wrong.
    pub faults: BTreeMap<String, u64>,
    /// From the due time to the whole answer, of those answered as asked.
    pub latency: Durations,
    /// From sending to the whole answer, of those answered as asked.
    pub service: Durations,
}

impl Tally {
    /// Counts a request answered as asked, perhaps by the promise of a queue.
    pub fn succeeded(&mut self, latency: Duration, service: Duration, is_queued: bool) {
        self.ok += 1;
        self.queued += u64::from(is_queued);
        self.latency.record(latency);
        self.service.record(service);
    }

    /// Counts a request that was not.
    pub fn failed(&mut self, fault: &str) {
        let known = self.faults.len() < MOST_FAULTS || self.faults.contains_key(fault);
        *self.faults.entry(if known { fault } else { "other" }.to_owned()).or_default() += 1;
    }

    /// Requests that were not answered as asked.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.faults.values().sum()
    }
}

/// The report of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was aimed at.
    pub target: String,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// How long requests were sent, in seconds.
    pub seconds: f64,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// What became of the requests of each kind.
    pub kinds: BTreeMap<Kind, KindReport>,
    /// How the generator itself fared.
    pub generator: GeneratorReport,
}

/// What became of the requests of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KindReport {
    /// Asked for, a second.
    pub asked_per_second: f64,
    /// Sent, or due and never sent.
    pub requests: u64,
    /// Answered as asked.
    pub ok: u64,
    /// Of these, accepted into a queue, to be applied later.
    pub queued: u64,
    /// Of those answered as asked, answered within half a second from the due time, as commands are to be.
    pub ok_within_500_ms: u64,
    /// Answered as asked, a second.
    pub ok_per_second: f64,
    /// The others, by what went wrong.
    pub faults: BTreeMap<String, u64>,
    /// From the due time to the whole answer, of those answered as asked, in milliseconds.
    pub latency_ms: Percentiles,
    /// From sending to the whole answer, of those answered as asked, in milliseconds.
    pub service_ms: Percentiles,
}

impl KindReport {
    /// Sums a tally up over `seconds`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn new(tally: &Tally, asked_per_second: f64, seconds: f64) -> Self {
        Self {
            asked_per_second,
            requests: tally.ok + tally.failures(),
            ok: tally.ok,
            queued: tally.queued,
            ok_within_500_ms: tally.latency.within(HALF_A_SECOND),
            ok_per_second: if seconds > 0.0 { tally.ok as f64 / seconds } else { 0.0 },
            faults: tally.faults.clone(),
            latency_ms: tally.latency.summary(),
            service_ms: tally.service.summary(),
        }
    }
}

/// How the generator itself fared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GeneratorReport {
    /// Requests never sent because too many were in flight: the generator, or a shop that answers nothing.
    pub overruns: u64,
    /// How late searches and creates were sent, in milliseconds.
    pub lateness_ms: Percentiles,
    /// Connections made.
    pub connections: usize,
    /// Processor time used while requests were sent, in seconds; unknown where there is no `/proc`.
    pub cpu_seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds_and_the_maximum_is_no_less_than_any() {
        let mut durations = Durations::default();
        for milliseconds in 1..=1000 {
            durations.record(Duration::from_millis(milliseconds));
        }
        let summary = durations.summary();
        assert!((summary.p50 - 500.0).abs() < 1.0, "{summary:?}");
        assert!((summary.p99 - 990.0).abs() < 1.0, "{summary:?}");
        assert!((summary.max - 1000.0).abs() < 1.0, "{summary:?}");
    }

    #[test]
    fn failures_are_counted_by_what_went_wrong_and_never_as_latency() {
        let mut tally = Tally::default();
        tally.succeeded(Duration::from_millis(2), Duration::from_millis(1), true);
        tally.failed("503_overloaded");
        tally.failed("503_overloaded");
        let report = KindReport::new(&tally, 10.0, 0.5);
        assert_eq!((report.requests, report.ok, report.queued, report.faults["503_overloaded"]), (3, 1, 1, 2));
        assert!((report.ok_per_second - 2.0).abs() < f64::EPSILON);
        assert!(report.latency_ms.max < 3.0);
    }

    #[test]
    fn a_flood_of_different_faults_is_bounded() {
        let mut tally = Tally::default();
        for number in 0..1000 {
            tally.failed(&number.to_string());
        }
        assert_eq!(tally.failures(), 1000);
        assert!(tally.faults.len() <= MOST_FAULTS + 1);
    }
}
