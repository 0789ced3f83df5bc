//! Opens a bucket and a queue that are there and set up as the contract needs them. Changes nothing; does I/O.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::error::SdkError;
use aws_sdk_sqs::types::QueueAttributeName;
use tokio::time::timeout;

use super::{
    Aws,
    blobs::{Bucket, task},
    client::{self, TrustError},
    credentials::{Credentials, CredentialsError},
    errors::{Service, Task},
    queue::SqsQueue,
    secret::Variables,
};
use crate::{
    config::AwsConfig,
    decorators::Meter,
    error::{Error, ErrorKind},
    queue::{MAX_PACK_BYTES, RETENTION},
};

/// Longest time of opening both.
const LIMIT: Duration = Duration::from_secs(15);

/// A bucket or a queue that cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenAwsError {
    /// The certificates to trust are unusable.
    #[error(transparent)]
    Certificates(#[from] TrustError),
    /// There are no credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// There is no such bucket.
    #[error("there is no bucket '{bucket}'; create it with `{command}`")]
    NoBucket {
        /// Its name.
        bucket: String,
        /// What creates it.
        command: String,
    },
    /// The bucket is elsewhere.
    #[error("the bucket '{bucket}' is in the region {found}; write that region, or name a bucket of {region}")]
    OtherRegion {
        /// Its name.
        bucket: String,
        /// The region of the configuration.
        region: String,
        /// Where it is.
        found: String,
    },
    /// There is no such queue.
    #[error("there is no queue '{queue}' in the region {region}; create it with `{command}`")]
    NoQueue {
        /// Its name.
        queue: String,
        /// The region of the configuration.
        region: String,
        /// What creates it.
        command: String,
    },
    /// The queue is set up otherwise than the contract needs it.
    #[error("the queue '{queue}' has {attribute} {found}, but the shop needs {needed}; mend it with `{command}`")]
    QueueSetting {
        /// Its name.
        queue: String,
        /// What is wrong.
        attribute: String,
        /// How it is.
        found: String,
        /// How it must be.
        needed: String,
        /// What mends it.
        command: String,
    },
    /// The credentials do not allow it.
    #[error("these credentials may not use {what}; allow them {actions} on it")]
    Denied {
        /// Bucket or queue.
        what: String,
        /// The actions of IAM that are needed.
        actions: &'static str,
        /// What was refused.
        source: Error,
    },
    /// It cannot be asked.
    #[error("{what} cannot be reached; look whether its address is right and the network lets the pod through")]
    Unreachable {
        /// Bucket or queue.
        what: String,
        /// Why.
        source: Error,
    },
    /// It took too long.
    #[error("S3 and SQS did not answer within {} s; look whether the network lets the pod through", LIMIT.as_secs())]
    TooSlow,
}

const BUCKET_ACTIONS: &str = "s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload";
const QUEUE_ACTIONS: &str = "sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:SendMessage, sqs:ReceiveMessage, \
                             sqs:ChangeMessageVisibility and sqs:DeleteMessage";

/// Opens both.
pub(super) async fn open(config: &AwsConfig, variables: &Variables, meter: &Arc<Meter>) -> Result<Aws, OpenAwsError> {
    let ca_file = config.endpoint.as_ref().and_then(|endpoint| endpoint.ca_file.as_deref());
    let connector = client::connector(ca_file)?;
    let credentials = Credentials::new(config, variables, &connector)?;
    let s3 = client::s3(config, &connector, meter, credentials.clone());
    let sqs = client::sqs(config, &connector, meter, credentials.clone());
    let opening = async {
        // Before anything else, so that what is missing is named by itself.
        credentials.get().await?;
        check_bucket(&s3, config).await?;
        check_queue(&sqs, config).await
    };
    let url = timeout(LIMIT, opening).await.map_err(|_| OpenAwsError::TooSlow)??;
    let bucket = Bucket { client: s3, name: config.bucket.as_str().into() };
    Ok(Aws { blobs: Arc::new(bucket), queue: Arc::new(SqsQueue::new(sqs, &url)) })
}

async fn check_bucket(client: &aws_sdk_s3::Client, config: &AwsConfig) -> Result<(), OpenAwsError> {
    let AwsConfig { bucket, region, .. } = config;
    let Err(fault) = client.head_bucket().bucket(bucket).send().await else { return Ok(()) };
    let (status, found) = fault.raw_response().map_or((0, None), |answer| {
        (answer.status().as_u16(), answer.headers().get("x-amz-bucket-region").map(str::to_owned))
    });
    match (status, found) {
        (404, _) => Err(OpenAwsError::NoBucket { bucket: bucket.clone(), command: create_bucket(config) }),
        (300..=499, Some(found)) if found != *region => {
            Err(OpenAwsError::OtherRegion { bucket: bucket.clone(), region: region.clone(), found })
        }
        _ => {
            let what = format!("the bucket '{bucket}'");
            Err(cannot_use(what, BUCKET_ACTIONS, task("open", bucket.as_str()).sdk(fault)))
        }
    }
}

