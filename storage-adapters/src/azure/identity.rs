//! The pod's own identity at Entra ID, and nothing else: no other kind of credentials is ever tried. Does I/O through the SDK.

use std::sync::Arc;

use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    credentials::TokenCredential,
};
use azure_identity::{ClientAssertionCredentialOptions, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions};

use super::{
    opening::OpenAzureError,
    secret::Environment,
    wire::{Connections, Wire, client_options},
};

const TENANT: &str = "AZURE_TENANT_ID";
const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// What a token is asked for.
pub(super) const SCOPE: &str = "https://storage.azure.com/.default";

/// The identity of the application `client`, as the variables of the pod describe it.
pub(super) fn of_workload(
    client: &str,
    variables: &Environment,
    connections: Connections,
) -> Result<Arc<dyn TokenCredential>, OpenAzureError> {
    let variable = |name: &'static str| {
        let missing = || OpenAzureError::NoIdentity { client: client.to_owned(), missing: name };
        variables.get(name).map(str::to_owned).ok_or_else(missing)
    };
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = variable(AUTHORITY)?;
    let mut client_options = client_options(Wire::new(connections, None, None), Vec::new());
    client_options.cloud = Some(Arc::new(CloudConfiguration::from(cloud)));
    let options = WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options },
        client_id: Some(client.to_owned()),
        tenant_id: Some(variable(TENANT)?),
        token_file_path: Some(variable(TOKEN_FILE)?.into()),
    };
    let refused = |source| OpenAzureError::BadIdentity { client: client.to_owned(), source };
    Ok(WorkloadIdentityCredential::new(Some(options)).map_err(refused)?)
}
