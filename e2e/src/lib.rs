//! What the end-to-end tests share: shop processes, clusters, a client of the shop's API.
//!
//! Everything in here fails a test by panicking with what was seen, and prints what helps to understand it.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::print_stderr,
    reason = "this crate is only used by tests, which fail by panicking"
)]

pub mod api;
pub mod cloud_store;
pub mod cluster;
pub mod fault_proxy;
pub mod linearizability;
pub mod pods;
pub mod process;
pub mod verified;
pub mod wait;
