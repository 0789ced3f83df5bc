//! A web identity token, exchanged at STS for the credentials of a role (IRSA). Reads the token; asks STS.

use std::{path::PathBuf, time::SystemTime};

use aws_credential_types::Credentials as Keys;
use aws_sdk_sts::error::SdkError;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::{
    client,
    credentials::{CredentialsError, CredentialsKind, Found, LookAgain},
    secret::Variables,
};

const KIND: CredentialsKind = CredentialsKind::WebIdentity;

/// What sessions are called in the records of AWS when the environment names none.
const SESSION: &str = "cloudshop";

/// The way from a token to a role.
pub(super) struct WebIdentity {
    sts: aws_sdk_sts::Client,
    role: String,
    token_file: PathBuf,
    session: String,
}

impl WebIdentity {
    pub(super) fn new(
        region: &str,
        role: &str,
        variables: &Variables,
        connector: &SharedHttpConnector,
    ) -> Result<Self, CredentialsError> {
        let remedy = "annotate the service account with eks.amazonaws.com/role-arn, and let the pods start anew";
        let token_file = variables.require("AWS_WEB_IDENTITY_TOKEN_FILE", KIND, remedy)?.into();
        let session = variables.get("AWS_ROLE_SESSION_NAME").unwrap_or(SESSION).to_owned();
        let sts = client::sts(region, variables.get("AWS_ENDPOINT_URL_STS"), connector);
        Ok(Self { sts, role: role.to_owned(), token_file, session })
    }

    /// Reads the token as it is now, since it is rotated, and exchanges it.
    pub(super) async fn exchange(&self) -> Result<Found, CredentialsError> {
        let token = tokio::fs::read_to_string(&self.token_file).await.map_err(|error| {
            let what = format!("the token '{}' cannot be read", self.token_file.display());
            let remedy = "look whether the service account is annotated with its role and the token is mounted";
            CredentialsError::new(KIND, what, remedy).because(error)
        })?;
        let exchange = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.role)
            .role_session_name(&self.session)
            .web_identity_token(token.trim());
        let answer = exchange.send().await.map_err(|error| self.refused(error))?;
        let nothing = || CredentialsError::passing(KIND, "STS answered without credentials");
        let found = answer.credentials.ok_or_else(nothing)?;
        let expires = SystemTime::try_from(found.expiration).map_err(|error| nothing().because(error))?;
        let (access_key, secret_key, token) = (found.access_key_id, found.secret_access_key, found.session_token);
        let keys = Keys::new(access_key, secret_key, Some(token), Some(expires), "web identity");
        Ok(Found { keys, look_again: LookAgain::BeforeItExpires(expires) })
    }

    fn refused<E>(&self, error: SdkError<E>) -> CredentialsError
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
        if (400..500).contains(&status) && status != 429 {
            let what = format!("STS refuses the role '{}'", self.role);
            let remedy = "let the role trust the cluster's identity provider and this service account";
            return CredentialsError::new(KIND, what, remedy).because(error);
        }
        CredentialsError::passing(KIND, "STS cannot be asked").because(error)
    }
}
