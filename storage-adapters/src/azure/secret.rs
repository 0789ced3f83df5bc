//! The secret of a storage account: where it is found, and what it may look like. Reads files.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};

const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";
const SAS_TOKEN: &str = "AZURE_STORAGE_SAS_TOKEN";
const KEY: &str = "AZURE_STORAGE_KEY";

/// Names of the files or variables of which one is there.
const NAMES: [&str; 3] = [CONNECTION_STRING, SAS_TOKEN, KEY];

/// Variables that say where and how the credentials are found. They are given, not looked up, so that tests need not change
/// those of their process.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let wanted = |(name, _): &(String, String)| name.starts_with("AZURE_");
        let texts =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(texts.filter(wanted).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl<const COUNT: usize> From<[(&str, &str); COUNT]> for Environment {
    fn from(variables: [(&str, &str); COUNT]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl fmt::Debug for Environment {
    /// The names alone: a value may be secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where the secret is found.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A mounted Secret.
    Folder(PathBuf),
    /// Variables.
    Environment(Environment),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => {
                write!(formatter, "the folder '{}' (credentials of the kind 'secret')", path.display())
            }
            Self::Environment(_) => formatter.write_str("the environment (credentials of the kind 'environment')"),
        }
    }
}

/// A place without a usable secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is none.
    #[error("no credentials are in {0}; put one of {names} there", names = NAMES.join(", "))]
    Missing(String),
    /// Nobody can say which one is meant.
    #[error("both {first} and {second} are in {place}; leave the one that is meant")]
    Several {
        /// One of them.
        first: &'static str,
        /// Another one.
        second: &'static str,
        /// Where they are.
        place: String,
    },
    /// A file cannot be read.
    #[error("the file '{path}' (credentials of the kind 'secret') cannot be read; check its permissions and its mount")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The process ends.
    #[error("reading {place} was interrupted; start again")]
    Interrupted {
        /// Where the secret is.
        place: String,
        /// What interrupted it.
        source: io::Error,
    },
    /// A secret that is none.
    #[error("{name} in {place} cannot be used: {reason}")]
    Invalid {
        /// Name of the file or variable.
        name: &'static str,
        /// Where it is.
        place: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// What makes requests legitimate.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// The account's key, from which signatures are made.
    Key(Vec<u8>),
    /// A shared access signature, as a query.
    Signature(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Key(_) => "Key(..)",
            Self::Signature(_) => "Signature(..)",
        })
    }
}

impl Place {
    /// Reads the one secret that is there, which is for `account`.
    pub(super) fn read(&self, account: &str) -> Result<Secret, SecretError> {
        let mut found: Option<(&'static str, String)> = None;
        for name in NAMES {
            let Some(text) = self.text(name)? else { continue };
            if let Some((first, _)) = found {
                return Err(SecretError::Several { first, second: name, place: self.to_string() });
            }
            found = Some((name, text));
        }
        let (name, text) = found.ok_or_else(|| SecretError::Missing(self.to_string()))?;
        let text = text.trim();
        let secret = match name {
            CONNECTION_STRING => of_connection_string(text, account),
            SAS_TOKEN => of_signature(text),
            _ => of_key(text, account),
        };
        secret.map_err(|reason| SecretError::Invalid { name, place: self.to_string(), reason })
    }

    fn text(&self, name: &str) -> Result<Option<String>, SecretError> {
        match self {
            Self::Environment(variables) => Ok(variables.get(name).map(str::to_owned)),
            Self::Folder(folder) => read(&folder.join(name)),
        }
    }
}

/// A file's text; absent when there is no file.
fn read(path: &Path) -> Result<Option<String>, SecretError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SecretError::Unreadable { path: path.to_owned(), source }),
    }
}

