//! Signing in by a provider of identities: `/auth/oidc/start`, where the browser leaves, `/auth/oidc/callback`, where it
//! comes back, and `/api/v1/session/providers`, which says whether there is one.
//!
//! What belongs to an attempt is in a cookie of the browser that began it, sealed: nothing is kept here, nobody else can
//! finish it, and nobody can be made to finish somebody else's (S10).

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::{Secret, webhook};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::cookie_named;
use super::problem::Problem;
use super::sign_in::{Peer, begin_session};
use crate::app::{App, Daemon};
use crate::desk::identities::{NotLetIn, Recognise};
use crate::oidc::{ATTEMPT_MS, Answer, Attempt, Identity, Oidc, OidcError};
use crate::seal::Place;
use crate::store::entry::{Role, SealedValue};

const SECURE_COOKIE: &str = "__Host-deskbell-oidc";
const PLAIN_COOKIE: &str = "deskbell-oidc";
/// The longest address to return to, in bytes.
const MAX_RETURN_BYTES: usize = 2_000;
/// Where the provider sends the browser back to.
const CALLBACK: &str = "/auth/oidc/callback";
/// Addresses of ours that are none of the desk's pages.
const NO_PAGES: [&str; 7] = [
    "/api/",
    "/auth/",
    "/assets/",
    "/chat/",
    "/docs",
    "/setup",
    "/webhooks/",
];

/// The routes of the API.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(providers))
}

/// The addresses that browsers follow.
pub fn pages() -> Router<App> {
    Router::new()
        .route("/auth/oidc/start", get(start))
        .route(CALLBACK, get(callback))
}

/// A provider of identities.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProviderItem {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Where the browser goes to sign in; `?return=/path` says where it comes back to.
    pub start_url: String,
}

/// The providers of identities.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProviderList {
    /// Each of them; none where none is configured.
    pub data: Vec<ProviderItem>,
}

/// By what else one can sign in
///
/// The providers of identities of the configuration.
#[utoipa::path(
    get, path = "/api/v1/session/providers", tag = "session", operation_id = "listProviders", security(()),
    responses((status = 200, description = "The providers", body = ProviderList)),
)]
async fn providers(State(app): State<App>) -> axum::Json<ProviderList> {
    let item = |oidc: &Oidc| ProviderItem {
        id: "oidc".to_owned(),
        name: oidc.settings().name.clone(),
        start_url: "/auth/oidc/start".to_owned(),
    };
    axum::Json(ProviderList {
        data: app.oidc.iter().map(item).collect(),
    })
}

/// Why somebody is sent back to the page where they sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Not {
    /// The provider cannot be asked now.
    Unavailable,
    /// What came back is not believed.
    Believed,
    /// It was begun too long ago, or in another browser.
    Expired,
    /// The person said no at the provider.
    Cancelled,
    /// The account is not opened by it.
    LetIn(NotLetIn),
}

impl Not {
    /// What stands behind `/signin?problem=`.
    const fn word(self) -> &'static str {
        match self {
            Self::Unavailable => "provider-unavailable",
            Self::Believed => "provider-refused",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::LetIn(NotLetIn::NotVerified) => "email-not-verified",
            Self::LetIn(NotLetIn::Domain) => "domain-not-allowed",
            Self::LetIn(NotLetIn::HasAccount) => "account-exists",
            Self::LetIn(NotLetIn::Unknown) => "not-invited",
            Self::LetIn(NotLetIn::Disabled) => "account-disabled",
            Self::LetIn(NotLetIn::TwoFactor) => "two-factor",
        }
    }
}

