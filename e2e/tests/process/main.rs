//! The built program from the outside, on loopback: `shop run` with its data in a folder of the test, and a shop's pods
//! as processes on an emulator of a cloud.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod catalogue;
mod connections;
mod doctor;
mod errors;
mod histories;
mod orders;
mod restarts;
mod secrets;
mod store_faults;

/// A folder for one shop.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
