//! Reads one version of a blob: its header, and its body block by block against the checksums. Does blocking I/O.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use bytes::Bytes;

use super::{
    errors::Task,
    format::{BLOCK, BlockChecksum, CHECKSUM, Header, MAX_HEADER, blocks},
};
use crate::error::{ErrorKind, Result};

/// Bytes of the first read, which finds the header and, of a small blob, all the rest.
const FIRST_READ: usize = 16 * 1024;
const _: () = assert!(FIRST_READ >= MAX_HEADER);

/// Blocks that one read of a body takes at most: 1 MiB.
const BLOCKS_A_READ: u64 = 16;

/// A version that is open, so that it can be read however often it is replaced or deleted meanwhile.
#[derive(Debug)]
pub(super) struct OpenVersion {
    pub(super) header: Header,
    file: File,
    /// How the file begins.
    beginning: Vec<u8>,
    body_begins: u64,
}

/// Reads the header of a version.
pub(super) fn read_version(file: File, task: &Task) -> Result<OpenVersion> {
    let mut beginning = vec![0; FIRST_READ];
    let length = read_up_to(&file, &mut beginning, 0).map_err(|fault| task.os(fault))?;
    beginning.truncate(length);
    let (header, header_length) =
        Header::decode(&beginning).map_err(|damage| task.fail(ErrorKind::Corrupt).with_source(damage))?;
    Ok(OpenVersion { header, file, beginning, body_begins: header_length as u64 })
}

impl OpenVersion {
    /// Reads, of the bytes of `range`, those that one read takes, from the start of the range.
    pub(super) fn read(&self, range: &Range<u64>, task: &Task) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let first_block = range.start / BLOCK;
        let end_block = blocks(range.end).min(first_block + BLOCKS_A_READ);
        let begins = first_block * BLOCK;
        let ends = (end_block * BLOCK).min(self.header.size);
        let body = self.bytes(self.body_begins + begins, ends - begins, task)?;
        let checksums_begin = self.body_begins + self.header.size;
        let checksums =
            self.bytes(checksums_begin + first_block * CHECKSUM, (end_block - first_block) * CHECKSUM, task)?;
        let checksums = checksums.as_chunks::<4>().0;
        for ((index, block), stored) in (first_block..).zip(body.chunks(length(BLOCK))).zip(checksums) {
            let mut checksum = BlockChecksum::new(self.header.nonce, index);
            checksum.update(block);
            if checksum.finish() != *stored {
                return Err(task.explain(ErrorKind::Corrupt, format!("block {index} does not match its checksum")));
            }
        }
        let wanted = length(range.start - begins)..length(ends.min(range.end) - begins);
        Ok(Bytes::from(body).slice(wanted))
    }

    /// The `count` bytes of the file from `offset`.
    fn bytes(&self, offset: u64, count: u64, task: &Task) -> Result<Vec<u8>> {
        let (start, end) = (length(offset), length(offset.saturating_add(count)));
        if let Some(bytes) = self.beginning.get(start..end) {
            return Ok(bytes.to_vec());
        }
        let mut bytes = vec![0; length(count)];
        let read = read_up_to(&self.file, &mut bytes, offset).map_err(|fault| task.os(fault))?;
        if read < bytes.len() {
            return Err(task.explain(ErrorKind::Corrupt, "the stored file is shorter than it was written"));
        }
        Ok(bytes)
    }
}

/// A length that fits the memory of a 64-bit machine, the only kind there is a build for.
fn length(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Reads until `buffer` is full or the file ends.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(filled)
}
