//! A bucket and queues for the tests of the AWS adapter, on the emulator or on the server that the environment names.

use aws_sdk_s3::{
    config::{BehaviorVersion, Credentials, Region, SharedHttpClient},
    types::CreateBucketConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use storage_adapters::{
    aws::Variables,
    config::{AwsConfig, AwsCredentials, Endpoint},
    conformance::emulators,
};
use url::Url;
use uuid::Uuid;

/// The region of the environment, or any.
fn region() -> String {
    std::env::var("AWS_REGION").unwrap_or_else(|_| "eu-central-1".to_owned())
}

/// Fourteen days.
pub(crate) const RETENTION: &str = "1209600";

/// Creates what the adapter never creates.
pub(crate) struct Admin {
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
}

impl Admin {
    pub(crate) fn new() -> Self {
        let server = emulators::aws();
        let variable = |name| std::env::var(name).unwrap_or_else(|_| "test".to_owned());
        let keys =
            Credentials::new(variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"), None, None, "test");
        let s3 = aws_sdk_s3::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region()))
            .http_client(http_client(&server.blob))
            .credentials_provider(keys.clone())
            .endpoint_url(server.blob.as_str())
            .force_path_style(true);
        let sqs = aws_sdk_sqs::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region()))
            .http_client(http_client(&server.queue))
            .credentials_provider(keys)
            .endpoint_url(server.queue.as_str());
        Self { s3: aws_sdk_s3::Client::from_conf(s3.build()), sqs: aws_sdk_sqs::Client::from_conf(sqs.build()) }
    }

    /// A new bucket.
    pub(crate) async fn bucket(&self) -> String {
        let name = format!("test-{}", Uuid::new_v4().simple());
        // The oldest region must not be named.
        let place = Some(region())
            .filter(|region| region != "us-east-1")
            .map(|region| CreateBucketConfiguration::builder().location_constraint(region.as_str().into()).build());
        let create = self.s3.create_bucket().bucket(&name).set_create_bucket_configuration(place);
        create.send().await.expect("the bucket is created");
        name
    }

    /// A new queue with attributes, and its URL.
    pub(crate) async fn queue(&self, attributes: &[(QueueAttributeName, &str)]) -> (String, String) {
        let name = format!("test-{}", Uuid::new_v4().simple());
        let mut create = self.sqs.create_queue().queue_name(&name);
        for (attribute, value) in attributes {
            create = create.attributes(attribute.clone(), *value);
        }
        let url = create.send().await.expect("the queue is created").queue_url;
        (name, url.expect("it has a URL"))
    }
}

fn http_client(server: &Url) -> SharedHttpClient {
    use aws_smithy_http_client::{
        Builder,
        tls::{Provider, rustls_provider::CryptoMode},
    };
    match server.scheme() {
        "http" => Builder::new().build_http(),
        _ => Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
    }
}

/// A configuration of a bucket and a queue of the test's own.
pub(crate) async fn config() -> AwsConfig {
    let admin = Admin::new();
    let (queue, _) = admin.queue(&[(QueueAttributeName::MessageRetentionPeriod, RETENTION)]).await;
    config_of(&admin.bucket().await, &queue)
}

/// A configuration of these, on the emulator.
pub(crate) fn config_of(bucket: &str, queue: &str) -> AwsConfig {
    let server = emulators::aws();
    config_on(bucket, queue, &server.blob, &server.queue)
}

pub(crate) fn config_on(bucket: &str, queue: &str, blob_server: &Url, queue_server: &Url) -> AwsConfig {
    AwsConfig {
        region: region(),
        bucket: bucket.to_owned(),
        queue: queue.to_owned(),
        endpoint: Some(Endpoint {
            blob: Some(blob_server.clone()),
            queue: Some(queue_server.clone()),
            allow_plain_http: false,
            ca_file: None,
        }),
        credentials: AwsCredentials::Environment,
    }
}

/// The access key of the environment, or any.
pub(crate) fn variables() -> Variables {
    let variable = |name| (name, std::env::var(name).unwrap_or_else(|_| "test".to_owned()));
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].into_iter().map(variable).collect()
}
