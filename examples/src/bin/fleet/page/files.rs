//! The files of the page, which are part of the program. A browser may load nothing else.
use axum::response::IntoResponse;
use axum::{Router, http::HeaderName, http::header, routing::get};

/// Path, type and text of each file.
const FILES: [(&str, &str, &str); 11] = [
    ("/", HTML, include_str!("web/index.html")),
    ("/style.css", CSS, include_str!("web/style.css")),
    ("/icon.svg", SVG, include_str!("web/icon.svg")),
    ("/app.js", JS, include_str!("web/app.js")),
    ("/charts.js", JS, include_str!("web/charts.js")),
    ("/details.js", JS, include_str!("web/details.js")),
    ("/fleet.js", JS, include_str!("web/fleet.js")),
    ("/link.js", JS, include_str!("web/link.js")),
    ("/list.js", JS, include_str!("web/list.js")),
    ("/words.js", JS, include_str!("web/words.js")),
    ("/client.js", JS, CLIENT),
];
/// The client that `export!` writes for the protocol of the page.
const CLIENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fleet-protocol/contract/dashboard/client.js"));
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Scripts, styles and connections of this server alone. No text becomes code, and no other page
/// shows this one in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";
/// The headers of each file.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // A browser asks again, so that the files belong to the program that runs now.
    (header::CACHE_CONTROL, "no-cache"),
];

pub(super) fn router() -> Router {
    FILES.iter().fold(Router::new(), |router, &(path, kind, text)| {
        let answer = move || async move { (HEADERS, [(header::CONTENT_TYPE, kind)], text).into_response() };
        router.route(path, get(answer))
    })
}
