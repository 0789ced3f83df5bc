//! Customers of a simulated shop: each buys order after order by any web pod, asks again what it got no answer to, writes
//! everything into a ledger, and is never shown an order without what it was told is in it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use shop_contract::ledger::{Entry, Operation, Outcome};
use tokio::time::{sleep, timeout};

use super::network::{Network, Place};
use crate::{
    domain::{Command, Currency, Order, OrderId, Request},
    orders::{
        Done, OrderError, OrderGateway, Pending, View,
        test_workers::{add, key},
    },
};

/// Web pods.
pub(super) const WEBS: u8 = 2;

/// Customers at once.
const CUSTOMERS: u64 = 12;

/// Longest that a customer waits for an answer before asking again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Times that a customer asks for the same before it gives up.
const TRIES: u32 = 4;

/// Products.
const SKUS: [&str; 4] = ["tea", "jam", "ink", "oil"];

/// The gateways of web pods that are ready, by their numbers.
pub(super) type Gateways = Arc<Mutex<BTreeMap<u8, Arc<OrderGateway>>>>;

/// What customers share.
pub(super) struct Market {
    pub(super) network: Network,
    pub(super) gateways: Gateways,
    pub(super) ledger: Mutex<Vec<Entry>>,
    pub(super) commands: AtomicU64,
    pub(super) wrong: Mutex<Vec<String>>,
    /// Whether customers go home.
    pub(super) closing: AtomicBool,
    /// Customers who have not yet.
    pub(super) present: AtomicU64,
}

impl Market {
    pub(super) fn new(network: Network) -> Arc<Self> {
        Arc::new(Self {
            network,
            gateways: Gateways::default(),
            ledger: Mutex::default(),
            commands: AtomicU64::new(0),
            wrong: Mutex::default(),
            closing: AtomicBool::new(false),
            present: AtomicU64::new(CUSTOMERS),
        })
    }

    /// Lets all customers shop until the market closes.
    pub(super) async fn open(self: Arc<Self>) {
        let customers = (0..CUSTOMERS).map(|_| async {
            while !self.closing.load(Ordering::Relaxed) {
                self.buy().await;
            }
            self.present.fetch_sub(1, Ordering::Relaxed);
        });
        futures::future::join_all(customers).await;
    }

    async fn buy(&self) {
        let mut cart = Cart::default();
        self.think().await;
        let Some(id) = self.create(&mut cart, Command::Create { currency: Currency::EUR }).await else { return };
        for _ in 0..=self.network.draw(8) {
            self.think().await;
            if self.network.draw(5) == 0 {
                self.read(id, &mut cart).await;
                continue;
            }
            let sku = *self.network.choose(&SKUS);
            let quantity = u32::try_from(1 + self.network.draw(3)).expect("few");
            self.change(id, &mut cart, add(sku, quantity), Some((sku, quantity))).await;
        }
        if self.network.draw(3) > 0 {
            self.think().await;
            self.change(id, &mut cart, Request::new(key(), Command::Submit), None).await;
            self.read(id, &mut cart).await;
        }
    }

    async fn think(&self) {
        sleep(Duration::from_millis(5 + self.network.draw(100))).await;
    }

    async fn create(&self, cart: &mut Cart, command: Command) -> Option<OrderId> {
        let key = key();
        let id = self.gateways.lock().unwrap_or_else(PoisonError::into_inner).values().next()?.order_id(&key);
        (self.insist(id, cart, Request::new(key, command), None).await == Outcome::Acked).then_some(id)
    }

