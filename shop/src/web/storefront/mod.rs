//! The storefront: pages for people, which work without JavaScript and by keyboard alone. Asks the order service.

mod assets;
mod cart;
mod money;
mod pages;
mod picture;
mod visitor;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{Response, StatusCode, header},
    routing::{get, post},
};

use self::pages::{Again, Alert, Card, CataloguePage, ErrorPage, FacetLink, Frame, ProductPage, SortChoice, page};
use super::{
    Backend,
    problem::{Code, Problem},
    query::{CatalogueParameters, malformed},
};
use crate::{
    catalogue::{Limit, ListQuery, Page, SearchQuery, Sort},
    domain::Sku,
};

/// Products of a page: full rows whether two, three or four stand beside each other.
const PAGE_PRODUCTS: i64 = 24;

/// Sort orders with their names.
const SORTS: [(Sort, &str); 5] = [
    (Sort::Name, "Name, A to Z"),
    (Sort::NameDescending, "Name, Z to A"),
    (Sort::Price, "Price, lowest first"),
    (Sort::PriceDescending, "Price, highest first"),
    (Sort::Sku, "SKU"),
];

/// The pages, their forms and their files.
pub(super) fn router() -> Router<Arc<Backend>> {
    Router::new()
        .route("/", get(list))
        .route("/search", get(search))
        .route("/products/{sku}", get(product))
        .route("/order", get(cart::show))
        .route("/order/items", post(cart::add))
        .route("/order/items/{sku}", post(cart::set_quantity))
        .route("/order/items/{sku}/remove", post(cart::remove))
        .route("/order/submit", post(cart::submit))
        .route("/order/cancel", post(cart::cancel))
        .route("/orders/{id}", get(cart::placed))
        .route("/assets/{file}", get(assets::serve))
}

/// Something that could not be done, as a page.
pub(super) fn error_page(shop: &str, problem: &Problem) -> Response<Body> {
    error_page_with(shop, problem, None)
}

