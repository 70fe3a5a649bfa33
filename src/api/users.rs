//! `/api/v1/users`: the people of the shop.

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::text::{MAX_NAME_CHARS, clean_name};
use deskbell_sdk::{Secret, Time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, JsonBytes, Query};
use super::cursor::Position;
use super::extract::{Id, MayAdmin, MayRead};
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::invitations::{Invitation, LINK_MS, link_of, mailed};
use super::paging::{self, List, Look};
use super::problem::Problem;
use super::sign_in::overrun;
use super::tokens::VisibleChannels;
use crate::access::Caller;
use crate::access::passwords::{self, Lane};
use crate::app::{App, Daemon};
use crate::desk::audit::{Audited, Told};
use crate::desk::people::{AddUser, ChangeUser, EndSessions, NewLink, NewUser, Refused};
use crate::desk::teams;
use crate::id::{TeamId, UserId};
use crate::store::entry::{
    Actor, Entry, InvitationEntry, Role, TeamEntry, UserEntry, UserStatus, secret_hash,
};

/// The most characters of an e-mail address (RFC 5321).
const MAX_EMAIL_CHARS: usize = 254;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(users, add))
        .routes(routes!(user, change))
        .routes(routes!(end_sessions))
}

/// A place in the list of people.
impl Position for UserId {
    const LIST: u8 = 20;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// A person of the shop.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// `usr_…`
    #[schema(value_type = String)]
    pub id: UserId,
    /// The e-mail address.
    pub email: String,
    /// The name that others see.
    pub name: String,
    /// What they may do: an administrator everything, an agent reads and answers, a viewer reads.
    pub role: Role,
    /// What they may see; of these the channels that you may see.
    pub channels: VisibleChannels,
    /// `tea_…`: their teams.
    #[schema(value_type = Vec<String>)]
    pub team_ids: Vec<TeamId>,
    /// Whether they may sign in.
    pub status: UserStatus,
    /// Whether they need a second factor to sign in.
    pub two_factor: bool,
    /// Whether they take conversations.
    pub available: bool,
    /// When they were added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// When they were last here, to within minutes.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Time>,
}

/// A person as this reader sees them.
pub fn shown(app: &Daemon, teams: &[TeamEntry], user: UserEntry, reader: &Caller) -> User {
    let status = user.status();
    let channels = match user.channels {
        None => VisibleChannels::All,
        Some(mut slugs) => {
            // Channels that the reader may not know of are not named (T01).
            slugs.retain(|slug| {
                let number = app.channels.number_of(slug);
                reader.scope.channels().is_none()
                    || number.is_some_and(|number| reader.scope.allows(number))
            });
            VisibleChannels::Only(slugs)
        }
    };
    User {
        id: user.id,
        email: user.email,
        name: user.name,
        role: user.role,
        channels,
        team_ids: teams
            .iter()
            .filter(|team| team.members.contains(&user.id))
            .map(|team| team.id)
            .collect(),
        status,
        two_factor: user.two_factor,
        available: user.available,
        created_at: user.created_at,
        last_seen_at: user.last_seen_at,
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::not_found("person"),
            Refused::EmailTaken => Self::conflict(
                "email-taken",
                "This e-mail address is taken",
                "Another person has this e-mail address. Change or disable that one, or take another address.",
            ),
            Refused::LastAdmin => Self::conflict(
                "last-admin",
                "The last administrator",
                "Nobody would be left who may do everything. Make somebody else an administrator first.",
            ),
            Refused::AdminSeesAll => {
                Self::field("/channels", "An administrator sees all channels.")
            }
            Refused::Disabled => Self::conflict(
                "user-disabled",
                "This person may not sign in",
                "The account is disabled. Enable it first: `\"disabled\": false`.",
            ),
            Refused::AlreadySetUp => Self::conflict(
                "already-set-up",
                "Deskbell is set up already",
                "There is an administrator. Ask them to add you.",
            ),
            Refused::Changed => Self::conflict(
                "changed-meanwhile",
                "It has changed meanwhile",
                "The account was changed at the same moment. Look again, and try again.",
            ),
        }
    }
}

/// A name as it is kept.
pub fn name(text: &str) -> Result<String, Problem> {
    let name = clean_name(text).filter(|_| text.chars().count() <= MAX_NAME_CHARS);
    name.ok_or_else(|| {
        Problem::field(
            "/name",
            "A name has 1 to 300 characters, one of them visible.",
        )
    })
}

