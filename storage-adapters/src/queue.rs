//! The port [`Queue`]: packs of records, at least once, in any order. No I/O.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
#[cfg(feature = "adapter")]
use crate::error::{Error, ErrorKind};

/// Largest pack in bytes: in base64 it fits the 64 KiB of an Azure Queue Storage message
/// (<https://learn.microsoft.com/rest/api/storageservices/put-message>).
pub const MAX_PACK_BYTES: usize = 48 * 1024;

/// Most messages of one receive, the least of the providers' limits (SQS: 10).
pub const MAX_RECEIVE: usize = 10;

/// Longest lease, the least of the providers' limits (SQS: 12 hours).
pub const MAX_LEASE: Duration = Duration::from_hours(12);

/// Longest wait of a receive, the least of the providers' limits (SQS: 20 seconds).
pub const MAX_WAIT: Duration = Duration::from_secs(20);

/// How long a message is kept when nobody acknowledges it, on every provider (the most that SQS allows).
pub const RETENTION: Duration = Duration::from_hours(14 * 24);

/// The right to extend or acknowledge one delivery of a message; opaque. Only the newest of a message is good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// One delivery of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What was sent.
    pub body: Bytes,
    /// The right to extend or acknowledge this delivery.
    pub receipt: Receipt,
    /// How often the message was delivered, this time included; approximate.
    pub deliveries: u32,
}

/// How many messages wait or are leased. Every provider's count may lag and may be wrong: it is for scaling and for
/// people, and nothing is ever concluded from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that a receive could return now.
    pub waiting: u64,
    /// Messages that a receiver holds.
    pub leased: u64,
}

/// Packs of records on their way to a worker.
///
/// - A message that `send` accepted is durable and is delivered until it is acknowledged or [`RETENTION`] has passed.
/// - Delivery is at least once, and in any order.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug + 'static {
    /// Appends a pack of 1 to [`MAX_PACK_BYTES`] bytes.
    ///
    /// # Errors
    /// `TooLarge`; `InvalidInput` for an empty pack; `Unknown` when it may have been sent: sending again may deliver it twice.
    async fn send(&self, pack: Bytes) -> Result<()>;

    /// Leases up to `max` (at most [`MAX_RECEIVE`]) messages for `lease` (1 s to [`MAX_LEASE`], whole seconds), waiting up to `wait` (at most
    /// [`MAX_WAIT`]) until there is one; none is an empty list.
    ///
    /// - A leased message is delivered to nobody else until its lease ends.
    /// - When the lease ends unacknowledged, the message is delivered again, with a receipt of its own.
    /// - A receive that waits returns when a message is sent or a lease ends.
    ///
    /// # Errors
    /// `InvalidInput` when an argument is out of bounds.
    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>>;

    /// Lets the lease end `lease` from now, sooner or later than before, and returns the receipt that replaces the old one.
    ///
    /// It may be cut off [`MAX_LEASE`] after the receive, beyond which SQS lets nobody hold a message.
    ///
    /// # Errors
    /// `LeaseLost` when the lease has ended and the message may be another's, or `receipt` was replaced or acknowledged;
    /// `InvalidInput` when `lease` is out of bounds.
    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt>;

    /// Removes the message for good. A stale receipt removes nothing and is a success: the message comes again.
    ///
    /// # Errors
    /// Only those of reaching the queue.
    async fn ack(&self, receipt: &Receipt) -> Result<()>;

    /// Counts the messages, approximately.
    ///
    /// # Errors
    /// Only those of reaching the queue.
    async fn depth(&self) -> Result<Depth>;
}

/// Refuses a pack that is empty or that some provider could not take.
#[cfg(feature = "adapter")]
pub(crate) fn check_pack(pack: &Bytes) -> Result<()> {
    match pack.len() {
        0 => Err(out_of_bounds("send", "the pack is empty".into())),
        1..=MAX_PACK_BYTES => Ok(()),
        length => {
            let reason = format!("the pack has {length} bytes, more than {MAX_PACK_BYTES}");
            Err(Error::new(ErrorKind::TooLarge, "send", "queue").with_source(reason))
        }
    }
}

/// Refuses arguments of a receive that some provider could not honour.
#[cfg(feature = "adapter")]
pub(crate) fn check_receive(max: usize, lease: Duration, wait: Duration) -> Result<()> {
    if !(1..=MAX_RECEIVE).contains(&max) {
        return Err(out_of_bounds("receive", format!("{max} messages are not between 1 and {MAX_RECEIVE}")));
    }
    if wait > MAX_WAIT {
        return Err(out_of_bounds("receive", format!("a wait of {wait:?} is longer than {MAX_WAIT:?}")));
    }
    check_lease("receive", lease)
}

/// Refuses a lease that some provider could not honour.
#[cfg(feature = "adapter")]
pub(crate) fn check_lease(operation: &'static str, lease: Duration) -> Result<()> {
    let is_in_bounds = (Duration::from_secs(1)..=MAX_LEASE).contains(&lease) && lease.subsec_nanos() == 0;
    if is_in_bounds {
        return Ok(());
    }
    Err(out_of_bounds(
        operation,
        format!("a lease of {lease:?} is no number of whole seconds from 1 s to {MAX_LEASE:?}"),
    ))
}

#[cfg(feature = "adapter")]
fn out_of_bounds(operation: &'static str, reason: String) -> Error {
    Error::new(ErrorKind::InvalidInput, operation, "queue").with_source(reason)
}
