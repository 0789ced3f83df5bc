//! Where a verb finds the store: a config file, or a folder. Reads files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use shop_contract::{
    CONFIG_PATH,
    config::{ConfigError, ShopConfig},
};
use storage_adapters::{
    OpenStoreError, Store,
    config::{EmbeddedConfig, StorageConfig},
};

/// Where the shop's store is.
#[derive(Clone, Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct Location {
    /// Config file of the shop; inside a pod it is found by itself.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of a shop on Embedded storage, as of `shop run`.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Why the store cannot be found or opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocationError {
    /// Neither was named, and this is no pod.
    #[error("say where the shop is: --data DIR for the folder of a `shop run`, or --config FILE")]
    Unnamed,
    /// The folder does not exist.
    #[error("there is no folder {0}; name the one that `shop run --data` uses")]
    NoFolder(PathBuf),
    /// The config file cannot be read.
    #[error("the config {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The config file is not valid.
    #[error("the config {path} cannot be used")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Open(#[from] OpenStoreError),
}

impl Location {
    /// Opens the store, which must exist: a verb never makes one.
    pub(super) async fn open(&self) -> Result<Store, LocationError> {
        Ok(Store::open(&self.storage()?).await?)
    }

    /// Where the store is, without opening it.
    pub(super) fn storage(&self) -> Result<StorageConfig, LocationError> {
        Ok(match (&self.config, &self.data) {
            (Some(path), _) => read(path)?.storage,
            (None, Some(folder)) if folder.is_dir() => embedded(folder)?,
            (None, Some(folder)) => return Err(LocationError::NoFolder(folder.clone())),
            (None, None) if Path::new(CONFIG_PATH).exists() => read(Path::new(CONFIG_PATH))?.storage,
            (None, None) => return Err(LocationError::Unnamed),
        })
    }
}

/// Reads and parses a config file.
pub(super) fn read(path: &Path) -> Result<ShopConfig, LocationError> {
    let text = fs::read_to_string(path).map_err(|source| LocationError::Read { path: path.to_owned(), source })?;
    ShopConfig::parse(&text).map_err(|source| LocationError::Config { path: path.to_owned(), source })
}

/// The storage of a shop whose data is in `folder`.
pub(super) fn embedded(folder: &Path) -> Result<StorageConfig, LocationError> {
    let path = std::path::absolute(folder).map_err(|source| LocationError::Read { path: folder.to_owned(), source })?;
    Ok(StorageConfig::from(EmbeddedConfig { path }))
}
