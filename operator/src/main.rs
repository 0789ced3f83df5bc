//! The operator's program. Does I/O: standard output and error.

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use operator::{
    args::{Arguments, Command},
    crd::crd_yaml,
    errors::chain,
    run::run,
};
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_current_span(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let result: Result<(), Box<dyn std::error::Error>> = match Arguments::parse().command {
        Command::Run(arguments) => run(arguments).await.map_err(Into::into),
        Command::Crd => match crd_yaml() {
            Ok(yaml) => std::io::stdout().write_all(yaml.as_bytes()).map_err(Into::into),
            Err(error) => Err(error.into()),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(error.as_ref()), "the operator ends");
            ExitCode::FAILURE
        }
    }
}
