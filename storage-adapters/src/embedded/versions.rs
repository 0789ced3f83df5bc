//! How a key's newest version is found, replaced and deleted by many processes at once. Does blocking I/O.
//!
//! A key's folder holds its versions as files named by rising numbers; the highest is the blob's state. Nobody holds a
//! lock: a version is put by renaming an **intent**, a further name of the staged file inside the folder, to the number
//! after the highest, which fails when that number is taken.
//!
//! 1. A writer links its intent, **then** looks which number is the highest and whether it is what it expects, then
//!    renames the intent to the next number.
//! 2. Whoever removes old versions looks, **then** removes every intent it saw, then the versions below the highest one
//!    it saw, lowest first.
//! 3. The highest version is never removed, but for a deletion: that goes last, and then the folder.
//! 4. A folder without versions is never filled again: it is removed, and a new one that already holds its first version
//!    takes its name.
//!
//! So numbers are never used twice within one folder, and a writer that slept through another's write cannot succeed: if
//! the number after the one it saw is still there, that is taken; and if it was removed, its remover had before that
//! removed the writer's intent, which is older than what it looked at. The writer then begins again from what is there.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use uuid::Uuid;

use super::{
    errors::Task,
    folder::{Folder, Renamed, sync_folder},
    format::{Header, Kind},
    reading::{OpenVersion, read_version},
    staging::{StagedFile, Staging},
};
use crate::{
    blob::{PutMode, Version},
    error::{ErrorKind, Result},
};

/// Times that a writer begins again because of others before it gives up; each time another writer got something done.
const MAX_ATTEMPTS: usize = 10_000;

/// Folders known to be durable that are remembered.
const MAX_KNOWN: usize = 10_000;

const INTENT: &str = "intent-";

/// The folder of all blobs, and what a writer needs beside it.
#[derive(Debug)]
pub(super) struct Versions {
    blobs: PathBuf,
    /// Folders of which this process knows that they outlive a crash. They are never removed.
    durable: Mutex<HashSet<PathBuf>>,
}

/// The entries of a key's folder at one moment.
#[derive(Debug, Default)]
struct Entries {
    numbers: Vec<u64>,
    intents: Vec<String>,
}

impl Entries {
    fn of(folder: &Folder) -> io::Result<Self> {
        folder.snapshot(|entries: &mut Self, name| {
            if let Ok(number) = name.parse() {
                entries.numbers.push(number);
            } else if name.starts_with(INTENT) {
                entries.intents.push(name.to_owned());
            }
        })
    }

    fn highest(&self) -> Option<u64> {
        self.numbers.iter().copied().max()
    }
}

impl Versions {
    pub(super) fn new(blobs: PathBuf) -> Self {
        Self { blobs, durable: Mutex::default() }
    }

