//! Keeps a signature for requests at hand: renews the one made from a key, and notices when the secret is replaced. Reads
//! the secret's files.

use std::{fmt, sync::Arc, time::Duration};

use azure_core::error::ErrorKind;
use jiff::Timestamp;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{
    account_sas::sign,
    secret::{Place, Secret, SecretError},
};

/// How often the files are looked at. A Secret that Kubernetes replaces is seen within this time.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How soon they are looked at again when the service refuses what they gave.
const LOOK_AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// How long a signature made from a key holds. Short, so that one which leaks is soon worthless.
const LIFETIME: Duration = Duration::from_hours(1);

/// How long before its end a signature is replaced: time enough for the longest request and for a clock that is wrong.
const RENEWED_BEFORE: Duration = Duration::from_mins(20);

/// The signature of one account, as it is now.
pub(super) struct Signatures {
    place: Place,
    account: String,
    may_be_plain_http: bool,
    state: Mutex<State>,
}

struct State {
    secret: Secret,
    looked: Instant,
    /// Why the secret could not be read when it was last looked at. The old one is used as long as the service takes it.
    problem: Option<SecretError>,
    /// What was made from a key, and until when it holds.
    made: Option<(Arc<str>, Timestamp)>,
}

impl fmt::Debug for Signatures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Signatures").field(&self.place).finish()
    }
}

impl Signatures {
    /// Reads the secret for the first time.
    pub(super) async fn open(place: Place, account: &str, may_be_plain_http: bool) -> Result<Self, SecretError> {
        let secret = read(&place, account).await?;
        let state = Mutex::new(State { secret, looked: Instant::now(), problem: None, made: None });
        Ok(Self { place, account: account.to_owned(), may_be_plain_http, state })
    }

    /// The signature for a request that is sent now.
    pub(super) async fn current(&self) -> azure_core::Result<Arc<str>> {
        let state = self.look(LOOK_EVERY).await;
        self.signature(state)
    }

    /// Another signature than the one that the service refused; absent when there is none.
    pub(super) async fn instead_of(&self, refused: &str) -> azure_core::Result<Option<Arc<str>>> {
        let mut state = self.look(LOOK_AFTER_REFUSAL).await;
        if let Some(problem) = state.problem.take() {
            return Err(azure_core::Error::new(ErrorKind::Credential, problem));
        }
        let signature = self.signature(state)?;
        Ok((*signature != *refused).then_some(signature))
    }

    /// Looks at the secret when that was last done longer than `age` ago.
    async fn look(&self, age: Duration) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().await;
        // The environment of a process does not change.
        if matches!(self.place, Place::Folder(_)) && state.looked.elapsed() >= age {
            state.looked = Instant::now();
            match read(&self.place, &self.account).await {
                Ok(secret) if secret != state.secret => {
                    *state = State { secret, looked: state.looked, problem: None, made: None };
                }
                Ok(_) => state.problem = None,
                Err(problem) => state.problem = Some(problem),
            }
        }
        state
    }

    fn signature(&self, mut state: MutexGuard<'_, State>) -> azure_core::Result<Arc<str>> {
        let key = match &state.secret {
            Secret::Signature(signature) => return Ok(signature.as_str().into()),
            Secret::Key(key) => key,
        };
        let now = Timestamp::now();
        if let Some((signature, _)) = state.made.as_ref().filter(|(_, until)| now + RENEWED_BEFORE < *until) {
            return Ok(signature.clone());
        }
        let until = now + LIFETIME;
        let signature: Arc<str> = sign(&self.account, key, self.may_be_plain_http, until)
            .ok_or_else(|| azure_core::Error::with_message(ErrorKind::Credential, "the account's key signs nothing"))?
            .into();
        state.made = Some((signature.clone(), until));
        Ok(signature)
    }
}

/// Reads the secret on a thread that may block.
async fn read(place: &Place, account: &str) -> Result<Secret, SecretError> {
    let (read_place, account) = (place.clone(), account.to_owned());
    let read = tokio::task::spawn_blocking(move || read_place.read(&account)).await;
    read.unwrap_or_else(|fault| Err(SecretError::Interrupted { place: place.to_string(), source: fault.into() }))
}
