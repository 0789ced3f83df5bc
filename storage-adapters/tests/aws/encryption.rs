//! Connections that are encrypted, and whom they trust.

use std::{path::Path, sync::Arc};

use storage_adapters::{
    Store,
    config::{AwsConfig, Endpoint},
    conformance::emulators,
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use url::Url;

use crate::{
    fixture,
    places::{SecretFolder, config_at, with_secret},
    told,
};

/// The emulator behind TLS, with a certificate that nobody else trusts.
async fn encrypted_emulator() -> (Url, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a certificate");
    std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).expect("written");
    let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(connection).await else { return };
                let authority = emulators::aws().blob.authority().to_owned();
                let mut emulator = TcpStream::connect(authority).await.expect("the emulator listens");
                let _ = tokio::io::copy_bidirectional(&mut client, &mut emulator).await;
            });
        }
    });
    (url, folder)
}

async fn config(url: &Url, ca_file: Option<&Path>, secret: &SecretFolder) -> AwsConfig {
    let made = fixture::config().await;
    let config = with_secret(config_at(&made.bucket, &made.queue, url), secret);
    let endpoint = config.endpoint.map(|endpoint| Endpoint { ca_file: ca_file.map(Path::to_owned), ..endpoint });
    AwsConfig { endpoint, ..config }
}

#[tokio::test]
async fn a_server_whose_certificate_is_in_the_file_is_trusted() {
    let ((url, folder), secret) = (encrypted_emulator().await, SecretFolder::new("key"));
    let config = config(&url, Some(&folder.path().join("ca.pem")), &secret).await;
    Store::open(&config.into()).await.expect("the store opens");
}

#[tokio::test]
async fn a_server_whose_certificate_nobody_vouches_for_is_refused() {
    let ((url, _folder), secret) = (encrypted_emulator().await, SecretFolder::new("key"));
    let config = config(&url, None, &secret).await;
    let refusal = told(&Store::open(&config.into()).await.expect_err("refused"));
    assert!(refusal.starts_with("the bucket") && refusal.contains("certificate"), "{refusal}");
}
