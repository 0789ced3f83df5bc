//! What network policies allow, decided as an enforcer decides it, since the local cluster has none. No I/O.
//!
//! The rules are those of <https://kubernetes.io/docs/concepts/services-networking/network-policies/>.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::{Selector, SelectorExt};

use super::connection::{Connection, End, PodEnd, Protocol, number};

/// Which of the two ends a rule holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// For the end that opens the connection.
    Egress,
    /// For the end that is called.
    Ingress,
}

/// The pods that a policy holds for.
#[derive(Clone, Debug)]
struct Subject {
    namespace: String,
    pods: Selector,
}

impl Subject {
    fn includes(&self, pod: &PodEnd) -> bool {
        pod.namespace == self.namespace && self.pods.matches(&pod.labels)
    }
}

/// The smallest thing that a policy allows: one peer, or anyone, and one port, or any.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Name of its policy.
    pub policy: String,
    /// Namespace of its policy.
    pub namespace: String,
    subject: Subject,
    direction: Direction,
    peer: Peer,
    port: Port,
}

impl fmt::Display for Grant {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Egress => "egress to",
            Direction::Ingress => "ingress from",
        };
        write!(to, "{} {direction} {} {}", self.policy, self.peer, self.port)
    }
}

#[derive(Clone, Debug)]
enum Peer {
    Anyone,
    /// Pods of the policy's own namespace when no namespaces are selected.
    Pods {
        namespaces: Option<Selector>,
        pods: Selector,
    },
    Block {
        block: Block,
        except: Vec<Block>,
    },
}

impl Peer {
    fn read(peer: NetworkPolicyPeer) -> Self {
        let NetworkPolicyPeer { ip_block, namespace_selector, pod_selector } = peer;
        if let Some(IPBlock { cidr, except }) = ip_block {
            let except = except.unwrap_or_default();
            return Self::Block {
                block: Block::read(&cidr),
                except: except.iter().map(|cidr| Block::read(cidr)).collect(),
            };
        }
        assert!(namespace_selector.is_some() || pod_selector.is_some(), "the API server refuses a peer that is nobody");
        Self::Pods { namespaces: namespace_selector.map(selector), pods: selector(pod_selector.unwrap_or_default()) }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => to.write_str("anyone"),
            Self::Pods { namespaces: None, pods } => write!(to, "pods {pods}"),
            Self::Pods { namespaces: Some(namespaces), pods } => write!(to, "pods {pods} in namespaces {namespaces}"),
            Self::Block { block, except } if except.is_empty() => write!(to, "{block}"),
            Self::Block { block, except } => {
                let except: Vec<String> = except.iter().map(Block::to_string).collect();
                write!(to, "{block} except {}", except.join(" "))
            }
        }
    }
}

/// A range of addresses, as `198.51.100.0/24`.
#[derive(Clone, Copy, Debug)]
struct Block {
    network: IpAddr,
    prefix: u32,
}

impl Block {
    fn read(cidr: &str) -> Self {
        let parts = cidr
            .split_once('/')
            .and_then(|(network, prefix)| Some(Self { network: network.parse().ok()?, prefix: prefix.parse().ok()? }));
        parts.unwrap_or_else(|| panic!("the API server refuses a block such as {cidr}"))
    }

    fn contains(self, address: IpAddr) -> bool {
        // Bits that differ behind the prefix do not count.
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}", self.network, self.prefix)
    }
}

#[derive(Clone, Debug)]
enum Port {
    /// Every port of every protocol.
    Any,
    Numbers(Protocol, RangeInclusive<u16>),
    /// Whatever number the pod that is called gives this name.
    Named(Protocol, String),
}

impl Port {
    fn read(port: NetworkPolicyPort) -> Self {
        let NetworkPolicyPort { protocol, port, end_port } = port;
        let protocol = protocol.as_deref().unwrap_or("TCP");
        let protocol = Protocol::named(protocol).unwrap_or_else(|| panic!("the API server refuses {protocol}"));
        match port {
            None => Self::Numbers(protocol, 0..=u16::MAX),
            Some(IntOrString::Int(first)) => Self::Numbers(protocol, number(first)..=number(end_port.unwrap_or(first))),
            Some(IntOrString::String(name)) => Self::Named(protocol, name),
        }
    }

    fn includes(&self, connection: &Connection) -> bool {
        match self {
            Self::Any => true,
            Self::Numbers(protocol, numbers) => *protocol == connection.protocol && numbers.contains(&connection.port),
            Self::Named(protocol, name) => {
                let called = (name.clone(), *protocol, connection.port);
                let End::Pod(pod) = &connection.to else { return false };
                *protocol == connection.protocol && pod.ports.contains(&called)
            }
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => to.write_str("any port"),
            Self::Numbers(protocol, numbers) if numbers.start() == numbers.end() => {
                write!(to, "{protocol} {}", numbers.start())
            }
            Self::Numbers(protocol, numbers) => write!(to, "{protocol} {} to {}", numbers.start(), numbers.end()),
            Self::Named(protocol, name) => write!(to, "{protocol} {name}"),
        }
    }
}

/// The network policies of a cluster.
#[derive(Clone, Debug)]
pub struct Policies {
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Which pods get only what is granted, and in which direction.
    isolated: Vec<(Direction, Subject)>,
    grants: Vec<Grant>,
}

