use serde_json::json;

use super::*;
use crate::fixtures::{least, most, on_aws, on_azure, shop};

#[test]
fn names_that_a_service_and_its_pods_can_carry_are_taken() {
    for name in ["a", "corner", "shop-2", &"a".repeat(39)] {
        assert!(ShopName::parse(name).is_ok(), "{name}");
    }
}

#[test]
fn names_that_they_cannot_carry_are_refused() {
    for name in ["", "1shop", "-shop", "shop-", "Shop", "shop.example", "shöp", &"a".repeat(40)] {
        assert_eq!(ShopName::parse(name), Err(ValidationError::Name(name.into())), "{name}");
    }
}

#[test]
fn the_least_and_the_most_that_a_shop_can_say_are_valid() {
    for spec in [least(), most(), on_aws(), on_azure()] {
        validate(&shop(spec)).expect("valid");
    }
}

#[test]
fn workers_without_a_maximum_are_as_many_as_there_are_shards_up_to_four() {
    let maximum = |shards: u16, minimum: u16| {
        let mut spec = least();
        spec["orders"] = json!({ "shards": shards });
        spec["worker"] = json!({ "autoscaling": { "minReplicas": minimum } });
        validate(&shop(spec)).expect("valid").worker.replicas.maximum
    };
    assert_eq!(maximum(1, 1), 1);
    assert_eq!(maximum(3, 1), 3);
    assert_eq!(maximum(8, 1), 4);
    assert_eq!(maximum(8, 6), 6);
}

#[test]
fn what_was_stored_before_a_rule_existed_is_refused_by_field() {
    let cases = [
        (json!({ "orders": { "shards": 0 } }), "spec.orders.shards"),
        (json!({ "orders": { "shards": 65 } }), "spec.orders.shards"),
        (
            json!({ "web": { "autoscaling": { "minReplicas": 5, "maxReplicas": 4 } } }),
            "spec.web.autoscaling.minReplicas",
        ),
        (json!({ "worker": { "autoscaling": { "maxReplicas": 5 } } }), "spec.worker.autoscaling.maxReplicas"),
        (json!({ "worker": { "autoscaling": { "minReplicas": 0 } } }), "spec.worker.autoscaling.minReplicas"),
        (json!({ "expose": { "ingress": { "host": "http://x" } } }), "spec.expose.ingress.host"),
    ];
    for (part, wanted) in cases {
        let mut spec = least();
        spec.as_object_mut().expect("an object").extend(part.as_object().expect("an object").clone());
        match validate(&shop(spec)) {
            Err(ValidationError::Field { field, .. }) => assert_eq!(field, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
}
