//! Finds out which process had this pod before: a lock that the kernel frees when a process ends, however it ends. Does I/O.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
};

use super::membership::BootId;

const FILE: &str = "boot-id";

/// Longest content that is looked at.
const MOST_BYTES: u64 = 64;

/// The lock of this process; freed when it ends.
#[derive(Debug)]
pub(super) struct Succession {
    _lock: Option<File>,
    /// The process that had the lock before, which therefore has ended.
    pub(super) predecessor: Option<BootId>,
}

impl Succession {
    /// Without a folder that outlives the process there is nothing to know.
    pub(super) fn unknown() -> Self {
        Self { _lock: None, predecessor: None }
    }

    /// Takes the lock in `folder`, reads who had it, and writes that it is `boot_id` now. When another process has it,
    /// nothing is known.
    pub(super) fn take(folder: &Path, boot_id: &BootId) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(FILE))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Self::unknown()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = String::new();
        // What is no text is no boot id either.
        let read = (&mut file).take(MOST_BYTES).read_to_string(&mut text);
        let predecessor = read.ok().and_then(|_| BootId::parse(text.trim()));
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(boot_id.as_str().as_bytes())?;
        file.sync_all()?;
        Ok(Self { _lock: Some(file), predecessor })
    }
}

/// Whether a process that runs has the lock in `folder`.
///
/// # Errors
/// When there is a lock file that cannot be looked at.
pub fn is_used(folder: &Path) -> io::Result<bool> {
    let file = match File::open(folder.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(number: u128) -> BootId {
        BootId::new(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_process_learns_who_had_the_lock_only_when_that_one_has_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Succession::take(folder.path(), &boot(1)).expect("takes");
        assert_eq!(first.predecessor, None);
        let second = Succession::take(folder.path(), &boot(2)).expect("looks");
        assert_eq!(second.predecessor, None, "the first still lives");
        drop(first);
        let third = Succession::take(folder.path(), &boot(3)).expect("takes");
        assert_eq!(third.predecessor, Some(boot(1)));
    }

    #[test]
    fn a_folder_is_used_while_a_process_has_its_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!is_used(folder.path()).expect("looks"));
        let first = Succession::take(folder.path(), &boot(1)).expect("takes");
        assert!(is_used(folder.path()).expect("looks"));
        drop(first);
        assert!(!is_used(folder.path()).expect("looks"));
    }

    #[test]
    fn a_file_that_names_nobody_is_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), [0xff; 200]).expect("writes");
        assert_eq!(Succession::take(folder.path(), &boot(1)).expect("takes").predecessor, None);
        assert_eq!(Succession::take(folder.path(), &boot(2)).expect("takes").predecessor, Some(boot(1)));
    }
}
