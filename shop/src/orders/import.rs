//! Takes exported orders into a shop, through the owners of their shards. Does I/O.

use std::time::Duration;

use futures::{TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt},
    time::Instant,
};

use super::{
    answer::OrderError,
    client::OrderClient,
    export::{LineError, parse},
    protocol::MAX_IMPORT_BYTES,
};

/// Orders under way at once.
const AT_ONCE: usize = 32;

/// Longest that one order may take; its shard may be on the move.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What an import found of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imported {
    /// It was not there, and is now.
    New,
    /// It was there already, just so.
    Known,
    /// It was there and differs; it stays as it was.
    Differs,
}

/// Why an import ended before its end. What came before it is in the shop.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line cannot be taken in.
    #[error("line {line}: {error}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// Why not.
        error: LineError,
    },
    /// A line is too long for an order.
    #[error("line {0} is longer than any order; export the orders again")]
    TooLong(u64),
    /// The shop has an order of this id that is another one.
    #[error("line {line}: the shop has another order {order}; import into a shop without it")]
    Differs {
        /// Number of the line, from 1.
        line: u64,
        /// The order.
        order: String,
    },
    /// The input cannot be read.
    #[error("the input cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The shop did not take an order.
    #[error("line {line}: {error}")]
    Shop {
        /// Number of the line, from 1.
        line: u64,
        /// Why not.
        error: OrderError,
    },
}

impl ImportError {
    /// Whether the input has to be mended; else the same may go well later.
    #[must_use]
    pub fn is_of_the_input(&self) -> bool {
        match self {
            Self::Line { .. } | Self::TooLong(_) | Self::Differs { .. } => true,
            Self::Read(_) | Self::Shop { .. } => false,
        }
    }
}

/// How many orders were taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCount {
    /// Those that were not there before.
    pub new: u64,
    /// Those that were there already.
    pub known: u64,
}

/// Takes in all orders of `input`, which an export wrote. Each is taken in whole or not at all, and once, so that an import
/// that ended early is simply run again. `count` says how far it came.
///
/// # Errors
/// See [`ImportError`].
pub async fn import(
    client: &OrderClient,
    input: impl AsyncBufRead + Unpin,
    count: &mut ImportCount,
) -> Result<(), ImportError> {
    let lines = stream::try_unfold((input, 0_u64), |(mut input, number)| async move {
        let line = number + 1;
        let mut text = String::new();
        let limit = u64::try_from(MAX_IMPORT_BYTES).unwrap_or(u64::MAX);
        let read = (&mut input).take(limit).read_line(&mut text).await?;
        if read == MAX_IMPORT_BYTES && !text.ends_with('\n') {
            return Err(ImportError::TooLong(line));
        }
        Ok((read > 0).then_some(((line, text), (input, line))))
    });
    let taken = lines
        .map_ok(|(line, text)| async move {
            let exported = parse(&text).map_err(|error| ImportError::Line { line, error })?;
            let order = exported.order.id.to_string();
            match client.import(exported, Instant::now() + PATIENCE).await {
                Ok(Imported::Differs) => Err(ImportError::Differs { line, order }),
                Ok(found) => Ok(found),
                Err(error) => Err(ImportError::Shop { line, error }),
            }
        })
        .try_buffered(AT_ONCE);
    let mut taken = std::pin::pin!(taken);
    let mut told = Instant::now();
    while let Some(found) = taken.try_next().await? {
        match found {
            Imported::New => count.new += 1,
            Imported::Known | Imported::Differs => count.known += 1,
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tracing::info!(new = count.new, known = count.known, "importing orders");
        }
    }
    Ok(())
}
