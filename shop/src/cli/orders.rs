//! `shop export` and `shop verify`, which read the store itself, and `shop import`. Does I/O.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use std::sync::Arc;

use tokio::{
    fs::File,
    io::{AsyncBufRead, AsyncReadExt, BufReader},
};

use crate::{
    orders::{
        ImportCount, InternalToken, Ledger, OrderClient, Role, ShopOpener, StoredOrders, VerifyReport,
        import as import_orders,
    },
    process::offline,
};

use super::{Ending, Failure, location::Location, print};

/// What is stored contradicts the ledger, or itself.
const VIOLATED: u8 = 1;

/// Nothing can be said, since something could not be read.
const UNREAD: u8 = 2;

/// The input has to be mended.
const REFUSED: u8 = 2;

/// Arguments of `shop import`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// File with the orders, as `shop export` writes them; - reads standard input.
    file: PathBuf,
    #[command(flatten)]
    location: Location,
}

/// Arguments of `shop verify`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Ledger of what was attempted and answered, as JSON Lines, or '-' for standard input; once for each that was written.
    /// Without it each order is checked only in itself.
    #[arg(long, value_name = "FILE")]
    ledger: Vec<PathBuf>,
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    location: Location,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

pub(super) async fn export(location: Location) -> Ending {
    let unread = |error| Failure::new(UNREAD, error);
    let orders = stored(&location).await?;
    let count = orders.export(&mut tokio::io::stdout()).await.map_err(unread)?;
    tracing::info!(count, "orders exported");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn import(arguments: ImportArgs) -> Ending {
    let ImportArgs { file, location } = arguments;
    let input: Box<dyn AsyncBufRead + Unpin> = if file.as_os_str() == "-" {
        Box::new(BufReader::new(tokio::io::stdin()))
    } else {
        let opened = File::open(&file).await;
        Box::new(BufReader::new(
            opened.map_err(|error| Failure::new(1, format!("{} cannot be read: {error}", file.display())))?,
        ))
    };
    let mut count = ImportCount::default();
    let ended = match location.folder().map_err(|error| Failure::new(1, error))? {
        // Nobody answers for these orders, so this process does.
        Some(embedded) => {
            let work = async |client| import_orders(&client, input, &mut count).await;
            Box::pin(offline(embedded, work)).await.map_err(|error| Failure::new(1, error))?
        }
        None => import_orders(&client_of_pods(&location).await?, input, &mut count).await,
    };
    let ImportCount { new, known } = count;
    print(format_args!("{new} orders imported, {known} were there already"))?;
    match ended {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is_of_the_input() => Err(Failure::new(REFUSED, error)),
        Err(error) => Err(Failure::new(1, error)),
    }
}

/// A client of the workers of a shop whose pods run.
async fn client_of_pods(location: &Location) -> Result<OrderClient, Failure> {
    let config = location.config().map_err(|error| Failure::new(1, error))?;
    let token = InternalToken::from_file(&config.internal.token_file).map_err(|error| Failure::new(1, error))?;
    let blobs = location.open().await.map_err(|error| Failure::new(1, error))?.blobs;
    let mut opener = ShopOpener::new(Arc::clone(&blobs), config.shop, &config.orders, Role::Web);
    let records = opener.attempt(std::time::Duration::ZERO).await.map_err(|error| Failure::new(1, error))?;
    OrderClient::new(blobs, records, token).map_err(|error| Failure::new(1, error))
}

/// The orders in the store at `location`.
async fn stored(location: &Location) -> Result<StoredOrders, Failure> {
    let home = location.storage().map_err(|error| Failure::new(UNREAD, error))?.provider;
    let store = location.open().await.map_err(|error| Failure::new(UNREAD, error))?;
    StoredOrders::find(store.blobs, home).await.map_err(|error| Failure::new(UNREAD, error))
}

pub(super) async fn verify(arguments: VerifyArgs) -> Ending {
    let VerifyArgs { ledger, output, location } = arguments;
    let orders = stored(&location).await?;
    let has_ledger = !ledger.is_empty();
    let mut attempts = Ledger::default();
    for path in ledger {
        let text = read_ledger(&path)
            .await
            .map_err(|error| Failure::new(UNREAD, format!("the ledger {} cannot be read: {error}", path.display())))?;
        attempts.add(&text, orders.secret()).map_err(|error| Failure::new(UNREAD, error))?;
    }
    let report = orders.verify(has_ledger.then_some(attempts)).await.map_err(|error| Failure::new(UNREAD, error))?;
    match output {
        Output::Json => print(serde_json::to_string(&report).map_err(|error| Failure::new(UNREAD, error))?)?,
        Output::Text => print_text(&report, has_ledger)?,
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(VIOLATED) })
}

async fn read_ledger(path: &Path) -> io::Result<String> {
    if path.as_os_str() != "-" {
        return tokio::fs::read_to_string(path).await;
    }
    let mut text = String::new();
    tokio::io::stdin().read_to_string(&mut text).await?;
    Ok(text)
}

fn print_text(report: &VerifyReport, has_ledger: bool) -> Result<(), Failure> {
    let VerifyReport { orders, lost, doubled, phantom, corrupt, faults } = report;
    if has_ledger {
        print(format_args!("{orders} orders: {lost} lost, {doubled} doubled, {phantom} phantom, {corrupt} corrupt"))?;
    } else {
        print(format_args!(
            "{orders} orders: {corrupt} corrupt; without a ledger nothing is known of lost or doubled ones"
        ))?;
    }
    for fault in faults {
        print(format_args!("{:?} {}: {}", fault.kind, fault.order, fault.what))?;
    }
    Ok(())
}
