use shop_contract::{
    status::{OwnedShard, PodStatus, QueueStatus},
    switch::{self, CopyStatus, SwitchSummary, Verification},
};

use super::*;
use crate::{
    api::{SwitchAction, VerificationResult, VerificationStatus},
    fixtures::{all_serving, no_status, on_azure, reported, told, validated},
    labels::Component,
    observation::Report,
};

const AWS: StorageProvider = StorageProvider::Aws;
const AZURE: StorageProvider = StorageProvider::Azure;
const EMBEDDED: StorageProvider = StorageProvider::Embedded;

/// A shop whose four shards were seen in Aws, and which is wanted in `wanted`.
fn shop(wanted: StorageProvider) -> (ValidatedShop, ShopStatus) {
    let mut spec = on_azure();
    spec["storage"]["provider"] = wanted.to_string().into();
    let before = ShopStatus { provider: Some(AWS), store_initialised: Some(true), ..no_status() };
    (validated(spec).at_home(&before), before)
}

/// A shop that serves, whose only worker found this wish, is done with all but the shards, and has so many shards in Azure. It
/// has reported the switch when all of that is where it is to be.
fn seen(switch: Option<Switch>, settled: bool, in_azure: u16) -> Observation {
    let mut seen = all_serving();
    let worker = seen.pods.iter_mut().find(|pod| pod.component == Component::Worker).expect("a worker");
    let home = |shard| Some(if shard < in_azure { Provider::Azure } else { Provider::Aws });
    let shards = (0..4).map(|shard| OwnedShard { shard, epoch: 7, home: home(shard) }).collect();
    let settled = switch.filter(|_| settled).map(|switch| switch.number);
    let all_in = if in_azure == 0 { Provider::Aws } else { Provider::Azure };
    let is_over = |switch: &Switch| settled.is_some() && switch.to == all_in && matches!(in_azure, 0 | 4);
    let moved = switch.filter(is_over).map(|switch| reported(switch.number));
    worker.report = Report::Told(Box::new(PodStatus { switch, settled, shards, moved, ..told(&[]) }));
    seen
}

fn looked(wanted: StorageProvider, before: &ShopStatus, seen: &Observation) -> (Switching, ShopStatus) {
    looked_at(wanted, SwitchSpec::default(), before, seen)
}

/// The same of a Shop that says more about how everything moves.
fn looked_at(
    wanted: StorageProvider,
    asked: SwitchSpec,
    before: &ShopStatus,
    seen: &Observation,
) -> (Switching, ShopStatus) {
    looked_after(&Outcome::Applied, wanted, asked, before, seen)
}

/// The same when applying it went so.
fn looked_after(
    outcome: &Outcome,
    wanted: StorageProvider,
    asked: SwitchSpec,
    before: &ShopStatus,
    seen: &Observation,
) -> (Switching, ShopStatus) {
    let (mut shop, _) = shop(wanted);
    shop.storage.switch = asked;
    let shop = shop.at_home(before);
    let shards = crate::status::shards(&shop, before, seen);
    let found = switching(&shop, before, seen, &shards, outcome, seen.since + Duration::from_secs(1));
    let after = ShopStatus { provider: Some(found.home), switch: found.status.clone(), shards, ..before.clone() };
    (found, after)
}

fn phase(found: &Switching) -> Option<(SwitchPhase, u16)> {
    found.status.as_ref().map(|status| (status.phase, status.shards_moved))
}

/// A Shop whose shards move when they are told to, and what it says about the switch 1.
fn manual(what: Option<SwitchDo>) -> SwitchSpec {
    let action = what.map(|what| SwitchAction { switch_id: "1".into(), what });
    SwitchSpec { cut_over: CutOver::Manual, action, ..SwitchSpec::default() }
}

/// A wish about the first switch of the shop.
fn wish(number: u64, to: Provider, waits: bool) -> Switch {
    let about = About { id: 1, from: Provider::Aws, to: Provider::Azure };
    Switch { waits, about: Some(about), ..Switch::new(number, to) }
}

