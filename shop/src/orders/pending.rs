//! `Order-Pending`: which commands of an order are accepted but not known to be applied, signed by the shop. Pure.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::{IdempotencyKey, OrderId, OrderIdSecret};

/// Most commands that are named; older ones are implied, since each command names those before it.
const MOST: usize = 16;

/// What the signature is made for, so that no other use of the secret can stand in for it.
const PURPOSE: &[u8] = b"cloudshop/order-pending/1\0";

/// The newest commands of an order that are accepted but not known to be applied, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending(Vec<IdempotencyKey>);

/// A text that is no `Order-Pending` of this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this Order-Pending was not given for this order by this shop; send the newest that the order's answers gave")]
pub struct InvalidPending;

#[derive(Serialize, Deserialize)]
struct Token {
    keys: Vec<IdempotencyKey>,
}

impl Pending {
    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The commands.
    pub(super) fn keys(&self) -> &[IdempotencyKey] {
        &self.0
    }

    /// With one command more, which came after all of these.
    pub(super) fn and(mut self, key: IdempotencyKey) -> Self {
        self.0.retain(|known| *known != key);
        self.0.push(key);
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
        self
    }

    /// With those of `other`, which are the newer ones.
    pub(super) fn merged(self, other: Self) -> Self {
        other.0.into_iter().fold(self, Self::and)
    }

    /// Without what is known to be applied.
    pub(super) fn without(mut self, applied: &Self) -> Self {
        self.0.retain(|key| !applied.0.contains(key));
        self
    }

    /// The token for the customer: visible ASCII without spaces, commas or semicolons, at most 2 KiB.
    pub(super) fn sign(&self, secret: &OrderIdSecret, order: OrderId) -> String {
        // Strings alone: nothing in it can fail to be written.
        let content = serde_json::to_vec(&Token { keys: self.0.clone() }).unwrap_or_default();
        let signature = mac(secret, order, &content).finalize().into_bytes();
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(content), BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// Reads a token that [`sign`](Self::sign) made for this order.
    pub(super) fn read(text: &str, secret: &OrderIdSecret, order: OrderId) -> Result<Self, InvalidPending> {
        let (content, signature) = text.split_once('.').ok_or(InvalidPending)?;
        let decode = |text| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidPending);
        let (content, signature) = (decode(content)?, decode(signature)?);
        mac(secret, order, &content).verify_slice(&signature).map_err(|_| InvalidPending)?;
        let Token { keys } = serde_json::from_slice(&content).map_err(|_| InvalidPending)?;
        Ok(Self(keys))
    }
}

fn mac(secret: &OrderIdSecret, order: OrderId, content: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "an HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("a key of any length is good");
    mac.update(PURPOSE);
    mac.update(order.as_bytes());
    mac.update(content);
    mac
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> IdempotencyKey {
        IdempotencyKey::from_uuid(Uuid::from_u128(number))
    }

    fn secret() -> OrderIdSecret {
        OrderIdSecret::new([3; 32])
    }

    fn order(number: u128) -> OrderId {
        OrderId::derive(&secret(), &key(number))
    }

    #[test]
    fn only_the_shop_makes_a_token_and_only_for_one_order() {
        let pending = Pending::default().and(key(1)).and(key(2));
        let token = pending.sign(&secret(), order(0));
        assert_eq!(Pending::read(&token, &secret(), order(0)), Ok(pending));
        assert_eq!(Pending::read(&token, &secret(), order(1)), Err(InvalidPending));
        assert_eq!(Pending::read(&token, &OrderIdSecret::new([4; 32]), order(0)), Err(InvalidPending));
        for index in 0..token.len() {
            let mut wrong = token.clone().into_bytes();
            wrong[index] = if wrong[index] == b'A' { b'B' } else { b'A' };
            let wrong = String::from_utf8(wrong).expect("text");
            assert_eq!(Pending::read(&wrong, &secret(), order(0)), Err(InvalidPending), "{index}");
        }
    }

    #[test]
    fn the_newest_sixteen_commands_are_named_and_fit_a_cookie() {
        let longest = |number: usize| IdempotencyKey::for_order(&format!("{number:064}")).expect("a key");
        let pending = (0..40).fold(Pending::default(), |pending, number| pending.and(longest(number)));
        assert_eq!(pending.keys().len(), 16);
        assert_eq!(pending.keys().last(), Some(&longest(39)));
        assert!(pending.sign(&secret(), order(0)).len() < 2048);
        assert_eq!(pending.clone().and(longest(30)).keys().len(), 16, "a command that is sent again is named once");
        let merged = Pending::default().and(longest(1)).merged(Pending::default().and(longest(2)).and(longest(1)));
        assert_eq!(merged.keys(), [longest(2), longest(1)]);
        assert_eq!(merged.without(&Pending::default().and(longest(2))).keys(), [longest(1)]);
    }
}
