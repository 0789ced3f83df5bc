//! What is seen of a shop in the cluster, and how it is read off the Kubernetes objects. No I/O.

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStatus, PersistentVolumeClaim, Pod, Service},
};
use shop_contract::status::PodStatus;

use crate::{constants::LABEL_COMPONENT, labels::Component};

/// Everything that is seen of one shop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The web Deployment.
    pub web: Option<DeploymentState>,
    /// The worker Deployment.
    pub worker: Option<DeploymentState>,
    /// The pods of both.
    pub pods: Vec<PodState>,
    /// When it was begun to look.
    pub since: Timestamp,
    /// Whether the Embedded store's claim has its volume; a store in a cloud needs none.
    pub claim_bound: bool,
    /// How the Service is reached from outside the cluster.
    pub service: ServiceState,
}

impl Observation {
    /// The Deployment of a component.
    #[must_use]
    pub fn deployment(&self, component: Component) -> Option<&DeploymentState> {
        match component {
            Component::Web => self.web.as_ref(),
            Component::Worker => self.worker.as_ref(),
        }
    }

    /// What pods said about themselves.
    pub fn reports(&self) -> impl Iterator<Item = (&PodState, &PodStatus)> {
        self.pods.iter().filter_map(|pod| match &pod.report {
            Report::Told(report) => Some((pod, report.as_ref())),
            Report::NotAsked | Report::Failed(_) => None,
        })
    }
}

/// How a Deployment fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentState {
    /// Whether its controller has seen what was last applied.
    pub current: bool,
    /// Pods there should be.
    pub desired: i32,
    /// Pods there are, of old and new templates.
    pub replicas: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that serve.
    pub available: i32,
    /// Why it does not get on, when its controller has given up waiting or cannot create pods.
    pub stuck: Option<String>,
}

impl DeploymentState {
    /// Whether all its pods are of what was last applied.
    #[must_use]
    pub fn rolled_out(&self) -> bool {
        self.current && self.updated > 0 && self.updated == self.replicas
    }
}

/// How a pod fares.
#[derive(Clone, Debug, PartialEq)]
pub struct PodState {
    /// Its name.
    pub name: String,
    /// What it is part of.
    pub component: Component,
    /// Whether Kubernetes says that it is ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// Its address.
    pub address: Option<String>,
    /// The address of its node.
    pub node_address: Option<String>,
    /// What Kubernetes finds wrong with it.
    pub trouble: Option<(Trouble, String)>,
    /// What it said about itself.
    pub report: Report,
}

/// What is wrong with a pod, as Kubernetes sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No node takes it.
    Unschedulable,
    /// Its image cannot be pulled.
    Image,
    /// Its program ends again and again, or cannot be started.
    Crashing,
}

/// What a pod said about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Report {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It was asked and did not answer so that it could be understood.
    Failed(String),
    /// Its answer.
    Told(Box<PodStatus>),
}

/// How the Service is reached from outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceState {
    /// Its port on every node.
    pub node_port: Option<i32>,
    /// Its address at the load balancer.
    pub load_balancer: Option<String>,
}

/// Reads how a Deployment fares.
#[must_use]
pub fn deployment_state(deployment: &Deployment) -> DeploymentState {
    let status = deployment.status.clone().unwrap_or_default();
    let stuck = status.conditions.unwrap_or_default().into_iter().find_map(|condition| {
        let is = |kind: &str, wanted: &str| {
            condition.type_.as_deref() == Some(kind) && condition.status.as_deref() == Some(wanted)
        };
        let gave_up = is("Progressing", "False");
        let cannot_create = is("ReplicaFailure", "True");
        (gave_up || cannot_create).then(|| condition.message.unwrap_or_default())
    });
    DeploymentState {
        current: status.observed_generation >= deployment.metadata.generation,
        desired: deployment.spec.replicas.unwrap_or(1),
        replicas: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        stuck,
    }
}

/// Reads how a pod fares; nothing when it is no pod of a component, or has ended.
#[must_use]
pub fn pod_state(pod: &Pod) -> Option<PodState> {
    let component = match pod.metadata.labels.as_ref()?.get(LABEL_COMPONENT)?.as_str() {
        "web" => Component::Web,
        "worker" => Component::Worker,
        _ => return None,
    };
    let status = pod.status.clone().unwrap_or_default();
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let unschedulable = conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    });
    let trouble = match unschedulable {
        Some(condition) => Some((Trouble::Unschedulable, condition.message.clone().unwrap_or_default())),
        None => status.container_statuses.unwrap_or_default().iter().find_map(container_trouble),
    };
    Some(PodState {
        name: pod.metadata.name.clone()?,
        component,
        ready,
        terminating: pod.metadata.deletion_timestamp.is_some(),
        address: status.pod_ip,
        node_address: status.host_ip,
        trouble,
        report: Report::NotAsked,
    })
}

fn container_trouble(container: &ContainerStatus) -> Option<(Trouble, String)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.clone().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            Some((Trouble::Image, format!("{}: {message}", container.image)))
        }
        "CrashLoopBackOff" | "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            Some((
                Trouble::Crashing,
                last.map_or(message, |ended| match &ended.message {
                    Some(message) => format!("it ended with exit code {}: {message}", ended.exit_code),
                    None => format!("it ended with exit code {}", ended.exit_code),
                }),
            ))
        }
        _ => None,
    }
}

/// Whether a claim has its volume.
#[must_use]
pub fn claim_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// Reads how a Service is reached from outside the cluster.
#[must_use]
pub fn service_state(service: &Service) -> ServiceState {
    let node_port = service
        .spec
        .as_ref()
        .and_then(|spec| spec.ports.as_ref())
        .and_then(|ports| ports.first())
        .and_then(|port| port.node_port);
    let load_balancer = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref())
        .and_then(|balancer| balancer.ingress.as_ref())
        .and_then(|addresses| addresses.first())
        .and_then(|address| address.hostname.clone().or_else(|| address.ip.clone()));
    ServiceState { node_port, load_balancer }
}
