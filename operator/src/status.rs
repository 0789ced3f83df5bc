//! The status of a Shop as a function of what was seen of it. No I/O.

mod findings;

use jiff::{Timestamp, Unit};

use self::findings::Finding;
use crate::{
    api::{Condition, ConditionStatus, QueueStatus, ServiceType, ShardStatus, ShopStatus, SwitchStatus, TierStatus},
    conditions::{ConditionType, Reason},
    labels::Component,
    observation::{DeploymentState, Observation, Report},
    switching::{Switching, switching},
    validate::ValidatedShop,
};

/// The longest message a condition carries, in characters; what pods and clusters say is cut there.
const MAX_MESSAGE: usize = 1024;

/// What is said of a Shop that is left alone.
const PAUSED: &str = "spec.paused is true; nothing is changed or repaired until it is false";

/// How it went to bring the cluster to what the Shop asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is applied.
    Applied,
    /// It was left alone.
    Paused,
    /// All but a change of the volume is applied, which the cluster refuses: why, in words.
    AllButVolume(String),
    /// Something could not be applied: why, and in words.
    Failed(Reason, String),
}

impl Outcome {
    /// Whether the pods are being made what the Shop asks for.
    #[must_use]
    pub fn is_applied_to_pods(&self) -> bool {
        match self {
            Self::Applied | Self::AllButVolume(_) => true,
            Self::Paused | Self::Failed(..) => false,
        }
    }
}

/// The status of a Shop that nothing can be built from.
#[must_use]
pub fn invalid(previous: &ShopStatus, generation: Option<i64>, error: &str, now: Timestamp) -> ShopStatus {
    let mut conditions = Conditions::new(previous, generation, now);
    let message = format!("{error}; until then the shop stays as it is");
    conditions.set(ConditionType::Ready, false, Reason::InvalidSpec, &message);
    conditions.set(ConditionType::Degraded, true, Reason::InvalidSpec, &message);
    ShopStatus { observed_generation: generation, conditions: conditions.done(), ..previous.clone() }
}

/// The status of a Shop, from what was seen and how the last changes went.
#[must_use]
pub fn status(
    shop: &ValidatedShop,
    previous: &ShopStatus,
    seen: &Observation,
    outcome: &Outcome,
    now: Timestamp,
) -> ShopStatus {
    let paused = *outcome == Outcome::Paused;
    // A paused Shop's newest spec was not acted upon, so nothing is said about that generation.
    let generation = if paused { previous.observed_generation } else { Some(shop.generation) };
    let mut conditions = Conditions::new(previous, generation, now);

    let findings = findings::findings(shop, previous, seen, outcome);
    let available = set_available(&mut conditions, seen);
    let serves = Component::ALL.iter().all(|&component| tier_serves(seen, component));
    let was_ready = previous.conditions.iter().any(|condition| {
        condition.kind == ConditionType::Ready.as_str()
            && condition.status == ConditionStatus::True
            && condition.observed_generation == Some(shop.generation)
    });
    // A shop that serves what was asked for goes on being ready when the cluster merely refuses to be asked again.
    let applied = match outcome {
        Outcome::Applied => true,
        Outcome::Paused => previous.conditions.iter().any(|condition| {
            condition.kind == ConditionType::Ready.as_str() && condition.status == ConditionStatus::True
        }),
        Outcome::AllButVolume(_) | Outcome::Failed(..) => was_ready,
    };
    let progress = progress(seen);
    match (&progress, findings.first()) {
        _ if serves && applied && available => {
            conditions.set(ConditionType::Ready, true, Reason::Serving, "the shop serves");
        }
        (_, Some(finding)) => {
            conditions.set(ConditionType::Ready, false, finding.reason, &finding.message);
        }
        (_, None) if paused => {
            conditions.set(ConditionType::Ready, false, Reason::Paused, PAUSED);
        }
        (Some((_, message)), None) => {
            conditions.set(ConditionType::Ready, false, Reason::RollingOut, message);
        }
        (None, None) => {
            let message = "the pods are not ready yet";
            conditions.set(ConditionType::Ready, false, Reason::RollingOut, message);
        }
    }
    match progress {
        Some((Reason::RolloutStuck, message)) => {
            conditions.set(ConditionType::Progressing, false, Reason::RolloutStuck, &message);
        }
        Some((reason, message)) => conditions.set(ConditionType::Progressing, true, reason, &message),
        None => conditions.set(ConditionType::Progressing, false, Reason::Settled, "nothing is under way"),
    }
    let shards = shards(shop, previous, seen);
    let Switching { home, status: switch, .. } = switching(shop, previous, seen, &shards, outcome, now);
    let lacking = findings::lacking(seen).or_else(|| findings::unverified(switch.as_ref()?));
    match findings.iter().find(|finding| finding.degrades).or(lacking.as_ref()) {
        Some(Finding { reason, message, .. }) => {
            conditions.set(ConditionType::Degraded, true, *reason, message);
        }
        None => conditions.set(ConditionType::Degraded, false, Reason::AsExpected, "nothing is wrong"),
    }
    if let Some(SwitchStatus { phase, next_step, from, to, .. }) = &switch {
        let message = format!("from {from} to {to}: {next_step}");
        conditions.set(ConditionType::Switching, !phase.has_ended(), Reason::Switch(*phase), &message);
    }
    if paused {
        conditions.set(ConditionType::ReconciliationPaused, true, Reason::Paused, PAUSED);
    } else {
        let message = "spec.paused is false";
        conditions.set(ConditionType::ReconciliationPaused, false, Reason::Reconciling, message);
    }

    ShopStatus {
        observed_generation: generation,
        url: url(shop, seen),
        provider: Some(home),
        store_initialised: Some(store_initialised(shop, previous, seen)),
        conditions: conditions.done(),
        web: tier(seen, Component::Web),
        worker: tier(seen, Component::Worker),
        shards,
        queue: queue(seen).or(if all_workers_told(seen) { None } else { previous.queue }),
        switch,
    }
}

