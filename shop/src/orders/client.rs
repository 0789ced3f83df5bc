//! Web's way to the order service: finds the owner of an order's shard, asks it, and asks again within the deadline. Does I/O.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use storage_adapters::BlobStore;
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};

use crate::domain::{IdempotencyKey, OrderId, OrderIdSecret, Request, shard_of};

use super::{
    answer::{Answer, OrderError},
    breaker::Breakers,
    export::Exported,
    import::Imported,
    lease::{Lease, Leases},
    other_store::OtherStore,
    packs::QueuedCommand,
    protocol::{
        COMMANDS_PATH, CommandMessage, DeadCommand, FORMAT, IMPORTS_PATH, ImportMessage, LATE, MAX_ANSWER_BYTES,
        PACKS_PATH, PackMessage, READS_PATH, ReadMessage, Reply, TAKEN_OVER, encode,
    },
    records::ShopRecords,
    refusals::Refusals,
    registry::Registry,
    token::InternalToken,
    transport::{CONNECTING, Http, Transport, TransportError},
};

/// From acceptance to the answer, whatever it is: a shorter cut than this ends in success.
const DEADLINE: Duration = Duration::from_secs(1);

/// What is kept of the deadline for telling the customer.
const MARGIN: Duration = Duration::from_millis(20);

/// What is kept of the deadline for the worker's last word.
const REPLY: Duration = Duration::from_millis(50);

/// Longest that an owner may take to say that it got the question.
const REACH: Duration = CONNECTING;

/// How long to wait before the owner is looked up and asked again, at first; each further time it is twice as long.
const ASK_AGAIN: Duration = Duration::from_millis(25);

/// Longest such wait: whoever opens the shard uses the store that the owner is looked up in.
const ASK_AGAIN_AT_LAST: Duration = Duration::from_millis(100);

/// Commands and reads of this pod under way at once; more are shed.
const MOST_AT_ONCE: usize = 2048;

/// What a customer is told who is shed.
const OVERLOADED: OrderError = OrderError::Overloaded { retry_after: Duration::from_secs(1) };

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The HTTP client cannot be made.
    #[error("the client for internal requests cannot be made")]
    Http(#[from] reqwest::Error),
    /// The store refuses the names that it is used with.
    #[error("the store cannot be used")]
    Store(#[from] storage_adapters::Error),
}

/// Finds the owner of an order's shard and asks it.
pub struct OrderClient {
    registry: Registry,
    /// Other stores that shards may live in.
    others: Vec<Arc<OtherStore>>,
    records: ShopRecords,
    token: InternalToken,
    transport: Arc<dyn Transport>,
    admission: Semaphore,
    deadline: Duration,
    breakers: Breakers,
    refusals: Refusals,
    owners: RwLock<Arc<Leases>>,
    /// Counts looks at the leases; whoever finds an owner gone looks only if nobody did since it asked.
    looks: AtomicU64,
    looking: Mutex<()>,
}

impl fmt::Debug for OrderClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OrderClient").field("shards", &self.records.shards).finish_non_exhaustive()
    }
}

/// What one try says about the next.
enum Tried<T> {
    Done(Result<T, OrderError>),
    /// Nothing was done; ask again, perhaps somebody else.
    Again,
    /// Nothing was done; ask whom this newer lease names.
    Elsewhere(Lease),
    /// It may have been done; ask again with the same key.
    Unknown,
    /// Nothing was done; ask again when earlier commands are there.
    Behind,
    /// Nobody was asked: the owner is out of reach, as others have found.
    Skipped,
    /// Nothing was done: the owner has too much to do, whatever it is asked.
    Late,
}

