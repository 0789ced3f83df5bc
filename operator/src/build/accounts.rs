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

/// By what the clouds' own admission webhooks know which identities to give to the pods.
fn identity(shop: &ValidatedShop) -> Option<BTreeMap<String, String>> {
    let annotations: BTreeMap<_, _> = shop
        .storage
        .clouds()
        .filter_map(|cloud| match &cloud.credentials {
            Credentials::AwsRole(role) => Some((ANNOTATION_AWS_ROLE.to_owned(), role.clone())),
            Credentials::AzureClient(client) => Some((ANNOTATION_AZURE_CLIENT.to_owned(), client.clone())),
            Credentials::AwsPodIdentity | Credentials::Secret(_) => None,
        })
        .collect();
    (!annotations.is_empty()).then_some(annotations)
}
