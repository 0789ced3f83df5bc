//! The hosts of a simulation: each has a runtime of its own whose time stands still but when its turn comes, so that the
//! order of everything that happens follows from the seed. A host can be stopped, and can be gone at once with all its tasks.

use std::{collections::BTreeMap, time::Duration};

use tokio::runtime::{Builder, Runtime};

use super::{
    network::{Network, Place},
    time::Time,
};

/// How far time goes before it is the next host's turn.
const TURN: Duration = Duration::from_millis(5);

/// A process and its machine.
struct Host {
    runtime: Runtime,
    /// How far its time has gone; behind while it is stopped.
    at: Duration,
    is_stopped: bool,
}

/// All hosts.
pub(super) struct World {
    pub(super) time: Time,
    pub(super) network: Network,
    hosts: BTreeMap<Place, Host>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let time = Time::default();
        Self { network: Network::new(seed, time.clone()), time, hosts: BTreeMap::new() }
    }

    /// Starts a host, on which `life` runs and questions are answered.
    pub(super) fn start(&mut self, place: Place, life: impl Future<Output = ()> + Send + 'static) {
        // With I/O, of which there is none, a runtime without work looks for it instead of putting the thread to sleep.
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let mut inbox = self.network.join(place);
        runtime.spawn(async move {
            while let Some(delivery) = inbox.recv().await {
                tokio::spawn(delivery.arrive());
            }
        });
        runtime.spawn(life);
        self.hosts.insert(place, Host { runtime, at: self.time.since_boot(), is_stopped: false });
    }

    /// Ends a host with everything that it was doing.
    pub(super) fn crash(&mut self, place: Place) {
        self.network.leave(place);
        self.hosts.remove(&place);
    }

    pub(super) fn is_up(&self, place: Place) -> bool {
        self.hosts.contains_key(&place)
    }

    /// Stops a host where it is, or lets it go on.
    pub(super) fn stop(&mut self, place: Place, is_stopped: bool) {
        if let Some(host) = self.hosts.get_mut(&place) {
            host.is_stopped = is_stopped;
        }
    }

    /// Lets time go on by one turn.
    pub(super) fn turn(&mut self) {
        self.time.advance(TURN);
        let now = self.time.since_boot();
        let mut places: Vec<Place> = self.hosts.keys().copied().collect();
        // Who is first is drawn anew each time.
        while !places.is_empty() {
            let next = self.network.draw(places.len() as u64);
            let place = places.swap_remove(usize::try_from(next).expect("few"));
            let Some(host) = self.hosts.get_mut(&place).filter(|host| !host.is_stopped) else { continue };
            let missed = now.saturating_sub(host.at + TURN);
            host.runtime.block_on(async {
                if !missed.is_zero() {
                    tokio::time::advance(missed).await;
                }
                tokio::time::sleep(TURN).await;
            });
            host.at = now;
        }
    }
}
