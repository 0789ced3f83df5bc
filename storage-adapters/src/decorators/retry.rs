//! Repeats what failed for a passing reason, within a budget. No I/O of its own.
//!
//! It looks only at an error's kind. Each operation says below why it may be repeated. What may not: a streamed put, whose
//! body is spent, and the body of a get, which the caller reads again from where it ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use uuid::Uuid;

use crate::{
    blob::{Blob, BlobInfo, BlobStore, ByteStream, GetOptions, Key, Listing, Metadata, NONCE_ENTRY, PutMode, Version},
    error::{Error, ErrorKind, Result},
    queue::{Depth, Message, Queue, Receipt},
};

/// A repetition costs as much as this many first attempts earn, so that all together make at most 1.1 times the requests.
const PRICE: u64 = 10;

/// Repetitions that are saved up at most, for the first moments of an outage.
const SAVED: u64 = 10;

/// What repetitions are paid from; shared by all that use one store.
#[derive(Debug, Default)]
pub struct Budget(AtomicU64);

impl Budget {
    /// A first attempt earns its share.
    fn earn(&self) {
        let earned = |saved: u64| Some((saved + 1).min(SAVED * PRICE));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earned);
    }

    /// Pays for a repetition; false when there is not enough.
    fn pay(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(PRICE)).is_ok()
    }
}

/// How often and when an operation is repeated.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts at most, the first one included.
    pub attempts: u32,
    /// Longest pause before the second attempt; each further one may be twice as long.
    pub first_pause: Duration,
    /// Longest pause at all. A provider that asks for more is not asked again.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    /// Four attempts, with pauses up to 50 ms, 100 ms and 200 ms.
    fn default() -> Self {
        Self { attempts: 4, first_pause: Duration::from_millis(50), longest_pause: Duration::from_secs(2) }
    }
}

/// A port whose operations are repeated.
#[derive(Debug)]
pub struct Retried<Port: ?Sized> {
    inner: Arc<Port>,
    pauses: Pauses,
}

#[derive(Clone, Debug)]
struct Pauses {
    policy: RetryPolicy,
    budget: Arc<Budget>,
}

impl Pauses {
    /// How long to wait after the failure of the attempt of this number; absent when it is the last.
    fn after(&self, kind: ErrorKind, attempt: u32) -> Option<Duration> {
        let policy = &self.policy;
        let asked = match kind {
            ErrorKind::Throttled { after } => after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        if attempt >= policy.attempts || asked > policy.longest_pause || !self.budget.pay() {
            return None;
        }
        let doubled = policy.first_pause.saturating_mul(1 << (attempt - 1).min(16));
        // Any time up to the pause, so that those who failed together do not come back together.
        Some(asked.max(doubled.min(policy.longest_pause).mul_f64(rand::random())))
    }
}

impl<Port: ?Sized> Retried<Port> {
    /// Repeats the operations of `inner`.
    #[must_use]
    pub fn new(inner: Arc<Port>, policy: RetryPolicy, budget: Arc<Budget>) -> Self {
        Self { inner, pauses: Pauses { policy, budget } }
    }

