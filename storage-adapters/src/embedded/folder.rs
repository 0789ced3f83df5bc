//! One folder held open: its entries at one moment, and changes by name within it. Does blocking I/O.
//!
//! Everything goes through the open folder, never through its path: a folder that was removed meanwhile, even when another
//! has taken its name, refuses new entries.

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RawDir, RenameFlags, SeekFrom},
    io::Errno,
};

/// Room for the entries of one read: more than 500 of ours, many times what a key's folder ever holds.
const ENTRIES: usize = 32 * 1024;

/// Reads of a folder that is too large for one read, or that a signal interrupts, before giving up.
const MAX_READS: usize = 100;

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder at `path`; absent when there is none.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(folder) => Ok(Some(Self(folder))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Calls `each` with the name of every entry, as they were at one moment.
    ///
    /// The kernel holds the folder's lock while it fills one buffer, so entries that come in one read are a snapshot. When
    /// they come in several, `restart` is called and reading begins again.
    pub(super) fn snapshot<State: Default>(&self, mut each: impl FnMut(&mut State, &str)) -> io::Result<State> {
        let mut buffer = Vec::with_capacity(ENTRIES);
        for _ in 0..MAX_READS {
            rustix::fs::seek(&self.0, SeekFrom::Start(0))?;
            let mut state = State::default();
            let mut entries = RawDir::new(&self.0, buffer.spare_capacity_mut());
            let mut reads = 0;
            loop {
                reads += usize::from(entries.is_buffer_empty());
                match entries.next() {
                    Some(Ok(entry)) => {
                        if let Ok(name) = entry.file_name().to_str() {
                            each(&mut state, name);
                        }
                    }
                    // The folder was removed, which only an empty one can be.
                    Some(Err(Errno::NOENT)) => return Ok(State::default()),
                    Some(Err(fault)) => return Err(fault.into()),
                    None => break,
                }
            }
            // The last read finds nothing more.
            if reads <= 2 {
                return Ok(state);
            }
        }
        Err(io::Error::other("the folder has too many entries to be read at once"))
    }

    /// Opens a file for reading; absent when there is none.
    pub(super) fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Gives the file at `path` the further name `name` here; false when this folder was removed.
    pub(super) fn link_here(&self, path: &Path, name: &str) -> io::Result<bool> {
        match rustix::fs::linkat(CWD, path, &self.0, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Renames an entry within this folder, to a name that must be free.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<Renamed> {
        match rustix::fs::renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Renamed::Done),
            Err(Errno::EXIST) => Ok(Renamed::Taken),
            Err(Errno::NOENT) => Ok(Renamed::Gone),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Removes a file; an absent one is a success.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Makes the folder's entries durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

/// How a rename ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renamed {
    /// It happened.
    Done,
    /// The new name was taken.
    Taken,
    /// The old name, or the folder, is gone.
    Gone,
}

/// Makes the entries of the folder at `path` durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Folder) -> io::Result<Vec<String>> {
        let mut names = folder.snapshot(|names: &mut Vec<String>, name| names.push(name.to_owned()))?;
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    }

    #[test]
    fn a_snapshot_holds_every_entry_each_time() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(place.path()).expect("readable").expect("present");
        assert_eq!(names(&folder).expect("readable"), Vec::<String>::new());
        std::fs::write(place.path().join("1"), "").expect("writable");
        std::fs::write(place.path().join("2"), "").expect("writable");
        assert_eq!(names(&folder).expect("readable"), ["1", "2"]);
        assert_eq!(names(&folder).expect("readable"), ["1", "2"]);
    }

    #[test]
    fn a_folder_too_large_for_one_read_is_refused_rather_than_read_in_parts() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(place.path()).expect("readable").expect("present");
        for number in 0..1000 {
            std::fs::write(place.path().join(format!("{number:040}")), "").expect("writable");
        }
        names(&folder).expect_err("two reads");
    }

    #[test]
    fn a_removed_folder_takes_no_new_entry() {
        let place = tempfile::tempdir().expect("a folder");
        let (path, source) = (place.path().join("key"), place.path().join("source"));
        std::fs::create_dir(&path).expect("writable");
        std::fs::write(&source, "").expect("writable");
        let folder = Folder::open(&path).expect("readable").expect("present");
        std::fs::remove_dir(&path).expect("empty");
        std::fs::create_dir(&path).expect("writable");
        assert_eq!(names(&folder).expect("readable"), [""; 0]);
        assert!(!folder.link_here(&source, "1").expect("no other fault"));
        assert_eq!(folder.rename("0", "1").expect("no other fault"), Renamed::Gone);
    }
}
