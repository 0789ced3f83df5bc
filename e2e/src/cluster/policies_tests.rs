//! What the evaluator of policies decides, case by case. No I/O.

use serde_json::{Value, json};

use super::{Direction, Policies};
use crate::cluster::connection::{Connection, End, PodEnd, Protocol};

const BOTH: &[Direction] = &[Direction::Egress, Direction::Ingress];
const EGRESS: &[Direction] = &[Direction::Egress];
const INGRESS: &[Direction] = &[Direction::Ingress];
const NOBODY: &[Direction] = &[];

/// A pod of namespace `shops` at 10.0.0.`host`, which calls its port 8080 `http`.
fn pod(name: &str, host: u8, labels: Value) -> End {
    let mut pod = json!({
        "metadata": {"namespace": "shops", "name": name},
        "spec": {"containers": [{"name": "one", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": format!("10.0.0.{host}")},
    });
    pod["metadata"]["labels"] = labels;
    End::Pod(PodEnd::of(&serde_json::from_value(pod).expect("a pod")).expect("it has an address"))
}

fn web() -> End {
    pod("web", 1, json!({"app": "web", "tier": "front"}))
}

fn worker() -> End {
    pod("worker", 2, json!({"app": "worker"}))
}

fn stranger() -> End {
    pod("stranger", 3, json!({"app": "stranger"}))
}

/// A pod with the labels of the web pod in another namespace.
fn foreign_web() -> End {
    let End::Pod(pod) = web() else { unreachable!("it is a pod") };
    End::Pod(PodEnd { namespace: "others".into(), address: "10.0.1.1".parse().expect("an address"), ..pod })
}

fn elsewhere(address: &str) -> End {
    End::Elsewhere(address.parse().expect("an address"))
}

fn tcp(from: End, to: End, port: u16) -> Connection {
    Connection { from, to, protocol: Protocol::Tcp, port }
}

fn udp(from: End, to: End, port: u16) -> Connection {
    Connection { protocol: Protocol::Udp, ..tcp(from, to, port) }
}

/// Policies of namespace `shops` with these specs, in a cluster with the namespaces `shops` and `others`.
fn policies(specs: &[Value]) -> Policies {
    let policies = specs.iter().enumerate().map(|(number, spec)| {
        let policy = json!({"metadata": {"namespace": "shops", "name": format!("policy-{number}")}, "spec": spec});
        serde_json::from_value(policy).expect("a policy")
    });
    let namespaces = ["shops", "others"].map(|name| {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"name": name}}})).expect("a namespace")
    });
    Policies::read(policies.collect(), namespaces.into())
}

/// A policy for the worker with this one rule of ingress.
fn worker_ingress(rule: &Value) -> Value {
    json!({"podSelector": {"matchLabels": {"app": "worker"}}, "policyTypes": ["Ingress"], "ingress": [rule]})
}

fn check(cases: &[(&str, Value, Connection, &[Direction])]) {
    for (what, spec, connection, refused_by) in cases {
        assert_eq!(&policies(std::slice::from_ref(spec)).refusals(connection), refused_by, "{what}: {connection}");
    }
}

