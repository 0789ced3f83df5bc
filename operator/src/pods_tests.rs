use super::*;
use crate::{fixtures::pod, observation::Trouble};

#[test]
fn workers_are_asked_and_web_pods_only_when_they_are_not_ready() {
    let mut waiting = pod("web", Component::Web);
    waiting.ready = false;
    assert!(worth_asking(&pod("worker", Component::Worker)));
    assert!(worth_asking(&waiting));
    assert!(!worth_asking(&pod("web", Component::Web)));
}

#[test]
fn pods_that_cannot_answer_are_not_asked() {
    let changes: [fn(&mut PodState); 3] = [
        |pod| pod.address = None,
        |pod| pod.terminating = true,
        |pod| pod.trouble = Some((Trouble::Crashing, String::new())),
    ];
    for change in changes {
        let mut pod = pod("worker", Component::Worker);
        change(&mut pod);
        assert!(!worth_asking(&pod), "{pod:?}");
    }
}