    /// Repeats `work`, which does no harm when it happens several times.
    async fn repeat<T, Work: Future<Output = Result<T>>>(&self, work: impl Fn() -> Work) -> Result<T> {
        self.pauses.budget.earn();
        let mut attempt = 1;
        loop {
            let error = match work().await {
                Err(error) if error.is_transient() => error,
                outcome => return outcome,
            };
            let Some(pause) = self.pauses.after(error.kind(), attempt) else { return Err(error) };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }
}

fn may_have_happened(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Unknown)
}

fn unknown(operation: &'static str, key: &Key, source: Error) -> Error {
    Error::new(ErrorKind::Unknown, operation, key.as_str()).with_source(source)
}

impl Retried<dyn BlobStore> {
    /// Puts under a condition: each attempt carries the same nonce, by which a put whose reply was lost is known again.
    async fn put_if(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        let nonce = Uuid::new_v4().simple().to_string();
        let mut marked = metadata.clone();
        marked.insert(NONCE_ENTRY.to_owned(), nonce.clone());
        self.pauses.budget.earn();
        let mut attempt = 1;
        let mut is_uncertain = false;
        loop {
            let error = match self.inner.put(key, body.clone(), &marked, mode.clone()).await {
                Ok(version) => return Ok(version),
                Err(error) => error,
            };
            if is_uncertain && error.kind() == ErrorKind::Conflict {
                return self.find_out(key, &nonce, error).await;
            }
            is_uncertain |= may_have_happened(error.kind());
            let is_passing = error.is_transient() || error.kind() == ErrorKind::Unknown;
            let pause = if is_passing { self.pauses.after(error.kind(), attempt) } else { None };
            let Some(pause) = pause else {
                return Err(if is_uncertain { unknown("put", key, error) } else { error });
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Looks whose blob it is that a repeated put met.
    async fn find_out(&self, key: &Key, nonce: &str, conflict: Error) -> Result<Version> {
        match self.inner.head(key).await {
            Ok((info, metadata)) if metadata.get(NONCE_ENTRY).is_some_and(|found| found == nonce) => Ok(info.version),
            // Ours may have been there and replaced.
            Ok(_) => Err(unknown("put", key, conflict)),
            Err(error) => Err(unknown("put", key, error)),
        }
    }
}

fn without_nonce(mut metadata: Metadata) -> Metadata {
    metadata.remove(NONCE_ENTRY);
    metadata
}

#[async_trait]
impl BlobStore for Retried<dyn BlobStore> {
    async fn put(&self, key: &Key, body: Bytes, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        if metadata.contains_key(NONCE_ENTRY) {
            let reason = format!("the metadata '{NONCE_ENTRY}' is kept for finding out what became of a put");
            return Err(Error::new(ErrorKind::InvalidInput, "put", key.as_str()).with_source(reason));
        }
        match mode {
            // Put twice, the blob is as it is put once: whoever else puts meanwhile has no claim to be the last.
            PutMode::Overwrite => self.repeat(|| self.inner.put(key, body.clone(), metadata, PutMode::Overwrite)).await,
            PutMode::IfAbsent | PutMode::IfVersion(_) => self.put_if(key, body, metadata, mode).await,
        }
    }

    async fn put_stream(&self, key: &Key, body: ByteStream, metadata: &Metadata, mode: PutMode) -> Result<Version> {
        // Not repeated: the body is spent.
        self.inner.put_stream(key, body, metadata, mode).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<Blob> {
        // Reading changes nothing.
        let blob = self.repeat(|| self.inner.get(key, options.clone())).await?;
        Ok(Blob { metadata: without_nonce(blob.metadata), ..blob })
    }

    async fn head(&self, key: &Key) -> Result<(BlobInfo, Metadata)> {
        // Reading changes nothing.
        let (info, metadata) = self.repeat(|| self.inner.head(key)).await?;
        Ok((info, without_nonce(metadata)))
    }

    async fn copy(&self, from: &Key, to: &Key) -> Result<Version> {
        // A copy creates: when an earlier attempt may have, nobody can say whose the blob is that the next one meets.
        self.pauses.budget.earn();
        let mut attempt = 1;
        let mut is_uncertain = false;
        loop {
            let error = match self.inner.copy(from, to).await {
                Ok(version) => return Ok(version),
                Err(error) => error,
            };
            is_uncertain |= may_have_happened(error.kind());
            let pause = if error.is_transient() { self.pauses.after(error.kind(), attempt) } else { None };
            let Some(pause) = pause else {
                return Err(if is_uncertain { unknown("copy", to, error) } else { error });
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        // What is gone may be deleted again.
        self.repeat(|| self.inner.delete(key)).await
    }

    fn list(&self, prefix: &str, after: Option<&Key>) -> Listing {
        // A listing goes on after the last key that it returned.
        self.pauses.budget.earn();
        let begun = ListingState {
            inner: self.inner.clone(),
            pauses: self.pauses.clone(),
            listing: self.inner.list(prefix, after),
            prefix: prefix.to_owned(),
            after: after.cloned(),
            attempt: 1,
        };
        stream::unfold(Some(begun), |state| async move { state?.next().await }).boxed()
    }
}

struct ListingState {
    inner: Arc<dyn BlobStore>,
    pauses: Pauses,
    listing: Listing,
    prefix: String,
    after: Option<Key>,
    attempt: u32,
}

impl ListingState {
    async fn next(mut self) -> Option<(Result<BlobInfo>, Option<Self>)> {
        loop {
            let error = match self.listing.next().await? {
                Ok(info) => {
                    self.after = Some(info.key.clone());
                    self.attempt = 1;
                    return Some((Ok(info), Some(self)));
                }
                Err(error) => error,
            };
            let pause = if error.is_transient() { self.pauses.after(error.kind(), self.attempt) } else { None };
            let Some(pause) = pause else { return Some((Err(error), None)) };
            tokio::time::sleep(pause).await;
            self.attempt += 1;
            self.listing = self.inner.list(&self.prefix, self.after.as_ref());
        }
    }
}

#[async_trait]
impl Queue for Retried<dyn Queue> {
    async fn send(&self, pack: Bytes) -> Result<()> {
        // Delivery is at least once: a pack sent twice is one that was delivered twice.
        self.repeat(|| self.inner.send(pack.clone())).await
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        // What was leased unheard comes again when its lease ends.
        self.repeat(|| self.inner.receive(max, lease, wait)).await
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        // When an unheard extension replaced the receipt, the repetition says that the lease is lost, and so it is to its holder.
        self.repeat(|| self.inner.extend(receipt, lease)).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        // Acknowledging twice is a success.
        self.repeat(|| self.inner.ack(receipt)).await
    }

    async fn depth(&self) -> Result<Depth> {
        // Counting changes nothing.
        self.repeat(|| self.inner.depth()).await
    }
}