fn first() -> Switch {
    wish(1, Provider::Azure, false)
}

fn next_step(found: &Switching) -> &str {
    found.status.as_ref().map_or("", |status| &status.next_step)
}

#[test]
fn a_shop_that_stays_where_it_is_has_no_switch() {
    let (_, before) = shop(AWS);
    let (found, _) = looked(AWS, &before, &seen(None, false, 0));
    assert_eq!(found, Switching { home: AWS, status: None, wish: None });
}

#[test]
fn the_wish_is_left_when_every_pod_knows_both_stores_and_pods_begin_in_the_other_when_everything_is_there() {
    let (_, before) = shop(AZURE);
    let mut rolling = seen(None, false, 0);
    rolling.web.as_mut().expect("a Deployment").updated = 1;
    let (found, before) = looked(AZURE, &before, &rolling);
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Preparing, 0)), None));
    let mut ending = seen(None, false, 0);
    ending.pods[0].terminating = true;
    let (found, before) = looked(AZURE, &before, &ending);
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Preparing, 0)), None));
    let (found, before) = looked(AZURE, &before, &seen(None, false, 0));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Preflight, 0)), Some(first())));
    let (found, before) = looked(AZURE, &before, &seen(Some(first()), false, 0));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Copying, 0)), None));
    let (found, before) = looked(AZURE, &before, &seen(Some(first()), true, 3));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::CuttingOver, 3)), AWS));
    let (found, before) = looked(AZURE, &before, &seen(Some(first()), false, 4));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::CuttingOver, 4)), AWS), "the catalogue is not there");
    let (found, before) = looked(AZURE, &before, &seen(Some(first()), true, 4));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Completed, 4)), AZURE));
    let status = found.status.expect("a switch");
    assert_eq!((status.bytes_copied, status.longest_hold_millis), (Some(3_000), Some(180)));
    assert_eq!(status.report_key.as_deref(), Some("switches/1/report"));
    // The pods that begin there have not found the wish yet.
    let (found, _) = looked(AZURE, &before, &seen(None, false, 4));
    assert_eq!((phase(&found), found.home, found.wish), (Some((SwitchPhase::Completed, 4)), AZURE, None));
}

#[test]
fn a_switch_is_over_when_it_is_reported() {
    let (_, before) = shop(AZURE);
    let mut seen = seen(Some(first()), true, 4);
    if let Report::Told(report) = &mut seen.pods[2].report {
        report.moved = Some(reported(0));
    }
    let (found, before) = looked(AZURE, &before, &seen);
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Verifying, 4)), AWS), "an earlier one is reported");
    let next_step = next_step(&found);
    assert!(next_step.contains("the workers compare the orders"), "{next_step}");
    if let Report::Told(report) = &mut seen.pods[2].report {
        report.moved = Some(reported(1));
    }
    assert_eq!(phase(&looked(AZURE, &before, &seen).0), Some((SwitchPhase::Completed, 4)));
}

#[test]
fn a_change_of_mind_is_a_newer_wish_about_the_same_switch_and_ends_where_it_began() {
    let (_, before) = shop(AZURE);
    let (_, before) = looked(AZURE, &before, &seen(Some(first()), false, 2));
    let back = wish(2, Provider::Aws, false);
    let (found, before) = looked(AWS, &before, &seen(Some(first()), false, 2));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::CuttingOver, 2)), Some(back)));
    assert!(next_step(&found).contains("goes back to Aws"), "{}", next_step(&found));
    let (found, before) = looked(AWS, &before, &seen(Some(back), true, 1));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::CuttingOver, 1)), None));
    let (found, before) = looked(AWS, &before, &seen(Some(back), true, 0));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Aborted, 0)), AWS));
    // Pods that have just started have not found the wish yet.
    let (found, before) = looked(AWS, &before, &seen(None, false, 0));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Aborted, 0)), None));
    // What is wanted later is another switch, for which pods prepare anew, and for which nothing was said yet.
    let mut rolling = seen(Some(back), true, 0);
    rolling.web.as_mut().expect("a Deployment").updated = 1;
    let (found, before) = looked_at(AZURE, manual(Some(SwitchDo::Proceed)), &before, &rolling);
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Preparing, 0)), None));
    let (found, _) = looked_at(AZURE, manual(Some(SwitchDo::Proceed)), &before, &seen(Some(back), true, 0));
    let about = About { id: 3, from: Provider::Aws, to: Provider::Azure };
    assert_eq!(found.wish, Some(Switch { waits: true, about: Some(about), ..Switch::new(3, Provider::Azure) }));
}

