//! `/chat/{channel}`: what the website's visitors use. A token opens one conversation and no other (V07).

mod cross_origin;
mod files;
pub mod limits;
mod messages;
mod session;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use deskbell_sdk::visitors::Visitors;

use super::problem::Problem;
use crate::app::{App, Daemon};
use crate::channels::OpenChannel;
use crate::store::entry::{Entry, Visit, secret_hash};

/// The routes.
pub fn router(app: &App) -> Router<App> {
    Router::new()
        // Browsers ask with OPTIONS before they call from another origin. Each route takes it itself: what answers
        // the methods that a route does not take stands outside of the guard.
        .route(
            "/chat/{channel}/session",
            post(session::open).options(cross_origin::preflight),
        )
        .route(
            "/chat/{channel}/messages",
            get(messages::list)
                .post(messages::send)
                .options(cross_origin::preflight),
        )
        .route(
            "/chat/{channel}/events",
            get(stream::events).options(cross_origin::preflight),
        )
        .route(
            "/chat/{channel}/typing",
            post(messages::typing).options(cross_origin::preflight),
        )
        .route(
            "/chat/{channel}/attachments",
            post(files::upload).options(cross_origin::preflight),
        )
        .route(
            "/chat/{channel}/attachments/{id}",
            get(files::download).options(cross_origin::preflight),
        )
        .layer(DefaultBodyLimit::max(files::MAX_BYTES + files::FORM_BYTES))
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            cross_origin::guard,
        ))
        .route("/chat/{script}", get(script))
}

/// The channel with this slug, where it serves visitors.
fn channel(app: &Daemon, id: &str) -> Result<Arc<OpenChannel>, Problem> {
    let channel = app.channels.get(id);
    let found = channel.filter(|channel| channel.channel.visitors().is_some());
    found.ok_or_else(|| {
        let no = app.channels.number_of(id);
        match no.and_then(|no| app.channels.why_closed(no)) {
            // Its operator mends it: the page is to try again.
            Some(_) => Problem::unavailable("This chat cannot be opened right now."),
            None => no_chat(),
        }
    })
}

/// How a channel serves visitors.
fn visitors(channel: &OpenChannel) -> Result<&dyn Visitors, Problem> {
    channel.channel.visitors().ok_or_else(no_chat)
}

fn no_chat() -> Problem {
    Problem::not_found("website chat")
}

/// The script that a page includes: compressed once, revalidated by its hash.
async fn script(
    State(app): State<App>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = file
        .strip_suffix(".js")
        .ok_or_else(|| Problem::not_found("page"))?;
    let channel = channel(&app, id)?;
    let asset = super::assets::text(visitors(&channel)?.script());
    let mut response = asset.response("text/javascript; charset=utf-8", &headers);
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    // Pages of any origin may include it; what it then may do is decided at each request.
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("cross-origin"),
    );
    Ok(response.into_response())
}

/// A visitor who got in.
struct Visitor {
    channel: Arc<OpenChannel>,
    visit: Visit,
    /// The hash of the token.
    hash: Vec<u8>,
}

impl Visitor {
    /// Who brings the token of a visit to this channel, from the page it was given to (V02).
    fn of(app: &Daemon, channel_id: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let channel = channel(app, channel_id)?;
        let token = super::auth::bearer_of(headers).ok_or_else(ended)?;
        let hash = secret_hash(token);
        let now = app.clock.now();
        let visit = Visit::get(&*app.store, &hash)?
            .filter(|visit| visit.channel == channel.no && now < visit.expires_at);
        let visit = visit.ok_or_else(ended)?;
        let origin = cross_origin::origin_of(headers);
        if origin.is_some_and(|origin| !visit.origin.is_empty() && origin != visit.origin) {
            return Err(Problem::forbidden(
                "This token was given to a page of another origin.",
            ));
        }
        Ok(Self {
            channel,
            visit,
            hash,
        })
    }

    /// The owner of what this visitor uploads.
    fn owner(&self) -> String {
        format!("visit:{}", self.visit.thread)
    }
}

fn ended() -> Problem {
    Problem::new(
        axum::http::StatusCode::UNAUTHORIZED,
        "no-session",
        "No session",
        "Begin a session with POST /chat/{channel}/session and send its token as `Authorization: Bearer …`.",
    )
}

/// Bytes of a body that is JSON: a `Content-Type` of another kind is refused, so that no plain form can send it.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
}

/// Reads a small JSON body of a visitor's.
async fn json<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<T, Problem> {
    if !is_json(headers) {
        return Err(Problem::bad_request(
            "Send JSON with `Content-Type: application/json`.",
        ));
    }
    let bytes: Bytes = super::body::read_limited(body, 64 * 1024).await?;
    super::body::parsed(&bytes)
}
