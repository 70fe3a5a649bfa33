//! What every answer bears: headers that keep browsers from doing more than they should, and the request's id. A
//! handler that panics is answered as a problem, too.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use super::problem::Problem;

/// The header with the id of the request, which stands in the log as well.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What an answer may do in a browser where its handler says nothing else.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// What no handler may change (S13).
const ALWAYS: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
];

/// What a handler may set otherwise: the chat's script is for pages of other origins.
const UNLESS_SET: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Puts the layers around all routes and the fallback.
pub fn around(router: Router) -> Router {
    router
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn(with_headers))
}

async fn with_headers(request: Request, next: Next) -> Response {
    let id = format!("{:016x}", crate::secrets::random_seed());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("-", MatchedPath::as_str);
    // The route and not the path: a path may hold what is nobody's business.
    let span = tracing::info_span!("request", id = %id, method = %request.method(), route = %route);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| {
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(status = response.status().as_u16(), took_ms, "answered");
    });
    complete(response.headers_mut());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn complete(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    for (name, value) in UNLESS_SET {
        headers
            .entry(*name)
            .or_insert(HeaderValue::from_static(value));
    }
    headers.remove(header::SERVER);
}

/// A panic is a fault of ours. What it says stays out of the answer: it may hold anything (K03).
fn answer_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked; the request was answered 500");
    metrics::counter!("deskbell_handler_panics_total").increment(1);
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "A fault of Deskbell's",
        "The request could not be answered. The log says more, under the id of `x-request-id`.",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(router: Router, path: &str) -> Response {
        let request = Request::builder()
            .uri(path)
            .body(Body::empty())
            .expect("a request");
        router.oneshot(request).await.expect("an answer")
    }

    #[tokio::test]
    async fn k03_a_panic_is_a_problem_that_tells_nothing_of_it() {
        async fn panics() -> &'static str {
            panic!("the secret is hunter2")
        }
        let response = answer(around(Router::new().route("/", get(panics))), "/").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert_eq!(
            response.headers()[header::X_CONTENT_TYPE_OPTIONS],
            "nosniff"
        );
        assert!(response.headers().contains_key(REQUEST_ID));
        let body = crate::api::body::read_limited(response.into_body(), 10_000)
            .await
            .expect("a body");
        assert!(!String::from_utf8_lossy(&body).contains("hunter2"));
    }

    #[tokio::test]
    async fn s13_every_answer_bears_the_headers_and_a_handler_may_set_its_own_policy() {
        let own = || async {
            (
                [
                    (header::CONTENT_SECURITY_POLICY, "sandbox"),
                    (header::SERVER, "x"),
                ],
                "own",
            )
        };
        let router = around(Router::new().route("/own", get(own)));
        for (path, policy) in [("/own", "sandbox"), ("/nothing", POLICY)] {
            let response = answer(router.clone(), path).await;
            let headers = response.headers();
            assert_eq!(headers[header::CONTENT_SECURITY_POLICY], policy);
            assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
            assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
            assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
            assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
            assert_eq!(headers[header::CACHE_CONTROL], "no-store");
            assert!(!headers.contains_key(header::SERVER));
        }
    }
}
