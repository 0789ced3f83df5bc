//! What moving shards takes of a store, and what that costs by list prices. No I/O of its own.

use std::{
    collections::BTreeMap,
    iter::Sum,
    ops::Add,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use shop_contract::switch::Verify;
use storage_adapters::{
    BlobStore,
    config::Provider,
    decorators::{Meter, Metered, Operation, Usage, prices},
};

/// Requests, bytes, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spent {
    /// Operations on the stores; one on a large blob is several requests of a cloud.
    pub(super) requests: u64,
    /// Bytes that were read.
    pub(super) bytes_read: u64,
    /// Billionths of a US dollar, by list prices, if what was read has left its cloud.
    pub(super) nanodollars: u64,
}

impl Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            bytes_read: self.bytes_read + other.bytes_read,
            nanodollars: self.nanodollars + other.nanodollars,
        }
    }
}

impl Sum for Spent {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// The blobs of a store, as moving shards uses them.
#[derive(Debug)]
pub(super) struct Counted {
    provider: Provider,
    pub(super) blobs: Arc<dyn BlobStore>,
    meter: Arc<Meter>,
    /// What was told of it.
    told: Mutex<BTreeMap<Operation, Usage>>,
}

impl Counted {
    /// Counts what moving shards does with the blobs of this provider's store.
    pub(super) fn new(provider: Provider, blobs: Arc<dyn BlobStore>) -> Self {
        let meter = Arc::<Meter>::default();
        let blobs = Arc::new(Metered::new(blobs, Arc::clone(&meter)));
        Self { provider, blobs, meter, told: Mutex::default() }
    }

    /// What it took since this was last asked.
    pub(super) fn spent(&self) -> Spent {
        let now = self.meter.snapshot();
        let before = std::mem::replace(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        let since = |(operation, usage): (&Operation, &Usage)| {
            let told = before.get(operation).copied().unwrap_or_default();
            (*operation, Usage { requests: usage.requests - told.requests, bytes: usage.bytes - told.bytes })
        };
        let since: BTreeMap<Operation, Usage> = now.iter().map(since).collect();
        let bytes_read = since.get(&Operation::Get).map_or(0, |usage| usage.bytes);
        Spent {
            requests: since.values().map(|usage| usage.requests).sum(),
            bytes_read,
            nanodollars: prices::nanodollars_of(self.provider, &since)
                + prices::nanodollars_out(self.provider, bytes_read),
        }
    }
}

/// What copying so many files of so many bytes, and comparing the orders in them, costs about, in billionths of a US dollar.
pub(super) fn estimate(from: Provider, to: Provider, files: u64, bytes: u64, verify: Verify) -> u64 {
    let each = prices::nanodollars(from, Operation::Get) + prices::nanodollars(to, Operation::Put);
    let compared = match verify {
        Verify::Full => bytes,
        Verify::Sample => bytes / 16,
    };
    let out = prices::nanodollars_out(from, bytes + compared) + prices::nanodollars_out(to, compared);
    files * each + out
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use storage_adapters::{
        GetOptions, Metadata, PutMode, Store,
        config::{EmbeddedConfig, StorageConfig},
    };

    use super::*;
    use crate::orders::blobs;

    #[test]
    fn an_estimate_is_what_was_worked_out_by_hand() {
        // 1,000 files of a gigabyte together: $0.0004 to read, $0.0055 to write, $0.09 to leave, and both again to compare.
        let dollars = |nanodollars: u64| format!("{:.4}", std::time::Duration::from_nanos(nanodollars).as_secs_f64());
        let of = |verify| estimate(Provider::Aws, Provider::Azure, 1_000, 1_000_000_000, verify);
        assert_eq!(dollars(of(Verify::Full)), "0.2729");
        assert_eq!(dollars(of(Verify::Sample)), "0.1070");
        assert_eq!(estimate(Provider::Embedded, Provider::Embedded, 1_000, 1_000_000_000, Verify::Full), 0);
    }

    #[tokio::test]
    async fn what_was_spent_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = StorageConfig::from(EmbeddedConfig { path: folder.path().join("store") });
        let counted = Counted::new(Provider::Aws, Store::open(&storage).await.expect("a store").blobs);
        let key = blobs::key("a").expect("a key");
        let body = bytes::Bytes::from(vec![7; 1_000_000]);
        counted.blobs.put(&key, body, &Metadata::new(), PutMode::Overwrite).await.expect("writes");
        let put = Spent { requests: 1, bytes_read: 0, nanodollars: 5_000 };
        assert_eq!((counted.spent(), counted.spent()), (put, Spent::default()));
        let blob = counted.blobs.get(&key, GetOptions::default()).await.expect("reads");
        blob.body.try_for_each(async |_| Ok(())).await.expect("reads");
        assert_eq!(counted.spent(), Spent { requests: 1, bytes_read: 1_000_000, nanodollars: 400 + 90_000 });
    }
}