#[test]
fn shards_move_when_they_are_told_to_where_that_is_asked_for() {
    let (_, before) = shop(AZURE);
    let (found, before) = looked_at(AZURE, manual(None), &before, &seen(None, false, 0));
    let waits = wish(1, Provider::Azure, true);
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Preflight, 0)), Some(waits)));
    let (found, before) = looked_at(AZURE, manual(None), &before, &seen(Some(waits), false, 0));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Copying, 0)), None));
    assert!(next_step(&found).contains("{switchId: \"1\", do: Proceed}"), "{}", next_step(&found));
    let go = wish(2, Provider::Azure, false);
    let (found, before) = looked_at(AZURE, manual(Some(SwitchDo::Proceed)), &before, &seen(Some(waits), false, 0));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Copying, 0)), Some(go)));
    let (found, before) = looked_at(AZURE, manual(Some(SwitchDo::Proceed)), &before, &seen(Some(go), true, 4));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Completed, 4)), AZURE));
    let status = found.status.expect("a switch");
    assert_eq!((status.id.as_str(), status.wish.map(|wish| wish.number)), ("1", Some(2)));
    // It is over, whatever is said about it still.
    for what in [None, Some(SwitchDo::Pause), Some(SwitchDo::Abort)] {
        let (found, _) = looked_at(AZURE, manual(what), &before, &seen(Some(go), true, 4));
        assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Completed, 4)), None), "{what:?}");
    }
    let (found, _) = looked_at(AWS, manual(Some(SwitchDo::Proceed)), &before, &seen(Some(go), true, 4));
    let about = About { id: 3, from: Provider::Azure, to: Provider::Aws };
    let another = Switch { waits: true, about: Some(about), ..Switch::new(3, Provider::Aws) };
    assert_eq!(found.wish, Some(another), "another switch");
}

#[test]
fn a_switch_is_paused_goes_on_and_goes_back_by_an_action_that_names_it() {
    let (_, before) = shop(AZURE);
    let say = |what| SwitchSpec { cut_over: CutOver::Automatic, ..manual(Some(what)) };
    let (_, before) = looked(AZURE, &before, &seen(Some(first()), false, 1));
    let mut other = say(SwitchDo::Abort);
    other.action.as_mut().expect("an action").switch_id = "7".into();
    assert_eq!(looked_at(AZURE, other, &before, &seen(Some(first()), false, 1)).0.wish, None);
    let (found, before) = looked_at(AZURE, say(SwitchDo::Pause), &before, &seen(Some(first()), false, 2));
    let rest = wish(2, Provider::Azure, true);
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::CuttingOver, 2)), Some(rest)));
    // Whoever has forgotten what it was told is told the same once more.
    let (found, before) = looked_at(AZURE, say(SwitchDo::Pause), &before, &seen(None, false, 2));
    assert_eq!(found.wish, Some(rest));
    let (found, before) = looked_at(AZURE, say(SwitchDo::Pause), &before, &seen(Some(rest), false, 2));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::CuttingOver, 2)), None));
    assert!(next_step(&found).contains("do: Abort"), "{}", next_step(&found));
    let (found, before) = looked_at(AZURE, say(SwitchDo::Abort), &before, &seen(Some(rest), false, 2));
    let back = wish(3, Provider::Aws, false);
    assert_eq!(found.wish, Some(back));
    let (found, before) = looked_at(AZURE, say(SwitchDo::Abort), &before, &seen(Some(back), true, 0));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Aborted, 0)), AWS));
    assert!(next_step(&found).contains("write spec.storage.provider: Aws"), "{}", next_step(&found));
    let (found, _) = looked(AZURE, &before, &seen(Some(back), true, 0));
    assert_eq!(
        (phase(&found), found.wish),
        (Some((SwitchPhase::Aborted, 0)), None),
        "it stays so until it is told to go on"
    );
    // The other store's settings may have changed meanwhile.
    let mut rolling = seen(Some(back), true, 0);
    rolling.web.as_mut().expect("a Deployment").updated = 1;
    let (found, before) = looked_at(AZURE, say(SwitchDo::Proceed), &before, &rolling);
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Preparing, 0)), None));
    let (found, _) = looked_at(AZURE, say(SwitchDo::Proceed), &before, &seen(Some(back), true, 0));
    assert_eq!(found.wish, Some(wish(4, Provider::Azure, false)));
}