/// An e-mail address as it is kept: something before and something behind one `@`.
pub fn email(text: &str) -> Result<String, Problem> {
    let email = text.trim();
    let is_plain = email
        .chars()
        .all(|character| !character.is_whitespace() && !character.is_control());
    let has_both = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    if !is_plain || !has_both || email.chars().count() > MAX_EMAIL_CHARS {
        return Err(Problem::field(
            "/email",
            "An e-mail address, as jana@shop.example, of at most 254 characters.",
        ));
    }
    Ok(email.to_owned())
}

/// The channels that somebody may see, all of which there are.
pub fn channels(
    app: &Daemon,
    wanted: VisibleChannels,
) -> Result<Option<std::collections::BTreeSet<String>>, Problem> {
    let slugs = match wanted {
        VisibleChannels::All => return Ok(None),
        VisibleChannels::Only(slugs) => slugs,
    };
    let unknown = slugs
        .iter()
        .find(|slug| app.channels.number_of(slug).is_none());
    match unknown {
        Some(unknown) => Err(Problem::field(
            "/channels",
            format!("There is no channel `{unknown}`."),
        )),
        None => Ok(Some(slugs)),
    }
}

/// The hash of a password that may be taken.
pub async fn new_password(app: &App, password: String, email: &str) -> Result<String, Problem> {
    if let Some(why) = passwords::refused(&password, email) {
        return Err(Problem::field("/password", why));
    }
    let hash = app
        .access
        .passwords
        .hash(Lane::Known, Secret::new(password));
    hash.await.map_err(|_| overrun())
}

/// Changes a person, and tells those who listen. `by` is who asks.
pub async fn carry_out(app: &App, change: ChangeUser, by: Actor) -> Result<UserEntry, Problem> {
    let changed = [
        ("name", change.name.is_some()),
        ("email", change.email.is_some()),
        ("role", change.role.is_some()),
        ("channels", change.channels.is_some()),
        ("disabled", change.disabled.is_some()),
        ("password", change.password.is_some()),
        ("available", change.available.is_some()),
    ];
    let changed = changed.into_iter().filter(|(_, is_named)| *is_named);
    let changed: Vec<_> = changed.map(|(name, _)| name).collect();
    // Whether somebody takes conversations opens and closes no door.
    let is_of_interest = changed != ["available"] && !changed.is_empty();
    let tell = move |made: &Result<UserEntry, Refused>| {
        let user = made.as_ref().ok().filter(|_| is_of_interest)?;
        let told = Told::of("user.changed").to("user", user.id, user.name.as_str());
        let told = with_rights(told.with("changed", changed.clone()), user);
        Some(told.with("disabled", user.disabled))
    };
    let change = Audited::by_answer(change, by, tell);
    let changing = app.access.changing();
    let changed = app.writer.write(change).await?;
    drop(changing);
    let changed = changed?;
    app.live.changed(app.clock.now(), "users");
    Ok(changed)
}

/// Which people.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// Only those who stand like this.
    status: Option<UserStatus>,
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The people of the shop
///
/// Who was added first comes first.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "listUsers", params(UsersQuery),
    responses((status = 200, description = "A page of the people", body = List<User>)),
)]
async fn users(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<UsersQuery>,
) -> Result<axum::Json<List<User>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<UserId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let teams = teams::all(&*app.store)?;
        let (data, next) = paging::fill(
            limit,
            start,
            |behind: Option<&UserId>, limit| {
                let after = behind.map(|id| id.key());
                let after = after.as_ref().map(<[u8; 8]>::as_slice);
                UserEntry::scan(&*app.store, &[], after, limit)
            },
            |(_, user)| user.id,
            |(_, user)| {
                let fits = query.status.is_none_or(|status| status == user.status());
                Ok(if fits {
                    Look::Take(shown(app, &teams, user.clone(), &caller))
                } else {
                    Look::Skip
                })
            },
        )?;
        let next = next.map(|next| app.cursors.write(&next));
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

