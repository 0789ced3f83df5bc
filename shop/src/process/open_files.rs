//! How many files and connections the process may have open. Changes the process's own limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows as many as the system lets a process allow itself: what shells and service managers begin with is often 1024,
/// for programs that are older than such numbers of connections.
pub(super) fn allow_most() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is; it bounds the number of connections");
    }
}
