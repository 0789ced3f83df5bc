//! The built program, `shop run`, from the outside: on loopback, with its data in a folder of the test.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod catalogue;
mod doctor;
mod errors;
mod orders;
mod restarts;

/// A folder for one shop.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
