//! The generator against a small scripted server, where the real shop could not be made to stall on purpose.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use load::commands::Commands;
use load::http::{Client, ClientOptions};
use load::ledger::{Entry, Ledger, Operation, Outcome};
use load::report::Kind;
use load::run::{Options, Rates, RunError, run};
use load::target::Target;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How the server behaves, and what it saw.
#[derive(Default)]
struct Script {
    /// Every answer to a search comes so much later.
    search_delay: Duration,
    /// Adds are never answered.
    swallow_adds: bool,
    searches: AtomicUsize,
    adds: AtomicUsize,
    orders: AtomicUsize,
}

struct Server {
    url: String,
    script: Arc<Script>,
    _serving: JoinSet<()>,
}

async fn server(script: Script) -> Server {
    let script = Arc::new(script);
    let order = |id: &str| Json(json!({"id": id, "status": "open", "items": [], "durability": "persisted"}));
    let routes = Router::new()
        .route("/api/v1/products", get(async || Json(json!({"items": [{"sku": "A-1", "name": "Copper Kettle"}]}))))
        .route(
            "/api/v1/search",
            get(async |State(script): State<Arc<Script>>| {
                script.searches.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(script.search_delay).await;
                Json(json!({"items": [], "next_cursor": null}))
            }),
        )
        .route(
            "/api/v1/orders",
            post(async move |State(script): State<Arc<Script>>| {
                let number = script.orders.fetch_add(1, Ordering::SeqCst);
                (StatusCode::CREATED, order(&format!("order-{number}"))).into_response()
            }),
        )
        .route(
            "/api/v1/orders/{id}/items",
            post(async move |State(script): State<Arc<Script>>, Path(id): Path<String>| {
                script.adds.fetch_add(1, Ordering::SeqCst);
                if script.swallow_adds {
                    std::future::pending::<()>().await;
                }
                order(&id)
            }),
        )
        .route("/api/v1/orders/{id}/submit", post(async move |Path(id): Path<String>| order(&id)))
        .with_state(Arc::clone(&script));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, routes).await.expect("serves") });
    Server { url, script, _serving: serving }
}

async fn commands(url: &str, ledger: Ledger) -> Commands {
    let target = Target::resolve(url, false).await.expect("a local target");
    Commands { client: Client::new(target, ClientOptions::default()).expect("a client"), ledger }
}

fn options(searches: f64, adds: f64, submits: f64, duration: Duration) -> Options {
    Options { rates: Rates { searches, adds, submits }, duration, in_flight: 1_000, seed: 1 }
}

fn entries(path: &std::path::Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path).expect("the ledger");
    text.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect()
}

#[tokio::test]
async fn a_server_that_answers_late_is_sent_no_less_and_its_lateness_is_measured() {
    let server = server(Script { search_delay: Duration::from_millis(400), ..Script::default() }).await;
    let commands = commands(&server.url, Ledger::none()).await;
    let asked = options(100.0, 0.0, 0.0, Duration::from_secs(1));
    let report = run(&commands, &asked, std::future::pending(), &mut |_| {}).await.expect("a report");
    let searches = &report.kinds[&Kind::Search];
    assert_eq!(server.script.searches.load(Ordering::SeqCst), 100);
    assert_eq!((searches.requests, searches.ok), (100, 100));
    assert!(searches.latency_ms.p50 >= 400.0, "{searches:?}");
    assert_eq!(report.generator.overruns, 0);
}

#[tokio::test]
async fn what_is_due_beyond_the_bound_is_not_sent_and_not_hidden() {
    let server = server(Script { search_delay: Duration::from_secs(2), ..Script::default() }).await;
    let commands = commands(&server.url, Ledger::none()).await;
    let asked = Options { in_flight: 10, ..options(100.0, 0.0, 0.0, Duration::from_millis(500)) };
    let report = run(&commands, &asked, std::future::pending(), &mut |_| {}).await.expect("a report");
    assert_eq!(report.kinds[&Kind::Search].faults["overrun"], 40);
    assert_eq!(report.generator.overruns, 40);
}

