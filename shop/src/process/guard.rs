//! Watches that the store under a running process stays this shop's: one that was emptied or exchanged must make it
//! not ready, never an empty shop. Does I/O.

use std::{convert::Infallible, time::Duration};

use shop_contract::{
    config::{ShopConfig, ShopIdentity},
    status::WaitingReason,
};
use storage_adapters::Store;
use tokio::time::sleep;

use crate::{
    orders::{Role, ShopOpener},
    readiness::Readiness,
};

/// How often the store is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Looks for as long as it is polled.
pub(super) async fn guard(store: Store, config: &ShopConfig, readiness: &Readiness) -> Infallible {
    // Whatever the config allowed at the start: a store that is lost now is not made anew or taken over.
    let identity = ShopIdentity { initialise: false, adopt_existing: false, ..config.shop.clone() };
    let mut opener = ShopOpener::new(store.blobs, identity, &config.orders, Role::Web);
    let mut before = None;
    loop {
        sleep(EVERY).await;
        let lost = opener.attempt(Duration::ZERO).await.err().map(|error| error.waiting()).filter(|waiting| {
            // A store out of reach is no lost store: what is in memory is still answered.
            !matches!(waiting.reason, WaitingReason::StoreUnavailable | WaitingReason::Starting)
        });
        if let Some(reason) = before.filter(|reason| lost.as_ref().is_none_or(|lost| lost.reason != *reason)) {
            readiness.clear(reason);
        }
        before = lost.as_ref().map(|lost| lost.reason);
        if let Some(lost) = lost {
            tracing::warn!(reason = ?lost.reason, message = lost.message, "the store is no longer this shop's");
            readiness.wait_for(lost.reason, lost.message);
        }
    }
}
