//! Files that pages need, in the binary: each is served under a name with its digest, so that it may be kept for ever.
//! No I/O.

use std::sync::LazyLock;

use axum::{
    body::Body,
    http::{HeaderValue, Response, Uri, header},
    response::IntoResponse,
};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::web::problem::{Code, Problem};

const STYLE: &str = include_str!("shop.css");
const ICON: &str = include_str!("icon.svg");

/// Path of the style sheet.
pub(super) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path_of("shop", "css", STYLE));
/// Path of the icon.
pub(super) static ICON_PATH: LazyLock<String> = LazyLock::new(|| path_of("icon", "svg", ICON));

fn path_of(name: &str, extension: &str, content: &str) -> String {
    let digest = Sha256::digest(content);
    let head = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("/assets/{name}-{head:016x}.{extension}")
}

/// Answers with a file; one of an earlier release is not here any more.
pub(super) async fn serve(uri: Uri) -> Response<Body> {
    let path = uri.path();
    let (content, kind) = if path == *STYLE_PATH {
        (STYLE, "text/css; charset=utf-8")
    } else if path == *ICON_PATH {
        (ICON, "image/svg+xml")
    } else {
        return Problem::new(Code::NotFound, "There is no such file.").into();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, Bytes::from_static(content.as_bytes())).into_response()
}
