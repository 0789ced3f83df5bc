//! The open-loop load generator, its shoppers and its ledger, as a library that the end-to-end tests use too.
//!
//! Modules use each other downwards only: `run` and `shoppers` on top, then `commands`, then `http`, `ledger`,
//! `catalogue`, and the pure `carts`, `pace`, `queries`, `report`. No I/O here.

pub mod carts;
pub mod catalogue;
pub mod commands;
pub mod http;
pub mod ledger;
pub mod pace;
pub mod queries;
pub mod report;
pub mod run;
pub mod shoppers;
pub mod target;
