//! How many pods a shop has: autoscalers and disruption budgets. No I/O.

use k8s_openapi::{
    api::{
        autoscaling::v2::{
            CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
            HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
            ResourceMetricSource,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{BuildSettings, component_name, owned};
use crate::{
    labels::{Component, selector},
    validate::{Replicas, ValidatedShop},
};

/// There is always an autoscaler, also for a fixed number of pods: so nobody else ever sets a Deployment's replicas.
pub(super) fn autoscaler(
    shop: &ValidatedShop,
    component: Component,
    settings: &BuildSettings,
) -> HorizontalPodAutoscaler {
    let name = component_name(shop, component);
    let Replicas { minimum, maximum, target_cpu } = match component {
        Component::Web => shop.web.replicas,
        Component::Worker => shop.worker.replicas,
    };
    HorizontalPodAutoscaler {
        metadata: owned(shop, name.clone(), Some(component)),
        spec: HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".into()),
                kind: "Deployment".into(),
                name,
            },
            min_replicas: Some(minimum.into()),
            max_replicas: maximum.into(),
            metrics: Some(vec![MetricSpec {
                type_: "Resource".into(),
                resource: Some(ResourceMetricSource {
                    name: "cpu".into(),
                    target: MetricTarget {
                        type_: "Utilization".into(),
                        average_utilization: Some(target_cpu.into()),
                        ..MetricTarget::default()
                    },
                }),
                ..MetricSpec::default()
            }]),
            behavior: Some(HorizontalPodAutoscalerBehavior {
                // Shoppers wait while there are too few pods, so more come at once: double, or four, every 15 s.
                scale_up: Some(HPAScalingRules {
                    stabilization_window_seconds: Some(0),
                    select_policy: Some("Max".into()),
                    policies: Some(vec![policy("Percent", 100, 15), policy("Pods", 4, 15)]),
                    ..HPAScalingRules::default()
                }),
                scale_down: Some(HPAScalingRules {
                    stabilization_window_seconds: Some(i32::try_from(settings.scale_down_seconds).unwrap_or(i32::MAX)),
                    select_policy: Some("Max".into()),
                    policies: Some(vec![policy("Percent", 50, 15), policy("Pods", 1, 15)]),
                    ..HPAScalingRules::default()
                }),
            }),
        },
        ..HorizontalPodAutoscaler::default()
    }
}

fn policy(kind: &str, value: i32, period_seconds: i32) -> HPAScalingPolicy {
    HPAScalingPolicy { type_: kind.into(), value, period_seconds }
}

pub(super) fn disruption_budget(shop: &ValidatedShop, component: Component) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: owned(shop, component_name(shop, component), Some(component)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector(shop.names.shop(), Some(component))),
            // A pod that does not serve protects nothing: it must not keep a node from being drained.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
