//! An order and the one function that changes it. Pure: time, ids and what was seen before are passed in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Command, Currency, Fingerprint, IdempotencyKey, Money, OrderId, Quantity, Refusal, Request, Sku};

/// Most commands of one order that are kept; submit, cancel and confirm may exceed it.
pub const MAX_COMMANDS: u32 = 1000;

/// Most rejected lines that are kept on an order.
const MAX_REJECTED: usize = 1000;

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It takes items.
    Open,
    /// The customer has bought it; the shop has not looked at it yet.
    Submitted,
    /// The shop has taken it on.
    Confirmed,
    /// It was delivered.
    Fulfilled,
    /// It was given up.
    Cancelled,
}

/// Some pieces of one product on an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub sku: Sku,
    /// Its name when it was last added.
    pub name: String,
    /// How many.
    pub quantity: Quantity,
    /// The price of one when it was last added.
    pub unit_price: Money,
    /// The price of all.
    pub total: Money,
    /// The catalogue that name and price come from.
    pub catalogue_version: u64,
}

/// A line that was accepted but could no longer be put on the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedLine {
    /// The command that asked for it.
    pub key: IdempotencyKey,
    /// The product.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
    /// Why not.
    pub reason: Refusal,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// Where it stands.
    pub status: Status,
    /// Counts its changes, from 1.
    pub version: u64,
    /// Its lines, in the order in which the products were first added.
    pub items: Vec<Line>,
    /// Lines that were accepted but could no longer be put on it.
    #[serde(default)]
    pub rejected_items: Vec<RejectedLine>,
    /// The sum of its lines.
    pub total: Money,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Why the shop cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// How many commands of it are kept.
    pub commands: u32,
}

/// What is kept of a command for as long as its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Tells a replay from another request with the same key.
    pub fingerprint: Fingerprint,
    /// What was asked, so that a check can tell what the order must look like.
    pub asked: Asked,
    /// What came of it.
    pub outcome: Outcome,
}

/// A command without what web stamps on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Asked {
    /// See [`Command::Create`].
    Create,
    /// See [`Command::AddItem`].
    AddItem {
        /// The product.
        sku: Sku,
        /// How many more.
        quantity: Quantity,
    },
    /// See [`Command::SetQuantity`].
    SetQuantity {
        /// The product.
        sku: Sku,
        /// How many.
        quantity: Quantity,
    },
    /// See [`Command::RemoveItem`].
    RemoveItem {
        /// The product.
        sku: Sku,
    },
    /// See [`Command::Submit`].
    Submit,
    /// See [`Command::Cancel`].
    Cancel,
    /// See [`Command::Confirm`].
    Confirm,
}

impl From<&Command> for Asked {
    fn from(command: &Command) -> Self {
        match command {
            Command::Create { .. } => Self::Create,
            Command::AddItem { sku, quantity, .. } => Self::AddItem { sku: sku.clone(), quantity: *quantity },
            Command::SetQuantity { sku, quantity } => Self::SetQuantity { sku: sku.clone(), quantity: *quantity },
            Command::RemoveItem { sku } => Self::RemoveItem { sku: sku.clone() },
            Command::Submit => Self::Submit,
            Command::Cancel { .. } => Self::Cancel,
            Command::Confirm => Self::Confirm,
        }
    }
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It made this version of the order.
    Applied {
        /// The version.
        version: u64,
    },
    /// It was refused, for good.
    Refused(Refusal),
}

/// What to do about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Store order and record together, then answer with the order.
    Apply {
        /// The order's new state.
        order: Order,
        /// What to keep of the command.
        record: CommandRecord,
    },
    /// Store both, then answer with the refusal.
    Refuse {
        /// The order, which has one command more and is else as it was.
        order: Order,
        /// What to keep of the command.
        record: CommandRecord,
        /// Why.
        refusal: Refusal,
    },
    /// Store the order, which has one rejected line more, then answer with the refusal.
    Keep {
        /// The order, which is else as it was.
        order: Order,
        /// Why the line was rejected.
        refusal: Refusal,
    },
    /// Store nothing: it was decided before, and this came of it.
    Replay(Outcome),
    /// Store nothing and answer with the refusal.
    Reject(Refusal),
}

