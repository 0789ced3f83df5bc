//! Shops on a real cluster. Run by `dev/end-to-end.sh`, which `make test` calls; each test has a namespace of its own.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints what it measured"
)]

mod browser;
mod catalogue;
mod children;
mod deletion;
mod faults;
mod install;
mod orders;
mod partition;
mod policies;
mod refusals;
mod rolling;
mod scaling;
mod selling;
mod soak;
mod storage;
mod switching;
mod traffic;
mod victims;