#[test]
fn what_was_said_about_a_switch_counts_when_the_status_is_lost() {
    let (_, mut lost) = shop(AZURE);
    lost.provider = None;
    let waits = wish(1, Provider::Azure, true);
    let (found, _) = looked_at(AZURE, manual(None), &lost, &seen(Some(waits), false, 0));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Copying, 0)), None), "it waits still");
    let (found, before) = looked_at(AZURE, manual(Some(SwitchDo::Abort)), &lost, &seen(Some(waits), false, 2));
    let back = wish(2, Provider::Aws, false);
    assert_eq!(found.wish, Some(back));
    let (found, _) = looked_at(AZURE, manual(Some(SwitchDo::Abort)), &before, &seen(Some(back), true, 0));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Aborted, 0)), AWS));
    let (found, _) = looked_at(AZURE, manual(Some(SwitchDo::Abort)), &lost, &seen(Some(back), true, 0));
    assert_eq!((phase(&found), found.home, found.wish), (Some((SwitchPhase::Aborted, 0)), AWS, None));
}

#[test]
fn a_status_that_was_lost_is_found_again_in_the_stores() {
    let (_, before) = shop(AZURE);
    let (found, _) = looked(AZURE, &before, &seen(Some(Switch::new(4, Provider::Azure)), true, 2));
    assert_eq!(phase(&found), Some((SwitchPhase::CuttingOver, 2)));
    assert_eq!(found.status.map(|status| status.id), Some("4".into()));
}

#[test]
fn how_everything_moves_may_change_until_it_has() {
    let (_, before) = shop(AZURE);
    let (_, before) = looked(AZURE, &before, &seen(Some(first()), false, 0));
    let slowly = SwitchSpec { verify: Verify::Sample, max_bytes_per_second: Some(2 << 20), ..SwitchSpec::default() };
    let (found, before) = looked_at(AZURE, slowly.clone(), &before, &seen(Some(first()), false, 0));
    let told = Switch {
        verify: switch::Verify::Sample,
        max_bytes_per_second: Some(2 << 20),
        ..wish(2, Provider::Azure, false)
    };
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Copying, 0)), Some(told)));
    let (found, before) = looked_at(AZURE, slowly.clone(), &before, &seen(Some(told), true, 3));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::CuttingOver, 3)), None));
    let (found, before) = looked_at(AZURE, slowly, &before, &seen(Some(told), true, 4));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Completed, 4)), None));
    let (found, _) = looked(AZURE, &before, &seen(Some(told), true, 4));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Completed, 4)), None), "it is over");
}

#[test]
fn orders_are_compared_to_the_end_whoever_has_them_and_whatever_limit_copying_had() {
    let (_, before) = shop(AZURE);
    let (_, before) = looked(AZURE, &before, &seen(Some(first()), false, 0));
    let mut comparing = seen(Some(first()), true, 4);
    if let Report::Told(report) = &mut comparing.pods[2].report {
        report.moved = None;
    }
    let (found, before) = looked(AZURE, &before, &comparing);
    assert_eq!(phase(&found), Some((SwitchPhase::Verifying, 4)));
    let slowly = SwitchSpec { max_bytes_per_second: Some(2 << 20), ..SwitchSpec::default() };
    if let Report::Told(report) = &mut comparing.pods[2].report {
        report.shards.pop();
    }
    let (found, before) = looked_at(AZURE, slowly, &before, &comparing);
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Verifying, 3)), None));
    let each = SwitchSpec { verify: Verify::Sample, ..SwitchSpec::default() };
    let (found, _) = looked_at(AZURE, each, &before, &comparing);
    let sample = Switch { verify: switch::Verify::Sample, ..wish(2, Provider::Azure, false) };
    assert_eq!(found.wish, Some(sample), "which orders are compared may change still");
}

