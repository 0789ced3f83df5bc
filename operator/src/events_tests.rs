use jiff::Timestamp;

use super::*;
use crate::{
    fixtures::{all_serving, least, most, no_status, validated},
    observation::Observation,
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
