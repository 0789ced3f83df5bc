//! A reverse proxy before an emulator of a cloud, which injects faults while it is told to, and counts. Network I/O.
//!
//! Requests pass as they came, `Host` included, so that what was signed stays signed.

mod connection;
mod plan;

use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use storage_adapters::conformance::emulators::Server;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use connection::Upstream;
use plan::Controls;
pub use plan::{Counts, Fault, Plan, Traffic};

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    /// Where it answers in place of the emulator.
    pub server: Server,
    controls: Arc<Mutex<Controls>>,
    listening: Vec<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts before `emulator`, without faults. The same seed and the same requests make the same faults.
    pub async fn start(emulator: &Server, seed: u64) -> Self {
        let mut proxy = Self {
            server: emulator.clone(),
            controls: Arc::new(Mutex::new(Controls::new(seed))),
            listening: Vec::new(),
        };
        let blob = proxy.listen_before(&emulator.blob, false).await;
        let has_one_address = emulator.queue == emulator.blob;
        let queue = if has_one_address { blob.clone() } else { proxy.listen_before(&emulator.queue, true).await };
        proxy.server = Server { blob, queue };
        proxy
    }

    /// From now on requests meet faults as `plan` says; without one they pass.
    pub fn set(&self, plan: Option<Plan>) {
        locked(&self.controls).plan = plan;
    }

    /// What has come and what was done about it so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        locked(&self.controls).counts.clone()
    }

    async fn listen_before(&mut self, emulator: &Url, is_queue: bool) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut url = emulator.clone();
        url.set_port(Some(listener.local_addr().expect("it is bound").port())).expect("it may have a port");
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let upstream = Upstream { authority: emulator.authority().to_owned(), is_queue, client };
        let controls = Arc::clone(&self.controls);
        self.listening.push(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                while connections.try_join_next().is_some() {}
                connections.spawn(connection::serve(stream, upstream.clone(), Arc::clone(&controls)));
            }
        }));
        url
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        for listening in &self.listening {
            listening.abort();
        }
    }
}

fn locked(controls: &Mutex<Controls>) -> std::sync::MutexGuard<'_, Controls> {
    controls.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