    async fn change(&self, id: OrderId, cart: &mut Cart, request: Request, item: Option<(&'static str, u32)>) {
        let outcome = self.insist(id, cart, request, item).await;
        let Some((sku, quantity)) = item else { return };
        let line = cart.lines.entry(sku).or_default();
        match outcome {
            Outcome::Acked => line.0 += quantity,
            Outcome::Unknown => line.1 += quantity,
            Outcome::Refused => {}
        }
    }

    /// Asks until there is an answer that is sure, by whichever web pod.
    async fn insist(&self, id: OrderId, cart: &mut Cart, request: Request, item: Option<(&str, u32)>) -> Outcome {
        let mut unknown = false;
        for _ in 0..TRIES {
            let answer = self.ask(id, &request, &cart.pending).await;
            let (outcome, durability) = match answer {
                Some(Ok(Done::Persisted(view))) => {
                    cart.pending = Pending::default();
                    self.check(id, cart, &view, item);
                    (Outcome::Acked, "persisted")
                }
                Some(Ok(Done::Queued { pending, .. })) => {
                    cart.pending = pending;
                    (Outcome::Acked, "queue")
                }
                Some(Err(OrderError::OutcomeUnknown { .. })) | None => (Outcome::Unknown, ""),
                Some(Err(_)) => (Outcome::Refused, ""),
            };
            self.note(id, &request, item, outcome, durability);
            match outcome {
                Outcome::Acked => return outcome,
                Outcome::Unknown => unknown = true,
                Outcome::Refused => {}
            }
            sleep(Duration::from_millis(50 + self.network.draw(400))).await;
        }
        if unknown { Outcome::Unknown } else { Outcome::Refused }
    }

    async fn ask(&self, id: OrderId, request: &Request, pending: &Pending) -> Option<Result<Done, OrderError>> {
        let web = u8::try_from(self.network.draw(WEBS.into())).expect("few");
        let work = || {
            let (gateways, request, pending) = (Arc::clone(&self.gateways), request.clone(), pending.clone());
            async move {
                let Some(gateway) = gateway(&gateways, web) else { return Err(OrderError::NotReady) };
                gateway.execute(id, request, pending).await
            }
            .boxed()
        };
        let asked = self.network.ask((Place::Customers, Place::Web(web)), "command", true, work);
        timeout(PATIENCE, asked).await.ok()?.ok()
    }

    async fn read(&self, id: OrderId, cart: &mut Cart) {
        let web = u8::try_from(self.network.draw(WEBS.into())).expect("few");
        let work = || {
            let (gateways, pending) = (Arc::clone(&self.gateways), cart.pending.clone());
            async move { gateway(&gateways, web)?.read(id, &pending).await.ok() }.boxed()
        };
        let asked = self.network.ask((Place::Customers, Place::Web(web)), "read", true, work);
        if let Ok(Ok(Some(view))) = timeout(PATIENCE, asked).await
            && !view.stale
        {
            cart.pending = Pending::default();
            self.check(id, cart, &view, None);
        }
    }

    /// What is no stale state holds all that was acknowledged, once, and is no older than what was seen before. `item` is
    /// what the view answers, and is in it.
    fn check(&self, id: OrderId, cart: &mut Cart, view: &View, item: Option<(&str, u32)>) {
        let found = |sku: &str| quantity_of(&view.order, sku);
        for sku in SKUS {
            let (acknowledged, unknown) = cart.lines.get(sku).copied().unwrap_or_default();
            let now = item.filter(|(named, _)| *named == sku).map_or(0, |(_, quantity)| quantity);
            let (least, most) = (acknowledged + now, acknowledged + now + unknown);
            if !(least..=most).contains(&found(sku)) {
                self.complain(format!("order {id} shows {} of {sku}, not {least} to {most}", found(sku)));
            }
        }
        if view.order.version < cart.version {
            self.complain(format!("order {id} shows version {} after {}", view.order.version, cart.version));
        }
        cart.version = view.order.version;
    }

    fn complain(&self, what: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn note(&self, id: OrderId, request: &Request, item: Option<(&str, u32)>, outcome: Outcome, durability: &str) {
        let op = match request.command {
            Command::Create { .. } => Operation::Create,
            Command::AddItem { .. } => Operation::Add,
            Command::SetQuantity { .. } => Operation::Set,
            Command::RemoveItem { .. } => Operation::Remove,
            Command::Cancel { .. } => Operation::Cancel,
            Command::Submit | Command::Confirm => Operation::Submit,
        };
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.network.note((id.to_string(), request.key.as_str(), outcome as u8, durability));
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).push(Entry {
            at_ns: u64::try_from(self.network.since_boot().as_nanos()).expect("short"),
            op,
            order: Some(id.to_string()),
            sku: item.map(|(sku, _)| sku.to_owned()),
            quantity: item.map(|(_, quantity)| quantity),
            key: request.key.as_str().to_owned(),
            outcome,
            http: None,
            durability: Some(durability.to_owned()),
            persisted_ns: None,
        });
    }
}

/// The gateway of a web pod, if it is ready.
fn gateway(gateways: &Gateways, web: u8) -> Option<Arc<OrderGateway>> {
    gateways.lock().unwrap_or_else(PoisonError::into_inner).get(&web).cloned()
}

/// What a customer knows of its order.
#[derive(Default)]
struct Cart {
    pending: Pending,
    /// Of each product how many were acknowledged, and of how many nobody knows.
    lines: BTreeMap<&'static str, (u32, u32)>,
    version: u64,
}

fn quantity_of(order: &Order, sku: &str) -> u32 {
    order.items.iter().find(|line| line.sku.as_str() == sku).map_or(0, |line| line.quantity.get())
}
