//! What is wrong with an input, by line. Pure.

use std::fmt;

use super::{MAX_INPUT_BYTES, price::PriceFault};
use crate::{
    catalogue::{MAX_CATEGORIES, MAX_PRODUCTS},
    domain::{Currency, InvalidLabel, InvalidSku},
};

/// Most faults that a report tells in words; the others are counted.
pub const MAX_FAULTS: usize = 100;

/// Something wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More bytes than [`MAX_INPUT_BYTES`].
    #[error("the input is larger than {} MiB; split the catalogue or leave out columns", MAX_INPUT_BYTES / 1024 / 1024)]
    InputTooLarge,
    /// A currency whose minor unit is not known.
    #[error("{0} is not in ISO 4217's list of currencies; name the currency of the prices with --currency")]
    UnknownCurrency(Currency),
    /// Two columns are the same one.
    #[error("two columns are both called '{0}'; give each of sku, name, price and category its own")]
    ColumnTwice(String),
    /// No row at all.
    #[error("there is no product in it")]
    NoProducts,
    /// More than [`MAX_PRODUCTS`].
    #[error("there are more than {MAX_PRODUCTS} products")]
    TooManyProducts,
    /// More than [`MAX_CATEGORIES`].
    #[error("there are more than {MAX_CATEGORIES} categories; is --category the right column?")]
    TooManyCategories,
    /// The header lacks a column.
    #[error("there is no such column; the columns are {found}; name the right one with --{option}{hint}")]
    MissingColumn {
        /// The option that names another column.
        option: &'static str,
        /// The columns there are.
        found: String,
        /// What else may be wrong.
        hint: &'static str,
    },
    /// The header names a column twice.
    #[error("the header names this column {0} times; rename all but one")]
    AmbiguousColumn(usize),
    /// A row with more or fewer fields than the header.
    #[error("the row has {found} fields, the header {expected}; is a comma or a quote missing or too many?")]
    FieldCount {
        /// Fields of the row.
        found: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// Bytes that are no UTF-8.
    #[error("it is not UTF-8; save the file as UTF-8")]
    NotUtf8,
    /// Not CSV.
    #[error("the CSV cannot be read: {0}")]
    Csv(String),
    /// Not JSON.
    #[error("the JSON cannot be read: {0}")]
    Json(String),
    /// JSON that is no object.
    #[error(
        "a product must be an object, such as {{\"sku\": \"A-1\", \"name\": \"Mug\", \"price\": \"4.50\", \"category\": \"Kitchen\"}}"
    )]
    NotAnObject,
    /// An object lacks a member.
    #[error("it is missing")]
    MissingMember,
    /// A member that is neither text nor number.
    #[error("it is neither text nor a number")]
    NotText,
    /// A bad SKU.
    #[error(transparent)]
    Sku(#[from] InvalidSku),
    /// A bad name or category.
    #[error(transparent)]
    Label(#[from] InvalidLabel),
    /// A bad price.
    #[error(transparent)]
    Price(#[from] PriceFault),
    /// A SKU that was there before.
    #[error("'{sku}' is on line {first} already; mend one, or import with --on-duplicate first or last")]
    Duplicate {
        /// The SKU.
        sku: String,
        /// Where it was first.
        first: u64,
    },
}

/// A [`Problem`] and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line of the input, from 1; `None` for the input as a whole.
    pub line: Option<u64>,
    /// Column or member.
    pub column: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        if let Some(column) = &self.column {
            write!(formatter, "{column}: ")?;
        }
        self.problem.fmt(formatter)
    }
}

/// Everything that is wrong with an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// The first [`MAX_FAULTS`] faults.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more: u64,
}

impl ImportReport {
    pub(super) fn add(&mut self, line: Option<u64>, column: Option<&str>, problem: Problem) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { line, column: column.map(str::to_owned), problem });
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }
}

impl From<Problem> for ImportReport {
    fn from(problem: Problem) -> Self {
        Self { faults: vec![Fault { line: None, column: None, problem }], more: 0 }
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len() as u64 + self.more;
        writeln!(formatter, "nothing was imported, {count} {}:", if count == 1 { "fault" } else { "faults" })?;
        self.faults.iter().try_for_each(|fault| writeln!(formatter, "{fault}"))?;
        if self.more > 0 {
            writeln!(formatter, "and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for ImportReport {}
