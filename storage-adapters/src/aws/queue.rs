//! The port [`Queue`] on a standard queue of SQS. Does I/O over the network.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{
        BatchResultErrorEntry, DeleteMessageBatchRequestEntry, Message as Delivery, MessageSystemAttributeName,
        QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::FutureExt;
use tokio::time::{Instant, sleep};

use super::{
    batches::Batches,
    errors::{Answer, Service, Task},
    receipts::{Held, Receipts},
};
use crate::{
    error::{Error, ErrorKind, Result},
    queue::{Depth, MAX_LEASE, MAX_PACK_BYTES, Message, Queue, Receipt, check_lease, check_pack, check_receive},
};

/// How often a receive looks again that waits for less than a second, which SQS cannot wait itself.
const POLL: Duration = Duration::from_millis(200);

/// A rest of a wait that is not worth a request.
const NO_WAIT: Duration = Duration::from_millis(20);

/// A queue of SQS.
pub(super) struct SqsQueue {
    client: Client,
    url: Arc<str>,
    sends: Batches<String>,
    deletions: Batches<String>,
    receipts: Receipts,
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SqsQueue").field(&self.url).finish()
    }
}

fn task(operation: &'static str) -> Task {
    Task::new(Service::Sqs, operation, "queue")
}

impl SqsQueue {
    pub(super) fn new(client: Client, url: &str) -> Self {
        let url: Arc<str> = url.into();
        let (sender, remover) = ((client.clone(), url.clone()), (client.clone(), url.clone()));
        let sends = Batches::new(move |bodies| send_all(sender.0.clone(), sender.1.clone(), bodies).boxed());
        let deletions = Batches::new(move |handles| delete_all(remover.0.clone(), remover.1.clone(), handles).boxed());
        Self { client, url, sends, deletions, receipts: Receipts::default() }
    }

    /// Asks once, letting SQS wait for so many whole seconds.
    async fn poll(&self, max: usize, lease: Duration, wait: u64) -> Result<Vec<Message>> {
        let begun = Instant::now();
        let request = self
            .client
            .receive_message()
            .queue_url(&*self.url)
            .max_number_of_messages(small(max as u64))
            .visibility_timeout(small(lease.as_secs()))
            .wait_time_seconds(small(wait))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let answer = request.send().await.map_err(|fault| task("receive").sdk(fault))?;
        let now = Instant::now();
        // A lease begins when SQS takes the message. Of an answer that SQS waited with nobody can tell when that was, only
        // that the answer took its way since: no longer than this, but for an outage, in which two may hold a message.
        let earliest = now.checked_sub(lease / 4).unwrap_or(begun);
        let received = if wait == 0 { begun } else { begun.max(earliest) };
        let mut messages = Vec::new();
        let mut damage = None;
        for delivery in answer.messages.unwrap_or_default() {
            match self.read(delivery, received, lease, now) {
                Ok(message) => messages.push(message),
                Err(error) => damage = Some(error),
            }
        }
        match damage {
            // What is whole is not lost to what is not, which comes again when its lease has ended.
            Some(error) if messages.is_empty() => Err(error),
            _ => Ok(messages),
        }
    }

