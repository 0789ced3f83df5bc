//! Copies a shard's database from one store to another while it is in use, and shows that the copy is whole. Does I/O.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slatedb::{PathResolver, VersionedManifest, admin::AdminBuilder};
use storage_adapters::{BlobInfo, BlobStore, ByteStream, Error, ErrorKind, GetOptions, Key, PutMode};

use crate::hex;

use super::{
    blobs,
    clock::MachineClock,
    copy_progress::ShardProgress,
    object_store_bridge::{Gate, ObjectStoreBridge},
};

/// Files copied at once. Few, since those who buy use the same stores.
const FILES_AT_ONCE: usize = 4;

/// Largest file that is held in memory whole; a larger one is passed on piece by piece.
const HELD_WHOLE: u64 = 1024 * 1024;

/// Folder of the log.
const LOG: &str = "wal/";

/// Why a database was not copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// A store could not be read or written.
    #[error(transparent)]
    Store(#[from] Error),
    /// The target holds something else under the name of a file.
    #[error("the target holds other bytes than the source in {0}; empty the target, or name another")]
    Differs(Key),
    /// The database's own records cannot be read.
    #[error(transparent)]
    Database(#[from] slatedb::Error),
    /// Files that the copy needs are not in it.
    #[error("the copy is not whole: {0}")]
    NotWhole(String),
}

/// A file that is in the target as it is in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copied {
    bytes: u64,
    sha256: [u8; 32],
}

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// Files that are new in the target.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Whether it ended before its time, since something else is wished.
    pub(super) is_superseded: bool,
}

/// All that was copied of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WholeCopy {
    /// Files in the target.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Number of the last file of the log.
    pub(super) log_end: u64,
    /// Hexadecimal SHA-256 over the name, a zero byte, and the SHA-256 of each file, in the order of their names.
    pub(super) sha256: String,
}

/// A database as one store holds it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The store.
    pub(super) blobs: Arc<dyn BlobStore>,
    /// Where in it the database is.
    pub(super) path: String,
}

/// A copy of a database that is being made. All its files are written once, so what was copied stays right.
#[derive(Clone, Debug)]
pub(super) struct Copying {
    from: Place,
    to: Place,
    /// By name below the database's path.
    copied: BTreeMap<String, Copied>,
    /// What passes while the database is in use go by, and report to.
    progress: Option<ShardProgress>,
    #[cfg(feature = "planted-bugs")]
    bug: Option<super::planted::Bug>,
}

impl Place {
    fn is(&self, other: &Self) -> bool {
        self.path == other.path && Arc::ptr_eq(&self.blobs, &other.blobs)
    }

    fn key(&self, name: &str) -> Result<Key, Error> {
        blobs::key(&format!("{}/{name}", self.path))
    }

    /// The files that are here, with their sizes in bytes.
    async fn files(&self) -> Result<BTreeMap<String, u64>, Error> {
        let folder = format!("{}/", self.path);
        let found: Vec<BlobInfo> = self.blobs.list(&folder, None).try_collect().await?;
        let named = |info: &BlobInfo| Some((info.key.as_str().strip_prefix(&folder)?.to_owned(), info.size));
        Ok(found.iter().filter_map(named).collect())
    }

    /// The store, as a database is read from it.
    pub(super) fn bridge(&self) -> ObjectStoreBridge {
        ObjectStoreBridge::new(Arc::clone(&self.blobs), Arc::new(Gate::new(Arc::new(MachineClock), false)))
    }

    /// Number of the last file of the log that is here; 0 when there is none.
    pub(super) async fn log_end(&self) -> Result<u64, Error> {
        Ok(last_log_file(self.files().await?.keys()))
    }

    /// The newest manifest of the database here, and those of its checkpoints.
    async fn manifests(&self) -> Result<Vec<VersionedManifest>, CopyError> {
        let store: Arc<dyn ObjectStore> = Arc::new(self.bridge());
        let admin = AdminBuilder::new(self.path.as_str(), store).build();
        let newest = admin.read_manifest(None).await?;
        let newest = newest.ok_or_else(|| CopyError::NotWhole("the database has no manifest".into()))?;
        let mut found = Vec::new();
        for checkpoint in newest.checkpoints() {
            let named = admin.read_manifest(Some(checkpoint.manifest_id)).await?;
            found.push(named.ok_or_else(|| {
                CopyError::NotWhole(format!("the manifest {} of a checkpoint is missing", checkpoint.manifest_id))
            })?);
        }
        found.insert(0, newest);
        Ok(found)
    }

