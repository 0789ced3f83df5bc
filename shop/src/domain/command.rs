//! What can be asked of an order, and why it may be refused. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Currency, IdempotencyKey, Money, OrderId, Sku};

/// How many pieces of a product: 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quantity(u16);

/// A number that is no [`Quantity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is a whole number from 1 to 9999")]
pub struct InvalidQuantity;

impl Quantity {
    /// The largest.
    pub const MAX: u32 = 9999;

    /// The number of pieces.
    #[must_use]
    pub fn get(self) -> u32 {
        u32::from(self.0)
    }

    /// Both together; `None` above 9999.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        Self::try_from(self.get() + other.get()).ok()
    }
}

impl TryFrom<u32> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(pieces: u32) -> Result<Self, InvalidQuantity> {
        match u16::try_from(pieces) {
            Ok(small) if (1..=Self::MAX).contains(&pieces) => Ok(Self(small)),
            _ => Err(InvalidQuantity),
        }
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.get()
    }
}

/// Something asked of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Begin the order.
    Create {
        /// Currency of its total while it is empty.
        currency: Currency,
    },
    /// Put pieces of a product on it; more of one that is on it already add up.
    AddItem {
        /// The product.
        sku: Sku,
        /// Its name when web accepted the command.
        name: String,
        /// How many.
        quantity: Quantity,
        /// Its price when web accepted the command.
        unit_price: Money,
        /// The catalogue that name and price come from.
        catalogue_version: u64,
    },
    /// Change how many pieces of a product are on it.
    SetQuantity {
        /// The product.
        sku: Sku,
        /// How many from now on.
        quantity: Quantity,
    },
    /// Take a product off it.
    RemoveItem {
        /// The product.
        sku: Sku,
    },
    /// Buy it.
    Submit,
    /// Give it up.
    Cancel {
        /// Why, when the shop itself does it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The shop has checked the submitted order and takes it on.
    Confirm,
}

impl Command {
    /// Whether it may exceed [`MAX_COMMANDS`](super::MAX_COMMANDS): no order must be stuck open because it is full.
    #[must_use]
    pub fn is_exempt_from_limit(&self) -> bool {
        matches!(self, Self::Submit | Self::Cancel { .. } | Self::Confirm)
    }
}

/// A command with its name, as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its name.
    pub key: IdempotencyKey,
    /// What is asked.
    pub command: Command,
    /// The version that the order must have (`If-Match`); any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
    /// Earlier commands of the order that must be applied or refused before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<IdempotencyKey>,
    /// When it was accepted, for one that came through a queue: it can no longer be refused to the customer's face.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
}

impl Request {
    /// A request that takes the order in any version, after whatever else.
    #[must_use]
    pub fn new(key: IdempotencyKey, command: Command) -> Self {
        Self { key, command, expected_version: None, after: Vec::new(), accepted_at: None }
    }

    /// What the client asked for, in 16 bytes. What web stamps on it (name, price, catalogue, what it comes after, and how
    /// it came) is left out: a retry may meet a newer catalogue and is still the same request.
    #[must_use]
    pub fn fingerprint(&self, order: OrderId) -> Fingerprint {
        let mut digest = Sha256::new().chain_update(b"cloudshop/request/1").chain_update(order.as_bytes());
        match &self.command {
            Command::Create { .. } => digest.update(b"create"),
            Command::AddItem { sku, quantity, .. } => line(&mut digest, b"add", sku, Some(*quantity)),
            Command::SetQuantity { sku, quantity } => line(&mut digest, b"set", sku, Some(*quantity)),
            Command::RemoveItem { sku } => line(&mut digest, b"remove", sku, None),
            Command::Submit => digest.update(b"submit"),
            Command::Cancel { .. } => digest.update(b"cancel"),
            Command::Confirm => digest.update(b"confirm"),
        }
        if let Some(version) = self.expected_version {
            digest.update(b"\0version");
            digest.update(version.to_be_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        Fingerprint(bytes)
    }
}

fn line(digest: &mut Sha256, name: &[u8], sku: &Sku, quantity: Option<Quantity>) {
    digest.update(name);
    digest.update(b"\0");
    digest.update(sku.as_str().to_ascii_uppercase());
    digest.update(b"\0");
    digest.update(quantity.map_or(0, Quantity::get).to_be_bytes());
}

/// What tells two requests with the same key apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub [u8; 16]);

/// Why a command was not applied, and never will be as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such order.
    #[error("there is no order with this id; create one with POST /api/v1/orders")]
    OrderNotFound,
    /// The product is not on the order.
    #[error("this product is not on the order; add it first")]
    LineNotFound,
    /// The order was submitted, confirmed, fulfilled or cancelled.
    #[error("the order no longer takes this command; read it to see its status, or create a new one")]
    OrderClosed,
    /// A submit of an order without lines.
    #[error("the order has no items; add one before submitting it")]
    OrderEmpty,
    /// The order has another version than the request expects.
    #[error("the order has changed since it was read; read it again and repeat the change")]
    VersionConflict,
    /// More pieces of a product than an order takes, or a total that no amount holds.
    #[error(
        "a quantity is a whole number from 1 to 9999, also with what is on the order already; send one within that"
    )]
    InvalidQuantity,
    /// The product's currency is not that of the order's other lines.
    #[error("the product is priced in another currency than the order; create a new order for it")]
    MixedCurrency,
    /// The key named another request before.
    #[error("this Idempotency-Key was used for another request on this order; send a new key")]
    KeyReused,
    /// The order has had its thousand commands.
    #[error("the order has had 1000 commands; submit or cancel it and create a new one")]
    TooManyCommands,
    /// Commands that it was to come after never arrived, for as long as a queue keeps them.
    #[error("earlier changes of the order never arrived, so this one was not made; read the order and repeat it")]
    Orphaned,
}

impl Refusal {
    /// The `code` of the problem body.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::OrderNotFound | Self::LineNotFound => "not_found",
            Self::OrderClosed => "order_closed",
            Self::OrderEmpty => "order_empty",
            Self::VersionConflict => "version_conflict",
            Self::InvalidQuantity => "invalid_quantity",
            Self::MixedCurrency => "mixed_currency",
            Self::KeyReused => "key_reused",
            Self::TooManyCommands => "too_many_commands",
            Self::Orphaned => "orphaned",
        }
    }

    /// The HTTP status of the problem.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::OrderNotFound | Self::LineNotFound => 404,
            Self::OrderClosed | Self::OrderEmpty | Self::VersionConflict | Self::Orphaned => 409,
            Self::InvalidQuantity | Self::MixedCurrency | Self::KeyReused | Self::TooManyCommands => 422,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_between_1_and_9999() {
        assert!([0, 10_000, u32::MAX].iter().all(|wrong| Quantity::try_from(*wrong).is_err()));
        let most = Quantity::try_from(9999).expect("a quantity");
        assert_eq!(most.plus(Quantity::try_from(1).expect("a quantity")), None);
    }
}
