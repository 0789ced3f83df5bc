//! How a version of the catalogue and the record of the current one are written. Pure.
//!
//! A version is JSON Lines: a head with the format, then one product a line, by SKU.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shop_contract::switch::Switch;
use storage_adapters::{InvalidKey, Key};

use super::{BuildError, Snapshot, SnapshotBuilder};
use crate::{domain::Product, hex};

/// The newest format of versions that this build writes and reads.
const FORMAT: u32 = 1;

/// The same of the record. One that says which store is home has format 2, so that a release which would not follow it refuses
/// it by its number.
const RECORD_FORMAT: u32 = 2;

/// What the keys of all versions start with.
pub(super) const VERSIONS_PREFIX: &str = "catalogue/versions/";

/// Longest line of a version, in bytes: a product whose every character is escaped or takes four bytes has less than half of it.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Why stored bytes are not what was written, or not for this build.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It was written by another release.
    #[error("it has format {found}, this build reads up to format {known}; use a release that knows it")]
    Format {
        /// The format that it names.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// Not JSON of this shape.
    #[error("line {line} is not as it was written")]
    Line {
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A line longer than any that is written.
    #[error("line {0} is too long")]
    LongLine(usize),
    /// Other bytes than were written.
    #[error("its SHA-256 is {found}, not {expected}")]
    Digest {
        /// Of what was read.
        found: String,
        /// Of what was written.
        expected: String,
    },
    /// Fewer or more products than the head says.
    #[error("it has {found} products, not {expected}")]
    Count {
        /// Products that were read.
        found: usize,
        /// Products that were written.
        expected: usize,
    },
    /// The products make no catalogue.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// The record of the version in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CurrentRecord {
    pub(super) format: u32,
    /// Number of the version, from 1.
    pub(super) number: u64,
    /// Where it is.
    pub(super) key: String,
    pub(super) products: usize,
    pub(super) bytes: u64,
    /// Of the version's bytes, in hexadecimal.
    pub(super) sha256: String,
    /// Where the catalogue is, when it was ever moved. When that is another store than the one the record is in, what else the
    /// record says is of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) home: Option<Switch>,
}

/// What every format starts with.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    products: usize,
}

impl CurrentRecord {
    /// The record of a version that is stored at `key`, the `number`-th of its shop.
    pub(super) fn new(number: u64, key: &Key, encoded: &Encoded, home: Option<Switch>) -> Self {
        Self {
            format: if home.is_some() { RECORD_FORMAT } else { 1 },
            number,
            key: key.to_string(),
            products: encoded.products,
            bytes: encoded.bytes.len() as u64,
            sha256: encoded.sha256.clone(),
            home,
        }
    }

    /// The same, with the catalogue in this store.
    pub(super) fn at(&self, home: Switch) -> Self {
        Self { format: RECORD_FORMAT, home: Some(home), ..self.clone() }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        // The format is read first and alone, so that a newer record is refused by its format and not by a field.
        check_format(bytes, RECORD_FORMAT)?;
        serde_json::from_slice(bytes).map_err(|source| FormatError::Line { line: 1, source })
    }
}

/// The head of a line that has a format of 1 up to `known`.
fn check_format(line: &[u8], known: u32) -> Result<Head, FormatError> {
    let head: Head = serde_json::from_slice(line).map_err(|source| FormatError::Line { line: 1, source })?;
    if (1..=known).contains(&head.format) { Ok(head) } else { Err(FormatError::Format { found: head.format, known }) }
}

/// A version as it is stored.
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) sha256: String,
    pub(super) products: usize,
}

/// Writes a version; the same products in another order give the same bytes.
pub(super) fn encode(mut products: Vec<Product>) -> Result<Encoded, serde_json::Error> {
    products.sort_unstable_by(|left, right| left.sku.cmp(&right.sku));
    let mut bytes = Vec::new();
    serde_json::to_writer(&mut bytes, &Head { format: FORMAT, products: products.len() })?;
    bytes.push(b'\n');
    for product in &products {
        serde_json::to_writer(&mut bytes, product)?;
        bytes.push(b'\n');
    }
    let sha256 = hex::encode(&Sha256::digest(&bytes));
    Ok(Encoded { bytes: bytes.into(), sha256, products: products.len() })
}

/// Checks that these are the bytes that a record tells of.
pub(super) fn check_digest(version: &[u8], record: &CurrentRecord) -> Result<(), FormatError> {
    check(&Sha256::digest(version).into(), record)
}

fn check(digest: &[u8; 32], record: &CurrentRecord) -> Result<(), FormatError> {
    let found = hex::encode(digest);
    if found == record.sha256 { Ok(()) } else { Err(FormatError::Digest { found, expected: record.sha256.clone() }) }
}

