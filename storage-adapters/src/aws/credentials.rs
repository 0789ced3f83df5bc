//! The credentials for AWS, from the one place that the configuration names. Reads files; asks STS or the agent of EKS.
//!
//! Nowhere else is ever looked: above all not at the node's metadata service, whose role is not the shop's. Credentials
//! are kept until they have to be read again, and read again without a restart when they change.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials as Keys,
    provider::{ProvideCredentials, error::CredentialsError as SdkCredentialsError, future},
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use tokio::time::{Instant, timeout};

use super::{
    pod_identity::PodIdentity,
    secret::{self, Variables},
    web_identity::WebIdentity,
};
use crate::config::{AwsConfig, AwsCredentials};

/// How long the files of a Secret are not looked at again.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// How long before they expire credentials are renewed, when they live long enough.
const RENEW_AHEAD: Duration = Duration::from_mins(5);

/// Pause after a renewal that failed while the old credentials still hold.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Longest time of one try to get credentials.
const LIMIT: Duration = Duration::from_secs(4);

/// Where credentials are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsKind {
    /// Files of a mounted Secret.
    Secret,
    /// Variables of the process.
    Environment,
    /// A web identity token, exchanged for a role.
    WebIdentity,
    /// The agent of EKS Pod Identity.
    PodIdentity,
}

impl fmt::Display for CredentialsKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Secret => "the mounted Secret",
            Self::Environment => "the environment",
            Self::WebIdentity => "the workload identity with a role (IRSA)",
            Self::PodIdentity => "the workload identity without a role (EKS Pod Identity)",
        })
    }
}

/// Credentials that could not be got from where they are to be found.
#[derive(Debug, thiserror::Error)]
#[error("no credentials for AWS from {kind}: {what}; {remedy}")]
pub struct CredentialsError {
    kind: CredentialsKind,
    what: String,
    remedy: &'static str,
    is_passing: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl CredentialsError {
    /// A fault that a person must mend.
    pub(super) fn new(kind: CredentialsKind, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { kind, what: what.into(), remedy, is_passing: false, source: None }
    }

    /// A fault that may pass by itself.
    pub(super) fn passing(kind: CredentialsKind, what: impl Into<String>) -> Self {
        let remedy = "they are asked for again; look whether it is out of reach";
        Self { kind, what: what.into(), remedy, is_passing: true, source: None }
    }

    pub(super) fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Whether it may pass by itself.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.is_passing
    }
}

/// Credentials as they were found, and how long they are good.
pub(super) struct Found {
    pub(super) keys: Keys,
    pub(super) look_again: LookAgain,
}

/// When what was found is to be looked at again.
#[derive(Clone, Copy)]
pub(super) enum LookAgain {
    Never,
    Soon,
    BeforeItExpires(SystemTime),
}

enum Source {
    Secret(std::path::PathBuf),
    Environment(Variables),
    WebIdentity(WebIdentity),
    PodIdentity(PodIdentity),
}

#[derive(Clone)]
struct Kept {
    keys: Keys,
    renew_at: Option<Instant>,
    expires_at: Option<Instant>,
}

impl Kept {
    fn new(found: Found) -> Self {
        let now = Instant::now();
        let (renew_at, expires_at) = match found.look_again {
            LookAgain::Never => (None, None),
            LookAgain::Soon => (Some(now + READ_AGAIN), None),
            LookAgain::BeforeItExpires(at) => {
                let left = at.duration_since(SystemTime::now()).unwrap_or_default();
                (Some(now + left - RENEW_AHEAD.min(left / 2)), Some(now + left))
            }
        };
        Self { keys: found.keys, renew_at, expires_at }
    }

    fn is_fresh(&self) -> bool {
        self.renew_at.is_none_or(|at| Instant::now() < at)
    }

    fn is_good(&self) -> bool {
        self.expires_at.is_none_or(|at| Instant::now() < at)
    }
}

struct Shared {
    source: Source,
    kept: Mutex<Option<Kept>>,
    renewing: tokio::sync::Mutex<()>,
}

/// The credentials of one store, shared by its clients.
#[derive(Clone)]
pub(super) struct Credentials(Arc<Shared>);

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Credentials").field(&self.0.source.kind()).finish()
    }
}

impl Source {
    fn kind(&self) -> CredentialsKind {
        match self {
            Self::Secret(_) => CredentialsKind::Secret,
            Self::Environment(_) => CredentialsKind::Environment,
            Self::WebIdentity(_) => CredentialsKind::WebIdentity,
            Self::PodIdentity(_) => CredentialsKind::PodIdentity,
        }
    }

    async fn find(&self) -> Result<Found, CredentialsError> {
        match self {
            Self::Secret(folder) => secret::read(folder).await,
            Self::Environment(variables) => secret::from_environment(variables),
            Self::WebIdentity(identity) => identity.exchange().await,
            Self::PodIdentity(identity) => identity.ask().await,
        }
    }
}

impl Credentials {
    /// Credentials from the one place that `config` names. Nothing is read yet.
    pub(super) fn new(
        config: &AwsConfig,
        variables: &Variables,
        connector: &SharedHttpConnector,
    ) -> Result<Self, CredentialsError> {
        let source = match &config.credentials {
            AwsCredentials::Secret { folder } => Source::Secret(folder.clone()),
            AwsCredentials::Environment => Source::Environment(variables.clone()),
            AwsCredentials::WorkloadIdentity { role_arn: Some(role) } => {
                Source::WebIdentity(WebIdentity::new(&config.region, role, variables, connector)?)
            }
            AwsCredentials::WorkloadIdentity { role_arn: None } => {
                Source::PodIdentity(PodIdentity::new(variables, connector.clone())?)
            }
        };
        Ok(Self(Arc::new(Shared { source, kept: Mutex::default(), renewing: tokio::sync::Mutex::default() })))
    }

    /// Credentials that are good now.
    pub(super) async fn get(&self) -> Result<Keys, CredentialsError> {
        let kept = self.kept();
        match kept {
            Some(kept) if kept.is_fresh() && kept.is_good() => Ok(kept.keys),
            Some(kept) if kept.is_good() => match self.0.renewing.try_lock() {
                // Whoever renews them already spares the others the wait.
                Err(_) => Ok(kept.keys),
                Ok(_renewing) => Ok(self.renew().await.unwrap_or_else(|_| self.keep_for_now(kept))),
            },
            _ => {
                let _renewing = self.0.renewing.lock().await;
                match self.kept() {
                    Some(kept) if kept.is_good() => Ok(kept.keys),
                    _ => self.renew().await,
                }
            }
        }
    }

    fn kept(&self) -> Option<Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, kept: Kept) -> Keys {
        let keys = kept.keys.clone();
        *self.0.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        keys
    }

    /// The old ones may still be good, which the server knows; a Secret may be in the middle of its rotation.
    fn keep_for_now(&self, kept: Kept) -> Keys {
        self.keep(Kept { renew_at: Some(Instant::now() + TRY_AGAIN), ..kept })
    }

    async fn renew(&self) -> Result<Keys, CredentialsError> {
        let kind = self.0.source.kind();
        let too_slow = |_| Err(CredentialsError::passing(kind, format!("there was no answer within {LIMIT:?}")));
        let found = timeout(LIMIT, self.0.source.find()).await.unwrap_or_else(too_slow)?;
        Ok(self.keep(Kept::new(found)))
    }
}

impl ProvideCredentials for Credentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.get().await.map_err(SdkCredentialsError::provider_error) })
    }
}
