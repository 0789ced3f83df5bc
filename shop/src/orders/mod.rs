//! Orders: shard databases, leases, the worker and the client of web.

mod answer;
mod blobs;
mod client;
mod records;

pub use self::{
    answer::{Answer, Durability, OrderError},
    client::OrderClient,
    records::{OpenError, Role, ShopOpener, ShopRecords},
};
