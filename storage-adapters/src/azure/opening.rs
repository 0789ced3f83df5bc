//! Opening a container and a queue: the clients of the SDK, and what is wrong when they cannot be used. Does I/O.

use std::{error::Error as StdError, path::PathBuf, sync::Arc};

use azure_core::{
    credentials::TokenCredential,
    http::{ClientOptions, Url, policies::Policy},
};
use azure_storage_blob::{
    BlobContainerClient, BlobContainerClientOptions, models::BlobContainerClientGetAccountInfoResultHeaders,
};
use azure_storage_queue::{QueueClient, QueueClientOptions};

use super::{
    copying::WholeCopies,
    errors::{Answer, is_refused_credential},
    identity,
    metering::Service,
    secret::{Environment, Place, SecretError},
    signing::Signatures,
    wire::{Connections, Wire, client_options, connections},
};
use crate::{
    config::{AzureConfig, AzureCredentials, Endpoint},
    decorators::Meter,
};

/// A store on Azure that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenAzureError {
    /// The TLS of this program cannot be set up.
    #[error("the encryption of this program cannot be set up; report this as a defect")]
    Tls(#[source] rustls::Error),
    /// The file of certificates cannot be used.
    #[error("the file of certificates '{path}' cannot be used: {reason}; give one in PEM, or leave 'ca_file' out")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A variable of the pod's identity is missing.
    #[error(
        "there is no workload identity for the client '{client}', as the variable {missing} is not set: label the pod \
         'azure.workload.identity/use: \"true\"' and name the client in its service account's annotation \
         'azure.workload.identity/client-id'"
    )]
    NoIdentity {
        /// The application.
        client: String,
        /// The variable.
        missing: &'static str,
    },
    /// The pod's identity cannot be used.
    #[error(
        "the workload identity of the client '{client}' cannot be used; check the AZURE_* variables and the token's file"
    )]
    BadIdentity {
        /// The application.
        client: String,
        /// What the SDK said.
        source: azure_core::Error,
    },
    /// A token would be sent unencrypted.
    #[error("'{0}' is not encrypted, and a workload identity is never sent in the clear; write https://")]
    IdentityOverPlainHttp(Url),
    /// No URL of a container or a queue comes from what is configured.
    #[error("'{0}' is no address of a storage account; write https://HOST or https://HOST:PORT")]
    BadEndpoint(String),
    /// There is no such container.
    #[error(
        "the storage account '{account}' has no container '{container}'; create it with \
         'az storage container create --account-name {account} --name {container} --auth-mode login'"
    )]
    NoContainer {
        /// The account.
        account: String,
        /// The container.
        container: String,
    },
    /// There is no such queue.
    #[error(
        "the storage account '{account}' has no queue '{queue}'; create it with \
         'az storage queue create --account-name {account} --name {queue} --auth-mode login'"
    )]
    NoQueue {
        /// The account.
        account: String,
        /// The queue.
        queue: String,
    },
    /// The service refuses the credentials.
    #[error("the storage account '{account}' refuses the credentials for the {what}; {advice}")]
    Denied {
        /// The account.
        account: String,
        /// The container or the queue.
        what: &'static str,
        /// What mends it.
        advice: String,
        /// What the service said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The account keeps blobs as files in folders.
    #[error(
        "the storage account '{0}' has a hierarchical namespace, where a blob cannot have blobs below it; use one created \
         with 'az storage account create --name NAME --resource-group GROUP --kind StorageV2 --sku Standard_ZRS'"
    )]
    Hierarchical(String),
    /// The service is out of reach, or does not answer as it should.
    #[error(
        "the {what} of the storage account '{account}' cannot be reached; check that \
         'az storage account show --name {account}' finds it, and the network's rules for port 443"
    )]
    Unreachable {
        /// The account.
        account: String,
        /// The container or the queue.
        what: &'static str,
        /// What happened.
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// The clients of one store.
pub(super) struct Clients {
    pub(super) container: BlobContainerClient,
    pub(super) queue: QueueClient,
}

/// What makes requests legitimate, as far as it differs between the two services.
struct Access {
    connections: Connections,
    signatures: Option<Arc<Signatures>>,
    identity: Option<Arc<dyn TokenCredential>>,
}

impl Access {
    fn options(&self, service: Service, meter: &Arc<Meter>) -> ClientOptions {
        let copies: Arc<dyn Policy> = Arc::new(WholeCopies(self.identity.clone()));
        let wire = Wire::new(self.connections.clone(), self.signatures.clone(), Some((service, Arc::clone(meter))));
        client_options(wire, vec![copies])
    }
}

impl Clients {
    /// Makes the clients, which reads the credentials and sends nothing.
    pub(super) async fn new(
        config: &AzureConfig,
        variables: &Environment,
        meter: &Arc<Meter>,
    ) -> Result<Self, OpenAzureError> {
        let AzureConfig { account, container, queue, endpoint, credentials } = config;
        let Endpoint { blob, queue: queues, allow_plain_http: _, ca_file } = endpoint.clone().unwrap_or_default();
        let container = below(blob.as_ref(), account, "blob", container)?;
        let queue = below(queues.as_ref(), account, "queue", queue)?;
        let connections = connections(ca_file.as_deref())?;
        let plain = [&container, &queue].into_iter().find(|url| url.scheme() != "https");
        let access = match credentials {
            AzureCredentials::WorkloadIdentity { client_id } => {
                if let Some(url) = plain {
                    return Err(OpenAzureError::IdentityOverPlainHttp(url.clone()));
                }
                let identity = identity::of_workload(client_id, variables, connections.clone())?;
                Access { connections, signatures: None, identity: Some(identity) }
            }
            AzureCredentials::Secret { .. } | AzureCredentials::Environment => {
                let place = match credentials {
                    AzureCredentials::Secret { folder } => Place::Folder(folder.clone()),
                    _ => Place::Environment(variables.clone()),
                };
                let signatures = Signatures::open(place, account, plain.is_some()).await?;
                Access { connections, signatures: Some(Arc::new(signatures)), identity: None }
            }
        };
        let options =
            BlobContainerClientOptions { client_options: access.options(Service::Blobs, meter), ..Default::default() };
        let container = BlobContainerClient::new(container.clone(), access.identity.clone(), Some(options))
            .map_err(|_| OpenAzureError::BadEndpoint(container.into()))?;
        let options =
            QueueClientOptions { client_options: access.options(Service::Queue, meter), ..Default::default() };
        let queue = QueueClient::new(queue.clone(), access.identity.clone(), Some(options))
            .map_err(|_| OpenAzureError::BadEndpoint(queue.into()))?;
        Ok(Self { container, queue })
    }

    /// Looks whether both are there and may be used.
    pub(super) async fn check(&self, config: &AzureConfig) -> Result<(), OpenAzureError> {
        let AzureConfig { account, container, queue, .. } = config;
        if let Err(fault) = self.container.get_properties(None).await {
            let missing = OpenAzureError::NoContainer { account: account.clone(), container: container.clone() };
            return Err(judge(config, "container", ("ContainerNotFound", missing), fault));
        }
        if let Err(fault) = self.queue.get_properties(None).await {
            let missing = OpenAzureError::NoQueue { account: account.clone(), queue: queue.clone() };
            return Err(judge(config, "queue", ("QueueNotFound", missing), fault));
        }
        // Not every credential may ask for this; where it may not, the probe finds out what matters.
        let is_hierarchical = match self.container.get_account_info(None).await {
            Ok(info) => info.is_hierarchical_namespace_enabled().ok().flatten(),
            Err(_) => None,
        };
        if is_hierarchical == Some(true) { Err(OpenAzureError::Hierarchical(account.clone())) } else { Ok(()) }
    }
}

/// The URL of a container or a queue: below the given endpoint, or below the cloud's own.
fn below(endpoint: Option<&Url>, account: &str, service: &str, name: &str) -> Result<Url, OpenAzureError> {
    let own = || Url::parse(&format!("https://{account}.{service}.core.windows.net"));
    let bad = || OpenAzureError::BadEndpoint(endpoint.map_or_else(|| account.to_owned(), Url::to_string));
    let mut url = endpoint.cloned().map_or_else(own, Ok).map_err(|_| bad())?;
    url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().push(name);
    Ok(url)
}

/// What an answer, or none, says of the container or the queue that was looked for.
fn judge(
    config: &AzureConfig,
    what: &'static str,
    (missing_code, missing): (&str, OpenAzureError),
    fault: azure_core::Error,
) -> OpenAzureError {
    let account = config.account.clone();
    match Answer::of(&fault) {
        Some(answer) if answer.is(404, missing_code) => missing,
        Some(answer) if answer.is_refusal() => {
            OpenAzureError::Denied { account, what, advice: advice(config, what), source: answer.into() }
        }
        Some(answer) => OpenAzureError::Unreachable { account, what, source: answer.into() },
        None if is_refused_credential(&fault) => {
            OpenAzureError::Denied { account, what, advice: advice(config, what), source: fault.into() }
        }
        None => OpenAzureError::Unreachable { account, what, source: fault.into() },
    }
}

/// What lets the credentials in.
fn advice(config: &AzureConfig, what: &str) -> String {
    let account = &config.account;
    match &config.credentials {
        AzureCredentials::WorkloadIdentity { client_id } => {
            let role = if what == "queue" { "Storage Queue Data Contributor" } else { "Storage Blob Data Contributor" };
            format!(
                "give the workload identity '{client_id}' its role with 'az role assignment create --assignee {client_id} \
                 --role \"{role}\" --scope $(az storage account show --name {account} --query id --output tsv)'"
            )
        }
        AzureCredentials::Secret { .. } | AzureCredentials::Environment => format!(
            "put a valid key or signature in their place: 'az storage account keys list --account-name {account}', or \
             'az storage account generate-sas --account-name {account} --services bq --resource-types sco \
             --permissions rwdlacup --https-only --expiry END'"
        ),
    }
}
