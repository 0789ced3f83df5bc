//! `shop-load`: arguments, signals, and where the report goes.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use load::commands::Commands;
use load::http::{Client, ClientOptions};
use load::ledger::Ledger;
use load::report::{Kind, Report};
use load::run::{Options, Progress, Rates, run};
use load::target::Target;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Puts an even load on a shop and measures what it answers.
#[derive(Debug, Parser)]
#[command(name = "shop-load", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Sends requests at fixed rates, each when it is due, and measures from then. Ends by itself.
    Run(RunArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The shop, as `http://HOST[:PORT]`. Public addresses are refused.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Searches a second.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    searches: f64,
    /// Items added to orders a second.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    adds: f64,
    /// Orders submitted a second; as many are made.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    submits: f64,
    /// How long requests are sent, as 30s, 5m or 1h.
    #[arg(long, value_name = "D", value_parser = duration)]
    duration: Duration,
    /// Write each attempted write and its outcome to this file, as JSON Lines.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Write the report to this file instead of the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Time for a whole answer.
    #[arg(long, value_name = "D", value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// Most connections.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    connections: usize,
    /// Most requests under way; what is due beyond that is not sent, and reported.
    #[arg(long, value_name = "N", default_value_t = 4_000)]
    in_flight: usize,
    /// Seed of the choice of products and searches; another one each time unless given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Allow a target on a public network. Only for a shop of your own that expects this load.
    #[arg(long)]
    public_target: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|_| "write a duration as 30s, 5m or 1h".to_owned())?;
    Duration::try_from(duration).map_err(|_| "a duration is not negative".to_owned())
}

type AnyError = Box<dyn std::error::Error>;

// One thread: it is enough for any rate that is allowed, and its processor time is easy to read.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { verb: Verb::Run(arguments) } = Arguments::parse();
    match started(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If the standard error is gone too, the exit code says it alone.
            let _ = writeln!(std::io::stderr(), "error: {}", with_causes(&*error));
            ExitCode::from(2)
        }
    }
}

async fn started(arguments: RunArguments) -> Result<(), AnyError> {
    let RunArguments {
        target,
        searches,
        adds,
        submits,
        duration,
        ledger,
        json,
        timeout,
        connections,
        in_flight,
        seed,
        public_target,
    } = arguments;
    let target = Target::resolve(&target, public_target).await?;
    let client = Client::new(target, ClientOptions { timeout, connections })?;
    let ledger = ledger.as_deref().map_or_else(|| Ok(Ledger::none()), Ledger::create)?;
    let seed = seed.unwrap_or_else(rand::random);
    let options = Options { rates: Rates { searches, adds, submits }, duration, in_flight, seed };
    let commands = Commands { client, ledger };

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let mut line = ProgressLine::new();
    let report = run(&commands, &options, stop, &mut |progress| line.show(progress)).await;
    line.end();
    // However it ended, what was attempted is written down.
    commands.ledger.flush()?;
    let report = report?;
    written(&report, json.as_deref())
}

fn written(report: &Report, json: Option<&Path>) -> Result<(), AnyError> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    match json {
        None => std::io::stdout().write_all(&text)?,
        Some(path) => {
            std::fs::write(path, &text).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
            std::io::stdout().write_all(table(report).as_bytes())?;
        }
    }
    Ok(())
}

/// The report in a few lines, for people.
fn table(report: &Report) -> String {
    use std::fmt::Write;
    let mut text = format!(
        "{:<9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
        "", "sent", "ok/s", "queued", "failed", "p50 ms", "p99 ms", "max ms"
    );
    for kind in Kind::ALL {
        let Some(row) = report.kinds.get(&kind).filter(|row| row.requests > 0) else { continue };
        let latency = row.latency_ms;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<9}{:>9}{:>9.1}{:>9}{:>9}{:>9.1}{:>9.1}{:>9.1}",
            kind.name(),
            row.requests,
            row.ok_per_second,
            row.queued,
            row.requests - row.ok,
            latency.p50,
            latency.p99,
            latency.max
        );
    }
    text
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// One line on a terminal, renewed each second; nothing elsewhere.
struct ProgressLine {
    terminal: bool,
}

impl ProgressLine {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: Progress) {
        let Progress { elapsed, ok, failed, in_flight } = progress;
        let seconds = elapsed.as_secs();
        self.write(&format!("\r{seconds:>5} s  {ok} ok  {failed} failed  {in_flight} in flight   "));
    }

    fn end(&mut self) {
        self.write("\n");
    }

    fn write(&mut self, text: &str) {
        // A terminal that went away is no reason to end the run; nobody looks at it any more.
        if self.terminal && write!(std::io::stderr(), "{text}").is_err() {
            self.terminal = false;
        }
    }
}
