//! Brings one Shop to what its spec asks for: fetch, validate, build, apply, prune, observe, status. Does I/O: the
//! Kubernetes API and the shop's pods.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::controller::Action,
};
use rand::RngExt as _;
use serde_json::json;

use crate::{
    api::{Shop, ShopStatus},
    apply::ApplyError,
    build::{RenderError, build, render_config},
    conditions::Reason,
    constants::STATUS_FIELD_MANAGER,
    context::Context,
    errors::{chain, namespace_ends},
    events::events,
    metrics::Counter,
    observe::{ObserveError, observe},
    prune::{PruneError, prune},
    status::{self, Outcome, status},
    switching::switching,
    token::{Token, TokenError, ensure_token},
    validate::{ValidatedShop, ValidationError, validate},
};

/// How long all of a reconciliation may take.
const TIMEOUT: Duration = Duration::from_mins(1);
/// When to look again at a shop in which something is under way.
const UNSETTLED: Duration = Duration::from_secs(2);
/// When to look again at a shop in which something is wrong for long.
const TROUBLED: Duration = Duration::from_secs(10);
/// For how long a shop counts as under way, rather than in trouble.
const PATIENCE: Duration = Duration::from_mins(5);
/// When to look again at a shop that serves and of which nothing was heard.
const SETTLED: Duration = Duration::from_mins(1);

