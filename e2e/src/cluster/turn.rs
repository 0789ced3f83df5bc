//! Whose turn it is on the cluster, among the tests of all programs that run at a time. Locks files.

use std::fs::File;

use tokio::task::spawn_blocking;

use super::node::run_folder;

/// Whether a test may run beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Beside others of its kind: it neither measures times nor changes the operator.
    Together,
    /// Alone on the cluster.
    Alone,
}

/// A turn, until it is dropped or its process ends.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for a turn on the cluster.
    pub(super) async fn on_cluster(share: Share) -> Self {
        Self::of("cluster", share).await
    }

    /// Waits for the turn to install the operator.
    pub(super) async fn to_install() -> Self {
        Self::of("operator", Share::Alone).await
    }

    async fn of(what: &str, share: Share) -> Self {
        let path = run_folder().join(format!("tests-{what}.lock"));
        let locked = spawn_blocking(move || {
            let file = File::create(&path)?;
            match share {
                Share::Together => file.lock_shared()?,
                Share::Alone => file.lock()?,
            }
            Ok::<_, std::io::Error>(file)
        });
        Self { _lock: locked.await.expect("it does not panic").expect("a lock beside the kubeconfig") }
    }
}
