//! The pod's own identity: a token from an issuer of ours opens the emulator, over TLS that only our certificate allows.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use storage_adapters::{
    PutMode,
    azure::{Azure, Environment, OpenAzureError, fixture},
    config::{AzureConfig, AzureCredentials},
    conformance::emulators,
};
use tempfile::{TempDir, tempdir};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::{put, server::talk, told};

/// A certificate for this machine, its key, and a pod's token.
fn files() -> TempDir {
    let folder = tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a certificate");
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("a file");
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    fs::write(folder.path().join("token"), "the pod's token").expect("a file");
    folder
}

/// A token as Entra ID issues them; the emulator looks at what it says, not at its signature.
fn access_token() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs();
    let claims = format!(
        r#"{{"aud":"https://storage.azure.com","iss":"https://sts.windows.net/tenant/","iat":{now},"nbf":{},"exp":{}}}"#,
        now - 60,
        now + 3600
    );
    [r#"{"alg":"RS256","typ":"JWT"}"#, &claims, "signature"].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

/// Serves tokens over TLS, and remembers what it was asked.
async fn issuer(files: &TempDir) -> (String, Arc<Mutex<Vec<String>>>) {
    let certificate = CertificateDer::from_pem_file(files.path().join("cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(files.path().join("key.pem")).expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = format!("https://{}/", listener.local_addr().expect("it is bound"));
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let asked = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, heard) = (acceptor.clone(), heard.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer: crate::server::Answerer = Arc::new(|_: &str| {
                    let body = format!(
                        r#"{{"token_type":"Bearer","expires_in":3600,"ext_expires_in":3600,"access_token":"{}"}}"#,
                        access_token()
                    );
                    let length = body.len();
                    Some(format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    ))
                });
                talk(stream, &answer, &heard).await;
            });
        }
    });
    (authority, asked)
}

fn variables(files: &TempDir, authority: &str) -> Environment {
    let token = files.path().join("token");
    let token = token.to_str().expect("UTF-8");
    Environment::from([
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_AUTHORITY_HOST", authority),
        ("AZURE_FEDERATED_TOKEN_FILE", token),
    ])
}

fn identity() -> AzureCredentials {
    AzureCredentials::WorkloadIdentity { client_id: "the-client".into() }
}

#[tokio::test]
async fn a_workload_identity_opens_the_store() {
    let files = files();
    let path = |name: &str| files.path().join(name).to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let server = emulators::start_azure("https", &["--cert", &certificate, "--key", &key, "--oauth", "basic"]);
    let config = fixture::config(&server, Some(certificate.as_ref()));
    fixture::create(&config).await;
    let (authority, asked) = issuer(&files).await;
    let config = AzureConfig { credentials: identity(), ..config };
    let store = Azure::open_in(&config, &variables(&files, &authority)).await.expect("it opens");
    put(&*store.blobs, "a", PutMode::IfAbsent).await.expect("put");
    store.blobs.copy(&crate::key("a"), &crate::key("b")).await.expect("copy");
    store.queue.send("pack".into()).await.expect("send");
    let asked = asked.lock().expect("no test panicked with it").clone();
    assert!((1..=2).contains(&asked.len()), "a token is asked for once a client, not once a request: {}", asked.len());
    for part in ["POST /tenant/oauth2/v2.0/token", "client_id=the-client", "client_assertion=the+pod%27s+token"] {
        assert!(asked[0].contains(part), "{part} in {}", asked[0]);
    }
}

#[tokio::test]
async fn an_identity_that_cannot_be_used_is_told_by_name_and_nothing_else_is_tried() {
    let files = files();
    let config = |scheme: &str| {
        let nobody = |port: u16| format!("{scheme}://127.0.0.1:{port}/").parse().expect("a URL");
        let mut config = fixture::config(&emulators::Server { blob: nobody(1), queue: nobody(2) }, None);
        config.credentials = identity();
        config
    };
    let begun = Instant::now();
    let plain = Azure::open_in(&config("http"), &variables(&files, "https://127.0.0.1:1/")).await;
    assert!(matches!(plain, Err(OpenAzureError::IdentityOverPlainHttp(_))));
    let without = Azure::open_in(&config("https"), &fixture::variables()).await;
    let without = without.expect_err("refused").to_string();
    assert!(without.contains("'the-client'") && without.contains("AZURE_AUTHORITY_HOST"), "{without}");
    fs::remove_file(files.path().join("token")).expect("it was there");
    let unreadable = Azure::open_in(&config("https"), &variables(&files, "https://127.0.0.1:1/")).await;
    let unreadable = told(&unreadable.expect_err("refused"));
    assert!(unreadable.contains("workload identity") && unreadable.contains("token"), "{unreadable}");
    // Whoever asked the metadata server of a node would wait for it here.
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_no_refusal() {
    let files = files();
    let nobody = |port: u16| format!("https://127.0.0.1:{port}/").parse().expect("a URL");
    let mut config = fixture::config(&emulators::Server { blob: nobody(1), queue: nobody(2) }, None);
    config.credentials = identity();
    let refused = Azure::open_in(&config, &variables(&files, "https://127.0.0.1:3/")).await;
    assert!(matches!(refused, Err(OpenAzureError::Unreachable { .. })), "{refused:?}");
}
