//! What is refused when a store is opened, and with which words.

use aws_sdk_sqs::types::QueueAttributeName;
use storage_adapters::{
    Store,
    aws::{Aws, OpenAwsError},
    config::AwsConfig,
};

use crate::{
    fixture::{self, Admin, RETENTION, config_of, variables},
    places::{SecretFolder, config_at, with_secret},
    server::{Reply, Server},
    told,
};

async fn refusal(config: &AwsConfig) -> String {
    told(&Aws::open_with(config, &variables()).await.expect_err("refused"))
}

#[tokio::test]
async fn a_store_that_is_set_up_right_opens_and_is_tried_out() {
    let secret = SecretFolder::new("key");
    let config = with_secret(fixture::config().await, &secret);
    Store::open(&config.into()).await.expect("the store opens");
}

#[tokio::test]
async fn a_missing_bucket_is_refused_with_the_command_that_creates_it() {
    let config = AwsConfig { bucket: "not-there".into(), ..fixture::config().await };
    let refusal = refusal(&config).await;
    let command = "`aws s3api create-bucket --bucket not-there --create-bucket-configuration \
                   LocationConstraint=eu-central-1 --region eu-central-1 --endpoint-url http://127.0.0.1:";
    assert!(refusal.starts_with("there is no bucket 'not-there'; create it with"), "{refusal}");
    assert!(refusal.contains(command), "{refusal}");
}

#[tokio::test]
async fn a_missing_queue_is_refused_with_the_command_that_creates_it() {
    let config = AwsConfig { queue: "not-there".into(), ..fixture::config().await };
    let refusal = refusal(&config).await;
    let command = "`aws sqs create-queue --queue-name not-there --attributes MessageRetentionPeriod=1209600 \
                   --region eu-central-1 --endpoint-url http://127.0.0.1:";
    assert!(refusal.starts_with("there is no queue 'not-there' in the region eu-central-1"), "{refusal}");
    assert!(refusal.contains(command), "{refusal}");
}

#[tokio::test]
async fn a_queue_that_is_set_up_otherwise_is_refused_with_the_command_that_mends_it() {
    let admin = Admin::new();
    let bucket = admin.bucket().await;
    let (dead, _) = admin.queue(&[]).await;
    let redrive =
        format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:123456789012:{dead}","maxReceiveCount":"3"}}"#);
    let table = [
        (
            QueueAttributeName::MessageRetentionPeriod,
            "345600",
            "345600, but the shop needs 1209600 (14 days)",
            RETENTION,
        ),
        (QueueAttributeName::RedrivePolicy, &redrive, "but the shop needs none", ""),
        (QueueAttributeName::DelaySeconds, "5", "5, but the shop needs 0", "0"),
        (QueueAttributeName::MaximumMessageSize, "1024", "1024, but the shop needs 65536", "262144"),
    ];
    for (attribute, value, words, good) in table {
        let mut attributes = vec![(QueueAttributeName::MessageRetentionPeriod, RETENTION)];
        attributes.retain(|(other, _)| *other != attribute);
        attributes.push((attribute.clone(), value));
        let (queue, url) = admin.queue(&attributes).await;
        let config = config_of(&bucket, &queue);
        let refusal = refusal(&config).await;
        assert!(refusal.starts_with(&format!("the queue '{queue}' has {attribute} ")), "{refusal}");
        assert!(refusal.contains(words), "{refusal}");
        let command =
            format!("aws sqs set-queue-attributes --queue-url {url} --attributes '{{\"{attribute}\":\"{good}\"}}'");
        assert!(refusal.contains(&command), "{refusal}");
        // What the command does.
        let mend = admin.sqs.set_queue_attributes().queue_url(&url).attributes(attribute, good);
        mend.send().await.expect("it is mended");
        Aws::open_with(&config, &variables()).await.expect("the store opens");
    }
}

#[tokio::test]
async fn a_bucket_of_another_region_is_refused_with_that_region() {
    let server = Server::answering(|_| Reply::new(301, "x-amz-bucket-region: us-west-2\r\n", "")).await;
    let refusal = refusal(&config_at("bucket", "queue", &server.url)).await;
    assert!(refusal.contains("is in the region us-west-2; write that region"), "{refusal}");
}

#[tokio::test]
async fn credentials_that_are_not_enough_are_refused_with_what_to_allow() {
    let server = Server::answering(|_| Reply::new(403, "", "")).await;
    let refusal = refusal(&config_at("bucket", "queue", &server.url)).await;
    assert!(refusal.starts_with("these credentials may not use the bucket 'bucket'; allow them s3:"), "{refusal}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_refused_by_name() {
    let config = config_at("bucket", "queue", &"http://127.0.0.1:1".parse().expect("a URL"));
    let error = Aws::open_with(&config, &variables()).await.expect_err("refused");
    assert!(matches!(&error, OpenAwsError::Unreachable { what, .. } if what == "the bucket 'bucket'"), "{error}");
}

#[tokio::test]
async fn nothing_is_created_when_a_store_is_opened() {
    let proxy = Server::before_emulator(|_| false).await;
    let made = fixture::config().await;
    Aws::open_with(&config_at(&made.bucket, &made.queue, &proxy.url), &variables()).await.expect("the store opens");
    let first_lines: Vec<_> = proxy.requests().iter().map(|request| request.head.clone()).collect();
    let reads = |head: &String| {
        head.starts_with("HEAD ") || ["GetQueueUrl", "GetQueueAttributes"].iter().any(|name| head.contains(name))
    };
    assert!(first_lines.iter().all(reads), "{first_lines:?}");
}
