//! Orders: shard databases, leases, the worker and the client of web.

mod answer;
mod audit;
mod blobs;
mod breaker;
mod capacity;
mod client;
mod clock;
mod comparing;
mod copy_progress;
mod copying;
mod dead_letters;
mod export;
mod gateway;
mod hints;
mod home;
mod import;
mod inbox;
mod lease;
mod membership;
mod memory;
mod metrics;
#[cfg(test)]
mod move_model_tests;
mod object_store_bridge;
mod opening;
mod other_store;
mod outbox;
mod packs;
mod parking;
mod pending;
#[cfg(any(test, feature = "planted-bugs"))]
pub mod planted;
#[cfg(test)]
mod planted_tests;
mod predecessor;
mod protocol;
mod queueing;
mod read_ahead;
mod reader;
mod recent;
mod records;
mod refusals;
mod registry;
mod rows;
mod seen;
mod server;
mod service;
mod shard;
#[cfg(test)]
mod simulation;
mod spent;
mod stale_reads;
mod stewardship;
mod stored;
mod survey;
mod switch_report;
#[cfg(test)]
mod switching_tests;
#[cfg(test)]
mod test_gate;
#[cfg(test)]
mod test_workers;
mod token;
mod transport;
mod verify;
mod verifying;
mod worker;

pub use self::{
    answer::{Answer, Done, Durability, OrderError, View},
    audit::{Fault, FaultKind},
    client::{ClientError, OrderClient},
    export::LineError,
    gateway::{GatewaySettings, OrderGateway},
    import::{ImportCount, ImportError, import},
    metrics::OrderMetrics,
    other_store::OtherStore,
    pending::{InvalidPending, Pending},
    predecessor::is_used,
    records::{OpenError, Role, ShopOpener, ShopRecords},
    stored::{StoredError, StoredOrders},
    survey::Survey,
    token::{InternalToken, TokenError},
    verify::{Ledger, LedgerError, VerifyReport},
    worker::{Worker, WorkerError, WorkerSettings},
};
