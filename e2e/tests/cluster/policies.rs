//! The policies of a shop, held against the connections that are really made, since the local cluster enforces none.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use e2e::api::Api;
use e2e::cluster::connection::{Connection, End, PodEnd, Protocol};
use e2e::cluster::pods::name_of;
use e2e::cluster::policies::{Direction, Policies};
use e2e::cluster::recorder::Recorder;
use e2e::cluster::{
    OPERATOR_NAMESPACE, Share, Shop, TestNamespace, embedded, images, in_namespace, kill_container, kubectl,
    kubectl_with_input, pause_container, resume_container,
};
use e2e::wait::until;
use hyper::Method;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api as Kube;
use kube::api::{ListParams, PostParams};
use load::run::new_key;
use serde_json::{Value, json};
use url::Url;

const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";

const PUBLIC: u16 = 8080;
const OPERATIONS: u16 = 9090;
const INTERNAL: u16 = 9091;
const DNS: u16 = 5353;
/// Ports that no pod of a shop listens on, nor calls.
const PORTS_OF_NOBODY: [u16; 4] = [22, 443, 8081, 65535];

const BOTH: &[Direction] = &[Direction::Egress, Direction::Ingress];
const EGRESS: &[Direction] = &[Direction::Egress];
const INGRESS: &[Direction] = &[Direction::Ingress];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn policies_allow_every_connection_that_a_shop_makes_and_nothing_that_it_does_not_need() {
    in_namespace(Share::Together, "policies", async |namespace| {
        // From before the first pod: whoever opens a connection, and keeps it, is seen doing so.
        let recorder = Recorder::start(&namespace.client).await;
        let two_of_each = namespace.small_shop();
        let mut one_of_each = embedded();
        for tier in ["web", "worker"] {
            one_of_each[tier]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 1});
        }
        let (corner, market) = tokio::join!(
            Shop::ready(&namespace, "corner", &two_of_each),
            Shop::ready(&namespace, "market", &one_of_each),
        );
        // Before the customer comes, who would meet the pod that does not answer.
        have_a_web_pod_asked(&corner, &recorder).await;
        start_customer(&namespace).await;
        seen(&namespace, &recorder, "the customer reaches a web pod", |made| {
            is(&made.from, "customer", None) && is(&made.to, "corner", Some("web")) && made.port == PUBLIC
        })
        .await;
        live_through_much(&corner).await;

        let policies = read_policies(&namespace).await;
        let mut made = connections_of(&namespace, &recorder).await;
        println!("{} pairs of a caller and a port were recorded", made.len());
        assert_what_must_be_in_the_record_is(&made);
        let store = StoreEnds::of(&two_of_each["storage"]);
        store.tell_from_the_node(&mut made);
        let refused: Vec<String> =
            made.iter().filter(|made| !policies.refusals(made).is_empty()).map(ToString::to_string).collect();
        assert!(refused.is_empty(), "made, and not allowed: {refused:#?}");
        assert_each_grant_is_needed(&namespace, &policies, &made);
        let ends = Ends::find(&corner, &market).await;
        assert_refused(&policies, &ends.forbidden());
        assert_refused(&policies, &store.forbidden(&ends));
        assert_what_is_tried_is_recorded_and_refused(&namespace, &policies, &recorder, &ends).await;
    })
    .await;
}

