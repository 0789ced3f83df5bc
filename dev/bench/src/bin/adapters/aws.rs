//! AWS: the settings of the adapter, and the bare SDKs of S3 and SQS as they come. Does network I/O.

use async_trait::async_trait;
use aws_sdk_s3::{
    config::{BehaviorVersion, Credentials, Region},
    primitives::ByteStream,
};
use aws_smithy_http_client::Builder;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use storage_adapters::config::{AwsConfig, AwsCredentials, Endpoint};

use super::{
    ADAPTERS_STORE, BARE_STORE,
    side::{Delivery, LEASE, MESSAGES, Outcome, Side},
    variable,
};

/// The settings of the adapter.
pub(crate) fn config() -> Outcome<AwsConfig> {
    let url = variable("AWS_ENDPOINT_URL")?.parse::<url::Url>()?;
    Ok(AwsConfig {
        region: variable("AWS_REGION")?,
        bucket: ADAPTERS_STORE.to_owned(),
        queue: ADAPTERS_STORE.to_owned(),
        endpoint: Some(Endpoint { blob: Some(url.clone()), queue: Some(url), ..Endpoint::default() }),
        credentials: AwsCredentials::Environment,
    })
}

/// The SDKs with their own defaults: retries, limits of time and checksums.
pub(crate) struct Bare {
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
}

impl Bare {
    pub(crate) async fn open() -> Outcome<Self> {
        let (url, region) = (variable("AWS_ENDPOINT_URL")?, Region::new(variable("AWS_REGION")?));
        let (id, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
        let keys = Credentials::new(id, secret, None, None, "bench");
        let s3 = aws_sdk_s3::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(region.clone())
            .http_client(Builder::new().build_http())
            .credentials_provider(keys.clone())
            .endpoint_url(&url)
            .force_path_style(true);
        let sqs = aws_sdk_sqs::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(region)
            .http_client(Builder::new().build_http())
            .credentials_provider(keys)
            .endpoint_url(url);
        let (s3, sqs) = (aws_sdk_s3::Client::from_conf(s3.build()), aws_sdk_sqs::Client::from_conf(sqs.build()));
        let found = sqs.get_queue_url().queue_name(BARE_STORE).send().await?;
        Ok(Self { s3, sqs, queue_url: found.queue_url.ok_or("the queue has no URL")? })
    }
}

#[async_trait]
impl Side for Bare {
    async fn put(&self, key: &str, body: Bytes) -> Outcome<()> {
        let put = self.s3.put_object().bucket(BARE_STORE).key(key).if_none_match("*");
        put.body(ByteStream::from(body)).send().await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Outcome<usize> {
        let found = self.s3.get_object().bucket(BARE_STORE).key(key).send().await?;
        Ok(found.body.collect().await?.into_bytes().len())
    }

    async fn list(&self, prefix: &str) -> Outcome<usize> {
        let mut pages = self.s3.list_objects_v2().bucket(BARE_STORE).prefix(prefix).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            found.append(&mut page?.contents.unwrap_or_default());
        }
        Ok(found.len())
    }

    async fn send(&self, pack: Bytes) -> Outcome<()> {
        // SQS takes text alone.
        let text = BASE64_STANDARD.encode(&pack);
        self.sqs.send_message().queue_url(&self.queue_url).message_body(text).send().await?;
        Ok(())
    }

    async fn receive(&self) -> Outcome<Vec<Delivery>> {
        let receive =
            self.sqs.receive_message().queue_url(&self.queue_url).max_number_of_messages(MESSAGES.try_into()?);
        let found = receive.visibility_timeout(LEASE.as_secs().try_into()?).send().await?;
        let mut deliveries = Vec::new();
        for message in found.messages.unwrap_or_default() {
            deliveries.push(Delivery {
                message: String::new(),
                right: message.receipt_handle.ok_or("a message has no handle")?,
                length: BASE64_STANDARD.decode(message.body.unwrap_or_default())?.len(),
            });
        }
        Ok(deliveries)
    }

    async fn ack(&self, delivery: Delivery) -> Outcome<()> {
        self.sqs.delete_message().queue_url(&self.queue_url).receipt_handle(delivery.right).send().await?;
        Ok(())
    }
}
