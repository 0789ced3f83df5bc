//! Which provider a shop's store lives on, as the operator renders it and the pods read it. No I/O.
//!
//! In a file it is whatever `serde` makes of it, for us TOML. No secret stands in it: credentials are named by where they
//! are found.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Where a store's blobs and messages live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Provider {
    /// AWS: S3 and SQS.
    Aws,
    /// Azure: Blob Storage and Queue Storage.
    Azure,
    /// The machine's own disk.
    Embedded,
}

impl Provider {
    /// Whether a receive that waits is held by the service: what is sent meanwhile is given to it although it was dropped, and
    /// comes again only when its lease ends. Others look again and again by themselves.
    #[must_use]
    pub fn holds_receives(self) -> bool {
        match self {
            Self::Aws => true,
            Self::Azure | Self::Embedded => false,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Aws => "Aws",
            Self::Azure => "Azure",
            Self::Embedded => "Embedded",
        })
    }
}

/// A store: its provider and that provider's settings. Settings of other providers may stand beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The provider in use.
    pub provider: Provider,
    /// Settings of [`Provider::Aws`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsConfig>,
    /// Settings of [`Provider::Azure`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureConfig>,
    /// Settings of [`Provider::Embedded`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedConfig>,
}

/// Settings of the AWS adapter: a bucket of S3 and a standard queue of SQS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    /// Region of both, such as `eu-central-1`.
    pub region: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Name of the queue.
    pub queue: String,
    /// Servers other than those of AWS that speak its protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Where the credentials are found.
    pub credentials: AwsCredentials,
}

