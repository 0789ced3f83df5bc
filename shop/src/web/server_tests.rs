use std::sync::atomic::AtomicUsize;

use axum::{Router, routing::get};
use tokio::{sync::Notify, task::JoinHandle};

use super::*;
use crate::web::raw_client::RawClient;

struct Running {
    address: SocketAddr,
    readiness: Readiness,
    stop: CancellationToken,
    server: JoinHandle<Ended>,
}

fn start(application: Router, settings: ServerSettings) -> Running {
    let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let readiness = Readiness::starting();
    readiness.clear(WaitingReason::Starting);
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, application, settings, readiness.clone(), stop.clone()));
    Running { address, readiness, stop, server }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

impl Running {
    async fn end(self) -> Ended {
        self.stop.cancel();
        self.server.await.expect("the server ends")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_alive_clients_lose_no_request_when_a_server_leaves() {
    let lame_duck = Duration::from_millis(300);
    let leaving = start(hello(), ServerSettings { lame_duck, ..ServerSettings::ALONE });
    let staying = start(hello(), ServerSettings::ALONE);
    let answered = Arc::new(AtomicUsize::new(0));
    let over = CancellationToken::new();
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (answered, over, ready) = (Arc::clone(&answered), over.clone(), leaving.readiness.clone());
            let (first, second) = (leaving.address, staying.address);
            tokio::spawn(async move {
                let mut connection = None;
                while !over.is_cancelled() {
                    let mut client = if let Some(client) = connection.take() {
                        client
                    } else {
                        // As a load balancer does: ask whoever is ready now.
                        let target = if ready.is_ready() { first } else { second };
                        RawClient::connect(target).await.expect("a connection")
                    };
                    let answer = client.get("/").await.expect("no request is lost");
                    assert_eq!(answer.status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if !answer.closes() {
                        connection = Some(client);
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    while answered.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(leaving.end().await, Ended { cut: 0 });
    let before = answered.load(Ordering::Relaxed);
    while answered.load(Ordering::Relaxed) < before + 200 {
        tokio::task::yield_now().await;
    }
    over.cancel();
    for client in clients {
        client.await.expect("every request was answered");
    }
    staying.end().await;
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_headers_is_cut_and_an_idle_one_is_not() {
    let header_timeout = Duration::from_millis(200);
    let server = start(hello(), ServerSettings { header_timeout, ..ServerSettings::ALONE });
    let mut idle = RawClient::connect(server.address).await.expect("connects");
    assert_eq!(idle.get("/").await.expect("an answer").status, 200);
    let mut slow = RawClient::connect(server.address).await.expect("connects");
    assert_eq!(slow.get("/").await.expect("an answer").status, 200);
    slow.send(b"GET / HTTP/1.1\r\nhost: a").await.expect("sends");
    slow.closed().await;
    assert_eq!(idle.get("/").await.expect("an answer").status, 200, "idle time is not header time");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_connects_and_says_nothing_is_cut() {
    let header_timeout = Duration::from_millis(50);
    let server = start(hello(), ServerSettings { header_timeout, ..ServerSettings::ALONE });
    RawClient::connect(server.address).await.expect("connects").closed().await;
    server.end().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let idle_timeout = Duration::from_millis(50);
    // The one timer of a connection first looks when the header time is over.
    let settings = ServerSettings { idle_timeout, header_timeout: idle_timeout, ..ServerSettings::ALONE };
    let server = start(hello(), settings);
    let mut client = RawClient::connect(server.address).await.expect("connects");
    assert_eq!(client.get("/").await.expect("an answer").status, 200);
    client.closed().await;
    server.end().await;
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_answered_431() {
    let server = start(hello(), ServerSettings::ALONE);
    for (count, value) in [(65, 1), (200, 1), (1, 17_000)] {
        let header = |number: u32| ["x-", &number.to_string(), ": ", &"v".repeat(value), "\r\n"].concat();
        let headers: String = (0..count).map(header).collect();
        let mut client = RawClient::connect(server.address).await.expect("connects");
        let answer = client.ask("GET", "/", &headers, None).await.expect("an answer");
        assert_eq!(answer.status, 431, "{count} headers of {value}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_broken_request_is_answered_400_and_never_5xx() {
    let server = start(hello(), ServerSettings::ALONE);
    for broken in
        ["nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\0 HTTP/1.1\r\n\r\n", "G\u{e9}T / HTTP/1.1\r\n\r\n"]
    {
        let mut client = RawClient::connect(server.address).await.expect("connects");
        client.send(broken.as_bytes()).await.expect("sends");
        if let Some(answer) = client.read_answer(false).await {
            assert!((400..500).contains(&answer.status), "{broken:?}: {}", answer.status);
        }
    }
    server.end().await;
}

#[tokio::test]
async fn who_sends_a_body_that_nobody_reads_still_gets_the_answer_unless_it_has_no_end() {
    let server = start(hello(), ServerSettings::ALONE);
    let head = |length: usize| format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let piece = [b'x'; 16_384];
    let mut client = RawClient::connect(server.address).await.expect("connects");
    client.send(head(20 * piece.len()).as_bytes()).await.expect("sends");
    client.answer_begins().await;
    for _ in 0..20 {
        client.send(&piece).await.expect("a server that still listens");
        // Time for a reset to come back.
        sleep(Duration::from_millis(1)).await;
    }
    let answer = client.read_answer(false).await.expect("an answer");
    assert!(answer.status == 405 && answer.closes(), "{}", answer.head);
    let mut endless = RawClient::connect(server.address).await.expect("connects");
    endless.send(head(usize::MAX / 2).as_bytes()).await.expect("sends");
    let begun = Instant::now();
    while endless.send(&piece).await.is_ok() {}
    assert!(begun.elapsed() < Duration::from_secs(5), "cut after {:?}", begun.elapsed());
    server.end().await;
}

#[tokio::test]
async fn a_little_body_that_nobody_reads_costs_no_connection() {
    let server = start(hello(), ServerSettings::ALONE);
    let mut client = RawClient::connect(server.address).await.expect("connects");
    for _ in 0..3 {
        let answer = client.ask("POST", "/", "", Some(r#"{"sku":"KIT-1","quantity":1}"#)).await.expect("an answer");
        assert!(answer.status == 405 && !answer.closes(), "{}", answer.head);
    }
    server.end().await;
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_closed() {
    let server = start(hello(), ServerSettings { max_connections: 1, ..ServerSettings::ALONE });
    let mut first = RawClient::connect(server.address).await.expect("connects");
    assert_eq!(first.get("/").await.expect("an answer").status, 200);
    let mut second = RawClient::connect(server.address).await.expect("connects");
    let answer = second.get("/").await.expect("an answer");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.closes());
    assert_eq!(answer.json()["code"], "overloaded");
    assert_eq!(first.get("/").await.expect("an answer").status, 200);
    server.end().await;
}

#[tokio::test]
async fn a_connection_of_some_age_is_closed_with_its_answer() {
    let server = start(hello(), ServerSettings { rotation: Duration::ZERO, ..ServerSettings::ALONE });
    let mut client = RawClient::connect(server.address).await.expect("connects");
    assert!(client.get("/").await.expect("an answer").closes());
    client.closed().await;
    server.end().await;
}

#[tokio::test]
async fn a_request_in_flight_is_answered_and_one_without_end_is_cut() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let application = {
        let (arrived, go) = (Arc::clone(&arrived), Arc::clone(&go));
        let endless = Arc::clone(&arrived);
        Router::new()
            .route(
                "/slow",
                get(async move || {
                    arrived.notify_one();
                    go.notified().await;
                    "done"
                }),
            )
            .route(
                "/endless",
                get(async move || {
                    endless.notify_one();
                    std::future::pending::<&str>().await
                }),
            )
    };
    let server = start(application, ServerSettings { drain: Duration::from_millis(300), ..ServerSettings::ALONE });
    let mut endless = RawClient::connect(server.address).await.expect("connects");
    endless.send(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sends");
    arrived.notified().await;
    let mut slow = RawClient::connect(server.address).await.expect("connects");
    slow.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sends");
    arrived.notified().await;
    server.stop.cancel();
    while server.readiness.is_ready() {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    let answer = slow.read_answer(false).await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    assert!(answer.closes());
    // As clients do that are told to.
    drop(slow);
    assert_eq!(server.end().await, Ended { cut: 1 });
}

#[tokio::test]
async fn a_panic_is_answered_500_and_the_connection_goes_on() {
    let panics = get(|| async {
        assert!(std::hint::black_box(false), "planted");
        "never"
    });
    let server = start(hello().route("/panic", panics), ServerSettings::ALONE);
    let mut client = RawClient::connect(server.address).await.expect("connects");
    let answer = client.get("/panic").await.expect("an answer");
    assert_eq!((answer.status, &answer.json()["code"]), (500, &"internal".into()));
    assert_eq!(client.get("/").await.expect("an answer").status, 200);
    server.end().await;
}
