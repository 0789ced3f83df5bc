//! What a user may write in a Shop, and the rules that the API server holds it to. No I/O.

#![expect(unreachable_pub, reason = "the derive of KubeSchema repeats each struct inside of a function")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{status::ShopStatus, storage::StorageSpec};

/// An online shop: storefront, order service and the storage they live on.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloudshop.dev",
    version = "v1alpha1",
    kind = "Shop",
    plural = "shops",
    namespaced,
    status = "ShopStatus",
    derive = "PartialEq",
    category = "cloudshop",
    doc = "An online shop: storefront, order service and the storage they live on.",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, description = "Whether this generation of the shop serves."),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, description = "Why it does or does not."),
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.provider", description = "Where the shop's data is."),
    printcolumn(name = "Switch", type_ = "string", json_path = ".status.switch.phase", description = "How far the move of its data to another provider is."),
    printcolumn(name = "Web", type_ = "integer", json_path = ".status.web.ready", description = "Web pods that are ready."),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.worker.ready", description = "Workers that are ready."),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", description = "Where shoppers find it."),
    printcolumn(name = "Queue", type_ = "integer", json_path = ".status.queue.depth", priority = 1, description = "Messages in the queue."),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1, description = "The condition Ready in words."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "When it was created."),
    validation = Rule::new("self.metadata.name.size() <= 39").message("metadata.name has more than 39 characters; write a shorter one, since the names of the shop's pods are made from it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name becomes the name of a Service; write one that starts with a letter and holds only a-z, 0-9 and '-', such as corner"),
    validation = Rule::new("!has(self.status) || !has(self.status.provider) || self.status.provider != 'Aws' || has(self.spec.storage.aws)").message("the shop's data is in Aws, but spec.storage.aws is missing; leave the settings until status.provider is another one"),
    validation = Rule::new("!has(self.status) || !has(self.status.provider) || self.status.provider != 'Azure' || has(self.spec.storage.azure)").message("the shop's data is in Azure, but spec.storage.azure is missing; leave the settings until status.provider is another one"),
    validation = Rule::new("!has(self.status) || !has(self.status.switch) || self.status.switch.phase in ['Completed', 'Aborted'] || !('Aws' in [self.status.switch.from, self.status.switch.to]) || has(self.spec.storage.aws)").message("a switch from or to Aws is under way, but spec.storage.aws is missing; leave the settings until status.switch.phase is Completed or Aborted and its queue is empty"),
    validation = Rule::new("!has(self.status) || !has(self.status.switch) || self.status.switch.phase in ['Completed', 'Aborted'] || !('Azure' in [self.status.switch.from, self.status.switch.to]) || has(self.spec.storage.azure)").message("a switch from or to Azure is under way, but spec.storage.azure is missing; leave the settings until status.switch.phase is Completed or Aborted and its queue is empty")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.worker.autoscaling.maxReplicas) || self.worker.autoscaling.maxReplicas <= self.orders.shards").message("spec.worker.autoscaling.maxReplicas is larger than spec.orders.shards; write at most the number of shards, since a worker without a shard has nothing to do"),
    validation = Rule::new("self.worker.autoscaling.minReplicas <= self.orders.shards").message("spec.worker.autoscaling.minReplicas is larger than spec.orders.shards; write at most the number of shards, since a worker without a shard has nothing to do")
)]
pub struct ShopSpec {
    /// Where the shop's data lives.
    pub storage: StorageSpec,
    /// How orders are kept.
    #[serde(default)]
    pub orders: OrdersSpec,
    /// What the shop gives up when the owner of an order, or the store, is out of reach: answers that may be wrong, or
    /// answers. While nothing is out of reach, both choices are the same.
    #[serde(default)]
    pub on_partition: OnPartitionSpec,
    /// What the shop sells.
    #[serde(default)]
    pub catalogue: CatalogueSpec,
    /// The pods that serve pages, the API and search.
    #[serde(default = "TierSpec::web")]
    pub web: TierSpec,
    /// The pods that own the order shards and read the queue.
    #[serde(default)]
    pub worker: WorkerSpec,
    /// How shoppers reach the shop.
    #[serde(default)]
    pub expose: ExposeSpec,
    /// What happens to the shop's data when the Shop is deleted. `Retain` keeps it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// While true the operator leaves the shop as it is: it changes nothing in the cluster for it, and repairs nothing.
    #[serde(default)]
    pub paused: bool,
}

