//! What the providers charge for requests, as of a date. No I/O.
//!
//! List prices in US dollars, without free tiers and storage. They are estimates for comparing; the bill is the provider's.

use std::collections::BTreeMap;

use super::{Operation, Usage};
use crate::config::Provider;

/// When the prices were read from the sources.
pub const AS_OF: &str = "2026-11";

/// Bytes of queue traffic that one request may carry before it counts as another one: SQS bills each 64 KiB
/// (<https://aws.amazon.com/sqs/pricing>). No pack is larger, even in base64.
const _: () = assert!(crate::queue::MAX_PACK_BYTES * 4 / 3 <= 64 * 1024);

/// Billionths of a dollar that one request of `operation` costs.
///
/// - S3 Standard (<https://aws.amazon.com/s3/pricing>): writing and listing $0.005 a 1,000, reading $0.0004 a 1,000,
///   deleting nothing. SQS standard: $0.40 a million.
/// - Azure Blob Storage, hot, LRS, West US (<https://azure.microsoft.com/pricing/details/storage/blobs>): writing and
///   listing $0.055 a 10,000, reading $0.0044 a 10,000, deleting nothing. Queue Storage: $0.004 a 10,000.
/// - A disk charges nothing for requests.
#[must_use]
#[expect(clippy::match_same_arms, reason = "a table, whose rows are equal by chance")]
pub fn nanodollars(provider: Provider, operation: Operation) -> u64 {
    use Operation::{Ack, Copy, Delete, Depth, Extend, Get, Head, List, Put, PutStream, Receive, Send};
    match (provider, operation) {
        (Provider::Embedded, _) | (Provider::Aws | Provider::Azure, Delete) => 0,
        (Provider::Aws, Put | PutStream | Copy | List) => 5_000,
        (Provider::Azure, Put | PutStream | Copy | List) => 5_500,
        (Provider::Aws, Get | Head) => 400,
        (Provider::Azure, Get | Head) => 440,
        (Provider::Aws | Provider::Azure, Send | Receive | Extend | Ack | Depth) => 400,
    }
}

/// Billionths of a dollar that so many bytes cost on their way out of the provider's cloud to the internet, in the United States and
/// below 10 TB a month.
///
/// - AWS (<https://aws.amazon.com/ec2/pricing/on-demand/#Data_Transfer>): $0.09 a GB.
/// - Azure (<https://azure.microsoft.com/pricing/details/bandwidth>): $0.087 a GB.
#[must_use]
pub fn nanodollars_out(provider: Provider, bytes: u64) -> u64 {
    let of_a_thousand = match provider {
        Provider::Embedded => 0,
        Provider::Aws => 90,
        Provider::Azure => 87,
    };
    bytes / 1_000 * of_a_thousand
}

/// Billionths of a dollar that all requests of `usage` cost on `provider`.
#[must_use]
pub fn nanodollars_of(provider: Provider, usage: &BTreeMap<Operation, Usage>) -> u64 {
    usage.iter().map(|(operation, usage)| nanodollars(provider, *operation) * usage.requests).sum()
}

/// Dollars that all requests of `usage` cost on `provider`.
#[must_use]
pub fn dollars(provider: Provider, usage: &BTreeMap<Operation, Usage>) -> f64 {
    let nanodollars = nanodollars_of(provider, usage);
    // Exact up to 9 million dollars, which is more than an estimate needs.
    #[expect(clippy::cast_precision_loss, reason = "an estimate of at most that many dollars")]
    let dollars = nanodollars as f64 / 1e9;
    dollars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_of_the_challenge_written_naively_costs_what_was_worked_out_by_hand() {
        // 550 writes a second for an hour, each a put of its own.
        let usage = BTreeMap::from([(Operation::Put, Usage { requests: 1_980_000, bytes: 0 })]);
        assert!((dollars(Provider::Aws, &usage) - 9.90).abs() < 1e-9);
        assert!((dollars(Provider::Azure, &usage) - 10.89).abs() < 1e-9);
        assert!(dollars(Provider::Embedded, &usage).abs() < 1e-9);
    }
}
