//! Ten thousand shoppers who have a page open.

use std::time::{Duration, Instant};

use e2e::api::Ask;
use e2e::process::ShopProcess;
use futures::{StreamExt, TryStreamExt, stream};
use hyper::{Method, StatusCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::folder;

const CONNECTIONS: usize = 10_000;

/// Connections that are made at the same time.
const AT_ONCE: usize = 200;

/// Longest that a request may take while they are open.
const ANSWERED: Duration = Duration::from_secs(1);

const REQUEST: &[u8] = b"GET /api/v1/products?limit=1 HTTP/1.1\r\nhost: shop\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_open_connections_are_served() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("as many as are allowed");
    let folder = folder();
    let shop = ShopProcess::start(folder.path()).await;
    let address = shop.address().trim_start_matches("http://").to_owned();
    let connecting = (0..CONNECTIONS).map(|_| connected(&address));
    let mut open: Vec<TcpStream> =
        stream::iter(connecting).buffer_unordered(AT_ONCE).try_collect().await.expect("all are let in");
    let api = shop.api().await;
    for _ in 0..20 {
        let asked = Instant::now();
        let answer = api.ask_once(Ask::bare(Method::GET, "/api/v1/search?q=lamp")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(asked.elapsed() < ANSWERED, "{:?}", asked.elapsed());
    }
    for connection in open.iter_mut().step_by(50) {
        ask(connection).await.expect("it is still served");
    }
    drop(open);
    shop.end().await;
}

/// A connection on which something was asked and answered.
async fn connected(address: &str) -> std::io::Result<TcpStream> {
    let mut connection = TcpStream::connect(address).await?;
    ask(&mut connection).await?;
    Ok(connection)
}

async fn ask(connection: &mut TcpStream) -> std::io::Result<()> {
    connection.write_all(REQUEST).await?;
    let mut answer = [0; 4096];
    let length = connection.read(&mut answer).await?;
    if answer[..length].starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(&answer[..length]).into_owned()))
}
