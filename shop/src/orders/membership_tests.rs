use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn tenths(tenths: u64) -> Duration {
    Duration::from_millis(tenths * 100)
}

fn boot(number: u128) -> BootId {
    BootId::new(uuid::Uuid::from_u128(number))
}

fn beat(worker: &BootId, beat: u64, ttl: u64) -> (BootId, (Version, Option<Heartbeat>)) {
    let heartbeat = Heartbeat {
        boot_id: worker.clone(),
        address: "host:1".into(),
        ttl_millis: ttl * 1000,
        clock_millis: 5_000,
        beat,
        leaving: false,
    };
    (worker.clone(), (Version(beat.to_string()), Some(heartbeat)))
}

#[test]
fn validity_runs_from_the_start_of_a_heartbeat_not_from_its_reply() {
    let mut validity = Validity::default();
    validity.starting(seconds(10), seconds(6));
    assert!(!validity.holds(seconds(10)));
    validity.confirmed(seconds(10), seconds(6), seconds(14));
    assert!(validity.holds(tenths(159)));
    assert!(!validity.holds(seconds(16)));
    assert!(validity.has_lapsed(seconds(16)));
}

#[test]
fn a_reply_after_the_end_of_validity_does_not_bring_it_back() {
    let mut validity = Validity::default();
    validity.confirmed(seconds(0), seconds(6), seconds(1));
    // The heartbeat was started while valid, and its reply came when others may have taken over.
    validity.starting(tenths(48), seconds(6));
    validity.confirmed(tenths(48), seconds(6), tenths(63));
    assert!(!validity.holds(tenths(64)));
    assert!(validity.has_lapsed(tenths(64)));
}

#[test]
fn a_first_heartbeat_whose_reply_is_later_than_its_ttl_gives_nothing() {
    let mut validity = Validity::default();
    validity.confirmed(seconds(0), seconds(6), seconds(6));
    assert!(!validity.holds(seconds(6)));
}

#[test]
fn starting_a_shorter_heartbeat_cuts_the_validity_at_once() {
    let mut validity = Validity::default();
    validity.confirmed(seconds(0), seconds(8), seconds(1));
    validity.starting(seconds(1), seconds(6));
    assert!(!validity.holds(seconds(7)));
    // And a lost reply leaves it cut.
    assert!(validity.has_lapsed(seconds(7)));
}

#[test]
fn a_worker_is_dead_when_a_look_begun_a_full_ttl_after_the_first_sight_shows_the_same_heartbeat() {
    let (one, mut members) = (boot(1), Members::default());
    members.observe(seconds(0), seconds(2), [beat(&one, 1, 6)].into(), &[]);
    members.observe(tenths(79), tenths(81), [beat(&one, 1, 6)].into(), &[]);
    assert!(!members.is_dead(&one), "the look was begun too early");
    members.observe(seconds(8), seconds(9), [beat(&one, 1, 6)].into(), &[]);
    assert!(members.is_dead(&one));
    assert_eq!(members.takers().count(), 0);
    assert_eq!(members.clock_floor(&one), Some(11_000));
}

#[test]
fn a_heartbeat_that_moved_counts_anew_also_of_one_who_seemed_dead() {
    let (one, mut members) = (boot(1), Members::default());
    members.observe(seconds(0), seconds(0), [beat(&one, 1, 6)].into(), &[]);
    members.observe(seconds(7), seconds(7), [beat(&one, 1, 6)].into(), &[]);
    assert!(members.is_dead(&one));
    members.observe(seconds(8), seconds(8), [beat(&one, 2, 6)].into(), &[]);
    assert!(!members.is_dead(&one));
}

#[test]
fn a_holder_without_a_heartbeat_is_dead_after_the_longest_ttl() {
    let (one, mut members) = (boot(1), Members::default());
    let holders = [one.clone()];
    members.observe(seconds(0), seconds(0), BTreeMap::new(), &holders);
    members.observe(seconds(7), seconds(7), BTreeMap::new(), &holders);
    assert!(!members.is_dead(&one));
    members.observe(seconds(8), seconds(8), BTreeMap::new(), &holders);
    assert!(members.is_dead(&one));
}

proptest::proptest! {
    /// The heart of it: whatever the delays of heartbeats and looks, nobody is found dead while it may still answer in a
    /// term in which it had its leases when the look began. (A term that begins during the look is harmless: leases are
    /// read before the look, and those taken in the new term have other epochs.)
    #[test]
    fn nobody_is_found_dead_while_it_may_answer(
        beats in proptest::collection::vec((0_u64..70, 0_u64..90, proptest::bool::ANY, proptest::bool::ANY), 1..12),
        looks in proptest::collection::vec((0_u64..30, 0_u64..30), 1..60),
    ) {
        let one = boot(1);
        // The owner's life: each beat starts after a gap, lands somewhere before its reply, and may lose its reply.
        let (mut now, mut validity) = (0, Validity::default());
        let mut landed = Vec::new();
        let mut valid_until = Vec::new();
        for (number, (gap, delay, idle, replied)) in (1_u64..).zip(&beats) {
            now += gap;
            let ttl = if *idle { 8 } else { 6 };
            if validity.has_lapsed(tenths(now)) {
                break;
            }
            validity.starting(tenths(now), seconds(ttl));
            valid_until.push((tenths(now), validity));
            landed.push((tenths(now + delay / 2), beat(&one, number, ttl)));
            if *replied {
                validity.confirmed(tenths(now), seconds(ttl), tenths(now + delay));
                valid_until.push((tenths(now + delay), validity));
            }
            now += delay;
        }
        let may_answer = |at: Duration| {
            valid_until.iter().rev().find(|(since, _)| *since <= at).is_some_and(|(_, validity)| validity.holds(at))
        };
        let mut members = Members::default();
        let mut clock = 0;
        for (gap, duration) in looks {
            clock += gap;
            let (begun, ended) = (tenths(clock), tenths(clock + duration));
            clock += duration;
            // A look sees what had landed when it began, or anything until it ended; the earliest is the worst.
            let found = landed.iter().rev().find(|(at, _)| *at <= begun).map(|(_, beat)| beat.clone());
            members.observe(begun, ended, found.into_iter().collect(), &[]);
            let had_leases = valid_until.iter().any(|(since, validity)| *since <= begun && validity.holds(*since));
            if members.is_dead(&one) && had_leases {
                proptest::prop_assert!(!may_answer(ended), "dead and answering at {ended:?}");
            }
        }
    }
}
