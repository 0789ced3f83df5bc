//! How far copying shards to another store is, and how fast it may go. Reads the clock.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shop_contract::switch::{CopyStatus, ShardCopy, Switch};
use storage_adapters::config::Provider;
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard},
    time::{Instant, sleep},
};

use super::spent;

/// Least that a worker copies a second however many share the limit, in bytes: the largest table, of 64 MiB, has to be there before
/// a transfer is given up, after five minutes. Large files take turns.
const LEAST: u64 = 256 * 1024;

/// How long the bytes are looked at that say how fast it goes.
const RATE_OVER: Duration = Duration::from_secs(10);

/// Longest sleep, after which the limit is looked at anew, and the shortest that is worth it.
const GLANCE: Duration = Duration::from_millis(200);
const SHORT: Duration = Duration::from_millis(20);

/// What all copies that a worker makes share.
#[derive(Debug, Default)]
pub(super) struct CopyProgress {
    state: Mutex<State>,
    large_files: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct State {
    wish: Option<Switch>,
    /// Bytes a second of this worker.
    limit: Option<u64>,
    /// Until when what was copied takes at this limit.
    busy_until: Option<Instant>,
    shards: BTreeMap<u16, ShardCopy>,
    /// What was copied of late, and when.
    recent: VecDeque<(Instant, u64)>,
}

impl State {
    fn forget_old(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|(at, _)| now > *at + RATE_OVER) {
            self.recent.pop_front();
        }
    }
}

impl CopyProgress {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on copies are made for this wish, by so many workers.
    pub(super) fn begin(&self, wish: Switch, workers: u64) {
        let mut state = self.state();
        if state.wish.is_none_or(|before| (before.id(), before.to) != (wish.id(), wish.to)) {
            *state = State::default();
        }
        state.wish = Some(wish);
        let before = state.limit;
        state.limit = wish.max_bytes_per_second.map(|limit| (limit / workers.max(1)).max(LEAST));
        if state.limit != before {
            state.busy_until = None;
        }
    }

    /// How far it is; none as long as nothing was to be copied.
    pub(super) fn status(&self) -> Option<CopyStatus> {
        let mut state = self.state();
        let (id, now) = (state.wish?.id(), Instant::now());
        state.forget_old(now);
        let bytes: u64 = state.recent.iter().map(|(_, bytes)| bytes).sum();
        Some(CopyStatus { id, bytes_per_second: bytes / RATE_OVER.as_secs(), shards: state.shards.clone() })
    }
}

/// The copy of one shard, as part of all that a worker makes.
#[derive(Clone, Debug)]
pub(super) struct ShardProgress {
    all: Arc<CopyProgress>,
    shard: u16,
    from: Provider,
    wish: Switch,
}

impl ShardProgress {
    /// Of a copy that is made for this wish.
    pub(super) fn new(all: &Arc<CopyProgress>, shard: u16, from: Provider, wish: Switch) -> Self {
        Self { all: Arc::clone(all), shard, from, wish }
    }

    /// Whether nothing else is wished by now.
    pub(super) fn is_wanted(&self) -> bool {
        self.all.state().wish == Some(self.wish)
    }

    fn is_limited(&self) -> bool {
        self.all.state().limit.is_some()
    }

    /// Waits until no other large file is copied, when there is a limit to share; another may be when what is returned is dropped.
    pub(super) async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        if self.is_limited() { Some(self.all.large_files.lock().await) } else { None }
    }

    /// The shard has so many files and bytes to be copied, of which so many bytes are there.
    pub(super) fn found(&self, files: u64, bytes: u64, copied: u64) {
        let nanodollars = spent::estimate(self.from, self.wish.to, files, bytes, self.wish.verify);
        self.all.state().shards.insert(self.shard, ShardCopy { bytes, copied, nanodollars });
    }

    /// So many more bytes are there.
    pub(super) fn copied(&self, bytes: u64) {
        if let Some(shard) = self.all.state().shards.get_mut(&self.shard) {
            shard.copied += bytes;
        }
    }

    /// Waits until so many more bytes may be copied.
    pub(super) async fn pay(&self, bytes: u64) {
        let due = {
            let mut state = self.all.state();
            let now = Instant::now();
            state.forget_old(now);
            state.recent.push_back((now, bytes));
            let Some(limit) = state.limit else { return };
            let takes = Duration::from_micros(bytes.saturating_mul(1_000_000) / limit);
            let due = state.busy_until.unwrap_or(now).max(now) + takes;
            state.busy_until = Some(due);
            due
        };
        while Instant::now() + SHORT < due && self.is_limited() && self.is_wanted() {
            sleep(GLANCE.min(due - Instant::now())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn wish(number: u64, limit: Option<u64>) -> Switch {
        Switch { max_bytes_per_second: limit, ..Switch::new(number, Provider::Azure) }
    }

    #[tokio::test(start_paused = true)]
    async fn all_copies_of_a_worker_together_keep_its_share_of_the_limit() {
        let all = Arc::new(CopyProgress::default());
        all.begin(wish(1, Some(2 * MIB)), 2);
        let (one, other) = (ShardProgress::new(&all, 0, Provider::Aws, wish(1, Some(2 * MIB))), Instant::now());
        let two = ShardProgress::new(&all, 1, Provider::Aws, wish(1, Some(2 * MIB)));
        for _ in 0..5 {
            tokio::join!(one.pay(MIB), two.pay(MIB));
        }
        assert_eq!(other.elapsed().as_secs(), 10);
        assert_eq!(all.status().expect("copies").bytes_per_second, MIB);
        let many = 1_000;
        all.begin(wish(1, Some(2 * MIB)), many);
        let began = Instant::now();
        one.pay(MIB).await;
        assert_eq!(began.elapsed().as_secs(), MIB / LEAST, "a table has to be there in time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_without_a_limit_or_that_is_not_wanted_any_more_waits_for_nothing() {
        let all = Arc::new(CopyProgress::default());
        let (free, began) = (ShardProgress::new(&all, 0, Provider::Aws, wish(1, None)), Instant::now());
        all.begin(wish(1, None), 1);
        free.pay(100 * MIB).await;
        all.begin(wish(2, Some(MIB)), 1);
        assert!(!free.is_wanted());
        free.pay(100 * MIB).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