    fn read(&self, delivery: Delivery, received: Instant, lease: Duration, now: Instant) -> Result<Message> {
        let malformed = |what: &str| task("receive").explain(ErrorKind::Corrupt, what);
        let (Some(id), Some(handle), Some(body)) = (delivery.message_id, delivery.receipt_handle, delivery.body) else {
            return Err(malformed("the server delivered a message without its id, handle or body"));
        };
        let body = BASE64_STANDARD.decode(body).map_err(|_| malformed("a message is no base64; a stranger sent it"))?;
        if body.is_empty() || body.len() > MAX_PACK_BYTES {
            return Err(malformed("a message has a size that no pack has; a stranger sent it"));
        }
        let count = MessageSystemAttributeName::ApproximateReceiveCount;
        let count = delivery.attributes.and_then(|mut attributes| attributes.remove(&count));
        let deliveries = count.and_then(|count| count.parse().ok()).unwrap_or(1);
        let receipt = self.receipts.grant(&id, Held { handle, received, ends: received + lease }, now);
        Ok(Message { body: body.into(), receipt, deliveries })
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, pack: Bytes) -> Result<()> {
        check_pack(&pack)?;
        let body = BASE64_STANDARD.encode(&pack);
        let bytes = body.len();
        let nobody = || Err(task("send").explain(ErrorKind::Unknown, "the program is ending"));
        self.sends.add(body, bytes).await.unwrap_or_else(nobody)
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        check_receive(max, lease, wait)?;
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let messages = self.poll(max, lease, (left + NO_WAIT).as_secs()).await?;
            let left = until.saturating_duration_since(Instant::now());
            if !messages.is_empty() || left < NO_WAIT {
                return Ok(messages);
            }
            if left + NO_WAIT < Duration::from_secs(1) {
                sleep(left.min(POLL)).await;
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        check_lease("extend", lease)?;
        let task = Task::new(Service::Sqs, "extend", "message");
        let lost = || task.fail(ErrorKind::LeaseLost);
        let begun = Instant::now();
        let held = self.receipts.find(receipt, begun).ok_or_else(lost)?;
        // SQS lets nobody hold a message for longer, counted from its delivery.
        let longest = MAX_LEASE.saturating_sub(begun.duration_since(held.received)).as_secs();
        let seconds = lease.as_secs().min(longest);
        let ends = begun + Duration::from_secs(seconds);
        let request = self
            .client
            .change_message_visibility()
            .queue_url(&*self.url)
            .receipt_handle(&held.handle)
            .visibility_timeout(small(seconds));
        if let Err(fault) = request.send().await {
            // All parameters are in bounds, so that what is invalid can only be the handle.
            let is_lost = Answer::read(&fault).is_some_and(|answer| answer.is("InvalidParameterValue"));
            let error = if is_lost { lost() } else { task.sdk(fault) };
            if error.is_transient() {
                self.receipts.doubt(receipt, ends);
            }
            return Err(error);
        }
        // An answer that came when the lease had ended may be about another's delivery.
        self.receipts.find(receipt, Instant::now()).ok_or_else(lost)?;
        self.receipts.extend(receipt, ends).ok_or_else(lost)
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        let Some(held) = self.receipts.find(receipt, Instant::now()) else { return Ok(()) };
        let nobody = || Err(task("ack").explain(ErrorKind::Unavailable, "the program is ending"));
        let bytes = held.handle.len();
        match self.deletions.add(held.handle, bytes).await.unwrap_or_else(nobody) {
            Err(error) if error.kind() != ErrorKind::LeaseLost => Err(error),
            // A lost lease is a stale receipt, which removes nothing and is a success.
            _ => {
                self.receipts.forget(receipt);
                Ok(())
            }
        }
    }

    async fn depth(&self) -> Result<Depth> {
        let (waiting, leased) = (
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        );
        let request = self.client.get_queue_attributes().queue_url(&*self.url);
        let request = request.attribute_names(waiting.clone()).attribute_names(leased.clone());
        let answer = request.send().await.map_err(|fault| task("depth").sdk(fault))?;
        let counts = answer.attributes.unwrap_or_default();
        let count = |name: &QueueAttributeName| {
            let missing = || task("depth").explain(ErrorKind::Internal, format!("the server gave no {name}"));
            counts.get(name).and_then(|count| count.parse().ok()).ok_or_else(missing)
        };
        Ok(Depth { waiting: count(&waiting)?, leased: count(&leased)? })
    }
}

async fn send_all(client: Client, url: Arc<str>, bodies: Vec<String>) -> Result<Vec<Result<()>>> {
    let task = task("send").once();
    let count = bodies.len();
    let entries = bodies
        .into_iter()
        .enumerate()
        .map(|(index, body)| SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build());
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| internal(&task, error))?;
    let request = client.send_message_batch().queue_url(&*url).set_entries(Some(entries));
    let answer = request.send().await.map_err(|fault| task.sdk(fault))?;
    Ok(outcomes(&task, count, answer.successful.iter().map(|entry| entry.id.as_str()), &answer.failed))
}

async fn delete_all(client: Client, url: Arc<str>, handles: Vec<String>) -> Result<Vec<Result<()>>> {
    let task = task("ack");
    let count = handles.len();
    let entries = handles.into_iter().enumerate().map(|(index, handle)| {
        DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(handle).build()
    });
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| internal(&task, error))?;
    let request = client.delete_message_batch().queue_url(&*url).set_entries(Some(entries));
    let answer = request.send().await.map_err(|fault| task.sdk(fault))?;
    Ok(outcomes(&task, count, answer.successful.iter().map(|entry| entry.id.as_str()), &answer.failed))
}

/// The outcome of each entry of a batch, which has its place as its id.
fn outcomes<'a>(
    task: &Task,
    count: usize,
    successful: impl Iterator<Item = &'a str>,
    failed: &[BatchResultErrorEntry],
) -> Vec<Result<()>> {
    let unheard = || task.explain(task.unheard(), "the server's answer says nothing of this message");
    let mut outcomes: Vec<Result<()>> = (0..count).map(|_| Err(unheard())).collect();
    let mut set = |id: &str, outcome| {
        if let Some(place) = id.parse().ok().and_then(|index: usize| outcomes.get_mut(index)) {
            *place = outcome;
        }
    };
    successful.for_each(|id| set(id, Ok(())));
    for entry in failed {
        set(&entry.id, Err(task.entry(&entry.code, entry.message.as_deref())));
    }
    outcomes
}

fn internal(task: &Task, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    task.fail(ErrorKind::Internal).with_source(error)
}

/// A number that is in bounds already, as the SDK wants it.
fn small(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
