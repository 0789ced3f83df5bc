//! Who may write which shard: the leases of a store, and what this worker does next about them. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shop_contract::switch::Switch;
use storage_adapters::config::Provider;

use super::{
    blobs::Record,
    membership::{BootId, Members},
};

/// Name of the blob with all leases of a store.
pub(super) const LEASES: &str = "leases";

/// All leases of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leases {
    /// By shard number.
    pub(super) shards: BTreeMap<u16, Lease>,
    /// Where the shards are to live, when that was ever changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) switch: Option<Switch>,
}

impl Record for Leases {
    const FORMAT: u32 = 3;

    /// A version that knows nothing of switches must not touch the leases of a shop that was ever switched, and one that does not
    /// know that a switch may wait must not go on with it.
    fn format(&self) -> u32 {
        match &self.switch {
            None => 1,
            Some(switch) if !switch.says_more() => 2,
            Some(_) => Self::FORMAT,
        }
    }
}

/// Who may write a shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Lease {
    /// In whose store the shard lives. When that is another store than the one the lease is in, it says where the shard went,
    /// and nobody opens it here.
    pub(super) home: Provider,
    /// Grows with every change of owner.
    pub(super) epoch: u64,
    /// Which life of the shard in this store; the database is at `orders/<shard>/<generation>/`.
    pub(super) generation: u64,
    /// Whether the database has yet to be created. Nowhere else is one ever created.
    pub(super) new: bool,
    /// Who has it; nobody when it was given back.
    pub(super) holder: Option<Holder>,
    /// The database's own epoch when it was last closed in order, while nobody can have opened it since: whoever has the
    /// lease next opens that without looking for it first.
    pub(super) closed_in: Option<u64>,
    /// The latest that the shard's database may have shown, milliseconds since 1970.
    pub(super) clock_floor: i64,
}

/// A worker that has a lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Holder {
    /// Its name.
    pub(super) boot_id: BootId,
    /// `host:port` of its internal API.
    pub(super) address: String,
}

impl Leases {
    /// Takes in what another look found; of each shard the lease with the higher epoch counts.
    pub(super) fn learn(&mut self, found: Self) {
        for (shard, lease) in found.shards {
            self.learn_one(shard, lease);
        }
    }

    /// Takes in one lease, unless a newer one is known; whether its epoch is news.
    pub(super) fn learn_one(&mut self, shard: u16, lease: Lease) -> bool {
        let known = self.shards.get(&shard).map(|known| known.epoch);
        let epoch = lease.epoch;
        if known.is_none_or(|known| known <= epoch) {
            self.shards.insert(shard, lease);
        }
        known.is_none_or(|known| known < epoch)
    }

    /// The leases of a new store of this provider.
    pub(super) fn new(shards: u16, home: Provider) -> Self {
        let lease = Lease { home, epoch: 0, generation: 1, new: true, holder: None, closed_in: None, clock_floor: 0 };
        Self { shards: (0..shards).map(|shard| (shard, lease.clone())).collect(), switch: None }
    }

    /// Those of the shards that live in this provider's store.
    pub(super) fn living_in(mut self, home: Provider) -> Self {
        self.shards.retain(|_, lease| lease.home == home);
        self
    }

    /// The workers that leases name.
    pub(super) fn holders(&self) -> Vec<BootId> {
        let holders: BTreeSet<_> = self.shards.values().filter_map(|lease| lease.holder.as_ref()).collect();
        holders.into_iter().map(|holder| holder.boot_id.clone()).collect()
    }
}

