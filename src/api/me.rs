//! `/api/v1/me`: who is signed in, and what they set for themselves.

use std::collections::BTreeSet;

use axum::extract::State;
use deskbell_sdk::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Signed;
use super::body::Json;
use super::paging;
use super::problem::Problem;
use super::sign_in::{overrun, slowed};
use super::tokens::VisibleChannels;
use super::users::{self, User};
use crate::access::guessing::Try;
use crate::access::passwords::{self, Lane};
use crate::access::{Caller, Who};
use crate::app::{App, Daemon};
use crate::desk::audit::{Audited, Told};
use crate::desk::people::{
    ChangePreferences, ChangeUser, EndSessions, MAX_PREFERENCES_BYTES, Refused,
};
use crate::desk::teams;
use crate::id::UserId;
use crate::store::entry::{Entry, PreferencesEntry, Right, Role, SettingEntry, UserEntry};

/// The key of the setting that is the shop's name.
const SHOP_NAME_KEY: &[u8] = b"shop_name";
/// The shop's name where none is set.
const SHOP_NAME: &str = "Deskbell";

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(me, change))
        .routes(routes!(change_password))
}

/// By what somebody got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerType {
    /// An API token.
    Token,
    /// The token of the configuration.
    Bootstrap,
    /// A command on the daemon's own machine.
    Local,
    /// A session of the desk.
    Session,
    /// A device of a person, by its token.
    Device,
}

/// Who is signed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// By what.
    pub r#type: CallerType,
    /// `usr_…`, `tok_…`, `ses_…`, or a word for those of the configuration and of this machine.
    pub id: String,
    /// The name that others see.
    pub name: String,
    /// What they may do, in one word.
    pub role: Role,
    /// What they may do.
    pub scopes: BTreeSet<Right>,
    /// What they may see: `all`, or the slugs of channels.
    pub channels: VisibleChannels,
    /// The person; `null` for programs, and for the session of the set-up link.
    pub user: Option<User>,
    /// What the person has set for themselves: any JSON object.
    #[schema(value_type = Object)]
    pub preferences: Map<String, Value>,
    /// The shop's name.
    pub shop_name: String,
}

/// The caller as they see themselves.
pub fn shown(app: &Daemon, caller: Caller) -> Result<Me, Problem> {
    let role = if caller.may(Right::Admin) {
        Role::Admin
    } else if caller.may(Right::Write) {
        Role::Agent
    } else {
        Role::Viewer
    };
    let channels = match caller.scope.channels() {
        None => VisibleChannels::All,
        Some(numbers) => {
            let known = numbers.iter().filter_map(|no| app.channels.known(*no));
            VisibleChannels::Only(known.map(|entry| entry.id.clone()).collect())
        }
    };
    let (user, preferences) = match caller.user() {
        None => (None, Map::new()),
        Some(id) => {
            let user = UserEntry::get(&*app.store, &id.key())?.ok_or_else(Problem::unauthorized)?;
            let preferences = PreferencesEntry::get(&*app.store, &id.key())?;
            (
                Some(users::shown(app, &teams::all(&*app.store)?, user, &caller)),
                preferences.map_or_else(Map::new, |entry| entry.object()),
            )
        }
    };
    // Where the store cannot be read (a full disk), the name of the shop keeps nobody out.
    let shop_name = SettingEntry::get(&*app.store, SHOP_NAME_KEY).unwrap_or_default();
    Ok(Me {
        r#type: match caller.who {
            Who::Token { .. } => CallerType::Token,
            Who::Device { .. } => CallerType::Device,
            Who::Bootstrap => CallerType::Bootstrap,
            Who::Local => CallerType::Local,
            Who::User { .. } | Who::SetupSession { .. } => CallerType::Session,
        },
        id: caller.owner(),
        name: caller.name(),
        role,
        scopes: caller.rights,
        channels,
        user,
        preferences,
        shop_name: shop_name.map_or_else(|| SHOP_NAME.to_owned(), |entry| entry.value),
    })
}

async fn shown_again(app: &App, caller: Caller) -> Result<axum::Json<Me>, Problem> {
    let me = paging::read(app, move |app| {
        let now = app.clock.now();
        let again = app
            .access
            .again(&*app.store, &app.channels, now, &caller)?
            .ok_or_else(Problem::unauthorized)?;
        shown(app, again)
    });
    me.await.map(axum::Json)
}

/// Who am I
///
/// Who is signed in, what they may do and see, and what they have set for themselves.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "session", operation_id = "getMe",
    responses((status = 200, description = "Who is signed in", body = Me)),
)]
async fn me(State(app): State<App>, Signed(caller): Signed) -> Result<axum::Json<Me>, Problem> {
    let me = paging::read(&app, move |app| shown(app, caller));
    me.await.map(axum::Json)
}

