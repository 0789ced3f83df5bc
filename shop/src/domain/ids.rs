//! Names of orders and of commands, and which shard an order lives in. Pure.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Name of an order: a UUID of version 8, unguessable, and so the capability of the customer who holds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(Uuid);

/// A text that is no [`OrderId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no order id: write the id that creating the order returned")]
pub struct InvalidOrderId;

impl OrderId {
    /// The order that a create with this key makes: the same key names the same order on every pod and in every retry.
    #[must_use]
    pub fn derive(secret: &OrderIdSecret, key: &IdempotencyKey) -> Self {
        let digest = Hmac::<Sha256>::new_from_slice(&secret.0)
            .map(|mut mac| {
                mac.update(b"cloudshop/order-id/1\0");
                mac.update(key.as_str().as_bytes());
                mac.finalize().into_bytes()
            })
            .unwrap_or_default();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The id of these bytes; `None` when they are no UUID of version 8.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let id = Uuid::from_bytes(bytes);
        (id.get_version_num() == 8).then_some(Self(id))
    }

    /// The sixteen bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for OrderId {
    type Err = InvalidOrderId;

    fn from_str(text: &str) -> Result<Self, InvalidOrderId> {
        // Only the hyphenated form, so that an order has one address.
        let id = Uuid::try_parse(text).map_err(|_| InvalidOrderId)?;
        if text.len() == 36 && id.get_version_num() == 8 { Ok(Self(id)) } else { Err(InvalidOrderId) }
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), formatter)
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The shop's secret behind its order ids; kept in the store, never changed, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderIdSecret([u8; 32]);

impl OrderIdSecret {
    /// A secret of these bytes, which must be random.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for OrderIdSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OrderIdSecret(..)")
    }
}

/// The shard of an order: the first eight bytes of SHA-256("cloudshop/order-shard/1", id), big-endian, modulo `shards`.
///
/// Frozen: another result would lose every stored order, so a test holds vectors of it. No shard count below one exists.
#[must_use]
pub fn shard_of(order: OrderId, shards: u16) -> u16 {
    let digest = Sha256::new().chain_update(b"cloudshop/order-shard/1").chain_update(order.as_bytes()).finalize();
    let head = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    u16::try_from(head % u64::from(shards.max(1))).unwrap_or(0)
}

/// Name of a command, the `Idempotency-Key`: two commands of one order with the same key are one command.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(Box<str>);

/// A text that is no [`IdempotencyKey`] for its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdempotencyKey {
    /// The key of a create is no random UUID.
    #[error("the Idempotency-Key of a new order must be a UUID of version 4 or 7: the order's id comes from it")]
    NoUuid,
    /// Empty, too long, or with characters that cannot be seen.
    #[error("an Idempotency-Key is 1 to 64 visible ASCII characters")]
    NotVisible,
}

impl IdempotencyKey {
    /// Most bytes of a key.
    pub const MAX_BYTES: usize = 64;

    /// The key of a create, from outside; a UUID in any of its spellings is one key.
    ///
    /// # Errors
    /// When it is no UUID of version 4 or 7: fewer random bits would let order ids collide or be guessed.
    pub fn for_create(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        let id = Uuid::try_parse(text).map_err(|_| InvalidIdempotencyKey::NoUuid)?;
        match id.get_version_num() {
            4 | 7 if id.get_variant() == uuid::Variant::RFC4122 => Ok(Self::from_uuid(id)),
            _ => Err(InvalidIdempotencyKey::NoUuid),
        }
    }

    /// The key of a command on an order, from outside.
    ///
    /// # Errors
    /// When it is not 1 to 64 visible ASCII characters.
    pub fn for_order(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        let visible = (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible { Ok(Self(text.into())) } else { Err(InvalidIdempotencyKey::NotVisible) }
    }

    /// The key that web makes when a client sends none.
    #[must_use]
    pub fn from_uuid(id: Uuid) -> Self {
        Self(id.hyphenated().to_string().into())
    }

    /// The key of a command that the shop itself gives once in an order's life. It begins with a space, which no
    /// customer's key holds, so that the two never meet.
    pub(crate) fn of_shop(name: &'static str) -> Self {
        Self(format!(" {name}").into())
    }

    /// Whether the shop itself gave the command.
    #[must_use]
    pub fn is_of_shop(&self) -> bool {
        self.0.starts_with(' ')
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = InvalidIdempotencyKey;

    fn try_from(text: String) -> Result<Self, InvalidIdempotencyKey> {
        Self::for_order(text.strip_prefix(' ').unwrap_or(&text))?;
        Ok(Self(text.into()))
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0.into()
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

    fn id(key: &str) -> OrderId {
        OrderId::derive(&OrderIdSecret::new([7; 32]), &IdempotencyKey::for_create(key).expect("a key"))
    }

    #[test]
    fn the_same_key_names_the_same_order_whatever_its_spelling() {
        assert_eq!(id(KEY), id(&KEY.to_uppercase()));
        assert_ne!(id(KEY), id("6f9619ff-8b86-4d01-b42d-00cf4fc964fe"));
        assert_eq!(id(KEY).to_string().parse(), Ok(id(KEY)));
    }

    #[test]
    fn order_ids_and_shards_are_frozen() {
        let order = id(KEY);
        assert_eq!(order.to_string(), "eb436af3-e61f-84fe-a00e-3b85504d7b6d");
        assert_eq!([1, 2, 4, 7, 64].map(|shards| shard_of(order, shards)), [0, 0, 2, 3, 26]);
    }

    #[test]
    fn shards_are_filled_evenly() {
        let mut filled = [0_u32; 4];
        for number in 0..4000_u128 {
            let order = OrderId(Uuid::from_u128(number));
            filled[usize::from(shard_of(order, 4))] += 1;
        }
        assert!(filled.iter().all(|count| (850..1150).contains(count)), "{filled:?}");
    }

    #[test]
    fn a_create_takes_only_a_uuid_of_version_4_or_7() {
        for wrong in ["", "a", "6f9619ff-8b86-1d01-b42d-00cf4fc964ff", "6f9619ff-8b86-8d01-b42d-00cf4fc964ff"] {
            assert_eq!(IdempotencyKey::for_create(wrong), Err(InvalidIdempotencyKey::NoUuid), "{wrong}");
        }
        assert!(IdempotencyKey::for_create("01890a5d-ac96-774b-bcce-b302099a8057").is_ok());
    }

    #[test]
    fn a_key_of_a_command_is_short_and_visible_and_never_one_of_the_shop() {
        for wrong in ["", " confirm", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert_eq!(IdempotencyKey::for_order(wrong), Err(InvalidIdempotencyKey::NotVisible), "{wrong:?}");
        }
        assert!(IdempotencyKey::for_order(&"x".repeat(64)).is_ok());
        let shops = IdempotencyKey::of_shop("confirm");
        let written = serde_json::to_string(&shops).expect("writes");
        assert_eq!(serde_json::from_str::<IdempotencyKey>(&written).expect("reads"), shops);
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", OrderIdSecret::new([9; 32])), "OrderIdSecret(..)");
    }
}
