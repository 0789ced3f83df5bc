//! The port [`Queue`] on a queue of Queue Storage. Does I/O through the SDK.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::http::{RequestContent, headers::HeaderName};
use azure_storage_queue::{
    QueueClient,
    models::{
        QueueClientGetPropertiesResultHeaders, QueueClientReceiveMessagesOptions, QueueClientSendMessageOptions,
        QueueMessage, ReceivedMessage,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use super::{
    errors::{Answer, Task},
    polling::Activity,
};
use crate::{
    error::{ErrorKind, Result},
    queue::{Depth, Message, Queue, RETENTION, Receipt, check_lease, check_pack, check_receive},
};

const POP_RECEIPT: HeaderName = HeaderName::from_static("x-ms-popreceipt");

/// Messages in a queue.
#[derive(Clone)]
pub(super) struct StorageQueue {
    client: Arc<QueueClient>,
    activity: Arc<Activity>,
    sent: Arc<Notify>,
}

impl std::fmt::Debug for StorageQueue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("StorageQueue").field(&self.client.url().as_str()).finish()
    }
}

/// A receipt taken apart: the message and the right to it, which the service replaces with each lease.
struct Held<'receipt> {
    message: &'receipt str,
    right: &'receipt str,
}

impl<'receipt> Held<'receipt> {
    /// Absent when it is no receipt of ours. The message's id becomes part of a path, so it is looked at closely.
    fn of(receipt: &'receipt Receipt) -> Option<Self> {
        let (message, right) = receipt.0.split_once('/')?;
        let is_id = !message.is_empty() && message.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        (is_id && !right.is_empty()).then_some(Self { message, right })
    }
}

fn receipt(message: &str, right: &str) -> Receipt {
    Receipt(format!("{message}/{right}"))
}

/// Whether the service says that a receipt is not the newest of its message, or that the message is gone.
fn is_stale(fault: &azure_core::Error) -> bool {
    Answer::of(fault).is_some_and(|answer| {
        answer.is(404, "MessageNotFound")
            || answer.is(400, "PopReceiptMismatch")
            || answer.is(400, "InvalidQueryParameterValue")
    })
}

/// A time in the service's unit; one that is out of bounds was refused before.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

impl StorageQueue {
    pub(super) fn new(client: QueueClient) -> Self {
        Self { client: Arc::new(client), activity: Arc::new(Activity::begin()), sent: Arc::new(Notify::new()) }
    }

    /// Asks once.
    async fn take(&self, max: usize, lease: Duration) -> Result<Vec<Message>> {
        // What was leased unheard comes again when its lease ends.
        let task = Task::repeatable("receive", "queue");
        let options = QueueClientReceiveMessagesOptions {
            number_of_messages: i32::try_from(max).ok(),
            visibility_timeout: Some(seconds(lease)),
            ..Default::default()
        };
        // The lease ends by the service's clock, which has begun to count when the answer comes.
        let asked = Instant::now();
        let answer = self.client.receive_messages(Some(options)).await.map_err(|fault| task.sdk(fault))?;
        let list = answer.into_model().map_err(|fault| task.sdk(fault))?;
        let found = list.items.unwrap_or_default();
        found.into_iter().map(|message| self.message_of(message, asked + lease, &task)).collect()
    }

    fn message_of(&self, received: ReceivedMessage, until: Instant, task: &Task) -> Result<Message> {
        let ReceivedMessage { message_id, message_text, pop_receipt, dequeue_count, .. } = received;
        let id = message_id.ok_or_else(|| task.incomplete("id of a message"))?;
        let right = pop_receipt.ok_or_else(|| task.incomplete("receipt of a message"))?;
        let body = STANDARD.decode(message_text.unwrap_or_default()).map_err(|fault| {
            task.explain(ErrorKind::Corrupt, format!("the message {id} is none of ours, as it is not base64: {fault}"))
        })?;
        self.activity.leased(&id, until);
        let deliveries = dequeue_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
        Ok(Message { body: body.into(), receipt: receipt(&id, &right), deliveries })
    }
}

#[async_trait]
impl Queue for StorageQueue {
    async fn send(&self, pack: Bytes) -> Result<()> {
        check_pack(&pack)?;
        let task = Task::uncertain("send", "queue");
        let message = QueueMessage { message_text: Some(STANDARD.encode(&pack)) };
        let message: RequestContent<_, _> = message.try_into().map_err(|fault| task.sdk(fault))?;
        // Without a time to live it would be 7 days.
        let options =
            QueueClientSendMessageOptions { message_time_to_live: Some(seconds(RETENTION)), ..Default::default() };
        self.client.send_message(message, Some(options)).await.map_err(|fault| task.sdk(fault))?;
        self.activity.sent();
        self.sent.notify_one();
        Ok(())
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        check_receive(max, lease, wait)?;
        let until = Instant::now() + wait;
        loop {
            let taken = self.take(max, lease).await?;
            if !taken.is_empty() || Instant::now() >= until {
                return Ok(taken);
            }
            // Either a message of this process, or time to look for those of others.
            let next = until.min(self.activity.next_look());
            let _ = tokio::time::timeout_at(next, self.sent.notified()).await;
        }
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        check_lease("extend", lease)?;
        let task = Task::uncertain("extend", "message");
        let held = Held::of(receipt).ok_or_else(|| task.fail(ErrorKind::LeaseLost))?;
        let asked = Instant::now();
        // Without a body the message keeps its own.
        match self.client.update_message(held.message, held.right, seconds(lease), None).await {
            Ok(answer) => {
                let right =
                    answer.headers().get_optional_str(&POP_RECEIPT).ok_or_else(|| task.incomplete("receipt"))?;
                self.activity.leased(held.message, asked + lease);
                Ok(self::receipt(held.message, right))
            }
            Err(fault) if is_stale(&fault) => Err(task.fail(ErrorKind::LeaseLost)),
            Err(fault) => Err(task.sdk(fault)),
        }
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        // What is no receipt of ours is as stale as can be.
        let Some(held) = Held::of(receipt) else { return Ok(()) };
        match self.client.delete_message(held.message, held.right, None).await {
            Ok(_) => {
                self.activity.given_up(held.message);
                Ok(())
            }
            Err(fault) if is_stale(&fault) => Ok(()),
            Err(fault) => Err(Task::repeatable("ack", "message").sdk(fault)),
        }
    }

    /// The service counts all messages alike, so what other processes hold counts as waiting.
    async fn depth(&self) -> Result<Depth> {
        let task = Task::repeatable("depth", "queue");
        let found = self.client.get_properties(None).await.map_err(|fault| task.sdk(fault))?;
        let count = found.approximate_messages_count().ok().flatten().and_then(|count| u64::try_from(count).ok());
        let count = count.ok_or_else(|| task.incomplete("count"))?;
        let leased = self.activity.held().min(count);
        Ok(Depth { waiting: count - leased, leased })
    }
}
