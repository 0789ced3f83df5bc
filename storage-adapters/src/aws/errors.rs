//! What an answer of S3 or SQS, or the lack of one, means to a caller of the ports: one table a service. No I/O.

use std::{error::Error as StdError, fmt, time::Duration};

use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::{ErrorMetadata, metadata::ProvideErrorMetadata};

use super::credentials::CredentialsError;
use crate::error::{Error, ErrorKind};

/// Code of the answer to a conditional write that met another one in the middle, and did nothing.
pub(super) const BUSY: &str = "ConditionalRequestConflict";

/// A service, whose codes mean what its own table says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    S3,
    Sqs,
}

/// What is being done, to what: turns a fault into the port's error.
#[derive(Clone, Debug)]
pub(super) struct Task {
    service: Service,
    operation: &'static str,
    subject: String,
    unheard: ErrorKind,
}

impl Task {
    /// A task that may be done twice without harm, so that one whose answer was lost is `Unavailable`.
    pub(super) fn new(service: Service, operation: &'static str, subject: impl Into<String>) -> Self {
        Self { service, operation, subject: subject.into(), unheard: ErrorKind::Unavailable }
    }

    /// A task of which the caller has to find out whether it was done when the answer was lost.
    pub(super) fn once(self) -> Self {
        Self { unheard: ErrorKind::Unknown, ..self }
    }

    /// A step of the task that may be done twice without harm.
    pub(super) fn again(self) -> Self {
        Self { unheard: ErrorKind::Unavailable, ..self }
    }

    /// The kind of its error when nobody knows whether it was done.
    pub(super) fn unheard(&self) -> ErrorKind {
        self.unheard
    }

    /// The task failed in a way that the adapter itself understood.
    pub(super) fn fail(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.operation, self.subject.clone())
    }

    /// The task failed with a reason in words.
    pub(super) fn explain(&self, kind: ErrorKind, reason: impl Into<String>) -> Error {
        self.fail(kind).with_source(reason.into())
    }

    /// An answer was no success, or there was none.
    pub(super) fn sdk<E>(&self, fault: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        if let Some(credentials) = find::<CredentialsError>(&fault) {
            let kind = if credentials.is_passing() { ErrorKind::Unavailable } else { ErrorKind::Denied };
            return self.fail(kind).with_source(fault);
        }
        match Answer::read(&fault) {
            Some(answer) => {
                let kind = self.kind_of(&answer);
                self.fail(kind).with_source(answer)
            }
            None => self.fail(self.kind_without_answer(&fault)).with_source(fault),
        }
    }

    /// An entry of a batch was no success, although the batch was answered.
    pub(super) fn entry(&self, code: &str, message: Option<&str>) -> Error {
        let answer =
            Answer { status: 400, code: Some(code.to_owned()), message: message.map(str::to_owned), after: None };
        let kind = self.kind_of(&answer);
        self.fail(kind).with_source(answer)
    }

    fn kind_of(&self, answer: &Answer) -> ErrorKind {
        let code = answer.code.as_deref().unwrap_or_default();
        let by_code = match self.service {
            Service::S3 => s3_code(code, answer.after),
            Service::Sqs => sqs_code(code, answer.after),
        };
        by_code.unwrap_or_else(|| self.kind_of_status(answer))
    }

    fn kind_of_status(&self, answer: &Answer) -> ErrorKind {
        match answer.status {
            // Only blobs can be missing; a queue was there when the store was opened.
            404 if matches!(self.service, Service::Sqs) => ErrorKind::Unavailable,
            // A success that cannot be read.
            200..=299 => self.unheard,
            403 | 401 => ErrorKind::Denied,
            404 => ErrorKind::NotFound,
            412 => ErrorKind::Conflict,
            413 => ErrorKind::TooLarge,
            // The server refused before it did anything.
            409 | 429 => ErrorKind::Throttled { after: answer.after },
            503 if answer.after.is_some() => ErrorKind::Throttled { after: answer.after },
            507 => ErrorKind::Full,
            // Another region's or another server's bucket, a server that is too slow or broken.
            300..=399 | 408 | 500 | 502..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        }
    }

    fn kind_without_answer<E>(&self, fault: &SdkError<E, HttpResponse>) -> ErrorKind
    where
        E: StdError + Send + Sync + 'static,
    {
        match fault {
            SdkError::ConstructionFailure(_) => ErrorKind::Internal,
            SdkError::DispatchFailure(failure) if failure.is_user() => ErrorKind::Internal,
            _ if was_never_sent(fault) => ErrorKind::Unavailable,
            _ => self.unheard,
        }
    }
}

