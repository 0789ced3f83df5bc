//! The token that a shop's pods and the operator know each other by. Does I/O: the Kubernetes API.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use rand::Rng as _;

use crate::{
    constants::{FIELD_MANAGER, TOKEN_KEY},
    hex::hex,
    index::{of_earlier_shop, owner},
    labels::labels,
    validate::ValidatedShop,
};

/// Random bytes in a token; 32 cannot be guessed.
const TOKEN_BYTES: usize = 32;

/// A shop's token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself, to be sent and never to be shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn random() -> Self {
        let mut bytes = [0_u8; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(hex(&bytes))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(redacted)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The API server could not be asked, or refused.
    #[error("Secret {name} could not be {action}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// Name of the Secret.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The Secret of an earlier Shop of this name is still being deleted.
    #[error("Secret {0} of an earlier Shop of this name is still being deleted")]
    LeftBehind(String),
    /// A Secret of that name is there and is not this Shop's.
    #[error("Secret {0} exists and is not this Shop's; delete or rename it, or give the Shop another name")]
    NotOurs(String),
}

/// Makes the token of a shop, once, and reads it from then on.
///
/// # Errors
/// When the Secret cannot be read or made, or is another's.
pub async fn ensure_token(client: &Client, shop: &ValidatedShop) -> Result<Token, TokenError> {
    let name = shop.names.token();
    let api: Api<Secret> = Api::namespaced(client.clone(), &shop.namespace);
    let failed = |action| move |source| TokenError::Api { action, name: shop.names.token(), source: Box::new(source) };
    let Some(found) = api.get_opt(&name).await.map_err(failed("read"))? else {
        let token = Token::random();
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        api.create(&parameters, &secret(shop, &token)).await.map_err(failed("created"))?;
        return Ok(token);
    };
    if of_earlier_shop(&found.metadata, shop.names.shop(), &shop.uid) {
        return Err(TokenError::LeftBehind(name));
    }
    if owner(&found.metadata).is_none_or(|owner| owner != shop.uid) {
        return Err(TokenError::NotOurs(name));
    }
    let known = found
        .data
        .and_then(|mut data| data.remove(TOKEN_KEY))
        .and_then(|bytes| String::from_utf8(bytes.0).ok())
        .filter(|token| token.len() >= TOKEN_BYTES && token.chars().all(|character| character.is_ascii_graphic()));
    if let Some(known) = known {
        return Ok(Token(known));
    }
    // Somebody emptied it; the pods read the new one when the file changes.
    let token = Token::random();
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &parameters, &Patch::Apply(&secret(shop, &token))).await.map_err(failed("repaired"))?;
    Ok(token)
}

fn secret(shop: &ValidatedShop, token: &Token) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(shop.names.token()),
            namespace: Some(shop.namespace.clone()),
            labels: Some(labels(shop.names.shop(), None)),
            owner_references: Some(vec![shop.owner.clone()]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".into()),
        data: Some(BTreeMap::from([(TOKEN_KEY.to_owned(), ByteString(token.0.clone().into_bytes()))])),
        ..Secret::default()
    }
}