/// Where the credentials for AWS are found; nowhere else is ever looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum AwsCredentials {
    /// The pod's own identity: with a role, a web identity token that is exchanged for the role (IRSA), as the variables
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` says; without, EKS Pod Identity, as the `AWS_CONTAINER_*` variables say.
    WorkloadIdentity {
        /// The role to take.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role_arn: Option<String>,
    },
    /// A mounted Secret: files named as the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where there is
    /// one, `AWS_SESSION_TOKEN`. Read again when they change.
    Secret {
        /// Folder of the files.
        folder: PathBuf,
    },
    /// The variables of those names in the process's environment.
    Environment,
}

/// Settings of the Azure adapter: a container of Blob Storage and a queue of Queue Storage, of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureConfig {
    /// Name of the storage account.
    pub account: String,
    /// Name of the container.
    pub container: String,
    /// Name of the queue.
    pub queue: String,
    /// Servers other than those of Azure that speak its protocols; their paths begin with the account where they need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Where the credentials are found.
    pub credentials: AzureCredentials,
}

/// Where the credentials for Azure are found; nowhere else is ever looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum AzureCredentials {
    /// The pod's own identity: a token exchanged at Entra ID, as the variables `AZURE_TENANT_ID`, `AZURE_AUTHORITY_HOST`
    /// and `AZURE_FEDERATED_TOKEN_FILE` say.
    WorkloadIdentity {
        /// Application that the identity belongs to.
        client_id: String,
    },
    /// A mounted Secret: one file named as the variable `AZURE_STORAGE_CONNECTION_STRING`, `AZURE_STORAGE_SAS_TOKEN` or
    /// `AZURE_STORAGE_KEY`. Read again when it changes.
    Secret {
        /// Folder of the file.
        folder: PathBuf,
    },
    /// The variable of one of those names in the process's environment.
    Environment,
}

/// Servers that stand in for a cloud's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// URL of the server of blobs; the cloud's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<Url>,
    /// URL of the server of the queue; the cloud's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Url>,
    /// Whether requests may leave the machine unencrypted.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// File of certificates in PEM to trust in place of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Settings of the Embedded adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Folder that holds blobs and messages, on a local file system that all processes of the shop share.
    pub path: PathBuf,
}

/// A configuration that describes no store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageConfigError {
    /// A provider is named whose settings are missing.
    #[error("the provider is {0}, but its settings are missing; add the table of its name")]
    NoSettings(Provider),
    /// A path depends on where the process was started.
    #[error("the path '{0}' is not absolute; write the whole path, beginning with '/'")]
    RelativePath(PathBuf),
    /// A path cannot be written into a file.
    #[error("the path '{0}' is no text of UTF-8; use another folder")]
    UnreadablePath(PathBuf),
    /// A name that the provider cannot know.
    #[error("'{name}' is no {what}; write {rule}")]
    BadName {
        /// What was named.
        what: &'static str,
        /// The name.
        name: String,
        /// What such a name looks like.
        rule: &'static str,
    },
    /// A URL that names no server.
    #[error("'{0}' is no address of a server; write https://HOST or https://HOST:PORT")]
    BadEndpoint(Url),
    /// Requests would leave the machine unencrypted.
    #[error("'{0}' is not encrypted; write https://, or allow plain http where the network is to be trusted")]
    PlainHttp(Url),
}

impl StorageConfig {
    /// Checks what the types cannot say, of every provider whose settings there are.
    ///
    /// # Errors
    /// When a setting is missing or cannot be meant.
    pub fn validate(&self) -> Result<(), StorageConfigError> {
        let Self { provider, aws, azure, embedded } = self;
        let is_described = match provider {
            Provider::Aws => aws.is_some(),
            Provider::Azure => azure.is_some(),
            Provider::Embedded => embedded.is_some(),
        };
        if !is_described {
            return Err(StorageConfigError::NoSettings(*provider));
        }
        aws.as_ref().map_or(Ok(()), AwsConfig::validate)?;
        azure.as_ref().map_or(Ok(()), AzureConfig::validate)?;
        embedded.as_ref().map_or(Ok(()), EmbeddedConfig::validate)
    }

    /// These settings, with those of `other` beside them where its provider has none here.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        Self {
            provider: self.provider,
            aws: self.aws.or(other.aws),
            azure: self.azure.or(other.azure),
            embedded: self.embedded.or(other.embedded),
        }
    }

    /// The other providers whose settings stand beside those of the one in use, each as if it were that.
    pub fn others(&self) -> impl Iterator<Item = Self> {
        let Self { provider, aws, azure, embedded } = self.clone();
        let others = [aws.map(Self::from), azure.map(Self::from), embedded.map(Self::from)];
        others.into_iter().flatten().filter(move |other| other.provider != provider)
    }
}

impl fmt::Display for StorageConfig {
    /// The provider, and where in it the store is.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, aws, azure, embedded } = self;
        write!(formatter, "{provider}")?;
        match provider {
            Provider::Aws => aws.as_ref().map_or(Ok(()), |AwsConfig { region, bucket, queue, .. }| {
                write!(formatter, ": bucket {bucket} and queue {queue} in {region}")
            }),
            Provider::Azure => azure.as_ref().map_or(Ok(()), |AzureConfig { account, container, queue, .. }| {
                write!(formatter, ": container {container} and queue {queue} of the account {account}")
            }),
            Provider::Embedded => {
                embedded.as_ref().map_or(Ok(()), |EmbeddedConfig { path }| write!(formatter, ": {}", path.display()))
            }
        }
    }
}

impl From<AwsConfig> for StorageConfig {
    fn from(aws: AwsConfig) -> Self {
        Self { provider: Provider::Aws, aws: Some(aws), azure: None, embedded: None }
    }
}

impl From<AzureConfig> for StorageConfig {
    fn from(azure: AzureConfig) -> Self {
        Self { provider: Provider::Azure, aws: None, azure: Some(azure), embedded: None }
    }
}

impl From<EmbeddedConfig> for StorageConfig {
    fn from(embedded: EmbeddedConfig) -> Self {
        Self { provider: Provider::Embedded, aws: None, azure: None, embedded: Some(embedded) }
    }
}

impl AwsConfig {
    fn validate(&self) -> Result<(), StorageConfigError> {
        let Self { region, bucket, queue, endpoint, credentials } = self;
        let hyphenated = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        name("region of AWS", region, "its code, such as eu-central-1", 1..=32, hyphenated)?;
        let of_bucket = |byte: u8| hyphenated(byte) || byte == b'.';
        name("bucket of S3", bucket, "3 to 63 lower-case letters, digits, '-' and '.'", 3..=63, of_bucket)?;
        let of_queue = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        name("standard queue of SQS", queue, "1 to 80 letters, digits, '-' and '_'", 1..=80, of_queue)?;
        if let AwsCredentials::Secret { folder } = credentials {
            absolute(folder)?;
        }
        endpoint.as_ref().map_or(Ok(()), Endpoint::validate)
    }
}

impl AzureConfig {
    fn validate(&self) -> Result<(), StorageConfigError> {
        let Self { account, container, queue, endpoint, credentials } = self;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        name("storage account of Azure", account, "3 to 24 lower-case letters and digits", 3..=24, plain)?;
        let hyphenated = |byte: u8| plain(byte) || byte == b'-';
        let rule = "3 to 63 lower-case letters, digits and '-'";
        name("container of Blob Storage", container, rule, 3..=63, hyphenated)?;
        name("queue of Queue Storage", queue, rule, 3..=63, hyphenated)?;
        if let AzureCredentials::Secret { folder } = credentials {
            absolute(folder)?;
        }
        endpoint.as_ref().map_or(Ok(()), Endpoint::validate)
    }
}

impl Endpoint {
    fn validate(&self) -> Result<(), StorageConfigError> {
        let Self { blob, queue, allow_plain_http, ca_file } = self;
        for url in [blob, queue].into_iter().flatten() {
            let is_loopback = match url.host() {
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                Some(Host::Domain(domain)) => domain == "localhost",
                None => return Err(StorageConfigError::BadEndpoint(url.clone())),
            };
            match url.scheme() {
                "https" => {}
                "http" if is_loopback || *allow_plain_http => {}
                "http" => return Err(StorageConfigError::PlainHttp(url.clone())),
                _ => return Err(StorageConfigError::BadEndpoint(url.clone())),
            }
        }
        ca_file.as_deref().map_or(Ok(()), absolute)
    }
}

impl EmbeddedConfig {
    fn validate(&self) -> Result<(), StorageConfigError> {
        absolute(&self.path)
    }
}

fn absolute(path: &Path) -> Result<(), StorageConfigError> {
    if !path.is_absolute() {
        return Err(StorageConfigError::RelativePath(path.to_owned()));
    }
    if path.to_str().is_none() {
        return Err(StorageConfigError::UnreadablePath(path.to_owned()));
    }
    Ok(())
}

fn name(
    what: &'static str,
    name: &str,
    rule: &'static str,
    length: std::ops::RangeInclusive<usize>,
    is_legal: impl Fn(u8) -> bool,
) -> Result<(), StorageConfigError> {
    if length.contains(&name.len()) && name.bytes().all(is_legal) {
        return Ok(());
    }
    Err(StorageConfigError::BadName { what, name: name.to_owned(), rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> StorageConfig {
        toml::from_str(text).expect("a configuration")
    }

    const EMBEDDED: &str = "provider = \"Embedded\"\n\n[embedded]\npath = \"/var/lib/cloudshop\"\n";

    const BOTH_CLOUDS: &str = r#"provider = "Aws"

[aws]
region = "eu-central-1"
bucket = "corner-shop"
queue = "corner-shop"

[aws.credentials.workload_identity]
role_arn = "arn:aws:iam::123456789012:role/corner"

[azure]
account = "cornershop"
container = "shop"
queue = "shop"

[azure.endpoint]
blob = "http://198.18.0.1:10000/cornershop"
queue = "http://198.18.0.1:10001/cornershop"
allow_plain_http = true

[azure.credentials.secret]
folder = "/etc/cloudshop/azure"
"#;

    #[test]
    fn a_configuration_reads_from_a_file_as_it_was_rendered() {
        for text in [EMBEDDED, BOTH_CLOUDS] {
            let config = read(text);
            assert_eq!(config.validate(), Ok(()));
            assert_eq!(toml::to_string(&config).expect("rendered"), text);
        }
    }

    #[test]
    fn others_stand_beside_each_as_if_it_were_in_use() {
        let both = read(BOTH_CLOUDS);
        let others: Vec<_> = both.others().collect();
        assert_eq!(others, [StorageConfig::from(both.azure.clone().expect("settings"))]);
        let with_disk = read(EMBEDDED).beside(both.clone());
        assert_eq!(with_disk.provider, Provider::Embedded);
        let beside = |config: &StorageConfig| config.others().map(|other| other.provider).collect::<Vec<_>>();
        assert_eq!(beside(&with_disk), [Provider::Aws, Provider::Azure]);
        assert_eq!(beside(&others[0].clone().beside(with_disk)), [Provider::Aws, Provider::Embedded]);
    }

    #[test]
    fn a_file_with_an_unknown_field_is_refused() {
        let text = "provider = \"Embedded\"\npath = \"/data\"\n";
        assert!(toml::from_str::<StorageConfig>(text).expect_err("refused").to_string().contains("path"));
    }

    #[test]
    fn each_configuration_that_cannot_be_meant_is_refused_with_what_to_write() {
        let table = [
            (EMBEDDED, "\"/var", "\"var", "the path 'var/lib/cloudshop' is not absolute"),
            (EMBEDDED, "\"Embedded\"", "\"Aws\"", "the provider is Aws, but its settings are missing"),
            (BOTH_CLOUDS, "\"Aws\"", "\"Embedded\"", "the provider is Embedded, but its settings are missing"),
            (BOTH_CLOUDS, "eu-central-1", "", "'' is no region of AWS; write its code"),
            (BOTH_CLOUDS, "bucket = \"corner-shop\"", "bucket = \"Corner\"", "'Corner' is no bucket of S3"),
            (BOTH_CLOUDS, "queue = \"corner-shop\"", "queue = \"a.fifo\"", "'a.fifo' is no standard queue of SQS"),
            (BOTH_CLOUDS, "\"cornershop\"", "\"corner-shop\"", "'corner-shop' is no storage account of Azure"),
            (BOTH_CLOUDS, "container = \"shop\"", "container = \"s\"", "'s' is no container of Blob Storage"),
            (BOTH_CLOUDS, "allow_plain_http = true", "", "'http://198.18.0.1:10000/cornershop' is not encrypted"),
            (BOTH_CLOUDS, "http://198.18.0.1:10001", "ftp://198.18.0.1", "'ftp://198.18.0.1/cornershop' is no address"),
            (BOTH_CLOUDS, "\"/etc", "\"etc", "the path 'etc/cloudshop/azure' is not absolute"),
        ];
        for (text, good, bad, message) in table {
            let refusal = read(&text.replace(good, bad)).validate().expect_err("refused").to_string();
            assert!(refusal.starts_with(message), "{refusal}");
        }
    }

    #[test]
    fn plain_http_may_stay_on_the_machine() {
        for host in ["127.0.0.1:5000", "[::1]:5000", "localhost:5000"] {
            let text = BOTH_CLOUDS.replace("198.18.0.1:10000", host).replace("198.18.0.1:10001", host);
            assert_eq!(read(&text.replace("allow_plain_http = true", "")).validate(), Ok(()));
        }
    }
}
