//! Clients that share orders while the store and a worker fail: under consistency each order's history is linearizable.

#![expect(clippy::panic, clippy::print_stdout, reason = "a test fails by panicking and prints what it measured")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::api::{Api, Ask, json_of};
use e2e::cloud_store::{Cloud, CloudStore};
use e2e::fault_proxy::{FaultProxy, Plan};
use e2e::linearizability::{Event, OrderState, Question, Reply, is_linearizable};
use e2e::pods::Pods;
use hyper::{Method, StatusCode};
use load::catalogue;
use load::run::new_key;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shop_contract::config::{OnPartition, OnPartitionConfig};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::store_faults::scenarios::{REPLIES_LOST, STORM_OF_503};

/// Orders that are filled at the same time.
const ORDERS: usize = 8;

/// Clients that share an order.
const CLIENTS: u64 = 4;

/// Most questions of one client, so that the search through a history ends soon.
const MOST_QUESTIONS: usize = 60;

/// How often a client asks with one key, a second or so each time: for longer than everything is out of reach.
const MOST_TRIES: usize = 40;

const CONSISTENCY: OnPartitionConfig =
    OnPartitionConfig { carts: OnPartition::Consistency, submit: OnPartition::Consistency };

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_orders_on_aws_are_linearizable_through_lost_replies_a_stopped_owner_and_an_outage() {
    live_through(Cloud::Aws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_orders_on_azure_are_linearizable_through_lost_replies_a_stopped_owner_and_an_outage() {
    live_through(Cloud::Azure).await;
}

async fn live_through(cloud: Cloud) {
    let folder = crate::folder();
    let store = CloudStore::make(cloud).await;
    let proxy = FaultProxy::start(&store.emulator, 23).await;
    let pods = Pods::start_with(folder.path(), &store, store.config(&proxy.server), CONSISTENCY, &[]).await;
    let api = Api::at(&pods.url).await;
    let products = catalogue::products(&api.client).await.expect("the catalogue");
    let skus: Vec<&'static str> =
        products.into_iter().take(4).map(|product| &*Box::leak(product.sku.into_boxed_str())).collect();
    let (closing, writes_forbidden) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let clients = Arc::new(AtomicU64::new(0));
    let mut at_work = JoinSet::new();
    let mut histories = Vec::new();
    for seed in 0..ORDERS {
        let order = api.create(&new_key()).await;
        let history = Arc::new(Mutex::new(Vec::new()));
        for client in 0..CLIENTS {
            let client = Client {
                api: api.clone(),
                order: order.clone(),
                skus: skus.clone(),
                history: Arc::clone(&history),
                random: StdRng::seed_from_u64(u64::try_from(seed).expect("few") * CLIENTS + client),
                numbers: Arc::clone(&clients),
                closing: Arc::clone(&closing),
                buys: client == 0,
                cut_off: Arc::clone(&writes_forbidden),
            };
            at_work.spawn(client.live());
        }
        histories.push((order, history));
    }
    sleep(Duration::from_secs(1)).await;
    during(&proxy, REPLIES_LOST.plan, Duration::from_secs(3)).await;
    pods.pause_worker(0);
    sleep(Duration::from_secs(9)).await;
    pods.resume_worker(0);
    sleep(Duration::from_secs(2)).await;
    proxy.set(Some(STORM_OF_503.plan));
    // What was asked before may have come through.
    sleep(Duration::from_millis(1_500)).await;
    writes_forbidden.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(3)).await;
    writes_forbidden.store(false, Ordering::SeqCst);
    proxy.set(None);
    sleep(Duration::from_secs(8)).await;
    closing.store(true, Ordering::SeqCst);
    while let Some(ended) = at_work.join_next().await {
        ended.expect("no panic");
    }
    let mut counts = BTreeMap::new();
    for (order, history) in histories {
        let history = history.lock().expect("a lock").clone();
        for event in &history {
            *counts.entry(kind(event)).or_insert(0) += 1;
        }
        assert!(is_linearizable(&history), "{order}: {history:#?}");
    }
    println!("{cloud:?}: {ORDERS} orders, {counts:?}");
    assert!(counts["answered"] > 500 && counts["unknown"] > 0, "{counts:?}");
    pods.end().await;
}

async fn during(proxy: &FaultProxy, plan: Plan, time: Duration) {
    proxy.set(Some(plan));
    sleep(time).await;
    proxy.set(None);
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Asked(..) => "asked",
        Event::Answered(..) => "answered",
        Event::NotDone(_) => "not done",
        Event::Unknown(_) => "unknown",
    }
}

