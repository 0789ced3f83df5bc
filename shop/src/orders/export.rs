//! One order as a line of an export, with a digest that tells whether the line is whole. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::{CommandRecord, Order};

/// The format of the lines that this build writes.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Line<'a> {
    format: u32,
    order: &'a Order,
    commands: &'a BTreeMap<String, CommandRecord>,
}

/// The line of an order: `{"format":1,"order":{..},"commands":{..},"sha256":".."}`. The digest is that of the line up to
/// `,"sha256"`, closed by `}`, so that it can be checked without knowing the shape of an order.
///
/// # Errors
/// When the order cannot be written as JSON.
pub(super) fn line(order: &Order, commands: &BTreeMap<String, CommandRecord>) -> Result<String, serde_json::Error> {
    let mut line = serde_json::to_string(&Line { format: FORMAT, order, commands })?;
    let digest = Sha256::digest(line.as_bytes());
    line.pop();
    line.push_str(r#","sha256":""#);
    for byte in digest {
        line.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
        line.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or_default());
    }
    line.push_str("\"}\n");
    Ok(line)
}