/// What is asked.
enum Ask<'a> {
    Command(OrderId, &'a Request),
    Read(OrderId, &'a [IdempotencyKey]),
    Import(&'a Exported),
    Pack(&'a [QueuedCommand]),
}

/// How long somebody waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'a> {
    /// Until then.
    pub(super) deadline: Instant,
    /// But not for an owner that others have found to be out of reach.
    pub(super) gives_way: bool,
    /// Told when an owner has the question that serves the shard, or will in a moment.
    pub(super) taken: Option<&'a AtomicBool>,
}

impl Ask<'_> {
    /// Whether somebody waits for the answer who can come back.
    fn is_of_a_customer(&self) -> bool {
        matches!(self, Self::Command(..) | Self::Read(..))
    }

    /// What a later attempt that did nothing says of a command of which an earlier attempt may have done something.
    fn unless_unknown(&self, unknown: bool, error: OrderError) -> OrderError {
        match (self, error) {
            (Self::Command(_, request), OrderError::DiskFull | OrderError::Overloaded { .. }) if unknown => {
                OrderError::OutcomeUnknown { key: request.key.clone() }
            }
            (_, error) => error,
        }
    }

    /// Why there is no answer at the deadline, when some attempt may have done something, or the last was behind.
    fn out_of_time(&self, unknown: bool, behind: bool) -> OrderError {
        match self {
            Self::Command(_, request) if unknown => OrderError::OutcomeUnknown { key: request.key.clone() },
            _ if behind => OrderError::Behind,
            Self::Read(..) => OrderError::Unreadable,
            Self::Command(..) | Self::Import(_) | Self::Pack(_) => OrderError::NotDone,
        }
    }
}

impl OrderClient {
    /// A client for the shop whose records these are.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(blobs: Arc<dyn BlobStore>, records: ShopRecords, token: InternalToken) -> Result<Self, ClientError> {
        Self::over(Arc::new(Http::new()?), blobs, records, token)
    }

    /// A client that asks over this transport.
    pub(super) fn over(
        transport: Arc<dyn Transport>,
        blobs: Arc<dyn BlobStore>,
        records: ShopRecords,
        token: InternalToken,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            registry: Registry::new(blobs)?,
            others: Vec::new(),
            records,
            token,
            transport,
            admission: Semaphore::new(MOST_AT_ONCE),
            deadline: DEADLINE.saturating_sub(MARGIN),
            breakers: Breakers::default(),
            refusals: Refusals::default(),
            owners: RwLock::default(),
            looks: AtomicU64::new(0),
            looking: Mutex::new(()),
        })
    }

    /// The same client, which looks for owners in these stores as well when shards live there.
    pub(super) fn looking_into(self, others: Vec<Arc<OtherStore>>) -> Self {
        Self { others, ..self }
    }

    /// The same client with more patience, for tests on machines that are busy with others.
    #[cfg(test)]
    pub(super) fn patient(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The order that a create with this key makes.
    #[must_use]
    pub fn order_id(&self, key: &IdempotencyKey) -> OrderId {
        OrderId::derive(&self.records.order_id_secret, key)
    }

    /// The number of order shards.
    pub(super) fn shards(&self) -> u16 {
        self.records.shards
    }

    /// The secret that order ids and what is signed for customers are made with.
    pub(super) fn secret(&self) -> &OrderIdSecret {
        &self.records.order_id_secret
    }

    /// Has a command applied, once, however often it is asked, and answers when it is durable.
    ///
    /// # Errors
    /// See [`OrderError`]; at the latest one second after the call.
    pub async fn execute(&self, order: OrderId, request: Request) -> Result<Answer, OrderError> {
        self.execute_within(order, &request, self.patience()).await
    }

    /// [`execute`](Self::execute), with another patience.
    pub(super) async fn execute_within(
        &self,
        order: OrderId,
        request: &Request,
        patience: Patience<'_>,
    ) -> Result<Answer, OrderError> {
        self.ask(self.shard_of(order), Ask::Command(order, request), patience, answer).await
    }

    /// Reads an order as it is durably stored.
    ///
    /// # Errors
    /// As of [`execute`](Self::execute).
    pub async fn read(&self, order: OrderId) -> Result<Answer, OrderError> {
        self.read_within(order, &[], self.patience()).await
    }

    /// [`read`](Self::read), with all that the commands `after` made of it, and another patience.
    pub(super) async fn read_within(
        &self,
        order: OrderId,
        after: &[IdempotencyKey],
        patience: Patience<'_>,
    ) -> Result<Answer, OrderError> {
        self.ask(self.shard_of(order), Ask::Read(order, after), patience, answer).await
    }

    /// Takes an exported order into its shard, unless there is one of its id.
    ///
    /// # Errors
    /// As of [`execute`](Self::execute), at the latest at the deadline. Whatever the outcome, it may be tried again.
    pub async fn import(&self, exported: Exported, deadline: Instant) -> Result<Imported, OrderError> {
        let patience = Patience { deadline, gives_way: false, taken: None };
        self.ask(self.shard_of(exported.order.id), Ask::Import(&exported), patience, imported).await
    }

    /// Whether the owner of an order has had too much to do until a moment ago, as it said itself.
    pub(super) fn is_overloaded(&self, order: OrderId) -> bool {
        self.holder(self.shard_of(order)).is_some_and(|address| self.refusals.is_overloaded(&address))
    }

    /// Brings accepted commands to the owner of their shard: each is applied, refused or parked then, but for those
    /// returned, which can never be applied.
    ///
    /// # Errors
    /// As of [`execute`](Self::execute), at the latest at the deadline. Whatever the outcome, it may be tried again.
    pub(super) async fn deliver(
        &self,
        shard: u16,
        commands: &[QueuedCommand],
        deadline: Instant,
    ) -> Result<Vec<DeadCommand>, OrderError> {
        let patience = Patience { deadline, gives_way: false, taken: None };
        self.ask(shard, Ask::Pack(commands), patience, accepted).await
    }

    fn shard_of(&self, order: OrderId) -> u16 {
        shard_of(order, self.records.shards)
    }

    /// How long a customer waits for an answer that is sure.
    pub(super) fn patience(&self) -> Patience<'static> {
        Patience { deadline: Instant::now() + self.deadline, gives_way: false, taken: None }
    }

    /// Asks until the owner of the shard has answered, or patience ends. `done` takes what it asked for out of a reply.
    async fn ask<T>(
        &self,
        shard: u16,
        ask: Ask<'_>,
        patience: Patience<'_>,
        done: fn(Reply) -> Tried<T>,
    ) -> Result<T, OrderError> {
        let Patience { deadline, gives_way, taken: _ } = patience;
        let _permit = self.admission.try_acquire().map_err(|_| OVERLOADED)?;
        let (mut unknown, mut behind) = (false, false);
        let mut pause = ASK_AGAIN;
        loop {
            let (owner, looks) = self.owner(shard, deadline).await;
            if let Some(address) = owner {
                let tried = self.try_once(&address, shard, &ask, patience, done).await;
                behind = matches!(tried, Tried::Behind);
                match tried {
                    Tried::Done(result) => return result.map_err(|error| ask.unless_unknown(unknown, error)),
                    Tried::Late => return Err(ask.unless_unknown(unknown, OVERLOADED)),
                    Tried::Skipped if gives_way => return Err(ask.out_of_time(unknown, false)),
                    Tried::Again | Tried::Behind | Tried::Skipped => {}
                    Tried::Elsewhere(lease) => {
                        // Epochs only grow, so this ends.
                        if self.learn(shard, lease) {
                            continue;
                        }
                    }
                    Tried::Unknown => unknown = true,
                }
            }
            let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(ASK_AGAIN);
            if left.is_zero() {
                return Err(ask.out_of_time(unknown, behind));
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(ASK_AGAIN_AT_LAST);
            if !behind {
                self.look(looks, deadline).await;
            }
        }
    }

    /// The address of a shard's owner, and how often the leases had been looked at when it was found.
    async fn owner(&self, shard: u16, deadline: Instant) -> (Option<String>, u64) {
        let looks = self.looks.load(Ordering::SeqCst);
        if looks == 0 {
            self.look(0, deadline).await;
        }
        let looks = self.looks.load(Ordering::SeqCst);
        (self.holder(shard), looks)
    }

    /// The address of a shard's owner, by the leases as they were last looked at.
    fn holder(&self, shard: u16) -> Option<String> {
        let owners = Arc::clone(&self.owners.read().unwrap_or_else(PoisonError::into_inner));
        let holder = owners.shards.get(&shard).and_then(|lease| lease.holder.as_ref());
        holder.map(|holder| holder.address.clone())
    }

    /// Reads the leases, unless somebody else did since `before`.
    async fn look(&self, before: u64, deadline: Instant) {
        let looking = async {
            let _turn = self.looking.lock().await;
            if self.looks.load(Ordering::SeqCst) != before {
                return;
            }
            let found = self.look_into(&self.registry).await;
            let owners = Arc::clone(&self.owners.read().unwrap_or_else(PoisonError::into_inner));
            let mut found_elsewhere = false;
            for other in &self.others {
                let is_home = owners.shards.values().any(|lease| lease.home == other.provider());
                if let Some(store) = other.now_open().filter(|_| is_home)
                    && let Ok(registry) = Registry::new(Arc::clone(&store.blobs))
                {
                    found_elsewhere |= self.look_into(&registry).await;
                }
            }
            if found || found_elsewhere {
                self.looks.fetch_add(1, Ordering::SeqCst);
            }
        };
        let _ = tokio::time::timeout_at(deadline, looking).await;
    }

    async fn look_into(&self, registry: &Registry) -> bool {
        match registry.leases().await {
            Ok((leases, _)) => {
                // What a worker said meanwhile may be newer.
                Arc::make_mut(&mut self.owners.write().unwrap_or_else(PoisonError::into_inner)).learn(leases);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the owners of shards were not looked up");
                false
            }
        }
    }

    /// Takes in what a worker said of a shard; whether that names an owner and is newer than what is known.
    fn learn(&self, shard: u16, lease: Lease) -> bool {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        let has_owner = lease.holder.is_some();
        Arc::make_mut(&mut owners).learn_one(shard, lease) && has_owner
    }

    async fn try_once<T>(
        &self,
        address: &str,
        shard: u16,
        ask: &Ask<'_>,
        Patience { deadline, gives_way: _, taken }: Patience<'_>,
        done: fn(Reply) -> Tried<T>,
    ) -> Tried<T> {
        if !self.breakers.may_ask(address) {
            return Tried::Skipped;
        }
        let asking = ask.is_of_a_customer().then(|| self.refusals.ask(address));
        if matches!(asking, Some(None)) {
            return Tried::Late;
        }
        let patience = deadline.saturating_duration_since(Instant::now());
        // The worker gives up a little earlier, so that its reason is here in time.
        let patience_millis = u64::try_from(patience.saturating_sub(REPLY).as_millis()).unwrap_or(0);
        let (path, body) = message(ask, shard, patience_millis);
        let token = self.token.current();
        let sending = self.transport.post(address, path, &token, body);
        // The head of its answer says that the owner has the question; the answer itself may take longer.
        let response = match tokio::time::timeout(REACH.min(patience), sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(TransportError::Unreached)) => {
                self.breakers.missed(address);
                return Tried::Again;
            }
            Ok(Err(error)) => {
                // An idle connection that the owner closed just then looks the same.
                tracing::debug!(%error, "an owner did not answer");
                return Tried::Unknown;
            }
            Err(_late) => {
                // One that said a moment ago that it has too much to do is not out of reach.
                if patience >= REACH && !self.refusals.is_overloaded(address) {
                    self.breakers.missed(address);
                }
                return Tried::Unknown;
            }
        };
        self.breakers.reached(address);
        if response.headers().contains_key(LATE) {
            self.refusals.late(address);
        }
        if let Some(taken) = taken {
            taken.store(!response.headers().contains_key(TAKEN_OVER), Ordering::Relaxed);
        }
        if !response.status().is_success() {
            // A pod that is no worker of ours any more (its address was given to another), or a token that is new.
            tracing::debug!(status = %response.status(), "an owner did not accept the question");
            return Tried::Again;
        }
        let body = tokio::time::timeout_at(deadline, read_body(response)).await.ok().flatten();
        let tried = match body.and_then(|body| serde_json::from_slice(&body).ok()) {
            Some(reply) => done(reply),
            None => Tried::Unknown,
        };
        match (asking.flatten(), &tried) {
            (Some(asking), Tried::Late) => asking.refused(),
            (Some(asking), Tried::Done(_)) => asking.done(),
            _ => {}
        }
        tried
    }
}

