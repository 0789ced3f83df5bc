//! Watches Shops and their objects and reconciles what changed. Does I/O: the Kubernetes API.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount},
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt, applier, controller,
        reflector::{self, ObjectRef},
        utils::Backoff,
        watcher::{self, Event, watcher},
    },
};
use rand::RngExt as _;
use serde::de::DeserializeOwned;

use crate::{
    api::Shop,
    build::ChildKind,
    constants::LABEL_INSTANCE,
    context::Context,
    errors::chain,
    health::Health,
    labels::managed_query,
    metrics::Counter,
    reconcile::{on_error, reconcile},
};

/// How many Shops are worked on at the same time.
const AT_ONCE: u16 = 8;
/// Changes of one Shop within this time are worked on together.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long one watch request lasts, in seconds. A connection that died in silence is noticed within this and a few
/// seconds more, which keeps the operator from being blind for half a minute after its network has healed.
const WATCH_SECONDS: u32 = 18;

/// A Shop of which only the metadata is known.
type ShopMetadata = PartialObjectMeta<Shop>;

/// The kinds that are watched, by name.
pub fn watched_kinds() -> impl Iterator<Item = &'static str> {
    std::iter::once("Shop").chain(ChildKind::ALL.iter().map(|kind| kind.as_str()))
}

/// Watches and reconciles; ends only when the process does.
pub async fn run(context: Arc<Context>, health: Arc<Health>) {
    let (store, writer) = reflector::store();
    let shops = shop_changes(&context, &health, writer);
    let children = child_changes(&context, &health);
    let queue = stream::select(shops, children).map(Ok::<_, std::convert::Infallible>);
    let configuration = controller::Config::default().concurrency(AT_ONCE).debounce(DEBOUNCE);
    applier(|shop, context| Box::pin(reconcile(shop, context)), on_error, context, store, queue, configuration)
        .for_each(|result| async move {
            match result {
                Ok((shop, _)) => tracing::debug!(namespace = shop.namespace, name = shop.name, "reconciled"),
                // Failures are logged where they are handled; what is gone needs nothing.
                Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(..)) => {}
                Err(error) => tracing::error!(error = chain(&error), "the queue of Shops failed"),
            }
        })
        .await;
}

/// Shops whose spec or metadata changed; not those whose status did.
fn shop_changes(
    context: &Arc<Context>,
    health: &Arc<Health>,
    writer: reflector::store::Writer<ShopMetadata>,
) -> BoxStream<'static, ObjectRef<ShopMetadata>> {
    let api: Api<ShopMetadata> = Api::all(context.client.clone());
    let configuration = watcher::Config::default().timeout(WATCH_SECONDS);
    let events = watcher(api, configuration).backoff(WatchBackoff::default()).reflect(writer);
    let mut seen = std::collections::HashMap::new();
    let health = health.clone();
    let context = context.clone();
    let metrics = context.metrics.clone();
    let mut listing = std::collections::HashMap::new();
    watched("Shop", events, health, metrics)
        .filter_map(move |event| {
            let changed = match event {
                Event::Init => {
                    listing.clear();
                    None
                }
                Event::InitApply(shop) => {
                    listing.insert(shop.uid(), shop.metadata.generation);
                    Some(shop)
                }
                Event::InitDone => {
                    seen = std::mem::take(&mut listing);
                    None
                }
                Event::Apply(shop) => {
                    let generation = shop.metadata.generation;
                    let same = seen.insert(shop.uid(), generation).is_some_and(|earlier| earlier == generation);
                    (!same || shop.metadata.deletion_timestamp.is_some()).then_some(shop)
                }
                Event::Delete(shop) => {
                    seen.remove(&shop.uid());
                    let (namespace, name) = (shop.namespace().unwrap_or_default(), shop.name_any());
                    context.applier.forget(&namespace, &name);
                    context.failures.clear(&namespace, &name);
                    None
                }
            };
            let reference = changed.map(|shop| ObjectRef::from_obj(&shop));
            async move { reference }
        })
        .boxed()
}

