//! Commands that were accepted into a queue: applied in their order, parked until it is their turn, or given up. Does I/O.

use std::sync::Arc;

use jiff::Timestamp;
use slatedb::WriteBatch;
use tokio::time::Instant;

use crate::domain::{Command, OrderId, Refusal, Request};

use super::{
    super::{
        packs::QueuedCommand,
        parking::is_overdue,
        protocol::DeadCommand,
        recent::Recent,
        rows::{self, Kind},
    },
    Shard, ShardError, done, put,
};

impl Shard {
    /// Takes in commands that were accepted before, in their order: each is durably applied, refused or parked after this.
    /// Returns those of which no row of the shard can tell.
    pub(in crate::orders) async fn accept(
        self: &Arc<Self>,
        commands: Vec<QueuedCommand>,
        deadline: Instant,
    ) -> Result<Vec<DeadCommand>, ShardError> {
        // Few packs are under way at once, and those who bring them, few as well, wait for their turn; not as part of what a
        // shard that closes waits for.
        let turn = tokio::time::timeout_at(deadline, Arc::clone(&self.packs).acquire_owned());
        let permit = turn.await.ok().and_then(Result::ok).ok_or(ShardError::Overloaded)?;
        let _answering = self.enter()?;
        let shard = Arc::clone(self);
        let accepting = self.tasks.spawn(async move {
            let _permit = permit;
            let (mut dead, mut newest, mut left) = (Vec::new(), 0, false);
            for command in commands {
                match shard.accept_one(&command).await {
                    Ok((refusal, sequence)) => {
                        newest = newest.max(sequence);
                        dead.extend(refusal.map(|refusal| DeadCommand { command, refusal }));
                    }
                    // One that cannot be parked comes again with its pack, and keeps no other from its turn.
                    Err(ShardError::Overloaded) => left = true,
                    Err(error) => return Err(error),
                }
            }
            Ok((dead, newest, left))
        });
        let (dead, newest, left) = done(accepting, deadline).await?;
        self.wait_until_durable(newest, deadline).await?;
        match (self.term.holds(), left) {
            (true, false) => Ok(dead),
            (true, true) => Err(ShardError::Overloaded),
            (false, _) => Err(ShardError::Unknown),
        }
    }

    async fn accept_one(
        &self,
        QueuedCommand { order: id, request }: &QueuedCommand,
    ) -> Result<(Option<Refusal>, u64), ShardError> {
        let _turn = self.turn(*id).await;
        let stored = self.order(*id).await?;
        let name = rows::parked_name(*id, &request.key);
        if !self.may_apply(*id, stored.as_deref(), request).await? {
            if let Some((_, sequence)) = self.get::<Request>(&name).await? {
                return Ok((None, sequence));
            }
            if self.parking().is_full() {
                return Err(ShardError::Overloaded);
            }
            let mut batch = WriteBatch::new();
            put(&mut batch, &name, request)?;
            let sequence = self.write(batch).await?;
            self.parking().park(*id, self.accepted_at(request));
            return Ok((None, sequence));
        }
        let parked = self.parking().has(*id).then_some(name.as_slice());
        let decided = self.settle(*id, stored, request, parked).await?;
        self.unpark(*id).await;
        let refusal = decided.answer.err().filter(|_| !decided.is_recorded);
        Ok((refusal, decided.sequence))
    }

