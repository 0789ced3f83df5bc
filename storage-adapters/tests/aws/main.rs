//! What the AWS adapter promises beyond the contract of the ports.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod answers_of_s3;
mod answers_of_sqs;
mod credentials;
mod encryption;
mod fixture;
mod lost_replies;
mod metering;
mod opening;
mod places;
mod privileges;
mod server;
mod uploads;

use std::time::{Duration, Instant};

use storage_adapters::{Error, ErrorKind, Key};

/// Longest time that a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_mins(1);

fn key(text: &str) -> Key {
    Key::new(text).expect("a legal key")
}

fn kind<T>(outcome: Result<T, Error>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Waits for what has to come.
async fn until(what: &str, has_come: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !has_come().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
