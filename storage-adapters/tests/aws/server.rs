//! A tiny server that answers as a test says, or passes requests on to the emulator.

use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use storage_adapters::conformance::emulators;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::Url;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its first line and headers.
    pub(crate) head: String,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The access key that it was signed with.
    pub(crate) fn access_key(&self) -> Option<&str> {
        self.header("authorization")?.split("Credential=").nth(1)?.split('/').next()
    }

    pub(crate) fn is(&self, method: &str) -> bool {
        self.head.starts_with(method)
    }

    /// Whether it asks SQS for this operation.
    pub(crate) fn asks_for(&self, operation: &str) -> bool {
        self.header("x-amz-target").is_some_and(|target| target == format!("AmazonSQS.{operation}"))
    }
}

/// What is done about a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// Only the end of the connection.
    Nothing,
}

impl Reply {
    pub(crate) fn new(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let text =
            format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
        Self::Bytes(text.into_bytes())
    }
}

/// The server, ended when dropped.
pub(crate) struct Server {
    pub(crate) url: Url,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            loop {
                let Ok((connection, _)) = listener.accept().await else { return };
                tokio::spawn(serve(connection, seen.clone(), answer.clone()));
            }
        });
        Self { url, requests, task }
    }

    /// A server that answers at once.
    pub(crate) async fn answering(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(move |request| std::future::ready(answer(&request)).boxed()).await
    }

    /// A server that passes requests on to the emulator; `is_lost` says which of its answers get lost.
    pub(crate) async fn before_emulator(is_lost: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        Self::start(move |request| {
            let is_lost = is_lost(&request);
            async move {
                let answer = pass_on(&request).await;
                if is_lost { Reply::Nothing } else { Reply::Bytes(answer) }
            }
            .boxed()
        })
        .await
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut connection: TcpStream,
    seen: Arc<Mutex<Vec<Request>>>,
    answer: Arc<impl Fn(Request) -> BoxFuture<'static, Reply>>,
) {
    let Some(request) = read(&mut connection).await else { return };
    seen.lock().expect("no panic").push(request.clone());
    if let Reply::Bytes(bytes) = answer(request).await {
        let _ = connection.write_all(&bytes).await;
        let _ = connection.shutdown().await;
    }
}

async fn read(connection: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = bytes.split_off(end);
    let request = Request { head: String::from_utf8(bytes).ok()?, body: Vec::new() };
    let length: usize = request.header("content-length").map_or(Ok(0), str::parse).ok()?;
    while body.len() < length {
        if connection.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { body, ..request })
}

async fn pass_on(request: &Request) -> Vec<u8> {
    let (first, headers) = request.head.split_once("\r\n").expect("a first line");
    let authority = emulators::aws().blob.authority().to_owned();
    let mut emulator = TcpStream::connect(authority).await.expect("the emulator listens");
    let head = format!("{first}\r\nConnection: close\r\n{headers}");
    emulator.write_all(&[head.as_bytes(), &request.body].concat()).await.expect("passed on");
    let mut answer = Vec::new();
    emulator.read_to_end(&mut answer).await.expect("answered");
    answer
}