fn error_page_with(shop: &str, problem: &Problem, again: Option<Again>) -> Response<Body> {
    let template = ErrorPage {
        frame: Frame::new(shop),
        title: problem.code().title(),
        detail: problem.detail().to_owned(),
        again,
    };
    let mut response = page(problem.code().status(), &template);
    if let Some(seconds) = problem.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// What is answered where there is nothing: a problem for programs, a page for people.
pub(super) fn nothing_here(shop: &str, path: &str) -> Response<Body> {
    let problem =
        Problem::new(Code::NotFound, "There is nothing at this address. Check it, or start from the products.");
    if path.starts_with("/api/") { problem.into() } else { error_page(shop, &problem) }
}

/// What is answered to a method that an address does not take.
pub(super) fn wrong_method(shop: &str, path: &str) -> Response<Body> {
    let problem = Problem::new(
        Code::MethodNotAllowed,
        "This address does not take this method. The API's description names those it takes.",
    );
    if path.starts_with("/api/") { problem.into() } else { error_page(shop, &problem) }
}

async fn list(State(backend): State<Arc<Backend>>, request: Request) -> Response<Body> {
    let parameters = CatalogueParameters::parse(request.uri().query());
    list_page(&backend, &parameters).unwrap_or_else(|problem| error_page(&backend.name, &problem))
}

fn list_page(backend: &Backend, parameters: &CatalogueParameters<'_>) -> Result<Response<Body>, Problem> {
    let snapshot = backend.catalogue()?;
    let sort = parameters.sort()?;
    let query = ListQuery { sort, category: parameters.category(), cursor: parameters.cursor(), limit: limit() };
    let found = snapshot.list(&query).map_err(|error| malformed(&error))?;
    let chosen = parameters.category();
    let address = Address { path: "/", fixed: &[("sort", if sort == Sort::default() { "" } else { sort.as_str() })] };
    let template = CataloguePage {
        frame: Frame::new(&backend.name),
        heading: chosen.map_or_else(|| "Everything".to_owned(), ToOwned::to_owned),
        summary: count(found.total()),
        nothing: "There is nothing in this category.",
        category: chosen.map(ToOwned::to_owned),
        sorts: SORTS
            .iter()
            .map(|&(value, name)| SortChoice { value: value.as_str(), name, chosen: value == sort })
            .collect(),
        ..catalogue_page(&found, &address, parameters)
    };
    Ok(page(StatusCode::OK, &template))
}

async fn search(State(backend): State<Arc<Backend>>, request: Request) -> Response<Body> {
    let parameters = CatalogueParameters::parse(request.uri().query());
    search_page(&backend, &parameters).unwrap_or_else(|problem| error_page(&backend.name, &problem))
}

fn search_page(backend: &Backend, parameters: &CatalogueParameters<'_>) -> Result<Response<Body>, Problem> {
    let snapshot = backend.catalogue()?;
    // A search as long as this is no search; showing all of it back would only make a large page.
    let text: String = parameters.text().chars().filter(|character| !character.is_control()).take(200).collect();
    let query =
        SearchQuery { text: &text, category: parameters.category(), cursor: parameters.cursor(), limit: limit() };
    let found = snapshot.search(&query).map_err(|error| malformed(&error))?;
    let address = Address { path: "/search", fixed: &[("q", &text)] };
    let heading = match parameters.category() {
        _ if text.trim().is_empty() => "Search".to_owned(),
        Some(category) => format!("“{text}” in {category}"),
        None => format!("“{text}”"),
    };
    let template = CataloguePage {
        frame: Frame::new(&backend.name).with_query(&text),
        heading,
        summary: if text.trim().is_empty() { String::new() } else { count(found.total()) },
        nothing: if text.trim().is_empty() {
            "Write what you are looking for into the search field: a name, the beginning of one, or a SKU."
        } else {
            "Nothing matches. Try fewer or shorter words, or browse the categories."
        },
        ..catalogue_page(&found, &address, parameters)
    };
    Ok(page(StatusCode::OK, &template))
}

/// What lists and answers to searches have in common.
fn catalogue_page(found: &Page<'_>, address: &Address<'_>, parameters: &CatalogueParameters<'_>) -> CataloguePage {
    let chosen = parameters.category();
    let link = |category: &str, cursor: &str| address.with(&[("category", category), ("cursor", cursor)]);
    let all = FacetLink { name: "Everything".to_owned(), count: None, href: link("", ""), chosen: chosen.is_none() };
    let facets = found.facets().map(|(name, count)| FacetLink {
        name: name.to_owned(),
        count: Some(count),
        href: link(name, ""),
        chosen: chosen == Some(name),
    });
    let here = chosen.unwrap_or_default();
    CataloguePage {
        frame: Frame::new(""),
        heading: String::new(),
        summary: String::new(),
        nothing: "",
        category: None,
        facets: std::iter::once(all).chain(facets).collect(),
        sorts: Vec::new(),
        cards: found.items().map(Card::from).collect(),
        first: parameters.cursor().map(|_| link(here, "")),
        next: found.next_cursor().map(|cursor| link(here, cursor)),
    }
}

async fn product(State(backend): State<Arc<Backend>>, path: Result<Path<String>, PathRejection>) -> Response<Body> {
    let sku = path.map(|Path(text)| text).unwrap_or_default();
    product_page(&backend, &sku, "1", None).unwrap_or_else(|problem| error_page(&backend.name, &problem))
}

/// The page of a product; with what the visitor wrote and what was wrong with it, when there was.
fn product_page(
    backend: &Backend,
    sku: &str,
    quantity: &str,
    trouble: Option<&Problem>,
) -> Result<Response<Body>, Problem> {
    let snapshot = backend.catalogue()?;
    let product = sku.parse::<Sku>().ok().and_then(|sku| snapshot.product(&sku));
    let product = product.ok_or_else(|| Problem::new(Code::NotFound, "We have no such product, or not any more."))?;
    let template = ProductPage {
        frame: Frame::new(&backend.name),
        category_href: Address { path: "/", fixed: &[] }.with(&[("category", product.category())]),
        card: product.into(),
        key: cart::new_key(),
        quantity: quantity.chars().take(10).collect(),
        alert: trouble.map(Alert::from),
    };
    Ok(page(trouble.map_or(StatusCode::OK, |problem| problem.code().status()), &template))
}

fn limit() -> Limit {
    Limit::try_from(PAGE_PRODUCTS).unwrap_or_default()
}

fn count(products: usize) -> String {
    match products {
        0 => "Nothing found".to_owned(),
        1 => "1 product".to_owned(),
        more => format!("{} products", money::grouped(more as u64)),
    }
}

/// A path with the parameters that all links of a page share.
struct Address<'page> {
    path: &'static str,
    fixed: &'page [(&'static str, &'page str)],
}

impl Address<'_> {
    /// The address with more parameters; empty ones are left out.
    fn with(&self, more: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.fixed.iter().chain(more).filter(|(_, value)| !value.is_empty()));
        let query = query.finish();
        if query.is_empty() { self.path.to_owned() } else { format!("{}?{query}", self.path) }
    }
}

#[cfg(test)]
#[path = "storefront_tests.rs"]
mod tests;
