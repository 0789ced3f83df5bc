//! Configurations of other servers, and credentials in a folder like a mounted Secret.

use std::{fs, os::unix::fs::symlink};

use storage_adapters::config::{AwsConfig, AwsCredentials};
use tempfile::TempDir;
use url::Url;

use crate::fixture::config_on;

/// A configuration of names on another server.
pub(crate) fn config_at(bucket: &str, queue: &str, server: &Url) -> AwsConfig {
    config_on(bucket, queue, server, server)
}

/// The same store, with the credentials of a Secret.
pub(crate) fn with_secret(config: AwsConfig, secret: &SecretFolder) -> AwsConfig {
    AwsConfig { credentials: AwsCredentials::Secret { folder: secret.0.path().to_owned() }, ..config }
}

/// A Secret as Kubernetes mounts it: files that are links into a folder, which another one replaces as a whole.
pub(crate) struct SecretFolder(TempDir);

impl SecretFolder {
    pub(crate) fn new(access_key: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            symlink(format!("..data/{name}"), folder.path().join(name)).expect("a link");
        }
        let secret = Self(folder);
        secret.rotate(access_key);
        secret
    }

    /// Replaces the access key.
    pub(crate) fn rotate(&self, access_key: &str) {
        let folder = self.0.path();
        let data = format!("..{access_key}");
        fs::create_dir(folder.join(&data)).expect("a folder");
        fs::write(folder.join(&data).join("AWS_ACCESS_KEY_ID"), access_key).expect("written");
        fs::write(folder.join(&data).join("AWS_SECRET_ACCESS_KEY"), "secret\n").expect("written");
        symlink(&data, folder.join("..data_tmp")).expect("a link");
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("renamed");
    }

    /// Takes the files away.
    pub(crate) fn remove(&self) {
        fs::remove_file(self.0.path().join("..data")).expect("removed");
    }
}
