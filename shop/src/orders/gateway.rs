//! Web's way to orders: the owner of an order while it is in reach, and else what the shop has chosen, to refuse or to go on
//! through a queue. Does I/O.

use std::{
    convert::Infallible,
    iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shop_contract::config::{OnPartition, OnPartitionConfig};
use storage_adapters::{Queue, Store};
use tokio::time::{Instant, timeout_at};

use crate::domain::{Command, IdempotencyKey, OrderId, Refusal, Request};

use super::{
    answer::{Answer, Done, OrderError, View},
    client::{ClientError, OrderClient, Patience},
    clock::{Clock, MachineClock},
    other_store::OtherStore,
    packs::QueuedCommand,
    pending::{InvalidPending, Pending},
    queueing::{Queued, Settled, WayOut, way_out},
    records::ShopRecords,
    seen::Seen,
    stale_reads::{StaleReads, stale_reads},
    token::InternalToken,
    transport::{Http, Transport},
};

/// From acceptance to the answer where the shop has chosen availability, whatever the answer is.
const DEADLINE: Duration = Duration::from_millis(470);

/// How long of that the owner has before the command joins a pack that is being gathered, which it leaves when the owner
/// answers. Gathered, commands make few packs: for their cost, for the time that it takes to empty the queue afterwards, and
/// for a store that has to open the shard meanwhile.
const OWNER_ALONE: Duration = Duration::from_millis(150);

/// When the pack leaves at the latest. After that whoever is first, owner or queue, has the last word: a command that
/// arrives twice takes effect once.
const PACK_LEAVES: Duration = Duration::from_millis(250);

/// The same for a command whose owner is known to be out of reach, and the least for which it waits for others even then.
const PACK_LEAVES_SOON: Duration = Duration::from_millis(150);
const PACK_GATHERS: Duration = Duration::from_millis(50);

/// The same for a command that its owner has and may be writing to a slow store, or will have in a moment because the shard is
/// being handed over: what is queued needlessly keeps what is under consistency waiting.
const PACK_LEAVES_LATE: Duration = Duration::from_millis(320);

/// How long the owner is asked for an order to be read; what is left of the deadline is for the store.
const READ_OF_OWNER: Duration = Duration::from_millis(360);

/// After how long a read that the owner has not answered is looked for elsewhere as well.
const READ_ELSEWHERE_AFTER: Duration = Duration::from_millis(100);

/// What the gateway stands on.
#[derive(Debug)]
pub struct GatewaySettings {
    /// The shop's open store.
    pub store: Store,
    /// The stores beside it, whose queues workers empty as well.
    pub others: Vec<Arc<OtherStore>>,
    /// What the store says about the shop.
    pub records: ShopRecords,
    /// The token of the internal API.
    pub token: InternalToken,
    /// What the shop does when owners are out of reach.
    pub on_partition: OnPartitionConfig,
}

/// Has commands applied and reads orders, as the shop's choice says.
#[derive(Debug)]
pub struct OrderGateway {
    client: OrderClient,
    clock: Arc<dyn Clock>,
    on_partition: OnPartitionConfig,
    way_out: WayOut,
    seen: Seen,
    stale_reads: StaleReads,
}

impl OrderGateway {
    /// A gateway, and what has to be awaited while it is used.
    ///
    /// # Errors
    /// When there can be no client for the internal API.
    pub fn new(
        settings: GatewaySettings,
    ) -> Result<(Self, impl Future<Output = Infallible> + Send + 'static), ClientError> {
        Self::over(Arc::new(Http::new()?), Arc::new(MachineClock), settings)
    }

    /// A gateway that asks over this transport and goes by this clock.
    pub(super) fn over(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        settings: GatewaySettings,
    ) -> Result<(Self, impl Future<Output = Infallible> + Send + 'static), ClientError> {
        let GatewaySettings { store: Store { blobs, queue }, others, records, token, on_partition } = settings;
        let second_ways = others.iter().filter(|other| other.is_way_out());
        let second_ways = second_ways.map(|other| Arc::clone(other) as Arc<dyn Queue>);
        let (way_out, packer) = way_out(iter::once(queue).chain(second_ways).collect());
        let (stale_reads, opener) = stale_reads(Arc::clone(&blobs), records.shards)?;
        let client = OrderClient::over(transport, blobs, records, token)?.looking_into(others.clone());
        let work = async {
            tokio::select! {
                never = packer.run() => never,
                never = opener.run() => never,
                never = open_all(others) => never,
            }
        };
        Ok((Self { client, clock, on_partition, way_out, seen: Seen::default(), stale_reads }, work))
    }

    /// The order that a create with this key makes.
    #[must_use]
    pub fn order_id(&self, key: &IdempotencyKey) -> OrderId {
        self.client.order_id(key)
    }

    /// Reads the `Order-Pending` of an order.
    ///
    /// # Errors
    /// When it is not one that this shop gave for this order.
    pub fn pending(&self, order: OrderId, token: &str) -> Result<Pending, InvalidPending> {
        Pending::read(token, self.client.secret(), order)
    }

    /// The `Order-Pending` that the customer's next commands on the order carry.
    #[must_use]
    pub fn token(&self, order: OrderId, pending: &Pending) -> String {
        pending.sign(self.client.secret(), order)
    }

    /// Has a command applied, once, however often it is asked, after those that are pending.
    ///
    /// # Errors
    /// See [`OrderError`]; at the latest 470 ms after the call under availability, and one second under consistency.
    pub async fn execute(&self, order: OrderId, request: Request, pending: Pending) -> Result<Done, OrderError> {
        let accepted = Instant::now();
        let choice = self.choice(&request.command);
        let pending = self.seen.pending(order, pending).await;
        // One that is sent again does not wait for itself.
        let after = pending.keys().iter().filter(|key| **key != request.key).cloned().collect();
        let request = Request { after, ..request };
        let taken = AtomicBool::new(false);
        let patience = Patience { taken: Some(&taken), ..self.patience(choice, accepted, DEADLINE) };
        let mut owner = std::pin::pin!(self.client.execute_within(order, &request, patience));
        let alone = match choice {
            OnPartition::Consistency => Ok(owner.as_mut().await),
            OnPartition::Availability => timeout_at(accepted + OWNER_ALONE, owner.as_mut()).await,
        };
        let (mut error, pack_leaves) = match alone {
            Ok(Ok(answer)) => return Ok(Done::Persisted(self.take_in(answer, &pending).await)),
            Ok(Err(error)) if choice == OnPartition::Consistency || !error.is_of_partition() => return Err(error),
            Ok(Err(error)) => (Some(error), PACK_LEAVES_SOON.max(accepted.elapsed() + PACK_GATHERS)),
            // It would have this to do once more, if it came by the queue.
            Err(_later) if self.client.is_overloaded(order) => {
                let answer = owner.await?;
                return Ok(Done::Persisted(self.take_in(answer, &pending).await));
            }
            Err(_later) if taken.load(Ordering::Relaxed) => (None, PACK_LEAVES_LATE),
            Err(_later) => (None, PACK_LEAVES),
        };
        let queued = Request { accepted_at: Some(self.clock.wall()), ..request.clone() };
        let command = QueuedCommand { order, request: queued };
        let (leave_at, deadline, settled) = (accepted + pack_leaves, accepted + DEADLINE, Settled::default());
        let mut queue = std::pin::pin!(self.way_out.queue(command.clone(), leave_at, deadline, settled.clone()));
        let mut outcome = None;
        loop {
            tokio::select! {
                answer = &mut owner, if error.is_none() => match answer {
                    Ok(answer) => return Ok(Done::Persisted(self.take_in(answer, &pending).await)),
                    // But for an order whose create is still on its way, what is refused stays refused.
                    Err(OrderError::Refused(refusal)) if refusal != Refusal::OrderNotFound => {
                        return Err(OrderError::Refused(refusal));
                    }
                    Err(error @ OrderError::Overloaded { .. }) if settled.settle() => return Err(error),
                    Err(other) => error = Some(other),
                },
                queued = &mut queue, if outcome.is_none() => {
                    if queued == Queued::Yes {
                        let (view, pending) = self.seen.keep_queued(&command, pending).await;
                        return Ok(Done::Queued { order, view, pending });
                    }
                    outcome = Some(queued);
                }
            }
            match (&error, outcome) {
                (Some(error), Some(Queued::No)) => return Err(error.clone()),
                (Some(_), Some(_)) => return Err(OrderError::OutcomeUnknown { key: request.key.clone() }),
                _ => {}
            }
        }
    }

    /// Keeps what the owner answered, in which everything is that was pending.
    async fn take_in(&self, answer: Answer, pending: &Pending) -> View {
        let view = View::from(answer);
        self.seen.keep(&view, pending).await;
        view
    }

    /// Reads an order, with what the pending commands made of it. Under availability it may be an older state, marked so.
    ///
    /// # Errors
    /// As of [`execute`](Self::execute).
    pub async fn read(&self, order: OrderId, pending: &Pending) -> Result<View, OrderError> {
        let accepted = Instant::now();
        let choice = self.on_partition.carts;
        let patience = self.patience(choice, accepted, READ_OF_OWNER);
        let owner = self.client.read_within(order, pending.keys(), patience);
        let read = match choice {
            OnPartition::Consistency => owner.await,
            OnPartition::Availability => {
                tokio::pin!(owner);
                match timeout_at(accepted + READ_ELSEWHERE_AFTER, &mut owner).await {
                    Ok(read) => read,
                    Err(_late) => {
                        // By the time that the owner is given up, the store was asked.
                        self.stale_reads.prepare(order);
                        owner.await
                    }
                }
            }
        };
        match read {
            Ok(answer) => Ok(self.take_in(answer, pending).await),
            Err(error) if choice == OnPartition::Availability && error.is_of_partition() => {
                if let Some(view) = self.seen.newest(order).await {
                    return Ok(view);
                }
                let view = self.stale_reads.read(order, accepted + DEADLINE).await.ok_or(error)?;
                self.seen.keep(&view, &Pending::default()).await;
                Ok(view)
            }
            Err(error) => Err(error),
        }
    }

    fn choice(&self, command: &Command) -> OnPartition {
        let OnPartitionConfig { carts, submit } = self.on_partition;
        match command {
            Command::Create { .. }
            | Command::AddItem { .. }
            | Command::SetQuantity { .. }
            | Command::RemoveItem { .. } => carts,
            Command::Submit | Command::Cancel { .. } | Command::Confirm => submit,
        }
    }

    fn patience(&self, choice: OnPartition, accepted: Instant, under_availability: Duration) -> Patience<'static> {
        match choice {
            OnPartition::Consistency => self.client.patience(),
            OnPartition::Availability => {
                Patience { deadline: accepted + under_availability, gives_way: true, taken: None }
            }
        }
    }
}

/// Opens the stores beside the home, then rests.
async fn open_all(others: Vec<Arc<OtherStore>>) -> Infallible {
    futures::future::join_all(others.iter().map(|other| other.open())).await;
    std::future::pending().await
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
