//! The eight ways in which a store fails. No I/O.

use std::time::Duration;

use e2e::fault_proxy::{Fault, Plan, Traffic};

/// One way to fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// In the report.
    pub(crate) name: &'static str,
    /// What happens to requests.
    pub(crate) plan: Plan,
    /// Whether enough gets through that every database stays open all the time.
    pub(crate) stays_open: bool,
}

/// Nothing gets through that is reset, so all of it can be done again.
pub(crate) const RESETS: Scenario = Scenario {
    name: "reset before the write",
    plan: Plan { on: Traffic::ALL, share: 0.25, faults: &[Fault::ResetBefore] },
    stays_open: true,
};

/// Whoever repeats such a write meets its own.
pub(crate) const REPLIES_LOST: Scenario = Scenario {
    name: "reply lost after the write",
    plan: Plan { on: Traffic::CHANGES, share: 0.25, faults: &[Fault::LoseReply] },
    stays_open: true,
};

/// Longer than anybody waits.
pub(crate) const STALLS: Scenario = Scenario {
    name: "stall",
    plan: Plan { on: Traffic::ALL, share: 0.05, faults: &[Fault::Stall(Duration::from_mins(10))] },
    stays_open: false,
};

/// Slower than any cloud on a bad day, but it works.
pub(crate) const SLOW: Scenario = Scenario {
    name: "slow and trickling",
    plan: Plan {
        on: Traffic::ALL,
        share: 1.0,
        faults: &[
            Fault::Slow { delay: Duration::from_millis(50), pause: Duration::from_millis(10) },
            Fault::Slow { delay: Duration::from_millis(300), pause: Duration::from_millis(60) },
        ],
    },
    stays_open: true,
};

/// An outage: for its time nothing is done at all.
pub(crate) const STORM_OF_503: Scenario = Scenario {
    name: "storm of 503",
    plan: Plan {
        on: Traffic::ALL,
        share: 1.0,
        faults: &[
            Fault::Refuse { status: 503, retry_after: None },
            Fault::Refuse { status: 503, retry_after: Some(1) },
        ],
    },
    stays_open: false,
};

/// Most is refused, with a time to come back.
pub(crate) const STORM_OF_429: Scenario = Scenario {
    name: "storm of 429",
    plan: Plan { on: Traffic::ALL, share: 0.7, faults: &[Fault::Refuse { status: 429, retry_after: Some(1) }] },
    stays_open: false,
};

/// What was read is not whole.
pub(crate) const ANSWERS_CUT: Scenario = Scenario {
    name: "answer cut off",
    plan: Plan { on: Traffic::ALL, share: 0.25, faults: &[Fault::CutAnswer] },
    stays_open: true,
};

/// Orders go on without the queue, and are confirmed once it is back.
pub(crate) const QUEUE_FAILS: Scenario = Scenario {
    name: "queue fails",
    plan: Plan {
        on: &[Traffic::Queue],
        share: 0.8,
        faults: &[Fault::Refuse { status: 500, retry_after: None }, Fault::LoseReply],
    },
    stays_open: true,
};
