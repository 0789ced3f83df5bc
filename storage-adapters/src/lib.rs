//! The two ports every cloud stands behind, [`BlobStore`] and [`Queue`], and the adapters that honour them. No I/O here.
//!
//! The traits are the contract: each sentence of their documentation has a test of that name in the conformance
//! suite, which every adapter and every decorator runs. What one provider cannot honour is not in the contract.
//!
//! Without features the crate is only [`config`], so that the operator compiles no adapter.

pub mod config;

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "azure")]
pub mod azure;
#[cfg(feature = "ports")]
mod blob;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "ports")]
pub mod decorators;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "ports")]
mod error;
#[cfg(feature = "ports")]
pub mod probe;
#[cfg(feature = "ports")]
mod queue;
#[cfg(feature = "adapter")]
mod store;

#[cfg(feature = "adapter")]
pub use self::store::{OpenStoreError, Store};
#[cfg(feature = "ports")]
pub use self::{
    blob::{
        Blob, BlobInfo, BlobStore, ByteStream, GetOptions, InvalidKey, Key, Listing, MAX_KEY_BYTES, MAX_METADATA_BYTES,
        Metadata, PutMode, Version,
    },
    error::{Error, ErrorKind, Result},
    queue::{Depth, MAX_LEASE, MAX_PACK_BYTES, MAX_RECEIVE, MAX_WAIT, Message, Queue, RETENTION, Receipt},
};