/// What a worker tells of shards of 1,000 bytes each, of which so many are copied.
fn copying(id: u64, bytes_per_second: u64, copied: &[(u16, u64)]) -> CopyStatus {
    let shards =
        copied.iter().map(|&(shard, copied)| (shard, ShardCopy { bytes: 1_000, copied, nanodollars: 400_000_000 }));
    CopyStatus { id, bytes_per_second, shards: shards.collect() }
}

#[test]
fn what_all_workers_have_copied_is_added_up_and_each_shard_counts_once() {
    let (_, before) = shop(AZURE);
    let mut both = seen(Some(first()), false, 1);
    let mut another = both.pods[2].clone();
    for (pod, copying) in [
        (&mut both.pods[2], copying(1, 200, &[(0, 1_000), (1, 300)])),
        (&mut another, copying(1, 100, &[(1, 0), (2, 500)])),
    ] {
        let Report::Told(report) = &mut pod.report else { panic!("it was asked") };
        report.copying = Some(copying);
    }
    both.pods.push(another);
    let (found, before) = looked(AZURE, &before, &both);
    let status = found.status.expect("a switch");
    assert_eq!((status.bytes_copied, status.bytes_total), (Some(1_800), Some(3_000)));
    assert_eq!((status.bytes_per_second, status.eta_seconds), (Some(300), Some(4)));
    assert_eq!((status.estimated_cost.as_deref(), status.cost), (Some("1.2000"), None));
    // Of an earlier switch, by a worker that has just begun: what was told before stands.
    if let Report::Told(report) = &mut both.pods[2].report {
        report.copying = Some(copying(7, 50, &[(0, 1_000)]));
    }
    both.pods.truncate(3);
    let status = looked(AZURE, &before, &both).0.status.expect("a switch");
    let told = (status.bytes_copied, status.bytes_total, status.bytes_per_second);
    assert_eq!(told, (Some(1_800), Some(3_000), None));
    let status = looked(AZURE, &before, &seen(Some(first()), true, 4)).0.status.expect("a switch");
    assert_eq!((status.bytes_copied, status.bytes_total, status.eta_seconds), (Some(3_000), None, None), "as reported");
    assert_eq!((status.estimated_cost.as_deref(), status.cost.as_deref()), (Some("1.2000"), Some("0.0013")));
}

#[test]
fn orders_that_lost_something_are_named_until_the_next_switch() {
    let (_, before) = shop(AZURE);
    let (_, before) = looked(AZURE, &before, &seen(Some(first()), false, 0));
    for (mismatches, is_whole, result, degraded) in [
        (0, true, VerificationResult::Passed, "AsExpected"),
        (0, false, VerificationResult::Incomplete, "AsExpected"),
        (2, true, VerificationResult::Failed, "VerificationFailed"),
        (2, false, VerificationResult::Failed, "VerificationFailed"),
    ] {
        let mut seen = seen(Some(first()), true, 4);
        if let Report::Told(report) = &mut seen.pods[2].report {
            let verification = Some(Verification { orders: 40, mismatches, is_whole });
            report.moved = Some(SwitchSummary { verification, ..reported(1) });
        }
        let shop = shop(AZURE).0.at_home(&before);
        let status = crate::status::status(&shop, &before, &seen, &Outcome::Applied, seen.since);
        let switch = status.switch.expect("a switch");
        assert_eq!(switch.phase, SwitchPhase::Completed, "it sells there");
        assert_eq!(switch.verification, Some(VerificationStatus { orders: 40, mismatches, result }));
        let found = status.conditions.iter().find(|condition| condition.kind == "Degraded").expect("the condition");
        assert_eq!(found.reason, degraded);
        let is_named =
            found.message.contains("2 of 40 orders in Azure are not as they were in Aws; keep what is in Aws");
        assert_eq!(is_named, degraded == "VerificationFailed", "{}", found.message);
    }
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    let (_, before) = shop(AZURE);
    let mut seen = seen(None, false, 0);
    if let Report::Told(report) = &mut seen.pods[2].report {
        report.lacks = vec!["the container is missing".into()];
    }
    let (found, _) = looked(AZURE, &before, &seen);
    let next_step = next_step(&found);
    assert!(next_step.contains("see to this") && next_step.contains("the container is missing"), "{next_step}");
}

