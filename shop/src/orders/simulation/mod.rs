//! The real order engine in a simulated world: web, workers and a store whose network, clocks and lives go wrong as a seed
//! says. Everything that is random comes from the seed, so the same seed gives the same run, message for message.
//!
//! One run: `SIMULATION_SEED=7 cargo test --workspace --lib -- simulation --nocapture`, with `SHOP_LOG=shop=debug` to see it.

mod customers;
mod network;
mod run;
mod store;
mod time;
mod trouble;
mod world;

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use self::{
    run::{Ended, run},
    trouble::{Cell, Doing, Fault, Where, cells},
};

/// The seed of the process that runs it.
const SEED: &str = "SIMULATION_CHILD";

/// Seeds that a run of the tests tries, or as many as the variable `SIMULATION_COUNT` says.
const COUNT: u64 = 200;

/// Longest that a seed may take, in seconds; it takes about two, more beside other work.
const LONGEST: &str = "120";

/// Seeds that run at once.
const AT_ONCE: usize = 2;

/// What the tests look at: one seed in a process of its own, on a thread on which nothing random was drawn yet.
#[test]
#[ignore = "runs as a child of the other tests"]
fn child() {
    let Ok(seed) = std::env::var(SEED) else { return };
    let seed: u64 = seed.parse().expect("a seed");
    if std::env::var_os(crate::telemetry::FILTER_VARIABLE).is_some() {
        crate::telemetry::start(crate::telemetry::LogFormat::Text).expect("a log");
    }
    let life = thread::spawn(move || {
        fastrand::seed(seed);
        run(seed)
    });
    let ended = life.join().unwrap_or_else(|_| Ended::failed(seed, "it panicked".to_owned()));
    println!("{}", serde_json::to_string(&ended).expect("text"));
}

/// Runs seeds, and returns what became of each.
fn run_all(seeds: &[u64]) -> Vec<Ended> {
    let next = AtomicUsize::new(0);
    let mut ended = thread::scope(|scope| {
        let work = || {
            let mut ended = Vec::new();
            while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                ended.push(run_in_process(*seed));
            }
            ended
        };
        let parts: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        parts.into_iter().flat_map(|part| part.join().expect("its seeds")).collect::<Vec<_>>()
    });
    ended.sort_by_key(|ended| ended.seed);
    ended
}

/// The library that a process gets in place of chance.
fn no_chance() -> PathBuf {
    static LIBRARY: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("chance.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/orders/simulation/chance.c");
        let status = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(status.expect("a C compiler").success(), "{source} does not compile");
        (folder, library)
    });
    LIBRARY.1.clone()
}

fn run_in_process(seed: u64) -> Ended {
    // Time in the simulation does not pass by the clock; tests beside it are about real time.
    let output = Command::new("timeout")
        .args(["--kill-after=5", LONGEST, "nice"])
        .arg(std::env::current_exe().expect("a path"))
        .args(["--nocapture", "--ignored", "--exact", "orders::simulation::child"])
        .env(SEED, seed.to_string())
        .env("LD_PRELOAD", no_chance())
        .stderr(Stdio::inherit())
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let ended = text.lines().find_map(|line| serde_json::from_str(line).ok());
    ended.unwrap_or_else(|| Ended::failed(seed, format!("its process ended with {}: {text}", output.status)))
}

/// How often a fault began in each state, a line for each fault and place.
fn table(counts: &BTreeMap<Cell, u64>) -> String {
    let mut rows: BTreeMap<(Fault, Where), [u64; 3]> = BTreeMap::new();
    for ((fault, place, doing), count) in counts {
        rows.entry((*fault, *place)).or_default()[*doing as usize] += count;
    }
    let mut table = format!(
        "| fault | where | {:?} | {:?} | {:?} |\n|---|---|---|---|---|\n",
        Doing::Serving,
        Doing::Moving,
        Doing::Queueing
    );
    for ((fault, place), [serving, moving, queueing]) in rows {
        let _ = writeln!(table, "| {fault:?} | {place} | {serving} | {moving} | {queueing} |");
    }
    table
}

#[test]
fn whatever_goes_wrong_every_acknowledged_command_is_stored_once_and_every_shown_order_is_true() {
    let count = std::env::var("SIMULATION_COUNT").map_or(COUNT, |count| count.parse().expect("a number"));
    let one = std::env::var("SIMULATION_SEED").ok().map(|seed| vec![seed.parse().expect("a seed")]);
    let is_one = one.is_some();
    let seeds = one.unwrap_or_else(|| (0..count).collect());
    let ended = run_all(&seeds);
    let mut counts: BTreeMap<Cell, u64> = cells().into_iter().map(|cell| (cell, 0)).collect();
    for cell in ended.iter().flat_map(Ended::cells) {
        *counts.entry(cell).or_default() += 1;
    }
    let commands: u64 = ended.iter().map(|ended| ended.commands).sum();
    println!("{} seeds, {commands} commands\n{}", ended.len(), table(&counts));
    let wrong: Vec<_> = ended.iter().filter(|ended| !ended.wrong.is_empty()).collect();
    for ended in &wrong {
        println!("SIMULATION_SEED={}: {} faults, the first: {}", ended.seed, ended.wrong.len(), ended.wrong[0]);
    }
    assert!(wrong.is_empty(), "{} of {} seeds found something", wrong.len(), ended.len());
    assert_eq!(ended.len(), seeds.len(), "each seed ended");
    assert!(is_one || count < COUNT || counts.values().all(|count| *count > 0), "a cell of the table is empty");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let ended = run_all(&[3, 4, 3, 4]);
    let traces: Vec<_> = ended.iter().map(|ended| ended.trace).collect();
    assert_eq!((traces[0], traces[2]), (traces[1], traces[3]));
    assert_ne!(traces[0], traces[2]);
}
