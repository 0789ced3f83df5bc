//! The public HTTP: API, storefront, and our accept loop.