/// What is seen of a shop whose data was on a disk and is in Azure, `seconds` after the first look: whether all pods begin there, and
/// what its worker counted so many seconds before.
fn emptying(seconds: i64, all_new: bool, on_disk: Option<u64>, age_seconds: u64) -> Observation {
    let mut seen = seen(None, false, 4);
    seen.since = Timestamp::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    seen.web.as_mut().expect("a Deployment").current = all_new;
    if let Report::Told(report) = &mut seen.pods[2].report {
        let elsewhere = on_disk.map(|depth| (Provider::Embedded, depth)).into_iter().collect();
        report.queue = Some(QueueStatus { depth: 0, elsewhere, dead_letters: 0, age_millis: age_seconds * 1_000 });
    }
    seen
}

/// What the workers of a shop on a disk are told when it is to be in Azure, and the status then.
fn told_to_leave_a_disk() -> (Option<Switch>, ShopStatus) {
    let (_, before) = shop(AZURE);
    let before = ShopStatus { provider: Some(EMBEDDED), ..before };
    let (_, before) = looked(AZURE, &before, &seen(None, false, 0));
    (before.switch.as_ref().and_then(SwitchStatus::newest_wish), before)
}

#[test]
fn a_disk_is_used_until_its_queue_is_seen_empty_after_the_last_pod_that_began_there() {
    let (_, before) = shop(AZURE);
    let before = ShopStatus { provider: Some(EMBEDDED), ..before };
    let about = About { id: 1, from: Provider::Embedded, to: Provider::Azure };
    let told = Switch { about: Some(about), ..Switch::new(1, Provider::Azure) };
    let volume = |before: &ShopStatus| shop(AZURE).0.at_home(before).storage.volume().is_some();
    let (found, before) = looked(AZURE, &before, &seen(None, false, 0));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Preflight, 0)), Some(told)));
    let (found, mut before) = looked(AZURE, &before, &seen(Some(told), true, 4));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Draining, 4)), AZURE));
    let failed = Outcome::Failed(crate::conditions::Reason::ApplyFailed, "no answer".into());
    for outcome in [failed, Outcome::Paused] {
        // The Deployments are those of before, which had rolled out.
        let seen = emptying(0, true, Some(0), 0);
        let (found, _) = looked_after(&outcome, AZURE, SwitchSpec::default(), &before, &seen);
        assert_eq!(found.status.and_then(|status| status.draining_since), None, "{outcome:?}");
    }
    for (seen, why) in [
        (emptying(0, false, Some(0), 0), "pods that began on the disk are there"),
        (emptying(10, true, Some(0), 0), "the last of them went only now"),
        (emptying(40, true, Some(0), 25), "that was counted before"),
        (emptying(50, true, Some(0), u64::MAX / 1_000), "that cannot be"),
        (emptying(60, true, Some(3), 0), "something is there"),
        (emptying(61, true, None, 0), "the disk did not answer"),
    ] {
        let found;
        (found, before) = looked(AZURE, &before, &seen);
        assert_eq!((phase(&found), found.home, found.wish), (Some((SwitchPhase::Draining, 4)), AZURE, None), "{why}");
        assert!(volume(&before), "{why}");
    }
    let (found, before) = looked(AZURE, &before, &emptying(62, true, Some(0), 1));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Completed, 4)), AZURE));
    assert!(next_step(&found).contains("delete its claim"), "{}", next_step(&found));
    assert!(!volume(&before));
}

