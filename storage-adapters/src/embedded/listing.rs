//! Walks the folders of all blobs in the order of their keys. Does blocking I/O.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    errors::Task,
    paths::{self, Entry},
    reading::OpenVersion,
    versions::{Versions, clean_up, version_of},
};
use crate::{
    blob::{BlobInfo, Key},
    error::{ErrorKind, Result},
};

/// Where a listing is: the folders it is in, each with what is left of it, the next one last.
#[derive(Debug)]
pub(super) struct Walk {
    prefix: String,
    after: Option<String>,
    left: Vec<Step>,
    task: Task,
}

/// One thing to visit; ordered as the keys are.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    /// A blob's key, or what the keys of a folder begin with, which ends in `/` or is empty.
    name: String,
    path: PathBuf,
    is_blob: bool,
}

impl Walk {
    /// Begins a listing of the keys that start with `prefix` and come after `after`.
    pub(super) fn new(blobs: &Path, prefix: &str, after: Option<&Key>) -> Self {
        let folder = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        // No key lies below a folder that no key can name, and its name may be a path that leads elsewhere.
        let is_nameable = folder.is_empty() || Key::new(&folder[..folder.len() - 1]).is_ok();
        let first = Step { name: folder.to_owned(), path: paths::of_folder(blobs, folder), is_blob: false };
        Self {
            prefix: prefix.to_owned(),
            after: after.map(|key| key.as_str().to_owned()),
            left: if is_nameable { vec![first] } else { Vec::new() },
            task: Task::new("list", prefix),
        }
    }

    /// The next blobs, up to `count`; none when the listing has ended.
    pub(super) fn next(&mut self, count: usize) -> Result<Vec<BlobInfo>> {
        let mut found = Vec::new();
        while found.len() < count {
            let Some(step) = self.left.pop() else { break };
            if step.is_blob {
                found.extend(self.read(&step)?);
            } else {
                self.enter(&step)?;
            }
        }
        Ok(found)
    }

    /// Reads a blob's newest version; absent when it was deleted.
    fn read(&self, step: &Step) -> Result<Option<BlobInfo>> {
        let Some(version) = Versions::newest(&step.path, &self.task)? else {
            // Perhaps a killed process left a deletion half done; what cannot be removed now stays for the next listing.
            let _ = clean_up(&step.path);
            return Ok(None);
        };
        if version.header.key != step.name {
            return Err(self.task.explain(ErrorKind::Corrupt, format!("'{}' holds another blob", step.name)));
        }
        info_of(&version, &self.task).map(Some)
    }

    /// Puts what the folder holds before everything that is left.
    fn enter(&mut self, folder: &Step) -> Result<()> {
        let mut steps = Vec::new();
        self.collect(&folder.path, &folder.name, false, &mut steps).map_err(|fault| self.task.os(fault))?;
        steps.sort_unstable_by(|one, other| other.cmp(one));
        steps.dedup();
        self.left.append(&mut steps);
        Ok(())
    }

    fn collect(&self, folder: &Path, name: &str, is_continued: bool, steps: &mut Vec<Step>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(fault) => return Err(fault),
        };
        for entry in entries {
            let entry = entry?;
            let file_name = entry.file_name();
            match file_name.to_str().and_then(|text| paths::read_name(text, is_continued)) {
                Some(Entry::Blob(text)) => {
                    let name = format!("{name}{text}");
                    let is_after = self.after.as_ref().is_none_or(|after| name > *after);
                    if is_after && name.starts_with(&self.prefix) {
                        steps.push(Step { name, path: entry.path(), is_blob: true });
                    }
                }
                Some(Entry::Folder(text)) => {
                    let name = format!("{name}{text}/");
                    let is_after = self.after.as_ref().is_none_or(|after| name > *after || after.starts_with(&name));
                    if is_after && name.starts_with(&self.prefix) {
                        steps.push(Step { name, path: entry.path(), is_blob: false });
                    }
                }
                // Keys that begin with a long piece lie among those that end with it, so they are sorted together.
                Some(Entry::Continued(text)) => self.collect(&entry.path(), &format!("{name}{text}"), true, steps)?,
                None => {}
            }
        }
        Ok(())
    }
}

/// What the port tells about a version.
pub(super) fn info_of(version: &OpenVersion, task: &Task) -> Result<BlobInfo> {
    let header = &version.header;
    let key = Key::new(header.key.clone()).map_err(|fault| task.fail(ErrorKind::Corrupt).with_source(fault))?;
    Ok(BlobInfo { key, size: header.size, version: version_of(header), modified: header.modified })
}
