//! Disturbs a store as a script says, to try out what stands on it. No I/O of its own.
//!
//! A fault comes before the operation, which then does not happen, or instead of its reply, when it has happened. What is
//! left to chance comes from a seed, so that a run can be repeated.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::Operation;
use crate::{
    blob::{Blob, BlobInfo, BlobStore, ByteStream, GetOptions, Key, Listing, Metadata, PutMode, Version},
    error::{Error, ErrorKind, Result},
    queue::{Depth, Message, Queue, Receipt},
};

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has not happened.
    Fail(ErrorKind),
    /// It happens, but its caller gets this error. A listing or a body ends in it after its first piece.
    LoseReply(ErrorKind),
    /// It happens after this time.
    Delay(Duration),
    /// It does not happen, and its caller hears nothing for ever.
    Hang,
    /// It happens, and its caller hears nothing for ever.
    HangAfterwards,
}

/// Which operations a fault meets.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The operation; every one when absent.
    pub operation: Option<Operation>,
    /// What the key or the listing's prefix begins with; queue operations match only the empty text.
    pub prefix: String,
    /// How likely it meets an operation that fits, from 0 to 1.
    pub probability: f64,
    /// How often it happens; without end when absent.
    pub times: Option<u32>,
    /// What happens.
    pub fault: Fault,
}

impl Rule {
    /// A rule that meets every operation of the kind.
    #[must_use]
    pub fn always(operation: Operation, fault: Fault) -> Self {
        Self { operation: Some(operation), prefix: String::new(), probability: 1.0, times: None, fault }
    }

    /// A rule that meets the next operation of the kind, and no other.
    #[must_use]
    pub fn once(operation: Operation, fault: Fault) -> Self {
        Self { times: Some(1), ..Self::always(operation, fault) }
    }
}

/// The script, which may be changed while the store is used.
#[derive(Debug)]
pub struct FaultPlan(Mutex<Script>);

#[derive(Debug)]
struct Script {
    rules: Vec<Rule>,
    chance: StdRng,
}

impl FaultPlan {
    /// An empty script whose chances come from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Script { rules: Vec::new(), chance: StdRng::seed_from_u64(seed) })))
    }

    /// Adds a rule; the first one that meets an operation counts.
    pub fn add(&self, rule: Rule) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).rules.push(rule);
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).rules.clear();
    }

    /// What happens to an operation on `subject`.
    fn next(&self, operation: Operation, subject: &str) -> Option<Fault> {
        let mut script = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Script { rules, chance } = &mut *script;
        let rule = rules.iter_mut().find(|rule| {
            rule.operation.is_none_or(|wanted| wanted == operation)
                && subject.starts_with(&rule.prefix)
                && rule.times != Some(0)
                && (rule.probability >= 1.0 || chance.random_bool(rule.probability.max(0.0)))
        })?;
        rule.times = rule.times.map(|times| times - 1);
        Some(rule.fault)
    }
}

/// A port that is disturbed.
#[derive(Debug)]
pub struct Faulty<Port: ?Sized> {
    inner: Arc<Port>,
    plan: Arc<FaultPlan>,
}

fn injected(kind: ErrorKind, operation: Operation, subject: &str) -> Error {
    Error::new(kind, operation.name(), subject).with_source("injected fault")
}

impl<Port: ?Sized> Faulty<Port> {
    /// Disturbs `inner` as `plan` says.
    #[must_use]
    pub fn new(inner: Arc<Port>, plan: Arc<FaultPlan>) -> Self {
        Self { inner, plan }
    }

    async fn disturb<T>(
        &self,
        operation: Operation,
        subject: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.plan.next(operation, subject) {
            None => work.await,
            Some(Fault::Fail(kind)) => Err(injected(kind, operation, subject)),
            Some(Fault::LoseReply(kind)) => work.await.and_then(|_| Err(injected(kind, operation, subject))),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                work.await
            }
            Some(Fault::Hang) => pending().await,
            Some(Fault::HangAfterwards) => {
                let _ = work.await;
                pending().await
            }
        }
    }
}

/// `pieces`, disturbed; a lost reply comes after the first of them.
fn disturb_stream<T: Send + 'static>(
    pieces: stream::BoxStream<'static, Result<T>>,
    fault: Option<Fault>,
    error: impl Fn(ErrorKind) -> Error + Send + 'static,
) -> stream::BoxStream<'static, Result<T>> {
    match fault {
        None => pieces,
        Some(Fault::Fail(kind)) => stream::once(async move { Err(error(kind)) }).boxed(),
        Some(Fault::LoseReply(kind)) => pieces.take(1).chain(stream::once(async move { Err(error(kind)) })).boxed(),
        Some(Fault::Delay(time)) => {
            let delay = async move {
                tokio::time::sleep(time).await;
                pieces
            };
            delay.flatten_stream().boxed()
        }
        Some(Fault::Hang) => stream::pending().boxed(),
        Some(Fault::HangAfterwards) => pieces.take(1).chain(stream::pending()).boxed(),
    }
}

#[async_trait]
impl BlobStore for Faulty<dyn BlobStore> {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        self.disturb(Operation::Put, key.as_str(), self.inner.put(key, body, metadata, mode)).await
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        self.disturb(Operation::PutStream, key.as_str(), self.inner.put_stream(key, body, metadata, mode)).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        let subject = key.as_str().to_owned();
        let error = move |kind| injected(kind, Operation::Get, &subject);
        // Once the store has answered, what is left to disturb is the body.
        match self.plan.next(Operation::Get, key.as_str()) {
            Some(Fault::Fail(kind)) => Err(error(kind)),
            Some(Fault::Hang) => pending().await,
            fault => {
                let blob = self.inner.get(key, options).await?;
                Ok(Blob { body: disturb_stream(blob.body, fault, error), ..blob })
            }
        }
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        self.disturb(Operation::Head, key.as_str(), self.inner.head(key)).await
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        self.disturb(Operation::Copy, to.as_str(), self.inner.copy(from, to)).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.disturb(Operation::Delete, key.as_str(), self.inner.delete(key)).await
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        let fault = self.plan.next(Operation::List, prefix);
        let subject = prefix.to_owned();
        disturb_stream(self.inner.list(prefix, after), fault, move |kind| injected(kind, Operation::List, &subject))
    }
}

#[async_trait]
impl Queue for Faulty<dyn Queue> {
    async fn send(&self, pack: Bytes) -> Result<()> {
        self.disturb(Operation::Send, "", self.inner.send(pack)).await
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        self.disturb(Operation::Receive, "", self.inner.receive(max, lease, wait)).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        self.disturb(Operation::Extend, "", self.inner.extend(receipt, lease)).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        self.disturb(Operation::Ack, "", self.inner.ack(receipt)).await
    }

    async fn depth(&self) -> Result<Depth> {
        self.disturb(Operation::Depth, "", self.inner.depth()).await
    }
}
