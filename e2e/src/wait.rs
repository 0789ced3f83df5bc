//! Waiting for a state that nothing announces, by looking again and again within a limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks until `look` finds something, and panics with the last thing that it saw instead when that takes too long.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= end => {
                panic!("not within {} s: {what}; last seen: {seen}", limit.as_secs())
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