/// Asks one thing after the other.
struct Client {
    api: Api,
    order: String,
    skus: Vec<&'static str>,
    history: Arc<Mutex<Vec<Event>>>,
    random: StdRng,
    /// Gives each client a number, and a new one to a client that does not know what became of its question.
    numbers: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    /// Whether it submits the order in the end.
    buys: bool,
    /// While it is set no write that begins may be acknowledged.
    cut_off: Arc<AtomicBool>,
}

impl Client {
    async fn live(mut self) {
        let mut number = self.next_number();
        for _ in 0..MOST_QUESTIONS {
            if self.closing.load(Ordering::SeqCst) {
                break;
            }
            let question = self.question();
            number = self.ask(number, question).await;
            let pause = self.random.random_range(100..700);
            sleep(Duration::from_millis(pause)).await;
        }
        if self.buys {
            // The shop takes on what is submitted, some time.
            let shop = self.next_number();
            self.note(Event::Asked(shop, Question::Confirm));
            self.note(Event::Unknown(shop));
            for question in [Question::Submit, Question::Read, Question::Read] {
                number = self.ask(number, question).await;
            }
        }
    }

    /// Asks something, and gives the number under which to go on.
    async fn ask(&mut self, number: u64, question: Question) -> u64 {
        let was_cut_off = self.cut_off.load(Ordering::SeqCst);
        self.note(Event::Asked(number, question.clone()));
        let request = self.request(&question);
        // Few give up, since a history with many open ends fits nearly everything and takes long to search.
        let gives_up = self.random.random_bool(0.1);
        let (mut end, mut is_open) = (None, false);
        for _ in 0..MOST_TRIES {
            let answer = self.api.ask_once(request.clone()).await;
            match event(number, &question, answer.status, &json_of(&answer)) {
                Event::Unknown(_) if !gives_up => is_open = true,
                // An earlier try may yet take effect.
                Event::NotDone(_) if is_open => {}
                event => {
                    end = Some(event);
                    break;
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        let event = end.unwrap_or(Event::Unknown(number));
        let acknowledged = matches!(&event, Event::Answered(_, Reply::Order(_))) && question != Question::Read;
        let still_cut_off = self.cut_off.load(Ordering::SeqCst);
        assert!(!(acknowledged && was_cut_off && still_cut_off), "{question:?} was acknowledged without a store");
        let is_known = !matches!(event, Event::Unknown(_));
        self.note(event);
        if is_known { number } else { self.next_number() }
    }

    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, event: Event) {
        self.history.lock().expect("a lock").push(event);
    }

    fn question(&mut self) -> Question {
        let sku = self.skus[self.random.random_range(0..self.skus.len())];
        match self.random.random_range(0..100) {
            0..45 => Question::Add(sku, self.random.random_range(1..4)),
            45..60 => Question::Set(sku, self.random.random_range(1..20)),
            60..68 => Question::Remove(sku),
            _ => Question::Read,
        }
    }

    fn request(&self, question: &Question) -> Ask {
        let path = format!("/api/v1/orders/{}", self.order);
        let ask = match question {
            Question::Add(sku, pieces) => {
                let body = json!({"sku": sku, "quantity": pieces});
                Ask::with_json(Method::POST, &format!("{path}/items"), &body)
            }
            Question::Set(sku, pieces) => {
                Ask::with_json(Method::PUT, &format!("{path}/items/{sku}"), &json!({"quantity": pieces}))
            }
            Question::Remove(sku) => Ask::bare(Method::DELETE, &format!("{path}/items/{sku}")),
            Question::Submit | Question::Confirm => Ask::bare(Method::POST, &format!("{path}/submit")),
            Question::Read => return Ask::bare(Method::GET, &path),
        };
        ask.key(&new_key())
    }
}

/// What an answer says.
fn event(client: u64, question: &Question, status: StatusCode, body: &Value) -> Event {
    if status == StatusCode::OK {
        assert_eq!((&body["stale"], &body["durability"]), (&json!(false), &json!("persisted")), "{body}");
        return Event::Answered(client, Reply::Order(state(body)));
    }
    let code = body["code"].as_str().unwrap_or_default();
    match (status.as_u16(), code) {
        (404 | 409, code) => Event::Answered(client, Reply::Refused(code.to_owned())),
        (503, "outcome_unknown") => Event::Unknown(client),
        (503, "not_done" | "overloaded") => Event::NotDone(client),
        _ => panic!("{question:?}: {status} {body}"),
    }
}

fn state(order: &Value) -> OrderState {
    let lines =
        order["items"].as_array().expect("its lines").iter().map(|line| {
            (line["sku"].as_str().expect("a SKU").to_owned(), line["quantity"].as_u64().expect("a quantity"))
        });
    OrderState {
        version: order["version"].as_u64().expect("a version"),
        status: order["status"].as_str().expect("a status").to_owned(),
        lines: lines.collect(),
    }
}
