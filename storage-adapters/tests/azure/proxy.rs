//! A proxy before the emulator, which hears what is asked and swallows an answer when it is told to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use storage_adapters::conformance::emulators::{self, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;

/// The emulator, reached through the proxy.
pub(crate) struct Proxy {
    pub(crate) server: Server,
    /// Set, the next answer about blobs is lost.
    pub(crate) swallow: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let (swallow, asked) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default());
        let mut server = emulators::azure().clone();
        before(&mut server.blob, swallow.clone(), asked.clone()).await;
        before(&mut server.queue, Arc::default(), asked.clone()).await;
        Self { server, swallow, asked }
    }

    /// The first lines and headers of all requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panicked with it").clone()
    }
}

/// Puts a proxy before the server at `url`, which then names the proxy.
async fn before(url: &mut Url, swallow: Arc<AtomicBool>, asked: Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let target = url.authority().to_owned();
    url.set_port(Some(port)).expect("it may have a port");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (target, swallow, asked) = (target.clone(), swallow.clone(), asked.clone());
            tokio::spawn(pass(client, target, swallow, asked));
        }
    });
}

async fn pass(client: TcpStream, target: String, swallow: Arc<AtomicBool>, asked: Arc<Mutex<Vec<String>>>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = tokio::spawn(async move {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut piece).await {
            asked.lock().expect("no test panicked with it").extend(head(&piece[..count]));
            if to_server.write_all(&piece[..count]).await.is_err() {
                break;
            }
        }
    });
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from_server.read(&mut piece).await {
        if swallow.swap(false, Ordering::SeqCst) || to_client.write_all(&piece[..count]).await.is_err() {
            break;
        }
    }
    requests.abort();
}

/// The head of a request that a piece begins with; a client sends each in one piece.
fn head(piece: &[u8]) -> Option<String> {
    let is_request =
        ["GET /", "PUT /", "POST /", "HEAD /", "DELETE /"].iter().any(|start| piece.starts_with(start.as_bytes()));
    let end = piece.windows(4).position(|four| four == b"\r\n\r\n").filter(|_| is_request)?;
    Some(String::from_utf8_lossy(&piece[..end]).into_owned())
}
