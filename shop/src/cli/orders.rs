//! `shop export` and `shop verify`: what the store itself holds. Does I/O.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use tokio::io::AsyncReadExt;

use crate::orders::{Ledger, StoredOrders, VerifyReport};

use super::{Ending, Failure, location::Location, print};

/// What is stored contradicts the ledger, or itself.
const VIOLATED: u8 = 1;

/// Nothing can be said, since something could not be read.
const UNREAD: u8 = 2;

/// Arguments of `shop verify`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Ledger of what was attempted and answered, as JSON Lines, or '-' for standard input; without it each order is checked
    /// only in itself.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
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
    let store = location.open().await.map_err(|error| Failure::new(UNREAD, error))?;
    let orders = StoredOrders::find(store.blobs).await.map_err(unread)?;
    let count = orders.export(&mut tokio::io::stdout()).await.map_err(unread)?;
    tracing::info!(count, "orders exported");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn verify(arguments: VerifyArgs) -> Ending {
    let VerifyArgs { ledger, output, location } = arguments;
    let store = location.open().await.map_err(|error| Failure::new(UNREAD, error))?;
    let orders = StoredOrders::find(store.blobs).await.map_err(|error| Failure::new(UNREAD, error))?;
    let ledger = match ledger {
        Some(path) => {
            let text = read_ledger(&path).await.map_err(|error| {
                Failure::new(UNREAD, format!("the ledger {} cannot be read: {error}", path.display()))
            })?;
            Some(Ledger::parse(&text, orders.secret()).map_err(|error| Failure::new(UNREAD, error))?)
        }
        None => None,
    };
    let has_ledger = ledger.is_some();
    let report = orders.verify(ledger).await.map_err(|error| Failure::new(UNREAD, error))?;
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
