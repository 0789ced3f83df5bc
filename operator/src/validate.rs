//! Turns a Shop as it was written into one that can be built from without further questions. No I/O.
//!
//! The API server holds new Shops to the same rules; this catches what was stored before a rule existed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use storage_adapters::config::StorageConfigError;

use crate::{
    api::{
        Autoscaling, DeletionPolicy, IngressSpec, OnPartitionSpec, Quantities, Resources, ServiceType, Shop, ShopSpec,
        ShopStatus, StorageProvider, StorageSpec, SwitchSpec, WorkerAutoscaling,
    },
    cloud::CloudStore,
    names::{MAX_SHOP_NAME, Names},
    quantity::Quantity,
};

/// Why nothing can be built from a Shop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// The API server left something out that it always sets.
    #[error("metadata.{0} is missing, which the API server sets")]
    Metadata(&'static str),
    /// The name cannot be that of a Service and its pods.
    #[error(
        "metadata.name {0:?} cannot name the shop's objects; write at most {MAX_SHOP_NAME} characters, a letter first, and only a-z, 0-9 and '-'"
    )]
    Name(String),
    /// The settings of a provider describe no store.
    #[error("spec.storage cannot be used: {0}")]
    Storage(#[from] StorageConfigError),
    /// A field holds what it must not.
    #[error("{field} is {found:?}; write {expected}")]
    Field {
        /// Where it stands.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What to write.
        expected: &'static str,
    },
}

/// The name of a Shop that every child's name can be made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopName(String);

impl ShopName {
    /// Checks a name.
    ///
    /// # Errors
    /// When it is too long, or no name of a Service.
    pub fn parse(name: &str) -> Result<Self, ValidationError> {
        let good = name.len() <= MAX_SHOP_NAME
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && !name.ends_with('-')
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if good { Ok(Self(name.to_owned())) } else { Err(ValidationError::Name(name.to_owned())) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A Shop that can be built from.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedShop {
    /// Names of its objects.
    pub names: Names,
    /// Where it is.
    pub namespace: String,
    /// Which of all Shops of this name it is.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
    /// What its objects name as their owner.
    pub owner: OwnerReference,
    /// Where its data lives.
    pub storage: Storage,
    /// Number of order shards.
    pub shards: u16,
    /// What the shop gives up when the network breaks.
    pub on_partition: OnPartitionSpec,
    /// Whether it may start with the sample catalogue.
    pub sample_catalogue: bool,
    /// The web pods.
    pub web: Tier,
    /// The worker pods.
    pub worker: Tier,
    /// Type of its Service.
    pub service: ServiceType,
    /// Its Ingress.
    pub ingress: Option<Ingress>,
    /// Whether the operator leaves it alone.
    pub paused: bool,
}

/// Where the data of a Shop lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Whether storage that holds a shop already is taken over.
    pub adopt_existing: bool,
    /// Where it is to live.
    pub wanted: StorageProvider,
    /// How it gets there.
    pub switch: SwitchSpec,
    /// Where pods look for it first.
    pub home: StorageProvider,
    /// The clouds whose settings there are; each but the home is a second way out under availability.
    clouds: Vec<CloudStore>,
    /// What a disk of the cluster is asked for by.
    claim: VolumeClaim,
    /// Whether pods mount it: the data is there, is to be, or has to be taken away whole.
    mounts_volume: bool,
}

/// The claim of one volume of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeClaim {
    /// Size of the volume.
    pub size: Quantity,
    /// Its storage class, or the cluster's default.
    pub storage_class: Option<String>,
}

/// The pods of one part of a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Pods at least, at most, and the CPU use aimed at in percent.
    pub replicas: Replicas,
    /// What one pod may use.
    pub resources: PodResources,
}

/// How many pods there are; `minimum <= maximum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Pods at least.
    pub minimum: u16,
    /// Pods at most.
    pub maximum: u16,
    /// CPU use aimed at, in percent of the request.
    pub target_cpu: u16,
}

/// What one pod may use; no request is above its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodResources {
    /// CPU set aside.
    pub cpu_request: Quantity,
    /// CPU at most.
    pub cpu_limit: Option<Quantity>,
    /// Memory set aside.
    pub memory_request: Quantity,
    /// Memory at most.
    pub memory_limit: Quantity,
}

/// An Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Host name.
    pub host: String,
    /// Ingress class, or the cluster's default.
    pub class: Option<String>,
    /// Secret with the certificate; plain HTTP without it.
    pub tls_secret: Option<String>,
}