/// The path and the body of a question.
fn message(ask: &Ask<'_>, shard: u16, patience_millis: u64) -> (&'static str, Bytes) {
    let format = FORMAT;
    match *ask {
        Ask::Command(order, request) => {
            let request = request.clone();
            (COMMANDS_PATH, encode(&CommandMessage { format, order, request, patience_millis }))
        }
        Ask::Read(order, after) => {
            let after = after.to_vec();
            (READS_PATH, encode(&ReadMessage { format, order, after, patience_millis }))
        }
        Ask::Import(exported) => {
            let exported = exported.clone();
            (IMPORTS_PATH, encode(&ImportMessage { format, exported, patience_millis }))
        }
        Ask::Pack(commands) => {
            let commands = commands.to_vec();
            (PACKS_PATH, encode(&PackMessage { format, shard, commands, patience_millis }))
        }
    }
}

fn answer(reply: Reply) -> Tried<Answer> {
    match reply {
        Reply::Answer { answer } => Tried::Done(Ok(*answer)),
        other => not_done(other),
    }
}

fn imported(reply: Reply) -> Tried<Imported> {
    match reply {
        Reply::Imported { found } => Tried::Done(Ok(found)),
        other => not_done(other),
    }
}

fn accepted(reply: Reply) -> Tried<Vec<DeadCommand>> {
    match reply {
        Reply::Accepted { dead } => Tried::Done(Ok(dead)),
        other => not_done(other),
    }
}

