//! The labels of every object of a Shop, and the selectors that find them. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::constants::{APPLICATION, LABEL_COMPONENT, LABEL_INSTANCE, LABEL_MANAGED_BY, LABEL_NAME, MANAGED_BY};

/// A part of a shop that runs in pods of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// Pages, API and search.
    Web,
    /// Order shards and queue.
    Worker,
}

impl Component {
    /// Every component.
    pub const ALL: [Self; 2] = [Self::Web, Self::Worker];

    /// Its name in labels, messages and command lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Worker => "worker",
        }
    }
}

/// Labels of an object of the Shop `instance`; of one component, or of the whole shop.
#[must_use]
pub fn labels(instance: &str, component: Option<Component>) -> BTreeMap<String, String> {
    let mut labels = selector_labels(instance, component);
    labels.insert(LABEL_MANAGED_BY.into(), MANAGED_BY.into());
    labels
}

/// Selects the pods of the Shop `instance`; of one component, or all.
#[must_use]
pub fn selector(instance: &str, component: Option<Component>) -> LabelSelector {
    LabelSelector { match_labels: Some(selector_labels(instance, component)), ..LabelSelector::default() }
}

/// The labels that pods are selected by. They never change, since a Deployment's selector cannot.
#[must_use]
pub fn selector_labels(instance: &str, component: Option<Component>) -> BTreeMap<String, String> {
    let mut labels =
        BTreeMap::from([(LABEL_NAME.into(), APPLICATION.into()), (LABEL_INSTANCE.into(), instance.into())]);
    if let Some(component) = component {
        labels.insert(LABEL_COMPONENT.into(), component.as_str().into());
    }
    labels
}

/// The label selector, as a query, of everything that the operator manages.
#[must_use]
pub fn managed_query() -> String {
    format!("{LABEL_NAME}={APPLICATION},{LABEL_MANAGED_BY}={MANAGED_BY}")
}

/// The label selector, as a query, of the pods of the Shop `instance`.
#[must_use]
pub fn pods_query(instance: &str) -> String {
    format!("{LABEL_NAME}={APPLICATION},{LABEL_INSTANCE}={instance}")
}
