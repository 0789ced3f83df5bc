//! Which kind of request a method and path are, for metrics and limits: a few names, never the path itself. Pure.

use axum::http::Method;

/// Kinds of requests that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Answered from memory.
    Catalogue,
    /// Waits for the order service.
    Orders,
}

impl Class {
    pub(super) const ALL: [Self; 2] = [Self::Catalogue, Self::Orders];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Orders => "orders",
        }
    }
}

macro_rules! routes {
    ($($name:ident: $class:ident, $method:literal, $template:literal;)+) => {
        /// Kinds of requests.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Route {
            $($name,)+
        }

        impl Route {
            /// Every kind, in the order of their numbers.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// What shares its limit with others of its class.
            pub(super) fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)+
                }
            }

            /// The method, as a label.
            pub(super) fn method(self) -> &'static str {
                match self {
                    $(Self::$name => $method,)+
                }
            }

            /// The path with its variable parts named, as a label.
            pub(super) fn template(self) -> &'static str {
                match self {
                    $(Self::$name => $template,)+
                }
            }
        }
    };
}

routes! {
    Search: Catalogue, "GET", "/api/v1/search";
    ListProducts: Catalogue, "GET", "/api/v1/products";
    ReadProduct: Catalogue, "GET", "/api/v1/products/{sku}";
    CreateOrder: Orders, "POST", "/api/v1/orders";
    ReadOrder: Orders, "GET", "/api/v1/orders/{id}";
    AddItem: Orders, "POST", "/api/v1/orders/{id}/items";
    SetQuantity: Orders, "PUT", "/api/v1/orders/{id}/items/{sku}";
    RemoveItem: Orders, "DELETE", "/api/v1/orders/{id}/items/{sku}";
    SubmitOrder: Orders, "POST", "/api/v1/orders/{id}/submit";
    CancelOrder: Orders, "POST", "/api/v1/orders/{id}/cancel";
    ReadDescription: Catalogue, "GET", "/api/openapi.json";
    ListPage: Catalogue, "GET", "/";
    SearchPage: Catalogue, "GET", "/search";
    ProductPage: Catalogue, "GET", "/products/{sku}";
    CartPage: Orders, "GET", "/order";
    OrderPage: Orders, "GET", "/orders/{id}";
    OrderForm: Orders, "POST", "/order/{form}";
    Asset: Catalogue, "GET", "/assets/{file}";
    Other: Catalogue, "other", "other";
}

impl Route {
    /// The kind of a request. What nothing serves is [`Route::Other`].
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let read = method == Method::GET || method == Method::HEAD;
        let post = method == Method::POST;
        if let Some(rest) = path.strip_prefix("/api/v1/") {
            // The most frequent one first.
            if rest == "search" && read {
                return Self::Search;
            }
            let mut parts = rest.split('/');
            return match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some("products"), None, ..) if read => Self::ListProducts,
                (Some("products"), Some(_), None, ..) if read => Self::ReadProduct,
                (Some("orders"), None, ..) if post => Self::CreateOrder,
                (Some("orders"), Some(_), None, ..) if read => Self::ReadOrder,
                (Some("orders"), Some(_), Some("items"), None, _) if post => Self::AddItem,
                (Some("orders"), Some(_), Some("items"), Some(_), None) if method == Method::PUT => Self::SetQuantity,
                (Some("orders"), Some(_), Some("items"), Some(_), None) if method == Method::DELETE => Self::RemoveItem,
                (Some("orders"), Some(_), Some("submit"), None, _) if post => Self::SubmitOrder,
                (Some("orders"), Some(_), Some("cancel"), None, _) if post => Self::CancelOrder,
                _ => Self::Other,
            };
        }
        match path {
            "/" if read => Self::ListPage,
            "/search" if read => Self::SearchPage,
            "/order" if read => Self::CartPage,
            "/api/openapi.json" if read => Self::ReadDescription,
            _ if read && path.starts_with("/products/") => Self::ProductPage,
            _ if read && path.starts_with("/orders/") => Self::OrderPage,
            _ if read && path.starts_with("/assets/") => Self::Asset,
            _ if post && path.starts_with("/order/") => Self::OrderForm,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_own_method_and_template() {
        for route in Route::ALL {
            let method = route.method().parse().expect("a method");
            assert_eq!(Route::of(&method, route.template()), *route);
        }
    }

    #[test]
    fn what_nothing_serves_is_other() {
        for (method, path) in [
            (Method::GET, "/etc/passwd"),
            (Method::DELETE, "/api/v1/search"),
            (Method::GET, "/api/v1/orders"),
            (Method::GET, "/api/v1/orders/1/items/2"),
            (Method::POST, "/api/v1/orders/1/items/2/3"),
            (Method::GET, ""),
        ] {
            assert_eq!(Route::of(&method, path), Route::Other, "{method} {path}");
        }
    }

    #[test]
    fn a_head_counts_as_its_get() {
        assert_eq!(Route::of(&Method::HEAD, "/api/v1/search"), Route::Search);
    }
}
