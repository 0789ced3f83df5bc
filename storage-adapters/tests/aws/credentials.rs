//! Where credentials are found, and that they are found nowhere else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use storage_adapters::{
    Metadata, PutMode,
    aws::{Aws, OpenAwsError, Variables},
    config::{AwsConfig, AwsCredentials},
    conformance::emulators,
};

use crate::{
    fixture, key,
    places::{SecretFolder, config_at, with_secret},
    server::{Reply, Server},
    told, until,
};

/// A store behind a proxy that sees which access key requests are signed with.
async fn seen_by_proxy(credentials: AwsCredentials) -> (AwsConfig, Server) {
    let proxy = Server::before_emulator(|_| false).await;
    let made = fixture::config().await;
    (AwsConfig { credentials, ..config_at(&made.bucket, &made.queue, &proxy.url) }, proxy)
}

/// The access key of the newest request.
fn newest(proxy: &Server) -> String {
    proxy.requests().last().and_then(|request| request.access_key().map(str::to_owned)).unwrap_or_default()
}

fn variables(variables: &[(&str, &str)]) -> Variables {
    variables.iter().copied().collect()
}

async fn write(path: &std::path::Path, text: &str) {
    tokio::fs::write(path, text).await.expect("written");
}

#[tokio::test]
async fn a_secret_that_is_rotated_is_used_without_a_restart() {
    let secret = SecretFolder::new("first");
    let (config, proxy) = seen_by_proxy(AwsCredentials::Environment).await;
    let config = with_secret(config, &secret);
    let store = Aws::open_with(&config, &variables(&[])).await.expect("the store opens");
    assert_eq!(newest(&proxy), "first");
    secret.rotate("second");
    until("the new key is used", async || {
        let _ = store.blobs.head(&key("a")).await;
        newest(&proxy) == "second"
    })
    .await;
    // One that cannot be read for a moment changes nothing.
    secret.remove();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _ = store.blobs.head(&key("a")).await;
    assert_eq!(newest(&proxy), "second");
}

#[tokio::test]
async fn the_variables_of_the_environment_are_used() {
    let (config, proxy) = seen_by_proxy(AwsCredentials::Environment).await;
    let set = variables(&[("AWS_ACCESS_KEY_ID", "mine"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "t")]);
    Aws::open_with(&config, &set).await.expect("the store opens");
    assert_eq!(newest(&proxy), "mine");
    assert!(proxy.requests().iter().all(|request| request.header("x-amz-security-token") == Some("t")));
}

#[tokio::test]
async fn a_web_identity_token_is_exchanged_for_the_role() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    write(&token, "a.web.token").await;
    let role_arn = Some("arn:aws:iam::123456789012:role/corner".to_owned());
    let (config, proxy) = seen_by_proxy(AwsCredentials::WorkloadIdentity { role_arn }).await;
    let set = variables(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().expect("text")),
        ("AWS_ENDPOINT_URL_STS", emulators::aws().blob.as_str()),
    ]);
    let store = Aws::open_with(&config, &set).await.expect("the store opens");
    store.blobs.put(&key("a"), "body".into(), &Metadata::new(), PutMode::IfAbsent).await.expect("put");
    let key = newest(&proxy);
    assert!(key.starts_with("ASIA"), "a temporary key: {key}");
}

/// An agent that gives another access key each time, which holds for so long.
async fn agent(holds: SignedDuration) -> Server {
    let number = Arc::new(AtomicUsize::new(0));
    Server::answering(move |request| {
        if request.header("authorization") != Some("pod token") {
            return Reply::new(401, "", "");
        }
        let number = number.fetch_add(1, Ordering::SeqCst);
        let expires = Timestamp::now() + holds;
        let body = format!(
            r#"{{"AccessKeyId":"pod-{number}","SecretAccessKey":"s","Token":"t","AccountId":"1","Expiration":"{expires}"}}"#
        );
        Reply::new(200, "content-type: application/json\r\n", &body)
    })
    .await
}

async fn pod_variables(agent: &Server) -> (Variables, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    write(&token, "pod token\n").await;
    let address = format!("{}v1/credentials", agent.url);
    let set = variables(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().expect("text")),
    ]);
    (set, folder)
}

#[tokio::test]
async fn the_agent_of_pod_identity_is_asked_once_while_its_credentials_hold() {
    let agent = agent(SignedDuration::from_hours(6)).await;
    let (set, _folder) = pod_variables(&agent).await;
    let (config, proxy) = seen_by_proxy(AwsCredentials::WorkloadIdentity { role_arn: None }).await;
    let store = Aws::open_with(&config, &set).await.expect("the store opens");
    for _ in 0..5 {
        let _ = store.blobs.head(&key("a")).await;
        store.queue.depth().await.expect("depth");
    }
    assert_eq!(newest(&proxy), "pod-0");
    assert_eq!(agent.requests().len(), 1);
}