/// How orders are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrdersSpec {
    /// Number of order shards. More shards let more workers share the load; the number never changes.
    #[serde(default = "default_shards")]
    #[schemars(range(min = 1, max = 64), extend("format" = "int32"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("spec.orders.shards cannot change, as every order is kept in the shard that its id names; write the earlier value")
    )]
    pub shards: u16,
}

/// What the shop gives up when the network breaks, for each need of the business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnPartitionSpec {
    /// For creating an order, changing its items, and reading it.
    #[serde(default = "availability")]
    pub carts: OnPartition,
    /// For submitting and cancelling an order.
    #[serde(default = "consistency")]
    pub submit: OnPartition,
}

/// What is kept when the network breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnPartition {
    /// Within a second the command is done, or it is refused with 503. Nothing that may be old is shown.
    Consistency,
    /// Within half a second the command is done or lies in a queue, from where it is applied when the network is whole
    /// again. Orders are shown as they were last known, marked as such.
    Availability,
}

/// What the shop sells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueSpec {
    /// Whether a shop that has no catalogue yet starts with the sample catalogue of 1,000 products. Without it the shop
    /// waits until one is imported.
    #[serde(default = "yes")]
    pub sample: bool,
}

/// The web pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TierSpec {
    /// How many pods there are.
    #[serde(default = "Autoscaling::web")]
    pub autoscaling: Autoscaling,
    /// What one pod may use. What is left out has a sensible default.
    #[serde(default)]
    pub resources: Resources,
}

/// The worker pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSpec {
    /// How many pods there are.
    #[serde(default)]
    pub autoscaling: WorkerAutoscaling,
    /// What one pod may use. What is left out has a sensible default.
    #[serde(default)]
    pub resources: Resources,
}

/// How many web pods there are. Set both numbers alike for a fixed number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas is larger than maxReplicas; write a minReplicas of at most maxReplicas")
)]
pub struct Autoscaling {
    /// Pods that there are at least.
    #[serde(default = "default_web_minimum")]
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub min_replicas: u16,
    /// Pods that there are at most.
    #[serde(default = "default_web_maximum")]
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub max_replicas: u16,
    /// The CPU use that is aimed at, in percent of a pod's CPU request.
    #[serde(default = "default_target")]
    #[schemars(range(min = 10, max = 95), extend("format" = "int32"))]
    pub target_cpu_utilization: u16,
}

/// How many workers there are. Set both numbers alike for a fixed number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas").message("minReplicas is larger than maxReplicas; write a minReplicas of at most maxReplicas")
)]
pub struct WorkerAutoscaling {
    /// Workers that there are at least.
    #[serde(default = "default_worker_minimum")]
    #[schemars(range(min = 1, max = 64), extend("format" = "int32"))]
    pub min_replicas: u16,
    /// Workers that there are at most, no more than `spec.orders.shards`; without it 4, or as many as there are shards
    /// when that is less, or minReplicas when that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u16", range(min = 1, max = 64), extend("format" = "int32"))]
    pub max_replicas: Option<u16>,
    /// The CPU use that is aimed at, in percent of a pod's CPU request.
    #[serde(default = "default_target")]
    #[schemars(range(min = 10, max = 95), extend("format" = "int32"))]
    pub target_cpu_utilization: u16,
}

/// What one pod may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.requests) || !has(self.limits) || !has(self.requests.cpu) || !has(self.limits.cpu) || !isQuantity(self.requests.cpu) || !isQuantity(self.limits.cpu) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0").message("requests.cpu is larger than limits.cpu; write a request of at most the limit"),
    validation = Rule::new("!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || !has(self.limits.memory) || !isQuantity(self.requests.memory) || !isQuantity(self.limits.memory) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0").message("requests.memory is larger than limits.memory; write a request of at most the limit")
)]
pub struct Resources {
    /// What is set aside for a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Quantities")]
    pub requests: Option<Quantities>,
    /// What a pod may never exceed. There is no CPU limit unless one is set here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Quantities")]
    pub limits: Option<Quantities>,
}

