//! The types and reasons of a Shop's conditions, which people's scripts hold on to. No I/O.

use shop_contract::status::WaitingReason;

use crate::api::SwitchPhase;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// This generation of the shop serves, web and workers.
    Ready,
    /// The shop serves, of whichever generation.
    Available,
    /// The shop is on its way to what was asked for.
    Progressing,
    /// Something is wrong that needs somebody.
    Degraded,
    /// The shop's data is on its way to another provider.
    Switching,
    /// The operator was told to leave the shop alone.
    ReconciliationPaused,
}

impl ConditionType {
    /// Its name in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Available => "Available",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::Switching => "Switching",
            Self::ReconciliationPaused => "ReconciliationPaused",
        }
    }
}

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// All that should serve serves. (Ready, Available)
    Serving,
    /// New pods replace old ones, or the first ones start. (Ready, Progressing)
    RollingOut,
    /// There are not yet as many pods as there should be. (Progressing)
    Scaling,
    /// Nothing is under way. (Progressing)
    Settled,
    /// New pods have not come up for too long. (Ready, Progressing, Degraded)
    RolloutStuck,
    /// No web pod serves. (Available)
    WebUnavailable,
    /// No worker serves. (Available)
    WorkersUnavailable,
    /// The spec holds something that nothing can be built from. (Ready, Degraded)
    InvalidSpec,
    /// The cluster refused one of the shop's objects. (Ready, Degraded)
    ApplyFailed,
    /// An object of that name is there already and is not this Shop's. (Ready, Degraded)
    NameTaken,
    /// Objects of an earlier Shop of this name are still being deleted. (Ready)
    EarlierShopLeaving,
    /// The claim has no volume yet. (Ready)
    VolumePending,
    /// No node takes a pod. (Ready, Degraded)
    PodUnschedulable,
    /// A pod's image cannot be pulled. (Ready, Degraded)
    ImageUnavailable,
    /// A pod's program ends again and again, or cannot be started. (Ready, Degraded)
    PodCrashing,
    /// The operator does not reach pods that are ready. (Degraded)
    PodsUnreachable,
    /// A pod waits for something it named. (Ready, Degraded)
    Waiting(WaitingReason),
    /// A pod serves without something that it was told to use. (Degraded)
    Lacking,
    /// Orders are not as they were before everything moved. (Degraded)
    VerificationFailed,
    /// How far the data is on its way. (Switching)
    Switch(SwitchPhase),
    /// Nothing is wrong. (Degraded)
    AsExpected,
    /// `spec.paused` is set. (`ReconciliationPaused`)
    Paused,
    /// `spec.paused` is not set. (`ReconciliationPaused`)
    Reconciling,
}

impl Reason {
    /// Its name in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "Serving",
            Self::RollingOut => "RollingOut",
            Self::Scaling => "Scaling",
            Self::Settled => "Settled",
            Self::RolloutStuck => "RolloutStuck",
            Self::WebUnavailable => "WebUnavailable",
            Self::WorkersUnavailable => "WorkersUnavailable",
            Self::InvalidSpec => "InvalidSpec",
            Self::ApplyFailed => "ApplyFailed",
            Self::NameTaken => "NameTaken",
            Self::EarlierShopLeaving => "EarlierShopLeaving",
            Self::VolumePending => "VolumePending",
            Self::PodUnschedulable => "PodUnschedulable",
            Self::ImageUnavailable => "ImageUnavailable",
            Self::PodCrashing => "PodCrashing",
            Self::PodsUnreachable => "PodsUnreachable",
            Self::Lacking => "Lacking",
            Self::VerificationFailed => "VerificationFailed",
            Self::AsExpected => "AsExpected",
            Self::Paused => "Paused",
            Self::Reconciling => "Reconciling",
            Self::Switch(phase) => phase.as_str(),
            Self::Waiting(reason) => match reason {
                WaitingReason::Starting => "Starting",
                WaitingReason::StoreEmpty => "StoreEmpty",
                WaitingReason::StoreBelongsToAnother => "StoreBelongsToAnother",
                WaitingReason::StoreFormatNewer => "StoreFormatNewer",
                WaitingReason::StoreUnavailable => "StoreUnavailable",
                WaitingReason::CatalogueMissing => "CatalogueMissing",
                WaitingReason::ShardsUnowned => "ShardsUnowned",
                WaitingReason::ShuttingDown => "ShuttingDown",
            },
        }
    }
}
