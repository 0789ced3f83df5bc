//! The one error type of the ports: its kind says what a caller does next. No I/O.

use std::{fmt, time::Duration};

/// Result of a port's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why an operation of a port did not do what was asked, told apart by what the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such blob: decide whether that is expected.
    NotFound,
    /// The condition of the operation does not hold, and the operation did nothing: read again, then decide.
    Conflict,
    /// The operation may or may not have happened: read what is there, then decide.
    Unknown,
    /// The receipt is no longer the newest of its message: another receiver may hold it, so stop working on it.
    LeaseLost,
    /// The body is larger than the contract allows: send less.
    TooLarge,
    /// The request can never succeed as it is: mend the caller.
    InvalidInput,
    /// The credentials do not allow it: a person must mend them.
    Denied,
    /// The provider asks for fewer requests: come back after the given time when there is one.
    Throttled {
        /// Time that the provider asked to wait.
        after: Option<Duration>,
    },
    /// The provider is out of reach, or too slow: try again within the budget.
    Unavailable,
    /// The provider has no room: nothing was stored; free some.
    Full,
    /// What was read is not what was written: never use it.
    Corrupt,
    /// A defect of ours: report it.
    Internal,
}

/// An operation that failed: on what, how, and why.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    subject: String,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind` from `operation` ("put", "receive") on `subject` (a key, a queue).
    pub fn new(kind: ErrorKind, operation: &'static str, subject: impl Into<String>) -> Self {
        Self { kind, operation, subject: subject.into(), source: None }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller does next.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Name of the operation that failed.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether the same request may succeed later without anybody's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Throttled { .. } | ErrorKind::Unavailable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::NotFound => "there is no such blob",
            ErrorKind::Conflict => "another writer was faster, or the blob is not as expected",
            ErrorKind::Unknown => "the outcome is unknown; read before trying again",
            ErrorKind::LeaseLost => "the message's lease has passed to another receiver",
            ErrorKind::TooLarge => "the body is larger than the store accepts",
            ErrorKind::InvalidInput => "the store cannot accept this request",
            ErrorKind::Denied => "the store denies access; check the credentials and their permissions",
            ErrorKind::Throttled { .. } => "the store asks for fewer requests",
            ErrorKind::Unavailable => "the store is out of reach",
            ErrorKind::Full => "the store has no room left; free some space",
            ErrorKind::Corrupt => "what is stored is damaged",
            ErrorKind::Internal => "the adapter failed in an unforeseen way",
        };
        write!(formatter, "{} {}: {what}", self.operation, self.subject)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
