//! Where a shop's data is to be, what to do about that next, and how far it is on its way, as a function of what was seen. No I/O.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use shop_contract::switch::{About, ShardCopy, Switch};
use storage_adapters::config::Provider;

use crate::{
    api::{
        CutOver, ShardStatus, ShopStatus, StorageProvider, SwitchDo, SwitchPhase, SwitchSpec, SwitchStatus, Verify,
        WishStatus,
    },
    labels::Component,
    observation::Observation,
    status::Outcome,
    validate::{Storage, ValidatedShop},
};

/// How much the clocks of two operators may differ, of which the one takes over from the other.
const CLOCKS_APART: Duration = Duration::from_secs(10);

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
    /// Which orders are compared, and how many bytes a second are copied at most.
    verify: Verify,
    max_bytes_per_second: Option<u64>,
    /// Where everything is to be after this switch, when that is another provider still.
    next: Option<StorageProvider>,
}

impl Asked {
    fn goal(&self) -> StorageProvider {
        if self.goes_back { self.from } else { self.to }
    }

    /// Whether the newest wish says all of it. How it is done counts no more once it is.
    fn is_said_by(&self, last: Switch, known: Option<&SwitchStatus>) -> bool {
        let is_in = |phase| known.is_some_and(|known| known.phase == phase);
        let is_over = known.is_some_and(|known| known.phase.has_ended()) || is_in(SwitchPhase::Draining);
        let is_copied = is_over || is_in(SwitchPhase::Verifying);
        (last.to, last.waits) == (self.goal().into(), self.waits)
            && (is_over || last.verify == self.verify.into())
            && (is_copied || last.max_bytes_per_second == self.max_bytes_per_second)
    }
}

/// Finds out where the data of a shop is to be and how far it is. `shards` is who owns which, and where they live.
#[must_use]
pub fn switching(
    shop: &ValidatedShop,
    previous: &ShopStatus,
    seen: &Observation,
    shards: &[ShardStatus],
    outcome: &Outcome,
    now: Timestamp,
) -> Switching {
    let home = shop.storage.home;
    let newest = seen.reports().filter_map(|(_, report)| report.switch).max();
    let last = newest.max(previous.switch.as_ref().and_then(SwitchStatus::newest_wish));
    let known = previous.switch.as_ref().filter(|status| last.is_some_and(|last| last.id().to_string() == status.id));
    let Some(asked) = asked(&shop.storage, home, known, last) else {
        return Switching { home, status: None, wish: None };
    };
    let Asked { id, from, to, waits, .. } = asked;
    let goal = asked.goal();
    let wish = match last {
        Some(last) if last.id() == id && asked.is_said_by(last, known) => last,
        last => Switch {
            number: last.map_or(1, |last| last.number.saturating_add(1)),
            to: goal.into(),
            waits,
            about: Some(About { id, from: from.into(), to: to.into() }),
            verify: asked.verify.into(),
            max_bytes_per_second: asked.max_bytes_per_second,
        },
    };
    let given_up = asked.goes_back && shop.storage.wanted == from;
    // Pods that begin where everything is have yet to find the wish.
    let arrived = known.filter(|status| status.newest_wish().map(|told| told.number) == Some(wish.number));
    if let Some(status) = arrived.filter(|status| status.phase == SwitchPhase::Draining) {
        let rolled_out = Some(now).filter(|_| outcome.is_applied_to_pods() && are_all_new(seen));
        return Switching { home, status: Some(drain(status, asked, seen, rolled_out)), wish: None };
    }
    if let Some(status) = arrived.filter(|status| status.phase.has_ended()) {
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
    // A shard that changes its owner meanwhile has not moved away.
    let was_verifying = arrived.is_some_and(|status| status.phase == SwitchPhase::Verifying);
    let owned = shards.iter().filter(|shard| shard.owner.is_some()).count();
    // Nothing is told to go where not every pod looks.
    let is_new_there = goal != home && newest.map(|newest| newest.to) != Some(goal.into());
    let phase = match () {
        () if is_new_there && !are_all_new(seen) => SwitchPhase::Preparing,
        () if !is_begun => SwitchPhase::Preflight,
        () if is_there && asked.goes_back => SwitchPhase::Aborted,
        () if is_there && from == StorageProvider::Embedded => SwitchPhase::Draining,
        () if is_there => SwitchPhase::Completed,
        () if are_moved || was_verifying && live_in(goal) == owned => SwitchPhase::Verifying,
        () if moved == 0 && !asked.goes_back => SwitchPhase::Copying,
        () => SwitchPhase::CuttingOver,
    };
    let copied = copied(id, seen);
    let status = SwitchStatus {
        id: id.to_string(),
        wish: Some(WishStatus::of(wish)),
        given_up: phase == SwitchPhase::Aborted && given_up,
        phase,
        from,
        to,
        shards_moved: u16::try_from(moved).unwrap_or(u16::MAX),
        shards_total: shop.shards,
        bytes_copied: report.map(|report| report.bytes).or(copied.bytes).or(arrived.and_then(|told| told.bytes_copied)),
        bytes_total: copied.total.or(arrived.and_then(|told| told.bytes_total)).filter(|_| report.is_none()),
        bytes_per_second: copied.per_second.filter(|_| report.is_none()),
        eta_seconds: copied.eta().filter(|_| report.is_none()),
        estimated_cost: copied.nanodollars.map(dollars).or(known.and_then(|known| known.estimated_cost.clone())),
        cost: report.and_then(|report| report.nanodollars).map(dollars),
        verification: report.and_then(|report| report.verification).map(Into::into),
        longest_hold_millis: report.and_then(|report| report.longest_hold_millis),
        report_key: report.map(|report| report.report_key.clone()),
        draining_since: None,
        next_step: next_step(phase, asked, lacks(seen)),
    };
    let wish = Some(wish).filter(|_| !is_told && phase != SwitchPhase::Preparing);
    Switching { home: if is_there { goal } else { home }, status: Some(status), wish }
}

/// How far a switch is of which nothing is left but the queue of a disk. Pods go on mounting the disk until no pod is left that may
/// put commands there, and the queue was seen empty after that: its count is exact. `rolled_out` is a time at which no such pod was left.
fn drain(status: &SwitchStatus, asked: Asked, seen: &Observation, rolled_out: Option<Timestamp>) -> SwitchStatus {
    let draining_since = status.draining_since.or(rolled_out);
    let is_empty = |since: Timestamp| {
        let queues = seen.reports().filter_map(|(_, report)| report.queue.as_ref());
        let mut empty = queues.filter(|queue| queue.elsewhere.get(&Provider::Embedded) == Some(&0));
        empty.any(|queue| {
            let counted = seen.since.checked_sub(Duration::from_millis(queue.age_millis));
            counted.is_ok_and(|counted| counted > since + CLOCKS_APART)
        })
    };
    let is_drained = draining_since.is_some_and(is_empty);
    let phase = if is_drained { SwitchPhase::Completed } else { SwitchPhase::Draining };
    SwitchStatus { phase, draining_since, next_step: next_step(phase, asked, lacks(seen)), ..status.clone() }
}

/// How far copying is, as far as workers have told.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    bytes: Option<u64>,
    total: Option<u64>,
    per_second: Option<u64>,
    nanodollars: Option<u64>,
}

