//! Products: import, the sample, the stored catalogue, and search in memory. No I/O here; `store`, `places`, `poller` and
//! `command` do some.

mod builder;
mod command;
mod cursor;
mod fold;
pub mod import;
mod list;
mod page;
mod places;
mod poller;
mod sample;
mod sample_words;
mod search;
mod sets;
mod snapshot;
mod store;
mod version;
mod words;

/// Most products of a catalogue.
pub const MAX_PRODUCTS: usize = 1_000_000;

/// Most categories of a catalogue; more of them hint at a wrong column.
pub const MAX_CATEGORIES: usize = 1_000;

pub use self::{
    builder::{BuildError, SnapshotBuilder},
    command::{ImportArgs, ImportError, ImportSummary, SampleArgs, SampleCommandError, import_command, sample_command},
    cursor::{BadCursor, InvalidSort, Sort},
    page::{InvalidLimit, Limit, ListQuery, MAX_FACETS, Page, SearchQuery},
    places::{CatalogueMove, Places},
    poller::{CatalogueHandle, CataloguePublisher, catalogue, run_poller},
    sample::{SAMPLE_PRODUCTS, SAMPLE_SEED, SampleError, sample},
    search::{MAX_QUERY_CHARACTERS, MAX_TERMS},
    snapshot::{ProductView, Snapshot},
    store::{Published, StoreError, publish, seed_sample_if_absent},
    version::FormatError,
};