/// One person of the shop
///
/// Who they are, what they may do and see, and how they stand.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = String, Path, description = "`usr_…`")),
    responses((status = 200, description = "The person", body = User)),
)]
async fn user(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<UserId>,
) -> Result<axum::Json<User>, Problem> {
    let user = paging::read(&app, move |app| {
        let user = UserEntry::get(&*app.store, &id.key())?;
        let user = user.ok_or_else(|| Problem::not_found("person"))?;
        Ok(shown(app, &teams::all(&*app.store)?, user, &caller))
    });
    user.await.map(axum::Json)
}

/// A person who is to be added.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserToAdd {
    /// The e-mail address, by which they sign in.
    #[schema(max_length = 254)]
    email: String,
    /// The name that others see: 1 to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    name: String,
    /// What they may do.
    role: Role,
    /// What they may see; all where it is left out. An administrator sees all.
    #[serde(default)]
    channels: VisibleChannels,
    /// The password, 10 to 200 characters. Left out, the answer has a link by which the person sets their own.
    #[serde(default)]
    #[schema(min_length = 10, max_length = 200)]
    password: Option<String>,
}

/// A person who was added.
#[derive(Serialize, ToSchema)]
pub struct AddedUser {
    /// The person.
    #[serde(flatten)]
    pub user: User,
    /// The link by which they set their password, where none was given: keep it now, it is not shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Invitation>,
}