/// The Shops whose objects changed.
fn child_changes(
    context: &Arc<Context>,
    health: &Arc<Health>,
) -> stream::SelectAll<BoxStream<'static, ObjectRef<ShopMetadata>>> {
    stream::select_all(ChildKind::ALL.iter().map(|&kind| match kind {
        ChildKind::ServiceAccount => changes::<ServiceAccount>(kind, context, health),
        ChildKind::ConfigMap => changes::<ConfigMap>(kind, context, health),
        ChildKind::PersistentVolumeClaim => changes::<PersistentVolumeClaim>(kind, context, health),
        ChildKind::NetworkPolicy => changes::<NetworkPolicy>(kind, context, health),
        ChildKind::Service => changes::<Service>(kind, context, health),
        ChildKind::Deployment => changes::<Deployment>(kind, context, health),
        ChildKind::HorizontalPodAutoscaler => changes::<HorizontalPodAutoscaler>(kind, context, health),
        ChildKind::PodDisruptionBudget => changes::<PodDisruptionBudget>(kind, context, health),
        ChildKind::Ingress => changes::<Ingress>(kind, context, health),
    }))
}

fn changes<K>(
    kind: ChildKind,
    context: &Arc<Context>,
    health: &Arc<Health>,
) -> BoxStream<'static, ObjectRef<ShopMetadata>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(context.client.clone());
    let configuration = watcher::Config::default().labels(&managed_query()).timeout(WATCH_SECONDS);
    let events = watcher(api, configuration).backoff(WatchBackoff::default());
    let index = context.index.clone();
    watched(kind.as_str(), events, health.clone(), context.metrics.clone())
        .filter_map(move |event| {
            let changed = index.observe(kind, &event);
            let shop = match &event {
                // The status of these is part of the Shop's; of the others only what somebody changed matters.
                Event::Apply(object) if changed || has_telling_status(kind) => shop_of(object),
                Event::Delete(object) | Event::InitApply(object) => shop_of(object),
                Event::Apply(_) | Event::Init | Event::InitDone => None,
            };
            async move { shop }
        })
        .boxed()
}

fn has_telling_status(kind: ChildKind) -> bool {
    match kind {
        ChildKind::Deployment | ChildKind::PersistentVolumeClaim | ChildKind::Service => true,
        ChildKind::ServiceAccount
        | ChildKind::ConfigMap
        | ChildKind::NetworkPolicy
        | ChildKind::HorizontalPodAutoscaler
        | ChildKind::PodDisruptionBudget
        | ChildKind::Ingress => false,
    }
}

/// The Shop that an object is part of, by its label: a claim has no owner.
fn shop_of<K: Resource>(object: &K) -> Option<ObjectRef<ShopMetadata>> {
    let name = object.labels().get(LABEL_INSTANCE)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// The events of one watch, with its failures counted and noted rather than passed on: they must hold back no other.
fn watched<K: Send + 'static>(
    kind: &'static str,
    events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
    health: Arc<Health>,
    metrics: Arc<crate::metrics::Metrics>,
) -> impl Stream<Item = Event<K>> + Send + 'static {
    events.filter_map(move |event| {
        let event = match event {
            Ok(event) => {
                health.seen(kind);
                if matches!(event, Event::InitDone) {
                    health.listed(kind);
                }
                Some(event)
            }
            Err(error) => {
                health.failed(kind, Instant::now());
                metrics.count(Counter::WatchErrors(kind));
                tracing::warn!(kind, error = chain(&error), "a watch failed and begins again");
                None
            }
        };
        async move { event }
    })
}

/// Asks for the API server's version, over and over, to know whether it answers.
pub async fn heartbeat(client: Client, health: Arc<Health>) {
    const EVERY: Duration = Duration::from_secs(5);
    loop {
        if let Ok(Ok(_)) = tokio::time::timeout(EVERY, client.apiserver_version()).await {
            health.answered(Instant::now());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Waits between the tries of one watch: 0.2 s, doubled up to 4 s, with jitter.
#[derive(Debug, Default)]
struct WatchBackoff {
    tries: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait =
            Duration::from_millis(200).saturating_mul(2_u32.saturating_pow(self.tries)).min(Duration::from_secs(4));
        self.tries = self.tries.saturating_add(1);
        Some(wait.mul_f64(rand::rng().random_range(0.75..1.0)))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.tries = 0;
    }
}
