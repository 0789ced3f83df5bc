//! Shoppers that buy one order after the other until the shop closes, and orders that show that it is well. Network I/O.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use load::catalogue::{self, Product};
use load::commands::{Command, Commands};
use load::http::{Client, ClientOptions};
use load::ledger::{Entry, Ledger, Operation, Outcome};
use load::run::new_key;
use load::shoppers::{Life, Lived, live};
use load::target::Target;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Orders that are made to see whether all shards take some again.
const TRIED: usize = 24;

/// Shoppers at work.
pub(super) struct Shoppers {
    commands: Commands,
    ledger: PathBuf,
    closing: Arc<AtomicBool>,
    at_work: JoinSet<Vec<Lived>>,
}

impl Shoppers {
    /// Lets `count` of them into the shop at `url`.
    pub(super) async fn start(url: &str, ledger: &Path, count: u32) -> Self {
        let target = Target::resolve(url, false).await.expect("loopback");
        let client = Client::new(target, ClientOptions { timeout: Duration::from_secs(5), connections: 500 });
        let made = Ledger::create(ledger).expect("a ledger");
        let commands = Commands { client: client.expect("a client"), ledger: made };
        let products: Arc<[Product]> = catalogue::products(&commands.client).await.expect("the catalogue").into();
        let closing = Arc::new(AtomicBool::new(false));
        let mut at_work = JoinSet::new();
        for number in 0..count {
            let (commands, products, closing) = (commands.clone(), Arc::clone(&products), Arc::clone(&closing));
            at_work.spawn(async move { buy(&commands, &products, u64::from(number) << 32, &closing).await });
        }
        Self { commands, ledger: ledger.to_owned(), closing, at_work }
    }

    /// How long it takes until orders are made on all shards, from now on.
    pub(super) async fn until_orders_are_made(&self, limit: Duration) -> Duration {
        let began = Instant::now();
        let mut making = JoinSet::new();
        for _ in 0..TRIED {
            let commands = self.commands.clone();
            making.spawn(async move {
                let key = new_key();
                while commands.send(Command::Create, key.clone()).await.outcome != Outcome::Acked {
                    assert!(began.elapsed() < limit, "an order cannot be made {limit:?} after the last fault");
                    sleep(Duration::from_millis(50)).await;
                }
            });
        }
        while let Some(made) = making.join_next().await {
            made.expect("the order is made");
        }
        began.elapsed()
    }

    /// Closes the shop, and gives how often each had to repeat something, once all orders are confirmed.
    pub(super) async fn end(mut self) -> u32 {
        self.closing.store(true, Ordering::Relaxed);
        let mut repeated = 0;
        let mut failed = Vec::new();
        while let Some(lived) = self.at_work.join_next().await {
            for lived in lived.expect("no panic") {
                repeated += lived.repeated;
                failed.extend(lived.end.err());
            }
        }
        self.commands.ledger.flush().expect("written");
        let ledger = std::fs::read_to_string(&self.ledger).expect("the ledger");
        let of_failed: Vec<_> = ledger.lines().filter(|line| is_of_any(&failed, line)).collect();
        assert!(failed.is_empty(), "{} shoppers failed: {failed:#?}\n{}", failed.len(), of_failed.join("\n"));
        repeated
    }

    /// The file of the ledger.
    pub(super) fn ledger(&self) -> &Path {
        &self.ledger
    }
}

/// Whether an entry of the ledger belongs to an order that one of these failures names.
fn is_of_any(failures: &[String], entry: &str) -> bool {
    let entry: Entry = serde_json::from_str(entry).expect("an entry");
    entry.order.is_some_and(|order| failures.iter().any(|failure| failure.contains(&order)))
}

async fn buy(commands: &Commands, products: &[Product], first_seed: u64, closing: &AtomicBool) -> Vec<Lived> {
    let mut lived = Vec::new();
    for seed in first_seed.. {
        let life = Life {
            shoppers: 1,
            most_adds: 5,
            pause: Duration::from_millis(100),
            patience: Duration::from_secs(90),
            seed,
        };
        lived.extend(live(commands, products, &life).await.expect("no panic"));
        if closing.load(Ordering::Relaxed) {
            break;
        }
    }
    lived
}

/// Orders whose making was acknowledged, by the ledger.
pub(super) fn acknowledged(ledger: &Path) -> usize {
    let text = std::fs::read_to_string(ledger).expect("the ledger");
    let entries = text.lines().map(|line| serde_json::from_str::<Entry>(line).expect("an entry"));
    let made = entries.filter(|entry| entry.op == Operation::Create && entry.outcome == Outcome::Acked);
    made.filter_map(|entry| entry.order).collect::<std::collections::BTreeSet<_>>().len()
}
