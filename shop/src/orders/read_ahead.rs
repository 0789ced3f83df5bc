//! Files of a database's log, read when their size is asked for. Does I/O.
//!
//! SlateDB opens a database by asking for the size of each file of its log and then for its bytes, 128 files at once. Read
//! together that is one request a file instead of two, and a bound keeps it from opening a connection for each.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use storage_adapters::{BlobInfo, BlobStore, GetOptions, Key, Metadata, Result};
use tokio::sync::Semaphore;

/// Files read at once.
const AT_ONCE: usize = 32;

/// Largest file that is read whole.
const MOST_BYTES: u64 = 256 * 1024;

/// Files that are kept until their bytes are asked for; the oldest goes first.
const MOST_KEPT: usize = 128;

/// A file of the log, whole.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    pub(super) info: BlobInfo,
    pub(super) metadata: Metadata,
    pub(super) body: Bytes,
}

/// What was read ahead.
#[derive(Debug)]
pub(super) struct ReadAhead {
    turns: Semaphore,
    kept: Mutex<VecDeque<LogFile>>,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), kept: Mutex::default() }
    }
}

impl ReadAhead {
    /// What is known of a file, whose bytes are most likely asked for next.
    pub(super) async fn look(&self, blobs: &dyn BlobStore, key: &Key) -> Result<(BlobInfo, Metadata)> {
        // Nobody closes it.
        let _turn = self.turns.acquire().await;
        let blob = blobs.get(key, GetOptions::default()).await?;
        if blob.info.size <= MOST_BYTES {
            let body = blob.body.try_collect::<BytesMut>().await?.freeze();
            let mut kept = self.kept();
            if kept.len() == MOST_KEPT {
                kept.pop_front();
            }
            kept.push_back(LogFile { info: blob.info.clone(), metadata: blob.metadata.clone(), body });
        }
        Ok((blob.info, blob.metadata))
    }

    /// A file that was read ahead and has all of these bytes; it is not kept any longer.
    pub(super) fn take(&self, key: &Key, range: &Range<u64>) -> Option<LogFile> {
        let mut kept = self.kept();
        let at = kept.iter().position(|file| file.info.key == *key)?;
        kept.remove(at).filter(|file| range.start <= range.end && range.end <= file.info.size)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<LogFile>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
