//! The command line: parses it, runs the verb, prints what came of it. Does I/O.

mod catalogue;
mod doctor;
mod location;
mod orders;
mod pods;

use std::{error::Error, io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    catalogue::{ImportArgs as CatalogueArgs, SampleArgs},
    telemetry::{self, LogFormat},
};

use self::{
    location::Location,
    orders::{ImportArgs, VerifyArgs},
    pods::{PodArgs, RunArgs},
};

/// An online shop that no cloud owns.
#[derive(Debug, Parser)]
#[command(name = "shop", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the whole shop in one process, on Embedded storage.
    Run(RunArgs),
    /// Run a web pod: pages, API and search.
    Web(PodArgs),
    /// Run a worker pod: owns order shards and confirms orders.
    Worker(PodArgs),
    /// Import products, or write a sample of some.
    #[command(subcommand)]
    Catalogue(CatalogueVerb),
    /// Open the shop's store, try it out, and say what is in it or how to mend it.
    Doctor(Location),
    /// Write all orders as JSON Lines, each with its digest.
    Export(Location),
    /// Take orders in that were exported, each whole and once; those that are there already stay as they are.
    Import(ImportArgs),
    /// Check what is stored, and compare it with a ledger of what was answered.
    Verify(VerifyArgs),
}

#[derive(Debug, Subcommand)]
enum CatalogueVerb {
    /// Import products as the shop's catalogue, all or none.
    Import {
        #[command(flatten)]
        arguments: CatalogueArgs,
        #[command(flatten)]
        location: Location,
    },
    /// Write sample products as CSV.
    Sample(SampleArgs),
}

/// What a verb ends with: its exit code, or why it could not be done.
type Ending = Result<ExitCode, Failure>;

/// Why a verb could not be done, and the exit code that says so.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    fn new(code: u8, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { code, error: error.into() }
    }
}

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { verb } = Arguments::parse();
    match telemetry::start(LogFormat::of_standard_error())
        .map_err(|error| Failure::new(1, error))
        .and_then(|()| run(verb))
    {
        Ok(code) => code,
        Err(Failure { code, error }) => {
            tell(&*error);
            ExitCode::from(code)
        }
    }
}

fn run(verb: Verb) -> Ending {
    // This one needs neither a store nor a runtime.
    if let Verb::Catalogue(CatalogueVerb::Sample(arguments)) = verb {
        return catalogue::sample(arguments);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(1, error))?.block_on(async {
        match verb {
            Verb::Run(arguments) => pods::run(arguments).await,
            Verb::Web(arguments) => pods::web(arguments).await,
            Verb::Worker(arguments) => pods::worker(arguments).await,
            Verb::Catalogue(CatalogueVerb::Import { arguments, location }) => {
                catalogue::import(arguments, location).await
            }
            Verb::Catalogue(CatalogueVerb::Sample(arguments)) => catalogue::sample(arguments),
            Verb::Doctor(location) => doctor::doctor(location).await,
            Verb::Export(location) => orders::export(location).await,
            Verb::Import(arguments) => orders::import(arguments).await,
            Verb::Verify(arguments) => orders::verify(arguments).await,
        }
    })
}

/// Tells a person what went wrong: the error, then what caused it, each once.
fn tell(error: &(dyn Error + 'static)) {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str("\n  because: ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a line for whoever called.
fn print(line: impl std::fmt::Display) -> Result<(), Failure> {
    let mut output = std::io::stdout();
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(|error| Failure::new(1, error))
}
