//! What an answer of Azure, or none, means to a caller of the ports: one table. No I/O.
//!
//! The codes are those of <https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes> and of its
//! sister pages on blobs and queues.

use std::{fmt, time::Duration};

use azure_core::error::ErrorKind as SdkKind;

use crate::error::{Error, ErrorKind};

/// What is being done, to what, and what it means when no answer comes.
#[derive(Clone, Debug)]
pub(super) struct Task {
    operation: &'static str,
    subject: String,
    when_unheard: ErrorKind,
}

/// What the service answered, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    code: String,
    request: String,
    after: Option<Duration>,
}

impl Task {
    /// Something that may be done twice.
    pub(super) fn repeatable(operation: &'static str, subject: impl Into<String>) -> Self {
        Self { operation, subject: subject.into(), when_unheard: ErrorKind::Unavailable }
    }

    /// Something of which the caller has to find out whether it happened.
    pub(super) fn uncertain(operation: &'static str, subject: impl Into<String>) -> Self {
        Self { operation, subject: subject.into(), when_unheard: ErrorKind::Unknown }
    }

    /// The task failed in a way that the adapter itself understood.
    pub(super) fn fail(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.operation, self.subject.clone())
    }

    /// The task failed with a reason in words.
    pub(super) fn explain(&self, kind: ErrorKind, reason: impl Into<String>) -> Error {
        self.fail(kind).with_source(reason.into())
    }

    /// An answer that lacks something it always has.
    pub(super) fn incomplete(&self, what: &str) -> Error {
        let kind = if self.when_unheard == ErrorKind::Unknown { ErrorKind::Unknown } else { ErrorKind::Internal };
        self.explain(kind, format!("the answer has no legible {what}"))
    }

    /// The SDK says that it failed.
    pub(super) fn sdk(&self, fault: azure_core::Error) -> Error {
        match Answer::of(&fault) {
            Some(answer) => self.fail(self.kind_of(&answer)).with_source(answer),
            None => self.fail(self.kind_without_answer(&fault)).with_source(fault),
        }
    }

    fn kind_of(&self, answer: &Answer) -> ErrorKind {
        match (answer.status, answer.code.as_str()) {
            (404, "BlobNotFound") => ErrorKind::NotFound,
            (409, "BlobAlreadyExists") | (412, "ConditionNotMet" | "TargetConditionNotMet") => ErrorKind::Conflict,
            (404, "MessageNotFound") | (400, "PopReceiptMismatch") => ErrorKind::LeaseLost,
            (400, "InvalidMetadata" | "MetadataTooLarge" | "EmptyMetadataKey") => ErrorKind::InvalidInput,
            (413, _) => ErrorKind::TooLarge,
            (401 | 403, _) | (409, "BlobImmutableDueToPolicy" | "SnapshotsPresent") => ErrorKind::Denied,
            (429, _) | (503, "ServerBusy") => ErrorKind::Throttled { after: answer.after },
            // The service stopped waiting for the request or for itself: it may have happened.
            (408 | 500.., _) => self.when_unheard,
            // The container or queue is missing or goes away, a proxy knows no such page, a blob is held by a lease of
            // somebody: a person can mend it, and nothing was done.
            (404 | 409 | 412, _) => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        }
    }

    fn kind_without_answer(&self, fault: &azure_core::Error) -> ErrorKind {
        match fault.kind() {
            SdkKind::Connection => ErrorKind::Unavailable,
            SdkKind::Io => self.when_unheard,
            SdkKind::Credential => kind_of_credential(fault),
            _ if self.when_unheard == ErrorKind::Unknown => ErrorKind::Unknown,
            _ => ErrorKind::Internal,
        }
    }
}

/// Whether the SDK had no credentials to send because they are wrong.
pub(super) fn is_refused_credential(fault: &azure_core::Error) -> bool {
    *fault.kind() == SdkKind::Credential && kind_of_credential(fault) == ErrorKind::Denied
}

/// Whether credentials are wrong, or only could not be asked for. In either case nothing was sent to the store.
fn kind_of_credential(fault: &azure_core::Error) -> ErrorKind {
    let mut cause = fault.get_ref().and_then(|cause| cause.downcast_ref::<azure_core::Error>());
    while let Some(fault) = cause {
        match fault.kind() {
            SdkKind::Connection | SdkKind::Io => return ErrorKind::Unavailable,
            SdkKind::HttpResponse { status, .. } if u16::from(*status) >= 500 || u16::from(*status) == 429 => {
                return ErrorKind::Unavailable;
            }
            _ => cause = fault.get_ref().and_then(|cause| cause.downcast_ref::<azure_core::Error>()),
        }
    }
    ErrorKind::Denied
}

impl Answer {
    /// The answer within an error of the SDK; absent when there was none.
    pub(super) fn of(fault: &azure_core::Error) -> Option<Self> {
        let SdkKind::HttpResponse { status, error_code, raw_response } = fault.kind() else { return None };
        let header = |name: &'static str| raw_response.as_ref()?.headers().get_optional_string(&name.into());
        let number = |name| header(name)?.parse().ok();
        let after = number("retry-after-ms").or_else(|| number("x-ms-retry-after-ms")).map(Duration::from_millis);
        Some(Self {
            status: (*status).into(),
            // Where there is no code the SDK gives a text of its own.
            code: header("x-ms-error-code").or_else(|| error_code.clone()).unwrap_or_default(),
            request: header("x-ms-request-id").unwrap_or_default(),
            after: after.or_else(|| number("retry-after").map(Duration::from_secs)),
        })
    }

    pub(super) fn is(&self, status: u16, code: &str) -> bool {
        self.status == status && self.code == code
    }

    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status, 401 | 403)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, request, after: _ } = self;
        write!(formatter, "the service answered {status} {code}")?;
        let advice = match code.as_str() {
            "ContainerNotFound" => "the container is not there; create it again with 'az storage container create'",
            "QueueNotFound" => "the queue is not there; create it again with 'az storage queue create'",
            "ContainerBeingDeleted" | "QueueBeingDeleted" => "it is being deleted; create it again, or use another one",
            "LeaseIdMissing" => "somebody holds a lease of the blob; end it with 'az storage blob lease break'",
            "SnapshotsPresent" => {
                "the blob has snapshots; remove them with 'az storage blob delete --delete-snapshots only'"
            }
            "AuthorizationPermissionMismatch" | "AuthorizationFailure" => {
                "the identity or the network is not allowed to do it"
            }
            "AuthenticationFailed" => "the credentials are wrong, have ended, or this machine's clock is wrong",
            _ => "",
        };
        if !advice.is_empty() {
            write!(formatter, ": {advice}")?;
        }
        if request.is_empty() { Ok(()) } else { write!(formatter, " (request {request})") }
    }
}

impl std::error::Error for Answer {}