fn not_done<T>(reply: Reply) -> Tried<T> {
    match reply {
        // What was not asked for comes from something that is no worker of this format.
        Reply::Answer { .. } | Reply::Imported { .. } | Reply::Accepted { .. } | Reply::Unknown => Tried::Unknown,
        Reply::Refused { refusal } => Tried::Done(Err(OrderError::Refused(refusal))),
        Reply::NotOwner { lease: Some(lease) } => Tried::Elsewhere(lease),
        Reply::NotOwner { lease: None } | Reply::Format { .. } => Tried::Again,
        Reply::Behind => Tried::Behind,
        Reply::Full => Tried::Done(Err(OrderError::DiskFull)),
        Reply::Overloaded => Tried::Done(Err(OVERLOADED)),
        Reply::Late => Tried::Late,
        Reply::Damaged => Tried::Done(Err(OrderError::Unreadable)),
    }
}

/// The body, unless it is larger than any answer.
async fn read_body(response: reqwest::Response) -> Option<Bytes> {
    if response.content_length().is_some_and(|length| length > MAX_ANSWER_BYTES) {
        return None;
    }
    let mut parts = response.bytes_stream();
    let mut whole = Vec::new();
    while let Some(part) = parts.next().await {
        whole.extend_from_slice(&part.ok()?);
        if u64::try_from(whole.len()).is_ok_and(|length| length > MAX_ANSWER_BYTES) {
            return None;
        }
    }
    Some(whole.into())
}
