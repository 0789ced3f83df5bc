//! A small HTTP/1.1 client that keeps many connections alive and sends each request once. Network I/O.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::target::Target;

/// A longer answer than any page of the shop is a fault, and would fill the generator's memory.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Path and query, ready for the wire.
    pub path: String,
    /// Headers beside `Host` and the length.
    pub headers: HeaderMap,
    /// Body; empty for none.
    pub body: Bytes,
}

impl Call {
    /// A `GET` of `path`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A request with a JSON body.
    #[must_use]
    pub fn json(method: Method, path: impl Into<String>, body: &serde_json::Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { method, path: path.into(), headers, body: body.to_string().into() }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, read to the end.
    pub body: Bytes,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Failure {
    /// No connection could be made; nothing was sent.
    #[error("no connection")]
    Connect,
    /// As many connections are open as are allowed; nothing was sent.
    #[error("no free connection")]
    Connections,
    /// The request is not valid HTTP; nothing was sent.
    #[error("not a valid request")]
    Invalid,
    /// The connection broke after the request was on its way.
    #[error("connection broke")]
    Broken,
    /// No whole answer in time.
    #[error("no answer in time")]
    TimedOut,
}

impl Failure {
    /// Whether the shop certainly never saw the request.
    #[must_use]
    pub fn never_sent(self) -> bool {
        matches!(self, Self::Connect | Self::Connections | Self::Invalid)
    }

    /// A short name for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connections => "connections",
            Self::Invalid => "invalid",
            Self::Broken => "broken",
            Self::TimedOut => "timed_out",
        }
    }
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Time for a whole answer, with the time to connect.
    pub timeout: Duration,
    /// Most connections open at a time.
    pub connections: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), connections: 1_000 }
    }
}

/// Keeps connections to one target; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: Target,
    host: HeaderValue,
    options: ClientOptions,
    idle: Mutex<VecDeque<SendRequest<Full<Bytes>>>>,
    open: Arc<AtomicUsize>,
    connects: AtomicUsize,
    drivers: Mutex<JoinSet<()>>,
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
struct OpenConnection(Arc<AtomicUsize>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Client {
    /// A client of `target`; connects when it is used.
    ///
    /// # Errors
    /// When the target's name cannot stand in a `Host` header.
    pub fn new(target: Target, options: ClientOptions) -> Result<Self, header::InvalidHeaderValue> {
        let host = HeaderValue::from_str(&target.authority)?;
        Ok(Self {
            inner: Arc::new(Inner {
                target,
                host,
                options,
                idle: Mutex::default(),
                open: Arc::default(),
                connects: AtomicUsize::new(0),
                drivers: Mutex::default(),
            }),
        })
    }

    /// `host[:port]` of the target.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.inner.target.authority
    }

    /// Time that a whole answer may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.inner.options.timeout
    }

    /// Connections made so far.
    #[must_use]
    pub fn connects(&self) -> usize {
        self.inner.connects.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inner.open.load(Ordering::Relaxed)
    }

    /// Sends a request once and reads the whole answer.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.inner.options.timeout;
        tokio::time::timeout_at(deadline, self.send_once(call)).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn send_once(&self, call: Call) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .body(Full::new(call.body))
            .map_err(|_| Failure::Invalid)?;
        *request.headers_mut() = call.headers;
        request.headers_mut().insert(header::HOST, self.inner.host.clone());
        loop {
            let (mut connection, fresh) = self.connection().await?;
            match connection.try_send_request(request).await {
                Ok(response) => return self.read(connection, response).await,
                // A connection that the server closed while it was idle. Not a byte was sent, so this is no retry.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) => return Err(Failure::Connect),
                    None => return Err(Failure::Broken),
                },
            }
        }
    }

    async fn read(
        &self,
        connection: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Result<Answer, Failure> {
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(|_| Failure::Broken)?.into_data() {
                if body.len() + data.len() > LONGEST_ANSWER {
                    return Err(Failure::Broken);
                }
                body.extend_from_slice(&data);
            }
        }
        if !connection.is_closed() {
            locked(&self.inner.idle).push_back(connection);
        }
        Ok(Answer { status: head.status, headers: head.headers, body: body.freeze() })
    }

    /// The connection that was idle longest, so that all of them stay in use, or a new one.
    async fn connection(&self) -> Result<(SendRequest<Full<Bytes>>, bool), Failure> {
        loop {
            let idle = locked(&self.inner.idle).pop_front();
            let Some(mut connection) = idle else { break };
            if connection.ready().await.is_ok() {
                return Ok((connection, false));
            }
        }
        self.connect().await.map(|connection| (connection, true))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let inner = &self.inner;
        let counted = OpenConnection(Arc::clone(&inner.open));
        if inner.open.fetch_add(1, Ordering::Relaxed) >= inner.options.connections {
            return Err(Failure::Connections);
        }
        inner.connects.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(&inner.target.addresses[..]).await.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Connect)?;
        let mut drivers = locked(&inner.drivers);
        while drivers.try_join_next().is_some() {}
        drivers.spawn(async move {
            let _counted = counted;
            // Its error reaches the request that it cuts short, if there is one.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing in here can panic half-way, so what a poisoned lock holds is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
