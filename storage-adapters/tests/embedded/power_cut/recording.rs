//! Runs a work below `strace` and reads its record: the calls that change files and folders, in their order.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::disk::{Change, Cut, Recorder, Tree};

/// Names the work that the traced process does, and the folder of its store.
pub(super) const WORK: &str = "STORAGE_ADAPTERS_WORK";
pub(super) const FOLDER: &str = "STORAGE_ADAPTERS_FOLDER";

/// The calls that are recorded: all that change a file, a folder, or what of them is durable.
const CALLS: &str = "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,\
    unlinkat,rmdir,write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,fallocate,copy_file_range,sendfile,\
    fsync,fdatasync,sync,syncfs,sync_file_range";

/// Longest that leases of the work last.
const LEASES_END: Duration = Duration::from_millis(1_100);

/// The changes that the work `name` makes to a store in a new folder of `place`.
pub(super) fn record(name: &str, place: &Path) -> Vec<Change> {
    let (folder, file) = (place.join("store"), place.join("record"));
    let status = Command::new("strace")
        .args(["--follow-forks", "--quiet=all", "--strings-in-hex=all", "--string-limit=1048576", "--signal=none"])
        .args(["--trace", CALLS, "--output"])
        .arg(&file)
        .arg(std::env::current_exe().expect("a path"))
        .args(["--nocapture", "--ignored", "--exact", "power_cut::child"])
        .env(WORK, name)
        .env(FOLDER, &folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace runs; install it: apt-get install strace");
    assert!(status.success(), "the work '{name}' failed below strace: {status}");
    let text = std::fs::read_to_string(&file).expect("a record");
    let mut recorder = Recorder::new(&folder);
    for call in whole_calls(&text) {
        recorder.call(&call);
    }
    let changes = recorder.changes();
    // The model is right about a work that no cut disturbs.
    let cut = Cut::after(&changes);
    assert_eq!(cut.tree(&cut.everything()), Tree::read(&folder), "the record of '{name}' is not what happened");
    thread::sleep(LEASES_END);
    changes
}

/// A call that succeeded.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) result: u64,
}

/// An argument as `strace` prints it.
#[derive(Debug)]
pub(super) enum Argument {
    /// A text or bytes.
    Bytes(Vec<u8>),
    /// A number or names of flags.
    Word(String),
}

impl Argument {
    pub(super) fn word(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Bytes(_) => "",
        }
    }

    /// What stands in quotes; nothing where there is something else.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Word(_) => &[],
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(String::from_utf8_lossy(self.bytes()).into_owned())
    }
}

/// The calls that succeeded, those that other threads interrupted where they ended.
fn whole_calls(text: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (process, line) = line.split_once(' ').expect("the number of a process");
        let line = line.trim_start();
        if let Some(beginning) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(process, beginning);
        } else if let Some(rest) = line.strip_prefix("<... ") {
            let (_, rest) = rest.split_once(" resumed>").expect("a call that goes on");
            let beginning = begun.remove(process).expect("the call has begun");
            calls.extend(parse(&format!("{beginning}{rest}")));
        } else {
            calls.extend(parse(line));
        }
    }
    calls
}

/// Reads one call; none when it failed.
fn parse(line: &str) -> Option<Call> {
    let (call, result) = line.rsplit_once(" = ")?;
    let (name, arguments) = call.trim_end().strip_suffix(')')?.split_once('(')?;
    let result = result.split(' ').next()?.parse().ok()?;
    let arguments = arguments.split(", ").map(argument).collect();
    Some(Call { name: name.to_owned(), arguments, result })
}

/// All characters of a text are printed as `\x` and two digits, so that no comma or quote is among them.
fn argument(text: &str) -> Argument {
    let Some(quoted) = text.strip_prefix('"') else { return Argument::Word(text.to_owned()) };
    let hex = quoted.strip_suffix('"').expect("the whole text: --string-limit is too small");
    let byte = |digits: &str| u8::from_str_radix(digits, 16).expect("two digits");
    Argument::Bytes(hex.split("\\x").skip(1).map(byte).collect())
}
