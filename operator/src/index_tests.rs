use k8s_openapi::{
    api::core::v1::ConfigMap,
    apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference},
};
use kube::Resource as _;

use super::*;

const KIND: ChildKind = ChildKind::ConfigMap;

fn config_map(name: &str) -> ConfigMap {
    let owner = OwnerReference { uid: "shop".into(), controller: Some(true), ..OwnerReference::default() };
    let mut object = ConfigMap::default();
    *object.meta_mut() = ObjectMeta {
        name: Some(name.into()),
        namespace: Some("shops".into()),
        uid: Some(format!("uid of {name}")),
        owner_references: Some(vec![owner]),
        managed_fields: Some(vec![fields("cloudshop-operator", "")]),
        ..ObjectMeta::default()
    };
    object
}

fn fields(manager: &str, subresource: &str) -> ManagedFieldsEntry {
    ManagedFieldsEntry {
        manager: Some(manager.into()),
        subresource: Some(subresource.into()),
        ..ManagedFieldsEntry::default()
    }
}

fn names(index: &Index) -> Vec<String> {
    index.owned_by("shops", "shop").into_iter().map(|(key, _)| key.name).collect()
}

#[test]
fn a_new_listing_replaces_the_old_one_when_it_is_complete() {
    let index = Index::default();
    for event in [Event::Init, Event::InitApply(config_map("a")), Event::InitApply(config_map("b")), Event::InitDone] {
        index.observe(KIND, &event);
    }
    assert_eq!(names(&index), ["a", "b"]);
    index.observe::<ConfigMap>(KIND, &Event::Init);
    index.observe(KIND, &Event::InitApply(config_map("c")));
    assert_eq!(names(&index), ["a", "b"], "not complete yet");
    index.observe::<ConfigMap>(KIND, &Event::InitDone);
    assert_eq!(names(&index), ["c"]);
}

#[test]
fn what_is_gone_or_another_shops_is_not_found() {
    let index = Index::default();
    index.observe(KIND, &Event::Apply(config_map("a")));
    index.observe(KIND, &Event::Apply(config_map("b")));
    index.observe(KIND, &Event::Delete(config_map("a")));
    assert_eq!(names(&index), ["b"]);
    assert!(index.owned_by("elsewhere", "shop").is_empty());
    assert!(index.owned_by("shops", "another").is_empty());
}

#[test]
fn a_change_by_anybody_is_noticed_and_one_of_the_status_is_not() {
    let index = Index::default();
    let object = config_map("a");
    assert!(index.observe(KIND, &Event::Apply(object.clone())));
    assert!(!index.observe(KIND, &Event::Apply(object.clone())));

    let mut with_status = object.clone();
    with_status.metadata.resource_version = Some("2".into());
    with_status.metadata.managed_fields.as_mut().expect("fields").push(fields("kube-controller-manager", "status"));
    assert!(!index.observe(KIND, &Event::Apply(with_status)));

    let changes: [fn(&mut ObjectMeta); 4] = [
        |metadata| metadata.managed_fields.as_mut().expect("fields").push(fields("kubectl-edit", "")),
        |metadata| metadata.labels = Some([("a".to_owned(), "b".to_owned())].into()),
        |metadata| metadata.owner_references = None,
        |metadata| metadata.generation = Some(2),
    ];
    for change in changes {
        index.observe(KIND, &Event::Apply(object.clone()));
        let mut other = object.clone();
        change(&mut other.metadata);
        assert!(index.observe(KIND, &Event::Apply(other)));
    }
}
