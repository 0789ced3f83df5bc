//! The folder of a store: checks that it can hold one, makes its parts, and runs blocking work for it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    errors::Task,
    filesystem::{UnfitFileSystem, judge, magic_of},
    folder::sync_folder,
    format::{Header, Kind, MAX_HEADER},
    paths,
    reading::read_up_to,
    staging::{StagedFile, Staging, sweep},
    versions::clean_up,
};
use crate::{
    blob::Key,
    config::EmbeddedConfig,
    error::{ErrorKind, Result},
};

/// Operations of one open store that use the disk at once; others wait their turn.
const MAX_AT_ONCE: usize = 64;

/// Name of the file that says in which format the store is kept, and what it says.
const FORMAT_FILE: &str = "FORMAT";
const FORMAT: &str = "cloudshop store, format 1\n";

/// A folder that cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenEmbeddedError {
    /// The path depends on where the process was started.
    #[error("the store's path '{0}' is not absolute; write the whole path")]
    NotAbsolute(PathBuf),
    /// The folder is not there.
    #[error("the store's folder '{0}' is not there; make it, or mount the volume that holds it")]
    Missing(PathBuf),
    /// The folder lies on a file system that cannot hold a store.
    #[error("the store's folder '{path}' cannot be used: {reason}")]
    UnfitFileSystem {
        /// The folder.
        path: PathBuf,
        /// What is wrong with its file system.
        reason: UnfitFileSystem,
    },
    /// The folder holds something else, or what a newer version of the program wrote.
    #[error(
        "'{0}' was written by another version of this program, or by another program; use the version that wrote it, or another folder"
    )]
    UnknownFormat(PathBuf),
    /// The operating system refused.
    #[error("the store's folder '{path}' cannot be opened: check that this process may read and write it")]
    Inaccessible {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The folder of a store, open.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    staging: Staging,
    deletion: StagedFile,
    turns: Arc<Semaphore>,
}

impl Root {
    /// Checks the folder, makes what it lacks, and removes what killed processes left.
    pub(super) fn open(config: &EmbeddedConfig) -> Result<Self, OpenEmbeddedError> {
        let path = config.path.clone();
        if !path.is_absolute() {
            return Err(OpenEmbeddedError::NotAbsolute(path));
        }
        let inaccessible = |source| OpenEmbeddedError::Inaccessible { path: path.clone(), source };
        match fs::create_dir(&path) {
            Ok(()) => sync_folder(path.parent().unwrap_or(&path)).map_err(inaccessible)?,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Err(OpenEmbeddedError::Missing(path)),
            // Also where the parent may only be read: what matters is whether the folder is there.
            Err(_) if path.is_dir() => {}
            Err(fault) => return Err(inaccessible(fault)),
        }
        judge(magic_of(&path).map_err(inaccessible)?)
            .map_err(|reason| OpenEmbeddedError::UnfitFileSystem { path: path.clone(), reason })?;
        check_format(&path)?;
        for part in [STAGING, BLOBS] {
            make_folder(&path.join(part)).map_err(inaccessible)?;
        }
        sweep(&path.join(STAGING), |left| clean_after(&path.join(BLOBS), left)).map_err(inaccessible)?;
        let staging = Staging::open(&path.join(STAGING)).map_err(inaccessible)?;
        settle_format(&path, &staging)?;
        let deletion = stage_deletion(&staging).map_err(inaccessible)?;
        sync_folder(&path).map_err(inaccessible)?;
        Ok(Self { path, staging, deletion, turns: Arc::new(Semaphore::new(MAX_AT_ONCE)) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.path.join(BLOBS)
    }

    pub(super) fn staging(&self) -> &Staging {
        &self.staging
    }

    /// A durable version that says that a blob is deleted. Linking to it needs no room on a full disk.
    pub(super) fn deletion(&self) -> &Path {
        self.deletion.path()
    }

    /// Runs `work` on a thread that may block, when it is its turn.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        task: &Task,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turns = self.turns.clone();
        let turn = turns.acquire_owned().await.map_err(|closed| task.fail(ErrorKind::Internal).with_source(closed))?;
        // When the caller goes away the work still ends, and its turn with it.
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|fault| task.fail(ErrorKind::Internal).with_source(fault))?
    }
}

const STAGING: &str = "staging";
const BLOBS: &str = "blobs";

/// Makes a folder; one that is there is a success.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Checks the file that names the format; none is a success.
fn check_format(path: &Path) -> Result<(), OpenEmbeddedError> {
    let file = path.join(FORMAT_FILE);
    match fs::read(&file) {
        Ok(found) if found == FORMAT.as_bytes() => Ok(()),
        Ok(_) => Err(OpenEmbeddedError::UnknownFormat(file)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(OpenEmbeddedError::Inaccessible { path: file, source }),
    }
}

/// Writes the file that names the format where there is none, and else checks it again.
fn settle_format(path: &Path, staging: &Staging) -> Result<(), OpenEmbeddedError> {
    let file = path.join(FORMAT_FILE);
    let write = || {
        let staged = staging.file()?;
        staged.write_whole(FORMAT.as_bytes())?;
        fs::hard_link(staged.path(), &file)
    };
    match write() {
        Ok(()) => Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => check_format(path),
        Err(source) => Err(OpenEmbeddedError::Inaccessible { path: file, source }),
    }
}

fn stage_deletion(staging: &Staging) -> io::Result<StagedFile> {
    let header = Header {
        kind: Kind::Deletion,
        key: String::new(),
        metadata: [].into(),
        size: 0,
        modified: Timestamp::now(),
        nonce: Uuid::new_v4(),
    };
    let staged = staging.file()?;
    staged.write_whole(&header.encode())?;
    Ok(staged)
}

/// Removes what the killed process that staged the file at `left` may have left in its key's folder.
fn clean_after(blobs: &Path, left: &Path) {
    let read = || -> Option<Key> {
        let mut beginning = vec![0; MAX_HEADER];
        let length = read_up_to(&fs::File::open(left).ok()?, &mut beginning, 0).ok()?;
        let (header, _) = Header::decode(&beginning[..length]).ok()?;
        Key::new(header.key).ok()
    };
    if let Some(key) = read() {
        // What cannot be removed now is removed by the blob's next writer.
        let _ = clean_up(&paths::of_key(blobs, &key));
    }
}
