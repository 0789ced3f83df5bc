//! A Shop's store in a cloud: the config that its pods read, and what they need from the cluster to use it. No I/O.

use storage_adapters::config::{AwsConfig, AwsCredentials, AzureConfig, AzureCredentials, Endpoint, StorageConfig};
use url::Url;

use crate::{
    api::{AwsIdentitySpec, AwsSpec, AzureIdentitySpec, AzureSpec, EndpointSpec, StorageProvider},
    constants::{CA_KEY, SECRETS_DIRECTORY},
    validate::ValidationError,
};

/// A store in a cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudStore {
    /// Which cloud.
    pub provider: StorageProvider,
    /// What the pods are told.
    pub config: StorageConfig,
    /// How the pods prove who they are.
    pub credentials: Credentials,
    /// Secret with the certificates to trust.
    pub ca_secret: Option<String>,
}

/// A Secret of the user's that the pods mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedSecret {
    /// Name of its volume.
    pub volume: &'static str,
    /// The Secret.
    pub name: String,
}

impl MountedSecret {
    /// Where the pods find it.
    #[must_use]
    pub fn folder(&self) -> String {
        folder(self.volume)
    }
}

/// Volumes of the Secret with credentials and of the one with certificates, by cloud.
const AWS_VOLUMES: (&str, &str) = ("aws", "aws-ca");
const AZURE_VOLUMES: (&str, &str) = ("azure", "azure-ca");

/// How the pods prove to a cloud who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// By the keys in a Secret.
    Secret(String),
    /// By their service account, which names a role of IAM.
    AwsRole(String),
    /// By their service account, through EKS Pod Identity.
    AwsPodIdentity,
    /// By their service account, which names a client of Entra ID.
    AzureClient(String),
}

impl CloudStore {
    /// Checks the settings of the provider Aws.
    ///
    /// # Errors
    /// When they describe no store.
    pub fn aws(spec: &AwsSpec) -> Result<Self, ValidationError> {
        let AwsSpec { region, bucket, queue, endpoint, credentials } = spec;
        let kinds = (&credentials.workload_identity, &credentials.secret_name);
        let (credentials, found_at) = match kinds {
            (Some(AwsIdentitySpec { role_arn: Some(role) }), None) => {
                (Credentials::AwsRole(role.clone()), AwsCredentials::WorkloadIdentity { role_arn: Some(role.clone()) })
            }
            (Some(AwsIdentitySpec { role_arn: None }), None) => {
                (Credentials::AwsPodIdentity, AwsCredentials::WorkloadIdentity { role_arn: None })
            }
            (None, Some(secret)) => {
                let folder = folder(AWS_VOLUMES.0).into();
                (Credentials::Secret(secret.clone()), AwsCredentials::Secret { folder })
            }
            _ => return Err(not_one_kind("spec.storage.aws.credentials")),
        };
        let config = AwsConfig {
            region: region.clone(),
            bucket: bucket.clone(),
            queue: queue.clone(),
            endpoint: endpoint.as_ref().map(|spec| server(spec, AWS_VOLUMES.1)).transpose()?,
            credentials: found_at,
        };
        Self::checked(StorageProvider::Aws, config.into(), credentials, endpoint.as_ref())
    }

    /// Checks the settings of the provider Azure.
    ///
    /// # Errors
    /// When they describe no store.
    pub fn azure(spec: &AzureSpec) -> Result<Self, ValidationError> {
        let AzureSpec { account, container, queue, endpoint, credentials } = spec;
        let kinds = (&credentials.workload_identity, &credentials.secret_name);
        let (credentials, found_at) = match kinds {
            (Some(AzureIdentitySpec { client_id }), None) => (
                Credentials::AzureClient(client_id.clone()),
                AzureCredentials::WorkloadIdentity { client_id: client_id.clone() },
            ),
            (None, Some(secret)) => {
                let folder = folder(AZURE_VOLUMES.0).into();
                (Credentials::Secret(secret.clone()), AzureCredentials::Secret { folder })
            }
            _ => return Err(not_one_kind("spec.storage.azure.credentials")),
        };
        let config = AzureConfig {
            account: account.clone(),
            container: container.clone(),
            queue: queue.clone(),
            endpoint: endpoint.as_ref().map(|spec| server(spec, AZURE_VOLUMES.1)).transpose()?,
            credentials: found_at,
        };
        Self::checked(StorageProvider::Azure, config.into(), credentials, endpoint.as_ref())
    }

    fn checked(
        provider: StorageProvider,
        config: StorageConfig,
        credentials: Credentials,
        endpoint: Option<&EndpointSpec>,
    ) -> Result<Self, ValidationError> {
        config.validate()?;
        let ca_secret = endpoint.and_then(|endpoint| endpoint.ca_secret_name.clone());
        Ok(Self { provider, config, credentials, ca_secret })
    }

    /// The Secrets that the pods mount to use it.
    pub fn secrets(&self) -> impl Iterator<Item = MountedSecret> {
        let (of_credentials, of_certificates) = match self.provider {
            StorageProvider::Azure => AZURE_VOLUMES,
            StorageProvider::Aws | StorageProvider::Embedded => AWS_VOLUMES,
        };
        let credentials = match &self.credentials {
            Credentials::Secret(name) => Some(name),
            Credentials::AwsRole(_) | Credentials::AwsPodIdentity | Credentials::AzureClient(_) => None,
        };
        let mounted = |volume, name: &String| MountedSecret { volume, name: name.clone() };
        [(of_credentials, credentials), (of_certificates, self.ca_secret.as_ref())]
            .into_iter()
            .filter_map(move |(volume, name)| Some(mounted(volume, name?)))
    }

    /// Ports that the pods connect to in order to reach it.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let StorageConfig { aws, azure, .. } = &self.config;
        let endpoint = aws
            .as_ref()
            .and_then(|aws| aws.endpoint.as_ref())
            .or_else(|| azure.as_ref().and_then(|azure| azure.endpoint.as_ref()));
        let urls = [endpoint.and_then(|found| found.blob.as_ref()), endpoint.and_then(|found| found.queue.as_ref())];
        let of_cloud = urls.contains(&None);
        let exchanges_identity = matches!(self.credentials, Credentials::AwsRole(_) | Credentials::AzureClient(_));
        let mut ports: Vec<_> = urls.into_iter().flatten().filter_map(Url::port_or_known_default).collect();
        if of_cloud || exchanges_identity {
            ports.push(443);
        }
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// Where the pods find what is in this volume.
fn folder(volume: &str) -> String {
    format!("{SECRETS_DIRECTORY}/{volume}")
}

fn server(spec: &EndpointSpec, volume_of_certificates: &str) -> Result<Endpoint, ValidationError> {
    let EndpointSpec { blob, queue, allow_plain_http, ca_secret_name } = spec;
    let url = |text: &Option<String>| {
        text.as_ref()
            .map(|text| {
                Url::parse(text).map_err(|_| ValidationError::Field {
                    field: "spec.storage: endpoint",
                    found: text.clone(),
                    expected: "the URL of a server, such as https://minio.example.org:9000",
                })
            })
            .transpose()
    };
    Ok(Endpoint {
        blob: url(blob)?,
        queue: url(queue)?,
        allow_plain_http: *allow_plain_http,
        ca_file: ca_secret_name.as_ref().map(|_| format!("{}/{CA_KEY}", folder(volume_of_certificates)).into()),
    })
}

fn not_one_kind(field: &'static str) -> ValidationError {
    ValidationError::Field {
        field,
        found: "none or several kinds".into(),
        expected: "either workloadIdentity or secretName",
    }
}
