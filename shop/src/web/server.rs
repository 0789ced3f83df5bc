//! Our accept loop, for the public, the operations and the internal port. Listens on and accepts sockets.
//!
//! What axum's own lacks: limits of time and number, and an end in which no client loses a request. The end has four
//! steps: readiness off; the **lame-duck** window, in which everything is still served and each answer asks its client to
//! close, so that kept-alive clients leave while others still may come; accepting ends; what is in flight is answered.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, Response},
};
use futures::FutureExt;
use shop_contract::status::WaitingReason;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::{Id, JoinError, JoinSet, yield_now},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::connection::{Admission, Limits, serve_connection};
use crate::readiness::Readiness;

/// Connections that the kernel holds for us before we accept them.
const BACKLOG: u32 = 4096;
/// Connections above the limit that are still told so; more are cut.
const SHED_CONNECTIONS: usize = 256;
/// Connections that are taken before what is under way has its turn: many at once must not hold the others up.
const TAKEN_IN_TURN: u32 = 8;
/// Wait after an accept that failed, mostly because the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    /// Most connections that are served at a time; others get 503 and are closed.
    pub max_connections: usize,
    /// From the first byte of a request to the end of its headers, and from the connect to the first request.
    pub header_timeout: Duration,
    /// From an answer to the next request on a kept-alive connection.
    pub idle_timeout: Duration,
    /// Age after which the next answer closes the connection; each connection takes up to a fifth less, by chance.
    pub rotation: Duration,
    /// How long everything is still served after the stop, so that load balancers see that the process is not ready.
    pub lame_duck: Duration,
    /// How long requests in flight may take after that.
    pub drain: Duration,
}

impl ServerSettings {
    /// For a process that no load balancer watches, such as `shop run`: it stops at once.
    pub const ALONE: Self = Self {
        max_connections: 12_288,
        header_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_mins(1),
        rotation: Duration::from_mins(5),
        lame_duck: Duration::ZERO,
        drain: Duration::from_secs(10),
    };

    /// For a pod: endpoints of a Service follow a pod's readiness within one to three seconds.
    pub const POD: Self = Self { lame_duck: Duration::from_secs(5), ..Self::ALONE };
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were cut because they outlived the drain.
    pub cut: usize,
}

/// Listens on `address`; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound, mostly because another process has it.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `application` on `listener` until `stop`, then leaves as the module says.
pub async fn serve<S>(
    listener: TcpListener,
    application: S,
    settings: ServerSettings,
    readiness: Readiness,
    stop: CancellationToken,
) -> Ended
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut connections = Connections::new(application, settings);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.tasks.join_next_with_id() => connections.forget(ended),
            accepted = listener.accept() => connections.take(accepted).await,
        }
    }
    readiness.wait_for(WaitingReason::ShuttingDown, "the process is on its way out");
    connections.lame.store(true, Ordering::Relaxed);
    let mut window = std::pin::pin!(sleep_until(Instant::now() + settings.lame_duck));
    loop {
        tokio::select! {
            biased;
            () = &mut window => break,
            Some(ended) = connections.tasks.join_next_with_id() => connections.forget(ended),
            accepted = listener.accept() => connections.take(accepted).await,
        }
    }
    // Who is through the handshake already believes to be connected: serve these too.
    while let Some(accepted) = listener.accept().now_or_never() {
        connections.take(accepted).await;
    }
    drop(listener);
    connections.drain().await
}

/// The connections of a server: their tasks are owned here, and end with it.
struct Connections<S> {
    application: S,
    settings: ServerSettings,
    serving: Arc<Semaphore>,
    shedding: Arc<Semaphore>,
    lame: Arc<AtomicBool>,
    taken: u32,
    tasks: JoinSet<()>,
    /// Dropping a connection's sender asks it to close when the request in flight is answered.
    drains: HashMap<Id, oneshot::Sender<()>>,
}

impl<S> Connections<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    fn new(application: S, settings: ServerSettings) -> Self {
        Self {
            application,
            settings,
            serving: Arc::new(Semaphore::new(settings.max_connections)),
            shedding: Arc::new(Semaphore::new(SHED_CONNECTIONS)),
            lame: Arc::new(AtomicBool::new(false)),
            taken: 0,
            tasks: JoinSet::new(),
            drains: HashMap::new(),
        }
    }

    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, _peer)) => {
                self.spawn(stream);
                self.taken = (self.taken + 1) % TAKEN_IN_TURN;
                if self.taken == 0 {
                    yield_now().await;
                }
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn spawn(&mut self, stream: TcpStream) {
        let Some((admission, permit)) = self.admit() else { return };
        // Answers are written whole, so waiting for more to send only delays them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let (drain, drained) = oneshot::channel();
        let limits = Limits {
            header: self.settings.header_timeout,
            idle: self.settings.idle_timeout,
            // Spread, so that clients that came together do not all come back together.
            rotation: self.settings.rotation.mul_f64(1.0 - 0.2 * rand::random::<f64>()),
        };
        let (application, lame) = (self.application.clone(), Arc::clone(&self.lame));
        let handle = self.tasks.spawn(async move {
            serve_connection(stream, application, admission, limits, lame, drained).await;
            drop(permit);
        });
        self.drains.insert(handle.id(), drain);
    }

    fn admit(&self) -> Option<(Admission, OwnedSemaphorePermit)> {
        if let Ok(permit) = Arc::clone(&self.serving).try_acquire_owned() {
            return Some((Admission::Serve, permit));
        }
        let permit = Arc::clone(&self.shedding).try_acquire_owned().ok()?;
        Some((Admission::Shed, permit))
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a connection's task failed");
                error.id()
            }
        };
        self.drains.remove(&id);
    }

    async fn drain(mut self) -> Ended {
        self.drains.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Whoever is not done by then is cut.
        let _ = timeout(self.settings.drain, all).await;
        let cut = self.tasks.len();
        self.tasks.shutdown().await;
        Ended { cut }
    }
}

/// Whether an accept failed because of the one connection, as `accept(2)` may.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
