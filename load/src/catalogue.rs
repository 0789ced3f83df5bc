//! Reads the live catalogue of a shop page by page. Network I/O.

use serde::Deserialize;

use crate::http::{Call, Client, Failure};

/// Products asked for in one page.
const PAGE: usize = 100;
/// More than this is never read; the load does not get more real by it.
const MOST_PRODUCTS: usize = 100_000;

/// A product that can be bought.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Product {
    /// Its SKU.
    pub sku: String,
    /// Its name.
    pub name: String,
}

/// A page of products, as `/products` and `/search` answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Page {
    /// The products.
    pub items: Vec<Product>,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
}

/// Why the catalogue cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// There was no answer.
    #[error("the shop's catalogue cannot be read: {0}; check that the target is a shop that is ready")]
    Failed(Failure),
    /// The answer was not 200.
    #[error("the shop's catalogue cannot be read: the answer was {0}; check that the target is a shop that is ready")]
    Status(u16),
    /// The answer is not a page of products.
    #[error("the answer to {path} is not a page of products; check that the target is a shop")]
    NotAPage {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A cursor led to a page that was there before.
    #[error("the pages of the catalogue do not end; this is a fault of the shop")]
    Endless,
}

/// Reads all products, in the order of their names.
///
/// # Errors
/// When the shop does not answer with pages of products.
pub async fn products(client: &Client) -> Result<Vec<Product>, CatalogueError> {
    let mut products = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut path = format!("/api/v1/products?limit={PAGE}");
        if let Some(cursor) = &cursor {
            path.push_str("&cursor=");
            path.push_str(&encoded(cursor));
        }
        let answer = client.send(Call::get(path.clone())).await.map_err(CatalogueError::Failed)?;
        if answer.status != 200 {
            return Err(CatalogueError::Status(answer.status.as_u16()));
        }
        let page: Page =
            serde_json::from_slice(&answer.body).map_err(|source| CatalogueError::NotAPage { path, source })?;
        products.extend(page.items);
        if page.next_cursor.is_some() && page.next_cursor == cursor {
            return Err(CatalogueError::Endless);
        }
        cursor = page.next_cursor;
        if cursor.is_none() || products.len() >= MOST_PRODUCTS {
            return Ok(products);
        }
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
#[must_use]
pub fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_foreign_characters_are_encoded() {
        assert_eq!(encoded("Käse & Brot-1.0~_"), "K%C3%A4se%20%26%20Brot-1.0~_");
    }
}
