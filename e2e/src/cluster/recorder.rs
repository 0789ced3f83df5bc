//! Who opens connections to whom on the node, which is this machine: all traffic of its pods is routed by its kernel,
//! whose connection tracking tells of each. Runs `conntrack` and `ip`, watches pods, sends itself datagrams.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::UdpSocket;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::connection::{Connection, End, PodEnd, Protocol};
use super::kubectl::run;
use crate::wait::until;

/// Nobody answers here (RFC 863), and nobody needs to.
const DISCARD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
/// Room for events that wait to be read, so that none is lost on a busy machine.
const BUFFER_BYTES: &str = "8388608";
/// What `conntrack` prints without a complaint: that it has this room.
const NOTICE: &str = "NOTICE: Netlink socket buffer size has been set";
/// Time for an event to be told, and for the API server to tell whose an address is.
const TOLD_LIMIT: Duration = Duration::from_secs(30);

/// Records connections from its start until it is dropped.
pub struct Recorder {
    seen: Arc<Mutex<Seen>>,
    // Both end with the recorder.
    _conntrack: Child,
    _readers: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    opened: BTreeSet<Opened>,
    pods: BTreeMap<IpAddr, PodEnd>,
    /// Why the record is not to be trusted, such as events that were lost.
    faults: Vec<String>,
}

/// A connection by its addresses: who opened it, and who is called behind any Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Opened {
    protocol: Protocol,
    from: SocketAddr,
    to: SocketAddr,
}

impl Recorder {
    /// Starts to record; every connection that is opened from now on is seen.
    pub async fn start(client: &Client) -> Self {
        let pods: Api<Pod> = Api::all(client.clone());
        let mut known = Seen::default();
        // Pods that are about to go may be gone before the watch lists those that are there.
        let there = pods.list(&ListParams::default()).await.expect("a list of pods").items;
        there.iter().filter_map(PodEnd::of).for_each(|pod| known.note_pod(pod));
        let seen = Arc::new(Mutex::new(known));
        let mut conntrack = Command::new("conntrack")
            .args(["--event", "--family", "ipv4", "--event-mask", "NEW", "--buffer-size", BUFFER_BYTES])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("conntrack cannot be run ({error}); put it on PATH"));
        let mut readers = JoinSet::new();
        let events = conntrack.stdout.take().expect("it is piped");
        readers.spawn(each_line(events, Arc::clone(&seen), Seen::note_event));
        let complaints = conntrack.stderr.take().expect("it is piped");
        readers.spawn(each_line(complaints, Arc::clone(&seen), Seen::note_complaint));
        readers.spawn(watch_pods(pods, Arc::clone(&seen)));
        let recorder = Self { seen, _conntrack: conntrack, _readers: readers };
        recorder.catch_up().await;
        recorder
    }

    /// The connections of pods that were opened until now, those that nobody answered as well.
    pub async fn connections(&self) -> BTreeSet<Connection> {
        self.catch_up().await;
        let node = node_addresses().await;
        until("it is known whose the addresses are", TOLD_LIMIT, async || self.seen().connections(&node)).await
    }

    /// Waits until everything until now was told. Events come in their order, so one of our own that arrives says that
    /// those before it did; the first are lost while `conntrack` is still starting.
    async fn catch_up(&self) {
        let mut sent = BTreeSet::new();
        until("conntrack told of everything until now", TOLD_LIMIT, async || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            let from = socket.local_addr().expect("it is bound");
            let ours = Opened { protocol: Protocol::Udp, from, to: DISCARD };
            if !self.seen().opened.contains(&ours) {
                socket.send_to(b"seen?", DISCARD).await.expect("a datagram needs no listener");
                sent.insert(ours);
            }
            let seen = self.seen();
            if sent.is_disjoint(&seen.opened) { Err(format!("none of {sent:?}; {:?}", seen.faults)) } else { Ok(()) }
        })
        .await;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no reader panicked")
    }
}

async fn each_line(from: impl AsyncRead + Unpin, seen: Arc<Mutex<Seen>>, note: fn(&mut Seen, &str)) {
    let mut lines = BufReader::new(from).lines();
    while let Some(line) = lines.next_line().await.expect("conntrack prints text") {
        note(&mut seen.lock().expect("no reader panicked"), &line);
    }
}

async fn watch_pods(pods: Api<Pod>, seen: Arc<Mutex<Seen>>) {
    let mut pods = pin!(watcher(pods, watcher::Config::default()).default_backoff().touched_objects());
    while let Some(pod) = pods.next().await {
        // A watch that broke goes on by itself; a pod that was missed meanwhile is missed in the end by its address.
        if let Some(pod) = pod.ok().as_ref().and_then(PodEnd::of) {
            seen.lock().expect("no reader panicked").note_pod(pod);
        }
    }
}

impl Seen {
    fn note_event(&mut self, line: &str) {
        match opened(line) {
            Ok(opened) => self.opened.extend(opened),
            Err(fault) => self.faults.push(fault),
        }
    }

