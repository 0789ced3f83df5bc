//! Which requests meet which fault, and how often that happened. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Reads of blobs, and listings.
    Reads,
    /// Everything that changes blobs.
    Writes,
    /// Everything of the queue.
    Queue,
}

impl Traffic {
    /// All there is.
    pub const ALL: &[Self] = &[Self::Reads, Self::Writes, Self::Queue];
    /// What leaves something behind when only its answer is lost.
    pub const CHANGES: &[Self] = &[Self::Writes, Self::Queue];
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The connection is reset; the emulator never hears of it.
    ResetBefore,
    /// The emulator does it, and the connection is reset in place of the answer.
    LoseReply,
    /// Nothing happens for so long, then the connection is reset; the emulator never hears of it.
    Stall(Duration),
    /// The emulator hears of it after the delay, and the answer comes in pieces with a pause after each.
    Slow {
        /// How much later the request is passed on.
        delay: Duration,
        /// After each of the answer's pieces.
        pause: Duration,
    },
    /// It is refused with this status, as the cloud does; the emulator never hears of it.
    Refuse {
        /// 429, 500 or 503.
        status: u16,
        /// Seconds of a `Retry-After`.
        retry_after: Option<u32>,
    },
    /// Half of the answer's body, then the end of the connection. An answer without a body passes.
    CutAnswer,
}

impl Fault {
    /// By which it is counted.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ResetBefore => "reset",
            Self::LoseReply => "reply lost",
            Self::Stall(_) => "stall",
            Self::Slow { .. } => "slow",
            Self::Refuse { status: 429, .. } => "429",
            Self::Refuse { status: 500, .. } => "500",
            Self::Refuse { retry_after: None, .. } => "503",
            Self::Refuse { retry_after: Some(_), .. } => "503 with Retry-After",
            Self::CutAnswer => "answer cut",
        }
    }
}

/// What happens to the requests of a while.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which requests may meet a fault.
    pub on: &'static [Traffic],
    /// How many of them do, from 0 to 1.
    pub share: f64,
    /// The faults, one of which each of them meets, all as often.
    pub faults: &'static [Fault],
}

/// What came to the proxy, and what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came.
    pub requests: u64,
    /// Requests that the emulator answered.
    pub passed: u64,
    /// Requests that the emulator did not answer although they were passed on.
    pub unanswered: u64,
    /// Faults by name.
    pub injected: BTreeMap<&'static str, u64>,
}

/// The plan that holds now, and what came of it and of those before.
#[derive(Debug)]
pub(super) struct Controls {
    pub(super) plan: Option<Plan>,
    pub(super) counts: Counts,
    random: StdRng,
}

impl Controls {
    pub(super) fn new(seed: u64) -> Self {
        Self { plan: None, counts: Counts::default(), random: StdRng::seed_from_u64(seed) }
    }

    /// Counts a request and says what it meets.
    pub(super) fn decide(&mut self, traffic: Traffic) -> Option<Fault> {
        self.counts.requests += 1;
        let plan = self.plan.as_ref().filter(|plan| plan.on.contains(&traffic))?;
        self.random.random_bool(plan.share).then(|| plan.faults.choose(&mut self.random).copied()).flatten()
    }

    /// Counts a fault that was injected.
    pub(super) fn injected(&mut self, fault: Fault) {
        *self.counts.injected.entry(fault.name()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESETS: Plan = Plan { on: &[Traffic::Writes], share: 0.5, faults: &[Fault::ResetBefore] };

    fn decided(seed: u64, traffic: Traffic) -> Vec<Option<Fault>> {
        let mut controls = Controls::new(seed);
        controls.plan = Some(RESETS);
        (0..100).map(|_| controls.decide(traffic)).collect()
    }

    #[test]
    fn the_same_seed_decides_the_same_and_another_does_not() {
        assert_eq!(decided(7, Traffic::Writes), decided(7, Traffic::Writes));
        assert_ne!(decided(7, Traffic::Writes), decided(8, Traffic::Writes));
    }

    #[test]
    fn a_plan_for_writes_leaves_reads_and_the_queue_alone() {
        assert!(decided(7, Traffic::Writes).contains(&Some(Fault::ResetBefore)));
        for traffic in [Traffic::Reads, Traffic::Queue] {
            assert_eq!(decided(7, traffic), [None; 100]);
        }
    }

    #[test]
    fn without_a_plan_requests_are_only_counted() {
        let mut controls = Controls::new(1);
        assert_eq!(controls.decide(Traffic::Queue), None);
        assert_eq!(controls.counts, Counts { requests: 1, ..Counts::default() });
    }
}
