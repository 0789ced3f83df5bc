//! The shop's own records in its store: whose it is, its order-id secret, its number of shards. Does I/O.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use serde::{Deserialize, Serialize};
use shop_contract::{
    config::{OrdersConfig, ShopIdentity},
    status::{Waiting, WaitingReason},
};
use storage_adapters::{BlobStore, ErrorKind, Key, PutMode, Version, config::Provider};

use crate::{domain::OrderIdSecret, hex};

use super::{
    blobs::{self, Record, RecordError},
    lease::{LEASES, Leases},
};

pub(super) const OWNER: &str = "shop/owner";
const ORDERS: &str = "shop/orders";

/// Where workers say that they live.
pub(super) const HEARTBEATS: &str = "heartbeats/";

/// How long no worker of another shop may have been alive before its store is taken over.
const ADOPTION_QUIET: Duration = Duration::from_mins(1);

/// Heartbeats looked at when a store is taken over; more workers than this mean that it is in use.
pub(super) const MOST_HEARTBEATS: usize = 1000;

#[derive(Serialize, Deserialize)]
struct OwnerRecord {
    uid: String,
}

impl Record for OwnerRecord {
    const FORMAT: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct OrdersRecord {
    order_id_secret: String,
    shards: u16,
}

impl Record for OrdersRecord {
    const FORMAT: u32 = 1;
}

/// What a store that is known to be this shop's says about the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopRecords {
    /// UID of the Shop that the store belongs to.
    pub owner: String,
    /// The secret behind the shop's order ids.
    pub order_id_secret: OrderIdSecret,
    /// The number of order shards, as the store was made with.
    pub shards: u16,
}

/// Who opens the store: only a worker ever writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads, and waits for a worker to make the store this shop's.
    Web,
    /// Makes the store, which is this provider's, the shop's where that is allowed.
    Worker(Provider),
}

/// Why a store cannot be used by this shop.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A worker has yet to make the store this shop's.
    #[error("the store is new; a worker makes it this shop's as soon as it runs")]
    NotYetInitialised,
    /// The store was emptied or exchanged.
    #[error(
        "the store does not hold {0}, so it is not the store this shop wrote to before; restore it, or point the Shop at the right one"
    )]
    Empty(&'static str),
    /// There is order data, but nothing says whose.
    #[error(
        "the store holds orders but not {OWNER}, which says whose they are; restore that record, or point the Shop at an empty store"
    )]
    Ownerless,
    /// The store belongs to another shop.
    #[error(
        "the store belongs to the Shop with UID {owner}; point this Shop at another store, or, when that Shop is gone for good, set spec.storage.adoptExisting to true"
    )]
    Another {
        /// UID of the other shop.
        owner: String,
    },
    /// The store is to be taken over, and a worker of the other shop was alive a moment ago.
    #[error(
        "the store belongs to the Shop with UID {owner}, whose workers were alive less than {} seconds ago; it is taken over when none has been for that long",
        ADOPTION_QUIET.as_secs()
    )]
    StillInUse {
        /// UID of the other shop.
        owner: String,
    },
    /// A record was written by a newer version.
    #[error("{0}")]
    Newer(String),
    /// A record cannot be read.
    #[error("{0}")]
    Unavailable(String),
}

impl OpenError {
    /// The same, as a pod reports it.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        let reason = match self {
            Self::NotYetInitialised => WaitingReason::Starting,
            Self::Empty(_) => WaitingReason::StoreEmpty,
            Self::Ownerless | Self::Another { .. } | Self::StillInUse { .. } => WaitingReason::StoreBelongsToAnother,
            Self::Newer(_) => WaitingReason::StoreFormatNewer,
            Self::Unavailable(_) => WaitingReason::StoreUnavailable,
        };
        Waiting { reason, message: self.to_string() }
    }
}

