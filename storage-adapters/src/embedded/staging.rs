//! Where one open store prepares files before they become visible, and what killed processes left there. Does blocking I/O.
//!
//! Each open store has a folder of its own, and holds the operating system's lock on it for as long as it lives. Nobody
//! waits for that lock: it only tells the leavings of the dead from the work of the living, a stopped process included.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::format::{BLOCK, BlockChecksum, Header};

/// Attempts to make a folder that no sweep removes before it is locked.
const MAX_ATTEMPTS: usize = 10;

/// The folder in which one open store prepares files; removed with all its content when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    _lock: File,
}

impl Staging {
    /// Makes a folder of its own below `parent`.
    pub(super) fn open(parent: &Path) -> io::Result<Self> {
        for _ in 0..MAX_ATTEMPTS {
            let folder = parent.join(Uuid::new_v4().simple().to_string());
            fs::create_dir(&folder)?;
            let lock = match File::open(&folder) {
                Ok(lock) => lock,
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
                Err(fault) => return Err(fault),
            };
            if !try_lock(&lock)? {
                continue;
            }
            let locked = lock.metadata()?;
            match fs::metadata(&folder) {
                Ok(found) if found.ino() == locked.ino() && found.dev() == locked.dev() => {
                    return Ok(Self { folder, _lock: lock });
                }
                Ok(_) => {}
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(io::Error::other("another process keeps removing the folder for staged files"))
    }

    /// A path for a new file or folder.
    pub(super) fn new_path(&self) -> PathBuf {
        self.folder.join(Uuid::new_v4().simple().to_string())
    }

    /// Begins a file.
    pub(super) fn file(&self) -> io::Result<StagedFile> {
        let path = self.new_path();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(StagedFile { path, file })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next store that opens.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes what processes left that no longer live; `each` sees every file before it goes.
pub(super) fn sweep(parent: &Path, each: impl Fn(&Path)) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let folder = entry?.path();
        let Ok(lock) = File::open(&folder) else { continue };
        if !try_lock(&lock)? {
            continue;
        }
        for left in fs::read_dir(&folder).into_iter().flatten().flatten() {
            each(&left.path());
        }
        match fs::remove_dir_all(&folder) {
            Ok(()) => {}
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

fn try_lock(folder: &File) -> io::Result<bool> {
    match folder.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(fault)) => Err(fault),
    }
}

/// A file that nobody sees yet; removed when dropped.
#[derive(Debug)]
pub(super) struct StagedFile {
    path: PathBuf,
    file: File,
}

impl StagedFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the whole file and makes it durable.
    pub(super) fn write_whole(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, 0)?;
        self.file.sync_data()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Only a name goes: the content lives on where it was linked to. What stays is swept later.
        let _ = fs::remove_file(&self.path);
    }
}

/// A version of a blob while its body arrives.
#[derive(Debug)]
pub(super) struct StagedBlob {
    staged: StagedFile,
    header: Header,
    body_begins: u64,
    block: BlockChecksum,
    checksums: Vec<u8>,
}

impl StagedBlob {
    /// Begins a file for the version that `header` describes; the size is found out as the body arrives.
    pub(super) fn begin(staging: &Staging, header: Header) -> io::Result<Self> {
        let body_begins = header.encode().len() as u64;
        let block = BlockChecksum::new(header.nonce, 0);
        let header = Header { size: 0, ..header };
        Ok(Self { staged: staging.file()?, header, body_begins, block, checksums: Vec::new() })
    }

    /// Appends to the body.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.staged.file.write_all_at(bytes, self.body_begins + self.header.size)?;
        while !bytes.is_empty() {
            let room = BLOCK - self.header.size % BLOCK;
            let (now, rest) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.block.update(now);
            self.header.size += now.len() as u64;
            if self.header.size.is_multiple_of(BLOCK) {
                self.end_block();
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Ends the body and makes the file durable.
    pub(super) fn finish(mut self) -> io::Result<(StagedFile, Header)> {
        if !self.header.size.is_multiple_of(BLOCK) {
            self.end_block();
        }
        self.staged.file.write_all_at(&self.checksums, self.body_begins + self.header.size)?;
        self.staged.file.write_all_at(&self.header.encode(), 0)?;
        self.staged.file.sync_data()?;
        Ok((self.staged, self.header))
    }

    fn end_block(&mut self) {
        let next = BlockChecksum::new(self.header.nonce, self.header.size / BLOCK);
        self.checksums.extend(std::mem::replace(&mut self.block, next).finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_spares_the_living_and_removes_what_the_dead_left() {
        let place = tempfile::tempdir().expect("a folder");
        let living = Staging::open(place.path()).expect("writable");
        let kept = living.file().expect("writable");
        let dead = place.path().join("dead");
        fs::create_dir(&dead).expect("writable");
        fs::write(dead.join("leaving"), "").expect("writable");
        let seen = std::cell::RefCell::new(Vec::new());
        sweep(place.path(), |path| seen.borrow_mut().push(path.to_owned())).expect("swept");
        assert_eq!(seen.into_inner(), [dead.join("leaving")]);
        assert!(!dead.exists());
        assert!(kept.path().exists());
    }

    #[test]
    fn a_dropped_store_leaves_nothing() {
        let place = tempfile::tempdir().expect("a folder");
        let staging = Staging::open(place.path()).expect("writable");
        drop(staging.file().expect("writable"));
        drop(staging);
        assert_eq!(fs::read_dir(place.path()).expect("readable").count(), 0);
    }
}
