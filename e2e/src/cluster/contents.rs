//! What is in a shop's store, taken away and brought back behind the shop's back. Does I/O: files of the node, or a cloud's API.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt;
use shop_contract::config::ShopConfig;
use storage_adapters::config::{AwsCredentials, AzureCredentials, StorageConfig};
use storage_adapters::{BlobInfo, GetOptions, Key, Metadata, PutMode, Store};

use super::shop::Shop;
use super::store::volume_folder;

/// All blobs of a shop's store, while the store is empty.
#[derive(Debug)]
pub enum Contents {
    /// Of a volume: moved to another folder.
    Volume {
        /// Where the shop has them.
        folder: PathBuf,
        /// Where they are.
        aside: tempfile::TempDir,
    },
    /// Of a cloud: in memory.
    Cloud(Vec<(Key, Bytes, Metadata)>),
}

impl Contents {
    /// Leaves the store of a running shop empty.
    pub async fn take_away(shop: &Shop) -> Self {
        let Some(store) = open(shop).await else {
            let folder = volume_folder(shop).await;
            // On the same file system, or nothing could be moved there.
            let aside = tempfile::tempdir_in(folder.parent().expect("the folder of all volumes")).expect("a folder");
            move_all(&folder, aside.path());
            return Self::Volume { folder, aside };
        };
        let mut blobs = Vec::new();
        for key in keys(&store).await {
            let blob = store.blobs.get(&key, GetOptions::default()).await.expect("a blob that was listed");
            let pieces: Vec<Bytes> = blob.body.try_collect().await.expect("its body");
            blobs.push((key, pieces.concat().into(), blob.metadata));
        }
        for (key, ..) in &blobs {
            store.blobs.delete(key).await.expect("deleted");
        }
        Self::Cloud(blobs)
    }

    /// Puts them back, in place of whatever the shop made meanwhile.
    pub async fn bring_back(self, shop: &Shop) {
        match self {
            Self::Volume { folder, aside } => {
                let meanwhile = tempfile::tempdir_in(folder.parent().expect("a parent")).expect("a folder");
                move_all(&folder, meanwhile.path());
                move_all(aside.path(), &folder);
            }
            Self::Cloud(mut blobs) => {
                let store = open(shop).await.expect("the same provider as before");
                for key in keys(&store).await {
                    store.blobs.delete(&key).await.expect("deleted");
                }
                // The databases first: whoever finds the shop's records expects them.
                blobs.sort_by_key(|(key, ..)| !key.as_str().starts_with("orders/"));
                for (key, body, metadata) in blobs {
                    store.blobs.put(&key, body, &metadata, PutMode::Overwrite).await.expect("put back");
                }
            }
        }
    }
}

/// Whether somebody made a database of orders in the emptied store of a shop. Those who had one open before may still have
/// written to it: a cloud's store is not emptied in one step.
pub async fn has_new_database(shop: &Shop) -> bool {
    match open(shop).await {
        None => volume_folder(shop).await.join("blobs/orders").exists(),
        Some(store) => {
            keys(&store).await.iter().any(|key| key.as_str().ends_with("/manifest/00000000000000000001.manifest"))
        }
    }
}

async fn keys(store: &Store) -> Vec<Key> {
    let found: Vec<BlobInfo> = store.blobs.list("", None).try_collect().await.expect("a list");
    found.into_iter().map(|blob| blob.key).collect()
}

/// The store of a shop in a cloud, with the credentials of the environment.
async fn open(shop: &Shop) -> Option<Store> {
    let mut storage = ShopConfig::parse(&shop.config().await).expect("the pods read it").storage;
    match &mut storage {
        StorageConfig { aws: Some(aws), .. } => aws.credentials = AwsCredentials::Environment,
        StorageConfig { azure: Some(azure), .. } => azure.credentials = AzureCredentials::Environment,
        StorageConfig { .. } => return None,
    }
    Some(Store::open(&storage).await.expect("the store"))
}

/// Moves all that is in one folder to another one; the folders stay, as a mount does.
fn move_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the folder") {
        let entry = entry.expect("an entry");
        std::fs::rename(entry.path(), to.join(entry.file_name())).expect("moved");
    }
}
