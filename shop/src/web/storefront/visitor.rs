//! What a browser's request says of its visitor: the order in its cookie, and whether a form is ours. Pure.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    domain::OrderId,
    web::cookies::{cookie, set_cookie},
};

/// Name of the cookie that holds the order being filled.
const ORDER_COOKIE: &str = "order";
/// How long a browser keeps it.
const ORDER_COOKIE_SECONDS: u32 = 30 * 24 * 60 * 60;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The order that the visitor is filling.
pub(super) fn order(headers: &HeaderMap) -> Option<OrderId> {
    cookie(headers, ORDER_COOKIE).and_then(|id| id.parse().ok())
}

/// The cookie that keeps `order`, or forgets the one there is.
pub(super) fn order_cookie(order: Option<OrderId>, headers: &HeaderMap) -> HeaderValue {
    let (value, seconds) = match order {
        Some(id) => (id.to_string(), ORDER_COOKIE_SECONDS),
        None => (String::new(), 0),
    };
    set_cookie(ORDER_COOKIE, &value, "/", seconds, headers)
}

/// Whether a form comes from one of our own pages. Browsers say where it comes from; programs that say nothing hold no
/// one else's cookie and may pass.
pub(super) fn is_own_form(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_order_is_found_among_other_cookies() {
        let id = "f6fe0e06-c6ef-8fed-9ecc-a8c4a17ba8bb";
        let found = order(&headers(&[("cookie", "a=1; order=f6fe0e06-c6ef-8fed-9ecc-a8c4a17ba8bb; b=2")]));
        assert_eq!(found.map(|found| found.to_string()).as_deref(), Some(id));
        assert_eq!(order(&headers(&[("cookie", "order=nonsense")])), None);
        assert_eq!(order(&headers(&[("cookie", "reorder=f6fe0e06-c6ef-8fed-9ecc-a8c4a17ba8bb")])), None);
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        for own in [
            headers(&[]),
            headers(&[("sec-fetch-site", "same-origin"), ("origin", "null")]),
            headers(&[("origin", "http://shop.test:8080"), ("host", "shop.test:8080")]),
        ] {
            assert!(is_own_form(&own), "{own:?}");
        }
        for foreign in [
            headers(&[("sec-fetch-site", "cross-site")]),
            headers(&[("sec-fetch-site", "same-site")]),
            headers(&[("origin", "null"), ("host", "shop.test")]),
            headers(&[("origin", "http://evil.test"), ("host", "shop.test")]),
            headers(&[("origin", "http://shop.test")]),
        ] {
            assert!(!is_own_form(&foreign), "{foreign:?}");
        }
    }
}
