//! The custom resource `Shop`, group `cloudshop.dev`, version `v1alpha1`. No I/O.

pub mod spec;
pub mod status;
pub mod storage;

pub use self::{
    spec::{
        Autoscaling, CatalogueSpec, DeletionPolicy, ExposeSpec, IngressSpec, OnPartition, OnPartitionSpec, OrdersSpec,
        Quantities, Resources, ServiceSpec, ServiceType, Shop, ShopSpec, TierSpec, WorkerAutoscaling, WorkerSpec,
    },
    status::{
        Condition, ConditionStatus, QueueStatus, ShardStatus, ShopStatus, SwitchPhase, SwitchStatus, TierStatus,
        VerificationResult, VerificationStatus, WishStatus,
    },
    storage::{
        AwsCredentialsSpec, AwsIdentitySpec, AwsSpec, AzureCredentialsSpec, AzureIdentitySpec, AzureSpec, CutOver,
        EmbeddedSpec, EndpointSpec, StorageProvider, StorageSpec, SwitchAction, SwitchDo, SwitchSpec, Verify,
        VolumeClaimSpec,
    },
};

#[cfg(test)]
#[path = "rules_tests.rs"]
mod rules_tests;
