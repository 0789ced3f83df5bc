use std::time::Duration;

use storage_adapters::Version;

use super::*;
use crate::orders::membership::Heartbeat;

/// When the workers of these tests have been the same for long.
const LATER: Duration = Duration::from_mins(1);

fn boot(number: u128) -> BootId {
    BootId::new(uuid::Uuid::from_u128(number))
}

fn holder(number: u128) -> Holder {
    Holder { boot_id: boot(number), address: format!("host-{number}:9091") }
}

/// Workers that are alive, with those of `dead` found dead.
fn members(alive: &[u128], dead: &[u128]) -> Members {
    let look = |workers: &[u128]| {
        workers
            .iter()
            .map(|number| {
                let heartbeat = Heartbeat {
                    boot_id: boot(*number),
                    address: holder(*number).address,
                    ttl_millis: 6_000,
                    clock_millis: 0,
                    beat: 1,
                    leaving: false,
                };
                (boot(*number), (Version("1".into()), Some(heartbeat)))
            })
            .collect::<BTreeMap<_, _>>()
    };
    let mut members = Members::default();
    members.observe(Duration::ZERO, Duration::ZERO, look(dead), &[]);
    let late = Duration::from_secs(6);
    members.observe(late, late, look(&[dead, alive].concat()), &[]);
    members
}

fn leases(holders: &[Option<u128>]) -> Leases {
    let mut leases = Leases::new(u16::try_from(holders.len()).expect("few"), Provider::Aws);
    for (lease, held_by) in leases.shards.values_mut().zip(holders) {
        lease.epoch = 7;
        lease.new = false;
        lease.holder = held_by.map(holder);
    }
    leases
}

fn held(leases: &Leases, by: u128) -> BTreeMap<u16, u64> {
    leases
        .shards
        .iter()
        .filter(|(_, lease)| lease.is_held_by(&boot(by)))
        .map(|(shard, lease)| (*shard, lease.epoch))
        .collect()
}

fn planned(by: u128, leases: &Leases, members: &Members, leaving: bool) -> Vec<Action> {
    let (boot_id, held) = (boot(by), held(leases, by));
    plan(&Me { boot_id: &boot_id, predecessor: None, held: &held, leaving }, leases, members, LATER)
}

#[test]
fn a_lone_worker_takes_everything_that_is_free() {
    let actions = planned(1, &leases(&[None, None, None, None]), &members(&[1], &[]), false);
    assert_eq!(actions, (0..4).map(|shard| Action::Take { shard }).collect::<Vec<_>>());
}

#[test]
fn free_shards_are_shared_out_without_a_word_and_each_is_taken_once() {
    let (leases, members) = (leases(&[None; 7]), members(&[1, 2, 3], &[]));
    let mut taken = Vec::new();
    for worker in 1..=3 {
        let actions = planned(worker, &leases, &members, false);
        assert!((2..=3).contains(&actions.len()), "{actions:?}");
        taken.extend(actions.into_iter().map(|action| match action {
            Action::Take { shard } => shard,
            other => panic!("{other:?}"),
        }));
    }
    taken.sort_unstable();
    assert_eq!(taken, (0..7).collect::<Vec<_>>());
}

#[test]
fn the_shards_of_a_dead_worker_are_taken_and_those_of_a_live_one_are_not() {
    let leases = leases(&[Some(1), Some(2), Some(3)]);
    let actions = planned(1, &leases, &members(&[1, 2], &[3]), false);
    let other = planned(2, &leases, &members(&[1, 2], &[3]), false);
    assert_eq!([actions, other].concat(), [Action::Take { shard: 2 }]);
}

#[test]
fn a_predecessor_whose_lock_is_held_is_gone_at_once() {
    let leases = leases(&[Some(9), Some(9)]);
    let (me, before, held) = (boot(1), boot(9), BTreeMap::new());
    let me = Me { boot_id: &me, predecessor: Some(&before), held: &held, leaving: false };
    // The predecessor's heartbeat still looks fresh.
    let actions = plan(&me, &leases, &members(&[1, 9], &[]), LATER);
    assert_eq!(actions, [Action::Take { shard: 0 }, Action::Take { shard: 1 }]);
}

#[test]
fn a_lease_that_was_given_is_opened_in_its_epoch_and_in_none_twice() {
    let leases = leases(&[Some(1), Some(2), Some(1), None, Some(1)]);
    let used = BTreeMap::from([(2, 7), (4, 6)]);
    let boot_id = boot(1);
    let found = |held: &BTreeMap<u16, u64>, leaving| -> Vec<_> {
        let me = Me { boot_id: &boot_id, predecessor: None, held, leaving };
        let given = leases.shards.iter().filter(|(shard, lease)| is_given(&me, **shard, lease, &used));
        given.map(|(shard, lease)| (*shard, lease.epoch)).collect()
    };
    assert_eq!(found(&BTreeMap::new(), false), [(0, 7), (4, 7)]);
    assert_eq!(found(&BTreeMap::from([(4, 6)]), false), [(0, 7)], "what it holds is dropped first");
    assert_eq!(found(&BTreeMap::new(), true), []);
}

#[test]
fn a_lease_that_another_took_is_dropped() {
    let leases = leases(&[Some(2)]);
    let (me, held) = (boot(1), BTreeMap::from([(0, 6)]));
    let me = Me { boot_id: &me, predecessor: None, held: &held, leaving: false };
    assert_eq!(plan(&me, &leases, &members(&[1, 2], &[]), LATER), [Action::Drop { shard: 0 }]);
}

