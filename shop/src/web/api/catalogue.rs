//! List, search and products. Answers from memory; no I/O.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::Response,
};
use utoipa::IntoParams;

use super::{
    documents::{ProductDocument, ProductPageDocument},
    json,
};
use crate::{
    catalogue::{ListQuery, Page, SearchQuery},
    domain::Sku,
    web::{
        Backend,
        problem::{Code, Problem, ProblemBody},
        query::{CatalogueParameters, malformed},
    },
};

/// Bytes to begin an answer with: a page of 20 products is about 2.5 KiB.
const PAGE_BYTES: usize = 4096;

/// What a list is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the tolerant parser of query strings reads")]
struct ListParameters {
    /// Most products of the page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u8>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// The order.
    #[param(inline, schema_with = sorts)]
    sort: Option<String>,
    /// Only products of exactly this category.
    category: Option<String>,
}

fn sorts() -> utoipa::openapi::Object {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .enum_values(Some(["name", "-name", "price", "-price", "sku"]))
        .default(Some("name".into()))
        .build()
}

/// What a search is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the tolerant parser of query strings reads")]
struct SearchParameters {
    /// What the shopper wrote: a SKU, or words or beginnings of words of a product's name. Empty finds nothing.
    q: Option<String>,
    /// Most products of the page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u8>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only products of exactly this category.
    category: Option<String>,
}

/// Lists the catalogue page by page.
#[utoipa::path(
    get,
    path = "/api/v1/products",
    tag = "catalogue",
    params(ListParameters),
    responses(
        (status = 200, description = "A page of products", body = ProductPageDocument),
        (status = 400, description = "A parameter makes no sense: `malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "No catalogue yet, or too much to do: `not_ready`, `overloaded`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_products(
    State(backend): State<Arc<Backend>>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let parameters = CatalogueParameters::parse(request.uri().query());
    let snapshot = backend.catalogue()?;
    let query = ListQuery {
        sort: parameters.sort()?,
        category: parameters.category(),
        cursor: parameters.cursor(),
        limit: parameters.limit()?,
    };
    Ok(page(&snapshot.list(&query).map_err(|error| malformed(&error))?))
}

/// Searches products by SKU or name, the best first.
#[utoipa::path(
    get,
    path = "/api/v1/search",
    tag = "catalogue",
    params(SearchParameters),
    responses(
        (status = 200, description = "A page of products", body = ProductPageDocument),
        (status = 400, description = "A parameter makes no sense: `malformed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "No catalogue yet, or too much to do: `not_ready`, `overloaded`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn search(State(backend): State<Arc<Backend>>, request: Request) -> Result<Response<Body>, Problem> {
    let parameters = CatalogueParameters::parse(request.uri().query());
    let snapshot = backend.catalogue()?;
    let query = SearchQuery {
        text: parameters.text(),
        category: parameters.category(),
        cursor: parameters.cursor(),
        limit: parameters.limit()?,
    };
    Ok(page(&snapshot.search(&query).map_err(|error| malformed(&error))?))
}

/// Reads one product.
#[utoipa::path(
    get,
    path = "/api/v1/products/{sku}",
    tag = "catalogue",
    params(("sku" = String, Path, description = "The product's SKU, case aside")),
    responses(
        (status = 200, description = "The product", body = ProductDocument),
        (status = 404, description = "No product has this SKU: `not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "No catalogue yet, or too much to do: `not_ready`, `overloaded`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read_product(
    State(backend): State<Arc<Backend>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response<Body>, Problem> {
    let snapshot = backend.catalogue()?;
    let sku = path.ok().and_then(|Path(text)| text.parse::<Sku>().ok());
    let product = sku.and_then(|sku| snapshot.product(&sku));
    let missing = || Problem::new(Code::NotFound, "No product has this SKU. Search for the one you mean.");
    Ok(json(product.ok_or_else(missing)?.json().to_owned()))
}

fn page(page: &Page<'_>) -> Response<Body> {
    let mut body = Vec::with_capacity(PAGE_BYTES);
    page.write_json(&mut body);
    json(body)
}