/// Add a person
///
/// Without `password` the person is `invited`, and the answer carries once a link of one day by which they come in. With
/// `Idempotency-Key` the same request gives the same answer again; the password is not compared. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", operation_id = "addUser",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body adds one person")),
    request_body = UserToAdd,
    responses(
        (status = 201, description = "The person", body = AddedUser),
        (status = 409, description = "Another person has the e-mail address", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn add(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<UserToAdd>,
) -> Result<(StatusCode, axum::Json<AddedUser>), Problem> {
    // What is kept of the request must not tell the password to who reads the disk.
    let remembered = key.of(&caller, &without_password(&body));
    let token = match &remembered {
        // Made of the key, so that the first answer can be given again without keeping it.
        Some((key, _)) => app.cursors.derived_secret("invitation", key),
        None => crate::secrets::random_text(),
    };
    let (name, email) = (name(&new.name)?, email(&new.email)?);
    let channels = channels(&app, new.channels)?;
    let password = match new.password {
        Some(password) => Some(new_password(&app, password, &email).await?),
        None => None,
    };
    let link = password.is_none().then(|| NewLink {
        hash: secret_hash(&token),
        works_for_ms: LINK_MS,
    });
    let decision = Once {
        decision: Audited::by_answer(
            AddUser {
                user: NewUser {
                    email,
                    name,
                    role: new.role,
                    channels,
                    password,
                },
                link,
            },
            caller.actor(),
            told_of_added,
        ),
        remembered,
        made: |made| {
            let id = made.as_ref().map(|(user, _)| user.id.to_string());
            id.unwrap_or_default()
        },
    };
    let (user, invitation) = match app.writer.write(decision).await? {
        OnceAnswer::Now(made) => {
            let (user, invitation) = made?;
            app.live.changed(app.clock.now(), "users");
            let link = invitation.map(|invitation| link_of(&app, &token, &invitation));
            let invitation = match link {
                Some(link) => Some(mailed(&app, link, &user, &caller.name()).await),
                None => None,
            };
            let user = shown(&app, &teams::all(&*app.store)?, user, &caller);
            return Ok((
                StatusCode::CREATED,
                axum::Json(AddedUser { user, invitation }),
            ));
        }
        OnceAnswer::Before(id) => added_before(&app, &id, &token).await?,
        OnceAnswer::KeyReused => return Err(key_reused()),
    };
    let added = AddedUser {
        user: shown(&app, &teams::all(&*app.store)?, user, &caller),
        invitation: invitation.map(|invitation| link_of(&app, &token, &invitation)),
    };
    Ok((StatusCode::CREATED, axum::Json(added)))
}

/// An answer of [`AddUser`].
type Added = Result<(UserEntry, Option<InvitationEntry>), Refused>;

fn told_of_added(made: &Added) -> Option<Told> {
    let (user, _) = made.as_ref().ok()?;
    let told = Told::of("user.created").to("user", user.id, user.name.as_str());
    Some(with_rights(told, user))
}

/// With what a person may do and see.
fn with_rights(told: Told, user: &UserEntry) -> Told {
    let channels = user.channels.clone();
    let channels = channels.map_or(VisibleChannels::All, VisibleChannels::Only);
    told.with("role", serde_json::to_value(user.role).unwrap_or_default())
        .with(
            "channels",
            serde_json::to_value(channels).unwrap_or_default(),
        )
}

/// What an earlier request with the same key has made; the link only while it works.
async fn added_before(
    app: &App,
    id: &str,
    token: &str,
) -> Result<(UserEntry, Option<InvitationEntry>), Problem> {
    // An earlier one that was refused has made nobody.
    let id: UserId = id.parse().map_err(|_| Problem::from(Refused::EmailTaken))?;
    let hash = secret_hash(token);
    let before = paging::read(app, move |app| {
        let user = UserEntry::get(&*app.store, &id.key())?;
        let user = user.ok_or_else(|| Problem::not_found("person"))?;
        let invitation = InvitationEntry::get(&*app.store, &hash)?;
        Ok((user, invitation.filter(|invitation| invitation.user == id)))
    });
    before.await
}

/// A body without its password.
fn without_password(body: &[u8]) -> Vec<u8> {
    let mut value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(password) = value.get_mut("password") {
        *password = serde_json::Value::Bool(!password.is_null());
    }
    value.to_string().into_bytes()
}

/// What is to be changed of a person. What is left out stays.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    /// The name that others see: 1 to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    name: Option<String>,
    /// The e-mail address. An open link is dead with the old one.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// What they may do.
    role: Option<Role>,
    /// What they may see.
    channels: Option<VisibleChannels>,
    /// Whether they may not sign in; `true` ends all their sessions.
    disabled: Option<bool>,
    /// A new password, 10 to 200 characters; it ends all their sessions.
    #[schema(min_length = 10, max_length = 200)]
    password: Option<String>,
}

/// Change a person
///
/// A new role and new channels hold from the next request on, and on open streams within seconds. Administrators only.
#[utoipa::path(
    patch, path = "/api/v1/users/{id}", tag = "users", operation_id = "changeUser",
    params(("id" = String, Path, description = "`usr_…`")),
    request_body = UserChange,
    responses(
        (status = 200, description = "The person", body = User),
        (status = 409, description = "`last-admin` or `email-taken`", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn change(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<UserId>,
    Json(wanted): Json<UserChange>,
) -> Result<axum::Json<User>, Problem> {
    let before = paging::read(&app, move |app| {
        let user = UserEntry::get(&*app.store, &id.key())?;
        user.ok_or_else(|| Problem::not_found("person"))
    });
    let before = before.await?;
    let email = wanted.email.as_deref().map(email).transpose()?;
    let password = match wanted.password {
        Some(password) => {
            let email = email.as_deref().unwrap_or(&before.email);
            Some(new_password(&app, password, email).await?)
        }
        None => None,
    };
    let change = ChangeUser {
        name: wanted.name.as_deref().map(name).transpose()?,
        email,
        role: wanted.role,
        channels: wanted
            .channels
            .map(|wanted| channels(&app, wanted))
            .transpose()?,
        disabled: wanted.disabled,
        password,
        ..ChangeUser::of(id)
    };
    let changed = carry_out(&app, change, caller.actor()).await?;
    Ok(axum::Json(shown(
        &app,
        &teams::all(&*app.store)?,
        changed,
        &caller,
    )))
}

/// That all sessions of somebody, or all others, are over.
pub(super) fn told_of_ended(ended: &Result<UserEntry, Refused>) -> Option<Told> {
    let user = ended.as_ref().ok()?;
    Some(Told::of("user.sessions_ended").to("user", user.id, user.name.as_str()))
}

/// End a person's sessions
///
/// All of them: at once for requests, within seconds for open streams. Administrators only.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/sessions", tag = "users", operation_id = "endUserSessions",
    params(("id" = String, Path, description = "`usr_…`")),
    responses((status = 204, description = "They are over")),
)]
async fn end_sessions(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<UserId>,
) -> Result<StatusCode, Problem> {
    let end = EndSessions {
        user: id,
        generation: None,
        password: None,
        except: None,
    };
    let end = Audited::by_answer(end, caller.actor(), told_of_ended);
    let changing = app.access.changing();
    let ended = app.writer.write(end).await?;
    drop(changing);
    ended?;
    Ok(StatusCode::NO_CONTENT)
}