impl Copied {
    /// Seconds until the rest is copied.
    fn eta(self) -> Option<u64> {
        let left = self.total?.saturating_sub(self.bytes?);
        left.checked_div(self.per_second?)
    }
}

/// How far workers are with copying for a switch. A shard that another one has taken over counts once.
fn copied(id: u64, seen: &Observation) -> Copied {
    let told: Vec<_> = seen.reports().filter_map(|(_, report)| report.copying.as_ref()).collect();
    let mut shards: BTreeMap<u16, ShardCopy> = BTreeMap::new();
    for (shard, copy) in told.iter().filter(|copying| copying.id == id).flat_map(|copying| &copying.shards) {
        let most = shards.entry(*shard).or_default();
        if (copy.copied, copy.bytes) > (most.copied, most.bytes) {
            *most = *copy;
        }
    }
    if shards.is_empty() {
        return Copied::default();
    }
    Copied {
        bytes: Some(shards.values().map(|shard| shard.copied).sum()),
        total: Some(shards.values().map(|shard| shard.bytes).sum()),
        per_second: Some(told.iter().map(|copying| copying.bytes_per_second).sum()),
        nanodollars: Some(shards.values().map(|shard| shard.nanodollars).sum()),
    }
}

/// Dollars, to a ten-thousandth.
fn dollars(nanodollars: u64) -> String {
    let ten_thousandths = nanodollars.div_ceil(100_000);
    format!("{}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000)
}

/// What a pod was told to use and cannot.
fn lacks(seen: &Observation) -> Option<String> {
    seen.reports().find_map(|(_, report)| report.lacks.first().cloned())
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
    let SwitchSpec { cut_over, action, max_bytes_per_second, verify } = &storage.switch;
    let is_manual = *cut_over == CutOver::Manual;
    let (verify, max_bytes_per_second) = (*verify, *max_bytes_per_second);
    let begins = |id, from| Asked {
        id,
        from,
        to: wanted,
        goes_back: false,
        waits: is_manual,
        verify,
        max_bytes_per_second,
        next: None,
    };
    let Some(last) = last else { return (wanted != home).then(|| begins(1, home)) };
    let id = last.id();
    // The wish tells of it when the status is lost.
    let told = last.about.map(|about| (about.from.into(), about.to.into()));
    let (from, to) = known.map(|known| (known.from, known.to)).or(told).unwrap_or((home, last.to.into()));
    let next = Some(wanted).filter(|wanted| ![from, to].contains(wanted));
    let on = Asked { id, from, to, goes_back: false, waits: false, verify, max_bytes_per_second, next };
    let back = Asked { goes_back: true, ..on };
    let is_completed = known.is_some_and(|known| known.phase == SwitchPhase::Completed);
    let is_aborted = known.is_some_and(|known| known.phase == SwitchPhase::Aborted);
    let is_given_up = known.is_some_and(|known| known.given_up);
    let action = action.as_ref().filter(|action| action.switch_id == id.to_string());
    Some(match action.map(|action| action.what) {
        _ if is_completed && wanted == to => on,
        _ if !is_completed && wanted == from => back,
        // A third provider comes after the switch that is under way: some shards are in the first one still.
        _ if is_completed || is_given_up || (is_aborted && wanted != to) => {
            begins(last.number.saturating_add(1), last.to.into())
        }
        Some(SwitchDo::Abort) => back,
        // Nothing is left to wait with.
        _ if known.is_some_and(|known| known.phase == SwitchPhase::Draining) => on,
        Some(SwitchDo::Proceed) => on,
        Some(SwitchDo::Pause) => Asked { waits: true, ..on },
        None if is_aborted => back,
        // Without a status what was said last counts.
        None => Asked { waits: known.map_or(last.waits, |_| is_manual), ..on },
    })
}

/// What somebody who looks at the Shop has to do, or to wait for.
fn next_step(phase: SwitchPhase, asked: Asked, lacks: Option<String>) -> String {
    let Asked { id, from, to, goes_back, waits, next, .. } = asked;
    let goal = asked.goal();
    let until_empty = match to {
        StorageProvider::Aws | StorageProvider::Azure => ", whose settings are needed until its queue is empty",
        StorageProvider::Embedded => "",
    };
    let step = match phase {
        SwitchPhase::Preparing => {
            format!("nothing to do; pods that know the stores of {from} and {to} replace the others")
        }
        SwitchPhase::Preflight
        | SwitchPhase::Copying
        | SwitchPhase::CuttingOver
        | SwitchPhase::Verifying
        | SwitchPhase::Draining
            if lacks.is_some() =>
        {
            format!("see to this, and it goes on by itself: {}", lacks.unwrap_or_default())
        }
        SwitchPhase::Preflight => format!("nothing to do; the workers are told that everything is to be in {to}"),
        SwitchPhase::Verifying => format!(
            "nothing to do; everything is in {goal}, and the workers compare the orders there with those in the other store. If it goes on for very long, their logs say why"
        ),
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
        SwitchPhase::Draining => format!(
            "nothing to do; pods that begin in {to} replace the others, and then what waits in the queue of {from} goes to {to}"
        ),
        SwitchPhase::Completed if from == StorageProvider::Embedded => format!(
            "the pods use the volume no more, and it keeps what was in {from}; delete its claim when that is of no use any more"
        ),
        SwitchPhase::Completed => format!(
            "what was in {from} is kept there; leave its settings in the Shop until its queue is empty, then remove them and clean up"
        ),
        SwitchPhase::Aborted => format!(
            "everything is in {from}, and copies of it in {to}{until_empty}; write spec.storage.provider: {from} to leave it so, or spec.storage.switch.action {{switchId: \"{id}\", do: Proceed}} to move after all"
        ),
    };
    match next {
        Some(next) => format!("{step}; after this everything moves to {next}"),
        None => step,
    }
}

/// Whether all pods are of the newest config; one that is on its way out counts as well.
fn are_all_new(seen: &Observation) -> bool {
    let is_new = |component| {
        seen.deployment(component).is_some_and(|state| state.rolled_out() && state.available >= state.desired)
    };
    Component::ALL.into_iter().all(is_new) && !seen.pods.iter().any(|pod| pod.terminating)
}

#[cfg(test)]
#[path = "switching_tests.rs"]
mod tests;
