//! What the templates of the storefront show. Pure.

use askama::Template;
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use jiff::Timestamp;

use super::{
    assets::{ICON_PATH, STYLE_PATH},
    money::display,
    picture::Picture,
};
use crate::{
    catalogue::ProductView,
    domain::{Line, Order, RejectedLine, Status},
    orders::{Durability, View},
    web::problem::{Problem, sentence},
};

/// Only our own files: no inline script or style, no frame around us, no form to elsewhere.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");

/// What every page has around its content.
#[derive(Debug)]
pub(super) struct Frame {
    shop: String,
    query: String,
    style: &'static str,
    icon: &'static str,
}

impl Frame {
    pub(super) fn new(shop: &str) -> Self {
        Self { shop: shop.to_owned(), query: String::new(), style: &STYLE_PATH, icon: &ICON_PATH }
    }

    pub(super) fn with_query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }
}

/// Something that went wrong with what the visitor just did.
#[derive(Debug)]
pub(super) struct Alert {
    title: &'static str,
    detail: String,
}

impl From<&Problem> for Alert {
    fn from(problem: &Problem) -> Self {
        Self { title: problem.code().title(), detail: problem.detail().to_owned() }
    }
}

/// A product as lists and its own page show it.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) sku: String,
    pub(super) name: String,
    pub(super) category: String,
    pub(super) price: String,
    pub(super) picture: Picture,
}

impl From<ProductView<'_>> for Card {
    fn from(product: ProductView<'_>) -> Self {
        let name = product.name().into_owned();
        Self {
            sku: product.sku().to_owned(),
            category: product.category().to_owned(),
            price: display(product.price()),
            picture: Picture::of(product.sku(), &name, product.category()),
            name,
        }
    }
}

/// A category to choose.
#[derive(Debug)]
pub(super) struct FacetLink {
    pub(super) name: String,
    pub(super) count: Option<u32>,
    pub(super) href: String,
    pub(super) chosen: bool,
}

/// An order of the list to choose.
#[derive(Debug)]
pub(super) struct SortChoice {
    pub(super) value: &'static str,
    pub(super) name: &'static str,
    pub(super) chosen: bool,
}

/// A list or the answer to a search.
#[derive(Debug, Template)]
#[template(path = "catalogue.html")]
pub(super) struct CataloguePage {
    pub(super) frame: Frame,
    pub(super) heading: String,
    pub(super) summary: String,
    pub(super) nothing: &'static str,
    pub(super) category: Option<String>,
    pub(super) facets: Vec<FacetLink>,
    pub(super) sorts: Vec<SortChoice>,
    pub(super) cards: Vec<Card>,
    pub(super) first: Option<String>,
    pub(super) next: Option<String>,
}

/// One product.
#[derive(Debug, Template)]
#[template(path = "product.html")]
pub(super) struct ProductPage {
    pub(super) frame: Frame,
    pub(super) card: Card,
    pub(super) category_href: String,
    pub(super) key: String,
    pub(super) quantity: String,
    pub(super) alert: Option<Alert>,
}

/// A line of an order, with the keys of its forms.
#[derive(Debug)]
pub(super) struct LineView {
    sku: String,
    name: String,
    quantity: u32,
    unit_price: String,
    total: String,
    picture: Picture,
    set_key: String,
    remove_key: String,
}

/// A line that came too late.
#[derive(Debug)]
pub(super) struct RejectedView {
    sku: String,
    quantity: u32,
    reason: String,
}

/// An order as pages show it.
#[derive(Debug)]
pub(super) struct OrderView {
    id: String,
    lines: Vec<LineView>,
    rejected: Vec<RejectedView>,
    total: String,
    submit_key: String,
    cancel_reason: Option<String>,
}

impl OrderView {
    /// `new_key` makes the key of each form, so that sending a form twice does its work once.
    pub(super) fn new(order: Order, new_key: impl Fn() -> String) -> Self {
        let line = |line: Line| LineView {
            picture: Picture::of(line.sku.as_str(), &line.name, ""),
            sku: line.sku.into(),
            name: line.name,
            quantity: line.quantity.get(),
            unit_price: display(line.unit_price),
            total: display(line.total),
            set_key: new_key(),
            remove_key: new_key(),
        };
        let rejected = |line: RejectedLine| RejectedView {
            sku: line.sku.into(),
            quantity: line.quantity.get(),
            reason: sentence(&line.reason.to_string()),
        };
        Self {
            id: order.id.to_string(),
            lines: order.items.into_iter().map(line).collect(),
            rejected: order.rejected_items.into_iter().map(rejected).collect(),
            total: display(order.total),
            submit_key: new_key(),
            cancel_reason: order.cancel_reason,
        }
    }
}

