//! Orders: shard databases, leases, the worker and the client of web.

mod answer;
mod audit;
mod blobs;
mod client;
mod clock;
mod export;
mod hex;
mod hints;
mod import;
mod lease;
mod membership;
mod metrics;
mod object_store_bridge;
mod opening;
mod outbox;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod predecessor;
mod protocol;
mod reader;
mod records;
mod registry;
mod rows;
mod server;
mod service;
mod shard;
mod stewardship;
mod stored;
mod survey;
mod token;
mod verify;
mod worker;

pub use self::{
    answer::{Answer, Durability, OrderError},
    audit::{Fault, FaultKind},
    client::{ClientError, OrderClient},
    export::LineError,
    import::{ImportCount, ImportError, import},
    metrics::OrderMetrics,
    predecessor::is_used,
    records::{OpenError, Role, ShopOpener, ShopRecords},
    stored::{StoredError, StoredOrders},
    survey::Survey,
    token::{InternalToken, TokenError},
    verify::{Ledger, LedgerError, VerifyReport},
    worker::{Worker, WorkerError, WorkerSettings},
};