    /// Opens the newest version of the blob in the folder at `path`; absent when there is none or it was deleted.
    pub(super) fn newest(path: &Path, task: &Task) -> Result<Option<OpenVersion>> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(folder) = Folder::open(path).map_err(|fault| task.os(fault))? else { return Ok(None) };
            let entries = Entries::of(&folder).map_err(|fault| task.os(fault))?;
            let Some(highest) = entries.highest() else { return Ok(None) };
            // The file is gone when a newer version came meanwhile.
            if let Some(file) = open_number(&folder, highest).map_err(|fault| task.os(fault))? {
                let version = read_version(file, task)?;
                return Ok((version.header.kind == Kind::Body).then_some(version));
            }
        }
        Err(task.explain(ErrorKind::Unavailable, "the blob is replaced faster than it can be read"))
    }

    /// Makes the staged file the blob's newest version, if `mode` holds.
    pub(super) fn put(
        &self,
        staging: &Staging,
        path: &Path,
        staged: &StagedFile,
        mode: &PutMode,
        task: &Task,
    ) -> Result<()> {
        for _ in 0..MAX_ATTEMPTS {
            let done = match Folder::open(path).map_err(|fault| task.os(fault))? {
                None if matches!(mode, PutMode::IfVersion(_)) => return Err(task.fail(ErrorKind::Conflict)),
                None => self.begin(staging, path, staged, task)?,
                Some(folder) => match replace(&folder, path, staged, mode, task)? {
                    Replaced::Done => {
                        folder.sync().map_err(|fault| task.os_after_commit(fault))?;
                        // The put is done; what cannot be removed now is removed by the next writer or listing.
                        let _ = clean(&folder, path);
                        true
                    }
                    Replaced::Again => false,
                },
            };
            if done {
                return Ok(());
            }
        }
        Err(task.explain(ErrorKind::Unavailable, "other writers of the blob were always faster"))
    }

    /// Puts the first version into a new folder at `path`; false when another writer was faster.
    fn begin(&self, staging: &Staging, path: &Path, staged: &StagedFile, task: &Task) -> Result<bool> {
        let parent = path.parent().unwrap_or(&self.blobs);
        self.make_durable(parent).map_err(|fault| task.os(fault))?;
        let prepared = PreparedFolder::new(staging, staged).map_err(|fault| task.os(fault))?;
        match fs::rename(&prepared.0, path) {
            Ok(()) => {}
            Err(fault) if matches!(fault.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                return Ok(false);
            }
            Err(fault) => return Err(task.os(fault)),
        }
        // Another writer may have put, cleaned or deleted since: then it made durable what matters.
        if let Some(folder) = Folder::open(path).map_err(|fault| task.os_after_commit(fault))? {
            folder.sync().map_err(|fault| task.os_after_commit(fault))?;
        }
        sync_folder(parent).map_err(|fault| task.os_after_commit(fault))?;
        Ok(true)
    }

    /// Deletes the blob; an absent one is a success. `deletion` is the path of a durable version that says so.
    pub(super) fn delete(path: &Path, deletion: &Path, task: &Task) -> Result<()> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(folder) = Folder::open(path).map_err(|fault| task.os(fault))? else { return Ok(()) };
            let intent = new_intent();
            if !folder.link_here(deletion, &intent).map_err(|fault| task.os(fault))? {
                continue;
            }
            let entries = Entries::of(&folder).map_err(|fault| task.os(fault))?;
            let Some(highest) = entries.highest() else {
                remove_empty(&folder, path, &entries).map_err(|fault| task.os(fault))?;
                return Ok(());
            };
            match folder.rename(&intent, &next(highest)).map_err(|fault| task.os(fault))? {
                Renamed::Done => {
                    folder.sync().map_err(|fault| task.os_after_commit(fault))?;
                    // The blob is deleted; what cannot be removed now is removed by the next writer or listing.
                    let _ = clean(&folder, path);
                    return Ok(());
                }
                Renamed::Taken => folder.remove(&intent).map_err(|fault| task.os(fault))?,
                Renamed::Gone => {}
            }
        }
        Err(task.explain(ErrorKind::Unavailable, "other writers of the blob were always faster"))
    }

    /// Makes `folder` and every folder above it, up to that of all blobs, and lets them outlive a crash.
    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        let is_known = |folder: &Path| self.durable.lock().is_ok_and(|known| known.contains(folder));
        if folder == self.blobs || is_known(folder) {
            return Ok(());
        }
        let parent = folder.parent().unwrap_or(&self.blobs);
        self.make_durable(parent)?;
        match fs::create_dir(folder) {
            Ok(()) => {}
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
            Err(fault) => return Err(fault),
        }
        // Also when it was there: whoever made it may not have come as far as this.
        sync_folder(parent)?;
        if let Ok(mut known) = self.durable.lock() {
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(folder.to_path_buf());
        }
        Ok(())
    }
}

/// How an attempt to put a further version ended.
#[derive(Debug)]
enum Replaced {
    Done,
    Again,
}

fn replace(folder: &Folder, path: &Path, staged: &StagedFile, mode: &PutMode, task: &Task) -> Result<Replaced> {
    let intent = new_intent();
    if !folder.link_here(staged.path(), &intent).map_err(|fault| task.os(fault))? {
        return Ok(Replaced::Again);
    }
    let entries = Entries::of(folder).map_err(|fault| task.os(fault))?;
    let Some(highest) = entries.highest() else {
        remove_empty(folder, path, &entries).map_err(|fault| task.os(fault))?;
        return Ok(Replaced::Again);
    };
    let outcome = match holds(folder, highest, mode, task) {
        Ok(Some(true)) => folder.rename(&intent, &next(highest)).map_err(|fault| task.os(fault)),
        Ok(Some(false)) => Err(task.fail(ErrorKind::Conflict)),
        Ok(None) => Ok(Renamed::Taken),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(Renamed::Done) => return Ok(Replaced::Done),
        Ok(Renamed::Gone) => return Ok(Replaced::Again),
        Ok(Renamed::Taken) | Err(_) => {}
    }
    folder.remove(&intent).map_err(|fault| task.os(fault))?;
    outcome.map(|_| Replaced::Again)
}