/// The key or the signature of a connection string. Its addresses do not count: those of the settings do.
fn of_connection_string(text: &str, account: &str) -> Result<Secret, String> {
    let parts: BTreeMap<&str, &str> = text.split(';').filter_map(|part| part.trim().split_once('=')).collect();
    if let Some(other) = parts.get("AccountName").filter(|other| **other != account) {
        return Err(format!("it is for the storage account '{other}', the settings are for '{account}'"));
    }
    match (parts.get("AccountKey"), parts.get("SharedAccessSignature")) {
        (Some(key), _) => of_key(key, account),
        (None, Some(signature)) => of_signature(signature),
        (None, None) => Err(format!(
            "it holds neither an AccountKey nor a SharedAccessSignature; \
             take what 'az storage account show-connection-string --name {account}' prints"
        )),
    }
}

fn of_key(text: &str, account: &str) -> Result<Secret, String> {
    let key = STANDARD.decode(text).ok().filter(|key| !key.is_empty());
    key.map(Secret::Key).ok_or_else(|| {
        format!("it is no key in base64; take one that 'az storage account keys list --account-name {account}' prints")
    })
}

fn of_signature(text: &str) -> Result<Secret, String> {
    let query = text.strip_prefix('?').unwrap_or(text);
    let is_signed = query.split('&').any(|part| part.starts_with("sig="));
    if is_signed && query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Ok(Secret::Signature(query.to_owned()));
    }
    Err("it is no shared access signature; write it as sv=...&sig=..., as 'az storage account generate-sas' prints it"
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Secret, SecretError> {
        Place::Environment(Environment::from([(name, text)])).read("cornershop")
    }

    #[test]
    fn each_kind_of_secret_is_understood() {
        let key = || Secret::Key(b"key".to_vec());
        let signature = || Secret::Signature("sv=1&sig=abc%3D".into());
        let table = [
            (KEY, "a2V5", key()),
            (KEY, "a2V5\n", key()),
            (SAS_TOKEN, "sv=1&sig=abc%3D", signature()),
            (SAS_TOKEN, "?sv=1&sig=abc%3D\n", signature()),
            (CONNECTION_STRING, "DefaultEndpointsProtocol=https;AccountName=cornershop;AccountKey=a2V5;", key()),
            (CONNECTION_STRING, "BlobEndpoint=https://x/;SharedAccessSignature=sv=1&sig=abc%3D", signature()),
        ];
        for (name, text, secret) in table {
            assert_eq!(read(name, text).expect("a secret"), secret, "{name} {text}");
        }
    }

    #[test]
    fn each_secret_that_cannot_be_used_is_refused_with_what_to_do_and_is_not_told() {
        let table = [
            (KEY, "canary!", "az storage account keys list --account-name cornershop"),
            (SAS_TOKEN, "canary", "az storage account generate-sas"),
            (CONNECTION_STRING, "canary=1", "az storage account show-connection-string --name cornershop"),
            (CONNECTION_STRING, "AccountName=other;AccountKey=canary", "it is for the storage account 'other'"),
        ];
        for (name, text, message) in table {
            let refusal = read(name, text).expect_err("refused");
            let told = format!("{refusal} {refusal:?}");
            assert!(told.contains(message) && told.contains(name) && told.contains("'environment'"), "{told}");
            assert!(!told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn two_secrets_or_none_are_refused() {
        let both = Environment::from([(KEY, "a2V5"), (SAS_TOKEN, "sig=a")]);
        assert!(matches!(Place::Environment(both).read("a"), Err(SecretError::Several { .. })));
        let none = Place::Environment(Environment::default()).read("a").expect_err("refused").to_string();
        assert!(NAMES.iter().all(|name| none.contains(name)), "{none}");
    }

    #[test]
    fn no_secret_is_shown_for_debugging() {
        let shown = format!("{:?} {:?}", Environment::from([(KEY, "canary")]), Secret::Signature("canary".into()));
        assert!(!shown.contains("canary") && shown.contains(KEY), "{shown}");
    }
}
