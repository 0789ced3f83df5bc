//! What a worker is asked about orders: by the shard that it owns, or not. Does I/O.

use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::{IdempotencyKey, OrderId, Request, shard_of};

use super::{
    super::{
        answer::Answer,
        export::Exported,
        import::Imported,
        lease::Lease,
        packs::QueuedCommand,
        protocol::DeadCommand,
        shard::{Shard, ShardError},
    },
    Worker,
};

impl Worker {
    /// Applies a command to an order of a shard that this worker owns.
    pub(in crate::orders) async fn execute(
        &self,
        order: OrderId,
        request: Request,
        deadline: Instant,
    ) -> Result<Answer, ShardError> {
        let ask = |shard: Arc<Shard>| {
            let request = request.clone();
            async move { shard.execute(order, request, deadline).await }
        };
        self.on_shard(self.shard_of(order), deadline, ask).await
    }

    /// Reads an order of a shard that this worker owns, with all that the commands `after` made of it.
    pub(in crate::orders) async fn read(
        &self,
        order: OrderId,
        after: &[IdempotencyKey],
        deadline: Instant,
    ) -> Result<Answer, ShardError> {
        let ask = |shard: Arc<Shard>| async move { shard.read(order, after, deadline).await };
        self.on_shard(self.shard_of(order), deadline, ask).await
    }

    /// Takes accepted commands into a shard that this worker owns.
    pub(in crate::orders) async fn accept(
        &self,
        shard: u16,
        commands: &[QueuedCommand],
        deadline: Instant,
    ) -> Result<Vec<DeadCommand>, ShardError> {
        let ask = |shard: Arc<Shard>| async move { shard.accept(commands.to_vec(), deadline).await };
        self.on_shard(Some(shard), deadline, ask).await
    }

    /// Has the queues looked at when what a customer asked for waits for something in one.
    pub(in crate::orders) fn want_packs_if_behind<T>(&self, result: &Result<T, ShardError>) {
        if matches!(result, Err(ShardError::Behind)) {
            self.wanted_packs.send_replace(());
        }
    }

    /// Takes an exported order into a shard that this worker owns.
    pub(in crate::orders) async fn import(
        &self,
        exported: Arc<Exported>,
        deadline: Instant,
    ) -> Result<Imported, ShardError> {
        let ask = |shard: Arc<Shard>| {
            let exported = Arc::clone(&exported);
            async move { shard.import(exported, deadline).await }
        };
        self.on_shard(self.shard_of(exported.order.id), deadline, ask).await
    }

    async fn on_shard<T, F>(
        &self,
        number: Option<u16>,
        deadline: Instant,
        ask: impl Fn(Arc<Shard>) -> F,
    ) -> Result<T, ShardError>
    where
        F: Future<Output = Result<T, ShardError>>,
    {
        let number = number.ok_or(ShardError::NotOwner)?;
        loop {
            let shard = self.owned(number, deadline).await?;
            match ask(Arc::clone(&shard)).await {
                // It began to close after it was found, and did nothing.
                Err(ShardError::NotOwner) if shard.is_closing() => {}
                result => return result,
            }
        }
    }

    async fn owned(&self, number: u16, deadline: Instant) -> Result<Arc<Shard>, ShardError> {
        match self.service.at_rest(number, deadline).await? {
            Some(shard) => Ok(shard),
            // Without room for heartbeats it could not keep its shards: say why, not just that it has none.
            None if self.homes().iter().any(|home| home.is_full()) => Err(ShardError::Full),
            None => Err(ShardError::NotOwner),
        }
    }

    fn shard_of(&self, order: OrderId) -> Option<u16> {
        Some(shard_of(order, self.records.get()?.shards))
    }

    /// Whether it serves the shard of an order, or the shard is being handed over in order, from it or to it.
    pub(in crate::orders) fn serves_soon(&self, order: OrderId) -> bool {
        self.shard_of(order).is_some_and(|shard| self.service.is_served_soon(shard))
    }

    /// The newest lease of an order's shard that this worker has seen.
    pub(in crate::orders) fn lease_of(&self, order: OrderId) -> Option<Lease> {
        self.service.lease(self.shard_of(order)?)
    }
}
