//! What lies in a message of the queue: hints of submitted orders, or commands that were accepted while their order's owner
//! was out of reach. Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage_adapters::MAX_PACK_BYTES;

use crate::domain::{OrderId, Request};

/// The newest format of packs that this build writes and reads.
const FORMAT: u32 = 1;

/// Bytes of a pack of commands beside the commands: its format, its kind, and brackets.
const FRAME_BYTES: usize = 128;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pack", rename_all = "snake_case")]
pub(super) enum Pack {
    /// Submitted orders of one shard. The truth stays in the shard: a hint that is lost or comes twice costs time, never an
    /// order.
    Hints {
        /// The shard.
        shard: u16,
        /// The orders.
        orders: Vec<OrderId>,
    },
    /// Commands in the order in which one pod accepted them. They are nowhere else.
    Commands {
        /// The commands.
        commands: Vec<QueuedCommand>,
    },
}

/// A command that was accepted and is not known to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueuedCommand {
    /// The order.
    pub(super) order: OrderId,
    /// What is asked of it, with the time at which it was accepted.
    pub(super) request: Request,
}

/// Why a message cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    /// Written by a newer version.
    #[error("the pack has format {0}, this version reads up to {FORMAT}; it is left to a newer worker")]
    Newer(u32),
    /// It is no pack.
    #[error("the message is no pack: {0}")]
    Shape(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    #[serde(flatten)]
    pack: &'a Pack,
}

impl Pack {
    /// Most hints in one pack, so that it fits a message: an id takes 39 bytes.
    pub(super) const MOST_HINTS: usize = 1000;

    /// The message of a pack.
    pub(super) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(&Written { format: FORMAT, pack: self }).map(Into::into)
    }

    /// The pack in a message.
    pub(super) fn decode(message: &Bytes) -> Result<Self, PackError> {
        #[derive(Deserialize)]
        struct Header {
            format: u32,
        }
        // The format is read first and alone, so that a newer pack is refused by its format and not by what is new in it.
        let Header { format } = serde_json::from_slice(message)?;
        if format > FORMAT { Err(PackError::Newer(format)) } else { Ok(serde_json::from_slice(message)?) }
    }
}

/// Cuts commands into as few packs as fit a message each, in their order. `size` is that of a command in bytes.
pub(super) fn cut<T>(commands: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut packs: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for command in commands {
        let needs = size(&command) + 1;
        match packs.last_mut() {
            Some(pack) if needs <= room => pack.push(command),
            _ => {
                room = MAX_PACK_BYTES - FRAME_BYTES;
                packs.push(vec![command]);
            }
        }
        room = room.saturating_sub(needs);
    }
    packs
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Command, IdempotencyKey, OrderIdSecret};

    fn order() -> OrderId {
        OrderId::derive(&OrderIdSecret::new([0; 32]), &IdempotencyKey::from_uuid(Uuid::nil()))
    }

    fn command() -> QueuedCommand {
        let key = IdempotencyKey::from_uuid(Uuid::from_u128(7));
        let accepted_at = Some(Timestamp::UNIX_EPOCH);
        let after = vec![IdempotencyKey::from_uuid(Uuid::nil())];
        QueuedCommand { order: order(), request: Request { after, accepted_at, ..Request::new(key, Command::Submit) } }
    }

    #[test]
    fn a_pack_is_read_as_it_was_written() {
        for pack in
            [Pack::Hints { shard: 3, orders: vec![order()] }, Pack::Commands { commands: vec![command(), command()] }]
        {
            assert_eq!(Pack::decode(&pack.encode().expect("encodes")).expect("decodes"), pack);
        }
    }

    #[test]
    fn the_largest_packs_fit_a_message() {
        let hints = Pack::Hints { shard: u16::MAX, orders: vec![order(); Pack::MOST_HINTS] };
        assert!(hints.encode().expect("encodes").len() <= MAX_PACK_BYTES);
        let size = serde_json::to_vec(&command()).expect("encodes").len();
        let packs = cut(vec![command(); 1000], |_| size);
        assert_eq!(packs.iter().map(Vec::len).sum::<usize>(), 1000);
        for commands in packs.clone() {
            let length = Pack::Commands { commands }.encode().expect("encodes").len();
            assert!(length <= MAX_PACK_BYTES, "{length}");
        }
        assert!(packs[0].len() * size > MAX_PACK_BYTES * 95 / 100, "a pack is filled");
    }

    #[test]
    fn a_pack_of_a_newer_format_is_told_from_a_message_that_is_none() {
        assert!(matches!(Pack::decode(&Bytes::from_static(b"{\"format\":9,\"new\":1}")), Err(PackError::Newer(9))));
        assert!(matches!(Pack::decode(&Bytes::from_static(b"hello")), Err(PackError::Shape(_))));
    }
}