#[tokio::test]
async fn a_run_sends_what_was_asked_of_each_kind_and_writes_every_write_down() {
    let server = server(Script::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    let commands = commands(&server.url, Ledger::create(&path).expect("a ledger")).await;
    let asked = options(200.0, 100.0, 10.0, Duration::from_secs(1));
    let report = run(&commands, &asked, std::future::pending(), &mut |_| {}).await.expect("a report");
    for (kind, requests) in [(Kind::Search, 200), (Kind::Add, 100), (Kind::Submit, 10), (Kind::Create, 10)] {
        let row = &report.kinds[&kind];
        assert_eq!((row.requests, row.ok), (requests, requests), "{kind:?}: {row:?}");
    }
    let entries = entries(&path);
    let count = |op| entries.iter().filter(|entry| entry.op == op && entry.outcome == Outcome::Acked).count();
    assert_eq!((count(Operation::Add), count(Operation::Submit)), (100, 10));
    assert_eq!(count(Operation::Create), server.script.orders.load(Ordering::SeqCst));
    assert_eq!(entries.len(), 110 + count(Operation::Create));
}

#[tokio::test]
async fn rates_that_do_not_fit_together_are_refused_before_anything_is_sent() {
    let server = server(Script::default()).await;
    let commands = commands(&server.url, Ledger::none()).await;
    for (searches, adds, submits) in [(0.0, 0.0, 0.0), (60_000.0, 0.0, 0.0), (0.0, 1.0, 2.0), (-1.0, 5.0, 1.0)] {
        let asked = options(searches, adds, submits, Duration::from_secs(1));
        let refused = run(&commands, &asked, std::future::pending(), &mut |_| {}).await;
        assert!(matches!(refused, Err(RunError::Rates(_))), "{searches} {adds} {submits}");
    }
    assert_eq!(commands.client.connects(), 0);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut serving: JoinSet<()> = JoinSet::new();
    serving.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0_u8; 1024];
            assert!(stream.read(&mut request).await.expect("a request") > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("an answer");
            // Closed without having said so.
        }
    });
    let client = commands(&url, Ledger::none()).await.client;
    for _ in 0..20 {
        let answer = client.send(load::http::Call::get("/")).await.expect("an answer");
        assert_eq!(&answer.body[..], b"ok");
        // The close needs to arrive before the connection is used again.
        let limit = Instant::now() + Duration::from_secs(20);
        while client.open() > 0 {
            assert!(Instant::now() < limit, "the close did not arrive");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(client.connects(), 20);
}

#[tokio::test]
async fn a_run_ended_by_a_signal_leaves_a_whole_ledger_and_a_report() {
    let server = server(Script { swallow_adds: true, ..Script::default() }).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (ledger, json) = (folder.path().join("ledger"), folder.path().join("report"));
    let mut generator = tokio::process::Command::new(env!("CARGO_BIN_EXE_shop-load"))
        .args(["run", "--target", &server.url, "--searches", "50", "--adds", "50", "--duration", "10m"])
        .args(["--ledger".as_ref(), ledger.as_os_str(), "--json".as_ref(), json.as_os_str()])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("started");
    let limit = Instant::now() + Duration::from_secs(20);
    while server.script.adds.load(Ordering::SeqCst) < 10 {
        assert!(Instant::now() < limit, "no adds were sent");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let id = generator.id().expect("it runs").to_string();
    let sent = tokio::process::Command::new("kill").args(["-TERM", &id]).status().await.expect("kill");
    assert!(sent.success());
    let status =
        tokio::time::timeout(Duration::from_secs(20), generator.wait()).await.expect("it ends").expect("waited");
    assert!(status.success(), "{status}");

    let entries = entries(&ledger);
    let adds = entries.iter().filter(|entry| entry.op == Operation::Add);
    assert!(adds.clone().all(|entry| entry.outcome == Outcome::Unknown));
    assert_eq!(adds.count(), server.script.adds.load(Ordering::SeqCst));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&json).expect("the report")).expect("it is JSON");
    assert_eq!(report["interrupted"], true);
    let mut table = BufReader::new(generator.stdout.take().expect("its output")).lines();
    assert!(table.next_line().await.expect("read").expect("a line").contains("p99 ms"));
}
