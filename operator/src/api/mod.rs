//! The custom resource `Shop`, group `cloudshop.dev`, version `v1alpha1`. No I/O.

pub mod spec;
pub mod status;

pub use self::{
    spec::{
        Autoscaling, CatalogueSpec, DeletionPolicy, EmbeddedSpec, ExposeSpec, IngressSpec, OrdersSpec, Quantities,
        Resources, ServiceSpec, ServiceType, Shop, ShopSpec, StorageProvider, StorageSpec, TierSpec, VolumeClaimSpec,
        WorkerAutoscaling, WorkerSpec,
    },
    status::{Condition, ConditionStatus, QueueStatus, ShardStatus, ShopStatus, TierStatus},
};

#[cfg(test)]
#[path = "rules_tests.rs"]
mod rules_tests;
