//! Which provider a shop's store lives on, as the operator renders it and the pods read it. No I/O.
//!
//! In a file it is whatever `serde` makes of it, for us TOML; in the environment it is the variables of
//! [`StorageConfig::to_environment`].

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the names of all variables begin with.
const VARIABLES: &str = "CLOUDSHOP_STORAGE_";
const PROVIDER: &str = "CLOUDSHOP_STORAGE_PROVIDER";
const EMBEDDED_PATH: &str = "CLOUDSHOP_STORAGE_EMBEDDED_PATH";

/// Where a store's blobs and messages live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Provider {
    /// The machine's own disk.
    Embedded,
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Embedded => "Embedded",
        })
    }
}

impl FromStr for Provider {
    type Err = StorageConfigError;

    fn from_str(text: &str) -> Result<Self, StorageConfigError> {
        match text {
            "Embedded" => Ok(Self::Embedded),
            _ => Err(StorageConfigError::UnknownProvider(text.to_owned())),
        }
    }
}

/// A store: its provider and that provider's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The provider in use.
    pub provider: Provider,
    /// Settings of [`Provider::Embedded`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedConfig>,
}

/// Settings of the Embedded adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Folder that holds blobs and messages, on a local file system that all processes of the shop share.
    pub path: PathBuf,
}

/// A configuration that describes no store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageConfigError {
    /// No provider is named.
    #[error("{PROVIDER} is not set; set it to the provider of the store: Embedded")]
    NoProvider,
    /// The provider does not exist.
    #[error("'{0}' is no provider; write Embedded")]
    UnknownProvider(String),
    /// A provider is named whose settings are missing.
    #[error(
        "the provider is {0}, but its settings are missing; in a file add the table of its name, in the environment the variables that begin with {VARIABLES} and its name"
    )]
    NoSettings(Provider),
    /// A variable exists that nobody reads.
    #[error("{0} is no setting of a store; correct its name or unset it")]
    UnknownVariable(String),
    /// The path depends on where the process was started.
    #[error("the store's path '{0}' is not absolute; write the whole path, beginning with '/'")]
    RelativePath(PathBuf),
    /// The path cannot be written into a file or the environment.
    #[error("the store's path '{0}' is no text of UTF-8; use another folder")]
    UnreadablePath(PathBuf),
}

impl StorageConfig {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// When a setting is missing or cannot be meant.
    pub fn validate(&self) -> Result<(), StorageConfigError> {
        let Self { provider, embedded } = self;
        match provider {
            Provider::Embedded if embedded.is_none() => return Err(StorageConfigError::NoSettings(*provider)),
            Provider::Embedded => {}
        }
        embedded.as_ref().map_or(Ok(()), EmbeddedConfig::validate)
    }

    /// The configuration as variables of the environment.
    ///
    /// # Errors
    /// When it is not valid.
    pub fn to_environment(&self) -> Result<BTreeMap<&'static str, String>, StorageConfigError> {
        self.validate()?;
        let Self { provider, embedded } = self;
        let mut variables = BTreeMap::from([(PROVIDER, provider.to_string())]);
        if let Some(EmbeddedConfig { path }) = embedded {
            let text = path.to_str().ok_or_else(|| StorageConfigError::UnreadablePath(path.clone()))?;
            variables.insert(EMBEDDED_PATH, text.to_owned());
        }
        Ok(variables)
    }

    /// Reads the configuration from variables of the environment, such as [`std::env::vars`]; others' are ignored.
    ///
    /// # Errors
    /// When a variable is missing, unknown, or cannot be meant.
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, StorageConfigError> {
        let mut ours: BTreeMap<String, String> =
            variables.into_iter().filter(|(name, _)| name.starts_with(VARIABLES)).collect();
        let provider = ours.remove(PROVIDER).ok_or(StorageConfigError::NoProvider)?.parse()?;
        let embedded = ours.remove(EMBEDDED_PATH).map(|path| EmbeddedConfig { path: path.into() });
        if let Some((name, _)) = ours.pop_first() {
            return Err(StorageConfigError::UnknownVariable(name));
        }
        let config = Self { provider, embedded };
        config.validate()?;
        Ok(config)
    }
}

impl EmbeddedConfig {
    fn validate(&self) -> Result<(), StorageConfigError> {
        let Self { path } = self;
        if !path.is_absolute() {
            return Err(StorageConfigError::RelativePath(path.clone()));
        }
        if path.to_str().is_none() {
            return Err(StorageConfigError::UnreadablePath(path.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(path: &str) -> StorageConfig {
        StorageConfig { provider: Provider::Embedded, embedded: Some(EmbeddedConfig { path: path.into() }) }
    }

    fn from(variables: &[(&str, &str)]) -> Result<StorageConfig, StorageConfigError> {
        StorageConfig::from_environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_configuration_reads_from_the_environment_as_it_was_rendered() {
        let config = embedded("/var/lib/cloudshop");
        let variables = config.to_environment().expect("valid");
        let expected =
            [("CLOUDSHOP_STORAGE_EMBEDDED_PATH", "/var/lib/cloudshop"), ("CLOUDSHOP_STORAGE_PROVIDER", "Embedded")];
        assert!(variables.iter().map(|(name, value)| (*name, value.as_str())).eq(expected));
        assert_eq!(from(&expected), Ok(config));
    }

    #[test]
    fn a_configuration_reads_from_a_file_as_it_was_rendered() {
        let config = embedded("/var/lib/cloudshop");
        let text = toml::to_string(&config).expect("rendered");
        assert_eq!(text, "provider = \"Embedded\"\n\n[embedded]\npath = \"/var/lib/cloudshop\"\n");
        assert_eq!(toml::from_str(&text), Ok(config));
    }

    #[test]
    fn a_file_with_an_unknown_field_is_refused() {
        let text = "provider = \"Embedded\"\npath = \"/data\"\n";
        assert!(toml::from_str::<StorageConfig>(text).expect_err("refused").to_string().contains("path"));
    }

    #[test]
    fn variables_of_others_are_ignored() {
        let config =
            from(&[(PROVIDER, "Embedded"), (EMBEDDED_PATH, "/data"), ("HOME", "/root"), ("CLOUDSHOP_LOG", "info")]);
        assert_eq!(config, Ok(embedded("/data")));
    }

    #[test]
    fn each_wrong_environment_is_refused_with_what_to_write() {
        let table: [(&[(&str, &str)], &str); 5] = [
            (&[], "CLOUDSHOP_STORAGE_PROVIDER is not set"),
            (&[(PROVIDER, "embedded")], "'embedded' is no provider; write Embedded"),
            (&[(PROVIDER, "Embedded")], "the provider is Embedded, but its settings are missing"),
            (&[(PROVIDER, "Embedded"), (EMBEDDED_PATH, "data")], "the store's path 'data' is not absolute"),
            (
                &[(PROVIDER, "Embedded"), (EMBEDDED_PATH, "/d"), ("CLOUDSHOP_STORAGE_EMBEDDED_PAHT", "/d")],
                "CLOUDSHOP_STORAGE_EMBEDDED_PAHT is no setting of a store",
            ),
        ];
        for (variables, message) in table {
            let refusal = from(variables).expect_err("refused").to_string();
            assert!(refusal.starts_with(message), "{refusal}");
        }
    }

    #[test]
    fn a_provider_without_settings_is_not_valid() {
        let config = StorageConfig { provider: Provider::Embedded, embedded: None };
        assert_eq!(config.validate(), Err(StorageConfigError::NoSettings(Provider::Embedded)));
    }
}
