//! What the Azure adapter promises beyond the contract of the ports.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod credentials;
mod identity;
mod lost_reply;
mod metering;
mod opening;
mod privileges;
mod proxy;
mod server;

use std::{
    error::Error as StdError,
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use storage_adapters::{BlobStore, Error, ErrorKind, Key, Metadata, PutMode, Version};

/// Longest time that a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_mins(1);

fn key(text: &str) -> Key {
    Key::new(text).expect("a legal key")
}

async fn put(blobs: &dyn BlobStore, name: &str, mode: PutMode) -> Result<Version, Error> {
    blobs.put(&key(name), "body".into(), &Metadata::new(), mode).await
}

fn kind<T>(outcome: &Result<T, Error>) -> Option<ErrorKind> {
    outcome.as_ref().err().map(Error::kind)
}

/// Everything that an error says of itself and its causes, to people and to programmers.
fn told(error: &dyn StdError) -> String {
    let mut told = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}\n{error} {error:?}");
        cause = error.source();
    }
    told
}

/// Replaces the files of a mounted Secret as Kubernetes does: all at once, by a link to another folder.
fn mount(folder: &Path, generation: &str, files: &[(&str, &str)]) {
    let data = folder.join(generation);
    fs::create_dir(&data).expect("a folder");
    for (name, text) in files {
        fs::write(data.join(name), text).expect("a file");
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).expect("a link");
        }
    }
    let (new, current) = (folder.join("..new"), folder.join("..data"));
    symlink(generation, &new).expect("a link");
    fs::rename(new, current).expect("the links change places");
}

/// Repeats what will succeed soon.
async fn until_ok<T, E: StdError>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{what}: {}", told(&error)),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
