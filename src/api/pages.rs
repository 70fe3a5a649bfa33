//! The small pages beside the desk: the set-up link, and a shop to try the website chat in.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::assets::{Asset, text};
use super::auth::{address_of, cookie_for};
use super::body::Query;
use super::paging;
use super::problem::Problem;
use super::setup::is_needed;
use crate::access::SESSION_MS;
use crate::app::App;
use crate::desk::access::BeginSession;
use crate::desk::audit::{Audited, Told};
use crate::secrets::random_text;
use crate::store::entry::{Actor, ActorKind, SessionEntry, secret_hash};

const TRY: &str = include_str!("pages/try.html");
const HTML: &str = "text/html; charset=utf-8";

/// What a page of ours may do: load what this daemon serves, and nothing from anywhere else.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'";

/// The routes.
pub fn router() -> Router<App> {
    Router::new()
        .route("/setup", get(set_up))
        .route("/try/{channel}", get(try_chat))
        .route("/assets/{file}", get(asset))
        .route("/favicon.ico", get(icon))
}

/// A page of a few words in the desk's look. `title` and `body` are ours: nothing foreign may stand in them.
pub(super) fn plain_page(title: &str, body: &str, headers: &HeaderMap) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · Deskbell</title>\n<link rel=\"icon\" type=\"image/svg+xml\" href=\"/assets/icon.svg\">\n\
         <link rel=\"stylesheet\" href=\"/assets/plain.css\">\n</head>\n<body>\n<header><h1>Deskbell</h1></header>\n\
         <main>\n{body}</main>\n</body>\n</html>\n"
    );
    page_response(Asset::of(&page).response(HTML, headers))
}

fn page_response(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.append(header::VARY, HeaderValue::from_static("cookie"));
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetUp {
    token: String,
}

/// The one-time link that the terminal printed: begins an administrator's session, and works once (S12).
async fn set_up(
    State(app): State<App>,
    extensions: Extensions,
    Query(SetUp { token }): Query<SetUp>,
) -> Result<Response, Problem> {
    let needed = paging::read(&app, |app| Ok(is_needed(app)?)).await?;
    if !needed || !app.access.take_setup(&token) {
        tracing::warn!(
            "a set-up link was refused: it was used already, is of an earlier start, or there is an administrator"
        );
        let headers = [
            (
                header::LOCATION,
                HeaderValue::from_static("/signin?problem=setup-used"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        return Ok((StatusCode::SEE_OTHER, headers).into_response());
    }
    let cookie = random_text();
    let begin = BeginSession {
        hash: secret_hash(&cookie),
        works_for_ms: SESSION_MS,
    };
    let by = Actor {
        kind: ActorKind::SetUp,
        id: "set-up-link".to_owned(),
        name: "Set-up link".to_owned(),
        address: address_of(&extensions).map(|address| address.to_string()),
    };
    let begin = Audited::by_answer(begin, by, |begun: &SessionEntry| {
        Some(Told::of("session.begun").with("session", begun.id.to_string()))
    });
    if let Err(error) = app.writer.write(begin).await {
        app.access.put_setup_back(&token);
        return Err(error.into());
    }
    tracing::info!("the set-up link opened an administrator's session");
    let headers = [
        (
            header::SET_COOKIE,
            HeaderValue::from_str(&cookie_for(&app, &cookie))
                .map_err(|_| Problem::bad_request("no cookie"))?,
        ),
        (header::LOCATION, HeaderValue::from_static("/")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// A small shop with the chat of a channel in it.
async fn try_chat(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let channel = app
        .channels
        .get(&id)
        .filter(|channel| channel.channel.visitors().is_some());
    let channel = channel.ok_or_else(|| Problem::not_found("website chat"))?;
    // The slug is letters, digits and hyphens, so it needs no escaping.
    let page = Asset::of(&TRY.replace("{{channel}}", &channel.id));
    Ok(page_response(page.response(HTML, &headers)))
}

async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let (content, content_type) = match file.as_str() {
        "plain.css" => (include_str!("pages/plain.css"), "text/css; charset=utf-8"),
        "try.css" => (include_str!("pages/try.css"), "text/css; charset=utf-8"),
        "icon.svg" => (include_str!("pages/icon.svg"), "image/svg+xml"),
        _ => return Err(Problem::not_found("page")),
    };
    Ok(text(content).response(content_type, &headers))
}

async fn icon(headers: HeaderMap) -> Response {
    text(include_str!("pages/icon.svg")).response("image/svg+xml", &headers)
}
