//! One order as a line of an export, with a digest that tells whether the line is whole: written and read. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    domain::{CommandRecord, IdempotencyKey, Order, Request, Status},
    hex,
};

use super::audit::{Stored, examine};

/// The newest format of lines that this build writes and reads.
const FORMAT: u32 = 1;

/// What stands between the content of a line and its digest.
const BEFORE_DIGEST: &str = r#","sha256":""#;

/// An order with everything that is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The order.
    pub order: Order,
    /// Its commands, by key.
    pub commands: BTreeMap<IdempotencyKey, CommandRecord>,
    /// Commands that were accepted and wait for earlier ones.
    #[serde(default)]
    pub parked: Vec<Request>,
}

/// Why a line cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It was written by a newer version.
    #[error(
        "it has format {0}, this version reads up to {FORMAT}; import it with the version that wrote it, or a newer one"
    )]
    Newer(u32),
    /// It is not of the shape of a line.
    #[error("it is no line of an export: {0}")]
    Shape(#[from] serde_json::Error),
    /// Its digest is not that of its content.
    #[error("it was changed or cut off since it was exported: its digest does not fit; export the orders again")]
    Digest,
    /// Its parts contradict each other.
    #[error("the order {order} contradicts itself: {what}; shop verify says more where it comes from")]
    Unsound {
        /// The order.
        order: String,
        /// In what.
        what: String,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    format: u32,
    order: &'a Order,
    commands: &'a BTreeMap<String, CommandRecord>,
    #[serde(skip_serializing_if = "<[Request]>::is_empty")]
    parked: &'a [Request],
}

/// The line of an order: `{"format":1,"order":{..},"commands":{..},"sha256":".."}`, and `parked` where it has parked
/// commands. The digest is that of the line up to
/// `,"sha256"`, closed by `}`, so that it can be checked without knowing the shape of an order.
///
/// # Errors
/// When the order cannot be written as JSON.
pub(super) fn line(
    order: &Order,
    commands: &BTreeMap<String, CommandRecord>,
    parked: &[Request],
) -> Result<String, serde_json::Error> {
    let mut line = serde_json::to_string(&Line { format: FORMAT, order, commands, parked })?;
    let digest = digest(&line);
    line.pop();
    line.push_str(BEFORE_DIGEST);
    line.push_str(&digest);
    line.push_str("\"}\n");
    Ok(line)
}

/// Reads a line that [`line`] wrote, with or without its end.
///
/// # Errors
/// See [`LineError`].
pub(super) fn parse(line: &str) -> Result<Exported, LineError> {
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let line = line.trim_end();
    // The format is read first and alone, so that a newer line is refused by its format and not by what is new in it.
    let Header { format } = serde_json::from_str(line)?;
    if format > FORMAT {
        return Err(LineError::Newer(format));
    }
    let (content, end) = line.rsplit_once(BEFORE_DIGEST).ok_or(LineError::Digest)?;
    if end.strip_suffix("\"}") != Some(digest(&format!("{content}}}")).as_str()) {
        return Err(LineError::Digest);
    }
    let exported: Exported = serde_json::from_str(line)?;
    exported.check()?;
    Ok(exported)
}

impl Exported {
    fn check(&self) -> Result<(), LineError> {
        let mut stored = Stored::new(self.order.id);
        stored.order = Some(self.order.clone());
        stored.commands = self.commands.iter().map(|(key, record)| (key.as_str().to_owned(), record.clone())).collect();
        stored.in_outbox = self.order.status == Status::Submitted;
        match examine(&stored).into_iter().next() {
            None => Ok(()),
            Some(fault) => Err(LineError::Unsound { order: fault.order, what: fault.what }),
        }
    }
}

fn digest(content: &str) -> String {
    hex::encode(&Sha256::digest(content.as_bytes()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Command, Currency, Decision, OrderId, OrderIdSecret, Request, apply};

    fn exported() -> (String, Exported) {
        let key = IdempotencyKey::from_uuid(Uuid::nil());
        let id = OrderId::derive(&OrderIdSecret::new([1; 32]), &key);
        let create = Request::new(key.clone(), Command::Create { currency: Currency::EUR });
        let Decision::Apply { order, record } = apply(id, None, None, &create, Timestamp::UNIX_EPOCH) else {
            panic!("a create applies");
        };
        let after = vec![IdempotencyKey::from_uuid(Uuid::max())];
        let waiting = IdempotencyKey::for_order("waiting").expect("a key");
        let accepted_at = Some(Timestamp::UNIX_EPOCH);
        let parked = vec![Request { after, accepted_at, ..Request::new(waiting, Command::Submit) }];
        let text = line(&order, &[(key.as_str().to_owned(), record.clone())].into(), &parked).expect("a line");
        (text, Exported { order, commands: [(key, record)].into(), parked })
    }

    #[test]
    fn a_line_that_was_written_is_read() {
        let (text, order) = exported();
        assert_eq!(parse(&text).expect("it is whole"), order);
    }

    #[test]
    fn a_line_that_was_changed_or_cut_off_is_refused() {
        let (text, _) = exported();
        let changed = text.replace("\"version\":1", "\"version\":2");
        assert!(matches!(parse(&changed), Err(LineError::Digest)));
        for cut in [0, 1, text.len() / 2, text.len() - 3] {
            assert!(parse(&text[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_line_of_a_newer_format_is_refused_by_its_format() {
        let error = parse(r#"{"format":7,"parcel":{}}"#).expect_err("it is newer");
        assert!(error.to_string().contains("format 7"), "{error}");
    }

    #[test]
    fn an_order_that_contradicts_itself_is_refused() {
        let (_, Exported { mut order, commands, parked }) = exported();
        order.version = 2;
        let commands = commands.into_iter().map(|(key, record)| (key.as_str().to_owned(), record)).collect();
        let text = line(&order, &commands, &parked).expect("a line");
        assert!(matches!(parse(&text), Err(LineError::Unsound { .. })));
    }
}
