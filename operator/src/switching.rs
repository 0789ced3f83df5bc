//! Where a shop's data is to be, what to do about that next, and how far it is on its way, as a function of what was seen. No I/O.

use shop_contract::switch::Switch;

use crate::{
    api::{CutOver, ShardStatus, ShopStatus, StorageProvider, SwitchDo, SwitchPhase, SwitchStatus},
    labels::Component,
    observation::Observation,
    validate::{Storage, ValidatedShop},
};

/// What is known of the way of a shop's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switching {
    /// Where pods begin to look for the data.
    pub home: StorageProvider,
    /// How far the data is; none as long as it was never moved.
    pub status: Option<SwitchStatus>,
    /// The wish that is to be left with a worker now.
    pub wish: Option<Switch>,
}

/// What is asked for about the newest switch.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// Number of its first wish.
    id: u64,
    from: StorageProvider,
    to: StorageProvider,
    /// Whether everything is to be where it was.
    goes_back: bool,
    /// Whether each shard is to stay where it is for now.
    waits: bool,
}

impl Asked {
    fn goal(&self) -> StorageProvider {
        if self.goes_back { self.from } else { self.to }
    }
}

/// Finds out where the data of a shop is to be and how far it is. `shards` is who owns which, and where they live.
#[must_use]
pub fn switching(shop: &ValidatedShop, previous: &ShopStatus, seen: &Observation, shards: &[ShardStatus]) -> Switching {
    let home = shop.storage.provider_name();
    let newest = seen.reports().filter_map(|(_, report)| report.switch).max();
    let told = previous.switch.as_ref().and_then(SwitchStatus::newest_wish);
    let is_said = newest.map(|newest| newest.number) >= told.map(|told| told.number);
    let last = if is_said { newest } else { told };
    let known = previous.switch.as_ref().filter(|status| last.is_some_and(|last| last.id().to_string() == status.id));
    let Some(asked) = asked(&shop.storage, home, known, last) else {
        return Switching { home, status: None, wish: None };
    };
    let goal = asked.goal();
    let wish = match last {
        // What only the status tells of is taken to be as it is asked for, until a worker says what it was told.
        Some(last) if last.id() == asked.id && !is_said => Switch::new(last.number, goal.into()),
        Some(last) if last.id() == asked.id && last.to == goal.into() && last.waits == asked.waits => last,
        Some(last) => Switch::new(last.number.saturating_add(1), goal.into()),
        None => Switch::new(asked.id, goal.into()),
    };
    let wish = wish.of(asked.id).waiting(asked.waits);
    let ended = known.filter(|status| status.phase.has_ended() && status.newest_wish() == Some(wish));
    if let Some(status) = ended {
        return Switching { home, status: Some(status.clone()), wish: None };
    }
    let live_in = |provider| shards.iter().filter(|shard| shard.home == provider && shard.owner.is_some()).count();
    let moved = live_in(asked.to);
    let is_begun = newest.is_some_and(|newest| newest.id() == asked.id);
    let is_settled = seen.reports().any(|(_, report)| report.settled == Some(wish.number));
    let are_moved = newest == Some(wish) && is_settled && live_in(goal) == shards.len();
    let report =
        seen.reports().filter_map(|(_, report)| report.moved.as_ref()).find(|moved| moved.number == wish.number);
    // The report tells that it is over: whoever reads one finds the other.
    let is_there = are_moved && report.is_some();
    let phase = match () {
        // The wish is left when every pod knows both stores.
        () if !is_begun && !knows_both(seen) => SwitchPhase::Preparing,
        () if !is_begun => SwitchPhase::Preflight,
        () if is_there && asked.goes_back => SwitchPhase::Aborted,
        () if is_there => SwitchPhase::Completed,
        () if moved == 0 && !asked.goes_back => SwitchPhase::Copying,
        () => SwitchPhase::CuttingOver,
    };
    let lacks = seen.reports().find_map(|(_, report)| report.lacks.first().cloned());
    let status = SwitchStatus {
        id: asked.id.to_string(),
        wish: Some(wish.number),
        phase,
        from: asked.from,
        to: asked.to,
        shards_moved: u16::try_from(moved).unwrap_or(u16::MAX),
        shards_total: shop.shards,
        bytes_copied: report.map(|report| report.bytes),
        longest_hold_millis: report.and_then(|report| report.longest_hold_millis),
        report_key: report.map(|report| report.report_key.clone()),
        next_step: next_step(phase, asked, are_moved, lacks),
    };
    let wish = Some(wish).filter(|wish| newest != Some(*wish) && phase != SwitchPhase::Preparing);
    Switching { home: if phase == SwitchPhase::Completed { asked.to } else { home }, status: Some(status), wish }
}