    async fn digest(&self, name: &str, progress: Option<&ShardProgress>) -> Result<[u8; 32], Error> {
        let blob = self.blobs.get(&self.key(name)?, GetOptions::default()).await?;
        let digest = paid(blob.body, progress.cloned())
            .try_fold(Sha256::new(), |digest, part| async move { Ok(digest.chain_update(part)) });
        Ok(digest.await?.finalize().into())
    }
}

impl Copying {
    /// Of the database `from`, to `to`.
    pub(super) fn new(from: Place, to: Place) -> Self {
        Self {
            from,
            to,
            copied: BTreeMap::new(),
            progress: None,
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// The same, going by this while the database is in use.
    pub(super) fn going_by(self, progress: ShardProgress) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// The same, with a mistake.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn making(self, bug: Option<super::planted::Bug>) -> Self {
        Self { bug, ..self }
    }

    /// Whether it is of the database `from`, to `to`.
    pub(super) fn is_between(&self, from: &Place, to: &Place) -> bool {
        self.from.is(from) && self.to.is(to)
    }

    /// Forgets what the target does not have any more, when time has passed since it was copied.
    pub(super) async fn look_again(&mut self) -> Result<(), CopyError> {
        if self.copied.is_empty() {
            return Ok(());
        }
        let found = self.to.files().await?;
        self.copied.retain(|name, copied| found.get(name) == Some(&copied.bytes));
        Ok(())
    }

    /// Copies the files that are there and were not copied yet.
    pub(super) async fn pass(&mut self) -> Result<Pass, CopyError> {
        let progress = self.progress.clone();
        self.pass_of(|_| true, progress.as_ref()).await
    }

    /// The same without the log, which is short-lived: for a copy that is not needed yet.
    pub(super) async fn pass_ahead(&mut self) -> Result<Pass, CopyError> {
        let progress = self.progress.clone();
        self.pass_of(|name| !name.starts_with(LOG), progress.as_ref()).await
    }

    async fn pass_of(
        &mut self,
        is_wanted: impl Fn(&str) -> bool,
        progress: Option<&ShardProgress>,
    ) -> Result<Pass, CopyError> {
        let found = self.from.files().await?;
        if let Some(progress) = progress {
            let copied = found.iter().filter(|(name, _)| self.copied.contains_key(*name)).map(|(_, bytes)| bytes);
            let files = u64::try_from(found.len()).unwrap_or(u64::MAX);
            progress.found(files, found.values().sum(), copied.sum());
        }
        let news = found.into_keys().filter(|name| is_wanted(name) && !self.copied.contains_key(name));
        let news: Vec<String> = news.collect();
        let (mut pass, mut done) = (Pass::default(), Vec::new());
        let mut under_way = stream::iter(news)
            .take_while(|_| future::ready(progress.is_none_or(ShardProgress::is_wanted)))
            .map(|name| async { self.copy(&name, progress).await.map(|copied| copied.map(|copied| (name, copied))) })
            .buffer_unordered(FILES_AT_ONCE);
        let mut failure = None;
        while let Some(copied) = under_way.next().await {
            match copied {
                Ok(copied) => done.extend(copied),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        drop(under_way);
        for (name, copied) in done {
            pass.files += 1;
            pass.bytes += copied.bytes;
            self.copied.insert(name, copied);
        }
        pass.is_superseded = progress.is_some_and(|progress| !progress.is_wanted());
        failure.map_or(Ok(pass), Err)
    }

    /// Copies one file; none when the database has deleted it since it was listed.
    async fn copy(&self, name: &str, progress: Option<&ShardProgress>) -> Result<Option<Copied>, CopyError> {
        #[cfg(feature = "planted-bugs")]
        if self.bug == Some(super::planted::Bug::LoseLogFiles) && name.starts_with(LOG) {
            return Ok(Some(Copied { bytes: 0, sha256: [0; 32] }));
        }
        let blob = match self.from.blobs.get(&self.from.key(name)?, GetOptions::default()).await {
            Ok(blob) => blob,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (bytes, metadata, target) = (blob.info.size, blob.metadata, self.to.key(name)?);
        let hashed = Hashed::default();
        let body = paid(hashed.watch(blob.body), progress.cloned());
        let put = if bytes <= HELD_WHOLE {
            let whole = body.try_fold(Vec::new(), |mut whole, part| async move {
                whole.extend_from_slice(&part);
                Ok(whole)
            });
            self.to.blobs.put(&target, Bytes::from(whole.await?), &metadata, PutMode::IfAbsent).await
        } else {
            // Large files that share a limit would each take longer than a transfer may.
            let _turn = match progress {
                Some(progress) => progress.turn().await,
                None => None,
            };
            self.to.blobs.put_stream(&target, body, &metadata, PutMode::IfAbsent).await
        };
        let sha256 = match put {
            Ok(_) => hashed.digest(),
            // It is there from an earlier try, perhaps another worker's.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Unknown) => {
                let (ours, theirs) = tokio::try_join!(self.from.digest(name, progress), self.to.digest(name, None))?;
                if ours != theirs {
                    return Err(CopyError::Differs(target));
                }
                ours
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(progress) = progress {
            progress.copied(bytes);
        }
        Ok(Some(Copied { bytes, sha256 }))
    }

    /// Copies what is left of a database that nobody writes any more, and shows that the copy is whole.
    pub(super) async fn finish(&mut self) -> Result<(), CopyError> {
        let from = self.from.clone();
        // At once, since nobody is answered meanwhile.
        let (manifests, _) = tokio::try_join!(from.manifests(), self.pass_of(|_| true, None))?;
        self.show_whole(&manifests).await
    }

    /// Shows that everything which these manifests of the database name was copied: themselves, their tables, and the log from
    /// where the tables of the newest, the first of them, end to its last file, without a gap.
    async fn show_whole(&self, manifests: &[VersionedManifest]) -> Result<(), CopyError> {
        for manifest in manifests {
            let name = manifest_file(manifest.id());
            if !self.copied.contains_key(&name) {
                return Err(CopyError::NotWhole(format!("the file {name} is missing")));
            }
            self.has_tables_of(manifest)?;
        }
        self.has_log_after(manifests.first().map_or(0, VersionedManifest::replay_after_wal_id)).await
    }

    /// All that was copied, in all passes.
    pub(super) fn total(&self) -> WholeCopy {
        let sha256 = self.copied.iter().fold(Sha256::new(), |digest, (name, copied)| {
            digest.chain_update(name).chain_update([0]).chain_update(copied.sha256)
        });
        WholeCopy {
            files: u64::try_from(self.copied.len()).unwrap_or(u64::MAX),
            bytes: self.copied.values().map(|copied| copied.bytes).sum(),
            log_end: self.log_end(),
            sha256: hex::encode(&sha256.finalize()),
        }
    }

    /// Number of the last file of the log that was copied; 0 when there is none.
    fn log_end(&self) -> u64 {
        last_log_file(self.copied.keys())
    }

    fn has_tables_of(&self, manifest: &VersionedManifest) -> Result<(), CopyError> {
        let paths = PathResolver::new(Path::from(self.to.path.as_str()), manifest);
        let folder = format!("{}/", self.to.path);
        for view in manifest.all_sst_views() {
            let path = paths.sst_path(&view.sst.id);
            let is_copied = path.as_ref().strip_prefix(&folder).is_some_and(|name| self.copied.contains_key(name));
            if !is_copied {
                return Err(CopyError::NotWhole(format!("the table {path} is missing")));
            }
        }
        Ok(())
    }

    async fn has_log_after(&self, end_of_tables: u64) -> Result<(), CopyError> {
        let last = self.log_end().max(end_of_tables);
        if let Some(gap) = (end_of_tables + 1..=last).find(|number| !self.copied.contains_key(&log_file(*number))) {
            return Err(CopyError::NotWhole(format!("the file {} is missing", log_file(gap))));
        }
        // A listing that ended too early would end the log as well.
        match self.from.blobs.head(&self.from.key(&log_file(last + 1))?).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(CopyError::NotWhole(format!("the file {} is missing", log_file(last + 1)))),
        }
    }
}

/// The highest number of the files of a log among these; 0 when there is none.
fn last_log_file<'a>(names: impl Iterator<Item = &'a String>) -> u64 {
    names.filter_map(|name| name.strip_prefix(LOG)?.strip_suffix(".sst")?.parse().ok()).max().unwrap_or(0)
}

fn manifest_file(number: u64) -> String {
    format!("manifest/{number:020}.manifest")
}

fn log_file(number: u64) -> String {
    format!("{LOG}{number:020}.sst")
}

/// A body of which each piece waits until it may be copied.
fn paid(body: ByteStream, progress: Option<ShardProgress>) -> ByteStream {
    let Some(progress) = progress else { return body };
    body.and_then(move |piece| {
        let progress = progress.clone();
        async move {
            progress.pay(u64::try_from(piece.len()).unwrap_or(u64::MAX)).await;
            Ok(piece)
        }
    })
    .boxed()
}

/// The digest of a body that passes by.
#[derive(Clone, Default)]
struct Hashed(Arc<Mutex<Sha256>>);

impl Hashed {
    fn watch(&self, body: ByteStream) -> ByteStream {
        let hashed = self.clone();
        body.inspect_ok(move |part| hashed.0.lock().unwrap_or_else(PoisonError::into_inner).update(part)).boxed()
    }

    fn digest(&self) -> [u8; 32] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize().into()
    }
}

#[cfg(test)]
#[path = "copying_tests.rs"]
mod tests;
