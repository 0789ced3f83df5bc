//! Measures the adapters of the clouds beside bare loops of their SDKs, on emulators. Does network I/O.
//!
//! `adapters ROUNDS` prints a table for each cloud. The emulators are named by the variables `AWS_ENDPOINT_URL`, `AWS_REGION`,
//! `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, and `AZURE_BLOB_ENDPOINT`, `AZURE_QUEUE_ENDPOINT`,
//! `AZURE_STORAGE_ACCOUNT` and `AZURE_STORAGE_SAS_TOKEN`. On each, a bucket or container and a queue are there under the
//! names [`ADAPTERS_STORE`] and [`BARE_STORE`], empty.

mod adapter;
mod aws;
mod azure;
mod measure;
mod report;
mod side;

use std::{
    env,
    io::{Write, stdout},
};

use storage_adapters::Store;
use tokio::runtime;

use self::{
    adapter::Adapter,
    measure::measure,
    report::table,
    side::{Outcome, Side},
};

/// Name of the bucket or container, and of the queue, that the adapter uses.
const ADAPTERS_STORE: &str = "bench-adapter";

/// Name of those that the bare loop uses.
const BARE_STORE: &str = "bench-bare";

fn main() -> Outcome<()> {
    let rounds = env::args().nth(1).ok_or("usage: adapters ROUNDS")?.parse()?;
    // The runtime that the shop has. The work is a task on it, as requests to a shop are.
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { runtime.spawn(run(rounds)).await? })
}

async fn run(rounds: usize) -> Outcome<()> {
    let store = Store::open(&aws::config()?.into()).await?;
    compare("AWS (moto)", store, &aws::Bare::open().await?, rounds).await?;
    let store = Store::open(&azure::config()?.into()).await?;
    compare("Azure (Azurite)", store, &azure::Bare::open()?, rounds).await
}

async fn compare(cloud: &str, store: Store, bare: &dyn Side, rounds: usize) -> Outcome<()> {
    let adapter = Adapter(store);
    let samples = measure([&adapter, bare], rounds).await?;
    stdout().write_all(table(cloud, &samples).as_bytes())?;
    Ok(())
}

/// The variable `name`, which has to be set.
fn variable(name: &str) -> Outcome<String> {
    env::var(name).map_err(|_| format!("the variable {name} is not set; dev/bench.sh sets it").into())
}
