use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;

/// A server that answers with the request that it got.
struct Echo {
    url: Url,
    asked: Arc<AtomicU32>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"the end") {
                    if connection.read_buf(&mut request).await.expect("read") == 0 {
                        break;
                    }
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", request.len());
                connection.write_all(&[head.as_bytes(), &request].concat()).await.expect("written");
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A proxy all of whose requests meet `faults`, and what is behind it.
async fn failing(faults: &'static [Fault]) -> (FaultProxy, Echo) {
    let echo = Echo::start().await;
    let proxy = FaultProxy::start(&Server { blob: echo.url.clone(), queue: echo.url.clone() }, 1).await;
    proxy.set(Some(Plan { on: Traffic::ALL, share: 1.0, faults }));
    (proxy, echo)
}

/// Puts "the end", as a client of a cloud that names another host, and reads what comes until the connection ends.
async fn put(proxy: &FaultProxy, header: &str) -> (String, std::io::Result<()>) {
    let mut connection = TcpStream::connect(proxy.server.blob.authority()).await.expect("it listens");
    let request = format!(
        "PUT /a%2Fb?c=d HTTP/1.1\r\nHost: signed\r\n{header}Connection: close\r\nContent-Length: 7\r\n\r\nthe end"
    );
    connection.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let ended = connection.read_to_end(&mut answer).await.map(drop);
    (String::from_utf8(answer).expect("text"), ended)
}

fn injected(proxy: &FaultProxy) -> Vec<(&'static str, u64)> {
    proxy.counts().injected.into_iter().collect()
}

#[tokio::test]
async fn without_a_plan_a_request_passes_as_it_came() {
    let (proxy, echo) = failing(&[]).await;
    proxy.set(None);
    let (answer, ended) = put(&proxy, "x-ms-version: 1\r\n").await;
    ended.expect("it ends in order");
    let (head, passed) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(passed.starts_with("PUT /a%2Fb?c=d HTTP/1.1\r\n") && passed.ends_with("the end"), "{passed}");
    for kept in ["host: signed\r\n", "x-ms-version: 1\r\n", "content-length: 7\r\n"] {
        assert!(passed.to_lowercase().contains(kept), "{kept} is not in {passed}");
    }
    assert_eq!((proxy.counts().requests, proxy.counts().passed, echo.asked()), (1, 1, 1));
}

#[tokio::test]
async fn a_reset_comes_before_or_after_the_write() {
    for (fault, asked) in [(&[Fault::ResetBefore], 0), (&[Fault::LoseReply], 1)] {
        let (proxy, echo) = failing(fault).await;
        let (answer, ended) = put(&proxy, "").await;
        assert_eq!((answer.as_str(), ended.expect_err("it breaks").kind()), ("", ErrorKind::ConnectionReset));
        assert_eq!((echo.asked(), injected(&proxy)), (asked, vec![(fault[0].name(), 1)]));
    }
}

#[tokio::test]
async fn a_stall_answers_nothing_and_writes_nothing() {
    const TIME: Duration = Duration::from_mins(10);
    let (proxy, echo) = failing(&[Fault::Stall(TIME)]).await;
    timeout(Duration::from_millis(300), put(&proxy, "")).await.expect_err("no answer");
    assert_eq!((echo.asked(), injected(&proxy)), (0, vec![("stall", 1)]));
}

#[tokio::test]
async fn a_slow_answer_is_late_and_whole() {
    const DELAY: Duration = Duration::from_millis(100);
    const PAUSE: Duration = Duration::from_millis(20);
    let (proxy, _echo) = failing(&[Fault::Slow { delay: DELAY, pause: PAUSE }]).await;
    let began = Instant::now();
    let (answer, ended) = put(&proxy, "").await;
    ended.expect("it ends in order");
    assert!(answer.ends_with("the end") && began.elapsed() >= DELAY + 5 * PAUSE, "{answer}");
}

#[tokio::test]
async fn a_cut_answer_ends_in_its_middle() {
    let (proxy, echo) = failing(&[Fault::CutAnswer]).await;
    let (answer, _) = put(&proxy, "").await;
    assert!(answer.contains("PUT /a%2Fb") && !answer.contains("the end"), "{answer}");
    assert_eq!((echo.asked(), injected(&proxy)), (1, vec![("answer cut", 1)]));
}

#[tokio::test]
async fn a_refusal_is_worded_as_each_cloud_words_it() {
    let (proxy, echo) = failing(&[Fault::Refuse { status: 503, retry_after: Some(2) }]).await;
    for (header, wanted) in [
        ("", "<Code>SlowDown</Code>"),
        ("x-ms-version: 1\r\n", "x-ms-error-code: ServerBusy\r\n"),
        ("x-amz-target: AmazonSQS.SendMessage\r\n", r#""__type":"com.amazonaws.sqs#SlowDown""#),
    ] {
        let (answer, _) = put(&proxy, header).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 2\r\n"), "{answer}");
        assert!(answer.contains(wanted), "{wanted} is not in {answer}");
    }
    assert_eq!((echo.asked(), proxy.counts().requests), (0, 3));
}
