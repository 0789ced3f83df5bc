//! A shard's life beside its commands: it settles in, is kept small, and is handed over or abandoned. Does I/O.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use slatedb::config::{CloseOptions, FlushOptions, FlushType};
use tokio_util::sync::CancellationToken;

use crate::domain::OrderId;

use super::{
    super::{
        memory::Memory,
        opening::{self, Upkeep},
        rows::{self, Kind},
    },
    Log, Shard,
};

/// How long the commands that waited for a shard are gathered.
const FIRST_GATHERING: Duration = Duration::from_millis(20);

/// How long to wait before the outbox is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// How often files that nothing needs are deleted when nothing was merged meanwhile.
const CLEAN_EVERY: Duration = Duration::from_hours(1);

/// Longest that is spent before handing over on making it short.
const PREPARING: Duration = Duration::from_millis(500);

/// Longest that handing over may take, of the second within which a shopper's command must be answered.
const HAND_OVER: Duration = Duration::from_millis(800);

impl Shard {
    /// Writes at once what the first commands brought, since they have waited for the shard already, and reads which orders
    /// are to be hinted at and which have parked commands.
    pub(in crate::orders) async fn settle_in(&self) {
        tokio::time::sleep(FIRST_GATHERING).await;
        if let Err(error) = self.db.flush_with_options(FlushOptions { flush_type: FlushType::Wal }).await {
            tracing::debug!(shard = self.number, %error, "the first commands were not written before their time");
        }
        while !self.is_closing() {
            match self.read_what_waits().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(shard = self.number, %error, "what waits was not looked up; it is tried again");
                    tokio::time::sleep(READ_AGAIN).await;
                }
            }
        }
    }

    async fn read_what_waits(&self) -> Result<(), slatedb::Error> {
        self.find_parked().await?;
        let orders = self.read_outbox().await?;
        self.outbox().read(orders);
        Ok(())
    }

    async fn read_outbox(&self) -> Result<Vec<OrderId>, slatedb::Error> {
        let mut orders = Vec::new();
        let mut rows = self.db.scan_prefix(Kind::Outbox.prefix(), ..).await?;
        while let Some(row) = rows.next().await? {
            orders.extend(rows::parse_name(&row.key).map(|name| name.order));
        }
        Ok(orders)
    }

    /// Makes a table of the rows of the log when it has grown.
    pub(in crate::orders) async fn shorten_log(&self) {
        if self.is_closing() {
            return;
        }
        let now = self.wall.since_boot();
        {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            // At most one file for each write, and one for each flush interval.
            let intervals = now.saturating_sub(log.since).div_duration_f64(self.flush_interval);
            if log.written < opening::LOG_FILES || intervals < f64::from(opening::LOG_FILES) {
                return;
            }
            *log = Log { written: 0, since: now };
        }
        if let Err(error) = Upkeep::shorten_log(&self.db).await {
            tracing::warn!(shard = self.number, %error, "the log of a database was not shortened; it is tried again");
        }
    }

    /// Up to `most` submitted orders that are to be hinted at now; each comes again after a while until the shop has
    /// looked at it.
    pub(in crate::orders) fn take_due_hints(&self, most: usize) -> Vec<OrderId> {
        self.outbox().take_due(most, self.wall.since_boot())
    }

    /// Hints that could not be sent are due again.
    pub(in crate::orders) fn return_hints(&self, orders: &[OrderId]) {
        self.outbox().give_back(orders);
    }

    #[cfg(feature = "planted-bugs")]
    pub(in crate::orders) async fn forget_outbox(&self, orders: &[OrderId]) {
        for order in orders {
            let _ = self.db.delete(rows::outbox_name(*order)).await;
        }
    }

    /// Merges tables when there are many, a worker that has too much to do only when there are very many, and deletes what is
    /// not needed once an hour and after merging.
    pub(in crate::orders) async fn keep_up(&self, ending: &CancellationToken) {
        if self.is_closing() {
            return;
        }
        let now = self.wall.since_boot();
        let last = *self.kept_up_at.lock().unwrap_or_else(PoisonError::into_inner);
        let merge = Upkeep::is_due(&self.db, &self.capacity);
        if !merge && now < last + CLEAN_EVERY {
            return;
        }
        *self.kept_up_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        let Ok(upkeep) = self.upkeep.try_lock() else { return };
        if let Err(error) = upkeep.run(&self.db, &self.capacity, ending).await {
            tracing::warn!(shard = self.number, %error, "upkeep of a database failed; it is tried again");
        }
    }

    /// Ends the upkeep of the database, once what is under way is done, for as long as what is returned is kept.
    pub(in crate::orders) async fn rest(&self) -> impl Sized {
        Arc::clone(&self.upkeep).lock_owned().await
    }

    /// Makes handing over short, while still answering: the next owner has next to nothing of the log to read then.
    pub(in crate::orders) async fn prepare_hand_over(&self) {
        let shortened = tokio::time::timeout(PREPARING, Upkeep::shorten_log(&self.db)).await;
        if !matches!(shortened, Ok(Ok(()))) {
            tracing::debug!(shard = self.number, "the log was not shortened before handing over");
        }
    }

    /// Answers what is under way, flushes and closes. The database's own epoch when everything was flushed, so that the
    /// next owner can tell that nobody opened it since. Bounded in time.
    pub(in crate::orders) async fn hand_over(&self) -> Option<u64> {
        self.closing.store(true, Ordering::SeqCst);
        self.tasks.close();
        let closed = tokio::time::timeout(HAND_OVER, async {
            let flushed = self.db.flush_with_options(FlushOptions { flush_type: FlushType::Wal }).await;
            self.tasks.wait().await;
            let closed =
                self.db.close_with_options(CloseOptions::default().with_flush_type(Some(FlushType::Wal))).await;
            flushed.is_ok() && closed.is_ok()
        })
        .await;
        self.gate.shut();
        closed.unwrap_or(false).then(|| self.db.manifest().writer_epoch())
    }

    /// What is in memory of its rows; as stored, and of nobody's making but this worker's, when it was handed over in order.
    pub(in crate::orders) fn memory(&self) -> Memory {
        self.memory.clone()
    }

    /// Cuts the database off from its store, as the end of the process would.
    #[cfg(test)]
    pub(in crate::orders) fn cut_off(&self) {
        self.gate.shut();
    }

    /// Ends the database without writing anything more: another owner may be at work already.
    pub(in crate::orders) async fn abandon(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.gate.shut();
        let closing = self.db.close_with_options(CloseOptions::default().with_flush_type(None));
        if tokio::time::timeout(HAND_OVER, closing).await.is_err() {
            tracing::warn!(shard = self.number, "an abandoned database did not end in time; it can write no more");
        }
    }
}
