//! Web's way to the order service: finds the owner of an order's shard, asks it, and asks again within the deadline. Does I/O.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use storage_adapters::BlobStore;
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};

use crate::domain::{IdempotencyKey, OrderId, Request, shard_of};

use super::{
    answer::{Answer, OrderError},
    export::Exported,
    import::Imported,
    lease::{Lease, Leases},
    protocol::{
        COMMANDS_PATH, CommandMessage, FORMAT, IMPORTS_PATH, ImportMessage, MAX_ANSWER_BYTES, READS_PATH, ReadMessage,
        Reply,
    },
    records::ShopRecords,
    registry::Registry,
    token::InternalToken,
};

/// From acceptance to the answer, whatever it is: a shorter cut than this ends in success.
const DEADLINE: Duration = Duration::from_secs(1);

/// What is kept of the deadline for telling the customer.
const MARGIN: Duration = Duration::from_millis(20);

/// What is kept of the deadline for the worker's last word.
const REPLY: Duration = Duration::from_millis(50);

/// Longest that connecting to an owner may take; one in the same cluster is there at once or not at all.
const CONNECT: Duration = Duration::from_millis(300);

/// How long to wait before the owner is looked up and asked again, at first; each further time it is twice as long.
const ASK_AGAIN: Duration = Duration::from_millis(25);

/// Longest such wait: whoever opens the shard uses the store that the owner is looked up in.
const ASK_AGAIN_AT_LAST: Duration = Duration::from_millis(100);

/// Commands and reads of this pod under way at once; more are shed.
const MOST_AT_ONCE: usize = 2048;

/// When a customer who was shed comes back.
const COME_BACK: Duration = Duration::from_secs(1);

/// How long an idle connection to a worker is kept.
const IDLE: Duration = Duration::from_secs(30);

/// The client for internal requests.
pub(super) fn http() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

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
    records: ShopRecords,
    token: InternalToken,
    http: reqwest::Client,
    admission: Semaphore,
    deadline: Duration,
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
}

/// What is asked.
enum Ask<'a> {
    Command(&'a Request),
    Read,
    Import(&'a Exported),
}

impl Ask<'_> {
    /// What a later attempt that did nothing says of a command of which an earlier attempt may have done something.
    fn unless_unknown(&self, unknown: bool, error: OrderError) -> OrderError {
        match (self, error) {
            (Self::Command(request), OrderError::DiskFull | OrderError::Overloaded { .. }) if unknown => {
                OrderError::OutcomeUnknown { key: request.key.clone() }
            }
            (_, error) => error,
        }
    }
}

impl OrderClient {
    /// A client for the shop whose records these are.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(blobs: Arc<dyn BlobStore>, records: ShopRecords, token: InternalToken) -> Result<Self, ClientError> {
        Ok(Self {
            registry: Registry::new(blobs)?,
            records,
            token,
            http: http()?,
            admission: Semaphore::new(MOST_AT_ONCE),
            deadline: DEADLINE.saturating_sub(MARGIN),
            owners: RwLock::default(),
            looks: AtomicU64::new(0),
            looking: Mutex::new(()),
        })
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

    /// Has a command applied, once, however often it is asked, and answers when it is durable.
    ///
    /// # Errors
    /// See [`OrderError`]; at the latest one second after the call.
    pub async fn execute(&self, order: OrderId, request: Request) -> Result<Answer, OrderError> {
        self.ask(order, Ask::Command(&request), self.soon(), answer).await
    }

    /// Reads an order as it is durably stored.
    ///
    /// # Errors
    /// As of [`execute`](Self::execute).
    pub async fn read(&self, order: OrderId) -> Result<Answer, OrderError> {
        self.ask(order, Ask::Read, self.soon(), answer).await
    }

    /// Takes an exported order into its shard, unless there is one of its id.
    ///
    /// # Errors
    /// As of [`execute`](Self::execute), at the latest at the deadline. Whatever the outcome, it may be tried again.
    pub async fn import(&self, exported: Exported, deadline: Instant) -> Result<Imported, OrderError> {
        self.ask(exported.order.id, Ask::Import(&exported), deadline, imported).await
    }