#[tokio::test]
async fn credentials_that_expire_are_renewed_before() {
    let agent = agent(SignedDuration::from_secs(6)).await;
    let (set, _folder) = pod_variables(&agent).await;
    let (config, proxy) = seen_by_proxy(AwsCredentials::WorkloadIdentity { role_arn: None }).await;
    let store = Aws::open_with(&config, &set).await.expect("the store opens");
    until("new credentials are used", async || {
        let _ = store.blobs.head(&key("a")).await;
        newest(&proxy) == "pod-1"
    })
    .await;
}

#[tokio::test]
async fn credentials_still_hold_when_they_cannot_be_renewed() {
    let agent = agent(SignedDuration::from_secs(10)).await;
    let (set, _folder) = pod_variables(&agent).await;
    let (config, proxy) = seen_by_proxy(AwsCredentials::WorkloadIdentity { role_arn: None }).await;
    let store = Aws::open_with(&config, &set).await.expect("the store opens");
    drop(agent);
    tokio::time::sleep(Duration::from_secs(6)).await;
    store.queue.depth().await.expect("the old ones hold");
    assert_eq!(newest(&proxy), "pod-0");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let refusal = told(&store.queue.depth().await.expect_err("they have expired"));
    assert!(refusal.contains("EKS Pod Identity"), "{refusal}");
}

/// Variables of a test.
type Set = [(&'static str, &'static str)];

#[tokio::test]
async fn credentials_that_are_missing_are_named_and_looked_for_nowhere_else() {
    let metadata = Server::answering(|_| Reply::new(200, "", "a-role-of-the-node")).await;
    let everything_else = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url.as_str()),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials"),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/another"),
        ("AWS_PROFILE", "default"),
    ];
    let role_arn = Some("arn:aws:iam::123456789012:role/corner".to_owned());
    let key_in_the_environment = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let unreadable = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")];
    let agent = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/v1/credentials")];
    let agent_without_token = [agent[0], ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere/token")];
    let folder = "/nowhere".into();
    let table: [(AwsCredentials, &Set, &str, &str); 6] = [
        (
            AwsCredentials::Secret { folder },
            &key_in_the_environment,
            "the mounted Secret",
            "'/nowhere/AWS_ACCESS_KEY_ID'",
        ),
        (AwsCredentials::Environment, &unreadable, "the environment", "AWS_ACCESS_KEY_ID is not set"),
        (
            AwsCredentials::WorkloadIdentity { role_arn: role_arn.clone() },
            &key_in_the_environment,
            "a role (IRSA)",
            "AWS_WEB_IDENTITY_TOKEN_FILE is not set; annotate the service account",
        ),
        (
            AwsCredentials::WorkloadIdentity { role_arn },
            &unreadable,
            "a role (IRSA)",
            "'/nowhere/token' cannot be read",
        ),
        (
            AwsCredentials::WorkloadIdentity { role_arn: None },
            &key_in_the_environment,
            "EKS Pod Identity",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; associate the service account",
        ),
        (
            AwsCredentials::WorkloadIdentity { role_arn: None },
            &agent_without_token,
            "EKS Pod Identity",
            "'/nowhere/token' cannot be read",
        ),
    ];
    let made = fixture::config().await;
    for (credentials, set, kind, words) in table {
        let config = AwsConfig { credentials, ..made.clone() };
        let set = everything_else.iter().chain(set).copied().collect();
        let error = Aws::open_with(&config, &set).await.expect_err("refused");
        assert!(matches!(error, OpenAwsError::Credentials(_)), "{error:?}");
        let refusal = told(&error);
        assert!(refusal.starts_with("no credentials for AWS from ") && refusal.contains(kind), "{refusal}");
        assert!(refusal.contains(words), "{refusal}");
    }
    assert_eq!(metadata.requests().len(), 0);
}

#[tokio::test]
async fn secrets_are_in_no_debug_output() {
    let secret = "wJalrXUtnFEMI";
    let set =
        variables(&[("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", secret), ("AWS_SESSION_TOKEN", secret)]);
    let store = Aws::open_with(&fixture::config().await, &set).await.expect("the store opens");
    for text in [format!("{set:?}"), format!("{store:#?}")] {
        assert!(!text.contains(secret), "{text}");
    }
}
