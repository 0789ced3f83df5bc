//! The stores of a shop that its catalogue may be in: where it is, and its move from one to another. Does I/O.
//!
//! The record of the current version stands in each of them and says which one is home. Only the record of the home counts; it
//! leaves by first being written in the target, marked as not yet home there, then being marked as gone where it was, then as
//! home in the target. Whoever is interrupted, or has an older wish, leaves something that the next one goes on from.

use std::{collections::BTreeMap, fmt, sync::Arc};

use shop_contract::switch::Switch;
use storage_adapters::{BlobStore, PutMode, Version, config::Provider};

use super::{
    store::{StoreError, copy_version, current, put_current},
    version::CurrentRecord,
};

/// How often a move goes on after others have changed a record, or after a step of its own.
const STEPS: usize = 16;

/// The stores that are open, by whose they are.
#[derive(Clone)]
pub struct Places {
    first: Provider,
    stores: BTreeMap<Provider, Arc<dyn BlobStore>>,
}

impl fmt::Debug for Places {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Places").field("first", &self.first).field("stores", &self.stores.keys()).finish()
    }
}

/// Where the catalogue is.
pub(super) struct Found<'a> {
    /// Whose store it is.
    pub(super) provider: Provider,
    /// The store.
    pub(super) store: &'a dyn BlobStore,
    /// Its record and the state of that; none when there is no catalogue.
    pub(super) current: Option<(Version, CurrentRecord)>,
}

/// What came of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogueMove {
    /// The catalogue is where it is to be.
    Done,
    /// There is no catalogue yet.
    Nothing,
    /// A newer wish is known.
    Superseded,
}

/// What is to be done next so that the catalogue gets where it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing.
    End(CatalogueMove),
    /// This record is to be written in a store, in place of the one that was found there.
    Put {
        /// Whose store it is.
        at: Provider,
        /// The record.
        record: CurrentRecord,
        /// Whose store has the version that it names, when that has to be there first.
        copy_from: Option<Provider>,
    },
}

impl Places {
    /// A store that is looked into first, and others that may be home by now.
    #[must_use]
    pub fn new(
        first: Provider,
        store: Arc<dyn BlobStore>,
        others: impl IntoIterator<Item = (Provider, Arc<dyn BlobStore>)>,
    ) -> Self {
        let mut stores: BTreeMap<_, _> = others.into_iter().collect();
        stores.insert(first, store);
        Self { first, stores }
    }

    /// Finds the catalogue, beginning in the store that is looked into first.
    pub(super) async fn find(&self) -> Result<Found<'_>, StoreError> {
        self.find_from(self.first).await
    }

    /// Finds the catalogue, beginning in this provider's store.
    pub(super) async fn find_from(&self, mut provider: Provider) -> Result<Found<'_>, StoreError> {
        for _ in 0..=self.stores.len() {
            let store = self.store(provider)?;
            let found = current(store).await?;
            match found.as_ref().map(|(_, record)| record.home) {
                Some(Some(home)) if home.to != provider => provider = home.to,
                Some(_) => return Ok(Found { provider, store, current: found }),
                // The first catalogue may have been imported where the shop was before.
                None => match self.elsewhere(provider).await? {
                    Some(other) => provider = other,
                    None => return Ok(Found { provider, store, current: None }),
                },
            }
        }
        Err(StoreError::Moving)
    }

    /// Another store than this one that has a record.
    async fn elsewhere(&self, but: Provider) -> Result<Option<Provider>, StoreError> {
        for (provider, store) in self.stores.iter().filter(|(provider, _)| **provider != but) {
            if current(&**store).await?.is_some() {
                return Ok(Some(*provider));
            }
        }
        Ok(None)
    }

    /// Moves the catalogue to the store that a wish names. Any number of workers may do so at once.
    ///
    /// # Errors
    /// When a store cannot be read or written; trying again goes on from there.
    pub async fn move_to(&self, wish: Switch) -> Result<CatalogueMove, StoreError> {
        self.store(wish.to)?;
        for _ in 0..STEPS {
            let mut found = BTreeMap::new();
            for (provider, store) in &self.stores {
                if let Some(current) = current(&**store).await? {
                    found.insert(*provider, current);
                }
            }
            let records = found.iter().map(|(provider, (_, record))| (*provider, record)).collect();
            match next_step(wish, &records) {
                Step::End(end) => return Ok(end),
                Step::Put { at, record, copy_from } => {
                    let store = self.store(at)?;
                    if let Some(from) = copy_from {
                        copy_version(self.store(from)?, store, &record).await?;
                    }
                    let version = found.remove(&at).map(|(version, _)| version);
                    // When somebody else was first, what is found next says how to go on.
                    put_current(store, &record, version.map_or(PutMode::IfAbsent, PutMode::IfVersion)).await?;
                }
            }
        }
        Err(StoreError::Contended)
    }

    /// Where to begin to look.
    pub(super) fn first(&self) -> Provider {
        self.first
    }

    pub(super) fn store(&self, provider: Provider) -> Result<&dyn BlobStore, StoreError> {
        self.stores.get(&provider).map(|store| &**store).ok_or(StoreError::Elsewhere(provider))
    }
}

/// What is to be done next, by the records that all stores were found with.
fn next_step(wish: Switch, found: &BTreeMap<Provider, &CurrentRecord>) -> Step {
    let wished = Some(wish);
    if found.values().any(|record| record.home.is_some_and(|home| home.number > wish.number)) {
        return Step::End(CatalogueMove::Superseded);
    }
    let newest = found.iter().max_by_key(|(provider, record)| (record.number, **provider != wish.to));
    let Some((source, newest)) = newest else { return Step::End(CatalogueMove::Nothing) };
    let here = found.get(&wish.to).filter(|here| {
        let is_home = here.home.is_none_or(|home| home.to == wish.to || home.number == wish.number);
        is_home && (here.number, &here.sha256) == (newest.number, &newest.sha256)
    });
    let Some(here) = here else {
        let record = newest.at(Switch::new(wish.number, *source));
        return Step::Put { at: wish.to, record, copy_from: Some(*source) };
    };
    let left = found.iter().find(|(provider, record)| **provider != wish.to && record.home != wished);
    match left {
        Some((at, record)) => Step::Put { at: *at, record: record.at(wish), copy_from: None },
        None if here.home != wished => Step::Put { at: wish.to, record: here.at(wish), copy_from: None },
        None => Step::End(CatalogueMove::Done),
    }
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