impl From<OidcError> for Not {
    fn from(error: OidcError) -> Self {
        tracing::warn!("somebody could not sign in by the provider of identities: {error}");
        match error {
            OidcError::Unavailable(_) | OidcError::Busy => Self::Unavailable,
            OidcError::NotBelieved(_) => Self::Believed,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Start {
    r#return: Option<String>,
}

/// The browser leaves for the provider.
async fn start(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let oidc = configured(&app)?;
    let start: Start = read_query(query.as_deref()).unwrap_or_default();
    let return_to = own_page(start.r#return.as_deref().unwrap_or("/"));
    let begun = oidc
        .begin(&callback_url(&app), return_to, app.clock.now())
        .await;
    Ok(match begun {
        Ok((url, attempt)) => {
            let cookie = sealed(&app, &attempt)?;
            redirected(&url, [set_cookie(&app, &cookie)].to_vec())
        }
        Err(error) => sent_back(&app, error.into()),
    })
}

/// The browser comes back from the provider.
async fn callback(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let oidc = configured(&app)?;
    let cookie = cookie_named(&headers, SECURE_COOKIE, PLAIN_COOKIE);
    let attempt = cookie.and_then(|cookie| opened(&app, cookie));
    // Twice the same parameter is read by nobody in the same way.
    let answer = read_query(query.as_deref());
    let identity = match (attempt, answer) {
        (None, _) => Err(Not::Expired),
        (_, None) => Err(Not::Believed),
        (Some(attempt), Some(answer)) => recognised(&app, oidc, attempt, answer).await,
    };
    let (identity, return_to) = match identity {
        Ok(recognised) => recognised,
        Err(not) => return Ok(sent_back(&app, not)),
    };
    let settings = oidc.settings();
    let recognise = Recognise {
        issuer: identity.issuer,
        subject: identity.subject,
        verified_email: identity
            .verified_email
            .and_then(|email| super::users::email(&email).ok()),
        name: identity
            .name
            .and_then(|name| super::users::name(&name).ok()),
        allowed_domains: settings.allowed_domains.clone(),
        create: settings.create.then_some(match settings.role {
            crate::config::NewRole::Agent => Role::Agent,
            crate::config::NewRole::Viewer => Role::Viewer,
        }),
        address: Some(peer.address.to_string()),
    };
    let changing = app.access.changing();
    let user = app.writer.write(recognise).await?;
    drop(changing);
    let user = match user {
        Ok(user) => user,
        Err(not) => {
            tracing::warn!(
                "somebody whom the provider of identities knows was not let in: {not:?}"
            );
            return Ok(sent_back(&app, Not::LetIn(not)));
        }
    };
    app.live.changed(app.clock.now(), "users");
    let begun = begin_session(&app, &user, &peer, "oidc").await?;
    metrics::counter!("deskbell_sign_ins_total", "result" => "provider").increment(1);
    let mut cookies = begun.cookies.to_vec();
    cookies.push(set_cookie(&app, ""));
    Ok(redirected(&own_page(&return_to), cookies))
}

/// Who came back.
async fn recognised(
    app: &App,
    oidc: &Oidc,
    attempt: Attempt,
    answer: Answer,
) -> Result<(Identity, String), Not> {
    let state = answer.state.as_deref().unwrap_or_default();
    if !webhook::same_secret(&Secret::new(attempt.state.clone()), state) {
        return Err(Not::Believed);
    }
    match answer.error.as_deref() {
        None => {}
        Some("access_denied" | "login_required" | "interaction_required" | "consent_required") => {
            return Err(Not::Cancelled);
        }
        Some(_) => return Err(Not::Believed),
    }
    let now = app.clock.now();
    let identity = oidc
        .finish(&callback_url(app), &attempt, answer, now)
        .await?;
    Ok((identity, attempt.return_to))
}

fn configured(app: &Daemon) -> Result<&Oidc, Problem> {
    app.oidc
        .as_ref()
        .ok_or_else(|| Problem::not_found("provider of identities"))
}

fn callback_url(app: &Daemon) -> String {
    format!("{}{CALLBACK}", app.public_url())
}

fn read_query<T: for<'de> Deserialize<'de>>(query: Option<&str>) -> Option<T> {
    serde_urlencoded::from_str(query.unwrap_or_default()).ok()
}

/// An address of one of the desk's pages, as browsers understand it in no other way; `/` where `wanted` is none (S11).
fn own_page(wanted: &str) -> String {
    let desk = "https://desk.invalid";
    let page = || {
        let is_plain = wanted.len() <= MAX_RETURN_BYTES
            && wanted.starts_with('/')
            && !wanted.starts_with("//")
            && wanted
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if !is_plain {
            return None;
        }
        let base = Url::parse(desk).ok()?;
        let url = base.join(wanted).ok()?;
        // As it is written once dots are resolved: that must be no other host's either.
        let page = url.as_str().strip_prefix(desk)?;
        let is_ours =
            page.starts_with('/') && !page.starts_with("//") && url.origin() == base.origin();
        let is_page = !NO_PAGES.iter().any(|prefix| page.starts_with(prefix));
        (is_ours && is_page).then(|| page.to_owned())
    };
    page().unwrap_or_else(|| "/".to_owned())
}

/// An attempt as the browser keeps it.
fn sealed(app: &Daemon, attempt: &Attempt) -> Result<String, Problem> {
    let cannot = || Problem::unavailable("Signing in cannot be begun now. Try again shortly.");
    let json = serde_json::to_string(attempt).map_err(|_| cannot())?;
    let sealed = app
        .provisioner
        .sealer()
        .seal(Place::SIGN_IN, &Secret::new(json));
    let sealed = sealed.map_err(|_| cannot())?;
    let bytes = [&sealed.nonce[..], &sealed.sealed].concat();
    Ok(format!("{}.{}", sealed.key, URL_SAFE_NO_PAD.encode(bytes)))
}

/// The attempt that a browser has kept.
fn opened(app: &Daemon, cookie: &str) -> Option<Attempt> {
    let (key, bytes) = cookie.split_once('.')?;
    let bytes = URL_SAFE_NO_PAD.decode(bytes).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(24)?;
    let value = SealedValue {
        key: key.to_owned(),
        nonce: nonce.to_vec(),
        sealed: sealed.to_vec(),
    };
    let json = app.provisioner.sealer().open(Place::SIGN_IN, &value).ok()?;
    let attempt: Attempt = serde_json::from_str(json.expose()).ok()?;
    (app.clock.now() < attempt.expires_at).then_some(attempt)
}

/// The `Set-Cookie` of an attempt; with an empty value it is over.
fn set_cookie(app: &Daemon, value: &str) -> HeaderValue {
    let age = if value.is_empty() {
        0
    } else {
        ATTEMPT_MS / 1000
    };
    // Lax: the provider sends the browser back from its own site.
    let (name, secure) = match app.is_https() {
        true => (SECURE_COOKIE, "; Secure"),
        false => (PLAIN_COOKIE, ""),
    };
    let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    // Letters, digits and a few signs.
    HeaderValue::from_str(&cookie).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn sent_back(app: &Daemon, not: Not) -> Response {
    metrics::counter!("deskbell_sign_ins_total", "result" => "provider_refused").increment(1);
    let page = format!("/signin?problem={}", not.word());
    redirected(&page, vec![set_cookie(app, "")])
}

fn redirected(to: &str, cookies: Vec<HeaderValue>) -> Response {
    let cookies = cookies
        .into_iter()
        .map(|cookie| (header::SET_COOKIE, cookie));
    let headers = [
        (
            header::LOCATION,
            HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/")),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // The code in the address is for nobody else.
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (StatusCode::SEE_OTHER, headers, AppendHeaders(cookies)).into_response()
}
