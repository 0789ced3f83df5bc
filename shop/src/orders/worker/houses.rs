//! The houses that a worker keeps, one in each store that shards live in: heartbeats, and a lease loop. Does I/O.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use shop_contract::switch::Switch;
use storage_adapters::{Store, config::Provider};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::errors::with_causes;

use super::{
    super::{
        dead_letters,
        home::Home,
        lease::Holder,
        membership::{BootId, Heartbeat, Pace},
        other_store::OtherStore,
        records::{self, OpenError},
        registry::RegistryError,
        stewardship::Stewardship,
    },
    OPEN_AGAIN, Worker, WorkerSettings,
};

/// How soon a heartbeat that failed is sent again.
const BEAT_AGAIN: Duration = Duration::from_millis(500);

impl Worker {
    /// Sends heartbeats to a store and keeps its leases until told to end, then hands over what it has there.
    pub(super) async fn keep_house(
        self: Arc<Self>,
        home: Arc<Home>,
        predecessor: Option<BootId>,
        ending: CancellationToken,
    ) {
        let beating = CancellationToken::new();
        let stewardship = Stewardship::new(Arc::clone(&self), Arc::clone(&home), predecessor);
        let keeping = async {
            stewardship.run(ending).await;
            beating.cancel();
        };
        tokio::join!(self.beat(&home, &beating), keeping);
        if let Err(error) = home.registry.still(&self.boot_id).await {
            tracing::warn!(%error, "the heartbeat was not taken away; others wait until it is old");
        }
    }