/// The order being filled.
#[derive(Debug, Template)]
#[template(path = "cart.html")]
pub(super) struct CartPage {
    pub(super) frame: Frame,
    /// What to know about what is shown.
    pub(super) note: Option<String>,
    pub(super) order: Option<OrderView>,
    pub(super) alert: Option<Alert>,
}

/// An order at its own address, in words.
#[derive(Debug, Template)]
#[template(path = "order.html")]
pub(super) struct OrderPage {
    frame: Frame,
    heading: &'static str,
    explanation: String,
    /// Class of the box: `waiting`, `good` or `over`.
    tone: &'static str,
    note: Option<String>,
    order: OrderView,
    can_cancel: bool,
    cancel_key: String,
}

impl OrderPage {
    pub(super) fn new(frame: Frame, view: View, new_key: impl Fn() -> String) -> Self {
        let note = note(&view);
        let View { order, durability, .. } = view;
        let placed = day(order.updated_at);
        let (heading, tone, explanation) = match order.status {
            Status::Submitted if durability == Durability::Queue => (
                "We have noted your order",
                "waiting",
                "Thank you! Your order is safely noted. We check it as soon as our order books are in reach."
                    .to_owned(),
            ),
            Status::Cancelled if durability == Durability::Queue => (
                "We have noted your wish to cancel",
                "waiting",
                "We cancel the order as soon as our order books are in reach, unless it was confirmed before."
                    .to_owned(),
            ),
            Status::Open => {
                ("This order is not placed yet", "over", "Its items are kept until you place it.".to_owned())
            }
            Status::Submitted => (
                "We are confirming your order",
                "waiting",
                "Thank you! Your order is safely with us. We are checking it now, which takes a few seconds."
                    .to_owned(),
            ),
            Status::Confirmed => (
                "Your order is confirmed",
                "good",
                format!("Thank you! We confirmed it on {placed} and are getting it ready."),
            ),
            Status::Fulfilled => ("Your order was delivered", "good", "Thank you for shopping with us.".to_owned()),
            Status::Cancelled => (
                "This order was cancelled",
                "over",
                format!("It was cancelled on {placed}. Nothing will be delivered."),
            ),
        };
        let can_cancel = matches!(order.status, Status::Open | Status::Submitted);
        let cancel_key = new_key();
        let order = OrderView::new(order, new_key);
        Self { frame, heading, explanation, tone, note, order, can_cancel, cancel_key }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.tone == "waiting"
    }
}

/// What a visitor must know about an order that is shown while its owner is out of reach; nothing when it is in reach.
pub(super) fn note(view: &View) -> Option<String> {
    if !view.stale {
        return None;
    }
    Some(match view.durability {
        Durability::Queue => {
            "We cannot reach our order books at the moment. Your changes are safely noted and are made as \
            soon as we can; this page shows what we expect."
                .to_owned()
        }
        Durability::Persisted => format!(
            "We cannot reach our order books at the moment. This is the order as it was on {}; newer changes are safe, but \
             not shown.",
            day(view.as_of)
        ),
    })
}

/// A day and time for people, in UTC because we do not know where they are.
fn day(at: Timestamp) -> String {
    at.strftime("%-d %B %Y at %H:%M UTC").to_string()
}

/// A form to be sent once more with all that the visitor wrote in it.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) action: String,
    pub(super) fields: Vec<(String, String)>,
}

/// Something that could not be done.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage {
    pub(super) frame: Frame,
    pub(super) title: &'static str,
    pub(super) detail: String,
    pub(super) again: Option<Again>,
}

/// A page as an answer.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response<Body> {
    // Templates fail only when what they show fails to be written, and all of it is text.
    let body = template.render().unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Addresses of orders are secrets; our own pages may know, and forms carry their origin.
        (REFERRER_POLICY, "same-origin"),
        // Forms carry keys that do their work once, so a page is not kept for later.
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
