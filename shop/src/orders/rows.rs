//! How orders are stored in a shard's database: names of rows and their encoding. Pure.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::domain::{IdempotencyKey, OrderId};

/// The newest row format that this build writes and reads.
const FORMAT: u8 = 1;

/// Bytes before a row's content: its format, and the start of the SHA-256 of it, its name and content.
const HEADER: usize = 9;

/// Largest order that is kept a second time as a command's full answer; a replay of a larger one's command gets the
/// order as it is. It bounds what the full answers of one order take to 1,000 times this.
pub(super) const MAX_KEPT_ANSWER: usize = 16 * 1024;

/// The rows of one kind, by the first byte of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An order.
    Order,
    /// What is kept of a command.
    Command,
    /// A command's full answer.
    Answer,
    /// A submitted order that the shop has not looked at.
    Outbox,
    /// A command that was accepted and waits for earlier ones.
    Parked,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Self; 5] = [Self::Order, Self::Command, Self::Answer, Self::Outbox, Self::Parked];

    pub(super) fn prefix(self) -> &'static [u8; 1] {
        match self {
            Self::Order => b"o",
            Self::Command => b"c",
            Self::Answer => b"a",
            Self::Outbox => b"x",
            Self::Parked => b"p",
        }
    }

    fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| name.first() == kind.prefix().first())
    }

    fn name(self, order: OrderId, rest: &[u8]) -> Vec<u8> {
        [self.prefix().as_slice(), order.as_bytes(), rest].concat()
    }
}

pub(super) fn order_name(order: OrderId) -> Vec<u8> {
    Kind::Order.name(order, b"")
}

pub(super) fn command_name(order: OrderId, key: &IdempotencyKey) -> Vec<u8> {
    Kind::Command.name(order, key.as_str().as_bytes())
}

pub(super) fn answer_name(order: OrderId, key: &IdempotencyKey) -> Vec<u8> {
    Kind::Answer.name(order, key.as_str().as_bytes())
}

pub(super) fn outbox_name(order: OrderId) -> Vec<u8> {
    Kind::Outbox.name(order, b"")
}

pub(super) fn parked_name(order: OrderId, key: &IdempotencyKey) -> Vec<u8> {
    Kind::Parked.name(order, key.as_str().as_bytes())
}

/// What the names of all parked commands of an order begin with.
pub(super) fn parked_names(order: OrderId) -> Vec<u8> {
    Kind::Parked.name(order, b"")
}

/// What a row's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// What the row is.
    pub(super) kind: Kind,
    /// Which order it belongs to.
    pub(super) order: OrderId,
    /// Which command, for the kinds that have one.
    pub(super) key: Option<IdempotencyKey>,
}

/// Takes a row's name apart; `None` when it is no name of ours.
pub(super) fn parse_name(name: &[u8]) -> Option<Name> {
    let kind = Kind::of(name)?;
    let (id, rest) = name.get(1..)?.split_at_checked(16)?;
    let order = OrderId::from_bytes(id.try_into().ok()?)?;
    let key = match kind {
        Kind::Order | Kind::Outbox => rest.is_empty().then_some(None)?,
        Kind::Command | Kind::Answer | Kind::Parked => {
            Some(IdempotencyKey::try_from(std::str::from_utf8(rest).ok()?.to_owned()).ok()?)
        }
    };
    Some(Name { kind, order, key })
}

/// A submitted order that waits for the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutboxRow {
    /// When it was submitted.
    pub(super) submitted_at: Timestamp,
}

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    /// Too short, or its digest is not that of its name and content.
    #[error("the row is damaged: its digest does not fit its content")]
    Digest,
    /// Written by a newer version.
    #[error("the row has format {0}, this version reads up to {FORMAT}; use the version that wrote it, or a newer one")]
    Newer(u8),
    /// It is not of the shape that it should have.
    #[error("the row is damaged: {0}")]
    Content(#[from] serde_json::Error),
}

fn digest(format: u8, name: &[u8], content: &[u8]) -> [u8; 8] {
    let length = u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes();
    let whole =
        Sha256::new().chain_update([format]).chain_update(length).chain_update(name).chain_update(content).finalize();
    let mut head = [0; 8];
    head.copy_from_slice(&whole[..8]);
    head
}

/// Encodes a row that is stored under `name`.
pub(super) fn encode<T: Serialize>(name: &[u8], row: &T) -> Result<Vec<u8>, RowError> {
    let content = serde_json::to_vec(row)?;
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    bytes.push(FORMAT);
    bytes.extend_from_slice(&digest(FORMAT, name, &content));
    bytes.extend_from_slice(&content);
    Ok(bytes)
}

/// Decodes a row that was stored under `name`.
pub(super) fn decode<T: DeserializeOwned>(name: &[u8], bytes: &Bytes) -> Result<T, RowError> {
    let (header, content) = bytes.split_at_checked(HEADER).ok_or(RowError::Digest)?;
    if header[0] > FORMAT {
        return Err(RowError::Newer(header[0]));
    }
    if header[1..] != digest(header[0], name, content) {
        return Err(RowError::Digest);
    }
    Ok(serde_json::from_slice(content)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OrderIdSecret;

    fn order() -> OrderId {
        OrderId::derive(&OrderIdSecret::new([1; 32]), &IdempotencyKey::from_uuid(uuid::Uuid::nil()))
    }

    #[test]
    fn a_name_says_what_it_was_made_of() {
        let key = IdempotencyKey::of_shop("confirm");
        let parsed = parse_name(&command_name(order(), &key)).expect("a name");
        assert_eq!(parsed, Name { kind: Kind::Command, order: order(), key: Some(key) });
        assert_eq!(parse_name(&outbox_name(order())).map(|name| name.kind), Some(Kind::Outbox));
        for wrong in [&b""[..], b"o", b"z0123456789abcdef", &[order_name(order()), b"x".to_vec()].concat()] {
            assert_eq!(parse_name(wrong), None);
        }
    }

    #[test]
    fn a_row_that_was_changed_or_moved_is_found_out() {
        let row = OutboxRow { submitted_at: Timestamp::UNIX_EPOCH };
        let name = outbox_name(order());
        let bytes = Bytes::from(encode(&name, &row).expect("encodes"));
        assert_eq!(decode::<OutboxRow>(&name, &bytes).expect("decodes"), row);
        for index in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[index] ^= 1;
            assert!(decode::<OutboxRow>(&name, &bad.into()).is_err(), "{index}");
        }
        assert!(matches!(decode::<OutboxRow>(b"other", &bytes), Err(RowError::Digest)));
    }
}
