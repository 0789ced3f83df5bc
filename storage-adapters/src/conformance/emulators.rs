//! Emulators of the clouds, started once a test program and ended with it. Starts processes.
//!
//! Where the environment names servers (`AWS_ENDPOINT_URL`, or `AWS_ENDPOINT_URL_S3` with `AWS_ENDPOINT_URL_SQS`;
//! `AZURE_BLOB_ENDPOINT` with `AZURE_QUEUE_ENDPOINT`), those are used instead, so that the same tests run on any server that
//! speaks the protocol, and on the clouds themselves.

use std::{
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use url::Url;

/// Time for an emulator to listen, which may first have to be installed.
const START_LIMIT: Duration = Duration::from_mins(5);

/// Addresses of a cloud's two services.
#[derive(Clone, Debug)]
pub struct Server {
    /// Of the blobs.
    pub blob: Url,
    /// Of the queue.
    pub queue: Url,
}

/// S3, SQS and STS.
#[must_use]
pub fn aws() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let both = "AWS_ENDPOINT_URL";
    SERVER.get_or_init(|| {
        match ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS"].map(|one| named(one).or_else(|| named(both))) {
            [Some(blob), Some(queue)] => Server { blob, queue },
            [None, None] => {
                let port = free_port();
                start(&["aws", "127.0.0.1", &port.to_string()], &[port]);
                let url = local("http", port, "");
                Server { blob: url.clone(), queue: url }
            }
            _ => panic!("AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL_SQS go together; set both, or {both}, or none"),
        }
    })
}

/// Blob Storage and Queue Storage.
#[must_use]
pub fn azure() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match (named("AZURE_BLOB_ENDPOINT"), named("AZURE_QUEUE_ENDPOINT")) {
        (Some(blob), Some(queue)) => Server { blob, queue },
        (None, None) => start_azure("http", &[]),
        _ => panic!("AZURE_BLOB_ENDPOINT and AZURE_QUEUE_ENDPOINT go together; set both or none"),
    })
}

/// Starts one more emulator of Azure, with options of its own.
#[must_use]
pub fn start_azure(scheme: &str, options: &[&str]) -> Server {
    let (blob, queue) = (free_port(), free_port());
    let (blob_port, queue_port) = (blob.to_string(), queue.to_string());
    start(&[&["azure", "127.0.0.1", &blob_port, &queue_port], options].concat(), &[blob, queue]);
    let account = "/devstoreaccount1";
    Server { blob: local(scheme, blob, account), queue: local(scheme, queue, account) }
}

fn named(variable: &str) -> Option<Url> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable} is no URL: {error}")))
}

fn local(scheme: &str, port: u16, path: &str) -> Url {
    format!("{scheme}://127.0.0.1:{port}{path}").parse().expect("a URL")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Runs the project's script until this program ends, and waits until all ports answer.
fn start(arguments: &[&str], ports: &[u16]) {
    let mut command = Command::new("setpriv");
    // Tests run in the folder of their package.
    command.args(["--pdeathsig", "KILL", "../dev/emulator.sh"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (tell, told) = mpsc::channel();
    // The signal at a parent's death comes when the thread dies that started the child, so that thread lives on.
    thread::spawn(move || {
        let mut child = command.spawn().expect("dev/emulator.sh runs");
        let mut said = String::new();
        // Read to the end, so that the emulator never waits for a reader.
        let _ = child.stderr.take().expect("it is piped").read_to_string(&mut said);
        let _ = child.wait();
        let _ = tell.send(said);
    });
    let begun = Instant::now();
    while !ports.iter().all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok()) {
        if let Ok(said) = told.try_recv() {
            panic!("the emulator ended: {said}");
        }
        assert!(begun.elapsed() < START_LIMIT, "the emulator does not listen after {START_LIMIT:?}");
        thread::sleep(Duration::from_millis(50));
    }
}
