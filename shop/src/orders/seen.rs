//! The newest that this pod has seen of each order, for the time in which its owner is out of reach. Bounded. No I/O.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use moka::future::Cache;

use crate::domain::{Command, Decision, Order, OrderId, Request, apply};

use super::{
    answer::{Durability, View},
    packs::QueuedCommand,
    pending::Pending,
};

/// Most memory that is kept, in bytes, approximately.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// What an order takes without its lines, and what each line takes, approximately: SKU, name and numbers.
const ORDER_BYTES: usize = 512;
const LINE_BYTES: usize = 256;

/// What is known of orders; those that were not asked for longest go first.
pub(super) struct Seen(Cache<OrderId, Arc<Known>>);

/// What this pod knows of an order.
#[derive(Debug, Default)]
struct Known {
    view: Option<View>,
    /// What this pod has put into the queue and does not know to be applied.
    pending: Pending,
}

impl Default for Seen {
    fn default() -> Self {
        let weigh = |_: &OrderId, known: &Arc<Known>| {
            let bytes = known.view.as_ref().map_or(ORDER_BYTES, |view| bytes_of(&view.order));
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MOST_BYTES).weigher(weigh).build())
    }
}

/// What an order takes in memory, approximately.
pub(super) fn bytes_of(order: &Order) -> usize {
    ORDER_BYTES + (order.items.len() + order.rejected_items.len()) * LINE_BYTES
}

impl fmt::Debug for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Seen").finish_non_exhaustive()
    }
}

impl Seen {
    /// Keeps what the owner of an order answered, or what was read from the store; `applied` is in it.
    pub(super) async fn keep(&self, view: &View, applied: &Pending) {
        let id = view.order.id;
        let pending = self.known(id).await.pending.clone().without(applied);
        self.0.insert(id, Arc::new(Known { view: Some(view.clone()), pending })).await;
    }

    /// The newest that was seen of an order, which may have changed since.
    pub(super) async fn newest(&self, order: OrderId) -> Option<View> {
        let view = self.known(order).await.view.clone()?;
        Some(View { stale: true, ..view })
    }

    /// What a customer and this pod know to be pending of an order: two commands that a customer sends at the same time
    /// know nothing of each other.
    pub(super) async fn pending(&self, order: OrderId, of_customer: Pending) -> Pending {
        self.known(order).await.pending.clone().merged(of_customer)
    }

    /// Keeps that a command was accepted into the queue after those that are pending: what the order will be when nothing
    /// else changed it meanwhile, if enough is known of it, and what is pending now.
    pub(super) async fn keep_queued(
        &self,
        QueuedCommand { order: id, request }: &QueuedCommand,
        pending: Pending,
    ) -> (Option<View>, Pending) {
        let id = *id;
        let now = request.accepted_at.unwrap_or_else(Timestamp::now);
        let known = self.known(id).await;
        let before = known.view.as_ref().map(|view| &view.order);
        let order = if before.is_some() || matches!(request.command, Command::Create { .. }) {
            expected(id, before, request, now).or_else(|| before.cloned())
        } else {
            None
        };
        let view = order.map(|order| View {
            order,
            durability: Durability::Queue,
            stale: true,
            as_of: now,
            persisted_at: None,
        });
        let pending = known.pending.clone().merged(pending).and(request.key.clone());
        self.0.insert(id, Arc::new(Known { view: view.clone(), pending: pending.clone() })).await;
        (view, pending)
    }

    async fn known(&self, order: OrderId) -> Arc<Known> {
        self.0.get(&order).await.unwrap_or_default()
    }
}

/// What a command makes of an order.
fn expected(id: OrderId, order: Option<&Order>, request: &Request, now: Timestamp) -> Option<Order> {
    match apply(id, order, None, request, now) {
        Decision::Apply { order, .. } | Decision::Refuse { order, .. } | Decision::Keep { order, .. } => Some(order),
        Decision::Replay(_) | Decision::Reject(_) => None,
    }
}
