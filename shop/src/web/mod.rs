//! The public HTTP: API, storefront, and our accept loop. No I/O in this file.

mod connection;
pub mod problem;
#[cfg(test)]
mod raw_client;
pub mod server;

use axum::http::HeaderName;

pub use self::server::{ServerSettings, listen, serve};

/// Names a command; on every write, and on every answer to one.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
