//! Who calls: an API token, or the desk's session with protection against forged requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};

use super::problem::Problem;
use crate::access::{Caller, Door};
use crate::app::{App, Daemon};
use crate::desk::people::{SessionSeen, TokenSeen};
use crate::server::ClientAddress;
use crate::store::entry::Right;

/// A caller who got in.
#[derive(Clone, Debug)]
pub struct Signed(pub Caller);

/// The cookie's name where the desk is reached by HTTPS: browsers tie `__Host-` to this host and to HTTPS.
const SECURE_COOKIE: &str = "__Host-deskbell";
/// The cookie's name on plain HTTP, which is for one's own machine.
const PLAIN_COOKIE: &str = "deskbell";

impl FromRequestParts<App> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = came(app, parts)?;
        // By what a person gets in is changed by the person, and not by a token that lies on a desktop.
        if caller.device().is_some() && !parts.method.is_safe() {
            return Err(Problem::forbidden(
                "A device does not do that. Sign in to the desk for it.",
            ));
        }
        Ok(Self(caller))
    }
}

/// Who calls, by whatever door.
pub(super) fn came(app: &App, parts: &Parts) -> Result<Caller, Problem> {
    let mut caller = caller(app, parts)?;
    caller.address = address_of(&parts.extensions);
    note_use(app, &caller);
    Ok(caller)
}

/// A request that no page of another origin sent: for what may be asked without a session, which a page of another origin
/// could ask to put its own person into somebody's browser (S05).
#[derive(Clone, Copy, Debug)]
pub struct OwnPage;

impl FromRequestParts<App> for OwnPage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        refuse_foreign_page(app, &parts.headers).map(|()| Self)
    }
}

/// After how long it is tried again to note something that could not be written.
const NOTE_AGAIN: Duration = Duration::from_secs(30);

/// Notes beside the request that a session or token is used, where that is some time ago.
pub(super) fn note_use(app: &App, caller: &Caller) {
    let Some((door, key)) = app.access.to_note(app.clock.now(), caller) else {
        return;
    };
    let app = Arc::clone(app);
    drop(tokio::spawn(async move {
        let written = match door {
            Door::Session => app.writer.write(SessionSeen { key: key.clone() }).await,
            Door::Token => app.writer.write(TokenSeen { key: key.clone() }).await,
        };
        if let Err(error) = written {
            tracing::debug!(%error, "it could not be noted when somebody was last here");
            tokio::select! {
                () = app.stopping.cancelled() => {}
                () = tokio::time::sleep(NOTE_AGAIN) => {}
            }
        }
        app.access.noted(&key);
    }));
}

/// From where a request came, as the server saw it.
#[must_use]
pub fn address_of(extensions: &Extensions) -> Option<IpAddr> {
    let client = extensions.get::<ClientAddress>();
    client.map(|ClientAddress(address)| *address)
}

impl Signed {
    /// The caller, where this right is theirs.
    pub fn with(self, right: Right) -> Result<Caller, Problem> {
        if self.0.may(right) {
            return Ok(self.0);
        }
        Err(Problem::forbidden(format!(
            "This needs the right `{}`.",
            name_of(right)
        )))
    }
}

pub(super) const fn name_of(right: Right) -> &'static str {
    match right {
        Right::Read => "read",
        Right::Write => "write",
        Right::Admin => "admin",
    }
}

fn caller(app: &Daemon, parts: &Parts) -> Result<Caller, Problem> {
    let store = &*app.store;
    let now = app.clock.now();
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let token = value
            .to_str()
            .ok()
            .and_then(bearer)
            .ok_or_else(Problem::unauthorized)?;
        let caller = app.access.by_token(store, &app.channels, now, token)?;
        return caller.ok_or_else(Problem::unauthorized);
    }
    let cookie = session_cookie(&parts.headers).ok_or_else(Problem::unauthorized)?;
    let caller = app
        .access
        .by_session(store, &app.channels, now, cookie)?
        .ok_or_else(Problem::unauthorized)?;
    if !parts.method.is_safe() {
        refuse_foreign_page(app, &parts.headers)?;
    }
    Ok(caller)
}

/// The token behind `Bearer`.
#[must_use]
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The bearer token of a request.
#[must_use]
pub fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()
        .and_then(bearer)
}

/// The session's cookie of a request.
#[must_use]
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    cookie_named(headers, SECURE_COOKIE, PLAIN_COOKIE)
}

/// A cookie of a request: by its name on HTTPS, else by that on plain HTTP.
#[must_use]
pub fn cookie_named<'a>(headers: &'a HeaderMap, secure: &str, plain: &str) -> Option<&'a str> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let mut found = None;
    for (name, value) in pairs {
        if name == secure {
            return Some(value);
        }
        if name == plain {
            found = Some(value);
        }
    }
    found
}

/// The `Set-Cookie` that begins a session, or with an empty value ends it.
#[must_use]
pub fn cookie_for(app: &Daemon, value: &str) -> String {
    let age = if value.is_empty() {
        0
    } else {
        crate::access::SESSION_MS / 1000
    };
    if app.is_https() {
        format!("{SECURE_COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax; Secure")
    } else {
        format!("{PLAIN_COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax")
    }
}

/// Refuses a changing request that a page of another origin made a browser send (S05). Every browser names the origin
/// of such a request; programs that name none carry no foreign cookie.
fn refuse_foreign_page(app: &Daemon, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("unreadable"))
    };
    let foreign_site = text("sec-fetch-site").is_some_and(|site| site != "same-origin");
    let foreign_origin = text("origin").is_some_and(|origin| !is_own_origin(app, headers, origin));
    if foreign_site || foreign_origin {
        return Err(Problem::forbidden(
            "A page of another origin sent this request with your session. It was refused.",
        ));
    }
    Ok(())
}

/// Whether an origin is this daemon's own: that of `public_url`, or the host that the request was sent to.
#[must_use]
pub fn is_own_origin(app: &Daemon, headers: &HeaderMap, origin: &str) -> bool {
    if let Some(url) = &app.config.public_url
        && url.origin().ascii_serialization() == origin
    {
        return true;
    }
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    // A page that came over plain HTTP is not ours where we are reached by HTTPS: anybody on the line can write it.
    let plain = if app.is_https() {
        None
    } else {
        origin.strip_prefix("http://")
    };
    let authority = origin.strip_prefix("https://").or(plain);
    matches!((host, authority), (Some(host), Some(authority)) if host.eq_ignore_ascii_case(authority))
}