impl ValidatedShop {
    /// The same shop, of which `status` was seen last: pods begin where the data is so far, and know where it is to be as well.
    #[must_use]
    pub fn at_home(mut self, status: &ShopStatus) -> Self {
        let storage = &mut self.storage;
        let is_known = |home: &StorageProvider| {
            *home == StorageProvider::Embedded || storage.clouds.iter().any(|cloud| cloud.provider == *home)
        };
        storage.home = status.provider.filter(is_known).unwrap_or(storage.wanted);
        let moves = status.switch.as_ref().filter(|switch| !switch.phase.has_ended());
        let mut used = [storage.wanted, storage.home]
            .into_iter()
            .chain(moves.into_iter().flat_map(|moves| [moves.from, moves.to]));
        storage.mounts_volume = used.any(|provider| provider == StorageProvider::Embedded);
        self
    }
}

impl Storage {
    /// The cloud where pods look for the data first, when it is one.
    #[must_use]
    pub fn cloud(&self) -> Option<&CloudStore> {
        self.clouds.iter().find(|cloud| cloud.provider == self.home)
    }

    /// The other clouds that the pods use.
    pub fn other_clouds(&self) -> impl Iterator<Item = &CloudStore> {
        self.clouds.iter().filter(|cloud| cloud.provider != self.home)
    }

    /// Every cloud that the pods use, the home first.
    pub fn clouds(&self) -> impl Iterator<Item = &CloudStore> {
        self.cloud().into_iter().chain(self.other_clouds())
    }

    /// The volume that pods mount, when they do.
    #[must_use]
    pub fn volume(&self) -> Option<&VolumeClaim> {
        self.mounts_volume.then_some(&self.claim)
    }
}

/// What a pod may use when its Shop says nothing: a CPU request for the autoscaler to reckon with, room in memory for a
/// large catalogue or many open orders, and no CPU limit, since throttling would cost latency and save nothing.
struct DefaultResources {
    cpu_request: &'static str,
    memory_request: &'static str,
    memory_limit: &'static str,
}

const WEB_DEFAULTS: DefaultResources =
    DefaultResources { cpu_request: "100m", memory_request: "64Mi", memory_limit: "256Mi" };
const WORKER_DEFAULTS: DefaultResources =
    DefaultResources { cpu_request: "100m", memory_request: "128Mi", memory_limit: "512Mi" };

/// Checks a Shop.
///
/// # Errors
/// The first thing found that nothing can be built from.
pub fn validate(shop: &Shop) -> Result<ValidatedShop, ValidationError> {
    let metadata = &shop.metadata;
    let name = ShopName::parse(metadata.name.as_deref().ok_or(ValidationError::Metadata("name"))?)?;
    let uid = metadata.uid.clone().ok_or(ValidationError::Metadata("uid"))?;
    let owner = shop.controller_owner_ref(&()).ok_or(ValidationError::Metadata("uid"))?;
    let ShopSpec {
        storage,
        orders,
        on_partition,
        catalogue,
        web,
        worker,
        expose,
        deletion_policy: DeletionPolicy::Retain,
        paused,
    } = &shop.spec;
    if !(1..=64).contains(&orders.shards) {
        return Err(field("spec.orders.shards", &orders.shards.to_string(), "1 to 64"));
    }
    Ok(ValidatedShop {
        names: Names::new(name),
        namespace: metadata.namespace.clone().ok_or(ValidationError::Metadata("namespace"))?,
        uid,
        generation: metadata.generation.unwrap_or_default(),
        owner,
        storage: Storage {
            adopt_existing: storage.adopt_existing,
            wanted: storage.provider,
            switch: storage.switch.clone(),
            home: storage.provider,
            clouds: clouds(storage)?,
            claim: claim(storage)?,
            mounts_volume: storage.provider == StorageProvider::Embedded,
        },
        shards: orders.shards,
        on_partition: *on_partition,
        sample_catalogue: catalogue.sample,
        web: Tier { replicas: web_replicas(&web.autoscaling)?, resources: resources(&web.resources, &WEB_DEFAULTS)? },
        worker: Tier {
            replicas: worker_replicas(&worker.autoscaling, orders.shards)?,
            resources: resources(&worker.resources, &WORKER_DEFAULTS)?,
        },
        service: expose.service.kind,
        ingress: expose.ingress.as_ref().map(ingress).transpose()?,
        paused: *paused,
    })
}

fn field(field: &'static str, found: &str, expected: &'static str) -> ValidationError {
    ValidationError::Field { field, found: found.to_owned(), expected }
}

