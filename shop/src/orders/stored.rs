//! All orders of a shop as its store holds them, read without any worker: what `shop verify` and `shop export` see. Does I/O.

use std::sync::Arc;

use object_store::ObjectStore;
use storage_adapters::{BlobStore, config::Provider};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::domain::{OrderIdSecret, shard_of};

use super::{
    blobs,
    clock::MachineClock,
    export,
    lease::{LEASES, Leases},
    object_store_bridge::{Gate, ObjectStoreBridge},
    opening,
    reader::{Found, ReadError, ShardReader},
    records::{self, OpenError},
    verify::{Ledger, Verification, VerifyReport},
};

/// Why stored orders cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The store holds no shop, or its records cannot be read.
    #[error("the store holds no shop that can be read: {0}")]
    Records(#[from] OpenError),
    /// The leases, which say where the databases are, cannot be read.
    #[error("the leases, which say where the orders are, cannot be read: {0}")]
    Leases(OpenError),
    /// A shard's database cannot be read.
    #[error("{error}: {}", deepest(error))]
    Shard {
        /// Which, and why.
        error: ReadError,
    },
    /// An order cannot be exported, since it is damaged.
    #[error("the order {order} is damaged, so the export is not whole; shop verify says more")]
    Damaged {
        /// The order, or the row that names none.
        order: String,
    },
    /// The export cannot be written.
    #[error("the export cannot be written")]
    Write(#[from] std::io::Error),
}

impl From<ReadError> for StoredError {
    fn from(error: ReadError) -> Self {
        Self::Shard { error }
    }
}

fn deepest(error: &ReadError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The orders in a store.
#[derive(Debug)]
pub struct StoredOrders {
    store: Arc<dyn ObjectStore>,
    secret: OrderIdSecret,
    shards: u16,
    leases: Leases,
}

impl StoredOrders {
    /// Finds the orders of the shop that live in a store of the provider `home`, whoever it belongs to.
    ///
    /// # Errors
    /// When the store holds no shop, or its records cannot be read.
    pub async fn find(blobs: Arc<dyn BlobStore>, home: Provider) -> Result<Self, StoredError> {
        let (secret, shards) = records::read_orders(&*blobs).await?;
        let key = blobs::key(LEASES).map_err(|error| StoredError::Leases(error.into()))?;
        let found = blobs::read::<Leases>(&*blobs, &key).await.map_err(|error| StoredError::Leases(error.into()))?;
        // A shop whose workers never ran has no leases and no orders.
        let leases = found.map_or_else(Leases::default, |(leases, _)| leases.living_in(home));
        let store = Arc::new(ObjectStoreBridge::new(blobs, Arc::new(Gate::new(Arc::new(MachineClock), false))));
        Ok(Self { store, secret, shards, leases })
    }

    /// The secret that order ids are made with.
    #[must_use]
    pub fn secret(&self) -> &OrderIdSecret {
        &self.secret
    }

    /// Checks every order in itself, and against what `ledger` says was attempted and answered.
    ///
    /// # Errors
    /// When a shard cannot be read.
    pub async fn verify(&self, ledger: Option<Ledger>) -> Result<VerifyReport, StoredError> {
        let mut verification = Verification::new(ledger);
        for (shard, path) in self.databases() {
            let reader = ShardReader::open(Arc::clone(&self.store), &path).await?;
            let mut orders = reader.orders().await?;
            while let Some(found) = orders.next().await? {
                match found {
                    Found::Order(stored) => verification.take(&stored, shard, shard_of(stored.id, self.shards)),
                    Found::Nameless(what) => verification.take_damage(what),
                }
            }
        }
        Ok(verification.end())
    }

    /// Writes every order as a line of JSON with its digest; returns how many.
    ///
    /// # Errors
    /// When a shard cannot be read, an order is damaged, or `output` cannot be written.
    pub async fn export(&self, output: &mut (dyn AsyncWrite + Unpin + Send)) -> Result<u64, StoredError> {
        let mut count = 0;
        for (_, path) in self.databases() {
            let reader = ShardReader::open(Arc::clone(&self.store), &path).await?;
            let mut orders = reader.orders().await?;
            while let Some(found) = orders.next().await? {
                let stored = match found {
                    Found::Order(stored) => stored,
                    Found::Nameless(what) => return Err(StoredError::Damaged { order: what }),
                };
                if stored.is_parked_only() {
                    tracing::warn!(order = %stored.id, "commands of an order that is still to be created are not exported");
                    continue;
                }
                let damaged = || StoredError::Damaged { order: stored.id.to_string() };
                let order = stored.order.as_ref().filter(|_| stored.damaged.is_empty()).ok_or_else(damaged)?;
                let line = export::line(order, &stored.commands, &stored.parked).map_err(|_| damaged())?;
                output.write_all(line.as_bytes()).await?;
                count += 1;
            }
        }
        output.flush().await?;
        Ok(count)
    }

    /// The databases that were created, by shard.
    fn databases(&self) -> impl Iterator<Item = (u16, String)> + '_ {
        let created = self.leases.shards.iter().filter(|(_, lease)| !lease.new);
        created.map(|(shard, lease)| (*shard, opening::path(*shard, lease.generation)))
    }
}
