//! A server of our own in place of Azure, which answers as it is told and remembers what it was asked.

use std::sync::{Arc, Mutex};

use storage_adapters::{
    azure::{Azure, Environment},
    config::{AzureConfig, AzureCredentials, Endpoint},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use url::Url;

/// What is answered; nothing at all closes the connection.
pub(crate) type Reply = Option<String>;

/// Answers a request, of which it gets the first line and the headers.
pub(crate) type Answerer = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

/// A server, until it is dropped.
pub(crate) struct Server {
    pub(crate) url: Url,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer without a body.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the replies that a server may give")]
pub(crate) fn reply(status: u16, headers: &[(&str, &str)]) -> Reply {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = lines.concat();
    Some(format!("HTTP/1.1 {status} Status\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n"))
}

/// The answers by which an adapter opens.
pub(crate) fn opened(request: &str) -> bool {
    let line = request.lines().next().unwrap_or_default();
    !line.contains("comp=list") && (line.contains("restype=container") || line.contains("restype=account"))
        || line.contains("comp=metadata")
}

/// Starts a server.
pub(crate) async fn serve(answer: Answerer) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, heard) = (answer.clone(), heard.clone());
            tokio::spawn(async move { talk(stream, &answer, &heard).await });
        }
    });
    Server { url: format!("http://{address}/").parse().expect("a URL"), asked, task }
}

/// Hears one request and answers it.
pub(crate) async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Answerer,
    asked: &Mutex<Vec<String>>,
) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let (head, length) = loop {
        let Ok(count @ 1..) = stream.read(&mut piece).await else { return };
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            break (head.to_owned(), head.len() + 4 + length.unwrap_or(0_usize));
        }
    };
    while bytes.len() < length {
        let Ok(count @ 1..) = stream.read(&mut piece).await else { return };
        bytes.extend_from_slice(&piece[..count]);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    asked.lock().expect("no test panicked with it").push(text);
    if let Some(reply) = answer(&head) {
        let _ = stream.write_all(reply.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

/// Settings of an account on the server.
pub(crate) fn config(server: &Server, credentials: AzureCredentials) -> AzureConfig {
    AzureConfig {
        account: "cornershop".into(),
        container: "shop".into(),
        queue: "orders".into(),
        endpoint: Some(Endpoint {
            blob: Some(server.url.clone()),
            queue: Some(server.url.clone()),
            allow_plain_http: true,
            ca_file: None,
        }),
        credentials,
    }
}

/// Opens an account on the server with a signature.
pub(crate) async fn open(server: &Server) -> Azure {
    let variables = Environment::from([("AZURE_STORAGE_SAS_TOKEN", "sv=2024-11-04&sig=canary")]);
    let config = config(server, AzureCredentials::Environment);
    Azure::open_in(&config, &variables).await.expect("the server lets it open")
}
