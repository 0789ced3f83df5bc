//! The shop: web, worker and the verbs of an administrator, over any store that honours the contract. No I/O here.
//!
//! Modules use each other downwards only: `cli` on top, then `process`, then `web`, `orders` and `catalogue`, then `domain`.

// The futures of the clouds' SDKs are nested deeper than the compiler expects.
#![recursion_limit = "256"]

pub mod catalogue;
pub mod cli;
pub mod domain;
mod errors;
mod hex;
pub mod orders;
pub mod process;
pub mod readiness;
pub mod telemetry;
pub mod web;
