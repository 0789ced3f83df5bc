//! The agent of EKS Pod Identity, which gives a pod the credentials of its service account. Reads a token; asks the agent.

use std::{path::PathBuf, time::SystemTime};

use aws_credential_types::Credentials as Keys;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use jiff::Timestamp;
use serde::Deserialize;
use url::{Host, Url};

use super::{
    credentials::{CredentialsError, CredentialsKind, Found, LookAgain},
    secret::Variables,
};

const KIND: CredentialsKind = CredentialsKind::PodIdentity;
const ADDRESS: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ASSOCIATE: &str = "associate the service account with a role by `aws eks create-pod-identity-association`, and let the pods start anew";

/// Addresses of the agent on a node, of both families
/// (<https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>).
const AGENTS: [&str; 2] = ["169.254.170.23", "fd00:ec2::23"];

/// The way to the agent.
pub(super) struct PodIdentity {
    connector: SharedHttpConnector,
    address: Url,
    token_file: PathBuf,
}

/// What the agent answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: Timestamp,
}

impl PodIdentity {
    pub(super) fn new(variables: &Variables, connector: SharedHttpConnector) -> Result<Self, CredentialsError> {
        let address = variables.require(ADDRESS, KIND, ASSOCIATE)?;
        let token_file = variables.require(TOKEN, KIND, ASSOCIATE)?.into();
        let refuse =
            || CredentialsError::new(KIND, format!("'{address}' in {ADDRESS} is no agent of a node"), ASSOCIATE);
        let address: Url = address.parse().map_err(|error| refuse().because(error))?;
        if is_agent(&address) { Ok(Self { connector, address, token_file }) } else { Err(refuse()) }
    }

    /// Asks the agent, with the token as it is now, since it is rotated.
    pub(super) async fn ask(&self) -> Result<Found, CredentialsError> {
        let token = tokio::fs::read_to_string(&self.token_file).await.map_err(|error| {
            let what = format!("the token '{}' cannot be read", self.token_file.display());
            CredentialsError::new(KIND, what, ASSOCIATE).because(error)
        })?;
        let malformed = |error: Box<dyn std::error::Error + Send + Sync>| {
            CredentialsError::new(KIND, "the agent cannot be asked with this address and token", ASSOCIATE)
                .because(error)
        };
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(self.address.as_str()).map_err(|error| malformed(error.into()))?;
        let header = ("authorization", token.trim().to_owned());
        request.headers_mut().try_insert(header.0, header.1).map_err(|error| malformed(error.into()))?;
        let unreachable = |error: Box<dyn std::error::Error + Send + Sync>| {
            CredentialsError::passing(KIND, "the agent cannot be asked").because(error)
        };
        let answer = self.connector.call(request).await.map_err(|error| unreachable(error.into()))?;
        let status = answer.status().as_u16();
        let body = ByteStream::new(answer.into_body()).collect().await.map_err(|error| unreachable(error.into()))?;
        match status {
            200 => read(&body.into_bytes()),
            400..=499 if status != 429 => {
                Err(CredentialsError::new(KIND, format!("the agent refuses with status {status}"), ASSOCIATE))
            }
            _ => Err(CredentialsError::passing(KIND, format!("the agent answered with status {status}"))),
        }
    }
}

fn read(body: &[u8]) -> Result<Found, CredentialsError> {
    // The error is left out: it may quote the answer, which holds secrets.
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| CredentialsError::passing(KIND, "the agent's answer holds no credentials"))?;
    let expires = SystemTime::from(answer.expiration);
    let (access_key, secret_key) = (answer.access_key_id, answer.secret_access_key);
    let keys = Keys::new(access_key, secret_key, Some(answer.token), Some(expires), "pod identity");
    Ok(Found { keys, look_again: LookAgain::BeforeItExpires(expires) })
}

/// Whether the token may be sent there: to the agent, to this machine, or encrypted.
fn is_agent(address: &Url) -> bool {
    let is_near = match address.host() {
        Some(Host::Ipv4(host)) => host.is_loopback() || AGENTS.contains(&host.to_string().as_str()),
        Some(Host::Ipv6(host)) => host.is_loopback() || AGENTS.contains(&host.to_string().as_str()),
        Some(Host::Domain(_)) | None => false,
    };
    match address.scheme() {
        "https" => true,
        "http" => is_near,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_sent_to_nobody_but_the_agent() {
        let table = [
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://127.0.0.1:1338/v1/credentials", true),
            ("https://agent.example/v1/credentials", true),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://agent.example/v1/credentials", false),
            ("ftp://127.0.0.1/", false),
        ];
        for (address, is_allowed) in table {
            assert_eq!(is_agent(&address.parse().expect("a URL")), is_allowed, "{address}");
        }
    }
}
