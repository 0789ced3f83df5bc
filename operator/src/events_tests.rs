use jiff::Timestamp;
use shop_contract::{status::OwnedShard, switch::Switch};
use storage_adapters::config::Provider;

use super::*;
use crate::{
    api::StorageProvider,
    fixtures::{all_serving, least, most, no_status, on_azure, reported, validated},
    observation::{Observation, Report},
    status::{Outcome, status},
};

fn reasons(shop: &ValidatedShop, before: &ShopStatus, after: &ShopStatus) -> Vec<String> {
    events(Some(shop), before, after).into_iter().map(|event| event.reason).collect()
}

#[test]
fn each_step_of_a_shops_life_is_told_once() {
    let shop = validated(least());
    let observed = |before: &ShopStatus, seen: &Observation, outcome: &Outcome| {
        status(&shop, before, seen, outcome, Timestamp::UNIX_EPOCH)
    };
    let created = observed(&no_status(), &Observation::default(), &Outcome::Applied);
    assert_eq!(reasons(&shop, &no_status(), &created), ["Created"]);
    let ready = observed(&created, &all_serving(), &Outcome::Applied);
    assert_eq!(reasons(&shop, &created, &ready), ["StoreInitialised", "Ready"]);
    assert_eq!(reasons(&shop, &ready, &ready), [""; 0]);
    let paused = observed(&ready, &all_serving(), &Outcome::Paused);
    assert_eq!(reasons(&shop, &ready, &paused), ["Paused"]);
    let refused = Outcome::Failed(crate::conditions::Reason::NameTaken, "taken".into());
    let degraded = observed(&ready, &all_serving(), &refused);
    assert_eq!(reasons(&shop, &ready, &degraded), ["NameTaken"]);
}

#[test]
fn a_store_that_was_taken_over_is_told_as_such() {
    let shop = validated(most());
    let after = status(&shop, &no_status(), &all_serving(), &Outcome::Applied, Timestamp::UNIX_EPOCH);
    assert!(reasons(&shop, &no_status(), &after).contains(&"StoreAdopted".to_owned()));
}

#[test]
fn each_phase_of_a_switch_is_told_once() {
    let mut before = ShopStatus { provider: Some(StorageProvider::Aws), store_initialised: Some(true), ..no_status() };
    let shop = validated(on_azure()).at_home(&before);
    let seen = |switch: Option<Switch>, home| {
        let mut seen = all_serving();
        if let Report::Told(report) = &mut seen.pods[2].report {
            report.switch = switch;
            report.settled = switch.map(|switch| switch.number);
            let is_over = |switch: &Switch| switch.to == home;
            report.moved = switch.filter(is_over).map(|switch| reported(switch.number));
            report.shards = (0..4).map(|shard| OwnedShard { shard, epoch: 7, home: Some(home) }).collect();
        }
        seen
    };
    let wish = Some(Switch::new(1, Provider::Azure));
    for (seen, expected) in [
        (seen(None, Provider::Aws), &["Created", "Ready", "Preflight"][..]),
        (seen(None, Provider::Aws), &[]),
        (seen(wish, Provider::Aws), &["Copying"]),
        (seen(wish, Provider::Azure), &["Completed"]),
        (seen(wish, Provider::Azure), &[]),
    ] {
        let after = status(&shop, &before, &seen, &Outcome::Applied, Timestamp::UNIX_EPOCH);
        assert_eq!(reasons(&shop, &before, &after), expected);
        before = after;
    }
}