#[test]
fn a_policy_isolates_the_pods_it_selects_in_the_directions_it_is_about() {
    let all = json!({});
    let worker_only = json!({"matchLabels": {"app": "worker"}});
    let spec = |pods: &Value, types: &[&str]| json!({"podSelector": pods, "policyTypes": types});
    let to_worker = || tcp(web(), worker(), 9091);
    check(&[
        ("it selects others", spec(&worker_only, &["Ingress"]), tcp(worker(), web(), 80), NOBODY),
        ("ingress", spec(&worker_only, &["Ingress"]), to_worker(), INGRESS),
        ("egress of the one that is called", spec(&worker_only, &["Egress"]), to_worker(), NOBODY),
        ("all pods, both directions", spec(&all, &["Ingress", "Egress"]), to_worker(), BOTH),
        ("all pods, egress", spec(&all, &["Egress"]), to_worker(), EGRESS),
        ("another namespace", spec(&all, &["Ingress", "Egress"]), tcp(foreign_web(), worker(), 9091), INGRESS),
        ("to the world", spec(&all, &["Egress"]), tcp(web(), elsewhere("192.0.2.1"), 443), EGRESS),
        ("no types: ingress", json!({"podSelector": all}), to_worker(), INGRESS),
        ("no types, with egress", json!({"podSelector": all, "egress": [{"ports": [{"port": 1}]}]}), to_worker(), BOTH),
        (
            "a rule for a direction that it is not about",
            json!({"podSelector": all, "policyTypes": ["Ingress"], "ingress": [{}], "egress": []}),
            to_worker(),
            NOBODY,
        ),
    ]);
}

#[test]
fn nothing_comes_between_a_pod_and_its_node_or_itself() {
    let deny = || json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    check(&[
        ("a probe", deny(), tcp(End::Node, worker(), 9090), NOBODY),
        ("to its node", deny(), tcp(worker(), End::Node, 6443), NOBODY),
        ("to itself", deny(), tcp(worker(), worker(), 9091), NOBODY),
    ]);
}

#[test]
fn peers_are_selected_by_their_labels_and_namespaces() {
    let from = |peer: &Value| worker_ingress(&json!({"from": [peer]}));
    let pods = json!({"podSelector": {"matchLabels": {"app": "web"}}});
    let namespaces = json!({"namespaceSelector": {"matchLabels": {"name": "others"}}});
    let both = json!({"namespaceSelector": {"matchLabels": {"name": "others"}},
                      "podSelector": {"matchLabels": {"app": "web"}}});
    let by = |expression: Value| json!({"podSelector": {"matchExpressions": [expression]}});
    let has_tier = by(json!({"key": "tier", "operator": "Exists"}));
    let not_web = by(json!({"key": "app", "operator": "NotIn", "values": ["web"]}));
    let reach = |end: End| tcp(end, worker(), 9091);
    check(&[
        ("no peer is anyone", worker_ingress(&json!({})), reach(elsewhere("192.0.2.1")), NOBODY),
        ("an empty list is anyone", worker_ingress(&json!({"from": []})), reach(stranger()), NOBODY),
        ("pods", from(&pods), reach(web()), NOBODY),
        ("other pods", from(&pods), reach(stranger()), INGRESS),
        ("such pods elsewhere", from(&pods), reach(foreign_web()), INGRESS),
        ("no pod at all", from(&pods), reach(elsewhere("10.0.0.1")), INGRESS),
        ("every pod here", from(&json!({"podSelector": {}})), reach(stranger()), NOBODY),
        ("a namespace", from(&namespaces), reach(foreign_web()), NOBODY),
        ("not this namespace", from(&namespaces), reach(web()), INGRESS),
        ("every namespace", from(&json!({"namespaceSelector": {}})), reach(web()), NOBODY),
        ("pods of a namespace", from(&both), reach(foreign_web()), NOBODY),
        ("such pods of this namespace", from(&both), reach(web()), INGRESS),
        ("a label that is there", from(&has_tier), reach(web()), NOBODY),
        ("a label that is not there", from(&has_tier), reach(stranger()), INGRESS),
        ("all but some", from(&not_web), reach(stranger()), NOBODY),
        ("those", from(&not_web), reach(web()), INGRESS),
    ]);
}

