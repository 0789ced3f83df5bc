//! The HTTP connection under the SDK: rustls with our own roots, time limits, and what makes a request legitimate. Does I/O.
//!
//! Signatures are added here and nowhere above, so that no log line, trace or error of the SDK ever holds one. Errors of
//! this connection hold no URL.
//!
//! It is not `reqwest`: built for the SDK with TLS it would change the client of every other crate of the program, which then
//! look for the machine's certificates, where an image has none.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_core::{
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, StatusCode, Transport, Url,
        headers::{HeaderName, Headers},
        policies::Policy,
    },
};
use bytes::Bytes;
use futures::TryStreamExt;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    metering::{Service, operation},
    opening::OpenAzureError,
    signing::Signatures,
};
use crate::decorators::Meter;

/// Longest time until a server is connected.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Longest time until an answer begins to a request without a body. It ends requests on connections that died unheard.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Slowest connection on which a body is still sent, in bytes a second: the answer may come later by that much.
const SLOWEST: u64 = 256 * 1024;

/// Time that an answer may come later when the service itself reads the body from another blob.
const COPY_LIMIT: Duration = Duration::from_mins(2);

/// Longest time that an unused connection is kept. The services keep theirs for minutes.
const IDLE_LIMIT: Duration = Duration::from_mins(1);

/// Header that names the blob that the service reads for us.
pub(super) const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");

/// Connections to the servers of a store, shared by all its clients.
pub(super) type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sets up what connects, which sends nothing yet.
pub(super) fn connections(ca_file: Option<&Path>) -> Result<Connections, OpenAzureError> {
    let provider = Arc::new(ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(OpenAzureError::Tls)?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    plain.set_connect_timeout(Some(CONNECT_LIMIT));
    plain.set_nodelay(true);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(plain);
    let mut client = Client::builder(TokioExecutor::new());
    Ok(client.pool_idle_timeout(IDLE_LIMIT).pool_timer(TokioTimer::new()).build(connector))
}

/// The public roots, compiled in, since an image holds no certificates; or those of the file alone.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, OpenAzureError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        return Ok(roots);
    };
    let refuse = |reason: String| OpenAzureError::CaFile { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|fault| refuse(fault.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|fault| refuse(fault.to_string()))?;
        roots.add(certificate).map_err(|fault| refuse(fault.to_string()))?;
    }
    if roots.is_empty() { Err(refuse("it holds no certificate".into())) } else { Ok(roots) }
}

/// The options of every client of the SDK: `wire` below, no repetitions (they belong to [`Retried`](crate::decorators::Retried)),
/// and `policies` at each call.
pub(super) fn client_options(wire: Wire, policies: Vec<Arc<dyn Policy>>) -> ClientOptions {
    ClientOptions {
        per_call_policies: policies,
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(wire))),
        ..ClientOptions::default()
    }
}

/// What the SDK sends its requests through.
#[derive(Debug)]
pub(super) struct Wire {
    connections: Connections,
    signatures: Option<Arc<Signatures>>,
    /// Counts what is billed.
    meter: Option<(Service, Arc<Meter>)>,
}

impl Wire {
    pub(super) fn new(
        connections: Connections,
        signatures: Option<Arc<Signatures>>,
        meter: Option<(Service, Arc<Meter>)>,
    ) -> Self {
        Self { connections, signatures, meter }
    }

    async fn send(&self, request: &Request, signature: Option<&str>) -> azure_core::Result<AsyncRawResponse> {
        let Body::Bytes(body) = request.body() else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "the adapter sends no streamed bodies"));
        };
        if let Some((service, meter)) = &self.meter {
            meter.count_requests(operation(*service, request), 1);
        }
        let limit = limit_of(request, body.len());
        let url = signature.map_or_else(|| request.url().clone(), |signature| signed(request.url(), signature));
        let mut sent = hyper::Request::builder().method(request.method().as_str()).uri(url.as_str());
        for (name, value) in request.headers().iter() {
            sent = match signature {
                Some(signature) if *name == COPY_SOURCE => {
                    let source = Url::parse(value.as_str())?;
                    sent.header(name.as_str(), signed(&source, signature).as_str())
                }
                _ => sent.header(name.as_str(), value.as_str()),
            };
        }
        let sent =
            sent.body(Full::new(body.clone())).map_err(|fault| azure_core::Error::new(ErrorKind::Other, fault))?;
        let answer = match tokio::time::timeout(limit, self.connections.request(sent)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(fault)) => {
                let kind = if fault.is_connect() { ErrorKind::Connection } else { ErrorKind::Io };
                return Err(azure_core::Error::with_error(kind, fault, "the request got no answer"));
            }
            Err(_) => {
                return Err(azure_core::Error::with_message(ErrorKind::Io, format!("no answer came within {limit:?}")));
            }
        };
        let (answer, body) = answer.into_parts();
        let status = StatusCode::from(answer.status.as_u16());
        let mut headers = Headers::new();
        for (name, value) in &answer.headers {
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        let body = body
            .into_data_stream()
            .map_err(|fault| azure_core::Error::with_error(ErrorKind::Io, fault, "the answer ended before its time"));
        Ok(AsyncRawResponse::new(status, headers, Box::pin(body)))
    }
}

#[async_trait]
impl HttpClient for Wire {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Some(signatures) = &self.signatures else { return self.send(request, None).await };
        let signature = signatures.current().await?;
        let answer = self.send(request, Some(&signature)).await?;
        if !matches!(answer.status(), StatusCode::Forbidden | StatusCode::Unauthorized) {
            return Ok(answer);
        }
        // What was refused did nothing, so it is sent again when the credentials were replaced meanwhile.
        match signatures.instead_of(&signature).await? {
            Some(newer) => self.send(request, Some(&newer)).await,
            None => Ok(answer),
        }
    }
}

fn signed(url: &Url, signature: &str) -> Url {
    let mut url = url.clone();
    let query = url.query().filter(|query| !query.is_empty());
    let query = query.map_or_else(|| signature.to_owned(), |query| format!("{query}&{signature}"));
    url.set_query(Some(&query));
    url
}

/// How long the answer may take to begin.
fn limit_of(request: &Request, body: usize) -> Duration {
    let sending = Duration::from_millis((body as u64).saturating_mul(1_000) / SLOWEST);
    let copying = if request.headers().get_optional_str(&COPY_SOURCE).is_some() { COPY_LIMIT } else { Duration::ZERO };
    ANSWER_LIMIT + sending + copying
}

#[cfg(test)]
mod tests {
    use azure_core::http::Method;

    use super::*;

    #[test]
    fn a_signature_joins_what_a_url_asks_already() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let table = [
            ("https://a.blob.core.windows.net/c/b", "https://a.blob.core.windows.net/c/b?sv=1&sig=a%2Bb%3D"),
            ("https://a.test/c?comp=list", "https://a.test/c?comp=list&sv=1&sig=a%2Bb%3D"),
        ];
        for (plain, expected) in table {
            assert_eq!(signed(&url(plain), "sv=1&sig=a%2Bb%3D").as_str(), expected);
        }
    }

    #[test]
    fn a_larger_body_may_take_longer() {
        let url: Url = "https://a.test/c/b".parse().expect("a URL");
        let request = Request::new(url, Method::Put);
        assert_eq!(limit_of(&request, 0), ANSWER_LIMIT);
        assert_eq!(limit_of(&request, 64 * 1024 * 1024), ANSWER_LIMIT + Duration::from_secs(256));
    }
}
