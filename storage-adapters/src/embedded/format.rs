//! How a version of a blob is laid out in its file: header, body, and a checksum of each block of the body. No I/O.
//!
//! All numbers are little-endian. The header:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the letters `CLDSHPB` and the number of the format |
//! | 4 | CRC-32 of the rest of the header |
//! | 4 | length of the whole header |
//! | 1 + 7 | whether it is a body or a deletion; zeros |
//! | 8, 8 | length of the body; microseconds since 1970 when it was written |
//! | 16 | nonce that names this version |
//! | 2, 2, 4 | length of the key; number of metadata entries; zeros |
//! | ... | the key; then each entry as two lengths of two bytes, name and value |
//!
//! A block's checksum covers the version's nonce and the block's number too, so that a block of another file, or of
//! another place, is told from the right one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::blob::Metadata;

/// Bytes of a body that share one checksum.
pub(super) const BLOCK: u64 = 64 * 1024;

/// Bytes of one checksum.
pub(super) const CHECKSUM: u64 = 4;

/// Longest header: fixed part, key, metadata whose entries are as short, and so as many, as may be, and our own entries.
pub(super) const MAX_HEADER: usize = FIXED
    + crate::blob::MAX_KEY_BYTES
    + crate::blob::MAX_METADATA_BYTES
    + 4 * crate::blob::MAX_METADATA_BYTES / 2
    + 256;

const FIXED: usize = 64;
const MAGIC: [u8; 8] = *b"CLDSHPB\x01";

/// What a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The blob has a body.
    Body,
    /// The blob was deleted.
    Deletion,
}

/// Everything about a version but its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) key: String,
    pub(super) metadata: Metadata,
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    pub(super) nonce: Uuid,
}

/// A header that is not as it was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored header is damaged: {0}")]
pub(super) struct Damaged(&'static str);

impl Header {
    /// The header as stored.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.key.len() + 64);
        bytes.extend(MAGIC);
        bytes.extend([0; 8]);
        bytes.push(match self.kind {
            Kind::Body => 1,
            Kind::Deletion => 2,
        });
        bytes.extend([0; 7]);
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.modified.as_microsecond().to_le_bytes());
        bytes.extend(self.nonce.as_bytes());
        bytes.extend(short(self.key.len()));
        bytes.extend(short(self.metadata.len()));
        bytes.extend([0; 4]);
        bytes.extend(self.key.as_bytes());
        for (name, value) in &self.metadata {
            bytes.extend(short(name.len()));
            bytes.extend(short(value.len()));
            bytes.extend(name.as_bytes());
            bytes.extend(value.as_bytes());
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of `bytes`, and its length.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, usize), Damaged> {
        let fixed = bytes.get(..FIXED).ok_or(Damaged("it is cut off"))?;
        if fixed[..8] != MAGIC {
            return Err(Damaged("it does not begin as a header does"));
        }
        let length = usize::try_from(number(&fixed[12..16])).unwrap_or(usize::MAX);
        let whole = bytes.get(..length).filter(|whole| whole.len() >= FIXED).ok_or(Damaged("its length is wrong"))?;
        if u64::from(crc32fast::hash(&whole[12..])) != number(&fixed[8..12]) {
            return Err(Damaged("its checksum does not match"));
        }
        let kind = match fixed[16] {
            1 => Kind::Body,
            2 => Kind::Deletion,
            _ => return Err(Damaged("its kind is unknown")),
        };
        let micros = number(&fixed[32..40]).cast_signed();
        let mut rest = Fields(&whole[FIXED..]);
        let key = rest.text(number(&fixed[56..58]))?;
        let mut metadata = BTreeMap::new();
        for _ in 0..number(&fixed[58..60]) {
            let (name, value) = (number(rest.take(2)?), number(rest.take(2)?));
            metadata.insert(rest.text(name)?, rest.text(value)?);
        }
        let header = Self {
            kind,
            key,
            metadata,
            size: number(&fixed[24..32]),
            modified: Timestamp::from_microsecond(micros).map_err(|_| Damaged("its time is out of range"))?,
            nonce: Uuid::from_slice(&fixed[40..56]).map_err(|_| Damaged("its nonce is cut off"))?,
        };
        Ok((header, length))
    }
}

/// What is left to read of a header.
struct Fields<'bytes>(&'bytes [u8]);

impl<'bytes> Fields<'bytes> {
    fn take(&mut self, length: usize) -> Result<&'bytes [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damaged("a field is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self, length: u64) -> Result<String, Damaged> {
        let bytes = self.take(usize::try_from(length).map_err(|_| Damaged("a field is cut off"))?)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Damaged("a field is no text"))
    }
}

/// Lengths in a header are far below 65,536: a key has at most 512 bytes, all metadata at most 1,024.
fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Number of blocks of a body.
pub(super) fn blocks(size: u64) -> u64 {
    size.div_ceil(BLOCK)
}

/// Checksum of a block while its bytes arrive.
#[derive(Clone, Debug)]
pub(super) struct BlockChecksum(crc32fast::Hasher);

impl BlockChecksum {
    /// Begins the block of `index` of the version that `nonce` names.
    pub(super) fn new(nonce: Uuid, index: u64) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(nonce.as_bytes());
        hasher.update(&index.to_le_bytes());
        Self(hasher)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> [u8; 4] {
        self.0.finalize().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{MAX_KEY_BYTES, MAX_METADATA_BYTES};

    fn header() -> Header {
        Header {
            kind: Kind::Body,
            key: "orders/0/1/wal/00000000000000000001.sst".into(),
            metadata: [("nonce".into(), "x1".into()), ("sha256".into(), "f".repeat(64))].into(),
            size: 4_000_000_000,
            modified: "2026-03-01T10:00:00.123456Z".parse().expect("a time"),
            nonce: Uuid::from_u128(7),
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        let bytes = header().encode();
        let length = bytes.len();
        assert_eq!(Header::decode(&[bytes, vec![9; 100]].concat()), Ok((header(), length)));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_of_a_header_is_noticed() {
        let bytes = header().encode();
        for length in 0..bytes.len() {
            assert!(Header::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn the_largest_header_fits_its_bound() {
        let names = (0..MAX_METADATA_BYTES / 5).map(|number| (format!("n{number:03}"), "v".to_owned()));
        let largest = Header { key: "k".repeat(MAX_KEY_BYTES), metadata: names.collect(), ..header() };
        let bytes = largest.encode();
        assert!(bytes.len() <= MAX_HEADER);
        assert_eq!(Header::decode(&bytes), Ok((largest, bytes.len())));
    }

    #[test]
    fn the_same_bytes_elsewhere_have_another_checksum() {
        let checksum = |nonce, index| {
            let mut block = BlockChecksum::new(Uuid::from_u128(nonce), index);
            block.update(b"body");
            block.finish()
        };
        assert_ne!(checksum(1, 0), checksum(1, 1));
        assert_ne!(checksum(1, 0), checksum(2, 0));
        assert_eq!(checksum(1, 0), checksum(1, 0));
    }
}
