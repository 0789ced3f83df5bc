//! The config file of `shop --config FILE`, in TOML. No I/O.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storage_adapters::config::StorageConfig;

/// The newest config format that this build writes and reads.
pub const FORMAT: u32 = 1;

/// Everything a pod of a shop is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopConfig {
    /// Format of this file, [`FORMAT`].
    pub format: u32,
    /// Whose pod it is.
    pub shop: ShopIdentity,
    /// Order shards.
    pub orders: OrdersConfig,
    /// What the shop does when the owner of an order, or the store, is out of reach.
    #[serde(default)]
    pub on_partition: OnPartitionConfig,
    /// The catalogue.
    pub catalogue: CatalogueConfig,
    /// The internal API.
    pub internal: InternalConfig,
    /// Where the shop's data lives.
    pub storage: StorageConfig,
}

/// Whose pod it is, and what it may do with a store that is not this shop's yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopIdentity {
    /// Name of the Shop.
    pub name: String,
    /// Namespace of the Shop.
    pub namespace: String,
    /// UID of the Shop, which the store's owner marker names.
    pub uid: String,
    /// Whether the first worker may make an empty store this shop's. Withdrawn once that has happened, so that a
    /// store which comes back empty is never taken for a new one.
    pub initialise: bool,
    /// Whether a store that holds another (deleted) shop's data may be taken over.
    pub adopt_existing: bool,
}

/// Order shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrdersConfig {
    /// Number of order shards, 1 to 64; never changes in a shop's life.
    pub shards: u16,
}

/// What the shop does when the owner of an order, or the store, is out of reach. While neither is, both choices are the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnPartitionConfig {
    /// For creating an order, changing its items, and reading it.
    pub carts: OnPartition,
    /// For submitting and cancelling an order.
    pub submit: OnPartition,
}

impl Default for OnPartitionConfig {
    fn default() -> Self {
        Self { carts: OnPartition::Availability, submit: OnPartition::Consistency }
    }
}

/// What is given up when the network breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnPartition {
    /// Refuse what cannot be known to be done, and show nothing that may be old.
    Consistency,
    /// Take the command into a queue, and show the newest state that is known, marked as such.
    Availability,
}

/// The catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueConfig {
    /// Whether a shop without a catalogue gets the sample catalogue.
    pub sample: bool,
}

/// The internal API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalConfig {
    /// File that holds the token every internal request carries; read again when it changes.
    pub token_file: PathBuf,
}

/// Why a config file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not TOML, or not of this shape.
    #[error("the config is not valid; mend the line it names")]
    Parse(#[from] toml::de::Error),
    /// It was written for another build.
    #[error(
        "the config has format {found}, this build reads format {FORMAT}; use the shop and operator of one release"
    )]
    Format {
        /// The format that the file names.
        found: u32,
    },
}

impl ShopConfig {
    /// Parses a config file.
    ///
    /// # Errors
    /// When the text is not of this shape, or of a format of another build.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        // The format is read first and alone, so that a newer file is refused by its format and not by a field.
        #[derive(Deserialize)]
        struct Header {
            format: u32,
        }
        let header: Header = toml::from_str(text)?;
        if header.format != FORMAT {
            return Err(ConfigError::Format { found: header.format });
        }
        Ok(toml::from_str(text)?)
    }

    /// Renders the config file that [`parse`](Self::parse) reads.
    ///
    /// # Errors
    /// When a path in it is not UTF-8.
    pub fn render(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
