//! `POST /api/v1/session`: signing in with e-mail address and password.
//!
//! The way in, in order: is there a try left, is the password right, is a second factor wanted ([`after_password`]), and
//! then a session ([`begin_session`]), which whoever knows a person by other means begins as well. Until the last step
//! nothing tells whether there is an account of this address (S02).

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use deskbell_sdk::Secret;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{OwnPage, cookie_for, cookie_named, session_cookie};
use super::body::Json;
use super::known_devices;
use super::me::{self, Me};
use super::paging;
use super::problem::Problem;
use super::{failures, two_factor};
use crate::access::guessing::Try;
use crate::access::passwords::Lane;
use crate::access::{Caller, SESSION_MS};
use crate::app::{App, Daemon};
use crate::desk::audit::{Audited, Told};
use crate::desk::people::{BeginUserSession, Refused};
use crate::secrets::random_text;
use crate::server::ClientAddress;
use crate::store::Found;
use crate::store::entry::{
    Actor, ActorKind, EmailEntry, Entry, SessionEntry, UserEntry, UserStatus, email_key,
    secret_hash,
};

/// The most bytes of a password that are looked at: 200 characters have no more.
const MAX_PASSWORD_BYTES: usize = 800;
/// The most characters of an e-mail address (RFC 5321).
const MAX_EMAIL_CHARS: usize = 254;
/// How much is kept of what a browser calls itself, in characters.
const MAX_AGENT_CHARS: usize = 200;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(sign_in))
}

/// From where a request comes: what a session is remembered by.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address on the network.
    pub address: IpAddr,
    /// What the browser calls itself.
    pub agent: Option<String>,
    /// The cookie of a device that somebody signed in with.
    pub device: Option<String>,
    /// The key of the session whose cookie the request bears, whether it works or not.
    pub session: Option<Vec<u8>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unknown = ClientAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let ClientAddress(address) = *parts.extensions.get().unwrap_or(&unknown);
        let headers = &parts.headers;
        let agent = headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .map(|agent| agent.chars().take(MAX_AGENT_CHARS).collect());
        let device = cookie_named(
            headers,
            known_devices::SECURE_COOKIE,
            known_devices::PLAIN_COOKIE,
        );
        Ok(Self {
            address,
            agent,
            device: device.map(str::to_owned),
            session: session_cookie(headers).map(secret_hash),
        })
    }
}

/// Who wants to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The e-mail address.
    #[schema(max_length = 254)]
    email: String,
    /// The password.
    #[schema(max_length = 200)]
    password: String,
    /// The code of the second factor, where there is one: six digits, or a recovery code.
    #[serde(default)]
    code: Option<String>,
}

/// Sign in
///
/// Begins a session of the desk. Where an account wants a second factor, the right password alone is answered 401
/// `code-needed`: send the same with `code`. A wrong password and an unknown address are answered alike. Who tries too
/// often is answered 429.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "session", operation_id = "signIn", security(()),
    request_body = SignIn,
    responses(
        (status = 201, description = "Who is signed in; the session is in the cookie", body = Me),
        (status = 401, description = "`wrong-credentials`, `code-needed` or `wrong-code`", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn sign_in(
    State(app): State<App>,
    _own: OwnPage,
    peer: Peer,
    Json(SignIn {
        email,
        password,
        code,
    }): Json<SignIn>,
) -> Result<Response, Problem> {
    let password = Secret::new(password);
    if email.chars().count() > MAX_EMAIL_CHARS || password.expose().len() > MAX_PASSWORD_BYTES {
        return Err(wrong_credentials());
    }
    // In a flood most are put off, and that costs next to nothing. It says nothing of the address (S02).
    if peer.device.is_none() && app.access.passwords.is_full(Lane::Stranger) {
        return Err(overrun());
    }
    let key = email_key(&email);
    let user = paging::read(&app, {
        let key = key.clone();
        move |app| Ok(by_email(app, &key)?)
    })
    .await?
    .filter(|user| user.status() == UserStatus::Active);
    let device = user
        .as_ref()
        .zip(peer.device.as_deref())
        .and_then(|(user, cookie)| known_devices::known(&app, cookie, user.id));
    let (tried, lane) = match &device {
        Some(device) => (Try::Device(device), Lane::Known),
        None => {
            let email = key.as_slice();
            let address = peer.address;
            (Try::Stranger { email, address }, Lane::Stranger)
        }
    };
    app.access
        .take_try(app.clock.now(), tried)
        .map_err(slowed)?;
    let hash = user.as_ref().and_then(|user| user.password.clone());
    let right = app.access.passwords.verify(lane, hash, password).await;
    let Some(user) = user.clone().filter(|_| right == Ok(true)) else {
        if let (Some(user), Ok(false)) = (&user, &right) {
            failures::note(&app, user, &peer, "password");
        }
        if right.is_err() {
            app.access.give_try_back(app.clock.now(), tried);
            return Err(overrun());
        }
        metrics::counter!("deskbell_sign_ins_total", "result" => "wrong").increment(1);
        tracing::info!("somebody could not sign in: the e-mail address or the password was wrong");
        return Err(wrong_credentials());
    };
    after_password(&app, &user, &peer, code.as_deref()).await?;
    let begun = begin_session(&app, &user, &peer, "password").await?;
    app.access.give_try_back(app.clock.now(), tried);
    metrics::counter!("deskbell_sign_ins_total", "result" => "right").increment(1);
    begun.answer(&app).await
}

/// What follows the right password: whether the second factor is wanted, and whether it is right. Everybody whose password
/// was right or was just set goes through here before a session begins.
pub async fn after_password(
    app: &App,
    user: &UserEntry,
    peer: &Peer,
    code: Option<&str>,
) -> Result<(), Problem> {
    if !user.two_factor {
        return Ok(());
    }
    let Some(code) = code else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "code-needed",
            "A code is needed",
            "The password is right. Send it again with `code` from your authenticator, or a recovery code.",
        ));
    };
    // Who has the password may not try all codes, from however many addresses and devices.
    let key = user.id.key();
    let tried = Try::Person(&key);
    app.access
        .take_try(app.clock.now(), tried)
        .map_err(slowed)?;
    if !two_factor::is_right(app, user.id, code, actor_of(user, peer)).await? {
        failures::note(app, user, peer, "code");
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "wrong-code",
            "The code is wrong",
            "It is wrong, too old, or was used before. Each code opens the door once: wait for the next, or use a recovery code.",
        ));
    }
    app.access.give_try_back(app.clock.now(), tried);
    Ok(())
}

