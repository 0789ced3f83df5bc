//! `shop run`, `shop web` and `shop worker`. Does I/O.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use crate::process::{run_alone, run_web, run_worker};

use super::{
    Ending, Failure,
    location::{embedded, read},
    print,
};

/// Arguments of `shop run`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArgs {
    /// Folder for the shop's data; made when it does not exist.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Arguments of `shop web` and `shop worker`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PodArgs {
    /// Config file, as the operator renders it.
    #[arg(long, value_name = "FILE", default_value = shop_contract::CONFIG_PATH)]
    config: PathBuf,
    /// Address to listen on, at the ports of a pod; a pod listens on all that it has.
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    listen: IpAddr,
}

pub(super) async fn run(arguments: RunArgs) -> Ending {
    let RunArgs { data, listen } = arguments;
    let storage = embedded(&data).map_err(|error| Failure::new(1, error))?;
    let tell = |address: SocketAddr| {
        // Whoever started it may have closed the output; the shop sells all the same.
        let _ = print(format_args!("The shop is open at http://{address} and keeps its data in {}.", data.display()));
    };
    Box::pin(run_alone(storage, listen, tell)).await.map_err(|error| Failure::new(1, error))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn web(arguments: PodArgs) -> Ending {
    let PodArgs { config, listen } = arguments;
    let config = read(&config).map_err(|error| Failure::new(1, error))?;
    run_web(config, listen).await.map_err(|error| Failure::new(1, error))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn worker(arguments: PodArgs) -> Ending {
    let PodArgs { config, listen } = arguments;
    let config = read(&config).map_err(|error| Failure::new(1, error))?;
    run_worker(config, listen).await.map_err(|error| Failure::new(1, error))?;
    Ok(ExitCode::SUCCESS)
}
