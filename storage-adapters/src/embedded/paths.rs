//! Where a key's folder lies below the folder of all blobs, and back again. No I/O.
//!
//! Each segment of a key is a folder; the last one carries the mark `@`, so that `a` and `a/b` live side by side. A
//! segment longer than a file name may be goes on in a folder of the mark `+`, in which every name begins with `+`.

use std::path::{Path, PathBuf};

use crate::blob::Key;

/// Longest piece of a segment in bytes: with its marks it stays below the 255 bytes that Linux allows a file name.
const PIECE: usize = 200;

const BLOB_MARK: char = '@';
const CONTINUED_MARK: char = '+';

/// What a folder's name says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'name> {
    /// Holds the versions of the blob whose last segment ends so.
    Blob(&'name str),
    /// Holds what lies below the segment that ends so.
    Folder(&'name str),
    /// Holds the segments that begin so and go on.
    Continued(&'name str),
}

/// The folder that holds the versions of `key`.
pub(super) fn of_key(blobs: &Path, key: &Key) -> PathBuf {
    let mut path = blobs.to_path_buf();
    let mut segments = key.as_str().split('/').peekable();
    while let Some(segment) = segments.next() {
        push_segment(&mut path, segment, segments.peek().is_none());
    }
    path
}

/// The folder that holds everything whose key begins with `folder`, which is empty or ends in `/`.
pub(super) fn of_folder(blobs: &Path, folder: &str) -> PathBuf {
    let mut path = blobs.to_path_buf();
    for segment in folder.split_terminator('/') {
        push_segment(&mut path, segment, false);
    }
    path
}

fn push_segment(path: &mut PathBuf, segment: &str, is_last: bool) {
    let mut rest = segment;
    let mut name = String::with_capacity(segment.len().min(PIECE) + 2);
    while rest.len() > PIECE {
        let (piece, after) = rest.split_at(PIECE);
        name.push_str(piece);
        name.push(CONTINUED_MARK);
        path.push(&name);
        name.clear();
        name.push(CONTINUED_MARK);
        rest = after;
    }
    name.push_str(rest);
    if is_last {
        name.push(BLOB_MARK);
    }
    path.push(&name);
}

/// Reads a folder's name; absent when it is none of ours.
pub(super) fn read_name(name: &str, in_continued: bool) -> Option<Entry<'_>> {
    let name = if in_continued { name.strip_prefix(CONTINUED_MARK)? } else { name };
    let (text, entry) = if let Some(text) = name.strip_suffix(BLOB_MARK) {
        (text, Entry::Blob(text))
    } else if let Some(text) = name.strip_suffix(CONTINUED_MARK) {
        (text, Entry::Continued(text))
    } else {
        (name, Entry::Folder(name))
    };
    let ours = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte));
    ours.then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::MAX_KEY_BYTES;

    fn path(key: &str) -> PathBuf {
        of_key(Path::new("/blobs"), &Key::new(key).expect("legal key"))
    }

    #[test]
    fn a_key_and_the_keys_below_it_have_their_own_folders() {
        assert_eq!(path("a"), Path::new("/blobs/a@"));
        assert_eq!(path("a/b"), Path::new("/blobs/a/b@"));
    }

    #[test]
    fn the_longest_segment_is_split_into_legal_names() {
        let text = "x".repeat(MAX_KEY_BYTES);
        let path = path(&text);
        let names: Vec<_> = path.iter().skip(2).map(|name| name.to_str().expect("ASCII")).collect();
        assert!(names.iter().all(|name| name.len() < 255));
        let mut read = String::new();
        for (index, name) in names.iter().enumerate() {
            match read_name(name, index > 0) {
                Some(Entry::Continued(piece)) => read.push_str(piece),
                Some(Entry::Blob(piece)) => {
                    read.push_str(piece);
                    assert_eq!(index, names.len() - 1);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(read, text);
    }

    #[test]
    fn a_piece_that_is_a_dot_is_no_folder_of_its_own() {
        let path = path(&format!("{}.", "x".repeat(PIECE)));
        assert!(path.ends_with(format!("{}+/+.@", "x".repeat(PIECE))));
    }

    #[test]
    fn names_of_others_are_not_read() {
        assert_eq!(read_name("lost+found", false), None);
        assert_eq!(read_name("@", false), None);
        assert_eq!(read_name("a b@", false), None);
        assert_eq!(read_name("a@", true), None);
    }
}
