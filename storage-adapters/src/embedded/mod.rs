//! The Embedded adapter: blobs and messages in a folder of the machine's own disk, shared by the processes of one machine.
//!
//! Every write is staged, made durable, and only then given its name, so that a process may be killed at any point. No
//! lock is held across steps, so that a process which is stopped blocks nobody.

mod blobs;
mod clock;
mod errors;
mod filesystem;
mod folder;
mod format;
mod listing;
mod message_name;
mod paths;
mod queue;
mod reading;
mod root;
mod staging;
mod versions;

use std::sync::Arc;

use self::{blobs::FolderBlobs, queue::FolderQueue, root::Root};
pub use self::{filesystem::UnfitFileSystem, root::OpenEmbeddedError};
use crate::{blob::BlobStore, config::EmbeddedConfig, queue::Queue};

/// The blobs and the queue of one folder.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
}

impl Embedded {
    /// Opens the folder, which is made when only it is missing.
    ///
    /// # Errors
    /// When the folder cannot hold a store.
    pub fn open(config: &EmbeddedConfig) -> Result<Self, OpenEmbeddedError> {
        let root = Arc::new(Root::open(config)?);
        let path = root.path().join("queue");
        let queue = FolderQueue::open(root.clone(), &path)
            .map_err(|source| OpenEmbeddedError::Inaccessible { path, source })?;
        Ok(Self { blobs: Arc::new(FolderBlobs::new(root)), queue: Arc::new(queue) })
    }
}
