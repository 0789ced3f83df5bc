//! The JSON documents of the API, as `docs` and clients know them. Pure.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{Line, Money, OrderId, Refusal, RejectedLine, Status},
    orders::{Durability, View},
};

/// An amount in minor units of a currency.
#[derive(Serialize, ToSchema)]
#[schema(as = Money)]
pub(super) struct MoneyDocument {
    /// Minor units: cents of a euro, yen of a yen.
    #[schema(example = 1299)]
    amount: i64,
    /// ISO 4217 code.
    #[schema(example = "EUR", pattern = "^[A-Z]{3}$")]
    currency: String,
}

/// A product.
///
/// Handlers answer with the catalogue's ready-made JSON; this type describes it.
#[derive(ToSchema)]
#[schema(as = Product)]
#[expect(dead_code, reason = "describes JSON that the catalogue has ready-made")]
pub(super) struct ProductDocument {
    /// What tells it from every other product, case aside.
    #[schema(example = "KIT-0042", max_length = 64)]
    sku: String,
    /// What shoppers read.
    #[schema(max_length = 200)]
    name: String,
    /// What one piece costs.
    price: MoneyDocument,
    /// The part of the shop it stands in.
    category: String,
}

/// Some of the products that were asked for.
#[derive(ToSchema)]
#[schema(as = ProductPage)]
#[expect(dead_code, reason = "describes JSON that the catalogue has ready-made")]
pub(super) struct ProductPageDocument {
    /// The products in their order.
    items: Vec<ProductDocument>,
    /// To be sent as `cursor` for the next page; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
    /// How the products spread.
    facets: FacetsDocument,
}

/// How products spread.
#[derive(ToSchema)]
#[schema(as = Facets)]
#[expect(dead_code, reason = "describes JSON that the catalogue has ready-made")]
pub(super) struct FacetsDocument {
    /// By category, most products first.
    category: Vec<FacetDocument>,
}

/// A category and how many products it has when none is asked for.
#[derive(ToSchema)]
#[schema(as = Facet)]
#[expect(dead_code, reason = "describes JSON that the catalogue has ready-made")]
pub(super) struct FacetDocument {
    /// The category.
    value: String,
    /// How many products.
    count: u32,
}

/// An order.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub(super) struct OrderDocument {
    /// Its name; whoever holds it may read and change the order.
    id: String,
    /// Where it stands.
    #[schema(value_type = OrderStatus)]
    status: Status,
    /// Counts its changes, from 1; also the `ETag`, to be sent as `If-Match`.
    version: u64,
    /// Its lines, in the order in which the products were first added.
    items: Vec<ItemDocument>,
    /// Lines that were accepted but could no longer be put on it.
    rejected_items: Vec<RejectedItemDocument>,
    /// The sum of its lines.
    total: MoneyDocument,
    /// Where it is durable.
    #[schema(value_type = OrderDurability)]
    durability: Durability,
    /// Whether this may be an earlier state, because the newest is out of reach.
    stale: bool,
    /// When this was the newest state.
    as_of: String,
    /// When it was created.
    created_at: String,
    /// When this state was known to be durable in the shop's store, if it is.
    persisted_at: Option<String>,
    /// Why the shop cancelled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<String>,
}

/// Where an order stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the domain's status, which knows nothing of HTTP")]
pub(super) enum OrderStatus {
    /// It takes items.
    Open,
    /// It was bought; the shop has not looked at it yet.
    Submitted,
    /// The shop has taken it on.
    Confirmed,
    /// It was delivered.
    Fulfilled,
    /// It was given up.
    Cancelled,
}

/// Where an answer is durable.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the order service's durability, which knows nothing of HTTP")]
pub(super) enum OrderDurability {
    /// In the shop's store.
    Persisted,
    /// In a queue, on its way to the store.
    Queue,
}

/// Some pieces of one product on an order.
#[derive(Serialize, ToSchema)]
#[schema(as = Item)]
pub(super) struct ItemDocument {
    /// The product.
    sku: String,
    /// Its name when it was last added.
    name: String,
    /// How many.
    #[schema(minimum = 1, maximum = 9999)]
    quantity: u32,
    /// The price of one when it was last added.
    unit_price: MoneyDocument,
    /// The price of all.
    total: MoneyDocument,
}

/// A line that was accepted but could no longer be put on the order.
#[derive(Serialize, ToSchema)]
#[schema(as = RejectedItem)]
pub(super) struct RejectedItemDocument {
    /// The product.
    sku: String,
    /// How many.
    #[schema(minimum = 1, maximum = 9999)]
    quantity: u32,
    /// Why not.
    #[schema(value_type = String, example = "order_closed")]
    reason: Refusal,
}

impl From<Money> for MoneyDocument {
    fn from(money: Money) -> Self {
        Self { amount: money.amount, currency: money.currency.as_str().to_owned() }
    }
}

impl From<Line> for ItemDocument {
    fn from(line: Line) -> Self {
        Self {
            sku: line.sku.into(),
            name: line.name,
            quantity: line.quantity.get(),
            unit_price: line.unit_price.into(),
            total: line.total.into(),
        }
    }
}

impl From<RejectedLine> for RejectedItemDocument {
    fn from(line: RejectedLine) -> Self {
        Self { sku: line.sku.into(), quantity: line.quantity.get(), reason: line.reason }
    }
}

impl From<View> for OrderDocument {
    fn from(View { order, durability, stale, as_of, persisted_at }: View) -> Self {
        Self {
            id: order.id.to_string(),
            status: order.status,
            version: order.version,
            items: order.items.into_iter().map(Into::into).collect(),
            rejected_items: order.rejected_items.into_iter().map(Into::into).collect(),
            total: order.total.into(),
            durability,
            stale,
            as_of: as_of.to_string(),
            created_at: order.created_at.to_string(),
            persisted_at: persisted_at.map(|at| at.to_string()),
            cancel_reason: order.cancel_reason,
        }
    }
}

/// An order with a command that is in a queue. Where the pod that took the command knows the order, this has all the fields
/// of an order beside these.
#[derive(Serialize, ToSchema)]
#[schema(as = QueuedOrder)]
pub(super) struct QueuedDocument {
    /// The order's name.
    id: String,
    /// Where the command is durable.
    #[schema(value_type = OrderDurability)]
    durability: Durability,
    /// There may be a newer state.
    stale: bool,
}

impl QueuedDocument {
    /// Of an order of which nothing else is known.
    pub(super) fn of(order: OrderId) -> Self {
        Self { id: order.to_string(), durability: Durability::Queue, stale: true }
    }
}
