//! Where a shop's data is to be, what to do about that next, and how far it is on its way, as a function of what was seen. No I/O.

use shop_contract::switch::{About, Switch};

use crate::{
    api::{CutOver, ShardStatus, ShopStatus, StorageProvider, SwitchDo, SwitchPhase, SwitchStatus, WishStatus},
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
    let last = newest.max(previous.switch.as_ref().and_then(SwitchStatus::newest_wish));
    let known = previous.switch.as_ref().filter(|status| last.is_some_and(|last| last.id().to_string() == status.id));
    let Some(asked) = asked(&shop.storage, home, known, last) else {
        return Switching { home, status: None, wish: None };
    };
    let Asked { id, from, to, waits, .. } = asked;
    let goal = asked.goal();
    let wish = match last {
        Some(last) if last.id() == id && last.to == goal.into() && last.waits == waits => last,
        last => Switch {
            number: last.map_or(1, |last| last.number.saturating_add(1)),
            to: goal.into(),
            waits,
            about: Some(About { id, from: from.into(), to: to.into() }),
        },
    };
    let given_up = asked.goes_back && shop.storage.wanted == from;
    let ended = known
        .filter(|status| status.phase.has_ended() && status.newest_wish().map(|told| told.number) == Some(wish.number));
    if let Some(status) = ended {
        let given_up = given_up || status.given_up;
        return Switching { home, status: Some(SwitchStatus { given_up, ..status.clone() }), wish: None };
    }
    let live_in = |provider| shards.iter().filter(|shard| shard.home == provider && shard.owner.is_some()).count();
    let moved = live_in(to);
    let is_begun = newest.is_some_and(|newest| newest.id() == id);
    let is_settled = seen.reports().any(|(_, report)| report.settled == Some(wish.number));
    // What it is about is not asked of workers, which may be of a version that does not know.
    let is_told =
        newest.is_some_and(|newest| (newest.number, newest.to, newest.waits) == (wish.number, wish.to, wish.waits));
    let are_moved = is_told && is_settled && live_in(goal) == shards.len();
    let report =
        seen.reports().filter_map(|(_, report)| report.moved.as_ref()).find(|moved| moved.number == wish.number);
    // The report tells that it is over: whoever reads one finds the other.
    let is_there = are_moved && report.is_some();
    // Nothing is told to go where not every pod looks.
    let is_new_there = goal != home && newest.map(|newest| newest.to) != Some(goal.into());
    let phase = match () {
        () if is_new_there && !knows_both(seen) => SwitchPhase::Preparing,
        () if !is_begun => SwitchPhase::Preflight,
        () if is_there && asked.goes_back => SwitchPhase::Aborted,
        () if is_there => SwitchPhase::Completed,
        () if moved == 0 && !asked.goes_back => SwitchPhase::Copying,
        () => SwitchPhase::CuttingOver,
    };
    let lacks = seen.reports().find_map(|(_, report)| report.lacks.first().cloned());
    let status = SwitchStatus {
        id: id.to_string(),
        wish: Some(WishStatus { number: wish.number, to: goal, waits: wish.waits }),
        given_up: phase == SwitchPhase::Aborted && given_up,
        phase,
        from,
        to,
        shards_moved: u16::try_from(moved).unwrap_or(u16::MAX),
        shards_total: shop.shards,
        bytes_copied: report.map(|report| report.bytes),
        longest_hold_millis: report.and_then(|report| report.longest_hold_millis),
        report_key: report.map(|report| report.report_key.clone()),
        next_step: next_step(phase, asked, are_moved, lacks),
    };
    let wish = Some(wish).filter(|_| !is_told && phase != SwitchPhase::Preparing);
    Switching { home: if phase.has_ended() { goal } else { home }, status: Some(status), wish }
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
    let is_manual = storage.switch.cut_over == CutOver::Manual;
    let begins = |id, from| Asked { id, from, to: wanted, goes_back: false, waits: is_manual };
    let Some(last) = last else { return (wanted != home).then(|| begins(1, home)) };
    let id = last.id();
    // The wish tells of it when the status is lost.
    let told = last.about.map(|about| (about.from.into(), about.to.into()));
    let (from, to) = known.map(|known| (known.from, known.to)).or(told).unwrap_or((home, last.to.into()));
    let on = Asked { id, from, to, goes_back: false, waits: false };
    let back = Asked { goes_back: true, ..on };
    let is_completed = known.is_some_and(|known| known.phase == SwitchPhase::Completed);
    let is_aborted = known.is_some_and(|known| known.phase == SwitchPhase::Aborted);
    let is_given_up = known.is_some_and(|known| known.given_up);
    let action = storage.switch.action.as_ref().filter(|action| action.switch_id == id.to_string());
    Some(match action.map(|action| action.what) {
        _ if is_completed && wanted == to => on,
        _ if !is_completed && wanted == from => back,
        _ if is_completed || is_given_up || wanted != to => begins(last.number.saturating_add(1), last.to.into()),
        Some(SwitchDo::Proceed) => on,
        Some(SwitchDo::Pause) => Asked { waits: true, ..on },
        Some(SwitchDo::Abort) => back,
        None if is_aborted => back,
        // Without a status what was said last counts.
        None => Asked { waits: known.map_or(last.waits, |_| is_manual), ..on },
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
            format!("see to this, and it goes on by itself: {}", lacks.unwrap_or_default())
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
