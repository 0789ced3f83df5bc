//! `shop doctor`: opens a shop's store as its pods would, tries it out, and says what it found. Does I/O.

use std::{process::ExitCode, sync::Arc, time::Instant};

use futures::future::join_all;
use storage_adapters::{Depth, OpenStoreError, Store, config::StorageConfig};

use crate::{
    catalogue::{Places, Published},
    orders::Survey,
};

use super::{Ending, Failure, location::Location, print};

/// The store cannot be used as it is.
const UNFIT: u8 = 1;

pub(super) async fn doctor(location: Location) -> Ending {
    let unfit = |error| Failure::new(UNFIT, error);
    let storage = location.storage().map_err(|error| Failure::new(UNFIT, error))?;
    line("store", &storage)?;
    let began = Instant::now();
    let store = location.open().await.map_err(|error| Failure::new(UNFIT, error))?;
    let millis = began.elapsed().as_millis();
    line(
        "opened",
        format_args!("in {millis} ms; conditions, metadata, listings, deletion and the queue do as they must"),
    )?;
    let survey = Survey::take(&*store.blobs).await.map_err(unfit)?;
    match &survey {
        None => line("shop", "none yet; the first worker of a new Shop makes it that shop's")?,
        Some(Survey { owner, shards, owned, workers }) => {
            line("shop", format_args!("of the Shop with UID {owner}"))?;
            line("orders", format_args!("{owned} of {shards} shards have an owner"))?;
            match workers {
                0 => line("workers", "none runs, so no order can be changed")?,
                some => line("workers", format_args!("{some} left a heartbeat"))?,
            }
        }
    }
    let others = storage.others().map(async |other| {
        let opened = Store::open(&other).await;
        (other, opened)
    });
    let others = join_all(others).await;
    let open =
        others.iter().filter_map(|(other, store)| Some((other.provider, Arc::clone(&store.as_ref().ok()?.blobs))));
    let places = Places::new(storage.provider, Arc::clone(&store.blobs), open);
    match Published::current(&places).await.map_err(|error| Failure::new(UNFIT, error))? {
        None => line("catalogue", "none yet; import one with shop catalogue import")?,
        Some(Published { number, products, .. }) => {
            line("catalogue", format_args!("version {number}, {products} products"))?;
        }
    }
    let depth = store.queue.depth().await.map_err(|error| Failure::new(UNFIT, error))?;
    line("queue", messages(&depth))?;
    for (other, opened) in others {
        match opened {
            Ok(store) => {
                let depth = store.queue.depth().await.map_err(|error| Failure::new(UNFIT, error))?;
                line("beside", format_args!("{other}; {}", messages(&depth)))?;
                let theirs = Survey::take(&*store.blobs).await.map_err(unfit)?;
                OfAnotherShop::check(survey.as_ref(), theirs, &other).map_err(|error| Failure::new(UNFIT, error))?;
            }
            Err(error) => return Err(Failure::new(UNFIT, Beside { store: other.to_string(), source: error })),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn messages(Depth { waiting, leased }: &Depth) -> String {
    format!("about {waiting} messages waiting, {leased} with a receiver")
}

/// The shop sells without it, but nothing moves there or is taken from its queue, and that of a cloud is no way out of a partition.
#[derive(Debug, thiserror::Error)]
#[error("the shop sells, but the store beside that its settings name cannot be used: {store}")]
struct Beside {
    store: String,
    source: OpenStoreError,
}

/// The settings beside those of the shop's store are of another shop's.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store {store} belongs to the Shop with UID {owner}; name another one beside this shop's, or empty it when that Shop is gone for good"
)]
struct OfAnotherShop {
    store: String,
    owner: String,
}

impl OfAnotherShop {
    /// Whether the store beside the shop's own is of no shop yet, or of the same.
    fn check(ours: Option<&Survey>, theirs: Option<Survey>, store: &StorageConfig) -> Result<(), Self> {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours.owner != theirs.owner => {
                Err(Self { store: store.to_string(), owner: theirs.owner })
            }
            _ => Ok(()),
        }
    }
}

fn line(what: &str, found: impl std::fmt::Display) -> Result<(), Failure> {
    print(format_args!("{what:<10} {found}"))
}

#[cfg(test)]
mod tests {
    use storage_adapters::config::EmbeddedConfig;

    use super::*;

    #[test]
    fn a_store_of_another_shop_beside_this_ones_is_named() {
        let of = |owner: &str| Survey { owner: owner.into(), shards: 4, owned: 4, workers: 1 };
        let store = StorageConfig::from(EmbeddedConfig { path: "/beside".into() });
        let check = |theirs| OfAnotherShop::check(Some(&of("a")), theirs, &store);
        assert!(check(None).is_ok() && check(Some(of("a"))).is_ok());
        let said = check(Some(of("b"))).expect_err("another's").to_string();
        assert!(said.contains("/beside") && said.contains("the Shop with UID b"), "{said}");
    }
}
