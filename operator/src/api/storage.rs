//! Where a Shop's data may live, as a user writes it, and the rules that the API server holds it to. No I/O.

#![expect(unreachable_pub, reason = "the derive of KubeSchema repeats each struct inside of a function")]

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shop_contract::switch;
use storage_adapters::config::Provider;

/// Where the shop's data lives. The settings of several providers may stand side by side: `provider` says where the data
/// is to be, and when it changes, everything moves there while the shop sells. The queues of other clouds take what
/// `spec.onPartition` makes available when its own is out of reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.provider != 'Aws' || has(self.aws)").message("spec.storage.provider is Aws, but spec.storage.aws is missing; write its region, bucket, queue and credentials"),
    validation = Rule::new("self.provider != 'Azure' || has(self.azure)").message("spec.storage.provider is Azure, but spec.storage.azure is missing; write its account, container, queue and credentials"),
    validation = Rule::new("oldSelf.provider != 'Embedded' || (has(self.embedded.volumeClaim.storageClassName) == has(oldSelf.embedded.volumeClaim.storageClassName) && (!has(self.embedded.volumeClaim.storageClassName) || self.embedded.volumeClaim.storageClassName == oldSelf.embedded.volumeClaim.storageClassName))").message("storageClassName cannot change, as the volume stays where it is; write the earlier value")
)]
pub struct StorageSpec {
    /// The provider of the shop's storage. `Aws` keeps everything in S3 and SQS, `Azure` in Blob Storage and Queue
    /// Storage. `Embedded` keeps it on one volume of the cluster; all pods of the shop then run on that volume's node, and
    /// so they do while everything moves there or away.
    pub provider: StorageProvider,
    /// Settings of the provider Aws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AwsSpec")]
    pub aws: Option<AwsSpec>,
    /// Settings of the provider Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AzureSpec")]
    pub azure: Option<AzureSpec>,
    /// Settings of the provider Embedded.
    #[serde(default)]
    pub embedded: EmbeddedSpec,
    /// How the data moves when `provider` changes.
    #[serde(default)]
    pub switch: SwitchSpec,
    /// Whether storage that already holds a shop, of an earlier Shop of this name or of another one, is taken over with
    /// its catalogue and orders. Without it such a Shop waits, and its condition Ready says what was found.
    #[serde(default)]
    pub adopt_existing: bool,
}

/// How the shop's data moves from one provider to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwitchSpec {
    /// When the order shards move.
    #[serde(default)]
    pub cut_over: CutOver,
    /// What to do about the switch that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SwitchAction")]
    pub action: Option<SwitchAction>,
    /// Most bytes a second that are copied into the other store, of all workers together, before a shard moves; as many as they can
    /// without it. What is left then, little, is copied at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(min = 1_048_576, max = 1_099_511_627_776_u64), extend("format" = "int64"))]
    pub max_bytes_per_second: Option<u64>,
    /// Which orders are compared in both stores before the switch is over.
    #[serde(default)]
    pub verify: Verify,
}

/// Which orders are compared in both stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verify {
    /// Each one.
    #[default]
    Full,
    /// One in sixteen: it costs less where reading costs.
    Sample,
}

impl From<Verify> for switch::Verify {
    fn from(verify: Verify) -> Self {
        match verify {
            Verify::Full => Self::Full,
            Verify::Sample => Self::Sample,
        }
    }
}

impl From<switch::Verify> for Verify {
    fn from(verify: switch::Verify) -> Self {
        match verify {
            switch::Verify::Full => Self::Full,
            switch::Verify::Sample => Self::Sample,
        }
    }
}

/// When the order shards move to another provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CutOver {
    /// As soon as they are copied.
    #[default]
    Automatic,
    /// When `action` says `Proceed`. Until then all but the newest is copied, again and again.
    Manual,
}

/// What to do about one switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwitchAction {
    /// Which switch: `status.switch.id`. What is said about another one counts for nothing.
    #[schemars(length(min = 1, max = 20))]
    pub switch_id: String,
    /// What to do.
    #[serde(rename = "do")]
    pub what: SwitchDo,
}

/// What to do about a switch that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SwitchDo {
    /// Move the order shards, whatever `cutOver` says.
    Proceed,
    /// Leave each shard where it is now; the shop sells.
    Pause,
    /// Bring everything back to where it was.
    Abort,
}

