//! The service accounts of a shop's pods, which may do nothing in the cluster; clouds know them by their annotations. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::ServiceAccount, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{component_name, owned};
use crate::{
    cloud::Credentials,
    constants::{ANNOTATION_AWS_ROLE, ANNOTATION_AZURE_CLIENT},
    labels::Component,
    validate::ValidatedShop,
};

pub(super) fn service_accounts(shop: &ValidatedShop) -> impl Iterator<Item = ServiceAccount> {
    [Component::Web, Component::Worker].into_iter().map(|component| ServiceAccount {
        metadata: ObjectMeta {
            annotations: identity(shop),
            ..owned(shop, component_name(shop, component), Some(component))
        },
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

/// By what a cloud's own admission webhook knows which identity to give to the pods.
fn identity(shop: &ValidatedShop) -> Option<BTreeMap<String, String>> {
    let (annotation, identity) = match &shop.storage.cloud()?.credentials {
        Credentials::AwsRole(role) => (ANNOTATION_AWS_ROLE, role),
        Credentials::AzureClient(client) => (ANNOTATION_AZURE_CLIENT, client),
        Credentials::AwsPodIdentity | Credentials::Secret(_) => return None,
    };
    Some(BTreeMap::from([(annotation.to_owned(), identity.clone())]))
}
