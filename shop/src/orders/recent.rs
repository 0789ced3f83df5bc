//! The orders that a worker has decided about lately, as they are stored, so that the next command on one needs no look into the
//! database: each look for a command that is not there asks every table. Bounded. No I/O.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use moka::{future::Cache, policy::EvictionPolicy};

use crate::domain::{IdempotencyKey, Order, OrderId};

use super::seen;

/// Most memory that is kept, in bytes, approximately.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// What a command's key takes, approximately.
const KEY_BYTES: usize = 64;

/// What a worker has decided about lately, in all its shards; those that were not asked for longest go first.
pub(super) struct RecentOrders {
    kept: Cache<(u64, OrderId), Arc<Recent>>,
    openings: AtomicU64,
}

/// The orders of one shard, for as long as nobody else can write them.
#[derive(Clone, Debug)]
pub(super) struct RecentOfShard {
    orders: Arc<RecentOrders>,
    opening: u64,
}

/// An order, as it was last written.
#[derive(Debug)]
pub(super) struct Recent {
    /// The order.
    pub(super) order: Order,
    /// Where it is in the log.
    pub(super) sequence: u64,
    /// The keys of commands that have a row of their own, of which the order counts all.
    commands: Vec<IdempotencyKey>,
}

impl Default for RecentOrders {
    fn default() -> Self {
        let weigh = |_: &(u64, OrderId), recent: &Arc<Recent>| {
            let bytes = seen::bytes_of(&recent.order) + recent.commands.len() * KEY_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let kept =
            Cache::builder().max_capacity(MOST_BYTES).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build();
        Self { kept, openings: AtomicU64::new(0) }
    }
}

impl fmt::Debug for RecentOrders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RecentOrders").finish_non_exhaustive()
    }
}

impl RecentOrders {
    /// For a shard that others may have owned: what was known of its orders counts no more.
    pub(super) fn of_opening(self: &Arc<Self>) -> RecentOfShard {
        RecentOfShard { orders: Arc::clone(self), opening: self.openings.fetch_add(1, Ordering::Relaxed) }
    }
}

impl RecentOfShard {
    /// An order, when it is kept.
    pub(super) async fn get(&self, id: OrderId) -> Option<Arc<Recent>> {
        self.orders.kept.get(&(self.opening, id)).await
    }

    /// Keeps an order that was written.
    pub(super) async fn keep(&self, recent: Recent) {
        self.orders.kept.insert((self.opening, recent.order.id), Arc::new(recent)).await;
    }

    /// Keeps an order no more; for whoever is about to write it.
    pub(super) async fn forget(&self, id: OrderId) {
        self.orders.kept.invalidate(&(self.opening, id)).await;
    }
}

impl Recent {
    /// An order as it was read.
    pub(super) fn read(order: Order, sequence: u64) -> Self {
        Self { order, sequence, commands: Vec::new() }
    }

    /// An order as it was written, with all that was known `before`; `command` when that has a row now.
    pub(super) fn written(
        before: Option<&Self>,
        order: Order,
        sequence: u64,
        command: Option<&IdempotencyKey>,
    ) -> Self {
        let known = before.into_iter().flat_map(|before| &before.commands);
        let commands = known.chain(command).cloned().collect();
        Self { order, sequence, commands }
    }

    /// Whether a command may have a row; when not, it has none.
    pub(super) fn may_have(&self, command: &IdempotencyKey) -> bool {
        let knows_all = u32::try_from(self.commands.len()).is_ok_and(|known| known == self.order.commands);
        !knows_all || self.commands.contains(command)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use crate::domain::{Command, Currency, Decision, OrderIdSecret, Request, apply};

    use super::*;

    fn key(name: &'static str) -> IdempotencyKey {
        IdempotencyKey::of_shop(name)
    }

    /// The order `id` after one more command.
    fn after(id: OrderId, order: Option<&Order>, name: &'static str, command: Command) -> Order {
        match apply(id, order, None, &Request::new(key(name), command), Timestamp::UNIX_EPOCH) {
            Decision::Apply { order, .. } => order,
            other => panic!("{other:?}"),
        }
    }

    fn created(name: &'static str) -> Order {
        let id = OrderId::derive(&OrderIdSecret::new([1; 32]), &key(name));
        after(id, None, name, Command::Create { currency: Currency::EUR })
    }

    #[tokio::test]
    async fn of_an_order_whose_commands_are_all_known_no_other_has_a_row() {
        let (made, shard) = (created("made"), Arc::<RecentOrders>::default().of_opening());
        shard.keep(Recent::written(None, made.clone(), 7, Some(&key("made")))).await;
        let recent = shard.get(made.id).await.expect("kept");
        assert_eq!((&recent.order, recent.sequence), (&made, 7));
        assert!(recent.may_have(&key("made")) && !recent.may_have(&key("submit")));

        let cancelled = after(made.id, Some(&made), "cancel", Command::Cancel { reason: None });
        shard.keep(Recent::written(Some(&recent), cancelled, 8, Some(&key("cancel")))).await;
        let recent = shard.get(made.id).await.expect("kept");
        assert!(recent.may_have(&key("made")) && recent.may_have(&key("cancel")) && !recent.may_have(&key("submit")));

        shard.forget(made.id).await;
        assert!(shard.get(made.id).await.is_none());
    }

    #[tokio::test]
    async fn of_an_order_that_was_read_any_command_may_have_a_row() {
        let made = created("made");
        let read = Recent::read(made.clone(), 7);
        assert!(read.may_have(&key("made")) && read.may_have(&key("cancel")));
        let cancelled = after(made.id, Some(&made), "cancel", Command::Cancel { reason: None });
        let written = Recent::written(Some(&read), cancelled, 8, Some(&key("cancel")));
        assert!(written.may_have(&key("made")), "its row was not seen");
    }

    #[tokio::test]
    async fn what_was_kept_of_a_shard_is_not_shown_when_it_is_opened_again() {
        let (made, orders) = (created("made"), Arc::<RecentOrders>::default());
        orders.of_opening().keep(Recent::written(None, made.clone(), 7, Some(&key("made")))).await;
        assert!(orders.of_opening().get(made.id).await.is_none());
    }
}
