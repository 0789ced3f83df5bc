//! The machine loses power at any moment: what the store then finds on its disk is exactly what it acknowledged.
//!
//! The real adapter works below a tracer that records its calls of the file system. From the record a model of the disk
//! makes the states that a cut may leave: what was made durable is there, and of the rest any part. The adapter is opened
//! on each of them.

mod disk;
mod recording;
mod recovery;
mod work;

use std::{collections::HashSet, path::Path, sync::LazyLock, thread};

use rand::{SeedableRng, rngs::StdRng};

use self::{
    disk::{Change, Cut},
    recording::record,
    recovery::recover,
    work::{Promise, WORKS},
};
use crate::place;

/// States that one run tries at least.
const STATES: usize = 10_000;

/// States of one moment that are tried at most.
const STATES_A_CUT: usize = 500;

/// Seed of what is drawn, so that a state that fails can be tried again.
const SEED: u64 = 20_261_126;

/// What the adapter is found to have lost or invented, and in how many states it was looked for.
#[derive(Default)]
struct Findings {
    states: usize,
    wrong: Vec<String>,
}

/// Cuts the power after each change of the record, and looks at what a store makes of what is left.
///
/// With `stop` the first finding is enough.
fn cut_everywhere(work: &str, changes: &[Change], stop: bool) -> Findings {
    // In memory: here the disk is the model.
    let memory = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut seen = HashSet::new();
    let mut findings = Findings::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for moment in 0..=changes.len() {
        let cut = Cut::after(&changes[..moment]);
        let promise = Promise::of(&changes[..moment]);
        for choice in cut.choices(STATES_A_CUT, &mut random) {
            let tree = cut.tree(&choice);
            if !seen.insert((tree.clone(), promise.clone())) {
                continue;
            }
            findings.states += 1;
            let folder = memory.path().join(findings.states.to_string());
            tree.write(&folder);
            if let Err(reason) = runtime.block_on(recover(&folder, &promise)) {
                findings.wrong.push(format!("'{work}', cut after change {moment}, kept {choice:?}: {reason}"));
            }
            std::fs::remove_dir_all(&folder).expect("removed");
            if stop && !findings.wrong.is_empty() {
                return findings;
            }
        }
    }
    findings
}

/// The findings of all works, each tried on a thread of its own.
fn cut_all(records: &[(&'static str, Vec<Change>)], stop: bool) -> Findings {
    let mut all = Findings::default();
    thread::scope(|scope| {
        let threads: Vec<_> =
            records.iter().map(|(work, changes)| scope.spawn(|| cut_everywhere(work, changes, stop))).collect();
        for thread in threads {
            let found = thread.join().expect("the model holds");
            all.states += found.states;
            all.wrong.extend(found.wrong);
        }
    });
    all
}

/// What the works do, by their names, recorded once for all tests.
static RECORDS: LazyLock<Vec<(&'static str, Vec<Change>)>> =
    LazyLock::new(|| WORKS.iter().map(|(name, _)| (*name, record(name, place().path()))).collect());

#[test]
fn after_a_power_cut_at_any_moment_the_store_holds_exactly_what_it_acknowledged() {
    let records = &*RECORDS;
    let found = cut_all(records, false);
    let changes: usize = records.iter().map(|(_, changes)| changes.len()).sum();
    println!("{} states of {changes} changes in {} works", found.states, records.len());
    assert!(found.wrong.is_empty(), "{} of {}, seed {SEED}; {}", found.wrong.len(), found.states, found.wrong[0]);
    assert!(found.states >= STATES, "only {} states", found.states);
}

#[test]
fn a_store_that_skips_the_sync_of_folders_is_caught() {
    let mut records = RECORDS.clone();
    for (_, changes) in &mut records {
        disk::forget_syncs(changes, disk::Node::is_folder);
    }
    assert!(!cut_all(&records, true).wrong.is_empty(), "nothing was found to be lost");
}

#[test]
fn a_store_that_skips_the_sync_of_files_is_caught() {
    let mut records = RECORDS.clone();
    for (_, changes) in &mut records {
        disk::forget_syncs(changes, |node| !node.is_folder());
    }
    assert!(!cut_all(&records, true).wrong.is_empty(), "nothing was found to be lost");
}

/// What the tracer looks at.
#[tokio::test]
#[ignore = "runs as a child of the other tests"]
async fn child() {
    let (Ok(name), Ok(folder)) = (std::env::var(recording::WORK), std::env::var(recording::FOLDER)) else { return };
    work::run(&name, Path::new(&folder)).await;
}
