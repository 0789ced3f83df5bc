//! Turns Shop resources into running shops.
//!
//! Who uses whom, from above: [`run`] sets up; [`controller`] watches; [`reconcile`] lists the steps; [`validate`],
//! [`build`] and [`status`] are pure; [`apply`], [`prune`], [`observe`] and [`token`] speak with the cluster.

pub mod api;
pub mod apply;
pub mod args;
pub mod build;
pub mod cloud;
pub mod conditions;
pub mod constants;
pub mod context;
pub mod controller;
pub mod crd;
pub mod errors;
pub mod events;
#[cfg(test)]
mod fixtures;
pub mod health;
mod hex;
pub mod index;
pub mod labels;
pub mod metrics;
pub mod names;
pub mod observation;
pub mod observe;
pub mod operations;
pub mod pods;
pub mod prune;
pub mod quantity;
pub mod reconcile;
pub mod run;
pub mod status;
pub mod switching;
pub mod token;
pub mod validate;
