//! What an operating system's error means to a caller of the ports: one table. No I/O.

use std::io;

use crate::error::{Error, ErrorKind};

/// What is being done, to what: turns a fault into the port's error.
#[derive(Clone, Debug)]
pub(super) struct Task {
    operation: &'static str,
    subject: String,
}

impl Task {
    pub(super) fn new(operation: &'static str, subject: impl Into<String>) -> Self {
        Self { operation, subject: subject.into() }
    }

    /// The task failed in a way that the adapter itself understood.
    pub(super) fn fail(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.operation, self.subject.clone())
    }

    /// The task failed with a reason in words.
    pub(super) fn explain(&self, kind: ErrorKind, reason: impl Into<String>) -> Error {
        self.fail(kind).with_source(reason.into())
    }

    /// The operating system failed before anything became visible.
    pub(super) fn os(&self, fault: impl Into<io::Error>) -> Error {
        let fault = fault.into();
        self.fail(kind_of(&fault)).with_source(fault)
    }

    /// The operating system failed after the change became visible: it may or may not outlive a crash.
    pub(super) fn os_after_commit(&self, fault: impl Into<io::Error>) -> Error {
        self.fail(ErrorKind::Unknown).with_source(fault.into())
    }
}

/// The kind of a fault that stopped an operation before it changed anything.
fn kind_of(fault: &io::Error) -> ErrorKind {
    match fault.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => ErrorKind::Internal,
        io::ErrorKind::FileTooLarge => ErrorKind::TooLarge,
        // Out of file descriptors, an input/output error of the disk, an interrupted call: the same request may succeed later.
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn each_fault_of_the_operating_system_has_a_kind() {
        let table = [
            (Errno::NOSPC, ErrorKind::Full),
            (Errno::DQUOT, ErrorKind::Full),
            (Errno::ACCESS, ErrorKind::Denied),
            (Errno::PERM, ErrorKind::Denied),
            (Errno::ROFS, ErrorKind::Denied),
            (Errno::FBIG, ErrorKind::TooLarge),
            (Errno::NAMETOOLONG, ErrorKind::Internal),
            (Errno::IO, ErrorKind::Unavailable),
            (Errno::MFILE, ErrorKind::Unavailable),
            (Errno::NOENT, ErrorKind::Unavailable),
        ];
        for (fault, kind) in table {
            assert_eq!(Task::new("put", "a").os(fault).kind(), kind, "{fault}");
        }
    }

    #[test]
    fn a_fault_after_the_commit_leaves_the_outcome_unknown() {
        assert_eq!(Task::new("put", "a").os_after_commit(Errno::NOSPC).kind(), ErrorKind::Unknown);
    }
}