/// Whether `mode` holds while `number` is the highest; absent when a newer version came meanwhile.
fn holds(folder: &Folder, number: u64, mode: &PutMode, task: &Task) -> Result<Option<bool>> {
    if *mode == PutMode::Overwrite {
        return Ok(Some(true));
    }
    let Some(file) = open_number(folder, number).map_err(|fault| task.os(fault))? else { return Ok(None) };
    let header = read_version(file, task)?.header;
    Ok(Some(is_expected((header.kind == Kind::Body).then_some(&header), mode)))
}

/// Whether `mode` holds for the blob that `found` describes, or for none.
pub(super) fn is_expected(found: Option<&Header>, mode: &PutMode) -> bool {
    match (mode, found) {
        (PutMode::Overwrite, _) | (PutMode::IfAbsent, None) => true,
        (PutMode::IfVersion(expected), Some(header)) => version_of(header) == *expected,
        (PutMode::IfAbsent, Some(_)) | (PutMode::IfVersion(_), None) => false,
    }
}

/// The name under which the port knows a version.
pub(super) fn version_of(header: &Header) -> Version {
    Version(header.nonce.simple().to_string())
}

/// Removes what is older than the highest version, and the whole folder when that is a deletion.
fn clean(folder: &Folder, path: &Path) -> io::Result<()> {
    let entries = Entries::of(folder)?;
    let Some(highest) = entries.highest() else { return remove_empty(folder, path, &entries) };
    let is_deleted = match open_number(folder, highest)? {
        Some(file) => is_deletion(&file)?,
        None => return Ok(()),
    };
    if entries.numbers.len() == 1 && !is_deleted {
        return Ok(());
    }
    for intent in &entries.intents {
        folder.remove(intent)?;
    }
    let mut older = entries.numbers;
    older.retain(|number| *number != highest);
    older.sort_unstable();
    for number in older {
        folder.remove(&number.to_string())?;
    }
    if is_deleted {
        // No crash may undo the removal of an older version and keep that of the deletion.
        folder.sync()?;
        folder.remove(&highest.to_string())?;
        remove_folder(path)?;
    }
    Ok(())
}

/// Removes what a killed process left in the folder at `path`. A living writer loses its intent, and begins again.
pub(super) fn clean_up(path: &Path) -> io::Result<()> {
    let Some(folder) = Folder::open(path)? else { return Ok(()) };
    for intent in Entries::of(&folder)?.intents {
        folder.remove(&intent)?;
    }
    clean(&folder, path)
}

/// Removes a folder without versions. Writers whose intents go begin again.
fn remove_empty(folder: &Folder, path: &Path, entries: &Entries) -> io::Result<()> {
    for intent in &entries.intents {
        folder.remove(intent)?;
    }
    remove_folder(path)
}

/// Removes the folder at `path` if it is empty, whichever it is: none that matters ever is.
fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(()),
        Err(fault) if matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn is_deletion(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;

    let mut bytes = vec![0; super::format::MAX_HEADER];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(Header::decode(&bytes[..length]).is_ok_and(|(header, _)| header.kind == Kind::Deletion))
}

fn open_number(folder: &Folder, number: u64) -> io::Result<Option<File>> {
    folder.open_file(&number.to_string())
}

fn next(number: u64) -> String {
    (number + 1).to_string()
}

fn new_intent() -> String {
    format!("{INTENT}{}", Uuid::new_v4().simple())
}

/// A staged folder that holds a blob's first version; removed when dropped, unless it was renamed.
struct PreparedFolder(PathBuf);

impl PreparedFolder {
    fn new(staging: &Staging, staged: &StagedFile) -> io::Result<Self> {
        let path = staging.new_path();
        fs::create_dir(&path)?;
        let prepared = Self(path);
        fs::hard_link(staged.path(), prepared.0.join("1"))?;
        Ok(prepared)
    }
}

impl Drop for PreparedFolder {
    fn drop(&mut self) {
        // Gone when it was renamed; what stays is swept later.
        let _ = fs::remove_file(self.0.join("1"));
        let _ = fs::remove_dir(&self.0);
    }
}
