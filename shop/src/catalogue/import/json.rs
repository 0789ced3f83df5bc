//! Products of a JSON array of objects, or of one object a line. Pure.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Columns, Problem, line_breaks,
    rows::{Field, More, Row, Rows},
};
use crate::catalogue::MAX_PRODUCTS;

/// Gives every object of `input` to `rows`.
pub(super) fn read(input: &[u8], columns: &Columns, rows: &mut Rows<'_, impl FnMut(u64)>) {
    let text = match std::str::from_utf8(input) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + line_breaks(&input[..error.valid_up_to()]);
            return rows.fault(Some(line), None, Problem::NotUtf8);
        }
    };
    if text.trim_start().starts_with('[') { array(text, columns, rows) } else { lines(text, columns, rows) }
}

fn lines(text: &str, columns: &Columns, rows: &mut Rows<'_, impl FnMut(u64)>) {
    for (line, text) in (1..).zip(text.split('\n')) {
        if !text.trim().is_empty() && push(line, text, columns, rows) == More::Useless {
            return;
        }
    }
}

fn array(text: &str, columns: &Columns, rows: &mut Rows<'_, impl FnMut(u64)>) {
    let elements = match serde_json::from_str::<Elements<'_>>(text) {
        Ok(Elements(elements)) => elements,
        Err(error) => return rows.fault(Some(error.line() as u64), None, Problem::Json(cause(&error))),
    };
    let (mut line, mut at) = (1, 0);
    for element in elements {
        // The element is borrowed from the text, so its address tells where it is.
        let start = (element.get().as_ptr().addr()).saturating_sub(text.as_ptr().addr());
        line += line_breaks(text.as_bytes().get(at..start).unwrap_or_default());
        at = start;
        if push(line, element.get(), columns, rows) == More::Useless {
            return;
        }
    }
}

fn push(line: u64, text: &str, columns: &Columns, rows: &mut Rows<'_, impl FnMut(u64)>) -> More {
    if !text.trim_start().starts_with('{') {
        return rows.skip(line, Problem::NotAnObject);
    }
    let members: BTreeMap<String, &RawValue> = match serde_json::from_str(text) {
        Ok(members) => members,
        Err(error) => return rows.skip(line, Problem::Json(cause(&error))),
    };
    let field = |column: &str| -> Field<'_> {
        let raw = members.get(column).ok_or(Problem::MissingMember)?.get();
        match raw.as_bytes().first() {
            Some(b'"') => {
                serde_json::from_str::<String>(raw).map(Into::into).map_err(|error| Problem::Json(cause(&error)))
            }
            Some(b'-' | b'0'..=b'9') => Ok(raw.into()),
            Some(b'n') => Err(Problem::MissingMember),
            _ => Err(Problem::NotText),
        }
    };
    let row = Row {
        sku: field(&columns.sku),
        name: field(&columns.name),
        price: field(&columns.price),
        category: field(&columns.category),
    };
    rows.push(line, row)
}

/// What the parser says, without the place in a text that the reader of the report does not see.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("{} (column {})", &text[..end], error.column()),
        None => text,
    }
}

/// The elements of an array, unread, and no more than are of use.
struct Elements<'text>(Vec<&'text RawValue>);

impl<'text> Deserialize<'text> for Elements<'text> {
    fn deserialize<D: Deserializer<'text>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'text> Visitor<'text> for All {
            type Value = Elements<'text>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array of products")
            }

            fn visit_seq<A: SeqAccess<'text>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = sequence.next_element()? {
                    elements.push(element);
                    if elements.len() > MAX_PRODUCTS {
                        return Err(serde::de::Error::custom(Problem::TooManyProducts));
                    }
                }
                Ok(Elements(elements))
            }
        }

        deserializer.deserialize_seq(All)
    }
}
