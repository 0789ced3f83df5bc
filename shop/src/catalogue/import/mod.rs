//! Reads products from CSV or JSON, all or none, and names every fault by its line. Pure.

mod csv;
mod json;
mod price;
mod report;
mod rows;

pub use self::{
    price::PriceFault,
    report::{Fault, ImportReport, MAX_FAULTS, Problem},
};

use self::rows::Rows;
use crate::domain::{Currency, Product};

/// Most bytes of an input.
pub const MAX_INPUT_BYTES: usize = 256 * 1024 * 1024;

/// How the input is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated, with a header line.
    Csv,
    /// An array of objects, or one object a line.
    Json,
}

impl Format {
    /// The format that the first character tells: an array or an object is JSON, all else CSV.
    #[must_use]
    pub fn of(input: &[u8]) -> Self {
        match without_mark(input).trim_ascii_start().first() {
            Some(b'[' | b'{') => Self::Json,
            _ => Self::Csv,
        }
    }
}

/// What becomes of a SKU that was there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnDuplicate {
    /// It is a fault.
    #[default]
    Refuse,
    /// The first one stays.
    First,
    /// The last one stays.
    Last,
}

/// Names of the columns (or JSON members) that make a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Where the SKU is.
    pub sku: String,
    /// Where the name is.
    pub name: String,
    /// Where the price is.
    pub price: String,
    /// Where the category is.
    pub category: String,
}

impl Default for Columns {
    fn default() -> Self {
        let [sku, name, price, category] = ["sku", "name", "price", "category"].map(str::to_owned);
        Self { sku, name, price, category }
    }
}

/// How an input is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// How it is written.
    pub format: Format,
    /// Where to find what.
    pub columns: Columns,
    /// The currency of all prices.
    pub currency: Currency,
    /// What becomes of a SKU that was there before.
    pub on_duplicate: OnDuplicate,
}

/// A whole input, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The products, in the input's order.
    pub products: Vec<Product>,
    /// Products left out because their SKU was there twice.
    pub duplicates: usize,
}

/// Reads the products of `input`; `progress` is called now and then with the number of rows read.
///
/// # Errors
/// With every fault there is (the first [`MAX_FAULTS`] in words); then nothing is to be imported.
pub fn import(input: &[u8], options: &ImportOptions, progress: impl FnMut(u64)) -> Result<Imported, ImportReport> {
    let mut rows = Rows::new(options, progress)?;
    if input.len() > MAX_INPUT_BYTES {
        return Err(Problem::InputTooLarge.into());
    }
    let input = without_mark(input);
    match options.format {
        Format::Csv => csv::read(input, &options.columns, &mut rows),
        Format::Json => json::read(input, &options.columns, &mut rows),
    }
    rows.finish()
}

/// The input without the byte order mark that spreadsheets write.
fn without_mark(input: &[u8]) -> &[u8] {
    input.strip_prefix("\u{feff}".as_bytes()).unwrap_or(input)
}

fn line_breaks(bytes: &[u8]) -> u64 {
    bytes.split(|&byte| byte == b'\n').skip(1).count() as u64
}

#[cfg(test)]
mod tests;