#[test]
fn a_lease_left_from_a_lapsed_term_is_taken_anew() {
    let leases = leases(&[Some(1)]);
    let (me, held) = (boot(1), BTreeMap::new());
    let me = Me { boot_id: &me, predecessor: None, held: &held, leaving: false };
    assert_eq!(plan(&me, &leases, &members(&[1], &[]), LATER), [Action::Take { shard: 0 }]);
}

#[test]
fn a_shard_moves_only_when_that_evens_the_load_by_more_than_one() {
    let members = members(&[1, 2], &[]);
    assert_eq!(planned(1, &leases(&[Some(1), Some(1), Some(2)]), &members, false), []);
    let actions = planned(1, &leases(&[Some(1), Some(1), Some(1), Some(2)]), &members, false);
    assert!(matches!(&actions[..], [Action::HandOver { to: Some(to), .. }] if to.boot_id == boot(2)), "{actions:?}");
    assert_eq!(planned(2, &leases(&[Some(1), Some(1), Some(1), Some(2)]), &members, false), []);
}

#[test]
fn one_worker_at_a_time_gives_to_a_newcomer() {
    let (leases, members) = (leases(&[Some(1), Some(1), Some(2), Some(2)]), members(&[1, 2, 3], &[]));
    let giving: Vec<_> = (1..=3).flat_map(|worker| planned(worker, &leases, &members, false)).collect();
    assert!(matches!(&giving[..], [Action::HandOver { to: Some(to), .. }] if to.boot_id == boot(3)), "{giving:?}");
}

#[test]
fn the_load_is_evened_only_when_no_worker_has_come_or_gone_for_a_while() {
    let (leases, members) = (leases(&[Some(1), Some(1), Some(1)]), members(&[1, 2], &[]));
    let (boot_id, held) = (boot(1), held(&leases, 1));
    let me = |leaving| Me { boot_id: &boot_id, predecessor: None, held: &held, leaving };
    let soon = Duration::from_secs(10);
    assert_eq!(plan(&me(false), &leases, &members, soon), []);
    assert_eq!(plan(&me(false), &leases, &members, LATER).len(), 1);
    assert_eq!(plan(&me(true), &leases, &members, soon).len(), 3, "whoever leaves does not wait");
}

#[test]
fn what_the_database_was_closed_in_counts_until_somebody_may_have_opened_it() {
    let lease = Lease { closed_in: None, ..leases(&[Some(1)]).shards[&0].clone() };
    let given = lease.given_to(Some(holder(2)), Some(5), 0);
    assert_eq!(given.closed_in, Some(5));
    assert_eq!(given.taken_by(holder(3), 0).closed_in, None, "the second may have opened it");
    let back = lease.given_to(None, Some(5), 0);
    assert_eq!(back.taken_by(holder(3), 0).closed_in, Some(5));
    assert_eq!(back.taken_by(holder(3), 0).given_back().closed_in, None);
}

#[test]
fn of_two_leases_of_a_shard_the_newer_is_kept() {
    let (mut known, mut newer) = (leases(&[Some(1), Some(1)]), leases(&[Some(2), Some(2)]));
    if let Some(lease) = newer.shards.get_mut(&1) {
        lease.epoch = 6;
    }
    known.learn(newer);
    assert_eq!((held(&known, 1).len(), held(&known, 2)), (1, BTreeMap::from([(0, 7)])));
}

#[test]
fn a_worker_that_leaves_gives_everything_to_the_others_evenly() {
    let actions = planned(1, &leases(&[Some(1), Some(1), Some(2), Some(3)]), &members(&[1, 2, 3], &[]), true);
    let mut given: Vec<_> = actions
        .into_iter()
        .map(|action| match action {
            Action::HandOver { to: Some(to), .. } => to.boot_id,
            other => panic!("{other:?}"),
        })
        .collect();
    given.sort();
    assert_eq!(given, [boot(2), boot(3)]);
}

#[test]
fn the_last_worker_that_leaves_gives_everything_back() {
    let actions = planned(1, &leases(&[Some(1)]), &members(&[1], &[]), true);
    assert_eq!(actions, [Action::HandOver { shard: 0, to: None }]);
}

#[test]
fn everything_is_owned_and_even_in_the_end_from_any_start() {
    let mut state = leases(&[Some(1), Some(1), Some(1), Some(1), Some(1), Some(4), Some(4), None]);
    let members = members(&[1, 2, 3], &[4]);
    for _round in 0..20 {
        for worker in 1..=3 {
            for action in planned(worker, &state, &members, false) {
                match action {
                    Action::Take { shard } => {
                        let lease = state.shards.get_mut(&shard).expect("a lease");
                        *lease = lease.taken_by(holder(worker), 0);
                    }
                    Action::HandOver { shard, to } => {
                        let lease = state.shards.get_mut(&shard).expect("a lease");
                        *lease = lease.given_to(to, Some(1), 0);
                    }
                    Action::Drop { .. } => {}
                }
            }
        }
    }
    let mut loads: Vec<_> = (1..=3).map(|worker| held(&state, worker).len()).collect();
    loads.sort_unstable();
    assert_eq!(loads, [2, 3, 3]);
}
