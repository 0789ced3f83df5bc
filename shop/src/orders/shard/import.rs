//! Takes exported orders into a shard. Does I/O.

use std::{collections::BTreeMap, sync::Arc};

use slatedb::WriteBatch;
use tokio::time::Instant;

use crate::domain::{CommandRecord, IdempotencyKey, OrderId, Status};

use super::{
    super::{
        export::Exported,
        import::Imported,
        rows::{self, OutboxRow},
    },
    Shard, ShardError, done, put,
};

impl Shard {
    /// Takes in an order as it was exported, unless there is one of its id.
    pub(in crate::orders) async fn import(
        self: &Arc<Self>,
        exported: Arc<Exported>,
        deadline: Instant,
    ) -> Result<Imported, ShardError> {
        let _answering = self.enter()?;
        let permit = Arc::clone(&self.admission).try_acquire_owned().map_err(|_| ShardError::Overloaded)?;
        let shard = Arc::clone(self);
        let importing = self.tasks.spawn(async move {
            let _permit = permit;
            shard.take_in(&exported).await
        });
        let (found, sequence) = done(importing, deadline).await?;
        self.wait_until_durable(sequence, deadline).await?;
        if self.term.holds() { Ok(found) } else { Err(ShardError::Unknown) }
    }

    async fn take_in(&self, Exported { order, commands, parked }: &Exported) -> Result<(Imported, u64), ShardError> {
        let _turn = self.turn(order.id).await;
        if let Some(stored) = self.order(order.id).await? {
            // The order may have gone on since, as one that is imported as submitted does.
            let known = stored.order == *order || self.has_all(order.id, commands).await?;
            return Ok((if known { Imported::Known } else { Imported::Differs }, stored.sequence));
        }
        let mut batch = WriteBatch::new();
        put(&mut batch, &rows::order_name(order.id), order)?;
        for (key, record) in commands {
            put(&mut batch, &rows::command_name(order.id, key), record)?;
        }
        for request in parked {
            put(&mut batch, &rows::parked_name(order.id, &request.key), request)?;
        }
        if order.status == Status::Submitted {
            put(&mut batch, &rows::outbox_name(order.id), &OutboxRow { submitted_at: order.updated_at })?;
        }
        let sequence = self.write(batch).await?;
        if order.status == Status::Submitted {
            self.outbox().submitted(order.id);
        }
        for request in parked {
            self.parking().park(order.id, request.accepted_at.unwrap_or_else(|| self.wall.wall()));
        }
        Ok((Imported::New, sequence))
    }

    async fn has_all(
        &self,
        order: OrderId,
        commands: &BTreeMap<IdempotencyKey, CommandRecord>,
    ) -> Result<bool, ShardError> {
        for (key, record) in commands {
            let stored = self.get::<CommandRecord>(&rows::command_name(order, key)).await?;
            if stored.is_none_or(|(stored, _)| stored != *record) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