/// Why a Shop could not be brought to what its spec asks for.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// It took too long.
    #[error("nothing came of it within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The Shop could not be read.
    #[error("the Shop could not be read")]
    Fetch(#[source] Box<kube::Error>),
    /// The shop could not be changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The shop could not be looked at.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The status could not be written.
    #[error("the status of the Shop could not be written")]
    WriteStatus(#[source] Box<kube::Error>),
}

/// Why a shop could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The config.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// An object.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// What is no longer wanted.
    #[error(transparent)]
    Prune(#[from] PruneError),
}

/// Reconciles the Shop that `reference` names.
///
/// # Errors
/// The first step that failed; what was seen is in the Shop's status all the same, when that could be written.
pub async fn reconcile(
    reference: Arc<PartialObjectMeta<Shop>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let (namespace, name) = (reference.namespace().unwrap_or_default(), reference.name_any());
    let steps = tokio::time::timeout(TIMEOUT, reconcile_shop(&context, &namespace, &name));
    let action = steps.await.unwrap_or(Err(ReconcileError::Timeout))?;
    context.failures.clear(&namespace, &name);
    context.metrics.count(Counter::Reconciliations("success"));
    Ok(action)
}

/// What to do after a failure: try again, later each time.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the applier calls")]
pub fn on_error(reference: Arc<PartialObjectMeta<Shop>>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let (namespace, name) = (reference.namespace().unwrap_or_default(), reference.name_any());
    context.metrics.count(Counter::Reconciliations("failure"));
    let wait = context.failures.next_wait(&namespace, &name);
    tracing::warn!(namespace, name, error = chain(error), retry_seconds = wait.as_secs(), "a Shop is not reconciled");
    Action::requeue(jittered(wait))
}

async fn reconcile_shop(context: &Context, namespace: &str, name: &str) -> Result<Action, ReconcileError> {
    let Some(found) = fetch(context, namespace, name).await? else {
        context.applier.forget(namespace, name);
        context.failures.clear(namespace, name);
        return Ok(Action::await_change());
    };
    let before = found.status();
    let shop = match found.parse() {
        Ok(shop) => shop.at_home(&before),
        Err(error) => {
            let after = status::invalid(&before, found.generation(), &error.to_string(), Timestamp::now());
            report(context, &found, None, &before, after).await?;
            return Ok(Action::await_change());
        }
    };
    let changed = change(context, &shop, &before).await;
    if changed.as_ref().is_err_and(|error| namespace_ends(error)) {
        return Ok(Action::requeue(TROUBLED));
    }
    let token = changed.as_ref().ok().and_then(|changed| changed.token.as_ref());
    let seen = observe(&context.client, &context.pods, &shop, token).await?;
    let (outcome, now) = (outcome(&shop, &changed), Timestamp::now());
    let after = status(&shop, &before, &seen, &outcome, now);
    let wish = switching(&shop, &before, &seen, &after.shards, &outcome, now).wish;
    if let (Some(wish), Some(token)) = (wish, token) {
        context.pods.leave_wish(&seen.pods, token, wish).await;
    }
    let next = next_look(&before, &after);
    report(context, &found, Some(&shop), &before, after).await?;
    match changed?.refused {
        Some(refused) => Err(ChangeError::from(refused).into()),
        None => Ok(next),
    }
}

/// Why nothing can be built from a Shop.
#[derive(Debug, thiserror::Error)]
enum InvalidShop {
    #[error("the spec cannot be read: {0}; the definition of Shop in this cluster may be of another version")]
    Unreadable(#[from] serde_json::Error),
    #[error("the Shop cannot be built: {0}")]
    Invalid(#[from] ValidationError),
}

/// A Shop as it is stored.
struct Found(DynamicObject);

impl Found {
    /// The Shop in a form that can be built from, or what is wrong with it.
    fn parse(&self) -> Result<ValidatedShop, InvalidShop> {
        let spec = serde_json::from_value(self.0.data.get("spec").cloned().unwrap_or_default())?;
        Ok(validate(&Shop { metadata: self.0.metadata.clone(), spec, status: None })?)
    }

    /// Its last status. One that cannot be read is as good as none: it is made anew from what is seen.
    fn status(&self) -> ShopStatus {
        serde_json::from_value(self.0.data.get("status").cloned().unwrap_or_default()).unwrap_or_default()
    }

    fn generation(&self) -> Option<i64> {
        self.0.metadata.generation
    }
}

/// Reads the Shop from the API server itself, so that nothing is decided by an old one. None when it is gone or going.
async fn fetch(context: &Context, namespace: &str, name: &str) -> Result<Option<Found>, ReconcileError> {
    let found =
        shops(context, namespace).get_opt(name).await.map_err(|source| ReconcileError::Fetch(Box::new(source)))?;
    Ok(found.filter(|shop| shop.metadata.deletion_timestamp.is_none()).map(Found))
}

fn shops(context: &Context, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), namespace, &ApiResource::erase::<Shop>(&()))
}

/// What came of changing the cluster to what a Shop asks for.
#[derive(Default)]
struct Changed {
    /// The token for asking its pods; none when nothing was changed.
    token: Option<Token>,
    /// Why the volume is not as it was asked for, though all else is.
    refused: Option<ApplyError>,
}

/// Changes the cluster to what the Shop asks for, unless it is paused.
async fn change(context: &Context, shop: &ValidatedShop, before: &ShopStatus) -> Result<Changed, ChangeError> {
    if shop.paused {
        return Ok(Changed::default());
    }
    let token = ensure_token(&context.client, shop).await?;
    let config = render_config(shop, before.store_initialised != Some(true))?;
    let children = build(shop, &config, &context.settings);
    let refused = context.applier.apply(shop, &children).await?;
    prune(&context.client, &context.index, &context.metrics, shop, &children).await?;
    Ok(Changed { token: Some(token), refused })
}

fn outcome(shop: &ValidatedShop, changed: &Result<Changed, ChangeError>) -> Outcome {
    match changed {
        Ok(_) if shop.paused => Outcome::Paused,
        Ok(Changed { refused: Some(refused), .. }) => Outcome::AllButVolume(chain(refused)),
        Ok(_) => Outcome::Applied,
        Err(error) => {
            let reason = match error {
                ChangeError::Apply(ApplyError::NotOurs { .. }) | ChangeError::Token(TokenError::NotOurs(_)) => {
                    Reason::NameTaken
                }
                ChangeError::Apply(ApplyError::LeftBehind { .. }) | ChangeError::Token(TokenError::LeftBehind(_)) => {
                    Reason::EarlierShopLeaving
                }
                ChangeError::Token(_) | ChangeError::Render(_) | ChangeError::Apply(_) | ChangeError::Prune(_) => {
                    Reason::ApplyFailed
                }
            };
            Outcome::Failed(reason, chain(error))
        }
    }
}

/// When to look again, if nothing is heard of the shop until then.
fn next_look(before: &ShopStatus, after: &ShopStatus) -> Action {
    // The next look withdraws the permission to set up a store, has pods begin where the data is now, or has them leave a disk: better
    // done at once.
    let initialised_now = before.store_initialised != Some(true) && after.store_initialised == Some(true);
    let phase = |status: &ShopStatus| status.switch.as_ref().map(|switch| switch.phase);
    let moved_now = before.provider != after.provider || phase(before) != phase(after);
    let wait = if initialised_now || moved_now {
        Duration::ZERO
    } else if !status::unsettled(after) {
        SETTLED
    } else if status::changed_within(after, PATIENCE, Timestamp::now()) {
        UNSETTLED
    } else {
        TROUBLED
    };
    Action::requeue(jittered(wait))
}

/// Writes the status when it differs, and tells by events what changed.
async fn report(
    context: &Context,
    found: &Found,
    shop: Option<&ValidatedShop>,
    before: &ShopStatus,
    after: ShopStatus,
) -> Result<(), ReconcileError> {
    if *before == after {
        return Ok(());
    }
    let events = events(shop, before, &after);
    let name = found.0.name_any();
    let patch = json!({
        "apiVersion": Shop::api_version(&()),
        "kind": Shop::kind(&()),
        // With the UID it is never the status of a later Shop of this name.
        "metadata": { "name": name, "uid": found.0.metadata.uid },
        "status": after,
    });
    let shops = shops(context, &found.0.namespace().unwrap_or_default());
    let parameters = PatchParams::apply(STATUS_FIELD_MANAGER).force();
    match shops.patch_status(&name, &parameters, &Patch::Apply(&patch)).await {
        Ok(_) => {}
        // The Shop is gone, or another one has its name now: there is nobody to tell.
        Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => return Ok(()),
        Err(source) => return Err(ReconcileError::WriteStatus(Box::new(source))),
    }
    context.metrics.count(Counter::StatusWrites);
    let reference = found.0.object_ref(&ApiResource::erase::<Shop>(&()));
    for event in events {
        // An event is for people; the status says the same, so a lost one is only logged.
        if let Err(error) = context.recorder.publish(&event, &reference).await {
            tracing::warn!(name, error = chain(&error), "an event could not be published");
        }
    }
    Ok(())
}

/// Up to a tenth longer, so that shops do not all ask at the same moment.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + rand::rng().random_range(0.0..0.1))
}