/// Codes of S3 and of servers like it that say more than the status of their answer
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
fn s3_code(code: &str, after: Option<Duration>) -> Option<ErrorKind> {
    Some(match code {
        "NoSuchKey" => ErrorKind::NotFound,
        // It was there when the store was opened. Said to be a missing blob, it would look like an empty shop.
        "NoSuchBucket" | "NoSuchUpload" => ErrorKind::Unavailable,
        "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "OperationAborted" | BUSY => {
            ErrorKind::Throttled { after }
        }
        "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" => ErrorKind::Full,
        "EntityTooLarge" => ErrorKind::TooLarge,
        // The body was damaged, or stopped, on its way; nothing was stored.
        "BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody" | "RequestTimeout" => ErrorKind::Unavailable,
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => ErrorKind::Denied,
        _ => return None,
    })
}

/// Codes of SQS, of its two protocols
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html>).
fn sqs_code(code: &str, after: Option<Duration>) -> Option<ErrorKind> {
    Some(match code.trim_start_matches("AWS.SimpleQueueService.") {
        "QueueDoesNotExist"
        | "NonExistentQueue"
        | "QueueDeletedRecently"
        | "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable" => ErrorKind::Unavailable,
        "RequestThrottled"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "OverLimit"
        | "KmsThrottled" => ErrorKind::Throttled { after },
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => ErrorKind::LeaseLost,
        "AccessDenied"
        | "AccessDeniedException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidSecurity"
        | "KmsAccessDenied"
        | "KmsDisabled"
        | "KmsInvalidKeyUsage"
        | "KmsInvalidState"
        | "KmsNotFound"
        | "KmsOptInRequired" => ErrorKind::Denied,
        "InvalidMessageContents" => ErrorKind::InvalidInput,
        _ => return None,
    })
}

/// What a server answered instead of a success.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    message: Option<String>,
    after: Option<Duration>,
}

impl Answer {
    /// The answer in `fault`, if there was one.
    pub(super) fn read<E>(fault: &SdkError<E, HttpResponse>) -> Option<Self>
    where
        E: ProvideErrorMetadata,
    {
        let raw = fault.raw_response()?;
        let metadata = fault.as_service_error().map(ProvideErrorMetadata::meta);
        let text = |of: fn(&ErrorMetadata) -> Option<&str>| metadata.and_then(of).map(str::to_owned);
        let after = raw.headers().get("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        Some(Self {
            status: raw.status().as_u16(),
            code: text(ErrorMetadata::code),
            message: text(ErrorMetadata::message),
            after,
        })
    }

    /// Whether it carries this code.
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the server answered {}", self.status)?;
        for (separator, text) in [(" ", &self.code), (": ", &self.message)] {
            if let Some(text) = text {
                write!(formatter, "{separator}{text}")?;
            }
        }
        Ok(())
    }
}

impl StdError for Answer {}

/// Whether a request failed before a connection was there.
pub(super) fn was_never_sent(fault: &(dyn StdError + 'static)) -> bool {
    find::<hyper_util::client::legacy::Error>(fault).is_some_and(hyper_util::client::legacy::Error::is_connect)
}

/// The first cause of a type.
fn find<'a, Cause: StdError + 'static>(fault: &'a (dyn StdError + 'static)) -> Option<&'a Cause> {
    std::iter::successors(Some(fault), |&fault| fault.source()).find_map(|fault| fault.downcast_ref())
}