/// A provider of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StorageProvider {
    /// S3 and SQS.
    Aws,
    /// Blob Storage and Queue Storage.
    Azure,
    /// One volume of the cluster.
    Embedded,
}

impl From<StorageProvider> for Provider {
    fn from(provider: StorageProvider) -> Self {
        match provider {
            StorageProvider::Aws => Self::Aws,
            StorageProvider::Azure => Self::Azure,
            StorageProvider::Embedded => Self::Embedded,
        }
    }
}

impl From<Provider> for StorageProvider {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::Aws => Self::Aws,
            Provider::Azure => Self::Azure,
            Provider::Embedded => Self::Embedded,
        }
    }
}

impl fmt::Display for StorageProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Settings of the provider Aws: a bucket and a standard queue, which are there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.region == oldSelf.region && self.bucket == oldSelf.bucket && self.queue == oldSelf.queue").message("region, bucket and queue cannot change yet, as this version moves a live shop to another cloud, not within one; write the earlier values"),
    validation = Rule::new("has(self.endpoint) == has(oldSelf.endpoint)").message("endpoint cannot come or go, as the shop's data stays where it is; write what was there before")
)]
pub struct AwsSpec {
    /// Region of bucket and queue, such as eu-central-1.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9-]+$')").message("region is not a region of AWS; write its code, such as eu-central-1")
    )]
    pub region: String,
    /// Name of the bucket of S3.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')").message("bucket is not the name of a bucket; write the name alone, without s3:// or arn:, in lower-case letters, digits, '-' and '.'")
    )]
    pub bucket: String,
    /// Name of the standard queue of SQS.
    #[schemars(length(min = 1, max = 80))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z0-9_-]+$')").message("queue is not the name of a standard queue of SQS; write the name alone, without URL or arn:, in letters, digits, '-' and '_'")
    )]
    pub queue: String,
    /// Servers other than those of AWS that speak its protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EndpointSpec")]
    pub endpoint: Option<EndpointSpec>,
    /// What the shop's pods prove with that they may use bucket and queue.
    pub credentials: AwsCredentialsSpec,
}

/// Credentials for AWS: a workload identity or a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.workloadIdentity) != has(self.secretName)").message("credentials name both kinds or none; write either workloadIdentity or secretName")
)]
pub struct AwsCredentialsSpec {
    /// The identity of the pods' service accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AwsIdentitySpec")]
    pub workload_identity: Option<AwsIdentitySpec>,
    /// A Secret in the Shop's namespace with the keys `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where there is
    /// one, `AWS_SESSION_TOKEN`. When it changes, the pods use what is new without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("secretName is not the name of a Secret; write that of a Secret in this namespace")
    )]
    pub secret_name: Option<String>,
}

/// The identity of the pods' service accounts at AWS: with a role, IAM roles for service accounts; without, EKS Pod
/// Identity, whose association names the service accounts `NAME-web` and `NAME-worker`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsIdentitySpec {
    /// The role that the service accounts may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 20, max = 2048))]
    #[x_kube(
        validation = Rule::new("self.matches('^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$')").message("roleArn is not the ARN of a role; write one such as arn:aws:iam::123456789012:role/corner")
    )]
    pub role_arn: Option<String>,
}

/// Settings of the provider Azure: a container and a queue of one storage account, which are there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.account == oldSelf.account && self.container == oldSelf.container && self.queue == oldSelf.queue").message("account, container and queue cannot change yet, as this version moves a live shop to another cloud, not within one; write the earlier values"),
    validation = Rule::new("has(self.endpoint) == has(oldSelf.endpoint)").message("endpoint cannot come or go, as the shop's data stays where it is; write what was there before")
)]
pub struct AzureSpec {
    /// Name of the storage account.
    #[schemars(length(min = 3, max = 24))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]+$')").message("account is not the name of a storage account; write the name alone, in lower-case letters and digits")
    )]
    pub account: String,
    /// Name of the container of Blob Storage.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]+(-[a-z0-9]+)*$')").message("container is not the name of a container; write the name alone, in lower-case letters, digits and single '-'")
    )]
    pub container: String,
    /// Name of the queue of Queue Storage.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]+(-[a-z0-9]+)*$')").message("queue is not the name of a queue of Queue Storage; write the name alone, in lower-case letters, digits and single '-'")
    )]
    pub queue: String,
    /// Servers other than those of Azure that speak its protocols. Their paths begin with the account where they need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EndpointSpec")]
    pub endpoint: Option<EndpointSpec>,
    /// What the shop's pods prove with that they may use container and queue.
    pub credentials: AzureCredentialsSpec,
}

