//! What an order, a product and money are. Pure: no I/O, no clock, no randomness.

mod money;
mod sku;

pub use self::{
    money::{Currency, InvalidCurrency, Money},
    sku::{InvalidSku, Sku},
};