fn clouds(storage: &StorageSpec) -> Result<Vec<CloudStore>, ValidationError> {
    let StorageSpec { provider, aws, azure, .. } = storage;
    let missing = match provider {
        StorageProvider::Aws if aws.is_none() => Some("spec.storage.aws"),
        StorageProvider::Azure if azure.is_none() => Some("spec.storage.azure"),
        StorageProvider::Aws | StorageProvider::Azure | StorageProvider::Embedded => None,
    };
    if let Some(missing) = missing {
        return Err(field(missing, "missing", "the settings of spec.storage.provider"));
    }
    aws.as_ref().map(CloudStore::aws).into_iter().chain(azure.as_ref().map(CloudStore::azure)).collect()
}

fn claim(storage: &StorageSpec) -> Result<VolumeClaim, ValidationError> {
    let claim = &storage.embedded.volume_claim;
    let size = claim.size.parse().map_err(|_| {
        field("spec.storage.embedded.volumeClaim.size", &claim.size, "a number with a unit, such as 10Gi")
    })?;
    Ok(VolumeClaim { size, storage_class: claim.storage_class_name.clone() })
}

fn web_replicas(autoscaling: &Autoscaling) -> Result<Replicas, ValidationError> {
    let Autoscaling { min_replicas, max_replicas, target_cpu_utilization } = *autoscaling;
    if min_replicas == 0 || min_replicas > max_replicas {
        return Err(field("spec.web.autoscaling.minReplicas", &min_replicas.to_string(), "1 up to maxReplicas"));
    }
    Ok(Replicas { minimum: min_replicas, maximum: max_replicas, target_cpu: target_cpu_utilization })
}

fn worker_replicas(autoscaling: &WorkerAutoscaling, shards: u16) -> Result<Replicas, ValidationError> {
    let WorkerAutoscaling { min_replicas, max_replicas, target_cpu_utilization } = *autoscaling;
    let maximum = max_replicas.unwrap_or_else(|| shards.min(4).max(min_replicas));
    if maximum > shards {
        return Err(field("spec.worker.autoscaling.maxReplicas", &maximum.to_string(), "at most spec.orders.shards"));
    }
    if min_replicas == 0 || min_replicas > maximum {
        return Err(field("spec.worker.autoscaling.minReplicas", &min_replicas.to_string(), "1 up to maxReplicas"));
    }
    Ok(Replicas { minimum: min_replicas, maximum, target_cpu: target_cpu_utilization })
}

fn resources(resources: &Resources, defaults: &DefaultResources) -> Result<PodResources, ValidationError> {
    let amount = |quantities: &Option<Quantities>, pick: fn(&Quantities) -> Option<&String>| {
        let Some(text) = quantities.as_ref().and_then(pick) else { return Ok(None) };
        text.parse::<Quantity>().map(Some).map_err(|_| field("resources", text, "a quantity, such as 250m or 128Mi"))
    };
    let default = |text: &'static str| {
        text.parse::<Quantity>().map_err(|_| field("the default of resources", text, "a quantity"))
    };
    let cpu_limit = amount(&resources.limits, |quantities| quantities.cpu.as_ref())?;
    let memory_limit = amount(&resources.limits, |quantities| quantities.memory.as_ref())?;
    let cpu_request = amount(&resources.requests, |quantities| quantities.cpu.as_ref())?;
    let memory_request = amount(&resources.requests, |quantities| quantities.memory.as_ref())?;
    // A request alone may be above the default limit, and a limit alone below the default request: what was written wins.
    let memory_limit = match (memory_limit, &memory_request) {
        (Some(limit), _) => limit,
        (None, Some(request)) => default(defaults.memory_limit)?.max(request.clone()),
        (None, None) => default(defaults.memory_limit)?,
    };
    let cpu_request = match (cpu_request, &cpu_limit) {
        (Some(request), _) => request,
        (None, Some(limit)) => default(defaults.cpu_request)?.min(limit.clone()),
        (None, None) => default(defaults.cpu_request)?,
    };
    let memory_request = match memory_request {
        Some(request) => request,
        None => default(defaults.memory_request)?.min(memory_limit.clone()),
    };
    if memory_request > memory_limit || cpu_limit.as_ref().is_some_and(|limit| &cpu_request > limit) {
        return Err(field("resources.requests", &memory_request.to_string(), "requests of at most the limits"));
    }
    Ok(PodResources { cpu_request, cpu_limit, memory_request, memory_limit })
}

fn ingress(spec: &IngressSpec) -> Result<Ingress, ValidationError> {
    let IngressSpec { host, class_name, tls_secret_name } = spec;
    let good = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
        && host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
    if !good {
        return Err(field("spec.expose.ingress.host", host, "a host name alone, such as shop.example.org"));
    }
    Ok(Ingress { host: host.clone(), class: class_name.clone(), tls_secret: tls_secret_name.clone() })
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