    /// Whether everything that an accepted command comes after is here. Its order's create always comes first.
    async fn may_apply(&self, id: OrderId, stored: Option<&Recent>, request: &Request) -> Result<bool, ShardError> {
        if stored.is_none() && !matches!(request.command, Command::Create { .. }) {
            return Ok(false);
        }
        match self.must_know(id, stored, &request.after).await {
            Ok(()) => Ok(true),
            Err(ShardError::Behind) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn accepted_at(&self, request: &Request) -> Timestamp {
        request.accepted_at.unwrap_or_else(|| self.wall.wall())
    }

    /// Applies the parked commands of an order whose turn has come; whoever calls this has the order's turn. What fails is
    /// tried again by [`look_over_parked`](Self::look_over_parked).
    pub(super) async fn unpark(&self, id: OrderId) {
        if !self.parking().has(id) {
            return;
        }
        if let Err(error) = self.try_unpark(id).await {
            tracing::warn!(shard = self.number, %error, "parked commands were not looked at; it is tried again");
            self.parking().look_again(id);
        }
    }

    async fn try_unpark(&self, id: OrderId) -> Result<(), ShardError> {
        let mut parked = self.parked(id).await?;
        loop {
            let stored = self.order(id).await?;
            let mut next = None;
            for (index, request) in parked.iter().enumerate() {
                if self.may_apply(id, stored.as_deref(), request).await? {
                    next = Some(index);
                    break;
                }
            }
            let Some(index) = next else { break };
            let request = parked.remove(index);
            let name = rows::parked_name(id, &request.key);
            self.settle(id, stored, &request, Some(&name)).await?;
        }
        let left: Vec<_> = parked.iter().map(|request| self.accepted_at(request)).collect();
        self.parking().left(id, &left);
        Ok(())
    }

    /// The parked commands of an order, oldest first.
    async fn parked(&self, id: OrderId) -> Result<Vec<Request>, ShardError> {
        let failed = |error: slatedb::Error| {
            tracing::warn!(shard = self.number, %error, "reading parked commands failed");
            ShardError::NotOwner
        };
        let mut found = Vec::new();
        let mut rows = self.db.scan_prefix(rows::parked_names(id), ..).await.map_err(failed)?;
        while let Some(row) = rows.next().await.map_err(failed)? {
            found.push(rows::decode::<Request>(&row.key, &row.value).map_err(super::damaged)?);
        }
        found.sort_by_key(|request| self.accepted_at(request));
        Ok(found)
    }

    /// Finds the orders with parked commands, when the shard was just opened.
    pub(super) async fn find_parked(&self) -> Result<(), slatedb::Error> {
        let mut orders = Vec::new();
        let mut rows = self.db.scan_prefix(Kind::Parked.prefix(), ..).await?;
        while let Some(row) = rows.next().await? {
            orders.extend(rows::parse_name(&row.key).map(|name| name.order));
        }
        orders.dedup();
        for order in orders {
            let now = self.wall.wall();
            self.parking().found(order, now);
        }
        Ok(())
    }

    /// Looks at parked commands that nobody looked at yet, and gives up those that have waited for longer than a queue would
    /// have kept what they wait for. Returns those whose order never came, which stay until they are
    /// [forgotten](Self::forget_parked).
    pub(in crate::orders) async fn look_over_parked(&self) -> Vec<DeadCommand> {
        let mut dead = Vec::new();
        let Some(_looking) = self.keep_open() else { return dead };
        let now = self.wall.wall();
        let (look_at, overdue) = self.parking().take_due(now);
        for order in look_at {
            let _turn = self.turn(order).await;
            self.unpark(order).await;
        }
        for order in overdue {
            match self.give_up(order, now).await {
                Ok(found) => dead.extend(found),
                Err(error) => {
                    tracing::warn!(shard = self.number, %error, "overdue commands were not given up; it is tried again");
                }
            }
        }
        dead
    }

    async fn give_up(&self, id: OrderId, now: Timestamp) -> Result<Vec<DeadCommand>, ShardError> {
        let _turn = self.turn(id).await;
        let mut dead = Vec::new();
        for request in self.parked(id).await? {
            if !is_overdue(self.accepted_at(&request), now) {
                continue;
            }
            let Some(stored) = self.order(id).await? else {
                let command = QueuedCommand { order: id, request };
                dead.push(DeadCommand { command, refusal: Refusal::OrderNotFound });
                continue;
            };
            let (order, record) = stored.order.give_up(&request, now);
            let mut batch = WriteBatch::new();
            put(&mut batch, &rows::order_name(id), &order)?;
            put(&mut batch, &rows::command_name(id, &request.key), &record)?;
            batch.delete(rows::parked_name(id, &request.key));
            self.memory.orders.forget(id).await;
            self.write(batch).await?;
        }
        // What came after these may go on now.
        self.unpark(id).await;
        Ok(dead)
    }

    /// Deletes parked commands that are kept elsewhere.
    pub(in crate::orders) async fn forget_parked(&self, commands: &[DeadCommand]) -> Result<(), ShardError> {
        let _forgetting = self.keep_open().ok_or(ShardError::NotOwner)?;
        for DeadCommand { command: QueuedCommand { order, request }, .. } in commands {
            let _turn = self.turn(*order).await;
            let mut batch = WriteBatch::new();
            batch.delete(rows::parked_name(*order, &request.key));
            self.write(batch).await?;
            self.unpark(*order).await;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "accepted_tests.rs"]
mod tests;