/// What a Shop asks for: about the switch that `last` is a wish of and `known` tells of, or about a new one. None as long as its data
/// was never to be elsewhere.
fn asked(
    storage: &Storage,
    home: StorageProvider,
    known: Option<&SwitchStatus>,
    last: Option<Switch>,
) -> Option<Asked> {
    let wanted = storage.wanted;
    // Nothing has to be waited for on the way back.
    let waits = storage.switch.cut_over == CutOver::Manual && wanted != home;
    let begins = |id, from| Asked { id, from, to: wanted, goes_back: false, waits };
    let Some(last) = last else { return (wanted != home).then(|| begins(1, home)) };
    let id = last.id();
    let (from, to) = known.map_or((home, last.to.into()), |known| (known.from, known.to));
    let is_over = known.is_some_and(|known| known.phase == SwitchPhase::Completed);
    let action = storage.switch.action.as_ref().filter(|action| action.switch_id == id.to_string() && !is_over);
    let asked = Asked { id, from, to, goes_back: false, waits: false };
    Some(match action.map(|action| action.what) {
        _ if wanted == to && is_over => asked,
        _ if wanted == from && wanted != to && !is_over => Asked { goes_back: true, ..asked },
        _ if wanted != to => begins(last.number.saturating_add(1), last.to.into()),
        None => Asked { waits, ..asked },
        Some(SwitchDo::Proceed) => asked,
        Some(SwitchDo::Pause) => Asked { waits: true, ..asked },
        Some(SwitchDo::Abort) => Asked { goes_back: true, ..asked },
    })
}

/// What somebody who looks at the Shop has to do, or to wait for.
fn next_step(phase: SwitchPhase, asked: Asked, are_moved: bool, lacks: Option<String>) -> String {
    let Asked { id, from, to, goes_back, waits } = asked;
    let goal = asked.goal();
    match phase {
        SwitchPhase::Preparing => {
            format!("nothing to do; pods that know the stores of {from} and {to} replace the others")
        }
        SwitchPhase::Preflight | SwitchPhase::Copying | SwitchPhase::CuttingOver if lacks.is_some() => {
            format!("mend the other store; it goes on by itself: {}", lacks.unwrap_or_default())
        }
        SwitchPhase::Preflight => format!("nothing to do; the workers are told that everything is to be in {to}"),
        SwitchPhase::CuttingOver if are_moved => {
            format!(
                "nothing to do for some ten seconds; everything is in {goal}, and a worker writes the report. If it goes on for longer, the workers' logs say why"
            )
        }
        SwitchPhase::Copying | SwitchPhase::CuttingOver if waits => {
            format!(
                "write spec.storage.switch.action {{switchId: \"{id}\", do: Proceed}} to move the shards to {to}, or do: Abort to have everything in {from}; until then each stays where it is, and what is in {from} is copied"
            )
        }
        SwitchPhase::Copying | SwitchPhase::CuttingOver if goes_back => {
            format!("nothing to do; what has moved to {to} goes back to {from} while the shop sells")
        }
        SwitchPhase::Copying | SwitchPhase::CuttingOver => {
            format!("nothing to do; the shards move to {to} one after the other while the shop sells")
        }
        SwitchPhase::Completed => format!(
            "what was in {from} is kept there; leave its settings in the Shop until its queue is empty, then remove them and clean up"
        ),
        SwitchPhase::Aborted => format!(
            "everything is in {from}, and copies of it in {to}; write spec.storage.provider: {from} to leave it so, or spec.storage.switch.action {{switchId: \"{id}\", do: Proceed}} to move after all"
        ),
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