/// Amounts of CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quantities {
    /// CPU, such as 250m for a quarter of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self)").message("cpu is not a quantity; write cores or thousandths of a core, such as 250m"),
        validation = Rule::new("!isQuantity(self) || quantity(self).compareTo(quantity('10m')) >= 0").message("cpu is below 10m; write at least 10m"),
        validation = Rule::new("!isQuantity(self) || quantity(self).compareTo(quantity('256')) <= 0").message("cpu is above 256 cores; write at most 256")
    )]
    pub cpu: Option<String>,
    /// Memory, such as 128Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self)").message("memory is not a quantity; write a number with a unit, such as 128Mi"),
        validation = Rule::new("!isQuantity(self) || quantity(self).compareTo(quantity('32Mi')) >= 0").message("memory is below 32Mi; write at least 32Mi"),
        validation = Rule::new("!isQuantity(self) || quantity(self).compareTo(quantity('4Ti')) <= 0").message("memory is above 4Ti; write at most 4Ti")
    )]
    pub memory: Option<String>,
}

/// How shoppers reach the shop. Inside the cluster its Service, named like the Shop, always answers on port 80.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExposeSpec {
    /// The Service of the shop.
    #[serde(default)]
    pub service: ServiceSpec,
    /// An Ingress for the shop, when set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IngressSpec")]
    pub ingress: Option<IngressSpec>,
}

/// The Service of the shop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP` is reachable inside the cluster, `NodePort` on a port of every node, `LoadBalancer` by an address of
    /// the cluster's load balancer.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
}

/// Types of Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reachable inside the cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Reachable on a port of every node.
    NodePort,
    /// Reachable by an address of the cluster's load balancer.
    LoadBalancer,
}

/// An Ingress for the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// The host name that shoppers use.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("host is not a host name; write the name alone, in lower case and without http://, port or path, such as shop.example.org")
    )]
    pub host: String,
    /// The ingress class; without it, the cluster's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("className is not the name of an ingress class; write one that `kubectl get ingressclass` shows, or leave it out for the default one")
    )]
    pub class_name: Option<String>,
    /// A Secret of type kubernetes.io/tls in the Shop's namespace, with the certificate of the host; without it the
    /// Ingress serves plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("tlsSecretName is not the name of a Secret; write that of a Secret of type kubernetes.io/tls in this namespace, or leave it out for plain HTTP")
    )]
    pub tls_secret_name: Option<String>,
}

/// What happens to the shop's data when the Shop is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is kept; a Shop of the same name finds it again with `spec.storage.adoptExisting`.
    #[default]
    Retain,
}

impl Default for OnPartitionSpec {
    fn default() -> Self {
        Self { carts: availability(), submit: consistency() }
    }
}

impl Default for OrdersSpec {
    fn default() -> Self {
        Self { shards: default_shards() }
    }
}

impl Default for CatalogueSpec {
    fn default() -> Self {
        Self { sample: yes() }
    }
}

impl TierSpec {
    fn web() -> Self {
        Self { autoscaling: Autoscaling::web(), resources: Resources::default() }
    }
}

impl Autoscaling {
    fn web() -> Self {
        Self {
            min_replicas: default_web_minimum(),
            max_replicas: default_web_maximum(),
            target_cpu_utilization: default_target(),
        }
    }
}

impl Default for WorkerAutoscaling {
    fn default() -> Self {
        Self { min_replicas: default_worker_minimum(), max_replicas: None, target_cpu_utilization: default_target() }
    }
}

fn availability() -> OnPartition {
    OnPartition::Availability
}

fn consistency() -> OnPartition {
    OnPartition::Consistency
}

fn default_shards() -> u16 {
    4
}

fn default_web_minimum() -> u16 {
    2
}

fn default_web_maximum() -> u16 {
    20
}

fn default_worker_minimum() -> u16 {
    1
}

fn default_target() -> u16 {
    60
}

fn yes() -> bool {
    true
}