#[test]
fn blocks_hold_their_addresses_but_for_the_exceptions() {
    let to = |cidr: &str, except: &[&str]| {
        let block = json!({"ipBlock": {"cidr": cidr, "except": except}});
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block]}]})
    };
    let call = |address: &str| tcp(web(), elsewhere(address), 443);
    check(&[
        ("within", to("192.0.2.0/24", &[]), call("192.0.2.255"), NOBODY),
        ("beside", to("192.0.2.0/24", &[]), call("192.0.3.0"), EGRESS),
        ("one address", to("192.0.2.7/32", &[]), call("192.0.2.7"), NOBODY),
        ("the one beside it", to("192.0.2.7/32", &[]), call("192.0.2.6"), EGRESS),
        ("everything", to("0.0.0.0/0", &[]), call("203.0.113.9"), NOBODY),
        ("everything but", to("0.0.0.0/0", &["169.254.0.0/16"]), call("169.254.169.254"), EGRESS),
        ("more than that", to("0.0.0.0/0", &["169.254.0.0/16"]), call("169.255.0.1"), NOBODY),
        ("a pod by its address", to("10.0.0.0/8", &[]), tcp(web(), worker(), 443), NOBODY),
        ("of the other family", to("0.0.0.0/0", &[]), call("2001:db8::1"), EGRESS),
        ("of version 6", to("2001:db8::/32", &[]), call("2001:db8:1::1"), NOBODY),
        ("beside it", to("2001:db8::/32", &[]), call("2001:db9::1"), EGRESS),
        ("all of version 6", to("::/0", &[]), call("2001:db8::1"), NOBODY),
    ]);
}

#[test]
fn ports_are_a_number_a_range_or_what_the_pod_calls_so() {
    let at = |port: &Value| worker_ingress(&json!({"ports": [port]}));
    let number = json!({"port": 53});
    let range = json!({"protocol": "UDP", "port": 5000, "endPort": 5010});
    let name = json!({"protocol": "TCP", "port": "http"});
    let to = |port| tcp(web(), worker(), port);
    let ask = |port| udp(web(), worker(), port);
    let out = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [name]}]});
    check(&[
        ("no list is any port", worker_ingress(&json!({"ports": []})), ask(7), NOBODY),
        ("a number means TCP", at(&number), to(53), NOBODY),
        ("not UDP", at(&number), ask(53), INGRESS),
        ("another number", at(&number), to(54), INGRESS),
        ("a protocol with all its ports", at(&json!({"protocol": "UDP"})), ask(65535), NOBODY),
        ("but not the other protocol", at(&json!({"protocol": "UDP"})), to(53), INGRESS),
        ("first of a range", at(&range), ask(5000), NOBODY),
        ("last of a range", at(&range), ask(5010), NOBODY),
        ("behind a range", at(&range), ask(5011), INGRESS),
        ("a name", at(&name), to(8080), NOBODY),
        ("a port without that name", at(&name), to(8081), INGRESS),
        ("a name, the other protocol", at(&name), ask(8080), INGRESS),
        ("a name of the pod that is called", out.clone(), to(8080), NOBODY),
        ("a name that nobody gives", out, tcp(web(), elsewhere("192.0.2.1"), 8080), EGRESS),
    ]);
}

#[test]
fn what_one_policy_allows_no_other_takes_back_and_without_the_grant_it_is_refused() {
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let allow = worker_ingress(&json!({
        "from": [{"podSelector": {"matchLabels": {"app": "web"}}}, {"podSelector": {"matchLabels": {"app": "worker"}}}],
        "ports": [{"port": 9091}, {"port": 53, "protocol": "UDP"}],
    }));
    let policies = policies(&[deny, allow]);
    let connection = tcp(web(), worker(), 9091);
    assert_eq!(policies.refusals(&connection), EGRESS);
    let grants: Vec<String> = policies.grants().iter().map(ToString::to_string).collect();
    assert_eq!(
        grants,
        [
            "policy-1 ingress from pods app=web TCP 9091",
            "policy-1 ingress from pods app=web UDP 53",
            "policy-1 ingress from pods app=worker TCP 9091",
            "policy-1 ingress from pods app=worker UDP 53",
        ]
    );
    assert_eq!(policies.without(0).refusals(&connection), BOTH);
    for other in 1..grants.len() {
        assert_eq!(policies.without(other).refusals(&connection), EGRESS);
    }
}
