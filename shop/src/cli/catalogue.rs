//! `shop catalogue`. Does I/O.

use std::process::ExitCode;

use crate::catalogue::{ImportArgs, SampleArgs, import_command, sample_command};

use super::{Ending, Failure, location::Location, print};

pub(super) async fn import(arguments: ImportArgs, location: Location) -> Ending {
    let places = location.open_places().await.map_err(|error| Failure::new(1, error))?;
    let summary = import_command(&arguments, &places, tokio::io::stdin())
        .await
        .map_err(|error| Failure::new(error.exit_code(), error))?;
    print(summary)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn sample(arguments: SampleArgs) -> Ending {
    sample_command(arguments, std::io::stdout().lock()).map_err(|error| Failure::new(1, error))?;
    Ok(ExitCode::SUCCESS)
}
