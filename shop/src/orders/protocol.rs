//! What web and workers say to each other about orders on the internal port. No I/O.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage_adapters::MAX_PACK_BYTES;

use crate::domain::{IdempotencyKey, OrderId, Refusal, Request};

use super::{
    answer::Answer, export::Exported, import::Imported, lease::Lease, packs::QueuedCommand, shard::ShardError,
};

/// The newest format that this build speaks; a worker refuses newer ones by number.
pub(super) const FORMAT: u32 = 1;

/// Path of the commands of workers.
pub(super) const COMMANDS_PATH: &str = "/internal/v1/commands";
/// Path of reads.
pub(super) const READS_PATH: &str = "/internal/v1/reads";
/// Path that tells a worker to look at leases and heartbeats now.
pub(super) const LOOK_PATH: &str = "/internal/v1/look";
/// Path that tells a worker that a lease was given to it.
pub(super) const GIFTS_PATH: &str = "/internal/v1/gifts";

/// Path of packs of commands that were accepted into a queue.
pub(super) const PACKS_PATH: &str = "/internal/v1/packs";

/// Path of orders that were exported before.
pub(super) const IMPORTS_PATH: &str = "/internal/v1/imports";

/// Header of an answer to a command: its shard is being taken from an owner that did not hand it over, which takes a while,
/// or is not this worker's at all.
pub(super) const TAKEN_OVER: &str = "cloudshop-taken-over";

/// In the head of an answer of a worker that gets too little of a processor for what it is asked.
pub(super) const LATE: &str = "cloudshop-late";

/// Largest body of an order to import, with a thousand lines and commands, several times over.
pub(super) const MAX_IMPORT_BYTES: usize = 4 * 1024 * 1024;

/// Largest body of a pack of commands, which fitted a message of the queue.
pub(super) const MAX_PACK_REQUEST_BYTES: usize = 2 * MAX_PACK_BYTES;

/// Largest body of an internal request: a command with its longest texts, several times over.
pub(super) const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Largest body of an internal answer: an order with a thousand lines, several times over.
pub(super) const MAX_ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// Longest that a worker lets anybody wait, whatever they ask for.
pub(super) const MAX_PATIENCE: Duration = Duration::from_secs(5);

/// A command for the owner of an order's shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CommandMessage {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The order.
    pub(super) order: OrderId,
    /// What is asked of it.
    pub(super) request: Request,
    /// How long the asker waits, in milliseconds.
    pub(super) patience_millis: u64,
}

/// A read for the owner of an order's shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReadMessage {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The order.
    pub(super) order: OrderId,
    /// Commands of the order that must be known to be applied or refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) after: Vec<IdempotencyKey>,
    /// How long the asker waits, in milliseconds.
    pub(super) patience_millis: u64,
}

/// Commands that were accepted into a queue, for the owner of their shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PackMessage {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The shard.
    pub(super) shard: u16,
    /// The commands.
    pub(super) commands: Vec<QueuedCommand>,
    /// How long the asker waits, in milliseconds.
    pub(super) patience_millis: u64,
}

/// An accepted command that can never be applied and of which no row can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeadCommand {
    /// The command.
    pub(super) command: QueuedCommand,
    /// Why it cannot be applied.
    pub(super) refusal: Refusal,
}

/// An exported order for the owner of its shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ImportMessage {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The order.
    pub(super) exported: Exported,
    /// How long the asker waits, in milliseconds.
    pub(super) patience_millis: u64,
}

/// A lease that was given to whoever gets this.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GiftMessage {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The shard.
    pub(super) shard: u16,
    /// Its lease, as it is in the store by now.
    pub(super) lease: Lease,
    /// Whether to answer when the shard is served, and not at once.
    pub(super) wait: bool,
}

/// What a worker answers. Always with status 200: what it says is in here, and any other status comes from something
/// that is no worker of this format.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(super) enum Reply {
    /// Done, or read.
    Answer {
        /// The order and what is known of it.
        answer: Box<Answer>,
    },
    /// What became of an order that was to be imported.
    Imported {
        /// Whether it was there.
        found: Imported,
    },
    /// Each command of a pack is durably applied, refused or parked.
    Accepted {
        /// But for these, which must be kept elsewhere.
        dead: Vec<DeadCommand>,
    },
    /// Decided: no.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// This worker does not own the shard now and has done nothing.
    NotOwner {
        /// The newest lease of the shard that it has seen, which says whom to ask.
        lease: Option<Lease>,
    },
    /// The command may have been done; ask again with the same key.
    Unknown,
    /// The store is full.
    Full,
    /// The shard has too much to do and has done nothing.
    Overloaded,
    /// The worker gets too little of a processor for all that it is asked, and has done nothing.
    Late,
    /// Commands that this one comes after are not here yet; nothing was done.
    Behind,
    /// A stored row is damaged.
    Damaged,
    /// The message is of a format that this worker does not speak.
    Format {
        /// What it speaks.
        known: u32,
    },
}

impl Reply {
    /// What is replied to a question that ended like this; `lease` is that of its shard, for who does not own it.
    pub(super) fn to<T: Into<Self>>(result: Result<T, ShardError>, lease: impl FnOnce() -> Option<Lease>) -> Self {
        match result {
            Ok(done) => done.into(),
            Err(ShardError::Refused(refusal)) => Self::Refused { refusal },
            Err(ShardError::NotOwner) => Self::NotOwner { lease: lease() },
            Err(ShardError::Unknown) => Self::Unknown,
            Err(ShardError::Full) => Self::Full,
            Err(ShardError::Overloaded) => Self::Overloaded,
            Err(ShardError::Late) => Self::Late,
            Err(ShardError::Behind) => Self::Behind,
            Err(ShardError::Damaged) => Self::Damaged,
        }
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer { answer: Box::new(answer) }
    }
}

impl From<Vec<DeadCommand>> for Reply {
    fn from(dead: Vec<DeadCommand>) -> Self {
        Self::Accepted { dead }
    }
}

impl From<Imported> for Reply {
    fn from(found: Imported) -> Self {
        Self::Imported { found }
    }
}

/// A message as it is sent.
pub(super) fn encode<T: Serialize>(message: &T) -> Bytes {
    // Only maps with keys that are no text fail to encode, and no message has one.
    serde_json::to_vec(message).unwrap_or_default().into()
}
