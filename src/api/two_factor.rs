//! `/api/v1/me/two-factor`: a second factor beside the password, from an authenticator (S06).

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::Secret;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Signed;
use super::body::Json;
use super::extract::{Id, MayAdmin};
use super::me::{check_password, person};
use super::paging;
use super::problem::Problem;
use super::sign_in::slowed;
use crate::access::Caller;
use crate::access::guessing::Try;
use crate::app::{App, Daemon};
use crate::desk::two_factor::{
    Begin, Code, Confirm, Refused, RenewRecovery, Reseal, TurnOff, UseCode, is_pending,
};
use crate::id::UserId;
use crate::seal::Place;
use crate::store::entry::{Actor, Entry, TwoFactorEntry, UserEntry, secret_hash};
use crate::totp;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(begin, turn_off))
        .routes(routes!(confirm))
        .routes(routes!(renew))
        .routes(routes!(turn_off_for))
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::unauthorized(),
            Refused::On => Self::conflict(
                "two-factor-on",
                "There is a second factor already",
                "Turn it off first, with a code of it.",
            ),
            Refused::Off => Self::conflict(
                "two-factor-off",
                "There is no second factor",
                "The account has none, or no longer.",
            ),
            Refused::NotBegun => Self::conflict(
                "two-factor-not-begun",
                "Begin anew",
                "It was not begun to set an authenticator up, or longer than ten minutes ago. Begin with POST /api/v1/me/two-factor.",
            ),
            Refused::WrongCode => Self::field("/code", "This code is wrong, or was used before."),
        }
    }
}

/// The password, once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// The password of now.
    password: String,
}

/// What an authenticator takes.
#[derive(Serialize, ToSchema)]
pub struct Authenticator {
    /// The secret, as people type it: base32.
    pub secret: String,
    /// The same as an address, mostly shown as a picture.
    pub otpauth_url: String,
}

/// A code of the authenticator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShownCode {
    /// Six digits.
    code: String,
}

/// Codes for when the authenticator is lost.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// Each opens the door once, in the place of a code. They are not shown again.
    pub recovery_codes: Vec<String>,
}

/// The password once more, and a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgainWithCode {
    /// The password of now.
    password: String,
    /// A code of the authenticator, or a recovery code.
    code: String,
}

async fn own(app: &App, caller: &Caller) -> Result<UserEntry, Problem> {
    let id = person(caller)?;
    let user = paging::read(app, move |app| {
        UserEntry::get(&*app.store, &id.key())?.ok_or_else(Problem::unauthorized)
    });
    user.await
}

async fn kept(app: &App, user: UserId) -> Result<Option<TwoFactorEntry>, Problem> {
    paging::read(app, move |app| {
        Ok(TwoFactorEntry::get(&*app.store, &user.key())?)
    })
    .await
}

