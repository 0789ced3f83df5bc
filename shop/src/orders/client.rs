//! Web's way to the order service: finds the owner of an order's shard and asks it. Does I/O.

use crate::domain::{IdempotencyKey, OrderId, Request};

use super::{
    answer::{Answer, OrderError},
    records::ShopRecords,
};

/// Finds the owner of an order's shard and asks it.
#[derive(Debug)]
pub struct OrderClient {
    records: ShopRecords,
}

impl OrderClient {
    /// The order that a create with this key makes.
    #[must_use]
    pub fn order_id(&self, key: &IdempotencyKey) -> OrderId {
        OrderId::derive(&self.records.order_id_secret, key)
    }

    /// Has a command applied, once, however often it is asked, and answers when it is durable.
    ///
    /// # Errors
    /// See [`OrderError`]; at the latest one second after the call.
    pub async fn execute(&self, _order: OrderId, _request: Request) -> Result<Answer, OrderError> {
        Err(OrderError::NotReady)
    }

    /// Reads an order as it is durably stored.
    ///
    /// # Errors
    /// As of [`execute`](Self::execute).
    pub async fn read(&self, _order: OrderId) -> Result<Answer, OrderError> {
        Err(OrderError::NotReady)
    }

    /// What keeps the order service from being ready; empty when nothing does.
    pub async fn waiting(&self) -> Vec<shop_contract::status::Waiting> {
        Vec::new()
    }
}
