//! Access keys as files of a mounted Secret or as variables of the environment. Reads files.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use aws_credential_types::Credentials as Keys;

use super::credentials::{CredentialsError, CredentialsKind, Found, LookAgain};

const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// The variables whose names begin with `AWS_`, of the process or of a test.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    /// Only the names: some values are secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl<Name: Into<String>, Value: Into<String>> FromIterator<(Name, Value)> for Variables {
    fn from_iter<T: IntoIterator<Item = (Name, Value)>>(variables: T) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Variables {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok().filter(|name| name.starts_with("AWS_"))?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// A variable that is set and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A variable without which credentials of `kind` cannot be found.
    pub(super) fn require(
        &self,
        name: &str,
        kind: CredentialsKind,
        remedy: &'static str,
    ) -> Result<&str, CredentialsError> {
        self.get(name).ok_or_else(|| CredentialsError::new(kind, format!("the variable {name} is not set"), remedy))
    }
}

/// The access key in the environment.
pub(super) fn from_environment(variables: &Variables) -> Result<Found, CredentialsError> {
    let remedy = "set it, or name another place of the credentials";
    let require = |name| variables.require(name, CredentialsKind::Environment, remedy);
    let token = variables.get(SESSION_TOKEN).map(str::to_owned);
    let keys = Keys::new(require(ACCESS_KEY)?, require(SECRET_KEY)?, token, None, "environment");
    Ok(Found { keys, look_again: LookAgain::Never })
}

/// The access key in the files of a Secret.
pub(super) async fn read(folder: &Path) -> Result<Found, CredentialsError> {
    let folder = folder.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_now(&folder));
    let lost = |error| CredentialsError::passing(CredentialsKind::Secret, "the reading ended").because(error);
    let keys = reading.await.map_err(lost)??;
    Ok(Found { keys, look_again: LookAgain::Soon })
}

fn read_now(folder: &Path) -> Result<Keys, CredentialsError> {
    // Kubernetes changes all files of a Secret at once, by pointing the link `..data` at another folder.
    let data = folder.join("..data");
    let folder = data.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let access_key = read_file(&folder.join(ACCESS_KEY))?;
    let secret_key = read_file(&folder.join(SECRET_KEY))?;
    let token = folder.join(SESSION_TOKEN);
    let token = if token.exists() { Some(read_file(&token)?) } else { None };
    Ok(Keys::new(access_key, secret_key, token, None, "secret"))
}

fn read_file(path: &PathBuf) -> Result<String, CredentialsError> {
    let remedy = "put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY into the Secret, and mount it there";
    let refuse = |what: &str| {
        CredentialsError::new(CredentialsKind::Secret, format!("the file '{}' {what}", path.display()), remedy)
    };
    let text = std::fs::read_to_string(path).map_err(|error| refuse("cannot be read").because(error))?;
    match text.trim() {
        "" => Err(refuse("is empty")),
        text => Ok(text.to_owned()),
    }
}
