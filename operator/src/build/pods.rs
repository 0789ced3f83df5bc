//! The Deployments of a shop and the pods in them. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Affinity, Capabilities, ConfigMapProjection, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
            EnvVarSource, HTTPGetAction, KeyToPath, Lifecycle, LifecycleHandler, LocalObjectReference,
            ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodAffinity, PodAffinityTerm, PodSecurityContext,
            PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements, SeccompProfile,
            SecretProjection, SecretVolumeSource, SecurityContext, SleepAction, TopologySpreadConstraint, Volume,
            VolumeMount, VolumeProjection,
        },
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use shop_contract::{INTERNAL_PORT, OPERATIONS_PORT, PUBLIC_PORT};

use super::{BuildSettings, RenderedConfig, component_name, owned};
use crate::{
    cloud::{CloudStore, Credentials, MountedSecret},
    constants::{
        ANNOTATION_CONFIG_DIGEST, CONFIG_DIRECTORY, CONFIG_FILE, DATA_DIRECTORY, ENV_POD_IP, LABEL_AZURE_IDENTITY,
        LABEL_VOLUME, PROGRAM, RUN_DIRECTORY, TOKEN_FILE, TOKEN_KEY, USER_ID,
    },
    labels::{Component, labels, selector},
    validate::{PodResources, ValidatedShop},
};

/// Name of the port that shoppers reach.
pub(super) const PUBLIC_PORT_NAME: &str = "http";
const OPERATIONS_PORT_NAME: &str = "operations";
const INTERNAL_PORT_NAME: &str = "internal";

/// How long a web pod goes on as before when it is told to end, in seconds: by then no node sends it new connections.
const WEB_SLEEP_SECONDS: i64 = 3;
/// How long a pod may take to end, in seconds: the sleep, its own lame-duck step, draining and handing over its shards.
const GRACE_SECONDS: i64 = 45;
/// After how many seconds without progress a roll-out counts as stuck.
const PROGRESS_DEADLINE_SECONDS: i32 = 120;

pub(super) fn deployment(
    shop: &ValidatedShop,
    component: Component,
    config: &RenderedConfig,
    settings: &BuildSettings,
) -> Deployment {
    Deployment {
        metadata: owned(shop, component_name(shop, component), Some(component)),
        spec: DeploymentSpec {
            // The autoscaler alone says how many pods there are.
            replicas: None,
            revision_history_limit: Some(2),
            progress_deadline_seconds: Some(PROGRESS_DEADLINE_SECONDS),
            selector: selector(shop.names.shop(), Some(component)),
            // A new pod serves before an old one goes; a worker that goes hands its shards to those that stay.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(match component {
                        Component::Web => IntOrString::String("25%".into()),
                        Component::Worker => IntOrString::Int(1),
                    }),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels(shop, component)),
                    annotations: Some(BTreeMap::from([(ANNOTATION_CONFIG_DIGEST.to_owned(), config.digest.clone())])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(shop, component, settings)),
            },
            ..DeploymentSpec::default()
        },
        status: None,
    }
}

fn pod_labels(shop: &ValidatedShop, component: Component) -> BTreeMap<String, String> {
    let mut labels = labels(shop.names.shop(), Some(component));
    if shop.storage.clouds().any(|cloud| matches!(cloud.credentials, Credentials::AzureClient(_))) {
        labels.insert(LABEL_AZURE_IDENTITY.into(), "true".into());
    }
    labels.extend(shop.storage.volume().map(|_| (LABEL_VOLUME.to_owned(), "true".to_owned())));
    labels
}

fn pod(shop: &ValidatedShop, component: Component, settings: &BuildSettings) -> PodSpec {
    PodSpec {
        service_account_name: Some(component_name(shop, component)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        image_pull_secrets: (!settings.image_pull_secrets.is_empty()).then(|| {
            settings.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect()
        }),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER_ID),
            run_as_group: Some(USER_ID),
            fs_group: Some(USER_ID),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        affinity: shop.storage.volume().map(|_| beside_each_other(shop)),
        topology_spread_constraints: match shop.storage.volume() {
            Some(_) => None,
            None => Some(apart_from_each_other(shop, component)),
        },
        containers: vec![container(shop, component, settings)],
        volumes: Some(volumes(shop, component)),
        ..PodSpec::default()
    }
}

/// The Embedded store is one volume, which one node holds: all pods that mount it run there.
fn beside_each_other(shop: &ValidatedShop) -> Affinity {
    let mut those = selector(shop.names.shop(), None);
    if shop.storage.cloud().is_some() {
        // Pods that they replace may be without it, on any node. At home on it all have it, those of earlier versions without
        // the label.
        those.match_labels.get_or_insert_default().insert(LABEL_VOLUME.into(), "true".into());
    }
    Affinity {
        pod_affinity: Some(PodAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
                label_selector: Some(those),
                topology_key: "kubernetes.io/hostname".into(),
                ..PodAffinityTerm::default()
            }]),
            ..PodAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Pods that share nothing but a store in a cloud are spread, so that a node or a zone that goes takes few of them.
fn apart_from_each_other(shop: &ValidatedShop, component: Component) -> Vec<TopologySpreadConstraint> {
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        .into_iter()
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.into(),
            when_unsatisfiable: "ScheduleAnyway".into(),
            label_selector: Some(selector(shop.names.shop(), Some(component))),
            // The pods of a roll-out are spread among themselves, not around those that they replace.
            match_label_keys: Some(vec!["pod-template-hash".into()]),
            ..TopologySpreadConstraint::default()
        })
        .collect()
}

