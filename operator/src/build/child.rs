//! An object of a Shop, of whichever kind. No I/O.

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt;

/// Declares the kinds of objects that a Shop consists of: one variant each, in [`Child`] and in [`ChildKind`].
macro_rules! children {
    ($($(#[$doc:meta])* $kind:ident($held:ty)),+ $(,)?) => {
        /// An object of a Shop.
        #[expect(clippy::large_enum_variant, reason = "a shop has a dozen of them, for as long as they are applied")]
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(untagged)]
        pub enum Child {
            $($(#[$doc])* $kind($held)),+
        }

        /// The kind of an object of a Shop.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ChildKind {
            $($(#[$doc])* $kind),+
        }

        impl Child {
            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> ChildKind {
                match self {
                    $(Self::$kind(_) => ChildKind::$kind),+
                }
            }

            /// Its name.
            #[must_use]
            pub fn name(&self) -> String {
                match self {
                    $(Self::$kind(object) => object.name_any()),+
                }
            }
        }

        impl ChildKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name in the Kubernetes API.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind)),+
                }
            }
        }
    };
}

children! {
    /// Who its pods are.
    ServiceAccount(ServiceAccount),
    /// What its pods are told.
    ConfigMap(ConfigMap),
    /// Where the Embedded store's data is.
    PersistentVolumeClaim(PersistentVolumeClaim),
    /// Who may speak with its pods.
    NetworkPolicy(NetworkPolicy),
    /// Where shoppers find it in the cluster.
    Service(Service),
    /// Its pods.
    Deployment(Deployment),
    /// How many pods there are.
    HorizontalPodAutoscaler(HorizontalPodAutoscaler),
    /// How many pods an eviction may take.
    PodDisruptionBudget(PodDisruptionBudget),
    /// Where shoppers find it from outside.
    Ingress(Ingress),
}
