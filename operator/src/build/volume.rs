//! The claim of the Embedded store's volume. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};

use super::kept;
use crate::validate::{ValidatedShop, VolumeClaim};

/// The claim has no owner: the data outlives the Shop.
pub(super) fn claim(shop: &ValidatedShop) -> Option<PersistentVolumeClaim> {
    let VolumeClaim { size, storage_class } = shop.storage.volume()?;
    Some(PersistentVolumeClaim {
        metadata: kept(shop, shop.names.data(), None),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".into(), size.to_kubernetes())])),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: storage_class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}