fn container(shop: &ValidatedShop, component: Component, settings: &BuildSettings) -> Container {
    let (resources, lifecycle) = match component {
        Component::Web => (&shop.web.resources, Some(sleep_before_stop())),
        // A worker hands its shards over as soon as it is told to end: each moment of waiting would be one without.
        Component::Worker => (&shop.worker.resources, None),
    };
    Container {
        name: component.as_str().into(),
        image: Some(settings.image.clone()),
        image_pull_policy: Some(settings.image_pull_policy.clone()),
        command: Some(vec![
            PROGRAM.into(),
            component.as_str().into(),
            "--config".into(),
            format!("{CONFIG_DIRECTORY}/{CONFIG_FILE}"),
        ]),
        env: Some(vec![EnvVar {
            name: ENV_POD_IP.into(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector { api_version: None, field_path: "status.podIP".into() }),
                ..EnvVarSource::default()
            }),
            value: None,
        }]),
        ports: Some(ports(component)),
        startup_probe: Some(probe("/livez", 1, 2, 60)),
        liveness_probe: Some(probe("/livez", 10, 5, 3)),
        readiness_probe: Some(probe("/readyz", 1, 2, 3)),
        lifecycle,
        resources: Some(resource_requirements(resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts(shop, component)),
        ..Container::default()
    }
}

fn ports(component: Component) -> Vec<ContainerPort> {
    let public = (PUBLIC_PORT_NAME, PUBLIC_PORT);
    let operations = (OPERATIONS_PORT_NAME, OPERATIONS_PORT);
    let internal = (INTERNAL_PORT_NAME, INTERNAL_PORT);
    let ports: &[_] = match component {
        Component::Web => &[public, operations, internal],
        Component::Worker => &[operations, internal],
    };
    ports
        .iter()
        .map(|&(name, number)| ContainerPort {
            name: Some(name.into()),
            container_port: number.into(),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        })
        .collect()
}

fn sleep_before_stop() -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds: WEB_SLEEP_SECONDS }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

fn probe(path: &str, period_seconds: i32, timeout_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(OPERATIONS_PORT_NAME.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(timeout_seconds),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn resource_requirements(resources: &PodResources) -> ResourceRequirements {
    let PodResources { cpu_request, cpu_limit, memory_request, memory_limit } = resources;
    let mut limits: BTreeMap<String, Quantity> = BTreeMap::from([("memory".into(), memory_limit.to_kubernetes())]);
    limits.extend(cpu_limit.as_ref().map(|limit| ("cpu".to_owned(), limit.to_kubernetes())));
    ResourceRequirements {
        requests: Some(BTreeMap::from([
            ("cpu".into(), cpu_request.to_kubernetes()),
            ("memory".into(), memory_request.to_kubernetes()),
        ])),
        limits: Some(limits),
        claims: None,
    }
}

fn mounts(shop: &ValidatedShop, component: Component) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount("config", CONFIG_DIRECTORY, true)];
    if shop.storage.volume().is_some() {
        mounts.push(mount("data", DATA_DIRECTORY, false));
    }
    let secrets = shop.storage.clouds().flat_map(CloudStore::secrets);
    mounts.extend(secrets.map(|secret| mount(secret.volume, &secret.folder(), true)));
    if component == Component::Worker {
        mounts.push(mount("run", RUN_DIRECTORY, false));
    }
    mounts
}

fn volumes(shop: &ValidatedShop, component: Component) -> Vec<Volume> {
    let config = ProjectedVolumeSource {
        default_mode: Some(0o440),
        default_user: None,
        sources: Some(vec![
            VolumeProjection {
                config_map: Some(ConfigMapProjection {
                    name: shop.names.config(),
                    items: Some(vec![item(CONFIG_FILE, CONFIG_FILE)]),
                    optional: None,
                }),
                ..VolumeProjection::default()
            },
            VolumeProjection {
                secret: Some(SecretProjection {
                    name: shop.names.token(),
                    items: Some(vec![item(TOKEN_KEY, TOKEN_FILE)]),
                    optional: None,
                }),
                ..VolumeProjection::default()
            },
        ]),
    };
    let mut volumes = vec![Volume { name: "config".into(), projected: Some(config), ..Volume::default() }];
    volumes.extend(shop.storage.volume().map(|_| Volume {
        name: "data".into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: shop.names.data(),
            read_only: None,
        }),
        ..Volume::default()
    }));
    let of_home = shop.storage.cloud().into_iter().flat_map(CloudStore::secrets);
    volumes.extend(of_home.map(|secret| secret_volume(secret, false)));
    // Without the Secret of another cloud the shop has one way out less, but it has to start.
    let of_others = shop.storage.other_clouds().flat_map(CloudStore::secrets);
    volumes.extend(of_others.map(|secret| secret_volume(secret, true)));
    if component == Component::Worker {
        volumes.push(Volume {
            name: "run".into(),
            // It holds one small lock file.
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity("1Mi".into())),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    volumes
}

/// The user's own Secret, whole: which of its keys there are decides how it is used.
fn secret_volume(secret: MountedSecret, optional: bool) -> Volume {
    Volume {
        name: secret.volume.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.name),
            default_mode: Some(0o440),
            optional: optional.then_some(true),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath { key: key.into(), path: path.into(), ..KeyToPath::default() }
}
