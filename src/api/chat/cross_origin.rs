//! Which pages may use a website chat (V03): those of the channel's `allowed_origins`, else only the daemon's own.

use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use deskbell_sdk::visitors::Visitors;

use crate::api::auth::is_own_origin;
use crate::api::problem::Problem;
use crate::app::{App, Daemon};

/// The origin that a request names; `null` and what cannot be read count as foreign ones.
pub(super) fn origin_of(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::ORIGIN)
        .map(|value| value.to_str().unwrap_or("unreadable"))
}

/// Lets a request pass whose page may use the channel, and marks the answer for its browser.
pub(super) async fn guard(
    State(app): State<App>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let named = params
        .iter()
        .find(|(name, _)| *name == "channel")
        .map(|(_, value)| value);
    let channel = named.and_then(|id| super::channel(&app, id).ok());
    let visitors = channel
        .as_ref()
        .and_then(|channel| channel.channel.visitors());
    let origin = origin_of(request.headers());
    // A channel that is not there is a 404 further on, which no page of another origin needs to read.
    let (Some(visitors), Some(origin)) = (visitors, origin) else {
        return varied(next.run(request).await);
    };
    let named_origin = HeaderValue::from_str(origin)
        .ok()
        .filter(|_| may_use(&app, visitors, request.headers(), origin));
    let Some(origin) = named_origin else {
        let problem = Problem::forbidden(
            "Pages of this origin may not use this chat. The operator lists them in the channel's `allowed_origins`.",
        );
        return varied(problem.into_response());
    };
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = varied(next.run(request).await);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, content-disposition"),
    );
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("cross-origin"),
    );
    if is_preflight {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, last-event-id"),
        );
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("600"),
        );
    }
    response
}

/// Answers what a browser asks before it calls from another origin; the guard has decided whether it may.
pub(super) async fn preflight(
    State(app): State<App>,
    params: RawPathParams,
) -> Result<StatusCode, Problem> {
    let named = params
        .iter()
        .find(|(name, _)| *name == "channel")
        .map_or("", |(_, value)| value);
    super::channel(&app, named)?;
    Ok(StatusCode::NO_CONTENT)
}

fn varied(mut response: Response) -> Response {
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("origin"));
    response
}

fn may_use(app: &Daemon, visitors: &dyn Visitors, headers: &HeaderMap, origin: &str) -> bool {
    match visitors.allowed_origins() {
        Some(allowed) => {
            allowed.iter().any(|allowed| allowed == origin) || is_public_origin(app, origin)
        }
        // Where people come by HTTPS, a page that came without it may have been written by anybody on the way.
        None => {
            is_own_origin(app, headers, origin)
                && !(app.is_https() && origin.starts_with("http://"))
        }
    }
}

/// The try-it page lives at the daemon's own address.
fn is_public_origin(app: &Daemon, origin: &str) -> bool {
    app.config
        .public_url
        .as_ref()
        .is_some_and(|url| url.origin().ascii_serialization() == origin)
}
