//! A cut of the network: packets that the node drops on their way. Runs `nft`.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;

use super::kubectl::run;

/// Which packets of a connection are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Those from the client: nothing is asked.
    Requests,
    /// Those from the server: what is asked may be done, and nobody hears of it.
    Answers,
    /// All.
    Both,
}

/// Some pods and some servers are cut off from each other, until this is dropped or healed.
pub struct Cut {
    table: String,
}

impl Cut {
    /// Drops packets between the pods `from` and the servers `to`, also of connections that are open.
    pub async fn between(from: &[Pod], to: &[SocketAddr], way: Way) -> Self {
        let table = format!("cut_{}", std::process::id());
        let from = from.iter().map(|pod| address(pod).to_string()).collect::<Vec<_>>().join(", ");
        let drops: Vec<String> = to
            .iter()
            .map(|server| {
                let (to, port) = (server.ip(), server.port());
                let requests = format!("    ip saddr {{ {from} }} ip daddr {to} tcp dport {port} drop\n");
                let answers = format!("    ip saddr {to} ip daddr {{ {from} }} tcp sport {port} drop\n");
                match way {
                    Way::Requests => requests,
                    Way::Answers => answers,
                    Way::Both => requests + &answers,
                }
            })
            .collect();
        let drops = drops.concat();
        // From and to pods packets are forwarded; servers on the node itself are its own input and output.
        let chains = ["forward", "input", "output"].map(|hook| {
            format!("  chain {hook} {{\n    type filter hook {hook} priority -300; policy accept;\n{drops}  }}\n")
        });
        run("nft", &["-f", "-"], &format!("table ip {table} {{\n{}}}\n", chains.concat()))
            .await
            .expect("the rules are taken");
        Self { table }
    }

    /// Lets everything through again.
    pub fn heal(self) {}
}

impl Drop for Cut {
    fn drop(&mut self) {
        let removed = Command::new("nft").args(["delete", "table", "ip", &self.table]).status();
        assert!(removed.is_ok_and(|status| status.success()) || std::thread::panicking(), "the cut is healed");
    }
}

/// Where each of these pods listens on a port.
#[must_use]
pub fn servers_of(pods: &[Pod], port: u16) -> Vec<SocketAddr> {
    pods.iter().map(|pod| SocketAddr::new(address(pod), port)).collect()
}

fn address(pod: &Pod) -> IpAddr {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()).expect("it runs");
    address.parse().expect("an address")
}
