//! The ledger: every write that was attempted, with its key and what came of it, as JSON Lines. Writes one file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use shop_contract::ledger::{Entry, Operation, Outcome};

/// Why the ledger cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the ledger {path} cannot be written; a run without its whole ledger proves nothing")]
pub struct LedgerError {
    path: PathBuf,
    source: std::io::Error,
}

/// Where entries are written; cheap to clone. Without a file, entries are dropped.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<BufWriter<File>>,
    failed: Option<std::io::Error>,
}

impl Ledger {
    /// A ledger in a new file; an existing one is replaced.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        let file = File::create(path).map_err(|source| LedgerError { path: path.to_owned(), source })?;
        Ok(Self::over(path.to_owned(), Some(BufWriter::with_capacity(1 << 16, file))))
    }

    /// A ledger that keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::over(PathBuf::new(), None)
    }

    fn over(path: PathBuf, file: Option<BufWriter<File>>) -> Self {
        Self { inner: Arc::new(Inner { path, state: Mutex::new(State { file, failed: None }) }) }
    }

    /// Starts an attempt. However it ends, also when it is dropped, it is written once.
    #[must_use]
    pub fn attempt(&self, op: Operation, order: Option<String>, item: Option<(&str, u32)>, key: String) -> Attempt {
        let entry = Entry {
            at_ns: now_ns(),
            op,
            order,
            sku: item.map(|(sku, _)| sku.to_owned()),
            quantity: item.map(|(_, quantity)| quantity).filter(|_| op != Operation::Remove),
            key,
            outcome: Outcome::Unknown,
            http: None,
            durability: None,
            persisted_ns: None,
        };
        Attempt { ledger: self.clone(), entry }
    }

    /// Hands all entries so far to the operating system.
    ///
    /// # Errors
    /// When this, or an earlier entry, could not be written.
    pub fn flush(&self) -> Result<(), LedgerError> {
        let mut state = self.state();
        let result = match state.failed.take() {
            Some(error) => Err(error),
            None => state.file.as_mut().map_or(Ok(()), Write::flush),
        };
        result.map_err(|source| LedgerError { path: self.inner.path.clone(), source })
    }

    fn record(&self, entry: &Entry) {
        let mut state = self.state();
        let Some(file) = state.file.as_mut() else { return };
        // Into a buffer, or the page cache: short enough to be done in place.
        let written = serde_json::to_writer(&mut *file, entry).map_err(Into::into).and_then(|()| file.write_all(b"\n"));
        if let Err(error) = written {
            state.failed.get_or_insert(error);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A line that a panic cut short is found by whoever reads the ledger.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that is under way; it is written to the ledger when it is dropped, as unknown unless it was ended.
#[derive(Debug)]
pub struct Attempt {
    ledger: Ledger,
    /// What will be written.
    pub entry: Entry,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.ledger.record(&self.entry);
    }
}

/// The wall clock, in nanoseconds since 1970.
#[must_use]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_is_cut_short_is_written_as_unknown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path).expect("created");
        drop(ledger.attempt(Operation::Add, Some("o".into()), Some(("SKU-1", 3)), "k".into()));
        let mut ended = ledger.attempt(Operation::Submit, Some("o".into()), None, "l".into());
        ended.entry.outcome = Outcome::Acked;
        ended.entry.http = Some(200);
        drop(ended);
        ledger.flush().expect("flushed");
        let text = std::fs::read_to_string(&path).expect("read");
        let entries: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].outcome, entries[0].quantity), (Outcome::Unknown, Some(3)));
        assert_eq!((entries[1].outcome, entries[1].http), (Outcome::Acked, Some(200)));
        assert!(text.starts_with(r#"{"at_ns":"#) && text.contains(r#""op":"add","order":"o","sku":"SKU-1""#), "{text}");
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_a_shorter_ledger() {
        let ledger = Ledger::create(Path::new("/dev/full")).expect("opened");
        drop(ledger.attempt(Operation::Create, None, None, "k".into()));
        assert!(ledger.flush().is_err());
    }
}
