//! What a store says at a glance about the shop in it, for `shop doctor`. Does I/O.

use storage_adapters::BlobStore;

use super::{
    blobs,
    lease::{LEASES, Leases},
    records::{self, HEARTBEATS, MOST_HEARTBEATS, OpenError},
};

/// A shop as its records show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// UID of the Shop that the store belongs to.
    pub owner: String,
    /// Number of order shards.
    pub shards: usize,
    /// Those of them that a worker has the lease of.
    pub owned: usize,
    /// Workers that left a heartbeat, alive or not.
    pub workers: usize,
}

impl Survey {
    /// Reads the records; `None` when the store belongs to no shop yet. Changes nothing.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub async fn take(blobs: &dyn BlobStore) -> Result<Option<Self>, OpenError> {
        let Some(owner) = records::owner(blobs).await? else { return Ok(None) };
        let leases = blobs::read::<Leases>(blobs, &blobs::key(LEASES)?).await?;
        let (leases, _) = leases.ok_or(OpenError::Empty("the leases"))?;
        Ok(Some(Self {
            owner,
            shards: leases.shards.len(),
            owned: leases.shards.values().filter(|lease| lease.holder.is_some()).count(),
            workers: blobs::list(blobs, HEARTBEATS, MOST_HEARTBEATS).await?.len(),
        }))
    }
}