/// Whether the store is known to be set up for this Shop: once known, for ever.
#[must_use]
pub fn store_initialised(shop: &ValidatedShop, previous: &ShopStatus, seen: &Observation) -> bool {
    previous.store_initialised == Some(true)
        || seen.reports().any(|(_, report)| report.store_owner.as_deref() == Some(shop.uid.as_str()))
}

/// Whether anything is under way or wrong, so that it is worth to look again soon.
#[must_use]
pub fn unsettled(status: &ShopStatus) -> bool {
    let is = |kind: ConditionType, wanted| {
        status.conditions.iter().any(|condition| condition.kind == kind.as_str() && condition.status == wanted)
    };
    !is(ConditionType::Ready, ConditionStatus::True)
        || !is(ConditionType::Progressing, ConditionStatus::False)
        || !is(ConditionType::Degraded, ConditionStatus::False)
        || status.store_initialised != Some(true)
        || status.shards.iter().any(|shard| shard.owner.is_none())
        || status.switch.as_ref().is_some_and(|switch| !switch.phase.has_ended())
}

/// Whether any condition changed in the last `span`.
#[must_use]
pub fn changed_within(status: &ShopStatus, span: std::time::Duration, now: Timestamp) -> bool {
    status.conditions.iter().any(|condition| {
        let age = now.duration_since(condition.last_transition_time);
        age.unsigned_abs() < span
    })
}

fn set_available(conditions: &mut Conditions<'_>, seen: &Observation) -> bool {
    let serves = |component| seen.deployment(component).is_some_and(|deployment| deployment.available > 0);
    let (available, reason, message) = match (serves(Component::Web), serves(Component::Worker)) {
        (true, true) => (true, Reason::Serving, "web pods and workers serve"),
        (false, _) => (false, Reason::WebUnavailable, "no web pod serves"),
        (true, false) => (false, Reason::WorkersUnavailable, "no worker serves, so no order can be changed"),
    };
    conditions.set(ConditionType::Available, available, reason, message);
    available
}

/// Whether a tier serves what was last applied, and nothing older. How many pods do so is scaling.
fn tier_serves(seen: &Observation, component: Component) -> bool {
    seen.deployment(component).is_some_and(|deployment| deployment.rolled_out() && deployment.available > 0)
}

/// What is under way.
fn progress(seen: &Observation) -> Option<(Reason, String)> {
    let tiers = Component::ALL.map(|component| (component, seen.deployment(component)));
    for (component, deployment) in tiers {
        if let Some(stuck) = deployment.and_then(|deployment| deployment.stuck.as_ref()) {
            return Some((Reason::RolloutStuck, format!("the {} pods do not come up: {stuck}", component.as_str())));
        }
    }
    for (component, deployment) in tiers {
        let Some(deployment) = deployment else {
            return Some((Reason::RollingOut, format!("the {} pods are being created", component.as_str())));
        };
        if !deployment.rolled_out() || !tier_serves(seen, component) {
            let DeploymentState { updated, available, desired, .. } = deployment;
            let message = format!(
                "{} of {desired} {} pods are of this generation, {available} serve",
                updated,
                component.as_str()
            );
            return Some((Reason::RollingOut, message));
        }
    }
    for (component, deployment) in tiers {
        if let Some(DeploymentState { available, desired, .. }) =
            deployment.filter(|state| state.available < state.desired)
        {
            let message = format!("{available} of {desired} {} pods serve", component.as_str());
            return Some((Reason::Scaling, message));
        }
    }
    None
}

