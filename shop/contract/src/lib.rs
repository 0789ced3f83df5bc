//! What the programs of the project agree on: the config that the operator renders and the pods parse, the status that
//! the pods report back, the ledger that load is written to and checked by, and ports and paths. No I/O.

pub mod config;
pub mod ledger;
pub mod status;
pub mod switch;

/// Port of the public API and the storefront.
pub const PUBLIC_PORT: u16 = 8080;
/// Port of `/livez`, `/readyz` and `/metrics`.
pub const OPERATIONS_PORT: u16 = 9090;
/// Port of the internal API, between web, workers and operator; every request carries the shop's token.
pub const INTERNAL_PORT: u16 = 9091;
/// Where a pod finds its config.
pub const CONFIG_PATH: &str = "/etc/cloudshop/shop.toml";