/// What a person changes of themselves. What is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeChange {
    /// The name that others see: 1 to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    name: Option<String>,
    /// Whether they take conversations.
    available: Option<bool>,
    /// What is set: each key is replaced, and `null` removes it. All together have at most 16 kB of JSON.
    #[schema(value_type = Option<Object>)]
    preferences: Option<Map<String, Value>>,
}

/// The person who calls; programs and the session of the set-up link are none.
pub(super) fn person(caller: &Caller) -> Result<UserId, Problem> {
    caller.user().ok_or_else(|| {
        Problem::conflict(
            "no-user",
            "This is for people",
            "A token or the session of the set-up link is no person of the shop. Sign in as one.",
        )
    })
}

/// Change what is mine
///
/// The own name, whether one takes conversations, and preferences. For people who are signed in.
#[utoipa::path(
    patch, path = "/api/v1/me", tag = "session", operation_id = "changeMe",
    request_body = MeChange,
    responses(
        (status = 200, description = "Who is signed in", body = Me),
        (status = 409, description = "A token is no person", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn change(
    State(app): State<App>,
    Signed(caller): Signed,
    Json(wanted): Json<MeChange>,
) -> Result<axum::Json<Me>, Problem> {
    let user = person(&caller)?;
    let name = wanted.name.as_deref().map(users::name).transpose()?;
    if let Some(changes) = wanted.preferences {
        let too_long = || {
            let detail =
                format!("All together have at most {MAX_PREFERENCES_BYTES} bytes of JSON.");
            Problem::field("/preferences", detail)
        };
        let fits = app
            .writer
            .write(ChangePreferences { user, changes })
            .await?;
        if !fits {
            return Err(too_long());
        }
        app.live
            .changed_for(app.clock.now(), caller.owner(), "preferences");
    }
    if name.is_some() || wanted.available.is_some() {
        let change = ChangeUser {
            name,
            available: wanted.available,
            ..ChangeUser::of(user)
        };
        users::carry_out(&app, change, caller.actor()).await?;
    }
    shown_again(&app, caller).await
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password of now.
    current: String,
    /// The new one: 10 to 200 characters, not the e-mail address, none of those that are tried first.
    #[schema(min_length = 10, max_length = 200)]
    new: String,
}

/// Change my password
///
/// Ends all other sessions, and links for a new password. For people who are signed in.
#[utoipa::path(
    post, path = "/api/v1/me/password", tag = "session", operation_id = "changePassword",
    request_body = PasswordChange,
    responses(
        (status = 200, description = "It is changed", body = Me),
        (status = 409, description = "A token is no person", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn change_password(
    State(app): State<App>,
    Signed(caller): Signed,
    Json(PasswordChange { current, new }): Json<PasswordChange>,
) -> Result<axum::Json<Me>, Problem> {
    let id = person(&caller)?;
    let user = paging::read(&app, move |app| {
        UserEntry::get(&*app.store, &id.key())?.ok_or_else(Problem::unauthorized)
    });
    let user = user.await?;
    check_password(&app, &user, "/current", Secret::new(current)).await?;
    if let Some(why) = passwords::refused(&new, &user.email) {
        return Err(Problem::field("/new", why));
    }
    let hash = app.access.passwords.hash(Lane::Known, Secret::new(new));
    let end = EndSessions {
        user: id,
        generation: Some(user.generation),
        password: Some(hash.await.map_err(|_| overrun())?),
        except: caller.session().map(<[u8]>::to_vec),
    };
    let end = Audited::by_answer(end, caller.actor(), |ended: &Result<UserEntry, Refused>| {
        let user = ended.as_ref().ok()?;
        Some(Told::of("user.password_changed").to("user", user.id, user.name.as_str()))
    });
    let changing = app.access.changing();
    let ended = app.writer.write(end).await?;
    drop(changing);
    match ended {
        Ok(_) => shown_again(&app, caller).await,
        Err(Refused::Unknown) => Err(Problem::unauthorized()),
        Err(refused) => Err(refused.into()),
    }
}

/// Checks the password of somebody who is signed in once more, as often as that may be tried; `pointer` is where the
/// request says it.
pub(super) async fn check_password(
    app: &App,
    user: &UserEntry,
    pointer: &str,
    password: Secret,
) -> Result<(), Problem> {
    let key = user.id.key();
    let tried = Try::Person(&key);
    app.access
        .take_try(app.clock.now(), tried)
        .map_err(slowed)?;
    let hash = user.password.clone();
    let right = app
        .access
        .passwords
        .verify(Lane::Known, hash, password)
        .await
        .map_err(|_| overrun())?;
    if !right {
        return Err(Problem::field(pointer, "This is not your password."));
    }
    app.access.give_try_back(app.clock.now(), tried);
    Ok(())
}
