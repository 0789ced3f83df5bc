//! The clients of S3, SQS and STS, which share one HTTP connector. Reads the file of certificates; connects when first used.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedCredentialsProvider, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::{
    Connector, HttpClientError,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use url::Url;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::{
    credentials::Credentials,
    metering::{Counted, of_s3, of_sqs},
};
use crate::{
    config::{AwsConfig, Endpoint},
    decorators::{Meter, Operation},
};

/// Longest time until a connection is there; part of the time that an operation may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Time that a connection is kept unused: shorter than servers keep it, so that a request seldom meets a closed one.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// Time in which a body must move at all, in either direction.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// Which behaviour of the SDK this code was written for.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Certificates that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("the certificates to trust, '{path}', cannot be read; mount the file, or remove it from the endpoint")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("'{path}' is no file of certificates: {reason}; write one or more certificates in PEM into it")]
    NoCertificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// They cannot be given to the connector.
    #[error("connections over TLS cannot be set up")]
    Unusable(#[source] HttpClientError),
}

/// The connector that all clients share. It trusts the public roots that are compiled in, or only those of `ca_file`.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<SharedHttpConnector, TrustError> {
    let certificates = match ca_file {
        Some(path) => read_certificates(path)?,
        None => public_roots(),
    };
    let trust = TrustStore::empty().with_pem_certificate(certificates);
    let tls = TlsContext::builder().with_trust_store(trust).build().map_err(TrustError::Unusable)?;
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_LIMIT).build();
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .pool_idle_timeout(IDLE_LIMIT)
        .build();
    Ok(SharedHttpConnector::new(connector))
}

/// The certificates that browsers trust, in the only form that the connector takes.
fn public_roots() -> Vec<u8> {
    let mut pem = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        BASE64_STANDARD.encode_string(certificate, &mut pem);
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    pem.into_bytes()
}

/// Reads certificates and makes sure that they can be trusted, since the connector panics on others.
fn read_certificates(path: &Path) -> Result<Vec<u8>, TrustError> {
    let pem = fs::read(path).map_err(|source| TrustError::Unreadable { path: path.to_owned(), source })?;
    let refuse = |reason: String| TrustError::NoCertificates { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
    }
    if roots.is_empty() { Err(refuse("there is none in it".to_owned())) } else { Ok(pem) }
}

fn shared(connector: &SharedHttpConnector) -> SharedHttpClient {
    let connector = connector.clone();
    http_client_fn(move |_, _| connector.clone())
}

/// The same, with its requests counted.
fn counted(
    connector: &SharedHttpConnector,
    meter: &Arc<Meter>,
    operation: fn(&HttpRequest) -> Operation,
) -> SharedHttpClient {
    let counted = Counted { connector: connector.clone(), meter: Arc::clone(meter), operation };
    shared(&SharedHttpConnector::new(counted))
}

/// The client of S3. Retries are a decorator's, which has a budget; limits of time are a decorator's too.
pub(super) fn s3(
    config: &AwsConfig,
    connector: &SharedHttpConnector,
    meter: &Arc<Meter>,
    credentials: Credentials,
) -> aws_sdk_s3::Client {
    let stalled = StalledStreamProtectionConfig::enabled().grace_period(STALL_LIMIT).build();
    let mut builder = aws_sdk_s3::config::Builder::new()
        .behavior_version(behavior())
        .region(Region::new(config.region.clone()))
        .http_client(counted(connector, meter, of_s3))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // The credentials are kept by their provider, which sees when they change.
        .identity_cache(IdentityCache::no_cache())
        .disable_s3_express_session_auth(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .sleep_impl(TokioSleep::new())
        .stalled_stream_protection(stalled)
        // A body is signed with its SHA-256 already; other servers of the protocol know no trailing checksums.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(url) = endpoint(config, |endpoint| endpoint.blob.as_ref()) {
        builder = builder.endpoint_url(url.as_str()).force_path_style(true);
    }
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// The client of SQS, set up like that of S3.
pub(super) fn sqs(
    config: &AwsConfig,
    connector: &SharedHttpConnector,
    meter: &Arc<Meter>,
    credentials: Credentials,
) -> aws_sdk_sqs::Client {
    let mut builder = aws_sdk_sqs::config::Builder::new()
        .behavior_version(behavior())
        .region(Region::new(config.region.clone()))
        .http_client(counted(connector, meter, of_sqs))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .sleep_impl(TokioSleep::new());
    // Requests go to this host whatever host the queue's URL names, which they carry in their body.
    if let Some(url) = endpoint(config, |endpoint| endpoint.queue.as_ref()) {
        builder = builder.endpoint_url(url.as_str());
    }
    aws_sdk_sqs::Client::from_conf(builder.build())
}

/// The client of STS, which is asked for credentials and so has none.
pub(super) fn sts(region: &str, url: Option<&str>, connector: &SharedHttpConnector) -> aws_sdk_sts::Client {
    let builder = aws_sdk_sts::config::Builder::new()
        .behavior_version(behavior())
        .region(Region::new(region.to_owned()))
        .http_client(shared(connector))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .sleep_impl(TokioSleep::new());
    let builder = match url {
        Some(url) => builder.endpoint_url(url),
        None => builder,
    };
    aws_sdk_sts::Client::from_conf(builder.build())
}

fn endpoint(config: &AwsConfig, of: impl Fn(&Endpoint) -> Option<&Url>) -> Option<&Url> {
    config.endpoint.as_ref().and_then(of)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_public_roots_are_certificates_that_can_be_trusted() {
        connector(None).expect("the roots are compiled in");
        let pem = public_roots();
        assert_eq!(CertificateDer::pem_slice_iter(&pem).count(), TLS_SERVER_ROOT_CERTS.len());
    }

    #[test]
    fn a_file_that_holds_no_certificates_is_refused_by_name() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            file.as_file_mut().set_len(0).expect("emptied");
            file.write_all(text.as_bytes()).expect("written");
            let refusal = connector(Some(file.path())).expect_err("refused").to_string();
            assert!(refusal.contains(&file.path().display().to_string()), "{refusal}");
        }
    }

    #[test]
    fn a_file_of_certificates_that_is_missing_is_refused_by_name() {
        let refusal = connector(Some(Path::new("/nowhere/ca.pem"))).expect_err("refused").to_string();
        assert!(refusal.contains("/nowhere/ca.pem"), "{refusal}");
    }
}