/// A person as who does something, before they have a session.
pub(super) fn actor_of(user: &UserEntry, peer: &Peer) -> Actor {
    Actor {
        kind: ActorKind::User,
        id: user.id.to_string(),
        name: user.name.clone(),
        address: Some(peer.address.to_string()),
    }
}

/// A session that has begun.
#[derive(Debug)]
pub struct Begun {
    /// It.
    pub session: SessionEntry,
    /// Who is signed in by it.
    pub caller: Caller,
    /// The headers `Set-Cookie`: of the session, and of the device.
    pub cookies: [HeaderValue; 2],
}

/// Begins a session of a person who has proven who they are. It has an id and a cookie of its own, and takes the place of
/// the one whose cookie the request bears (S03). 401 where the person may no longer sign in, or something that ends
/// sessions happened since `user` was read.
/// `way` is how they did, for the audit log.
pub async fn begin_session(
    app: &App,
    user: &UserEntry,
    peer: &Peer,
    way: &'static str,
) -> Result<Begun, Problem> {
    let cookie = random_text();
    let begin = BeginUserSession {
        hash: secret_hash(&cookie),
        user: user.id,
        generation: user.generation,
        works_for_ms: SESSION_MS,
        address: Some(peer.address.to_string()),
        agent: peer.agent.clone(),
        instead_of: peer.session.clone(),
    };
    let begin = Audited::by_answer(
        begin,
        actor_of(user, peer),
        move |begun: &Result<SessionEntry, Refused>| {
            let session = begun.as_ref().ok()?;
            let told = Told::of("session.begun").with("session", session.id.to_string());
            Some(told.with("by", way))
        },
    );
    let changing = app.access.changing();
    let session = app.writer.write(begin).await?;
    drop(changing);
    let session = session.map_err(|_| wrong_credentials())?;
    let caller = app
        .access
        .by_session(&*app.store, &app.channels, app.clock.now(), &cookie)?
        .ok_or_else(wrong_credentials)?;
    let device = known_devices::cookie_for(app, peer.device.as_deref(), user.id);
    let header = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| Problem::bad_request("The cookie cannot be read."))
    };
    let cookies = [header(&cookie_for(app, &cookie))?, header(&device)?];
    Ok(Begun {
        session,
        caller,
        cookies,
    })
}

impl Begun {
    /// 201 with who is signed in, and the cookies.
    pub async fn answer(self, app: &App) -> Result<Response, Problem> {
        let Self {
            caller, cookies, ..
        } = self;
        let me = paging::read(app, move |app| me::shown(app, caller)).await?;
        let cookies = cookies.map(|cookie| (header::SET_COOKIE, cookie));
        Ok((StatusCode::CREATED, AppendHeaders(cookies), axum::Json(me)).into_response())
    }
}

/// The person of an e-mail address, by the key of it.
pub fn by_email(app: &Daemon, key: &[u8]) -> Found<Option<UserEntry>> {
    match EmailEntry::get(&*app.store, key)? {
        Some(entry) => UserEntry::get(&*app.store, &entry.user.key()),
        None => Ok(None),
    }
}

/// 401 in the same words for a wrong password, an unknown address, and somebody who may not sign in.
pub fn wrong_credentials() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong-credentials",
        "E-mail address or password wrong",
        "There is no account with this e-mail address and password. Passwords are set anew by a link from an administrator.",
    )
}

/// 429: too many were wrong.
pub fn slowed(seconds: u32) -> Problem {
    metrics::counter!("deskbell_sign_ins_total", "result" => "slowed").increment(1);
    Problem::too_many(
        "Too many tries. Wait, or sign in with a device that you have signed in with before.",
        seconds,
    )
}

/// 429: more passwords wait to be checked than are.
pub fn overrun() -> Problem {
    metrics::counter!("deskbell_sign_ins_total", "result" => "overrun").increment(1);
    Problem::too_many("Too many are signing in at once. Try again shortly.", 2)
}