    /// When a customer must have been answered.
    fn soon(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Asks until the owner of the order's shard has answered, or the deadline has come. `done` takes what it asked for out
    /// of a reply.
    async fn ask<T>(
        &self,
        order: OrderId,
        ask: Ask<'_>,
        deadline: Instant,
        done: fn(Reply) -> Tried<T>,
    ) -> Result<T, OrderError> {
        let _permit = self.admission.try_acquire().map_err(|_| OrderError::Overloaded { retry_after: COME_BACK })?;
        let shard = shard_of(order, self.records.shards);
        let mut unknown = false;
        let mut pause = ASK_AGAIN;
        loop {
            let (owner, looks) = self.owner(shard, deadline).await;
            if let Some(address) = owner {
                match self.try_once(&address, order, &ask, deadline, done).await {
                    Tried::Done(result) => return result.map_err(|error| ask.unless_unknown(unknown, error)),
                    Tried::Again => {}
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
                return Err(match ask {
                    Ask::Read => OrderError::Unreadable,
                    Ask::Command(request) if unknown => OrderError::OutcomeUnknown { key: request.key.clone() },
                    Ask::Command(_) | Ask::Import(_) => OrderError::NotDone,
                });
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(ASK_AGAIN_AT_LAST);
            self.look(looks, deadline).await;
        }
    }

    /// The address of a shard's owner, and how often the leases had been looked at when it was found.
    async fn owner(&self, shard: u16, deadline: Instant) -> (Option<String>, u64) {
        let looks = self.looks.load(Ordering::SeqCst);
        if looks == 0 {
            self.look(0, deadline).await;
        }
        let looks = self.looks.load(Ordering::SeqCst);
        let owners = Arc::clone(&self.owners.read().unwrap_or_else(PoisonError::into_inner));
        let holder = owners.shards.get(&shard).and_then(|lease| lease.holder.as_ref());
        (holder.map(|holder| holder.address.clone()), looks)
    }

    /// Reads the leases, unless somebody else did since `before`.
    async fn look(&self, before: u64, deadline: Instant) {
        let looking = async {
            let _turn = self.looking.lock().await;
            if self.looks.load(Ordering::SeqCst) != before {
                return;
            }
            match self.registry.leases().await {
                Ok((leases, _)) => {
                    // What a worker said meanwhile may be newer.
                    Arc::make_mut(&mut self.owners.write().unwrap_or_else(PoisonError::into_inner)).learn(leases);
                    self.looks.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => tracing::debug!(%error, "the owners of shards were not looked up"),
            }
        };
        let _ = tokio::time::timeout_at(deadline, looking).await;
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
        order: OrderId,
        ask: &Ask<'_>,
        deadline: Instant,
        done: fn(Reply) -> Tried<T>,
    ) -> Tried<T> {
        let patience = deadline.saturating_duration_since(Instant::now());
        // The worker gives up a little earlier, so that its reason is here in time.
        let patience_millis = u64::try_from(patience.saturating_sub(REPLY).as_millis()).unwrap_or(0);
        let (path, body) = match ask {
            Ask::Command(request) => {
                let request = (*request).clone();
                (COMMANDS_PATH, encode(&CommandMessage { format: FORMAT, order, request, patience_millis }))
            }
            Ask::Read => (READS_PATH, encode(&ReadMessage { format: FORMAT, order, patience_millis })),
            Ask::Import(exported) => {
                let exported = (*exported).clone();
                (IMPORTS_PATH, encode(&ImportMessage { format: FORMAT, exported, patience_millis }))
            }
        };
        let sending = self
            .http
            .post(format!("http://{address}{path}"))
            .bearer_auth(self.token.current())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .timeout(patience)
            .send();
        let response = match sending.await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Tried::Again,
            Err(error) => {
                tracing::debug!(%error, "an owner did not answer");
                return Tried::Unknown;
            }
        };
        if !response.status().is_success() {
            // A pod that is no worker of ours any more (its address was given to another), or a token that is new.
            tracing::debug!(status = %response.status(), "an owner did not accept the question");
            return Tried::Again;
        }
        match read_body(response).await.and_then(|body| serde_json::from_slice(&body).ok()) {
            Some(reply) => done(reply),
            None => Tried::Unknown,
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

fn not_done<T>(reply: Reply) -> Tried<T> {
    match reply {
        // What was not asked for comes from something that is no worker of this format.
        Reply::Answer { .. } | Reply::Imported { .. } | Reply::Unknown => Tried::Unknown,
        Reply::Refused { refusal } => Tried::Done(Err(OrderError::Refused(refusal))),
        Reply::NotOwner { lease: Some(lease) } => Tried::Elsewhere(lease),
        Reply::NotOwner { lease: None } | Reply::Format { .. } => Tried::Again,
        Reply::Full => Tried::Done(Err(OrderError::DiskFull)),
        Reply::Overloaded => Tried::Done(Err(OrderError::Overloaded { retry_after: COME_BACK })),
        Reply::Damaged => Tried::Done(Err(OrderError::Unreadable)),
    }
}

fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Only maps with keys that are no text fail to encode, and no message has one.
    serde_json::to_vec(message).unwrap_or_default()
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