/// Begin to set up an authenticator
///
/// Gives its secret, which is asked for only once it has shown a code: `POST /api/v1/me/two-factor/confirm` within ten
/// minutes. For people who are signed in.
#[utoipa::path(
    post, path = "/api/v1/me/two-factor", tag = "session", operation_id = "beginTwoFactor",
    request_body = Again,
    responses(
        (status = 201, description = "What the authenticator takes", body = Authenticator),
        (status = 409, description = "There is one already, or a token is no person", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn begin(
    State(app): State<App>,
    Signed(caller): Signed,
    Json(Again { password }): Json<Again>,
) -> Result<(StatusCode, axum::Json<Authenticator>), Problem> {
    let user = own(&app, &caller).await?;
    check_password(&app, &user, "/password", Secret::new(password)).await?;
    let secret = totp::new_secret();
    let id = user.id.to_string();
    let sealed = app
        .provisioner
        .sealer()
        .seal(Place::second_factor(&id), &secret);
    let sealed = sealed.map_err(|_| Problem::unavailable("The secret cannot be sealed."))?;
    let begin = Begin {
        user: user.id,
        secret: sealed,
    };
    app.writer.write(begin).await??;
    let url = totp::url(&secret, &user.email);
    let shown = Authenticator {
        otpauth_url: url.ok_or_else(|| Problem::unavailable("The address cannot be made."))?,
        secret: secret.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, axum::Json(shown)))
}

/// Set up an authenticator
///
/// With a code that it shows. From now on a code is asked for at each sign-in; sessions that there are go on. The answer
/// has the recovery codes, once.
#[utoipa::path(
    post, path = "/api/v1/me/two-factor/confirm", tag = "session", operation_id = "confirmTwoFactor",
    request_body = ShownCode,
    responses(
        (status = 200, description = "It is set up", body = RecoveryCodes),
        (status = 409, description = "It was not begun, or too long ago", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn confirm(
    State(app): State<App>,
    Signed(caller): Signed,
    Json(ShownCode { code }): Json<ShownCode>,
) -> Result<axum::Json<RecoveryCodes>, Problem> {
    let user = person(&caller)?;
    let tried = user.key();
    let now = app.clock.now();
    let entry = kept(&app, user)
        .await?
        .filter(|entry| is_pending(entry, now));
    let entry = entry.ok_or(Refused::NotBegun)?;
    let sealed = entry.pending.as_ref().ok_or(Refused::NotBegun)?;
    let id = user.to_string();
    let secret = app
        .provisioner
        .sealer()
        .open(Place::second_factor(&id), sealed);
    // Another key of the daemon's since: it is begun anew.
    let secret = secret.map_err(|_| Refused::NotBegun)?;
    let tried = Try::Person(&tried);
    app.access.take_try(now, tried).map_err(slowed)?;
    let step = totp::step_of(&secret, &code, now).ok_or(Refused::WrongCode)?;
    app.access.give_try_back(now, tried);
    let codes = totp::new_recovery_codes();
    let confirm = Confirm {
        user,
        step,
        version: entry.version,
        recovery: hashes(user, &codes),
        by: caller.actor(),
    };
    app.writer.write(confirm).await??;
    app.live.changed(app.clock.now(), "users");
    Ok(axum::Json(RecoveryCodes {
        recovery_codes: codes,
    }))
}

/// Turn the second factor off
///
/// With the password and a code of it.
#[utoipa::path(
    delete, path = "/api/v1/me/two-factor", tag = "session", operation_id = "turnTwoFactorOff",
    request_body = AgainWithCode,
    responses(
        (status = 204, description = "It is off"),
        (status = 409, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn turn_off(
    State(app): State<App>,
    Signed(caller): Signed,
    Json(AgainWithCode { password, code }): Json<AgainWithCode>,
) -> Result<StatusCode, Problem> {
    let user = own(&app, &caller).await?;
    if !user.two_factor {
        return Err(Refused::Off.into());
    }
    check_password(&app, &user, "/password", Secret::new(password)).await?;
    let key = user.id.key();
    let tried = Try::Person(&key);
    app.access
        .take_try(app.clock.now(), tried)
        .map_err(slowed)?;
    let code = found(&app, user.id, &code)
        .await?
        .ok_or(Refused::WrongCode)?;
    let turn_off = TurnOff {
        user: user.id,
        code: Some(code),
        by: caller.actor(),
    };
    app.writer.write(turn_off).await??;
    app.access.give_try_back(app.clock.now(), tried);
    app.live.changed(app.clock.now(), "users");
    Ok(StatusCode::NO_CONTENT)
}

/// Make new recovery codes
///
/// The former ones are dead.
#[utoipa::path(
    post, path = "/api/v1/me/two-factor/recovery-codes", tag = "session", operation_id = "renewRecoveryCodes",
    request_body = Again,
    responses(
        (status = 200, description = "The codes", body = RecoveryCodes),
        (status = 409, description = "There is no second factor", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn renew(
    State(app): State<App>,
    Signed(caller): Signed,
    Json(Again { password }): Json<Again>,
) -> Result<axum::Json<RecoveryCodes>, Problem> {
    let user = own(&app, &caller).await?;
    check_password(&app, &user, "/password", Secret::new(password)).await?;
    let codes = totp::new_recovery_codes();
    let renew = RenewRecovery {
        user: user.id,
        recovery: hashes(user.id, &codes),
        by: caller.actor(),
    };
    app.writer.write(renew).await??;
    Ok(axum::Json(RecoveryCodes {
        recovery_codes: codes,
    }))
}

/// Turn a person's second factor off
///
/// For somebody who has lost the authenticator and the recovery codes: make sure that it is them. Administrators only.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/two-factor", tag = "users", operation_id = "turnUserTwoFactorOff",
    params(("id" = String, Path, description = "`usr_…`")),
    responses(
        (status = 204, description = "It is off"),
        (status = 409, description = "There is none", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn turn_off_for(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(user): Id<UserId>,
) -> Result<StatusCode, Problem> {
    let turn_off = TurnOff {
        user,
        code: None,
        by: caller.actor(),
    };
    match app.writer.write(turn_off).await? {
        Ok(()) => {}
        Err(Refused::Unknown) => return Err(Problem::not_found("person")),
        Err(refused) => return Err(refused.into()),
    }
    app.live.changed(app.clock.now(), "users");
    Ok(StatusCode::NO_CONTENT)
}

/// The hashes under which recovery codes are kept: 80 random bits need no slow one.
fn hashes(user: UserId, codes: &[String]) -> BTreeSet<ByteBuf> {
    let codes = codes.iter().filter_map(|code| totp::recovery_code(code));
    codes
        .map(|code| ByteBuf::from(secret_hash(&format!("{user} {code}"))))
        .collect()
}

/// What somebody's code is; `None` where it cannot be one.
async fn found(app: &App, user: UserId, code: &str) -> Result<Option<Code>, Problem> {
    if let Some(code) = totp::recovery_code(code) {
        return Ok(Some(Code::Recovery(secret_hash(&format!("{user} {code}")))));
    }
    let Some(entry) = kept(app, user).await? else {
        return Ok(None);
    };
    let Some(sealed) = &entry.secret else {
        return Ok(None);
    };
    let id = user.to_string();
    let secret = app
        .provisioner
        .sealer()
        .open(Place::second_factor(&id), sealed);
    let secret = secret.map_err(|error| {
        tracing::error!(%user, "the secret of a second factor {error}");
        Problem::unavailable(
            "The second factor cannot be checked: the daemon's key is another one. A recovery code works; an administrator can turn it off.",
        )
    })?;
    let version = entry.version;
    let step = totp::step_of(&secret, code, app.clock.now());
    Ok(step.map(|step| Code::OfStep { step, version }))
}

/// Whether a code opens the door of somebody whose password was right. It is used up by that.
pub(super) async fn is_right(
    app: &App,
    user: UserId,
    code: &str,
    by: Actor,
) -> Result<bool, Problem> {
    let Some(code) = found(app, user, code).await? else {
        return Ok(false);
    };
    Ok(app.writer.write(UseCode { user, code, by }).await?)
}

/// Seals anew what a former key of the daemon's sealed (K02), at the start. Says how many were sealed by keys that the
/// daemon does not have: those people need a recovery code, or an administrator.
pub async fn seal_anew(app: &App) -> usize {
    let sealed = paging::read(app, |app| {
        let all = TwoFactorEntry::scan(&*app.store, &[], None, usize::MAX)?;
        Ok(all
            .into_iter()
            .filter_map(|(key, entry)| open(app, &key, entry))
            .collect())
    });
    let sealed: Vec<_> = match sealed.await {
        Ok(sealed) => sealed,
        Err(problem) => {
            tracing::error!(problem = problem.detail, "second factors could not be read");
            return 0;
        }
    };
    let mut lost = 0;
    for (user, opened) in sealed {
        match opened {
            Some(reseal) => {
                if let Err(error) = app.writer.write(reseal).await {
                    tracing::warn!(%error, %user, "a second factor could not be sealed anew; the next start tries again");
                }
            }
            None => lost += 1,
        }
    }
    lost
}

/// What is to be sealed anew of a second factor; `None` inside where no key opens it.
fn open(app: &Daemon, key: &[u8], entry: TwoFactorEntry) -> Option<(UserId, Option<Reseal>)> {
    let user = UserId(u64::from_be_bytes(key.try_into().ok()?));
    let sealed = entry.secret?;
    let sealer = app.provisioner.sealer();
    if sealer.is_current(&sealed) {
        return None;
    }
    let id = user.to_string();
    let place = Place::second_factor(&id);
    let secret = sealer.open(place, &sealed);
    let anew = secret.and_then(|secret| sealer.seal(place, &secret));
    let reseal = anew.ok().map(|secret| Reseal {
        user,
        version: entry.version,
        secret,
    });
    Some((user, reseal))
}
