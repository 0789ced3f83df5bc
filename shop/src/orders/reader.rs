//! Reads orders out of a shard's database as it is stored, without writing and without its worker. Does I/O.

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;
use object_store::ObjectStore;
use slatedb::{
    DbIterator, DbReader, DbReaderMode, KeyValue,
    config::{DbReaderOptions, ScanOptions},
};

use crate::domain::{CommandRecord, Order, OrderId, Request};

use super::{
    audit::Stored,
    clock::TicklessClock,
    memory,
    rows::{self, Kind, Name},
};

/// Tries of one request to the store before reading ends in an error.
const STORE_RETRIES: u32 = 5;

/// Bytes of a table that are read ahead: one block by default, each of which a cloud charges for like the whole.
const READ_AHEAD: usize = 64 * 1024;

/// Why a shard cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the database {path} cannot be read")]
pub struct ReadError {
    path: String,
    source: slatedb::Error,
}

/// What was found next in a shard.
#[derive(Debug)]
pub(super) enum Found {
    /// All rows of one order.
    Order(Box<Stored>),
    /// A row whose name says nothing.
    Nameless(String),
}

/// A sixteenth of all orders: those with the same first hexadecimal digit, which their ids have by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part(u8);

impl Part {
    /// All orders.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..16).map(Self)
    }

    /// The bytes that the ids of its orders begin with.
    fn range(self) -> (Bound<[u8; 1]>, Bound<[u8; 1]>) {
        let begin = |part: u8| part << 4;
        let end = if self.0 < 15 { Bound::Excluded([begin(self.0 + 1)]) } else { Bound::Unbounded };
        (Bound::Included([begin(self.0)]), end)
    }
}

/// A shard's database, as it was when it was opened.
pub(super) struct ShardReader {
    path: String,
    database: Arc<DbReader>,
}

impl Drop for ShardReader {
    /// A database that is only dropped keeps its task, and with it what was read of the log.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let database = Arc::clone(&self.database);
        runtime.spawn(async move { database.close().await });
    }
}

impl ShardReader {
    /// Opens the database at `path`.
    pub(super) async fn open(store: Arc<dyn ObjectStore>, path: &str) -> Result<Self, ReadError> {
        let options = DbReaderOptions { object_store_max_retries: Some(STORE_RETRIES), ..DbReaderOptions::default() };
        let database = DbReader::builder(path, store)
            .with_reader_mode(DbReaderMode::FollowLatest)
            .with_options(options)
            // One look at the manifest and the log, so that all that is read is of one moment.
            .with_system_clock(Arc::new(TicklessClock))
            .with_db_cache(memory::blocks(), 0)
            .build()
            .await
            .map_err(|source| ReadError { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), database: Arc::new(database) })
    }

    /// One order.
    pub(super) async fn order(&self, order: OrderId) -> Result<Option<Order>, ReadError> {
        let name = rows::order_name(order);
        let Some(row) = self.database.get(&name).await.map_err(|source| self.error(source))? else { return Ok(None) };
        rows::decode(&name, &row)
            .map(Some)
            .map_err(|error| ReadError { path: self.path.clone(), source: slatedb::Error::data(error.to_string()) })
    }

    /// All orders, by name.
    pub(super) async fn orders(&self) -> Result<Orders<'_>, ReadError> {
        self.orders_between((Bound::Unbounded, Bound::Unbounded)).await
    }

    /// Those of one of sixteen parts, of about the same size.
    pub(super) async fn part(&self, part: Part) -> Result<Orders<'_>, ReadError> {
        self.orders_between(part.range()).await
    }

    /// Those whose ids begin in this range.
    async fn orders_between(&self, range: (Bound<[u8; 1]>, Bound<[u8; 1]>)) -> Result<Orders<'_>, ReadError> {
        let options = ScanOptions { read_ahead_bytes: READ_AHEAD, ..ScanOptions::default() };
        let mut kinds = Vec::new();
        for kind in Kind::ALL {
            let found = self.database.scan_prefix_with_options(kind.prefix(), range, &options).await;
            let found = found.map_err(|source| self.error(source))?;
            kinds.push(Rows { found, next: None, ended: false });
        }
        Ok(Orders { shard: self, kinds })
    }

    fn error(&self, source: slatedb::Error) -> ReadError {
        ReadError { path: self.path.clone(), source }
    }
}

/// The rows of one kind, in the order of their names.
struct Rows {
    found: DbIterator,
    next: Option<KeyValue>,
    ended: bool,
}

impl Rows {
    async fn peek(&mut self) -> Result<Option<&KeyValue>, slatedb::Error> {
        if self.next.is_none() && !self.ended {
            self.next = self.found.next().await?;
            self.ended = self.next.is_none();
        }
        Ok(self.next.as_ref())
    }
}

