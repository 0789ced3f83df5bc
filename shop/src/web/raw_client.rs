//! A client for tests that writes requests byte by byte, as broken and slow clients do. Uses loopback sockets.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// More than any answer in a test takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct RawClient {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct RawAnswer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl RawAnswer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// The values of a header that may come more than once.
    pub(super) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.head.lines().skip(1).filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(super) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl RawClient {
    pub(super) async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Option<RawAnswer> {
        self.ask("GET", path, "", None).await
    }

    /// Sends a request and reads its answer; `None` when the server closed instead.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&str>,
    ) -> Option<RawAnswer> {
        let body = body.unwrap_or_default();
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\nhost: shop.test\r\n{headers}{length}\r\n{body}");
        self.send(request.as_bytes()).await.ok()?;
        self.read_answer(method == "HEAD").await
    }

    pub(super) async fn read_answer(&mut self, head_only: bool) -> Option<RawAnswer> {
        let end = loop {
            if let Some(position) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break position + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut answer = RawAnswer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |text| text.parse().expect("a length"));
        let length = if head_only { 0 } else { length };
        while self.buffer.len() < end + length {
            self.fill().await?;
        }
        let rest = self.buffer.split_off(end + length);
        answer.body = self.buffer.split_off(end);
        self.buffer = rest;
        Some(answer)
    }

    /// Waits until there is something of an answer, and leaves it there.
    pub(super) async fn answer_begins(&self) {
        timeout(PATIENCE, self.stream.peek(&mut [0])).await.expect("an answer in time").expect("an answer");
    }

    /// Waits until the server closes the connection.
    pub(super) async fn closed(&mut self) {
        while self.fill().await.is_some() {}
    }

    async fn fill(&mut self) -> Option<()> {
        let mut chunk = [0; 4096];
        let read = timeout(PATIENCE, self.stream.read(&mut chunk)).await.expect("an answer in time").ok()?;
        self.buffer.extend_from_slice(&chunk[..read]);
        (read > 0).then_some(())
    }
}
