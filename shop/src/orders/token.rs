//! The shop's internal token, read from the file that holds it, again when it changes. Does I/O.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a token is used before its file is read again; a mounted Secret takes longer than this to change anyway.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Longest token.
const MAX_BYTES: usize = 4096;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the file {path} with the shop's internal token cannot be read; mount the Secret, or mend its permissions")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no token in it.
    #[error("the file {path} holds no usable token: write 16 to {MAX_BYTES} visible characters into it")]
    Unusable {
        /// Which file.
        path: PathBuf,
    },
}

/// The token that every internal request carries. Clones share it.
#[derive(Clone)]
pub struct InternalToken(Arc<Inner>);

struct Inner {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    current: Arc<str>,
    /// The one before, so that a pod that has read the new one already is understood, and the other way round.
    previous: Option<Arc<str>>,
    read_at: Instant,
}

impl InternalToken {
    /// Reads the token for the first time.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let current = read(path)?;
        let state = State { current, previous: None, read_at: Instant::now() };
        Ok(Self(Arc::new(Inner { path: Some(path.to_owned()), state: Mutex::new(state) })))
    }

    /// A token of one process that is made of `secret`, which must be random.
    #[must_use]
    pub fn of_process(secret: &str) -> Self {
        let state = State { current: secret.into(), previous: None, read_at: Instant::now() };
        Self(Arc::new(Inner { path: None, state: Mutex::new(state) }))
    }

    /// The token to send. When its file cannot be read just now, the one that was read before.
    #[must_use]
    pub fn current(&self) -> Arc<str> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = self.0.path.as_deref().filter(|_| state.read_at.elapsed() >= READ_AGAIN) {
            state.read_at = Instant::now();
            match read(path) {
                Ok(token) if token != state.current => {
                    let before = std::mem::replace(&mut state.current, token);
                    state.previous = Some(before);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the internal token was not read again; the one before is used"),
            }
        }
        Arc::clone(&state.current)
    }

    /// Whether `given` is the token, or the one before it; takes as long for a nearly right one as for any other of its
    /// length.
    #[must_use]
    pub fn accepts(&self, given: &[u8]) -> bool {
        let current = self.current();
        let previous = self.0.state.lock().unwrap_or_else(PoisonError::into_inner).previous.clone();
        let is_current = same(given, &current);
        let is_previous = previous.is_some_and(|previous| same(given, &previous));
        is_current | is_previous
    }
}

impl fmt::Debug for InternalToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InternalToken(..)")
    }
}

fn read(path: &Path) -> Result<Arc<str>, TokenError> {
    let text = std::fs::read_to_string(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    let token = text.trim();
    let usable = (16..=MAX_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if usable { Ok(token.into()) } else { Err(TokenError::Unusable { path: path.to_owned() }) }
}

fn same(given: &[u8], token: &str) -> bool {
    let length = given.len() == token.len();
    let difference = given.iter().zip(token.as_bytes()).fold(0, |sum, (left, right)| sum | (left ^ right));
    std::hint::black_box(difference) == 0 && length
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn only_the_token_is_accepted_and_it_is_never_shown() {
        let token = InternalToken::of_process(TOKEN);
        assert!(token.accepts(TOKEN.as_bytes()));
        for wrong in ["", "0123456789abcdeg", "0123456789abcde", "0123456789abcdef0"] {
            assert!(!token.accepts(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(TOKEN));
    }

    #[test]
    fn a_file_without_a_token_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        assert!(matches!(InternalToken::from_file(&path), Err(TokenError::Read { .. })));
        std::fs::write(&path, "short\n").expect("writes");
        assert!(matches!(InternalToken::from_file(&path), Err(TokenError::Unusable { .. })));
        std::fs::write(&path, format!("{TOKEN}\n")).expect("writes");
        assert!(InternalToken::from_file(&path).expect("a token").accepts(TOKEN.as_bytes()));
    }
}
