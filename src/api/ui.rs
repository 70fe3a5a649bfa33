//! The desk's web interface: one page, whose script shows what its path names, and the files that it loads. The page
//! itself holds nothing that needs signing in.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;

use super::problem::Problem;
use crate::app::App;

/// What the page may do: load what this daemon serves, and nothing from anywhere else. No text becomes code: markup is made
/// by Svelte's own templates only, and workers are files of the interface only (R02, S13).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
                      font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; frame-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types svelte-trusted-html deskbell-workers";

/// The files beside the page that have a fixed name: its icons, what makes it an app, and the worker that rings while it
/// is closed, whose address decides how far it reaches.
const FIXED: &[&str] = &[
    "icon.svg",
    "icon-192.png",
    "icon-512.png",
    "icon-maskable-512.png",
    "apple-touch-icon.png",
    "badge-96.png",
    "manifest.webmanifest",
    "sw.js",
];

/// The routes.
pub fn router() -> Router<App> {
    let mut router = Router::new().route("/ui/{*file}", get(built));
    for path in [
        "/",
        "/desk",
        "/desk/{*rest}",
        "/signin",
        "/join",
        "/welcome",
    ] {
        router = router.route(path, get(page));
    }
    for name in FIXED {
        router = router.route(
            &format!("/{name}"),
            get(move |headers: HeaderMap| async move { file(name, &headers) }),
        );
    }
    router
}

async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    let mut response = file("index.html", &headers)?;
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    Ok(response)
}

async fn built(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    file(&format!("ui/{path}"), &headers)
}

fn file(path: &str, request: &HeaderMap) -> Result<Response, Problem> {
    let file = deskbell_ui::file(path).ok_or_else(|| Problem::not_found("page"))?;
    let etag = format!("\"{}\"", hex::encode(&file.hash[..16]));
    let said = |name: header::HeaderName| {
        request
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let known = said(header::IF_NONE_MATCH)
        .split(',')
        .any(|one| one.trim().trim_start_matches("W/") == etag);
    let takes_brotli = said(header::ACCEPT_ENCODING)
        .split(',')
        .any(|one| one.trim().split(';').next() == Some("br"));
    let (body, encoding) = match file.brotli {
        _ if known => (Body::empty(), None),
        Some(brotli) if takes_brotli => (Body::from(brotli), Some("br")),
        _ => (Body::from(file.plain), None),
    };
    let mut response = Response::new(body);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(file.content_type),
    );
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let caching = if file.immutable {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Request};
    use tower::ServiceExt as _;

    use crate::api::testing::{As, desk};

    use super::*;

    #[tokio::test]
    async fn every_room_of_the_desk_is_the_one_page_and_files_are_kept_by_their_names() {
        let desk = desk().await;
        let get = async |path: &str, name: &str, value: &str| {
            let request = Request::builder()
                .method(Method::GET)
                .uri(path)
                .header(name, value)
                .body(Body::empty())
                .expect("a request");
            let answer = desk.router.clone().oneshot(request).await;
            answer.expect("an answer")
        };
        for path in ["/", "/desk", "/desk/inbox/unanswered", "/signin", "/join"] {
            let answer = desk.get(As::Nobody, path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert!(answer.text().contains("<title>Deskbell"), "{path}");
            let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str();
            let policy = policy.expect("text");
            assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"));
        }
        for path in deskbell_ui::paths().filter(|path| path != "index.html") {
            let plain = get(&format!("/{path}"), "accept", "*/*").await;
            assert_eq!(plain.status(), StatusCode::OK, "{path}");
            let caching = plain.headers()[header::CACHE_CONTROL].to_str();
            let caching = caching.expect("text");
            if path.starts_with("ui/") {
                assert!(caching.ends_with("immutable"), "{path}: {caching}");
            } else {
                // The worker and what makes the desk an app are asked for anew each time.
                assert_eq!(caching, "no-cache", "{path}");
            }
            let etag = plain.headers()[header::ETAG].to_str().expect("text");
            let again = get(&format!("/{path}"), "if-none-match", etag).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        }
        desk.get(As::Nobody, "/ui/none.js").await.problem(404);
        desk.get(As::Nobody, "/ui/..%2Findex.html")
            .await
            .problem(404);
    }
}
