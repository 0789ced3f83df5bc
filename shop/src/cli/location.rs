//! Where a verb finds the store: a config file, or a folder. Reads files.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::join_all;
use shop_contract::{
    CONFIG_PATH,
    config::{ConfigError, ShopConfig},
};
use storage_adapters::{
    OpenStoreError, Store,
    config::{EmbeddedConfig, StorageConfig},
};
use tokio::time::timeout;

use crate::{catalogue::Places, errors::with_causes};

/// How long another store may take to be opened, beside the one that the config names.
const OPEN_OTHER: Duration = Duration::from_secs(10);

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

    /// Opens the stores that the shop's catalogue may be in: the one that the config names, and of the others those that can be
    /// opened.
    pub(super) async fn open_places(&self) -> Result<Places, LocationError> {
        let storage = self.storage()?;
        let others = storage.others().map(async |other| {
            match timeout(OPEN_OTHER, Store::open(&other)).await {
                Ok(Ok(store)) => return Some((other.provider, store.blobs)),
                Ok(Err(error)) => {
                    tracing::warn!(store = %other, error = with_causes(&error), "another store cannot be opened");
                }
                Err(_late) => tracing::warn!(store = %other, "another store was not opened in time"),
            }
            None
        });
        let (home, others) = tokio::join!(Store::open(&storage), join_all(others));
        Ok(Places::new(storage.provider, home?.blobs, others.into_iter().flatten()))
    }

    /// The folder of a shop that no operator made; none when a config file says where the shop is.
    pub(super) fn folder(&self) -> Result<Option<EmbeddedConfig>, LocationError> {
        let Some(folder) = &self.data else { return Ok(None) };
        if !folder.is_dir() {
            return Err(LocationError::NoFolder(folder.clone()));
        }
        Ok(Some(EmbeddedConfig { path: absolute(folder)? }))
    }

    /// The config file, of a shop whose pods run.
    pub(super) fn config(&self) -> Result<ShopConfig, LocationError> {
        match &self.config {
            Some(path) => read(path),
            None if Path::new(CONFIG_PATH).exists() => read(Path::new(CONFIG_PATH)),
            None => Err(LocationError::Unnamed),
        }
    }

    /// Where the store is, without opening it.
    pub(super) fn storage(&self) -> Result<StorageConfig, LocationError> {
        Ok(match self.folder()? {
            Some(embedded) => embedded.into(),
            None => self.config()?.storage,
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
    Ok(StorageConfig::from(EmbeddedConfig { path: absolute(folder)? }))
}

fn absolute(folder: &Path) -> Result<PathBuf, LocationError> {
    std::path::absolute(folder).map_err(|source| LocationError::Read { path: folder.to_owned(), source })
}
