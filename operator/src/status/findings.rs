//! What keeps a shop from serving, most telling first. No I/O.

use shop_contract::status::WaitingReason;

use super::Outcome;
use crate::{
    api::{ShopStatus, SwitchPhase, SwitchStatus, VerificationResult, VerificationStatus},
    conditions::Reason,
    observation::{Observation, Report, Trouble},
    validate::ValidatedShop,
};

/// One thing that keeps a shop from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// In one word.
    pub(super) reason: Reason,
    /// In words, and what to do.
    pub(super) message: String,
    /// Whether it needs somebody, rather than a moment.
    pub(super) degrades: bool,
}

/// Everything found, most telling first: what was refused, what pods say themselves, what Kubernetes says of them.
pub(super) fn findings(
    shop: &ValidatedShop,
    previous: &ShopStatus,
    seen: &Observation,
    outcome: &Outcome,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    match outcome {
        Outcome::Failed(reason, message) => {
            let degrades = *reason != Reason::EarlierShopLeaving;
            findings.push(Finding { reason: *reason, message: message.clone(), degrades });
        }
        Outcome::AllButVolume(message) => {
            findings.push(Finding { reason: Reason::ApplyFailed, message: message.clone(), degrades: true });
        }
        Outcome::Applied | Outcome::Paused => {}
    }
    findings.extend(waiting(seen));
    let unbound = !seen.claim_bound;
    for pod in seen.pods.iter().filter(|pod| !pod.terminating) {
        let Some((trouble, message)) = &pod.trouble else { continue };
        let finding = match trouble {
            Trouble::Unschedulable if unbound => Finding {
                reason: Reason::VolumePending,
                message: format!("the claim {} has no volume yet: {message}", shop.names.data()),
                // A new volume takes a moment; when it takes too long the roll-out counts as stuck.
                degrades: false,
            },
            Trouble::Unschedulable => Finding {
                reason: Reason::PodUnschedulable,
                message: match shop.storage.volume() {
                    None => format!("no node takes the pod {}: {message}", pod.name),
                    Some(_) => format!(
                        "no node takes the pod {}, which must run where the volume {} is: {message}",
                        pod.name,
                        shop.names.data()
                    ),
                },
                degrades: true,
            },
            Trouble::Image => Finding {
                reason: Reason::ImageUnavailable,
                message: format!("the pod {} waits for its image {message}", pod.name),
                degrades: true,
            },
            Trouble::Crashing => Finding {
                reason: Reason::PodCrashing,
                message: format!("the pod {} does not stay up: {message}; `kubectl logs` shows why", pod.name),
                degrades: true,
            },
        };
        findings.push(finding);
    }
    for (component, deployment) in [("web", &seen.web), ("worker", &seen.worker)] {
        if let Some(stuck) = deployment.as_ref().and_then(|deployment| deployment.stuck.as_ref()) {
            let message = format!("the {component} pods do not come up: {stuck}");
            findings.push(Finding { reason: Reason::RolloutStuck, message, degrades: true });
        }
    }
    findings.extend(unreachable(previous, seen));
    findings
}

/// What pods that are not ready say they wait for.
fn waiting(seen: &Observation) -> Vec<Finding> {
    let mut waiting: Vec<_> = seen
        .reports()
        .filter(|(pod, _)| !pod.ready && !pod.terminating)
        .flat_map(|(pod, report)| report.waiting.iter().map(move |waiting| (pod, waiting)))
        .filter_map(|(pod, waiting)| {
            let (rank, degrades) = weight(waiting.reason)?;
            let message = format!("the pod {} waits: {}", pod.name, waiting.message);
            Some((rank, Finding { reason: Reason::Waiting(waiting.reason), message, degrades }))
        })
        .collect();
    waiting.sort_by_key(|(rank, _)| *rank);
    waiting.into_iter().map(|(_, finding)| finding).collect()
}

/// How telling a reason is, 0 first, and whether it needs somebody; nothing for what passes by itself.
fn weight(reason: WaitingReason) -> Option<(u8, bool)> {
    match reason {
        WaitingReason::StoreBelongsToAnother => Some((0, true)),
        WaitingReason::StoreEmpty => Some((1, true)),
        WaitingReason::StoreFormatNewer => Some((2, true)),
        WaitingReason::StoreUnavailable => Some((3, true)),
        WaitingReason::CatalogueMissing => Some((4, false)),
        WaitingReason::ShardsUnowned => Some((5, false)),
        WaitingReason::Starting | WaitingReason::ShuttingDown => None,
    }
}

/// What a pod serves without although it was told to use it; it keeps no shop from serving.
pub(super) fn lacking(seen: &Observation) -> Option<Finding> {
    seen.reports().filter(|(pod, _)| !pod.terminating).find_map(|(pod, report)| {
        let message = format!("the pod {} serves, but {}", pod.name, report.lacks.first()?);
        Some(Finding { reason: Reason::Lacking, message, degrades: true })
    })
}

/// Orders that lost something when everything moved, which somebody has to see before what is in the other store goes.
pub(super) fn unverified(switch: &SwitchStatus) -> Option<Finding> {
    let SwitchStatus { verification, report_key, from, to, phase, .. } = switch;
    let VerificationStatus { orders, mismatches, .. } =
        verification.filter(|verification| verification.result == VerificationResult::Failed)?;
    let (left, home) = if *phase == SwitchPhase::Aborted { (to, from) } else { (from, to) };
    let report = report_key.as_deref().unwrap_or_default();
    Some(Finding {
        reason: Reason::VerificationFailed,
        message: format!(
            "{mismatches} of {orders} orders in {home} are not as they were in {left}; keep what is in {left}, and see the report {report} in {home}, which names some"
        ),
        degrades: true,
    })
}

/// Pods that serve but cannot be asked: as long as nobody told the operator that the store is set up, it must leave them
/// the permission to do so.
fn unreachable(previous: &ShopStatus, seen: &Observation) -> Option<Finding> {
    if previous.store_initialised == Some(true) {
        return None;
    }
    let mut asked = seen.pods.iter().filter(|pod| pod.ready && !matches!(pod.report, Report::NotAsked)).peekable();
    asked.peek()?;
    let failures: Vec<_> = asked
        .map(|pod| match &pod.report {
            Report::Failed(error) => Some((pod, error)),
            Report::NotAsked | Report::Told(_) => None,
        })
        .collect::<Option<_>>()?;
    let (pod, error) = failures.first()?;
    Some(Finding {
        reason: Reason::PodsUnreachable,
        message: format!(
            "the operator cannot ask the pod {} how it fares ({error}); let it reach the pods' port {}",
            pod.name,
            shop_contract::INTERNAL_PORT
        ),
        degrades: true,
    })
}
