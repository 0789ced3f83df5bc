//! Sets up the logs of the process: JSON lines on standard error. Writes to standard error.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The variable that says what is logged, in the syntax of `tracing` filters, such as `info,shop::web=debug`.
pub const FILTER_VARIABLE: &str = "SHOP_LOG";

/// What is logged when nothing else is asked for.
const DEFAULT_FILTER: &str = "info,slatedb=warn";

/// Why the logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not valid.
    #[error("the variable {FILTER_VARIABLE} is no log filter; write for example 'info' or 'info,shop::web=debug'")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something set up logs before.
    #[error("logs were set up twice in one process")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// For people at a terminal.
    Text,
}

impl LogFormat {
    /// Text at a terminal, else JSON.
    #[must_use]
    pub fn of_standard_error() -> Self {
        if std::io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Starts logging to standard error.
///
/// # Errors
/// When the filter in [`FILTER_VARIABLE`] is not valid, or logs were set up before.
pub fn start(format: LogFormat) -> Result<(), TelemetryError> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(text)?,
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let lines = match format {
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Text => fmt::layer().compact().with_writer(std::io::stderr).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok(())
}
