//! Who reaches a shop: its Service, its Ingress and the network policies of its pods. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec},
        networking::v1::{
            HTTPIngressPath, HTTPIngressRuleValue, IPBlock, Ingress, IngressBackend, IngressRule,
            IngressServiceBackend, IngressSpec, IngressTLS, NetworkPolicy, NetworkPolicyEgressRule,
            NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec, ServiceBackendPort,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use shop_contract::{INTERNAL_PORT, PUBLIC_PORT};

use super::{BuildSettings, owned, pods::PUBLIC_PORT_NAME};
use crate::{
    api::ServiceType,
    cloud::{CloudStore, Credentials},
    constants::{LABEL_NAME, LABEL_NAMESPACE_NAME, OPERATOR_APPLICATION, SERVICE_PORT},
    labels::{Component, selector, selector_labels},
    validate::ValidatedShop,
};

/// Ports that cluster DNS listens on: policies see the pod's port, which is 53 in most clusters and 5353 where its
/// server runs without the right to bind low ports.
const DNS_PORTS: [u16; 2] = [53, 5353];

pub(super) fn service(shop: &ValidatedShop) -> Service {
    let kind = match shop.service {
        ServiceType::ClusterIp => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    Service {
        metadata: owned(shop, shop.names.shop().to_owned(), Some(Component::Web)),
        spec: Some(ServiceSpec {
            type_: Some(kind.into()),
            selector: Some(selector_labels(shop.names.shop(), Some(Component::Web))),
            ports: Some(vec![ServicePort {
                name: Some(PUBLIC_PORT_NAME.into()),
                port: SERVICE_PORT,
                target_port: Some(IntOrString::String(PUBLIC_PORT_NAME.into())),
                protocol: Some("TCP".into()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

pub(super) fn ingress(shop: &ValidatedShop) -> Option<Ingress> {
    let ingress = shop.ingress.as_ref()?;
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: shop.names.shop().to_owned(),
            port: Some(ServiceBackendPort { name: Some(PUBLIC_PORT_NAME.into()), number: None }),
        }),
        resource: None,
    };
    Some(Ingress {
        metadata: owned(shop, shop.names.shop().to_owned(), Some(Component::Web)),
        spec: Some(IngressSpec {
            ingress_class_name: ingress.class.clone(),
            tls: ingress.tls_secret.as_ref().map(|secret| {
                vec![IngressTLS { hosts: Some(vec![ingress.host.clone()]), secret_name: Some(secret.clone()) }]
            }),
            rules: Some(vec![IngressRule {
                host: Some(ingress.host.clone()),
                http: Some(HTTPIngressRuleValue {
                    paths: vec![HTTPIngressPath { path: Some("/".into()), path_type: "Prefix".into(), backend }],
                }),
            }]),
            default_backend: None,
        }),
        status: None,
    })
}

/// Nothing is allowed but what the others allow: shoppers reach web, web and workers reach workers, the operator reaches
/// both, and those that use a cloud may ask DNS for it and reach it. Probes come from the node, which policies do not hold back.
pub(super) fn policies(shop: &ValidatedShop, settings: &BuildSettings) -> impl Iterator<Item = NetworkPolicy> {
    let instance = shop.names.shop();
    let web = peer(selector(instance, Some(Component::Web)));
    let worker = peer(selector(instance, Some(Component::Worker)));
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(matching(LABEL_NAMESPACE_NAME, &settings.operator_namespace)),
        pod_selector: Some(matching(LABEL_NAME, OPERATOR_APPLICATION)),
        ip_block: None,
    };
    let to_workers =
        NetworkPolicyEgressRule { to: Some(vec![worker.clone()]), ports: Some(vec![port("TCP", INTERNAL_PORT)]) };
    let mut egress = vec![to_workers];
    egress.extend(to_clouds(&shop.storage.clouds().collect::<Vec<_>>()));
    let from_anywhere = NetworkPolicyIngressRule { from: None, ports: Some(vec![port("TCP", PUBLIC_PORT)]) };
    let internal_from =
        |peers| NetworkPolicyIngressRule { from: Some(peers), ports: Some(vec![port("TCP", INTERNAL_PORT)]) };
    [
        policy(shop, shop.names.default_deny(), None, None, None),
        policy(
            shop,
            shop.names.web(),
            Some(Component::Web),
            Some(vec![from_anywhere, internal_from(vec![operator.clone()])]),
            Some(egress.clone()),
        ),
        policy(
            shop,
            shop.names.worker(),
            Some(Component::Worker),
            Some(vec![internal_from(vec![web, worker, operator])]),
            Some(egress),
        ),
    ]
    .into_iter()
}

/// The clouds' servers may be anywhere, but no pod ever asks a link-local address, where nodes get credentials from; only
/// that of EKS Pod Identity, which gives them to pods, is one too.
fn to_clouds(clouds: &[&CloudStore]) -> Vec<NetworkPolicyEgressRule> {
    if clouds.is_empty() {
        return Vec::new();
    }
    let block = |cidr: &str, except: &str| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.into(), except: Some(vec![except.into()]) }),
        ..NetworkPolicyPeer::default()
    };
    let anywhere = vec![block("0.0.0.0/0", "169.254.0.0/16"), block("::/0", "fd00:ec2::/32")];
    let ports: BTreeSet<u16> = clouds.iter().flat_map(|cloud| cloud.ports()).collect();
    let ports = ports.into_iter().map(|number| port("TCP", number)).collect();
    let to_dns = NetworkPolicyEgressRule {
        to: None,
        ports: Some(DNS_PORTS.iter().flat_map(|&number| [port("UDP", number), port("TCP", number)]).collect()),
    };
    let mut rules = vec![to_dns, NetworkPolicyEgressRule { to: Some(anywhere), ports: Some(ports) }];
    if clouds.iter().any(|cloud| cloud.credentials == Credentials::AwsPodIdentity) {
        let address = |cidr: &str| NetworkPolicyPeer {
            ip_block: Some(IPBlock { cidr: cidr.into(), except: None }),
            ..NetworkPolicyPeer::default()
        };
        let agent = vec![address("169.254.170.23/32"), address("fd00:ec2::23/128")];
        rules.push(NetworkPolicyEgressRule { to: Some(agent), ports: Some(vec![port("TCP", 80)]) });
    }
    rules
}

fn policy(
    shop: &ValidatedShop,
    name: String,
    component: Option<Component>,
    ingress: Option<Vec<NetworkPolicyIngressRule>>,
    egress: Option<Vec<NetworkPolicyEgressRule>>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: owned(shop, name, component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(shop.names.shop(), component)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress,
            egress,
        }),
    }
}

fn peer(pods: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(pods), ..NetworkPolicyPeer::default() }
}

fn matching(key: &str, value: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])), match_expressions: None }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort { protocol: Some(protocol.into()), port: Some(IntOrString::Int(number.into())), end_port: None }
}