impl From<RecordError> for OpenError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Newer { .. } => Self::Newer(error.to_string()),
            RecordError::Store(_) | RecordError::Damaged { .. } => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<storage_adapters::Error> for OpenError {
    fn from(error: storage_adapters::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Finds out whether a store is this shop's, again and again until it is.
#[derive(Debug)]
pub struct ShopOpener {
    blobs: Arc<dyn BlobStore>,
    identity: ShopIdentity,
    shards: u16,
    role: Role,
    quiet: Option<Quiet>,
}

/// The heartbeats of the shop that had the store, and since when they have not moved.
#[derive(Debug)]
struct Quiet {
    heartbeats: Vec<(Key, Version)>,
    since: Duration,
}

impl ShopOpener {
    /// For the shop `identity`; `orders` counts only for a store that is made this shop's now.
    #[must_use]
    pub fn new(blobs: Arc<dyn BlobStore>, identity: ShopIdentity, orders: &OrdersConfig, role: Role) -> Self {
        Self { blobs, identity, shards: orders.shards, role, quiet: None }
    }

    /// Tries once; `now` is time since any fixed moment. Call it about once a second until it succeeds.
    ///
    /// # Errors
    /// See [`OpenError`]; each may pass without this pod doing anything about it.
    pub async fn attempt(&mut self, now: Duration) -> Result<ShopRecords, OpenError> {
        let blobs = &*self.blobs;
        let owner_key = blobs::key(OWNER)?;
        match blobs::read::<OwnerRecord>(blobs, &owner_key).await? {
            Some((owner, _)) if owner.uid == self.identity.uid => self.records(owner.uid).await,
            Some((owner, version)) => self.adopt(owner, version, &owner_key, now).await,
            None => self.initialise(&owner_key).await,
        }
    }

    async fn records(&self, owner: String) -> Result<ShopRecords, OpenError> {
        let (order_id_secret, shards) = read_orders(&*self.blobs).await?;
        if shards != self.shards {
            tracing::warn!(stored = shards, configured = self.shards, "the store's number of order shards is used");
        }
        Ok(ShopRecords { owner, order_id_secret, shards })
    }

    /// Makes an empty store this shop's. The owner marker comes last, so a worker that dies in between has done nothing
    /// that the next one would not do.
    async fn initialise(&self, owner_key: &Key) -> Result<ShopRecords, OpenError> {
        if !self.identity.initialise {
            return Err(OpenError::Empty("the record shop/owner"));
        }
        if !blobs::list(&*self.blobs, "orders/", 1).await?.is_empty() {
            return Err(OpenError::Ownerless);
        }
        let Role::Worker(home) = self.role else {
            return Err(OpenError::NotYetInitialised);
        };
        let secret: [u8; 32] = rand::rng().random();
        let orders = OrdersRecord { order_id_secret: hex::encode(&secret), shards: self.shards };
        put_if_absent(&*self.blobs, &blobs::key(ORDERS)?, &orders).await?;
        let (_, shards) = read_orders(&*self.blobs).await?;
        put_if_absent(&*self.blobs, &blobs::key(LEASES)?, &Leases::new(shards, home)).await?;
        put_if_absent(&*self.blobs, owner_key, &OwnerRecord { uid: self.identity.uid.clone() }).await?;
        // Another worker, or another shop, may have been faster: what is stored counts.
        match blobs::read::<OwnerRecord>(&*self.blobs, owner_key).await? {
            Some((owner, _)) if owner.uid == self.identity.uid => {
                tracing::info!(uid = owner.uid, "made the store this shop's");
                self.records(owner.uid).await
            }
            Some((owner, _)) => Err(OpenError::Another { owner: owner.uid }),
            None => Err(OpenError::Empty("the record shop/owner")),
        }
    }

    /// Takes over the store of a shop that is gone, when that is allowed and none of its workers lives.
    async fn adopt(
        &mut self,
        owner: OwnerRecord,
        version: Version,
        owner_key: &Key,
        now: Duration,
    ) -> Result<ShopRecords, OpenError> {
        if !self.identity.adopt_existing || self.role == Role::Web {
            return Err(OpenError::Another { owner: owner.uid });
        }
        let heartbeats: Vec<_> = blobs::list(&*self.blobs, HEARTBEATS, MOST_HEARTBEATS)
            .await?
            .into_iter()
            .map(|found| (found.key, found.version))
            .collect();
        // Workers that end in order take their heartbeat away, so none at all needs no waiting.
        let quiet_for = match &self.quiet {
            _ if heartbeats.is_empty() => ADOPTION_QUIET,
            Some(quiet) if quiet.heartbeats == heartbeats => now.saturating_sub(quiet.since),
            _ => {
                self.quiet = Some(Quiet { heartbeats, since: now });
                Duration::ZERO
            }
        };
        if quiet_for < ADOPTION_QUIET {
            return Err(OpenError::StillInUse { owner: owner.uid });
        }
        let mine = OwnerRecord { uid: self.identity.uid.clone() };
        match blobs::write(&*self.blobs, owner_key, &mine, PutMode::IfVersion(version)).await {
            Ok(_) => tracing::info!(from = owner.uid, to = mine.uid, "took over the store of a shop that is gone"),
            // Whoever won is found by the next attempt.
            Err(error) if matches!(error.kind(), Some(ErrorKind::Conflict | ErrorKind::Unknown)) => {
                return Err(OpenError::StillInUse { owner: owner.uid });
            }
            Err(error) => return Err(error.into()),
        }
        self.records(mine.uid).await
    }
}

/// Makes the store `to` ready for shards of the shop `uid`, whose records are in `from`. The owner marker comes last there as
/// well, so whoever is interrupted has done nothing that the next one would not do.
pub(super) async fn prepare(from: &dyn BlobStore, to: &dyn BlobStore, uid: &str) -> Result<(), OpenError> {
    match owner(to).await? {
        Some(owner) if owner == uid => {}
        Some(owner) => return Err(OpenError::Another { owner }),
        None if blobs::list(to, "orders/", 1).await?.is_empty() => {}
        None => return Err(OpenError::Ownerless),
    }
    let (secret, shards) = read_orders(from).await?;
    let record = OrdersRecord { order_id_secret: hex::encode(secret.expose()), shards };
    put_if_absent(to, &blobs::key(ORDERS)?, &record).await?;
    if read_orders(to).await? != (secret, shards) {
        // Its orders have other names.
        return Err(OpenError::Ownerless);
    }
    put_if_absent(to, &blobs::key(LEASES)?, &Leases::default()).await?;
    put_if_absent(to, &blobs::key(OWNER)?, &OwnerRecord { uid: uid.to_owned() }).await?;
    match owner(to).await? {
        Some(owner) if owner == uid => Ok(()),
        Some(owner) => Err(OpenError::Another { owner }),
        None => Err(OpenError::Empty("the record shop/owner")),
    }
}

async fn put_if_absent<R: Record>(blobs: &dyn BlobStore, key: &Key, record: &R) -> Result<(), OpenError> {
    match blobs::write(blobs, key, record, PutMode::IfAbsent).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), Some(ErrorKind::Conflict | ErrorKind::Unknown)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// UID of the Shop that a store belongs to; `None` when it belongs to none yet.
pub(super) async fn owner(blobs: &dyn BlobStore) -> Result<Option<String>, OpenError> {
    Ok(blobs::read::<OwnerRecord>(blobs, &blobs::key(OWNER)?).await?.map(|(owner, _)| owner.uid))
}

/// The secret and the number of shards of a store, whoever it belongs to.
pub(super) async fn read_orders(blobs: &dyn BlobStore) -> Result<(OrderIdSecret, u16), OpenError> {
    let key = blobs::key(ORDERS)?;
    let (record, _) =
        blobs::read::<OrdersRecord>(blobs, &key).await?.ok_or(OpenError::Empty("the record shop/orders"))?;
    let secret = hex::decode(&record.order_id_secret)
        .ok_or_else(|| RecordError::Damaged { key, reason: "order_id_secret is not 64 hex digits".into() })?;
    Ok((OrderIdSecret::new(secret), record.shards))
}