    /// Keeps house in another store as soon as shards live there, or are to.
    pub(super) async fn keep_house_elsewhere(
        self: Arc<Self>,
        other: Arc<OtherStore>,
        predecessor: Option<BootId>,
        ending: CancellationToken,
    ) {
        let opening = async {
            let mut wanted = self.wanted_homes.subscribe();
            // The sender is the worker's own, so it is there.
            let _ = wanted.wait_for(|wanted| wanted.contains(&other.provider())).await;
            let store = other.open().await;
            loop {
                let opened = self.open_home(other.provider(), store).await;
                self.note_obstacle(other.provider(), opened.as_ref().err().map(refusal));
                match opened {
                    Ok(home) => return home,
                    Err(error) => {
                        tracing::warn!(store = %other.provider(), error = with_causes(&error), "no shard can live in this store yet; trying again");
                        tokio::time::sleep(OPEN_AGAIN).await;
                    }
                }
            }
        };
        let Some(home) = ending.run_until_cancelled(opening).await else { return };
        let home = Arc::new(home);
        self.homes.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&home));
        tracing::info!(store = %home.provider, "keeps house in another store");
        self.keep_house(home, predecessor, ending).await;
    }

    /// Makes another store ready for the shop's shards.
    async fn open_home(&self, provider: Provider, store: &Store) -> Result<Home, OpenError> {
        let interval = WorkerSettings::flush_interval_of(provider, self.settings.config.orders.shards);
        let (clock, readiness) = (Arc::clone(&self.clock), &self.settings.readiness);
        let home = Home::new(provider, Arc::clone(&store.blobs), interval, clock, readiness)?;
        records::prepare(&*self.home.blobs, &*store.blobs, &self.settings.config.shop.uid).await?;
        if let Some(switch) = self.wish(None) {
            home.registry.wish(switch).await.map_err(|error| OpenError::Unavailable(error.to_string()))?;
        }
        Ok(home)
    }

    /// Sends heartbeats to a store until told to end.
    async fn beat(&self, home: &Home, ending: &CancellationToken) {
        let (mut answered, mut active_at) = (0, self.clock.since_boot());
        loop {
            let started = Instant::now();
            let now: u64 = self.service.shards().iter().map(|shard| shard.answered()).sum();
            if now != answered {
                (answered, active_at) = (now, self.clock.since_boot());
            }
            let idle = self.clock.since_boot().saturating_sub(active_at) >= Pace::IDLE_AFTER;
            self.idle.store(idle, Ordering::Relaxed);
            let pace = if idle { Pace::IDLE } else { Pace::BUSY };
            let next = match self.send_heartbeat(home, pace).await {
                Ok(()) => started + pace.every,
                Err(error) => {
                    tracing::warn!(%error, "a heartbeat was not sent");
                    started + BEAT_AGAIN
                }
            };
            if ending.run_until_cancelled(tokio::time::sleep_until(next)).await.is_none() {
                return;
            }
        }
    }

    pub(in crate::orders) async fn send_heartbeat(&self, home: &Home, pace: Pace) -> Result<(), RegistryError> {
        let term = home.term();
        let clock_millis = self.service.shards().iter().map(|shard| shard.clock_millis()).max();
        let heartbeat = Heartbeat {
            boot_id: self.boot_id.clone(),
            address: self.settings.address.clone(),
            ttl_millis: u64::try_from(pace.ttl.as_millis()).unwrap_or(u64::MAX),
            clock_millis: clock_millis.unwrap_or_else(|| self.steady.wall().as_millisecond()),
            beat: home.next_beat(),
            leaving: self.is_leaving(),
        };
        let start = term.with(|validity, now| {
            validity.starting(now, pace.ttl);
            now
        });
        let sent = home.registry.beat(&heartbeat).await;
        home.note_room(&sent);
        sent?;
        #[cfg(feature = "planted-bugs")]
        if *self.bug.lock().unwrap_or_else(PoisonError::into_inner) == Some(super::super::planted::Bug::ReviveByReply) {
            term.with(|validity, _| *validity = super::super::membership::Validity::default());
        }
        term.with(|validity, now| validity.confirmed(start, pace.ttl, now));
        Ok(())
    }

    /// The house that it keeps in this provider's store.
    pub(in crate::orders) fn home_of(&self, provider: Provider) -> Option<Arc<Home>> {
        self.homes().into_iter().find(|home| home.provider == provider)
    }

    /// All houses that it keeps.
    pub(in crate::orders) fn homes(&self) -> Vec<Arc<Home>> {
        self.homes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the worker keep house in this provider's store as well, once that can be opened.
    pub(in crate::orders) fn want_home(&self, provider: Provider) {
        self.wanted_homes.send_if_modified(|wanted| wanted.insert(provider));
    }

    /// Remembers why nothing moves to this provider's store, or that nothing is in the way any more.
    pub(in crate::orders) fn note_obstacle(&self, provider: Provider, obstacle: Option<String>) {
        let mut obstacles = self.obstacles.lock().unwrap_or_else(PoisonError::into_inner);
        match obstacle {
            Some(obstacle) => obstacles.insert(provider, obstacle),
            None => obstacles.remove(&provider),
        };
    }

    /// Why nothing moves to the store where it is to, for people.
    pub(super) fn obstacle(&self) -> Option<String> {
        let wish = self.wish(None)?;
        let obstacles = self.obstacles.lock().unwrap_or_else(PoisonError::into_inner);
        obstacles.get(&wish.to).map(|obstacle| format!("nothing moves to {}: {obstacle}", wish.to))
    }

    /// Takes in a wish that was found, and gives the newest.
    pub(in crate::orders) fn wish(&self, found: Option<Switch>) -> Option<Switch> {
        let mut newest = self.switch.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = (*newest).max(found);
        *newest
    }

    /// Writes down a wish where all shards are to live, so that every worker finds it; whether it is the newest that is known, of
    /// a store that this worker has the settings of.
    pub(in crate::orders) async fn make_wish(&self, switch: Switch) -> Result<bool, RegistryError> {
        let is_known =
            self.home.provider == switch.to || self.settings.others.iter().any(|other| other.provider() == switch.to);
        if !is_known || self.wish(None).is_some_and(|newest| newest > switch) {
            return Ok(false);
        }
        self.home.registry.wish(switch).await?;
        Ok(self.wish(Some(switch)) == Some(switch))
    }

    /// The newest wish where the shop's data is to live, once that store is known to be this shop's, unless it waits.
    #[must_use]
    pub fn ready_for(&self) -> Option<Switch> {
        self.wish(None).filter(|wish| !wish.waits && self.home_of(wish.to).is_some())
    }

    /// Has dead letters where a wish wants everything, once the catalogue is there, and remembers that only the order shards are
    /// left. What other workers bury in another store meanwhile is copied by the next one that starts.
    ///
    /// # Errors
    /// When a store cannot be read or written.
    pub async fn settle(&self, wish: Switch) -> Result<(), storage_adapters::Error> {
        let Some(to) = self.home_of(wish.to) else { return Ok(()) };
        let others = self.settings.others.iter().filter_map(|other| other.blobs());
        let first = (self.home.provider, Arc::clone(&self.home.blobs));
        for (provider, blobs) in others.chain([first]) {
            if provider != wish.to {
                dead_letters::copy_all(&*blobs, &*to.blobs).await?;
            }
        }
        self.settled.fetch_max(wish.number, Ordering::Relaxed);
        Ok(())
    }

    /// This worker, as leases name it.
    pub(in crate::orders) fn holder(&self) -> Holder {
        Holder { boot_id: self.boot_id.clone(), address: self.settings.address.clone() }
    }
}

/// Why a store is not made ready for a shop's shards, for people.
fn refusal(error: &OpenError) -> String {
    match error {
        OpenError::Another { owner } => {
            format!(
                "its store belongs to the Shop with UID {owner}; name another, or empty it when that Shop is gone for good"
            )
        }
        other => with_causes(other),
    }
}