    fn note_complaint(&mut self, line: &str) {
        if !line.starts_with(NOTICE) {
            self.faults.push(line.to_owned());
        }
    }

    fn note_pod(&mut self, pod: PodEnd) {
        let (address, name) = (pod.address, pod.name.clone());
        let before = self.pods.insert(address, pod).filter(|before| before.name != name);
        if let Some(before) = before {
            self.faults.push(format!("{address} was {}'s and then {name}'s", before.name));
        }
    }

    fn connections(&self, node: &BTreeSet<IpAddr>) -> Result<BTreeSet<Connection>, String> {
        assert!(self.faults.is_empty(), "the record has gaps: {:#?}", self.faults);
        let mut connections = BTreeSet::new();
        for opened in &self.opened {
            let end = |address: IpAddr| match self.pods.get(&address) {
                Some(pod) => End::Pod(pod.clone()),
                None if node.contains(&address) => End::Node,
                None => End::Elsewhere(address),
            };
            let (from, to) = (end(opened.from.ip()), end(opened.to.ip()));
            match (&from, &to) {
                // The node's own, with itself and with the world: no pod's.
                (End::Node, End::Node | End::Elsewhere(_)) | (End::Elsewhere(_), End::Node) => {}
                // The cluster has no way out, so this is a pod that the API server has not told of yet.
                (End::Elsewhere(unknown), _) | (_, End::Elsewhere(unknown)) => {
                    return Err(format!("nobody known has {unknown}: {opened:?}"));
                }
                _ => {
                    connections.insert(Connection { from, to, protocol: opened.protocol, port: opened.to.port() });
                }
            }
        }
        Ok(connections)
    }
}

/// Reads a line of `conntrack --event`; nothing when it tells of no opening that policies hold back.
///
/// A line names the addresses twice: as they were called, and as the answer will come, which is from behind the Service.
fn opened(line: &str) -> Result<Option<Opened>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(protocol) = words.get(1).and_then(|name| Protocol::named(name)) else { return Ok(None) };
    // A late packet of a connection that was forgotten starts it in another state, and maybe from its other end.
    if protocol == Protocol::Tcp && !words.contains(&"SYN_SENT") {
        return Ok(None);
    }
    let address = |address: &str, port: &str, time: usize| {
        let value = |key: &str| words.iter().filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')).nth(time);
        Some(SocketAddr::new(value(address)?.parse().ok()?, value(port)?.parse().ok()?))
    };
    let ends = address("src", "sport", 0).zip(address("src", "sport", 1));
    let (from, to) = ends.ok_or_else(|| format!("conntrack printed {line:?}"))?;
    Ok(Some(Opened { protocol, from, to }))
}

/// The addresses of this machine, among them the end of each pod's cable.
async fn node_addresses() -> BTreeSet<IpAddr> {
    let printed = run("ip", &["-json", "address"], "").await.expect("it lists the addresses");
    let devices: Vec<Value> = serde_json::from_str(&printed).expect("JSON");
    let addresses = devices.iter().flat_map(|device| device["addr_info"].as_array().into_iter().flatten());
    addresses.filter_map(|address| address["local"].as_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Opened, opened};
    use crate::cluster::connection::Protocol;

    #[test]
    fn an_event_names_who_opened_and_who_is_called_behind_the_service() {
        let line = "    [NEW] tcp      6 120 SYN_SENT src=198.18.128.7 dst=198.19.3.4 sport=40000 dport=80 [UNREPLIED] \
                    src=198.18.128.9 dst=198.18.128.7 sport=8080 dport=40000";
        let expected = Opened {
            protocol: Protocol::Tcp,
            from: "198.18.128.7:40000".parse().expect("an address"),
            to: "198.18.128.9:8080".parse().expect("an address"),
        };
        assert_eq!(opened(line), Ok(Some(expected)));
        let line = "    [NEW] udp      17 30 src=198.18.128.7 dst=198.19.0.10 sport=40000 dport=53 [UNREPLIED] \
                    src=198.18.128.2 dst=198.18.128.7 sport=5353 dport=40000";
        let to = "198.18.128.2:5353".parse().expect("an address");
        assert_eq!(opened(line), Ok(Some(Opened { protocol: Protocol::Udp, to, ..expected })));
    }

    #[test]
    fn an_event_that_opens_nothing_that_policies_hold_back_is_left_out() {
        for line in [
            "    [NEW] icmp     1 30 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=7 [UNREPLIED] src=10.0.0.2 \
             dst=10.0.0.1 type=0 code=0 id=7",
            "    [NEW] tcp      6 300 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=8080 dport=40000 [UNREPLIED] \
             src=10.0.0.2 dst=10.0.0.1 sport=40000 dport=8080",
            "",
        ] {
            assert_eq!(opened(line), Ok(None), "{line}");
        }
    }

    #[test]
    fn an_event_that_is_not_understood_is_not_passed_over() {
        assert!(opened("    [NEW] tcp      6 120 SYN_SENT src=10.0.0.1 sport=1").is_err());
    }
}
