//! Where a shop's data is to be, what to do about that next, and how far it is on its way, as a function of what was seen. No I/O.

use shop_contract::switch::Switch;

use crate::{
    api::{ShardStatus, ShopStatus, StorageProvider, SwitchPhase, SwitchStatus},
    labels::Component,
    observation::Observation,
    validate::ValidatedShop,
};

/// What is known of the way of a shop's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switching {
    /// Where pods begin to look for the data.
    pub home: StorageProvider,
    /// How far the data is; none as long as it was never moved.
    pub status: Option<SwitchStatus>,
}

/// Finds out where the data of a shop is to be and how far it is. `shards` is who owns which, and where they live.
#[must_use]
pub fn switching(shop: &ValidatedShop, previous: &ShopStatus, seen: &Observation, shards: &[ShardStatus]) -> Switching {
    let (home, wanted) = (shop.storage.provider_name(), shop.storage.wanted);
    let newest = seen.reports().filter_map(|(_, report)| report.switch).max();
    let told = previous.switch.as_ref().and_then(SwitchStatus::wish);
    let last = newest.max(told);
    if last.is_none() && wanted == home {
        return Switching { home, status: None };
    }
    let last_to = last.map_or(home, |last| last.to.into());
    let (switch, from) = match last {
        Some(last) if last_to == wanted => (last, previous.switch.as_ref().map_or(home, |switch| switch.from)),
        _ => (Switch { number: last.map_or(1, |last| last.number.saturating_add(1)), to: wanted.into() }, last_to),
    };
    let ended = previous.switch.as_ref().filter(|status| told == Some(switch) && status.phase.has_ended());
    if let Some(status) = ended {
        return Switching { home, status: Some(status.clone()) };
    }
    let moved = shards.iter().filter(|shard| shard.home == wanted && shard.owner.is_some()).count();
    let is_known = newest == Some(switch);
    let is_settled = seen.reports().any(|(_, report)| report.settled == Some(switch.number));
    let are_moved = is_known && is_settled && moved == shards.len();
    let report =
        seen.reports().filter_map(|(_, report)| report.moved.as_ref()).find(|moved| moved.number == switch.number);
    // The report tells that it is over: whoever reads one finds the other.
    let is_there = are_moved && report.is_some();
    let phase = match () {
        // The wish is left when every pod knows both stores.
        () if !is_known && !knows_both(seen) => SwitchPhase::Preparing,
        () if !is_known => SwitchPhase::Preflight,
        () if !is_there && moved == 0 => SwitchPhase::Copying,
        () if !is_there => SwitchPhase::CuttingOver,
        // It came back to where it was.
        () if wanted == home => SwitchPhase::Aborted,
        () => SwitchPhase::Completed,
    };
    let lacks = seen.reports().find_map(|(_, report)| report.lacks.first().cloned());
    let status = SwitchStatus {
        id: switch.number.to_string(),
        phase,
        from,
        to: wanted,
        shards_moved: u16::try_from(moved).unwrap_or(u16::MAX),
        shards_total: shop.shards,
        bytes_copied: report.map(|report| report.bytes),
        longest_hold_millis: report.and_then(|report| report.longest_hold_millis),
        report_key: report.map(|report| report.report_key.clone()),
        next_step: next_step(phase, are_moved, from, wanted, lacks),
    };
    Switching { home: if phase == SwitchPhase::Completed { wanted } else { home }, status: Some(status) }
}

/// The wish that is to be left with a worker now.
#[must_use]
pub fn wish_to_leave(status: &ShopStatus) -> Option<Switch> {
    status.switch.as_ref().filter(|switch| switch.phase == SwitchPhase::Preflight).and_then(SwitchStatus::wish)
}

/// What somebody who looks at the Shop has to do, or to wait for.
fn next_step(
    phase: SwitchPhase,
    are_moved: bool,
    from: StorageProvider,
    to: StorageProvider,
    lacks: Option<String>,
) -> String {
    match phase {
        SwitchPhase::Preparing => {
            format!("nothing to do; pods that know the stores of {from} and {to} replace the others")
        }
        SwitchPhase::Preflight | SwitchPhase::Copying | SwitchPhase::CuttingOver if lacks.is_some() => {
            format!("mend the store of {to}; it goes on by itself: {}", lacks.unwrap_or_default())
        }
        SwitchPhase::Preflight => format!("nothing to do; the workers are told that everything is to be in {to}"),
        SwitchPhase::CuttingOver if are_moved => {
            format!(
                "nothing to do for some ten seconds; everything is in {to}, and a worker writes the report. If it goes on for longer, the workers' logs say why"
            )
        }
        SwitchPhase::Copying | SwitchPhase::CuttingOver => {
            format!("nothing to do; the shards move to {to} one after the other while the shop sells")
        }
        SwitchPhase::Completed => format!(
            "what was in {from} is kept there; leave its settings in the Shop until its queue is empty, then remove them and clean up"
        ),
        SwitchPhase::Aborted => format!("nothing to do; everything is in {to} again, and copies of it in {from}"),
    }
}

/// Whether all pods are of the newest config, which names both stores; one that is on its way out counts as well.
fn knows_both(seen: &Observation) -> bool {
    let is_new = |component| {
        seen.deployment(component).is_some_and(|state| state.rolled_out() && state.available >= state.desired)
    };
    Component::ALL.into_iter().all(is_new) && !seen.pods.iter().any(|pod| pod.terminating)
}

#[cfg(test)]
#[path = "switching_tests.rs"]
mod tests;
