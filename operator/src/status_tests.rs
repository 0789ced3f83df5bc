use std::time::Duration;

use shop_contract::status::{Waiting, WaitingReason};

use super::*;
use crate::{
    fixtures::{all_serving, least, most, no_status, pod, told, validated},
    observation::{PodState, ServiceState, Trouble},
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

fn condition(status: &ShopStatus, kind: ConditionType) -> &Condition {
    status.conditions.iter().find(|condition| condition.kind == kind.as_str()).expect("the condition")
}

/// `True Serving` and so on.
fn brief(status: &ShopStatus, kind: ConditionType) -> String {
    let condition = condition(status, kind);
    format!("{:?} {}", condition.status, condition.reason)
}

fn status_of(seen: &Observation) -> ShopStatus {
    status(&validated(least()), &no_status(), seen, &Outcome::Applied, at(100))
}

/// A pod that waits and says why.
fn waiting(reason: WaitingReason, message: &str) -> PodState {
    let mut report = told(&[]);
    report.store_owner = None;
    report.waiting = vec![Waiting { reason, message: message.into() }];
    let mut pod = pod("corner-worker-b", Component::Worker);
    pod.ready = false;
    pod.report = Report::Told(Box::new(report));
    pod
}

/// A shop of which no pod serves yet.
fn none_serving() -> Observation {
    let mut seen = all_serving();
    for deployment in [&mut seen.web, &mut seen.worker].into_iter().flatten() {
        deployment.ready = 0;
        deployment.available = 0;
    }
    seen.pods.clear();
    seen
}

#[test]
fn a_shop_that_serves_looks_like_this() {
    insta::assert_yaml_snapshot!(status_of(&all_serving()));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn conditions_follow_what_is_seen() {
    use ConditionType::{Available, Degraded, Progressing, Ready};

    type Case = (&'static str, fn(&mut Observation), [&'static str; 4]);
    let cases: [Case; 17] = [
        ("all serves", |_| (), ["True Serving", "True Serving", "False Settled", "False AsExpected"]),
        (
            "nothing is there yet",
            |seen| *seen = Observation::default(),
            ["False RollingOut", "False WebUnavailable", "True RollingOut", "False AsExpected"],
        ),
        (
            "the first pods start",
            |seen| *seen = none_serving(),
            ["False RollingOut", "False WebUnavailable", "True RollingOut", "False AsExpected"],
        ),
        (
            "the Deployment's controller has not seen the change",
            |seen| seen.web.as_mut().expect("web").current = false,
            ["False RollingOut", "True Serving", "True RollingOut", "False AsExpected"],
        ),
        (
            "new web pods replace old ones",
            |seen| seen.web.as_mut().expect("web").updated = 1,
            ["False RollingOut", "True Serving", "True RollingOut", "False AsExpected"],
        ),
        (
            "the autoscaler adds web pods",
            |seen| {
                let web = seen.web.as_mut().expect("web");
                (web.desired, web.replicas, web.updated) = (5, 5, 5);
            },
            ["True Serving", "True Serving", "True Scaling", "False AsExpected"],
        ),
        (
            "the autoscaler has yet to make the second of two web pods",
            |seen| {
                let web = seen.web.as_mut().expect("web");
                (web.desired, web.replicas, web.updated, web.available) = (2, 2, 2, 1);
            },
            ["True Serving", "True Serving", "True Scaling", "False AsExpected"],
        ),
        (
            "no worker serves",
            |seen| seen.worker.as_mut().expect("worker").available = 0,
            ["False RollingOut", "False WorkersUnavailable", "True RollingOut", "False AsExpected"],
        ),
        (
            "a pod waits in a shop that serves",
            |seen| seen.pods.push(waiting(WaitingReason::ShardsUnowned, "shard 3 has no owner")),
            ["True Serving", "True Serving", "False Settled", "False AsExpected"],
        ),
        (
            "a pod serves without the queue of another cloud",
            |seen| {
                let mut report = told(&[0, 1, 2, 3]);
                report.lacks.push("the queue of Azure is no way out of a partition".to_owned());
                seen.pods.last_mut().expect("a worker").report = Report::Told(Box::new(report));
            },
            ["True Serving", "True Serving", "False Settled", "True Lacking"],
        ),
        (
            "the store is another's",
            |seen| {
                *seen = none_serving();
                seen.pods.push(waiting(WaitingReason::Starting, "it has only begun"));
                seen.pods.push(waiting(WaitingReason::StoreBelongsToAnother, "the store is that of shop x"));
            },
            ["False StoreBelongsToAnother", "False WebUnavailable", "True RollingOut", "True StoreBelongsToAnother"],
        ),
        (
            "the store was emptied",
            |seen| {
                *seen = none_serving();
                seen.pods.push(waiting(WaitingReason::ShardsUnowned, "shard 3 has no owner"));
                seen.pods.push(waiting(WaitingReason::StoreEmpty, "the owner marker is gone"));
            },
            ["False StoreEmpty", "False WebUnavailable", "True RollingOut", "True StoreEmpty"],
        ),
        (
            "there is no catalogue yet",
            |seen| {
                *seen = none_serving();
                seen.pods.push(waiting(WaitingReason::CatalogueMissing, "import one"));
            },
            ["False CatalogueMissing", "False WebUnavailable", "True RollingOut", "False AsExpected"],
        ),
        (
            "the claim has no volume",
            |seen| {
                *seen = none_serving();
                seen.claim_bound = false;
                let mut pod = pod("corner-web-c", Component::Web);
                (pod.ready, pod.trouble) = (false, Some((Trouble::Unschedulable, "unbound claims".into())));
                seen.pods.push(pod);
            },
            ["False VolumePending", "False WebUnavailable", "True RollingOut", "False AsExpected"],
        ),
        (
            "an image is missing during a roll-out",
            |seen| {
                let web = seen.web.as_mut().expect("web");
                (web.replicas, web.updated) = (3, 1);
                let mut pod = pod("corner-web-c", Component::Web);
                (pod.ready, pod.trouble) = (false, Some((Trouble::Image, "x:1: not found".into())));
                seen.pods.push(pod);
            },
            ["False ImageUnavailable", "True Serving", "True RollingOut", "True ImageUnavailable"],
        ),
        (
            "a roll-out is stuck",
            |seen| {
                let web = seen.web.as_mut().expect("web");
                (web.replicas, web.updated) = (3, 1);
                web.stuck = Some("the ReplicaSet has timed out progressing".into());
            },
            ["False RolloutStuck", "True Serving", "False RolloutStuck", "True RolloutStuck"],
        ),
        (
            "the pods cannot be asked",
            |seen| {
                for pod in &mut seen.pods {
                    pod.report = Report::Failed("no connection".into());
                }
            },
            ["True Serving", "True Serving", "False Settled", "True PodsUnreachable"],
        ),
    ];
    for (name, change, wanted) in cases {
        let mut seen = all_serving();
        change(&mut seen);
        let status = status_of(&seen);
        let found = [Ready, Available, Progressing, Degraded].map(|kind| brief(&status, kind));
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn what_the_cluster_refuses_is_a_reason_not_to_be_ready() {
    let failed = Outcome::Failed(Reason::NameTaken, "Service corner exists and is not this Shop's".into());
    let status = status(&validated(least()), &no_status(), &all_serving(), &failed, at(100));
    assert_eq!(brief(&status, ConditionType::Ready), "False NameTaken");
    assert_eq!(brief(&status, ConditionType::Degraded), "True NameTaken");
}

#[test]
fn what_an_earlier_shop_of_this_name_leaves_behind_is_waited_for() {
    let failed = Outcome::Failed(Reason::EarlierShopLeaving, "Service corner is still being deleted".into());
    let status = status(&validated(least()), &no_status(), &Observation::default(), &failed, at(100));
    assert_eq!(brief(&status, ConditionType::Ready), "False EarlierShopLeaving");
    assert_eq!(brief(&status, ConditionType::Degraded), "False AsExpected");
}

#[test]
fn a_shop_that_serves_stays_ready_when_the_cluster_refuses_to_be_asked_again() {
    let shop = validated(least());
    let before = status(&shop, &no_status(), &all_serving(), &Outcome::Applied, at(100));
    let failed = Outcome::Failed(Reason::ApplyFailed, "Deployment corner-web could not be applied".into());
    let after = status(&shop, &before, &all_serving(), &failed, at(200));
    assert_eq!(brief(&after, ConditionType::Ready), "True Serving");
    assert_eq!(brief(&after, ConditionType::Degraded), "True ApplyFailed");
}

#[test]
fn a_status_of_the_same_observation_is_the_same_later() {
    let shop = validated(least());
    let before = status(&shop, &no_status(), &all_serving(), &Outcome::Applied, at(100));
    assert_eq!(status(&shop, &before, &all_serving(), &Outcome::Applied, at(999)), before);
}

#[test]
fn a_condition_keeps_the_time_of_its_last_change() {
    let shop = validated(least());
    let first = status(&shop, &no_status(), &none_serving(), &Outcome::Applied, at(100));
    let second = status(&shop, &first, &all_serving(), &Outcome::Applied, at(200));
    assert_eq!(condition(&second, ConditionType::Ready).last_transition_time, at(200));
    assert_eq!(condition(&second, ConditionType::Degraded).last_transition_time, at(100));
}

#[test]
fn a_paused_shop_says_so_and_nothing_of_a_generation_that_was_not_acted_upon() {
    let mut shop = validated(least());
    let before = status(&shop, &no_status(), &all_serving(), &Outcome::Applied, at(100));
    (shop.generation, shop.paused) = (4, true);
    let paused = status(&shop, &before, &all_serving(), &Outcome::Paused, at(200));
    assert_eq!(brief(&paused, ConditionType::ReconciliationPaused), "True Paused");
    assert_eq!(brief(&paused, ConditionType::Ready), "True Serving");
    assert_eq!(paused.observed_generation, Some(3));
    let broken = status(&shop, &paused, &none_serving(), &Outcome::Paused, at(300));
    assert_eq!(brief(&broken, ConditionType::Ready), "False Paused");
}

#[test]
fn a_spec_that_cannot_be_built_keeps_what_else_is_known() {
    let before = status_of(&all_serving());
    let after = invalid(&before, Some(4), "spec.orders.shards is 0; write 1 to 64", at(200));
    assert_eq!(brief(&after, ConditionType::Ready), "False InvalidSpec");
    assert_eq!(after.observed_generation, Some(4));
    assert_eq!((after.web, after.shards), (before.web, before.shards));
}

#[test]
fn a_store_that_was_once_set_up_for_this_shop_counts_as_set_up_for_ever() {
    let shop = validated(least());
    assert!(!store_initialised(&shop, &no_status(), &none_serving()));
    let before = status_of(&all_serving());
    assert_eq!(before.store_initialised, Some(true));
    assert!(store_initialised(&shop, &before, &none_serving()));

    let mut foreign = all_serving();
    for pod in &mut foreign.pods {
        if let Report::Told(report) = &mut pod.report {
            report.store_owner = Some("another".into());
        }
    }
    assert!(!store_initialised(&shop, &no_status(), &foreign));
}

#[test]
fn the_owner_of_a_shard_is_the_one_with_the_highest_epoch_and_stands_while_workers_are_silent() {
    let shop = validated(least());
    let mut seen = all_serving();
    let mut newer = told(&[2]);
    newer.shards[0].epoch = 9;
    let mut other = pod("corner-worker-b", Component::Worker);
    other.report = Report::Told(Box::new(newer));
    seen.pods.push(other);
    let before = status(&shop, &no_status(), &seen, &Outcome::Applied, at(100));
    let owner = |status: &ShopStatus, id: usize| (status.shards[id].owner.clone(), status.shards[id].epoch);
    assert_eq!(owner(&before, 2), (Some("corner-worker-b".into()), Some(9)));
    assert_eq!(owner(&before, 1), (Some("corner-worker-a".into()), Some(7)));

    for pod in &mut seen.pods {
        pod.report = Report::Failed("no answer".into());
    }
    let silent = status(&shop, &before, &seen, &Outcome::Applied, at(200));
    assert_eq!((silent.shards, silent.queue), (before.shards.clone(), before.queue));

    seen.pods.clear();
    let gone = status(&shop, &before, &seen, &Outcome::Applied, at(300));
    assert_eq!(owner(&gone, 2), (None, None));
}

#[test]
fn the_url_is_that_of_the_way_the_shop_is_exposed() {
    let url_of = |expose: serde_json::Value, service: ServiceState| {
        let mut spec = least();
        spec["expose"] = expose;
        let mut seen = all_serving();
        seen.service = service;
        url(&validated(spec), &seen)
    };
    let none = ServiceState::default;
    let typed = |kind: &str| serde_json::json!({ "service": { "type": kind } });
    assert_eq!(url_of(typed("ClusterIP"), none()).as_deref(), Some("http://corner.shops.svc"));
    assert_eq!(url_of(typed("LoadBalancer"), none()), None);
    let balanced = ServiceState { node_port: None, load_balancer: Some("2001:db8::1".into()) };
    assert_eq!(url_of(typed("LoadBalancer"), balanced).as_deref(), Some("http://[2001:db8::1]"));
    let port = ServiceState { node_port: Some(30080), load_balancer: None };
    assert_eq!(url_of(typed("NodePort"), port).as_deref(), Some("http://198.18.0.1:30080"));
    assert_eq!(url(&validated(most()), &all_serving()).as_deref(), Some("https://shop.example.org"));
}

#[test]
fn a_shop_is_settled_when_it_serves_and_every_shard_has_an_owner() {
    let settled = status_of(&all_serving());
    assert!(!unsettled(&settled));
    let mut ownerless = settled.clone();
    ownerless.shards[0].owner = None;
    assert!(unsettled(&ownerless));
    assert!(unsettled(&status_of(&none_serving())));
    assert!(changed_within(&settled, Duration::from_mins(1), at(159)));
    assert!(!changed_within(&settled, Duration::from_mins(1), at(160)));
}

#[test]
fn what_pods_say_is_cut_to_what_a_condition_holds() {
    let mut seen = none_serving();
    seen.pods.push(waiting(WaitingReason::StoreUnavailable, &"ä".repeat(10_000)));
    let status = status_of(&seen);
    assert_eq!(condition(&status, ConditionType::Ready).message.chars().count(), MAX_MESSAGE);
}