/// Decides what a request does to an order, given what is stored of both. The line of one that was accepted before, and
/// can no longer be put on the order, is kept on it as rejected.
#[must_use]
pub fn apply(
    id: OrderId,
    order: Option<&Order>,
    seen: Option<&CommandRecord>,
    request: &Request,
    now: Timestamp,
) -> Decision {
    let decision = decide(id, order, seen, request, now);
    if request.accepted_at.is_none() {
        return decision;
    }
    match decision {
        Decision::Refuse { order, record, refusal } => {
            let order = order.with_rejected(request, refusal, now).unwrap_or(order);
            Decision::Refuse { order, record, refusal }
        }
        // Also one that was refused to the customer's face, who never got that answer and whose web pod queued it then.
        Decision::Reject(refusal) | Decision::Replay(Outcome::Refused(refusal)) => {
            match order.and_then(|order| order.with_rejected(request, refusal, now)) {
                Some(order) => Decision::Keep { order, refusal },
                None => decision,
            }
        }
        Decision::Apply { .. } | Decision::Keep { .. } | Decision::Replay(Outcome::Applied { .. }) => decision,
    }
}

/// As if nothing had been promised to anybody.
fn decide(
    id: OrderId,
    order: Option<&Order>,
    seen: Option<&CommandRecord>,
    request: &Request,
    now: Timestamp,
) -> Decision {
    let fingerprint = request.fingerprint(id);
    let record = |outcome| CommandRecord { fingerprint, asked: Asked::from(&request.command), outcome };
    if let Some(seen) = seen {
        return if seen.fingerprint == fingerprint {
            Decision::Replay(seen.outcome)
        } else {
            Decision::Reject(Refusal::KeyReused)
        };
    }
    let Some(order) = order else {
        return match request.command {
            Command::Create { currency } if request.expected_version.is_none() => {
                let order = Order::new(id, currency, now);
                let record = record(Outcome::Applied { version: order.version });
                Decision::Apply { order, record }
            }
            _ => Decision::Reject(Refusal::OrderNotFound),
        };
    };
    let full = order.commands >= MAX_COMMANDS;
    // What was accepted before leaves a record also then, since later commands may wait for it.
    let most = if request.accepted_at.is_some() { 2 * MAX_COMMANDS } else { MAX_COMMANDS };
    let refuse = |refusal| {
        let order = Order { commands: order.commands.saturating_add(1), ..order.clone() };
        Decision::Refuse { order, record: record(Outcome::Refused(refusal)), refusal }
    };
    if full && !request.command.is_exempt_from_limit() {
        let refusal = Refusal::TooManyCommands;
        return if order.commands < most { refuse(refusal) } else { Decision::Reject(refusal) };
    }
    let mut next = order.clone();
    next.commands = next.commands.saturating_add(1);
    match next.change(request) {
        Ok(()) => {
            next.version += 1;
            next.updated_at = now.max(order.updated_at);
            let record = record(Outcome::Applied { version: next.version });
            Decision::Apply { order: next, record }
        }
        // A full order is refused the same way for ever (nothing opens or fills it again), so no record is needed and
        // repeating a refused submit cannot make it grow.
        Err(refusal) if order.commands >= most => Decision::Reject(refusal),
        Err(refusal) => refuse(refusal),
    }
}

impl Order {
    fn new(id: OrderId, currency: Currency, now: Timestamp) -> Self {
        Self {
            id,
            status: Status::Open,
            version: 1,
            items: Vec::new(),
            rejected_items: Vec::new(),
            total: Money { amount: 0, currency },
            created_at: now,
            updated_at: now,
            cancel_reason: None,
            commands: 1,
        }
    }

    fn change(&mut self, request: &Request) -> Result<(), Refusal> {
        if request.expected_version.is_some_and(|version| version != self.version) {
            return Err(Refusal::VersionConflict);
        }
        match &request.command {
            // The id comes from the create's key, so another create of it has lost its own record.
            Command::Create { .. } => Err(Refusal::KeyReused),
            Command::AddItem { sku, name, quantity, unit_price, catalogue_version } => {
                self.must_be_open()?;
                self.add(sku, name, *quantity, *unit_price, *catalogue_version)
            }
            Command::SetQuantity { sku, quantity } => {
                self.must_be_open()?;
                let line = self.line(sku)?;
                line.total = line.unit_price.times(quantity.get()).ok_or(Refusal::InvalidQuantity)?;
                line.quantity = *quantity;
                self.sum_up()
            }
            Command::RemoveItem { sku } => {
                self.must_be_open()?;
                self.line(sku)?;
                self.items.retain(|line| line.sku != *sku);
                self.sum_up()
            }
            Command::Submit => {
                self.must_be_open()?;
                if self.items.is_empty() {
                    return Err(Refusal::OrderEmpty);
                }
                self.status = Status::Submitted;
                Ok(())
            }
            Command::Cancel { reason } => match self.status {
                Status::Open | Status::Submitted => {
                    self.status = Status::Cancelled;
                    self.cancel_reason.clone_from(reason);
                    Ok(())
                }
                Status::Confirmed | Status::Fulfilled | Status::Cancelled => Err(Refusal::OrderClosed),
            },
            Command::Confirm => match self.status {
                Status::Submitted => {
                    self.status = Status::Confirmed;
                    Ok(())
                }
                Status::Open | Status::Confirmed | Status::Fulfilled | Status::Cancelled => Err(Refusal::OrderClosed),
            },
        }
    }

