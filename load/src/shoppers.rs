//! Shoppers that each live one whole order: make it, fill it, change it, submit it, and wait until it is confirmed.
//! They repeat what failed with the same key, as a good client does. Network I/O.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use crate::catalogue::Product;
use crate::commands::{Answered, Command, Commands, Order, OrderRef};
use crate::ledger::Outcome;
use crate::queries::Zipf;
use crate::run::new_key;

/// How shoppers behave.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Shoppers at the same time.
    pub shoppers: u32,
    /// Most items that each adds; it adds at least one.
    pub most_adds: u32,
    /// Pause between two steps.
    pub pause: Duration,
    /// Time for each step, with its repetitions, and for the confirmation.
    pub patience: Duration,
    /// Seed of all choices.
    pub seed: u64,
}

/// What became of a shopper.
#[derive(Clone, Debug)]
pub struct Lived {
    /// Its order as last read, which is confirmed; or what it failed at.
    pub end: Result<Order, String>,
    /// Attempts that had to be repeated.
    pub repeated: u32,
}

/// Lets all shoppers live at the same time, each once.
///
/// # Errors
/// When a shopper's task panicked.
pub async fn live(commands: &Commands, products: &[Product], life: &Life) -> Result<Vec<Lived>, JoinError> {
    let mut rng = StdRng::seed_from_u64(life.seed);
    let popularity = Zipf::new(products.len());
    let mut tasks = JoinSet::new();
    for _ in 0..life.shoppers {
        let adds = rng.random_range(1..=life.most_adds.max(1));
        let mut wish = || {
            let product = products.get(popularity.draw(&mut rng))?;
            Some((product.sku.clone(), rng.random_range(1..=5)))
        };
        let wishes = (0..adds).filter_map(|_| wish()).collect();
        let shopper = Shopper { commands: commands.clone(), life: *life, repeated: 0 };
        tasks.spawn(shopper.live(wishes));
    }
    let mut lived = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        lived.push(ended?);
    }
    Ok(lived)
}

struct Shopper {
    commands: Commands,
    life: Life,
    repeated: u32,
}

impl Shopper {
    async fn live(mut self, wishes: Vec<(String, u32)>) -> Lived {
        let end = self.buy(wishes).await;
        Lived { end, repeated: self.repeated }
    }

    async fn buy(&mut self, wishes: Vec<(String, u32)>) -> Result<Order, String> {
        let created = self.insist(Command::Create).await?;
        let id = created.order.ok_or("create: no order in the answer")?.id;
        let mut order = OrderRef { id, pending: created.pending };
        let first = wishes.first().map(|(sku, _)| sku.clone());
        let mut steps: Vec<Command> =
            wishes.into_iter().map(|(sku, quantity)| Command::Add { order: order.clone(), sku, quantity }).collect();
        if let Some(sku) = first {
            steps.push(Command::Set { order: order.clone(), sku, quantity: 7 });
        }
        steps.push(Command::Submit { order: order.clone() });
        for step in steps {
            sleep(self.life.pause).await;
            let answered = self.insist(with_pending(step, &order)).await?;
            order.pending = answered.pending.or(order.pending);
        }
        self.confirmed(&order).await
    }

    /// Sends a command, again and again with the same key while it is not known to be done and may yet be.
    async fn insist(&mut self, command: Command) -> Result<Answered, String> {
        let key = new_key();
        let end = Instant::now() + self.life.patience;
        let mut wait = Duration::from_millis(50);
        loop {
            let answered = self.commands.send(command.clone(), key.clone()).await;
            if answered.outcome == Outcome::Acked {
                return Ok(answered);
            }
            let fault = answered.fault.unwrap_or_default();
            let may_yet = answered.outcome == Outcome::Unknown || is_passing(&fault);
            if !may_yet || Instant::now() + wait > end {
                return Err(format!("{}: {fault}", name(&command)));
            }
            self.repeated += 1;
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    async fn confirmed(&mut self, order: &OrderRef) -> Result<Order, String> {
        let end = Instant::now() + self.life.patience;
        loop {
            let read = self.commands.read(order).await;
            match read {
                Ok(read) if read.status == "confirmed" => return Ok(read),
                _ if Instant::now() > end => {
                    let last = read.map_or_else(|fault| fault, |read| read.status);
                    return Err(format!("confirmed: {} was last seen as {last}", order.id));
                }
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

fn with_pending(command: Command, newest: &OrderRef) -> Command {
    let order = newest.clone();
    match command {
        Command::Create => Command::Create,
        Command::Add { sku, quantity, .. } => Command::Add { order, sku, quantity },
        Command::Set { sku, quantity, .. } => Command::Set { order, sku, quantity },
        Command::Remove { sku, .. } => Command::Remove { order, sku },
        Command::Submit { .. } => Command::Submit { order },
        Command::Cancel { .. } => Command::Cancel { order },
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Create => "create",
        Command::Add { .. } => "add",
        Command::Set { .. } => "set",
        Command::Remove { .. } => "remove",
        Command::Submit { .. } => "submit",
        Command::Cancel { .. } => "cancel",
    }
}

/// Whether the same request may succeed later: nothing came of it for now, or no connection was made.
fn is_passing(fault: &str) -> bool {
    fault.starts_with("503") || fault.starts_with("429") || matches!(fault, "connect" | "connections")
}
