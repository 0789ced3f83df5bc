//! Cookies: read from a request, and set by an answer. Pure.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The value of a request's cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// The header that has a browser keep a cookie for so many seconds, or forget it. `name`, `value` and `path` must be of
/// visible ASCII without semicolons.
pub(super) fn set_cookie(name: &str, value: &str, path: &str, seconds: u32, headers: &HeaderMap) -> HeaderValue {
    // A shop on a plain port must work too, so the cookie is `Secure` only where TLS ends in front of us.
    let secure = if headers.get(X_FORWARDED_PROTO).is_some_and(|scheme| scheme == "https") { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let headers = headers(&[("cookie", "a=1; order=x=y; b=2"), ("cookie", "reorder=3")]);
        assert_eq!(cookie(&headers, "order"), Some("x=y"));
        assert_eq!(cookie(&headers, "reorder"), Some("3"));
        assert_eq!(cookie(&headers, "rder"), None);
    }

    #[test]
    fn a_cookie_is_secure_where_tls_ends_in_front_of_us() {
        let plain = set_cookie("order", "", "/", 0, &headers(&[]));
        assert_eq!(plain, "order=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
        let behind_tls = set_cookie("order", "", "/", 0, &headers(&[("x-forwarded-proto", "https")]));
        assert!(behind_tls.to_str().expect("text").ends_with("; Secure"));
    }
}