    /// The order with the line of a request kept as rejected; `None` when the request has no line, its line is kept already,
    /// or too many are.
    fn with_rejected(&self, request: &Request, reason: Refusal, now: Timestamp) -> Option<Self> {
        let (Command::AddItem { sku, quantity, .. } | Command::SetQuantity { sku, quantity }) = &request.command else {
            return None;
        };
        if self.has_rejected(&request.key) || self.rejected_items.len() >= MAX_REJECTED {
            return None;
        }
        let mut order = self.clone();
        let (key, sku) = (request.key.clone(), sku.clone());
        order.rejected_items.push(RejectedLine { key, sku, quantity: *quantity, reason });
        order.updated_at = now.max(order.updated_at);
        Some(order)
    }

    /// Refuses an accepted command whose predecessors never arrived: the order, and what to keep of the command.
    #[must_use]
    pub fn give_up(&self, request: &Request, now: Timestamp) -> (Self, CommandRecord) {
        let reason = Refusal::Orphaned;
        let (fingerprint, asked) = (request.fingerprint(self.id), Asked::from(&request.command));
        let mut order = self.with_rejected(request, reason, now).unwrap_or_else(|| self.clone());
        order.commands = order.commands.saturating_add(1);
        (order, CommandRecord { fingerprint, asked, outcome: Outcome::Refused(reason) })
    }

    /// Whether the line of a command is kept as rejected.
    #[must_use]
    pub fn has_rejected(&self, key: &IdempotencyKey) -> bool {
        self.rejected_items.iter().any(|line| line.key == *key)
    }

    fn must_be_open(&self) -> Result<(), Refusal> {
        if self.status == Status::Open { Ok(()) } else { Err(Refusal::OrderClosed) }
    }

    fn line(&mut self, sku: &Sku) -> Result<&mut Line, Refusal> {
        self.items.iter_mut().find(|line| line.sku == *sku).ok_or(Refusal::LineNotFound)
    }

    fn add(
        &mut self,
        sku: &Sku,
        name: &str,
        quantity: Quantity,
        unit_price: Money,
        catalogue_version: u64,
    ) -> Result<(), Refusal> {
        if self.items.iter().any(|line| line.unit_price.currency != unit_price.currency) {
            return Err(Refusal::MixedCurrency);
        }
        let before = self.items.iter().find(|line| line.sku == *sku).map(|line| line.quantity);
        let quantity = match before {
            Some(before) => before.plus(quantity).ok_or(Refusal::InvalidQuantity)?,
            None => quantity,
        };
        let total = unit_price.times(quantity.get()).ok_or(Refusal::InvalidQuantity)?;
        // More of a product takes the newest price for all its pieces: a line has one price.
        let added = Line { sku: sku.clone(), name: name.to_owned(), quantity, unit_price, total, catalogue_version };
        match self.items.iter_mut().find(|line| line.sku == *sku) {
            Some(line) => *line = added,
            None => self.items.push(added),
        }
        self.sum_up()
    }

    fn sum_up(&mut self) -> Result<(), Refusal> {
        self.total = self.sum().ok_or(Refusal::InvalidQuantity)?;
        Ok(())
    }

    /// The sum of the lines, computed anew; `None` when no amount holds it or the lines differ in currency.
    #[must_use]
    pub fn sum(&self) -> Option<Money> {
        let currency = self.items.first().map_or(self.total.currency, |line| line.unit_price.currency);
        self.items.iter().try_fold(Money { amount: 0, currency }, |sum, line| sum.plus(line.total))
    }

    /// Whether every total is what its parts say.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.sum() == Some(self.total)
            && self.items.iter().all(|line| line.unit_price.times(line.quantity.get()) == Some(line.total))
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
