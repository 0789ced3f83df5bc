//! The pods of one shop as processes on this machine, each on a loopback address of its own. Starts and ends processes.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use futures::future::join_all;
use shop_contract::config::{
    CatalogueConfig, FORMAT, InternalConfig, OnPartitionConfig, OrdersConfig, ShopConfig, ShopIdentity,
};
use shop_contract::{OPERATIONS_PORT, PUBLIC_PORT};
use storage_adapters::config::StorageConfig;
use uuid::Uuid;

use crate::cloud_store::{CloudStore, SECRETS};
use crate::process::{Program, is_error, until_ready, utf8, verified_orders_of};

/// Order shards of the shop.
pub const SHARDS: u16 = 4;

/// Workers of the shop.
const WORKERS: u8 = 2;

/// The token of the internal API of the shop.
const TOKEN: &str = "a-token-for-a-test-alone";

/// One web process and two workers.
#[derive(Debug)]
pub struct Pods {
    /// Where the shop sells.
    pub url: String,
    web: Program,
    workers: Vec<Program>,
}

impl Pods {
    /// Starts a shop whose store is `store`, reached as `storage` says, and waits until all of it is ready.
    pub async fn start(folder: &Path, store: &CloudStore, storage: StorageConfig) -> Self {
        Self::start_with(folder, store, storage, OnPartitionConfig::default(), &[]).await
    }

    /// The same, with another choice of what is given up when something is out of reach, and with these variables as well.
    pub async fn start_with(
        folder: &Path,
        store: &CloudStore,
        storage: StorageConfig,
        on_partition: OnPartitionConfig,
        variables: &[(&str, &str)],
    ) -> Self {
        let config = write_config(folder, "shop.toml", storage, on_partition);
        // The whole of 127.0.0.0/8 is this machine; every shop of a test run has a network of its own in it.
        let [first, second, ..] = *Uuid::new_v4().as_bytes();
        let address = |number| Ipv4Addr::new(127, first.max(1), second, number).to_string();
        let start = |verb, number| {
            let address = address(number);
            let arguments = [verb, "--config", utf8(&config), "--listen", &address];
            let variables = [store.credentials(), variables, &[("POD_IP", &address)]].concat();
            Program::start(&arguments, &variables, folder.join(format!("{verb}-{number}.log")))
        };
        let numbers = 2..2 + WORKERS;
        let workers = numbers.clone().map(|number| start("worker", number)).collect();
        let pods = Self { url: format!("http://{}:{PUBLIC_PORT}", address(1)), web: start("web", 1), workers };
        let urls: Vec<String> =
            (1..numbers.end).map(|number| format!("http://{}:{OPERATIONS_PORT}", address(number))).collect();
        join_all(urls.iter().map(|url| until_ready(url))).await;
        pods
    }

    /// Checks that none of them has ended by itself.
    pub fn assert_running(&mut self) {
        self.web.assert_running();
        self.workers.iter_mut().for_each(Program::assert_running);
    }

    /// Stops a worker, which then answers nobody, until it is [resumed](Self::resume_worker).
    pub fn pause_worker(&self, number: usize) {
        self.workers[number].signal("-STOP");
    }

    /// Lets a worker go on, which may think that no time has passed.
    pub fn resume_worker(&self, number: usize) {
        self.workers[number].signal("-CONT");
    }

    /// What the workers printed so far.
    #[must_use]
    pub fn printed_by_workers(&self) -> String {
        self.workers.iter().map(Program::printed).collect()
    }

    /// What all of them printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        self.web.printed() + &self.printed_by_workers()
    }

    /// Ends them in good order, the workers last, and checks that none noted an error or told a secret.
    pub async fn end(self) {
        for program in [self.web].into_iter().chain(self.workers) {
            let printed = program.printed();
            assert_no_error_of_ours(&printed);
            assert_no_secret("a log", &printed);
            program.end().await;
        }
    }
}

/// Checks that `text` has none of the secrets in it that the stores and pods of a test are opened with.
pub fn assert_no_secret(what: &str, text: &str) {
    for secret in SECRETS.iter().chain([&TOKEN]) {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} tells the secret {secret:?}: {}", line.unwrap_or_default());
    }
}

/// A database that is cut off from its store because another may own it notes that as an error of its own.
fn assert_no_error_of_ours(printed: &str) {
    let is_ours = |line: &&str| is_error(line) && !line.contains(r#""target":"slatedb"#);
    let errors: Vec<&str> = printed.lines().filter(is_ours).collect();
    assert!(errors.is_empty(), "logged as errors: {errors:#?}");
}

/// Checks `store` with `shop verify`, straight on its emulator, and gives the number of its orders.
#[must_use]
pub fn verified_orders(folder: &Path, store: &CloudStore, ledger: &Path) -> u64 {
    let config = write_config(folder, "straight.toml", store.config(&store.emulator), OnPartitionConfig::default());
    verified_orders_of(&["--config", utf8(&config)], store.credentials(), Some(ledger))
}

/// Writes the config of a shop of these tests to a file of this name, and its token beside; gives the file's path.
#[must_use]
pub fn write_config(folder: &Path, name: &str, storage: StorageConfig, on_partition: OnPartitionConfig) -> PathBuf {
    let token_file = folder.join("token");
    std::fs::write(&token_file, TOKEN).expect("written");
    let config = ShopConfig {
        format: FORMAT,
        shop: ShopIdentity {
            name: "corner".to_owned(),
            namespace: "shops".to_owned(),
            uid: "corner-of-a-test".to_owned(),
            initialise: true,
            adopt_existing: false,
        },
        orders: OrdersConfig { shards: SHARDS },
        on_partition,
        catalogue: CatalogueConfig { sample: true },
        internal: InternalConfig { token_file },
        storage,
    };
    let path = folder.join(name);
    std::fs::write(&path, config.render().expect("it renders")).expect("written");
    path
}
