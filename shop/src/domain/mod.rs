//! What an order, a product and money are. Pure: no I/O, no clock, no randomness.

mod command;
mod currency_digits;
mod ids;
mod money;
mod order;
mod product;
mod sku;

pub use self::{
    command::{Command, Fingerprint, InvalidQuantity, Quantity, Refusal, Request},
    ids::{IdempotencyKey, InvalidIdempotencyKey, InvalidOrderId, OrderId, OrderIdSecret, shard_of},
    money::{Currency, InvalidCurrency, Money},
    order::{Asked, CommandRecord, Decision, Line, MAX_COMMANDS, Order, Outcome, RejectedLine, Status, apply},
    product::{Category, InvalidLabel, Product, ProductName},
    sku::{InvalidSku, Sku},
};
