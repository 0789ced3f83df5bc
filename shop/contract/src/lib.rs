//! What the operator and the shop's pods agree on: names, the config that the one renders and the other parses, and
//! the status that the pods report back. No I/O.

pub mod config;
pub mod status;

/// Port of the public API and the storefront.
pub const PUBLIC_PORT: u16 = 8080;
/// Port of `/livez`, `/readyz` and `/metrics`.
pub const OPERATIONS_PORT: u16 = 9090;
/// Port of the internal API, between web, workers and operator; every request carries the shop's token.
pub const INTERNAL_PORT: u16 = 9091;
