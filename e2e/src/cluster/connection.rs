//! A connection between pods, or others, with all that policies look at. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

/// A protocol that policies speak of; they hold back no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, which a port that names no protocol means.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The protocol of this name, in capitals or not.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "sctp" => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// A pod as policies see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodEnd {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The ports that its containers name.
    pub ports: BTreeSet<(String, Protocol, u16)>,
}

impl PodEnd {
    /// A pod, once it has an address of its own; one that uses its node's network is the node to policies.
    #[must_use]
    pub fn of(pod: &Pod) -> Option<Self> {
        let spec = pod.spec.as_ref()?;
        if spec.host_network == Some(true) {
            return None;
        }
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let ports = containers.flat_map(|container| container.ports.iter().flatten()).filter_map(|port| {
            let protocol = Protocol::named(port.protocol.as_deref().unwrap_or("TCP"))?;
            Some((port.name.clone()?, protocol, number(port.container_port)))
        });
        Some(Self {
            namespace: pod.metadata.namespace.clone()?,
            name: pod.metadata.name.clone()?,
            address: pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?,
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            ports: ports.collect(),
        })
    }
}

/// Who is at one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A pod.
    Pod(PodEnd),
    /// The node that the pod at the other end runs on. It and its pods always reach each other.
    Node,
    /// Anybody else.
    Elsewhere(IpAddr),
}

impl fmt::Display for End {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(pod) => to.write_str(&pod.name),
            Self::Node => to.write_str("the node"),
            Self::Elsewhere(address) => address.fmt(to),
        }
    }
}

/// A connection, or a datagram that asks for an answer, between its ends: instead of a Service, the pod behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Who opens it.
    pub from: End,
    /// Who is called.
    pub to: End,
    /// How.
    pub protocol: Protocol,
    /// The port that is called.
    pub port: u16,
}

impl fmt::Display for Connection {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} -> {} {} {}", self.from, self.to, self.protocol, self.port)
    }
}

/// A port's number.
pub(super) fn number(port: i32) -> u16 {
    u16::try_from(port).expect("the API server refuses other numbers")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::{PodEnd, Protocol};

    #[test]
    fn a_pod_is_an_end_when_it_has_an_address_of_its_own() {
        let read = |pod: Value| PodEnd::of(&serde_json::from_value::<Pod>(pod).expect("a pod"));
        let metadata = json!({"namespace": "shops", "name": "one"});
        assert_eq!(read(json!({"metadata": metadata, "spec": {"containers": []}, "status": {}})), None);
        let status = json!({"podIP": "10.0.0.1"});
        let on_the_node = json!({"hostNetwork": true, "containers": []});
        assert_eq!(read(json!({"metadata": metadata, "spec": on_the_node, "status": status})), None);
        let ports = json!([{"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"containerPort": 80}]);
        let spec = json!({"containers": [{"name": "one", "ports": ports}]});
        let pod = read(json!({"metadata": metadata, "spec": spec, "status": status})).expect("it has an address");
        assert_eq!(pod.ports, [("dns".to_owned(), Protocol::Udp, 53)].into());
    }
}