fn tier(seen: &Observation, component: Component) -> Option<TierStatus> {
    seen.deployment(component).map(|deployment| TierStatus { ready: deployment.ready, desired: deployment.desired })
}

fn all_workers_told(seen: &Observation) -> bool {
    seen.pods.iter().filter(|pod| pod.component == Component::Worker).all(|pod| matches!(pod.report, Report::Told(_)))
}

/// Who owns which shard, and where it lives. While a worker does not answer, what it was last seen to own stands.
pub(crate) fn shards(shop: &ValidatedShop, previous: &ShopStatus, seen: &Observation) -> Vec<ShardStatus> {
    let complete = all_workers_told(seen);
    (0..shop.shards)
        .map(|id| {
            let before = previous.shards.iter().find(|shard| shard.id == id);
            let home = before.map_or(shop.storage.home, |shard| shard.home);
            let owner = seen
                .reports()
                .flat_map(|(pod, report)| report.shards.iter().map(move |owned| (owned, pod)))
                .filter(|(owned, _)| owned.shard == id)
                .max_by_key(|(owned, _)| owned.epoch);
            match owner {
                Some((lease, pod)) => ShardStatus {
                    id,
                    owner: Some(pod.name.clone()),
                    epoch: Some(lease.epoch),
                    home: lease.home.map_or(home, Into::into),
                },
                None if complete => ShardStatus { id, owner: None, epoch: None, home },
                None => before.cloned().unwrap_or(ShardStatus { id, owner: None, epoch: None, home }),
            }
        })
        .collect()
}

fn queue(seen: &Observation) -> Option<QueueStatus> {
    seen.reports()
        .filter_map(|(_, report)| report.queue.as_ref())
        .map(|queue| QueueStatus { depth: queue.depth, dead_letters: queue.dead_letters })
        .max_by_key(|queue| (queue.depth, queue.dead_letters))
}

fn url(shop: &ValidatedShop, seen: &Observation) -> Option<String> {
    if let Some(ingress) = &shop.ingress {
        let scheme = if ingress.tls_secret.is_some() { "https" } else { "http" };
        return Some(format!("{scheme}://{}", ingress.host));
    }
    match shop.service {
        ServiceType::ClusterIp => Some(format!("http://{}.{}.svc", shop.names.shop(), shop.namespace)),
        ServiceType::LoadBalancer => {
            seen.service.load_balancer.as_deref().map(|host| format!("http://{}", bracketed(host)))
        }
        ServiceType::NodePort => {
            let node = seen
                .pods
                .iter()
                .filter(|pod| pod.component == Component::Web && !pod.terminating)
                .filter_map(|pod| pod.node_address.as_deref())
                .min()?;
            Some(format!("http://{}:{}", bracketed(node), seen.service.node_port?))
        }
    }
}

/// An IPv6 address stands in brackets in a URL.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The conditions of a status in the making; each keeps the time of its last change.
struct Conditions<'a> {
    previous: &'a ShopStatus,
    generation: Option<i64>,
    now: Timestamp,
    next: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    fn new(previous: &'a ShopStatus, generation: Option<i64>, now: Timestamp) -> Self {
        // Kubernetes writes such times in whole seconds.
        let now = now.round(Unit::Second).unwrap_or(now);
        Self { previous, generation, now, next: previous.conditions.clone() }
    }

    fn set(&mut self, kind: ConditionType, holds: bool, reason: Reason, message: &str) {
        let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
        let unchanged_since = self
            .previous
            .conditions
            .iter()
            .find(|condition| condition.kind == kind.as_str() && condition.status == status)
            .map(|condition| condition.last_transition_time);
        let condition = Condition {
            kind: kind.as_str().to_owned(),
            status,
            reason: reason.as_str().to_owned(),
            message: message.chars().take(MAX_MESSAGE).collect(),
            last_transition_time: unchanged_since.unwrap_or(self.now),
            observed_generation: self.generation,
        };
        match self.next.iter_mut().find(|earlier| earlier.kind == kind.as_str()) {
            Some(earlier) => *earlier = condition,
            None => self.next.push(condition),
        }
    }

    fn done(self) -> Vec<Condition> {
        self.next
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
