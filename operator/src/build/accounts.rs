//! The service accounts of a shop's pods, which may do nothing in the cluster. No I/O.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::{component_name, owned};
use crate::{labels::Component, validate::ValidatedShop};

pub(super) fn service_accounts(shop: &ValidatedShop) -> impl Iterator<Item = ServiceAccount> {
    [Component::Web, Component::Worker].into_iter().map(|component| ServiceAccount {
        metadata: owned(shop, component_name(shop, component), Some(component)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}
