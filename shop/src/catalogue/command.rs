//! What `shop catalogue` does: import products into a store, and write a sample. Does I/O.

use std::{fmt, io::Write, path::PathBuf, time::Duration};

use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use super::{
    import::{Columns, Format, ImportOptions, ImportReport, Imported, MAX_INPUT_BYTES, OnDuplicate, import},
    places::Places,
    sample::{SAMPLE_PRODUCTS, SAMPLE_SEED, SampleError, sample},
    store::{Published, StoreError, publish},
};
use crate::domain::{Currency, Money};

/// Longest silence of a file or pipe while it is read.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;

/// Import products as the shop's catalogue, all or none.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// File with the products; - reads standard input.
    pub file: PathBuf,
    /// How the file is written; by default its beginning tells.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Column (or JSON member) of the SKU.
    #[arg(long, value_name = "COL", default_value = "sku")]
    pub sku: String,
    /// Column of the name.
    #[arg(long, value_name = "COL", default_value = "name")]
    pub name: String,
    /// Column of the price, a decimal number such as 12.50.
    #[arg(long, value_name = "COL", default_value = "price")]
    pub price: String,
    /// Column of the category.
    #[arg(long, value_name = "COL", default_value = "category")]
    pub category: String,
    /// Currency of all prices, as its ISO 4217 code.
    #[arg(long, default_value_t = Currency::EUR)]
    pub currency: Currency,
    /// What becomes of a SKU that is there twice.
    #[arg(long, value_enum, default_value_t = OnDuplicate::Refuse)]
    pub on_duplicate: OnDuplicate,
    /// Only say what would be imported or refused.
    #[arg(long)]
    pub dry_run: bool,
}

/// Write sample products as CSV.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SampleArgs {
    /// How many products, at most 1000000.
    #[arg(long, value_name = "N", default_value_t = SAMPLE_PRODUCTS)]
    pub products: usize,
    /// Another seed gives other products.
    #[arg(long, value_name = "S", default_value_t = SAMPLE_SEED)]
    pub seed: u64,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The input has faults.
    #[error(transparent)]
    Refused(#[from] ImportReport),
    /// The input could not be read.
    #[error("could not read {input}")]
    Read {
        /// File or standard input.
        input: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The catalogue could not be stored.
    #[error("could not import the catalogue")]
    Store(#[from] StoreError),
}

impl ImportError {
    /// What the process ends with: 2 when the input was refused, 1 when it could not be tried.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 2,
            Self::Read { .. } | Self::Store(_) => 1,
        }
    }
}

/// What was imported, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportSummary {
    /// Products of the catalogue.
    pub products: usize,
    /// Products left out because their SKU was there twice.
    pub duplicates: usize,
    /// What became of them; `None` in a dry run.
    pub published: Option<Published>,
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { products: count, duplicates, published } = self;
        let products = Count(*count, "product");
        match published {
            None => write!(formatter, "dry run: {products} would be imported")?,
            Some(Published { number, changed: true, .. }) => {
                write!(formatter, "imported {products} as catalogue version {number}")?;
            }
            Some(Published { number, changed: false, .. }) => {
                write!(formatter, "catalogue version {number} has the same {products}")?;
            }
        }
        match *duplicates {
            0 => Ok(()),
            duplicates => write!(formatter, ", {} left out", Count(duplicates, "duplicate")),
        }
    }
}

/// So many of a thing, in words.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, thing) = self;
        write!(formatter, "{count} {thing}{}", if *count == 1 { "" } else { "s" })
    }
}

/// Imports what `arguments` names into the store that the catalogue is in. `standard_input` is read when the file is `-`.
///
/// # Errors
/// When the input has faults or cannot be read, or the store fails: then the catalogue is as it was.
pub async fn import_command(
    arguments: &ImportArgs,
    places: &Places,
    standard_input: impl AsyncRead + Unpin + Send,
) -> Result<ImportSummary, ImportError> {
    let ImportArgs { file, format, sku, name, price, category, currency, on_duplicate, dry_run } = arguments.clone();
    let (input, source) = if file.as_os_str() == "-" {
        (read_all(standard_input).await, "standard input".to_owned())
    } else {
        let read = async { read_all(File::open(&file).await?).await };
        (read.await, file.display().to_string())
    };
    let input = input.map_err(|error| ImportError::Read { input: source, source: error })?;
    let format = format.unwrap_or_else(|| Format::of(&input));
    let options = ImportOptions { format, columns: Columns { sku, name, price, category }, currency, on_duplicate };
    let read = move || import(&input, &options, |rows| tracing::info!(rows, "reading products"));
    let imported = tokio::task::spawn_blocking(read).await;
    let Imported { products, duplicates } = imported.map_err(|error| StoreError::Internal(error.to_string()))??;
    let count = products.len();
    let published = if dry_run { None } else { Some(publish(places, products).await?) };
    Ok(ImportSummary { products: count, duplicates, published })
}

/// All bytes of an input, and one more than allowed at most.
async fn read_all(input: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut input = input.take(MAX_INPUT_BYTES as u64 + 1);
    let mut bytes = Vec::new();
    loop {
        bytes.reserve(READ_BYTES);
        match timeout(READ_TIMEOUT, input.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => return Ok(bytes),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let text = format!("nothing came for {} s", READ_TIMEOUT.as_secs());
                return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text));
            }
        }
    }
}

/// Why a sample could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SampleCommandError {
    /// The sample's own data is bad.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The output failed.
    #[error("could not write the sample")]
    Write(#[from] csv::Error),
}

/// Writes the sample that `arguments` ask for as CSV that `shop catalogue import` reads.
///
/// # Errors
/// When `output` fails.
pub fn sample_command(arguments: SampleArgs, output: impl Write) -> Result<(), SampleCommandError> {
    let SampleArgs { products, seed } = arguments;
    let mut writer = csv::Writer::from_writer(output);
    writer.write_record(["sku", "name", "price", "category"])?;
    for product in sample(products, seed)? {
        let price = decimal(product.price);
        writer.write_record([product.sku.as_str(), product.name.as_str(), &price, product.category.as_str()])?;
    }
    writer.flush().map_err(csv::Error::from)?;
    Ok(())
}

/// A price as an import reads it.
fn decimal(price: Money) -> String {
    match price.currency.minor_digits().unwrap_or_default() {
        0 => price.amount.to_string(),
        digits => {
            let scale = 10_i64.pow(digits);
            format!("{}.{:0width$}", price.amount / scale, price.amount % scale, width = digits as usize)
        }
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
