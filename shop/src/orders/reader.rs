//! Reads orders out of a shard's database as it is stored, without writing and without its worker. Does I/O.

use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use slatedb::{DbIterator, DbReader, DbReaderMode, KeyValue, config::DbReaderOptions};

use crate::domain::{CommandRecord, Order, OrderId, Request};

use super::{
    audit::Stored,
    memory,
    rows::{self, Kind, Name},
};

/// Tries of one request to the store before reading ends in an error.
const STORE_RETRIES: u32 = 5;

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

/// A shard's database, as it was when it was opened.
pub(super) struct ShardReader {
    path: String,
    database: DbReader,
}

impl ShardReader {
    /// Opens the database at `path`.
    pub(super) async fn open(store: Arc<dyn ObjectStore>, path: &str) -> Result<Self, ReadError> {
        let options = DbReaderOptions {
            // One look at the manifest and the log, so that all that is read is of one moment.
            manifest_poll_interval: std::time::Duration::from_hours(24),
            object_store_max_retries: Some(STORE_RETRIES),
            ..DbReaderOptions::default()
        };
        let database = DbReader::builder(path, store)
            .with_reader_mode(DbReaderMode::FollowLatest)
            .with_options(options)
            .with_db_cache(memory::blocks(), 0)
            .build()
            .await
            .map_err(|source| ReadError { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), database })
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
        let mut kinds = Vec::new();
        for kind in Kind::ALL {
            let found = self.database.scan_prefix(kind.prefix(), ..).await.map_err(|source| self.error(source))?;
            kinds.push(Rows { found, next: None, ended: false });
        }
        Ok(Orders { shard: self, kinds })
    }

    /// Ends reading.
    pub(super) async fn close(&self) -> Result<(), ReadError> {
        self.database.close().await.map_err(|source| self.error(source))
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