impl Policies {
    /// Reads the policies and the namespaces of a cluster as its API server gave them.
    #[must_use]
    pub fn read(policies: Vec<NetworkPolicy>, namespaces: Vec<Namespace>) -> Self {
        let namespaces = namespaces.into_iter().map(|namespace| {
            let name = namespace.metadata.name.expect("a namespace has a name");
            (name, namespace.metadata.labels.unwrap_or_default())
        });
        let mut read = Self { namespaces: namespaces.collect(), isolated: Vec::new(), grants: Vec::new() };
        for policy in policies {
            read.add(policy);
        }
        read
    }

    fn add(&mut self, policy: NetworkPolicy) {
        let name = policy.metadata.name.expect("a policy has a name");
        let namespace = policy.metadata.namespace.expect("a policy has a namespace");
        let spec = policy.spec.expect("a policy has a spec");
        let subject = Subject { namespace: namespace.clone(), pods: selector(spec.pod_selector.unwrap_or_default()) };
        // Without types a policy is about ingress, and about egress when it has a rule for that.
        let about = |direction, named: &str, unsaid| match &spec.policy_types {
            Some(types) if !types.is_empty() => types.iter().any(|kind| kind == named).then_some(direction),
            _ => Some(direction).filter(|_| unsaid),
        };
        let egress_rules = spec.egress.unwrap_or_default();
        let ingress = about(Direction::Ingress, "Ingress", true);
        let egress = about(Direction::Egress, "Egress", !egress_rules.is_empty());
        self.isolated.extend([ingress, egress].into_iter().flatten().map(|direction| (direction, subject.clone())));
        let ingress_rules = spec.ingress.unwrap_or_default().into_iter().map(|rule| (ingress, rule.from, rule.ports));
        let egress_rules = egress_rules.into_iter().map(|rule| (egress, rule.to, rule.ports));
        for (direction, peers, ports) in ingress_rules.chain(egress_rules) {
            // Rules for a direction that the policy is not about say nothing.
            let Some(direction) = direction else { continue };
            let peers = each_or(peers, Peer::read, Peer::Anyone);
            let ports = each_or(ports, Port::read, Port::Any);
            let pairs = peers.iter().flat_map(|peer| ports.iter().map(move |port| (peer.clone(), port.clone())));
            self.grants.extend(pairs.map(|(peer, port)| Grant {
                policy: name.clone(),
                namespace: namespace.clone(),
                subject: subject.clone(),
                direction,
                peer,
                port,
            }));
        }
    }

    /// Everything that is allowed to pods that get only what is granted.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The same policies without the grant at this position of [`Self::grants`].
    #[must_use]
    pub fn without(&self, position: usize) -> Self {
        let mut fewer = self.clone();
        fewer.grants.remove(position);
        fewer
    }

    /// The ends that refuse a connection; none of them when it is allowed.
    #[must_use]
    pub fn refusals(&self, connection: &Connection) -> Vec<Direction> {
        let Connection { from, to, .. } = connection;
        // Nothing comes between a pod and itself, or its node.
        if from == to || *from == End::Node || *to == End::Node {
            return Vec::new();
        }
        let ends = [(Direction::Egress, from, to), (Direction::Ingress, to, from)];
        let refused = ends.into_iter().filter(|(direction, subject, peer)| match subject {
            End::Pod(pod) => !self.allows(*direction, pod, peer, connection),
            End::Node | End::Elsewhere(_) => false,
        });
        refused.map(|(direction, ..)| direction).collect()
    }

    fn allows(&self, direction: Direction, pod: &PodEnd, peer: &End, connection: &Connection) -> bool {
        let isolated = self.isolated.iter().any(|(isolated, subject)| *isolated == direction && subject.includes(pod));
        let granted = |grant: &Grant| {
            grant.direction == direction
                && grant.subject.includes(pod)
                && self.is_peer(grant, peer)
                && grant.port.includes(connection)
        };
        !isolated || self.grants.iter().any(granted)
    }

    fn is_peer(&self, grant: &Grant, end: &End) -> bool {
        match (&grant.peer, end) {
            (Peer::Anyone, _) => true,
            (Peer::Pods { namespaces, pods }, End::Pod(pod)) => {
                let in_namespace = match namespaces {
                    None => pod.namespace == grant.namespace,
                    Some(selector) => {
                        self.namespaces.get(&pod.namespace).is_some_and(|labels| selector.matches(labels))
                    }
                };
                in_namespace && pods.matches(&pod.labels)
            }
            (Peer::Pods { .. }, End::Node | End::Elsewhere(_)) | (Peer::Block { .. }, End::Node) => false,
            (Peer::Block { block, except }, End::Pod(PodEnd { address, .. }) | End::Elsewhere(address)) => {
                block.contains(*address) && !except.iter().any(|except| except.contains(*address))
            }
        }
    }
}

/// What each of them means; `all` when there are none, as an empty list and a missing one allow everything.
fn each_or<T, M: Clone>(list: Option<Vec<T>>, meaning: fn(T) -> M, all: M) -> Vec<M> {
    match list {
        Some(list) if !list.is_empty() => list.into_iter().map(meaning).collect(),
        _ => vec![all],
    }
}

fn selector(selector: LabelSelector) -> Selector {
    Selector::try_from(selector).expect("the API server checked its operators")
}

#[cfg(test)]
#[path = "policies_tests.rs"]
mod tests;