impl Lease {
    /// Whether `worker` has it.
    pub(super) fn is_held_by(&self, worker: &BootId) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.boot_id == *worker)
    }

    /// The same lease, given by its holder to another one, or back, in the next epoch. `closed_in` is the database's own
    /// epoch when it was closed in order, and none when it was not.
    pub(super) fn given_to(&self, holder: Option<Holder>, closed_in: Option<u64>, clock_floor: i64) -> Self {
        let clock_floor = self.clock_floor.max(clock_floor);
        Self { epoch: self.epoch + 1, new: false, holder, closed_in, clock_floor, ..self.clone() }
    }

    /// The tombstone of a shard that its holder has closed, and copied into another store, where it begins a new life.
    pub(super) fn moved_to(&self, home: Provider, closed_in: Option<u64>, clock_floor: i64) -> Self {
        Self { home, generation: self.generation + 1, ..self.given_to(None, closed_in, clock_floor) }
    }

    /// The same lease, given back by a holder that never opened the database.
    pub(super) fn given_back(&self) -> Self {
        Self { epoch: self.epoch + 1, holder: None, closed_in: None, ..self.clone() }
    }

    /// The same lease, taken by `holder` in the next epoch.
    pub(super) fn taken_by(&self, holder: Holder, clock_floor: i64) -> Self {
        // Whoever had it may have opened the database.
        let closed_in = if self.holder.is_none() { self.closed_in } else { None };
        let clock_floor = self.clock_floor.max(clock_floor);
        Self { epoch: self.epoch + 1, holder: Some(holder), closed_in, clock_floor, ..self.clone() }
    }
}

/// This worker, as it decides about leases.
#[derive(Clone, Debug)]
pub(super) struct Me<'a> {
    /// Its name.
    pub(super) boot_id: &'a BootId,
    /// Processes whose end it knows for sure, since it holds the lock that they held.
    pub(super) predecessor: Option<&'a BootId>,
    /// The epochs of the leases that it took in this term and still serves or opens.
    pub(super) held: &'a BTreeMap<u16, u64>,
    /// Whether it gives everything away.
    pub(super) leaving: bool,
}

/// One thing to do about a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Take the lease by compare-and-swap from what was observed, then open the database.
    Take {
        /// Which.
        shard: u16,
    },
    /// Another worker has the lease: drop the database without writing.
    Drop {
        /// Which.
        shard: u16,
    },
    /// Close the database and give the lease to another worker, or back when there is none.
    HandOver {
        /// Which.
        shard: u16,
        /// To whom.
        to: Option<Holder>,
    },
}

/// Whether another worker gave this lease to this one in this term: it names it, in an epoch that is not `used`. The giver
/// wrote the name by compare-and-swap when it had closed the database, so there is nothing to take. What this worker still
/// holds in an earlier epoch has to be dropped first, which [`plan`] says.
pub(super) fn is_given(me: &Me<'_>, shard: u16, lease: &Lease, used: &BTreeMap<u16, u64>) -> bool {
    !me.leaving
        && lease.is_held_by(me.boot_id)
        && !me.held.contains_key(&shard)
        && used.get(&shard).is_none_or(|epoch| *epoch < lease.epoch)
}

/// What this worker does next at `now`, given all leases and what it knows of all workers.
pub(super) fn plan(me: &Me<'_>, leases: &Leases, members: &Members, now: Duration) -> Vec<Action> {
    let mut takers: BTreeMap<&BootId, &str> =
        members.takers().filter(|(worker, _)| me.predecessor != Some(*worker)).collect();
    if me.leaving {
        takers.remove(me.boot_id);
    }
    let mut actions = Vec::new();
    let mut loads: BTreeMap<&BootId, usize> = takers.keys().map(|worker| (*worker, 0)).collect();
    for lease in leases.shards.values() {
        if let Some(load) = lease.holder.as_ref().and_then(|holder| loads.get_mut(&holder.boot_id)) {
            *load += 1;
        }
    }
    let is_gone = |boot_id: &BootId| me.predecessor == Some(boot_id) || members.is_dead(boot_id);
    for (shard, lease) in &leases.shards {
        match &lease.holder {
            Some(holder) if holder.boot_id == *me.boot_id => match me.held.get(shard) {
                Some(epoch) if *epoch == lease.epoch => {}
                Some(_) => actions.push(Action::Drop { shard: *shard }),
                // Left over from a term of mine that lapsed, or could not be opened: a new epoch, since what I had of it
                // before is gone.
                None if me.leaving => {}
                None => actions.push(Action::Take { shard: *shard }),
            },
            holder => {
                if me.held.contains_key(shard) {
                    actions.push(Action::Drop { shard: *shard });
                }
                let free = holder.as_ref().is_none_or(|holder| is_gone(&holder.boot_id));
                if free && choose(*shard, &loads) == Some(me.boot_id) {
                    actions.push(Action::Take { shard: *shard });
                    if let Some(load) = loads.get_mut(me.boot_id) {
                        *load += 1;
                    }
                } else if free && let Some(chosen) = choose(*shard, &loads) {
                    // Somebody else's to take; counting it keeps both from taking the next one.
                    let chosen = chosen.clone();
                    if let Some((_, load)) = loads.iter_mut().find(|(worker, _)| ***worker == chosen) {
                        *load += 1;
                    }
                }
            }
        }
    }
    // While workers come and go, as in a roll, whoever leaves gives its shards to those who come: evening the load as well
    // would move a shard twice.
    if me.leaving || members.are_settled(now) {
        actions.extend(give_away(me, leases, &takers, loads));
    }
    actions
}

