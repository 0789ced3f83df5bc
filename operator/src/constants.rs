//! Names that the operator shares with clusters: label keys, field managers, annotations, file paths. No I/O.

/// API group of the custom resources.
pub const GROUP: &str = "cloudshop.dev";
/// Version of the custom resources.
pub const VERSION: &str = "v1alpha1";

/// Field manager of everything the operator applies for a Shop.
pub const FIELD_MANAGER: &str = "cloudshop-operator";
/// Field manager of the status of a Shop.
pub const STATUS_FIELD_MANAGER: &str = "cloudshop-operator-status";
/// Who the events of a Shop come from.
pub const EVENT_REPORTER: &str = "cloudshop.dev/operator";

/// Label: what kind of application an object is part of.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Label: the Shop that an object is part of.
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
/// Label: the part of the shop, `web` or `worker`.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Label: who keeps the object as it should be.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_NAME`].
pub const APPLICATION: &str = "cloudshop";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "cloudshop-operator";
/// Value of [`LABEL_NAME`] on the operator's own pods, which the shops' network policies let in.
pub const OPERATOR_APPLICATION: &str = "cloudshop-operator";
/// Label that the API server puts on every namespace.
pub const LABEL_NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Annotation on pods: digest of the config they were started with, so that a changed config replaces them.
pub const ANNOTATION_CONFIG_DIGEST: &str = "cloudshop.dev/config-digest";

/// Annotation on service accounts: the role of IAM that their pods take.
pub const ANNOTATION_AWS_ROLE: &str = "eks.amazonaws.com/role-arn";
/// Annotation on service accounts: the client of Entra ID that their pods are.
pub const ANNOTATION_AZURE_CLIENT: &str = "azure.workload.identity/client-id";
/// Label on pods: that they are given the token of their service account for Entra ID.
pub const LABEL_AZURE_IDENTITY: &str = "azure.workload.identity/use";

/// Label on pods: that they mount the shop's volume.
pub const LABEL_VOLUME: &str = "cloudshop.dev/volume";

/// The shop's program in its image.
pub const PROGRAM: &str = "/shop";
/// Where pods find their config and token.
pub const CONFIG_DIRECTORY: &str = "/etc/cloudshop";
/// Name of the config file, in the `ConfigMap` and in [`CONFIG_DIRECTORY`].
pub const CONFIG_FILE: &str = "shop.toml";
/// Key of the token in its Secret.
pub const TOKEN_KEY: &str = "token";
/// Where the token is below [`CONFIG_DIRECTORY`].
pub const TOKEN_FILE: &str = "token/token";
/// Where the Embedded store's volume is mounted.
pub const DATA_DIRECTORY: &str = "/var/lib/cloudshop";
/// Where pods find the Secrets that open stores in clouds, each in a folder of its own.
pub const SECRETS_DIRECTORY: &str = "/var/run/secrets/cloudshop.dev";
/// Key of the certificates of servers that stand in for a cloud's own in their Secret, and name of their file.
pub const CA_KEY: &str = "ca.crt";
/// Where a worker keeps the lock that tells a restarted container from a new pod.
pub const RUN_DIRECTORY: &str = "/var/run/cloudshop";
/// Environment variable that tells a pod its own address.
pub const ENV_POD_IP: &str = "POD_IP";

/// User and group of every container.
pub const USER_ID: i64 = 65_532;
/// Port 80 of the shop's Service.
pub const SERVICE_PORT: i32 = 80;