/// The orders of a shard: the rows of all kinds side by side, each order's together.
pub(super) struct Orders<'a> {
    shard: &'a ShardReader,
    kinds: Vec<Rows>,
}

impl Orders<'_> {
    /// The next order, or a row that names none.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, ReadError> {
        self.advance().await.map_err(|source| self.shard.error(source))
    }

    async fn advance(&mut self) -> Result<Option<Found>, slatedb::Error> {
        let mut first: Option<OrderId> = None;
        for rows in &mut self.kinds {
            let Some(row) = rows.peek().await? else { continue };
            let Some(name) = rows::parse_name(&row.key) else {
                let name = format!("{:?}", row.key);
                rows.next = None;
                return Ok(Some(Found::Nameless(format!("the row {name} has a name of no known kind"))));
            };
            if first.is_none_or(|first| name.order.as_bytes() < first.as_bytes()) {
                first = Some(name.order);
            }
        }
        let Some(id) = first else { return Ok(None) };
        let mut stored = Stored::new(id);
        for rows in &mut self.kinds {
            while let Some(row) = rows.peek().await? {
                match rows::parse_name(&row.key) {
                    Some(name) if name.order == id => take(&mut stored, &name, &row.key, &row.value),
                    _ => break,
                }
                rows.next = None;
            }
        }
        Ok(Some(Found::Order(Box::new(stored))))
    }
}

fn take(stored: &mut Stored, name: &Name, key: &Bytes, value: &Bytes) {
    let result = match (name.kind, &name.key) {
        (Kind::Order, _) => rows::decode::<Order>(key, value).map(|order| stored.order = Some(order)),
        (Kind::Command, Some(command)) => rows::decode::<CommandRecord>(key, value).map(|record| {
            stored.commands.insert(command.as_str().to_owned(), record);
        }),
        (Kind::Outbox, _) => {
            stored.in_outbox = true;
            rows::decode::<rows::OutboxRow>(key, value).map(drop)
        }
        (Kind::Parked, Some(_)) => rows::decode::<Request>(key, value).map(|request| stored.parked.push(request)),
        // A full answer repeats what the order was; only that it can be read matters here.
        (Kind::Answer | Kind::Command | Kind::Parked, _) => rows::decode::<serde_json::Value>(key, value).map(drop),
    };
    if let Err(error) = result {
        let row = match name.kind {
            Kind::Order => "row",
            Kind::Command => "command",
            Kind::Answer => "answer",
            Kind::Outbox => "outbox entry",
            Kind::Parked => "parked command",
        };
        stored.damaged.push((row, error));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slatedb::Db;
    use storage_adapters::{
        Store,
        config::{EmbeddedConfig, StorageConfig},
        decorators::{Fault, FaultPlan, Faulty, Operation, Rule},
    };

    use super::*;
    use crate::{
        domain::IdempotencyKey,
        orders::{
            clock::MachineClock,
            object_store_bridge::{Gate, ObjectStoreBridge},
            verify::tests::{secret, stored_as},
        },
    };

    async fn put(db: &Db, number: u128) -> OrderId {
        let key = IdempotencyKey::from_uuid(uuid::Uuid::from_u128(number));
        let stored = stored_as(OrderId::derive(&secret(), &key));
        let name = rows::order_name(stored.id);
        db.put(&name, rows::encode(&name, &stored.order).expect("encodes")).await.expect("writes");
        db.flush().await.expect("flushes");
        stored.id
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_that_is_read_is_of_the_moment_at_which_it_was_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = StorageConfig::from(EmbeddedConfig { path: folder.path().join("store") });
        let blobs = Store::open(&storage).await.expect("a store").blobs;
        let bridge = |blobs, creates| -> Arc<dyn ObjectStore> {
            Arc::new(ObjectStoreBridge::new(blobs, Arc::new(Gate::new(Arc::new(MachineClock), creates))))
        };
        let db = Db::open("orders/0/1", bridge(Arc::clone(&blobs), true)).await.expect("opens");
        let first = put(&db, 1).await;
        // Slow, so that what follows comes while a look for news would be under way.
        let plan = FaultPlan::new(1);
        let slowly = Fault::Delay(Duration::from_millis(250));
        plan.add(Rule::always(Operation::List, slowly));
        plan.add(Rule::always(Operation::Get, slowly));
        let slow = bridge(Arc::new(Faulty::new(blobs, plan)), false);
        let reader = ShardReader::open(slow, "orders/0/1").await.expect("opens");
        let second = put(&db, 2).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(reader.order(first).await.expect("reads").is_some());
        assert!(reader.order(second).await.expect("reads").is_none(), "it came later");
        db.close().await.expect("closes");
    }
}