/// The worker with the least to do, and among equals the one that rendezvous hashing names.
fn choose<'a>(shard: u16, loads: &BTreeMap<&'a BootId, usize>) -> Option<&'a BootId> {
    let least = loads.values().min()?;
    loads
        .iter()
        .filter(|(_, load)| *load == least)
        .map(|(worker, _)| *worker)
        .max_by_key(|worker| weight(shard, worker))
}

/// Rendezvous hashing: every worker computes the same, and a worker more or less moves only its own shards.
fn weight(shard: u16, worker: &BootId) -> [u8; 8] {
    let whole = Sha256::new()
        .chain_update(b"cloudshop/rendezvous/1")
        .chain_update(shard.to_be_bytes())
        .chain_update(worker.as_str())
        .finalize();
    let mut head = [0; 8];
    head.copy_from_slice(&whole[..8]);
    head
}

/// The shards to hand over: all when leaving, else one whose move evens the load by more than one shard.
fn give_away<'a>(
    me: &Me<'_>,
    leases: &Leases,
    takers: &BTreeMap<&'a BootId, &str>,
    mut loads: BTreeMap<&'a BootId, usize>,
) -> Vec<Action> {
    let holder = |worker: &BootId| {
        takers.get(worker).map(|address| Holder { boot_id: worker.clone(), address: (*address).to_owned() })
    };
    let mine: Vec<u16> = me
        .held
        .iter()
        .filter(|(shard, epoch)| {
            leases.shards.get(shard).is_some_and(|lease| lease.is_held_by(me.boot_id) && lease.epoch == **epoch)
        })
        .map(|(shard, _)| *shard)
        .collect();
    if me.leaving {
        return mine
            .into_iter()
            .map(|shard| {
                let to = choose(shard, &loads).cloned();
                if let Some(load) = to.as_ref().and_then(|to| loads.iter_mut().find(|(worker, _)| **worker == to)) {
                    *load.1 += 1;
                }
                Action::HandOver { shard, to: to.as_ref().and_then(holder) }
            })
            .collect();
    }
    let Some((least, load)) = loads.iter().min_by_key(|(_, load)| **load).map(|(worker, load)| (*worker, *load)) else {
        return Vec::new();
    };
    // One gives at a time, or several would each give one shard to whoever has the fewest.
    let giver = loads.iter().max_by_key(|(worker, load)| (**load, **worker)).map(|(worker, _)| *worker);
    if mine.len() <= load + 1 || giver != Some(me.boot_id) {
        return Vec::new();
    }
    // One at a time: the next look sees how it went.
    mine.into_iter()
        .max_by_key(|shard| weight(*shard, least))
        .map(|shard| Action::HandOver { shard, to: holder(least) })
        .into_iter()
        .collect()
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
