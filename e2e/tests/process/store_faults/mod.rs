//! A shop of several processes on a store that fails, behind a proxy that makes it fail, while shoppers buy: nothing
//! that was acknowledged is lost, nothing is doubled, and all goes on by itself soon after the last fault.

mod report;
mod run;
pub(crate) mod scenarios;
mod shoppers;

use std::time::Duration;

use e2e::cloud_store::Cloud;

use run::{Length, run};

/// For CI: each fault for a little longer than a lease lives without heartbeats.
const SHORT: Length = Length { under_fault: Duration::from_secs(8), shoppers: 12 };

/// For the soak: each fault for many times as long, or as long as `SOAK_FAULT_SECONDS` says.
fn long() -> Length {
    let named = std::env::var("SOAK_FAULT_SECONDS").ok();
    let seconds = named.map_or(40, |seconds| seconds.parse().expect("SOAK_FAULT_SECONDS is a number"));
    Length { under_fault: Duration::from_secs(seconds), shoppers: 24 }
}

/// The faults that CI has time for, those that endanger most; one shop lives through both.
const SLICE: &[scenarios::Scenario] = &[scenarios::REPLIES_LOST, scenarios::STORM_OF_503];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_on_aws_survive_lost_replies_and_an_outage() {
    run(Cloud::Aws, SLICE, SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_on_azure_survive_lost_replies_and_an_outage() {
    run(Cloud::Azure, SLICE, SHORT).await;
}

/// Each scenario on each cloud, with a shop of its own.
macro_rules! matrix {
    ($($name:ident: $scenario:ident,)*) => {
        matrix!(aws, Cloud::Aws, $($name: $scenario,)*);
        matrix!(azure, Cloud::Azure, $($name: $scenario,)*);
    };
    ($module:ident, $cloud:expr, $($name:ident: $scenario:ident,)*) => {
        mod $module {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "takes more than a minute; run by SOAK=faults make soak"]
                async fn $name() {
                    run($cloud, &[scenarios::$scenario], long()).await;
                }
            )*
        }
    };
}

matrix! {
    resets_before_the_write: RESETS,
    replies_lost_after_the_write: REPLIES_LOST,
    stalls: STALLS,
    slow_answers: SLOW,
    a_storm_of_503: STORM_OF_503,
    a_storm_of_429: STORM_OF_429,
    answers_cut_off: ANSWERS_CUT,
    a_queue_that_fails: QUEUE_FAILS,
}
