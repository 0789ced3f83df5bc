//! Processes of the shop on this machine: `shop run`, and the other verbs of the program. Starts and ends processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use load::http::Call;
use serde_json::Value;

use crate::api::Api;
use crate::verified::clean_orders;
use crate::wait::until;

/// Time for a process to become ready, on a machine that does other things too.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Time for a process to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(30);

/// The built program: what `CLOUDSHOP_SHOP_BINARY` names, or the one that was built beside this test.
#[must_use]
pub fn shop_binary() -> PathBuf {
    if let Some(named) = std::env::var_os("CLOUDSHOP_SHOP_BINARY") {
        return named.into();
    }
    let test = std::env::current_exe().expect("this program has a path");
    let binary = test.ancestors().nth(2).expect("it is in target/PROFILE/deps").join("shop");
    let built = modified(&binary);
    assert!(
        built.is_some_and(|built| built >= newest(Path::new("../shop/src"))),
        "{} is missing or older than its source; build it: cargo build --workspace --bins",
        binary.display()
    );
    binary
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn newest(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).expect("the sources are there");
    let times = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() { newest(&path) } else { modified(&path).expect("it is there") }
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Runs another verb of the program to its end.
#[must_use]
pub fn shop_verb(arguments: &[&str]) -> Output {
    Command::new(shop_binary()).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// The same, with a file as its standard input.
#[must_use]
pub fn shop_verb_with_input(arguments: &[&str], input: &Path) -> Output {
    let input = File::open(input).expect("its input");
    Command::new(shop_binary()).args(arguments).stdin(input).output().expect("the program starts")
}

/// Checks a store on Embedded storage that no process uses with `shop verify`, and gives the number of its orders.
#[must_use]
pub fn verified_orders(data: &Path, ledger: Option<&Path>) -> u64 {
    verified_orders_of(&["--data", utf8(data)], &[], ledger)
}

/// Checks the store that `location` names with `shop verify`, and gives the number of its orders.
#[must_use]
pub(crate) fn verified_orders_of(location: &[&str], variables: &[(&str, &str)], ledger: Option<&Path>) -> u64 {
    let mut verb = Command::new(shop_binary());
    verb.args(["verify", "--output", "json"]).args(location).envs(variables.iter().copied()).stdin(Stdio::null());
    if let Some(ledger) = ledger {
        verb.args(["--ledger", utf8(ledger)]);
    }
    let output = verb.output().expect("the program starts");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {report}{}", output.status, String::from_utf8_lossy(&output.stderr));
    clean_orders(&report)
}

pub(crate) fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path of this test is UTF-8")
}

/// A running process of the shop. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts the shop's program with `arguments`; what it prints is added to `log`.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)], log: PathBuf) -> Self {
        let append = || File::options().create(true).append(true).open(&log).expect("a log");
        let child = Command::new(shop_binary())
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(append())
            .stderr(append())
            .spawn()
            .expect("the program starts");
        Self { child, log }
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ended");
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Asks it to end, waits until it has, and checks that it ended well.
    pub async fn end(mut self) {
        self.ask_to_end();
        let ended = until("the process ends", END_LIMIT, async || {
            self.child.try_wait().expect("it is ours").ok_or_else(|| self.printed())
        })
        .await;
        assert!(ended.success(), "{ended}: {}", self.printed());
    }

    /// Checks that it has not ended by itself.
    pub fn assert_running(&mut self) {
        let ended = self.child.try_wait().expect("it is ours");
        assert!(ended.is_none(), "{ended:?}: {}", self.printed());
    }

    /// Everything that it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).expect("its log")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the shop printed:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Waits until the process whose operations are at `url` says that it is ready.
pub(crate) async fn until_ready(url: &str) {
    let api = Api::at(url).await;
    until("the shop is ready", START_LIMIT, async || {
        let answer = api.client.send(Call::get("/readyz")).await.map_err(|failure| failure.to_string())?;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(crate::api::text(&answer)) }
    })
    .await;
}

/// A running `shop run`. It is killed when this is dropped.
#[derive(Debug)]
pub struct ShopProcess {
    program: Program,
    /// Where it answers.
    pub url: String,
}

impl ShopProcess {
    /// Starts a shop on the data in `folder/data`, on any free port, and waits until it is ready.
    pub async fn start(folder: &Path) -> Self {
        Self::start_on(folder, "127.0.0.1:0").await
    }

    /// Starts a shop on the data in `folder/data`, on `listen`, and waits until it is ready.
    pub async fn start_on(folder: &Path, listen: &str) -> Self {
        let log = folder.join("log");
        let before = std::fs::read_to_string(&log).unwrap_or_default().len();
        let program = Program::start(&["run", "--data", utf8(&folder.join("data")), "--listen", listen], &[], log);
        let url = until("the shop prints its URL", START_LIMIT, async || {
            let printed = program.printed();
            url_in(&printed[before..]).ok_or(printed)
        })
        .await;
        until_ready(&url).await;
        Self { program, url }
    }

    /// Its API.
    pub async fn api(&self) -> Api {
        Api::at(&self.url).await
    }

    /// `host:port`, to start it there again.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Kills it as a power cut would.
    pub fn kill(self) {
        self.program.kill();
    }

    /// Asks it to end, waits until it has, and checks that it ended well.
    pub async fn end(self) {
        self.program.end().await;
    }

    /// Everything that it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        self.program.printed()
    }

    /// Checks that it noted no error.
    pub fn assert_no_error_logged(&self) {
        let printed = self.printed();
        let errors: Vec<&str> = printed.lines().filter(|line| is_error(line)).collect();
        assert!(errors.is_empty(), "logged as errors: {errors:#?}");
    }
}

/// Whether a line of a log notes an error, or is the trace of a panic.
#[must_use]
pub fn is_error(line: &str) -> bool {
    let level = serde_json::from_str::<Value>(line).ok().and_then(|line| line["level"].as_str().map(str::to_owned));
    level.as_deref() == Some("ERROR") || line.contains("panicked at")
}

fn url_in(printed: &str) -> Option<String> {
    let start = printed.find("http://127.0.0.1:")?;
    let url: String = printed[start..].chars().take_while(|letter| !letter.is_whitespace() && *letter != '"').collect();
    // Cut short, the number of the port is not known to be whole.
    let whole = printed[start + url.len()..].starts_with(|letter: char| letter.is_whitespace() || letter == '"');
    whole.then(|| url.trim_end_matches('/').to_owned())
}