/// The key of a version: its number, so that keys are in the order of time, and its content, so that two that are made at once differ.
pub(super) fn version_key(number: u64, sha256: &str) -> Result<Key, InvalidKey> {
    Key::new(format!("{VERSIONS_PREFIX}{number:010}-{sha256}"))
}

/// The number in a version's key.
pub(super) fn number_of(key: &Key) -> Option<u64> {
    key.as_str().strip_prefix(VERSIONS_PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Reads a version that arrives in pieces.
#[derive(Default)]
pub(super) struct Decoder {
    builder: SnapshotBuilder,
    digest: Sha256,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    lines: usize,
    expected: usize,
}

impl Decoder {
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), FormatError> {
        self.digest.update(piece);
        while let Some(end) = piece.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            if self.begun.is_empty() {
                self.line(line)?;
            } else {
                self.begun.extend_from_slice(line);
                let begun = std::mem::take(&mut self.begun);
                self.line(&begun)?;
            }
            piece = rest;
        }
        self.begun.extend_from_slice(piece);
        if self.begun.len() > MAX_LINE_BYTES { Err(FormatError::LongLine(self.lines + 1)) } else { Ok(()) }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), FormatError> {
        self.lines += 1;
        if self.lines == 1 {
            self.expected = check_format(line, FORMAT)?.products;
            return Ok(());
        }
        let product: Product =
            serde_json::from_slice(line).map_err(|source| FormatError::Line { line: self.lines, source })?;
        Ok(self.builder.push(&product)?)
    }

    /// The catalogue, when all that `record` tells of it was read.
    pub(super) fn finish(self, record: &CurrentRecord) -> Result<Snapshot, FormatError> {
        let digest: [u8; 32] = self.digest.finalize().into();
        check(&digest, record)?;
        // The digest tells that all is as written; the counts, that what was written was whole.
        let found = self.lines.saturating_sub(1);
        for expected in [self.expected, record.products] {
            if found != expected || !self.begun.is_empty() {
                return Err(FormatError::Count { found, expected });
            }
        }
        Ok(self.builder.finish(record.number, digest)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::sample;

    fn record(encoded: &Encoded) -> CurrentRecord {
        CurrentRecord::new(3, &version_key(3, &encoded.sha256).expect("a key"), encoded, None)
    }

    fn decode(bytes: &[u8], record: &CurrentRecord, piece: usize) -> Result<Snapshot, FormatError> {
        let mut decoder = Decoder::default();
        bytes.chunks(piece).try_for_each(|piece| decoder.push(piece))?;
        decoder.finish(record)
    }

    #[test]
    fn a_version_reads_back_however_it_arrives() {
        let products = sample(100, 4).expect("a sample");
        let encoded = encode(products.clone()).expect("JSON");
        for piece in [1, 7, 4_096, usize::MAX] {
            let snapshot = decode(&encoded.bytes, &record(&encoded), piece).expect("a catalogue");
            assert_eq!(snapshot.product_count(), 100);
            assert!(products.iter().all(|product| snapshot.product(&product.sku).is_some()));
        }
    }

    #[test]
    fn the_order_of_products_makes_no_other_version() {
        let mut products = sample(50, 4).expect("a sample");
        let one = encode(products.clone()).expect("JSON").sha256;
        products.reverse();
        assert_eq!(encode(products).expect("JSON").sha256, one);
    }

    #[test]
    fn a_flipped_byte_or_a_missing_end_is_never_served() {
        let encoded = encode(sample(20, 4).expect("a sample")).expect("JSON");
        let record = record(&encoded);
        for place in 0..encoded.bytes.len() {
            let mut flipped = encoded.bytes.to_vec();
            flipped[place] ^= 1;
            assert!(decode(&flipped, &record, usize::MAX).is_err(), "byte {place}");
            assert!(decode(&encoded.bytes[..place], &record, usize::MAX).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_its_name() {
        let newer = br#"{"format":3,"shape":"another"}"#;
        assert!(matches!(CurrentRecord::parse(newer), Err(FormatError::Format { found: 3, .. })));
        let mut decoder = Decoder::default();
        assert!(matches!(decoder.push(b"{\"format\":2}\n"), Err(FormatError::Format { found: 2, .. })));
    }

    #[test]
    fn a_key_tells_its_number() {
        let key = version_key(12, &"a".repeat(64)).expect("a key");
        assert_eq!(number_of(&key), Some(12));
        assert_eq!(number_of(&Key::new("catalogue/versions/x-y").expect("a key")), None);
    }
}
