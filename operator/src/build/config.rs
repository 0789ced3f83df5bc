//! The config of a shop's pods and the `ConfigMap` that carries it. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use sha2::{Digest, Sha256};
use shop_contract::config::{
    CatalogueConfig, FORMAT, InternalConfig, OnPartition, OnPartitionConfig, OrdersConfig, ShopConfig, ShopIdentity,
};
use storage_adapters::config::{EmbeddedConfig, StorageConfig};

use super::owned;
use crate::{
    api::{self, OnPartitionSpec},
    constants::{CONFIG_DIRECTORY, CONFIG_FILE, DATA_DIRECTORY, TOKEN_FILE},
    hex::hex,
    validate::ValidatedShop,
};

/// A config file and what identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedConfig {
    /// The file.
    pub text: String,
    /// Digest of all in it that takes new pods to change.
    pub digest: String,
}

/// The config could not be written as TOML.
#[derive(Debug, thiserror::Error)]
#[error("the shop's config cannot be written as TOML: {0}")]
pub struct RenderError(String);

/// Renders the config of a shop's pods. `initialise` says whether an empty store may be set up.
///
/// # Errors
/// When the config cannot be written as TOML.
pub fn render_config(shop: &ValidatedShop, initialise: bool) -> Result<RenderedConfig, RenderError> {
    // The permission to set up a store is withdrawn while the pods that used it serve. It is left out of the digest,
    // so that this replaces no pod: they read it from the mounted file, which follows the ConfigMap.
    let stable = render(shop, false)?;
    let digest = hex(&Sha256::digest(stable.as_bytes())[..8]);
    Ok(RenderedConfig { text: if initialise { render(shop, true)? } else { stable }, digest })
}

fn render(shop: &ValidatedShop, initialise: bool) -> Result<String, RenderError> {
    config(shop, initialise).render().map_err(|error| RenderError(error.to_string()))
}

fn config(shop: &ValidatedShop, initialise: bool) -> ShopConfig {
    let disk = StorageConfig::from(EmbeddedConfig { path: DATA_DIRECTORY.into() });
    let home = shop.storage.cloud().map_or_else(|| disk.clone(), |cloud| cloud.config.clone());
    let other_clouds = shop.storage.other_clouds().map(|cloud| cloud.config.clone());
    let storage = other_clouds.chain(shop.storage.volume().map(|_| disk)).fold(home, StorageConfig::beside);
    ShopConfig {
        format: FORMAT,
        shop: ShopIdentity {
            name: shop.names.shop().to_owned(),
            namespace: shop.namespace.clone(),
            uid: shop.uid.clone(),
            initialise,
            adopt_existing: shop.storage.adopt_existing,
        },
        orders: OrdersConfig { shards: shop.shards },
        on_partition: on_partition(shop.on_partition),
        catalogue: CatalogueConfig { sample: shop.sample_catalogue },
        internal: InternalConfig { token_file: format!("{CONFIG_DIRECTORY}/{TOKEN_FILE}").into() },
        storage,
    }
}

fn on_partition(OnPartitionSpec { carts, submit }: OnPartitionSpec) -> OnPartitionConfig {
    let choice = |kept| match kept {
        api::OnPartition::Consistency => OnPartition::Consistency,
        api::OnPartition::Availability => OnPartition::Availability,
    };
    OnPartitionConfig { carts: choice(carts), submit: choice(submit) }
}

pub(super) fn config_map(shop: &ValidatedShop, config: &RenderedConfig) -> ConfigMap {
    ConfigMap {
        metadata: owned(shop, shop.names.config(), None),
        data: Some(BTreeMap::from([(CONFIG_FILE.to_owned(), config.text.clone())])),
        ..ConfigMap::default()
    }
}
