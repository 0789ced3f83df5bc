//! A connection that tests can break: a listener in front of another, which passes everything on, or nothing. Loopback only.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// The way to a worker. While it is shut, nothing gets through, and what was on its way arrives when it is open again.
pub(super) struct TestGate {
    pub(super) address: SocketAddr,
    is_open: watch::Sender<bool>,
    /// Ends with this.
    _work: JoinSet<()>,
}

impl TestGate {
    /// A gate in front of `target`.
    pub(super) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_open, watch) = watch::channel(true);
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(pass(near, target, watch.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, is_open, _work: work }
    }

    pub(super) fn shut(&self) {
        self.is_open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }
}

async fn pass(near: TcpStream, target: SocketAddr, is_open: watch::Receiver<bool>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = copy(near_in, far_out, is_open.clone()) => {}
        () = copy(far_in, near_out, is_open) => {}
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut is_open: watch::Receiver<bool>) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        if is_open.wait_for(|is_open| *is_open).await.is_err() || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
