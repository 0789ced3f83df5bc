//! The public HTTP: API, storefront, and our accept loop. No I/O in this file.

mod api;
mod body;
mod commands;
mod connection;
mod cookies;
mod edge;
mod metrics;
mod operations;
mod pending;
mod problem;
mod query;
#[cfg(test)]
mod raw_client;
mod route;
mod server;
mod storefront;
#[cfg(test)]
mod test_shop;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, Request, Response, Uri},
};
use tower::Service;

use self::problem::{Code, Problem};
pub use self::{
    edge::Concurrency,
    metrics::Metrics,
    operations::{internal, operations},
    server::{Ended, ServerSettings, listen, serve},
};
use crate::{
    catalogue::{CatalogueHandle, ListQuery, Snapshot},
    domain::{Command, Currency, Quantity, Sku},
    orders::OrderGateway,
};

/// Names a command; on every write, and on every answer to one.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the public HTTP stands on.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Name of the shop, for people.
    pub name: Arc<str>,
    /// The catalogue as it is now.
    pub catalogue: CatalogueHandle,
    /// The way to the order service.
    pub orders: Arc<OrderGateway>,
}

impl Backend {
    fn catalogue(&self) -> Result<Arc<Snapshot>, Problem> {
        self.catalogue
            .current()
            .ok_or_else(|| Problem::new(Code::NotReady, "The shop has no catalogue yet. Try again in a moment."))
    }

    /// The currency of an order without lines: that of the first product.
    fn currency(&self) -> Currency {
        self.catalogue
            .current()
            .and_then(|snapshot| {
                let page = snapshot.list(&ListQuery::default()).ok()?;
                let first = page.items().next()?;
                Some(first.price().currency)
            })
            .unwrap_or(Currency::EUR)
    }

    /// The command that puts a product on an order, with name and price of now.
    fn add_item(&self, sku: &str, quantity: Quantity) -> Result<Command, Problem> {
        let snapshot = self.catalogue()?;
        let product = sku.parse::<Sku>().ok().and_then(|sku| snapshot.product(&sku)).ok_or_else(|| {
            Problem::new(Code::UnknownSku, "No product of the catalogue has this SKU. Search for the one you mean.")
        })?;
        Ok(Command::AddItem {
            sku: product.to_sku(),
            name: product.name().into_owned(),
            quantity,
            unit_price: product.price(),
            catalogue_version: snapshot.number(),
        })
    }
}

/// The service of the public port: API and storefront with their limits and metrics. `operations` are served there too
/// when they have no port of their own; they are neither limited nor counted.
#[must_use]
pub fn public(
    backend: Backend,
    metrics: Metrics,
    concurrency: Concurrency,
    operations: Option<Router>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static {
    let name = Arc::clone(&backend.name);
    let router = api::router().merge(storefront::router()).with_state(Arc::new(backend));
    let (here, there) = (Arc::clone(&name), Arc::clone(&name));
    let router = router
        .fallback(async move |uri: Uri| storefront::nothing_here(&here, uri.path()))
        .method_not_allowed_fallback(async move |uri: Uri| storefront::wrong_method(&there, uri.path()));
    edge::around(router, operations, name, metrics, concurrency)
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod api_tests;