/// A web pod is asked how it fares only while it is not ready.
async fn have_a_web_pod_asked(shop: &Shop, recorder: &Recorder) {
    let web = shop.pods(Some("web")).await;
    pause_container(&web[0]).await;
    seen(&shop.namespace, recorder, "the operator asks a web pod why it is not ready", |made| {
        is(&made.to, &shop.name, Some("web")) && made.port == INTERNAL
    })
    .await;
    resume_container(&web[0]).await;
    until("all web pods are ready again", Duration::from_secs(30), async || {
        let pods = shop.pods(Some("web")).await;
        if pods.iter().all(is_ready) { Ok(()) } else { Err(format!("{} pods", pods.len())) }
    })
    .await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Buys, kills a worker, brings a new catalogue into the other one, and rolls all pods.
async fn live_through_much(shop: &Shop) {
    let namespace = shop.namespace.name.as_str();
    let api = shop.api().await;
    let sku = api.products(100).await[0]["sku"].as_str().expect("a SKU").to_owned();
    buy(&api, &sku).await;
    let workers = shop.pods(Some("worker")).await;
    kill_container(&workers[0]).await;
    buy(&api, &sku).await;

    let mut csv = "sku,name,price,category\n".to_owned();
    for number in 0..20 {
        writeln!(csv, "IMP-{number},Imported Lamp {number},{number}.50,Lamps").expect("a string takes it");
    }
    let other = name_of(&workers[1]);
    let exec = ["exec", "--stdin", "--namespace", namespace, &other, "--", "/shop", "catalogue"];
    let import = ["import", "-", "--format", "csv", "--currency", "EUR", "--config", "/etc/cloudshop/shop.toml"];
    kubectl_with_input(&[&exec[..], &import].concat(), &csv).await.expect("imported");
    until("the new catalogue is sold", Duration::from_secs(30), async || {
        let found = api.search("IMP-7").await;
        if found.first().is_some_and(|sku| sku == "IMP-7") { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;

    let before = shop.pod_uids().await;
    let mut spec = shop.namespace.small_shop();
    for tier in ["web", "worker"] {
        spec[tier]["resources"]["requests"]["memory"] = json!("72Mi");
    }
    shop.apply(&spec).await.expect("accepted");
    shop.wait_ready(Duration::from_mins(2)).await;
    shop.all_replaced(&before).await;
    buy(&shop.api().await, "IMP-7").await;
}

async fn buy(api: &Api, sku: &str) {
    let order = api.create(&new_key()).await;
    api.add(&order, sku, 2).await;
    let line = format!("/api/v1/orders/{order}/items/{sku}");
    api.command(Method::PUT, &line, Some(json!({"quantity": 3}))).await;
    api.submit(&order).await;
    api.confirmed(&order).await;
}

/// Somebody who is no part of any shop, and buys at one by the name of its Service until the namespace goes.
async fn start_customer(namespace: &TestNamespace) {
    let (registry, tag) = images();
    let buy = ["/shop-load", "run", "--target", "http://corner", "--duration", "10m"];
    let command = [&buy[..], &["--searches", "5", "--adds", "2", "--submits", "1"]].concat();
    let pod = json!({
        "metadata": {"name": "customer", "labels": {"app.kubernetes.io/instance": "customer"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "customer",
                "image": format!("{registry}/shop:{tag}"),
                "command": command,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let pods: Kube<Pod> = Kube::namespaced(namespace.client.clone(), &namespace.name);
    let pod = serde_json::from_value(pod).expect("a Pod");
    pods.create(&PostParams::default(), &pod).await.expect("a customer");
}

/// The policies of the whole cluster, as an enforcer reads them.
async fn read_policies(namespace: &TestNamespace) -> Policies {
    let policies: Kube<NetworkPolicy> = Kube::all(namespace.client.clone());
    let namespaces: Kube<Namespace> = Kube::all(namespace.client.clone());
    let all = ListParams::default();
    let policies = policies.list(&all).await.expect("a list of policies").items;
    let here: BTreeSet<&str> = policies
        .iter()
        .filter(|policy| policy.metadata.namespace.as_deref() == Some(&namespace.name))
        .filter_map(|policy| policy.metadata.name.as_deref())
        .collect();
    let shops = ["corner", "market"].map(|shop| ["default-deny", "web", "worker"].map(|part| format!("{shop}-{part}")));
    assert_eq!(here, shops.iter().flatten().map(String::as_str).collect(), "the policies of two shops, and no more");
    Policies::read(policies, namespaces.list(&all).await.expect("a list of namespaces").items)
}

/// What the pods of this namespace opened, and what was opened to them.
async fn connections_of(namespace: &TestNamespace, recorder: &Recorder) -> BTreeSet<Connection> {
    let ours = |end: &End| matches!(end, End::Pod(pod) if pod.namespace == namespace.name);
    let mut made = recorder.connections().await;
    made.retain(|made| ours(&made.from) || ours(&made.to));
    made
}

/// A record that lacks what is known to have happened proves nothing.
fn assert_what_must_be_in_the_record_is(made: &BTreeSet<Connection>) {
    for tier in ["web", "worker"] {
        let probed = made
            .iter()
            .filter(|made| made.from == End::Node && is(&made.to, "corner", Some(tier)) && made.port == OPERATIONS);
        assert!(probed.count() >= 4, "the node probed the {tier} pods of before and after the roll: {made:#?}");
    }
    let asked = |made: &&Connection| is(&made.from, "customer", None) && made.port == DNS;
    let asked = made.iter().find(asked).unwrap_or_else(|| panic!("the customer looked a name up: {made:#?}"));
    assert_eq!(asked.protocol, Protocol::Udp);
}

/// Without any one of the grants some connection that was made is refused.
fn assert_each_grant_is_needed(namespace: &TestNamespace, policies: &Policies, made: &BTreeSet<Connection>) {
    for (position, grant) in policies.grants().iter().enumerate() {
        if grant.namespace != namespace.name || !grant.policy.starts_with("corner-") {
            continue;
        }
        let without = policies.without(position);
        let needs = made.iter().find(|made| !without.refusals(made).is_empty());
        println!("{grant}: needed by {}", needs.unwrap_or_else(|| panic!("{grant} is allowed, and never needed")));
    }
}

/// Those who might call each other and must not.
struct Ends {
    web: PodEnd,
    worker: PodEnd,
    other_web: PodEnd,
    other_worker: PodEnd,
    customer: PodEnd,
    operator: PodEnd,
    api_server: Vec<(End, u16)>,
}

impl Ends {
    async fn find(corner: &Shop, market: &Shop) -> Self {
        let of = async |shop: &Shop, tier| pod_end(&shop.pods(Some(tier)).await[0]);
        let pods = async |namespace, labels| {
            let pods: Kube<Pod> = Kube::namespaced(corner.namespace.client.clone(), namespace);
            let found = pods.list(&ListParams::default().labels(labels)).await.expect("a list of pods").items;
            pod_end(found.first().unwrap_or_else(|| panic!("no pod has {labels}")))
        };
        Self {
            web: of(corner, "web").await,
            worker: of(corner, "worker").await,
            other_web: of(market, "web").await,
            other_worker: of(market, "worker").await,
            customer: pods(&corner.namespace.name, "app.kubernetes.io/instance=customer").await,
            operator: pods(OPERATOR_NAMESPACE, "app.kubernetes.io/name=cloudshop-operator").await,
            api_server: api_server().await,
        }
    }

    /// Connections that nothing makes, with the ends that must refuse them.
    fn forbidden(&self) -> Vec<(Connection, &'static [Direction])> {
        let pod = |pod: &PodEnd| End::Pod(pod.clone());
        let [web, worker, customer, operator] = [&self.web, &self.worker, &self.customer, &self.operator].map(pod);
        let [other_web, other_worker] = [&self.other_web, &self.other_worker].map(pod);
        // What a shop of the same name in another namespace would run, and what this shop may run one day.
        let namesake = PodEnd { namespace: "default".into(), name: "web-elsewhere".into(), ..self.web.clone() };
        let mut newcomer = PodEnd { name: "newcomer".into(), ..self.web.clone() };
        newcomer.labels.remove(COMPONENT);
        let (namesake, newcomer) = (End::Pod(namesake), End::Pod(newcomer));
        let metadata = elsewhere("169.254.169.254");
        let internet = elsewhere("203.0.113.7");
        let mut forbidden = vec![
            (&customer, &worker, INTERNAL, INGRESS),
            (&customer, &worker, OPERATIONS, INGRESS),
            (&customer, &web, INTERNAL, INGRESS),
            (&customer, &web, OPERATIONS, INGRESS),
            (&customer, &newcomer, PUBLIC, INGRESS),
            (&internet, &worker, INTERNAL, INGRESS),
            (&internet, &web, INTERNAL, INGRESS),
            (&internet, &web, OPERATIONS, INGRESS),
            (&operator, &worker, OPERATIONS, BOTH),
            (&operator, &web, OPERATIONS, BOTH),
            (&other_web, &worker, INTERNAL, BOTH),
            (&other_worker, &worker, INTERNAL, BOTH),
            (&namesake, &worker, INTERNAL, INGRESS),
            (&web, &other_worker, INTERNAL, BOTH),
            (&web, &other_web, PUBLIC, EGRESS),
            (&web, &worker, OPERATIONS, BOTH),
            (&web, &customer, PUBLIC, EGRESS),
            (&web, &operator, OPERATIONS, EGRESS),
            (&worker, &other_worker, INTERNAL, BOTH),
            (&worker, &web, INTERNAL, BOTH),
            (&worker, &web, PUBLIC, EGRESS),
            (&newcomer, &worker, INTERNAL, BOTH),
            (&newcomer, &internet, DNS, EGRESS),
            (&web, &metadata, 80, EGRESS),
            (&worker, &metadata, 80, EGRESS),
        ];
        for port in PORTS_OF_NOBODY {
            for stranger in [&customer, &internet] {
                forbidden.extend([(stranger, &web, port, INGRESS), (stranger, &worker, port, INGRESS)]);
                forbidden.extend([(&web, stranger, port, EGRESS), (&worker, stranger, port, EGRESS)]);
            }
            forbidden.extend([(&web, &worker, port, BOTH), (&worker, &web, port, BOTH)]);
        }
        for (api_server, port) in &self.api_server {
            forbidden.extend([(&web, api_server, *port, EGRESS), (&worker, api_server, *port, EGRESS)]);
        }
        let connections = forbidden.into_iter().map(|(from, to, port, refused_by)| {
            (Connection { from: from.clone(), to: to.clone(), protocol: Protocol::Tcp, port }, refused_by)
        });
        connections.collect()
    }
}

/// The Kubernetes API by its Service and by itself, as if on a machine of its own: the local cluster has it on the pods'
/// node, which no policy keeps from its pods.
async fn api_server() -> Vec<(End, u16)> {
    let service = ["get", "service", "kubernetes", "--output", "jsonpath={.spec.clusterIP} {.spec.ports[0].port}"];
    let by_name = "kubernetes.io/service-name=kubernetes";
    let itself = ["get", "endpointslice", "--selector", by_name, "--output"];
    let itself = [&itself[..], &["jsonpath={.items[0].endpoints[0].addresses[0]} {.items[0].ports[0].port}"]].concat();
    let mut ends = Vec::new();
    for question in [&service[..], &itself] {
        let printed = kubectl(&[question, &["--namespace", "default"]].concat()).await;
        let parts =
            printed.split_once(' ').and_then(|(address, port)| Some((address.parse().ok()?, port.parse().ok()?)));
        let (address, port) = parts.unwrap_or_else(|| panic!("no address and port: {printed:?}"));
        ends.push((End::Elsewhere(address), port));
    }
    ends
}

/// The servers of a store in a cloud as policies see them; of Embedded storage there are none.
struct StoreEnds {
    ports: BTreeSet<u16>,
}

impl StoreEnds {
    fn of(storage: &Value) -> Self {
        let settings = [&storage["aws"], &storage["azure"]].into_iter().find(|settings| settings.is_object());
        let ports = settings.into_iter().flat_map(|settings| {
            ["blob", "queue"].map(|service| {
                let endpoint = settings["endpoint"][service].as_str().expect("an emulator's address");
                endpoint.parse::<Url>().expect("a URL").port().expect("a port of its own")
            })
        });
        Self { ports: ports.collect() }
    }

    /// Takes the emulators, which run on the node, for what they stand for: servers elsewhere, by either version of IP, that
    /// are found by name. What emulators do not need of that is added to what was `made`.
    fn tell_from_the_node(&self, made: &mut BTreeSet<Connection>) {
        let calls = |made: &Connection| made.to == End::Node && self.ports.contains(&made.port);
        let called: Vec<Connection> = made.iter().filter(|made| calls(made)).cloned().collect();
        assert_eq!(called.is_empty(), self.ports.is_empty(), "a store in a cloud is called");
        made.retain(|made| !calls(made));
        for call in called {
            for address in ["203.0.113.7", "2001:db8::7"] {
                made.insert(Connection { to: elsewhere(address), ..call.clone() });
            }
            for (protocol, port) in [Protocol::Udp, Protocol::Tcp].into_iter().flat_map(|how| [(how, 53), (how, DNS)]) {
                made.insert(Connection { to: elsewhere("203.0.113.53"), protocol, port, ..call.clone() });
            }
        }
    }

    /// Connections that nothing makes, though some are like those to the store.
    fn forbidden(&self, ends: &Ends) -> Vec<(Connection, &'static [Direction])> {
        let mut forbidden = Vec::new();
        for from in [&ends.web, &ends.worker] {
            let mut call = |to: &str, port| {
                let connection =
                    Connection { from: End::Pod(from.clone()), to: elsewhere(to), protocol: Protocol::Tcp, port };
                forbidden.push((connection, EGRESS));
            };
            for port in &self.ports {
                call("169.254.169.254", *port);
                call("fd00:ec2::254", *port);
            }
            if self.ports.is_empty() {
                call("203.0.113.53", DNS);
            }
        }
        forbidden
    }
}

fn elsewhere(address: &str) -> End {
    End::Elsewhere(address.parse().expect("an address"))
}

fn assert_refused(policies: &Policies, forbidden: &[(Connection, &[Direction])]) {
    for (connection, refused_by) in forbidden {
        assert_eq!(policies.refusals(connection), *refused_by, "the ends that refuse {connection}");
    }
}

/// The local cluster lets it through, so an enforcer's verdict on what was really tried is seen as a whole: a call that
/// is recorded, and refused.
async fn assert_what_is_tried_is_recorded_and_refused(
    namespace: &TestNamespace,
    policies: &Policies,
    recorder: &Recorder,
    ends: &Ends,
) {
    let tries = [(&ends.customer, &ends.worker, INTERNAL, INGRESS), (&ends.web, &ends.customer, PUBLIC, EGRESS)];
    for (from, to, port, refused_by) in tries {
        let target = format!("http://{}:{port}", to.address);
        let exec = ["exec", "--namespace", &from.namespace, &from.name, "--", "/shop-load", "run", "--target", &target];
        // Nobody answers as a shop there; it is enough that the call was made.
        let _ = kubectl_with_input(&[&exec[..], &["--searches", "1", "--duration", "1s"]].concat(), "").await;
        let called = seen(namespace, recorder, "the call is recorded", |made| {
            made.from == End::Pod(from.clone()) && made.to == End::Pod(to.clone()) && made.port == port
        })
        .await;
        assert_eq!(policies.refusals(&called), refused_by, "the ends that refuse {called}");
    }
}

/// Waits until such a connection of this namespace is recorded; shops of other tests have the same names.
async fn seen(
    namespace: &TestNamespace,
    recorder: &Recorder,
    what: &str,
    such: impl Fn(&Connection) -> bool,
) -> Connection {
    until(what, Duration::from_secs(30), async || {
        let made = connections_of(namespace, recorder).await;
        made.into_iter().find(&such).ok_or_else(|| "no such connection".to_owned())
    })
    .await
}

fn pod_end(pod: &Pod) -> PodEnd {
    PodEnd::of(pod).expect("it has an address of its own")
}

/// Whether this is a pod of `instance`, in `component` when one is given.
fn is(end: &End, instance: &str, component: Option<&str>) -> bool {
    let End::Pod(pod) = end else { return false };
    let label = |key: &str| pod.labels.get(key).map(String::as_str);
    label(INSTANCE) == Some(instance) && (component.is_none() || label(COMPONENT) == component)
}