#[test]
fn a_switch_that_only_empties_a_queue_waits_for_no_word() {
    let (told, before) = told_to_leave_a_disk();
    let (_, before) = looked(AZURE, &before, &seen(told, true, 4));
    for what in [None, Some(SwitchDo::Pause), Some(SwitchDo::Proceed)] {
        let (found, _) = looked_at(AZURE, manual(what), &before, &emptying(5, true, Some(3), 0));
        assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::Draining, 4)), None), "{what:?}");
    }
    let (found, _) = looked_at(AZURE, manual(Some(SwitchDo::Abort)), &before, &emptying(5, true, Some(3), 0));
    assert_eq!(found.wish.map(|wish| wish.to), Some(Provider::Embedded));
    let mut silent = emptying(5, true, None, 0);
    if let Report::Told(report) = &mut silent.pods[2].report {
        report.lacks = vec!["the disk cannot be used".into()];
    }
    let (found, _) = looked(AZURE, &before, &silent);
    assert!(next_step(&found).contains("the disk cannot be used"), "{}", next_step(&found));
}

#[test]
fn a_disk_that_nothing_moved_to_after_all_is_left_when_the_switch_is_aborted() {
    let (_, before) = shop(EMBEDDED);
    let (_, before) = looked(EMBEDDED, &before, &seen(None, false, 0));
    let told = before.switch.as_ref().and_then(SwitchStatus::newest_wish);
    let (_, before) = looked(EMBEDDED, &before, &seen(told, false, 0));
    let volume = |before: &ShopStatus| shop(AWS).0.at_home(before).storage.volume().is_some();
    let (found, before) = looked(AWS, &before, &seen(told, false, 0));
    assert!(volume(&before), "shards may be there");
    let (found, before) = looked(AWS, &before, &seen(found.wish, true, 0));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Aborted, 0)), AWS));
    assert!(!volume(&before));
}

#[test]
fn a_disk_that_is_left_is_gone_back_to() {
    let (told, before) = told_to_leave_a_disk();
    let (_, before) = looked(AZURE, &before, &seen(told, true, 4));
    let (found, before) = looked(EMBEDDED, &before, &emptying(5, false, Some(0), 0));
    assert_eq!(
        (phase(&found), found.wish),
        (Some((SwitchPhase::Preparing, 4)), None),
        "pods that begin in Azure come first"
    );
    let (found, _) = looked(EMBEDDED, &before, &emptying(6, true, Some(0), 0));
    assert_eq!(found.wish.map(|wish| (wish.number, wish.to)), Some((2, Provider::Embedded)));
    assert!(
        found
            .status
            .is_some_and(|status| status.phase == SwitchPhase::Preflight || status.phase == SwitchPhase::CuttingOver)
    );
}

#[test]
fn a_third_provider_comes_after_the_switch_that_is_under_way() {
    let (told, before) = told_to_leave_a_disk();
    let (_, before) = looked(AZURE, &before, &seen(told, false, 1));
    let (found, before) = looked(AWS, &before, &seen(told, false, 2));
    assert_eq!((phase(&found), found.wish), (Some((SwitchPhase::CuttingOver, 2)), None));
    assert!(next_step(&found).contains("after this everything moves to Aws"), "{}", next_step(&found));
    let (found, before) = looked(AWS, &before, &seen(told, true, 4));
    assert_eq!((phase(&found), found.home), (Some((SwitchPhase::Draining, 4)), AZURE));
    let (_, before) = looked(AWS, &before, &emptying(0, true, Some(0), 0));
    let (found, before) = looked(AWS, &before, &emptying(60, true, Some(0), 0));
    assert_eq!(phase(&found), Some((SwitchPhase::Completed, 4)));
    let (found, _) = looked(AWS, &before, &seen(told, true, 4));
    let status = found.status.expect("a switch");
    assert_eq!((status.id.as_str(), status.from, status.to), ("2", AZURE, AWS));
}