/// Credentials for Azure: a workload identity or a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.workloadIdentity) != has(self.secretName)").message("credentials name both kinds or none; write either workloadIdentity or secretName")
)]
pub struct AzureCredentialsSpec {
    /// The identity of the pods' service accounts, federated with an application or a managed identity of Entra ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AzureIdentitySpec")]
    pub workload_identity: Option<AzureIdentitySpec>,
    /// A Secret in the Shop's namespace with one of the keys `AZURE_STORAGE_CONNECTION_STRING`,
    /// `AZURE_STORAGE_SAS_TOKEN` and `AZURE_STORAGE_KEY`. When it changes, the pods use what is new without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("secretName is not the name of a Secret; write that of a Secret in this namespace")
    )]
    pub secret_name: Option<String>,
}

/// The identity of the pods' service accounts at Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureIdentitySpec {
    /// Client id of the application or managed identity whose federated credentials name the service accounts
    /// `NAME-web` and `NAME-worker`.
    #[schemars(length(max = 36))]
    #[x_kube(
        validation = Rule::new("self.matches('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')").message("clientId is not a client id; write the UUID that `az identity show --query clientId` prints")
    )]
    pub client_id: String,
}

/// Servers that stand in for a cloud's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.blob) == has(oldSelf.blob) && (!has(self.blob) || self.blob == oldSelf.blob) && has(self.queue) == has(oldSelf.queue) && (!has(self.queue) || self.queue == oldSelf.queue)").message("endpoint.blob and endpoint.queue cannot change, as the shop's data stays where it is; write the earlier values"),
    validation = Rule::new("self.allowPlainHttp || ((!has(self.blob) || !self.blob.startsWith('http://')) && (!has(self.queue) || !self.queue.startsWith('http://')))").message("endpoint is not encrypted; write https://, or allowPlainHttp: true where the network is to be trusted")
)]
pub struct EndpointSpec {
    /// URL of the server of blobs; the cloud's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''").message("blob is not the URL of a server; write one such as https://minio.example.org:9000")
    )]
    pub blob: Option<String>,
    /// URL of the server of the queue; the cloud's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''").message("queue is not the URL of a server; write one such as https://queue.example.org:9324")
    )]
    pub queue: Option<String>,
    /// Whether requests may leave the pods unencrypted.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// A Secret in the Shop's namespace whose key `ca.crt` holds the certificates, in PEM, to trust in place of the
    /// public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("caSecretName is not the name of a Secret; write that of a Secret in this namespace with the key ca.crt")
    )]
    pub ca_secret_name: Option<String>,
}

/// Settings of the provider Embedded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedSpec {
    /// The claim of the volume, named after the Shop: `NAME-data`. It is kept when the Shop is deleted.
    #[serde(default)]
    pub volume_claim: VolumeClaimSpec,
}

/// The claim of the Embedded store's volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimSpec {
    /// Size of the volume, such as 10Gi. It can grow when the storage class allows that, and never shrinks; a size that the
    /// cluster refuses leaves the volume as it is and is named in the condition Degraded.
    #[serde(default = "default_volume_size")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self)").message("size is not a quantity; write a number with a unit, such as 10Gi"),
        validation = Rule::new("!isQuantity(self) || quantity(self).compareTo(quantity('64Mi')) >= 0").message("size is below 64Mi; write a size that holds a shop, such as 10Gi"),
        validation = Rule::new("!isQuantity(self) || quantity(self).compareTo(quantity('64Ti')) <= 0").message("size is above 64Ti; write at most 64Ti")
    )]
    pub size: String,
    /// The storage class of the volume; without it, the cluster's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("storageClassName is not the name of a storage class; write one that `kubectl get storageclass` shows, or leave it out for the default one")
    )]
    pub storage_class_name: Option<String>,
}

impl Default for VolumeClaimSpec {
    fn default() -> Self {
        Self { size: default_volume_size(), storage_class_name: None }
    }
}

fn default_volume_size() -> String {
    "10Gi".into()
}