/// Finds the queue, and returns its URL when it is as the contract needs it. It is a standard one: the name of any other
/// ends in `.fifo`, which the configuration refuses.
async fn check_queue(client: &aws_sdk_sqs::Client, config: &AwsConfig) -> Result<String, OpenAwsError> {
    let AwsConfig { queue, region, .. } = config;
    let task = Task::new(Service::Sqs, "open", queue.as_str());
    let unusable = |error| cannot_use(format!("the queue '{queue}'"), QUEUE_ACTIONS, error);
    let missing =
        || OpenAwsError::NoQueue { queue: queue.clone(), region: region.clone(), command: create_queue(config) };
    let answer = client.get_queue_url().queue_name(queue).send().await.map_err(|fault| match &fault {
        SdkError::ServiceError(error) if error.err().is_queue_does_not_exist() => missing(),
        _ => unusable(task.sdk(fault)),
    })?;
    let url = answer.queue_url.ok_or_else(missing)?;
    let attributes = client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
    let attributes = attributes.send().await.map_err(|fault| unusable(task.sdk(fault)))?.attributes;
    let attributes = attributes.unwrap_or_default();
    let value = |name: &QueueAttributeName| attributes.get(name).map_or("", String::as_str);
    let number = |name: &QueueAttributeName| value(name).parse::<u64>().ok();

    let retention = RETENTION.as_secs();
    let largest = MAX_PACK_BYTES as u64 * 4 / 3;
    let (keeps, redrives, delays, limits) = (
        QueueAttributeName::MessageRetentionPeriod,
        QueueAttributeName::RedrivePolicy,
        QueueAttributeName::DelaySeconds,
        QueueAttributeName::MaximumMessageSize,
    );
    let table = [
        (number(&keeps) == Some(retention), keeps.clone(), format!("{retention} (14 days)"), retention.to_string()),
        // Its dead letters would be lost to the shop, which keeps them itself.
        (value(&redrives).is_empty(), redrives.clone(), "none".to_owned(), String::new()),
        (number(&delays).unwrap_or(0) == 0, delays.clone(), "0".to_owned(), "0".to_owned()),
        (
            number(&limits).is_none_or(|limit| limit >= largest),
            limits.clone(),
            format!("{largest}"),
            "262144".to_owned(),
        ),
    ];
    for (is_right, attribute, needed, good) in table {
        if !is_right {
            let command = format!(
                "aws sqs set-queue-attributes --queue-url {url} --attributes '{{\"{attribute}\":\"{good}\"}}'{}",
                options(config, |endpoint| endpoint.queue.as_ref())
            );
            let found = value(&attribute).to_owned();
            return Err(OpenAwsError::QueueSetting {
                queue: queue.clone(),
                attribute: attribute.as_str().to_owned(),
                found,
                needed,
                command,
            });
        }
    }
    Ok(url)
}

fn cannot_use(what: String, actions: &'static str, source: Error) -> OpenAwsError {
    match source.kind() {
        ErrorKind::Denied => OpenAwsError::Denied { what, actions, source },
        _ => OpenAwsError::Unreachable { what, source },
    }
}

fn create_bucket(config: &AwsConfig) -> String {
    // The first region is named by saying nothing.
    let place = match config.region.as_str() {
        "us-east-1" => String::new(),
        region => format!(" --create-bucket-configuration LocationConstraint={region}"),
    };
    let options = options(config, |endpoint| endpoint.blob.as_ref());
    format!("aws s3api create-bucket --bucket {}{place}{options}", config.bucket)
}

fn create_queue(config: &AwsConfig) -> String {
    let retention = RETENTION.as_secs();
    let options = options(config, |endpoint| endpoint.queue.as_ref());
    format!(
        "aws sqs create-queue --queue-name {} --attributes MessageRetentionPeriod={retention}{options}",
        config.queue
    )
}

fn options(config: &AwsConfig, url: impl Fn(&crate::config::Endpoint) -> Option<&url::Url>) -> String {
    let url = config.endpoint.as_ref().and_then(url).map(|url| format!(" --endpoint-url {url}")).unwrap_or_default();
    format!(" --region {}{url}", config.region)
}
