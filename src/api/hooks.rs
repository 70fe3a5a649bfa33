//! `/api/v1/hooks`: who else is told what happens, by an administrator. A secret is shown once.

use std::collections::BTreeSet;
use std::fmt;

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::{Secret, Time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, JsonBytes, Query};
use super::cursor::Position;
use super::extract::{Id, MayAdmin, present};
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::paging::{self, List};
use super::problem::Problem;
use super::tokens::VisibleChannels;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::hooks::{ChangeHook, MOST_HOOKS, MakeHook, RemoveHook, RotateSecret};
use crate::hooks::{self, Access};
use crate::id::HookId;
use crate::seal::Place;
use crate::store::entry::{Entry, HookEntry, HookKind, SealedValue};

/// The longest address, in bytes.
const MAX_URL_BYTES: usize = 2_000;
/// The longest access token, in bytes.
const MAX_TOKEN_BYTES: usize = 1_000;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, make))
        .routes(routes!(one, change, remove))
        .routes(routes!(rotate))
}

/// A place in the list of hooks.
impl Position for HookId {
    const LIST: u8 = 70;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// An outgoing hook, without its secrets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Hook {
    /// `hok_…`
    #[schema(value_type = String)]
    pub id: HookId,
    /// What speaks at the other end.
    pub kind: HookKind,
    /// Where it is told; of a command its program.
    pub url: String,
    /// Of a command its `id` in the configuration file, where alone it can be changed.
    pub command: Option<String>,
    /// The types of the events that it hears.
    pub events: BTreeSet<String>,
    /// The channels of which it hears.
    pub channels: VisibleChannels,
    /// Whether it hears `bell.rung` only once the ring has climbed to the step of escalation (4, or the last one).
    pub escalation: bool,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why it was switched off, where Deskbell did it: what happened, and what to do.
    pub disabled_reason: Option<String>,
    /// Since when nothing has been taken there.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failing_since: Option<Time>,
    /// Whether events are being told again.
    pub replaying: bool,
    /// Until when deliveries are signed with the former secret as well.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub former_secret_until: Option<Time>,
    /// Whether an access token is kept for it.
    pub has_access_token: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

impl From<HookEntry> for Hook {
    fn from(entry: HookEntry) -> Self {
        Self {
            id: entry.id,
            kind: entry.kind,
            url: entry.url,
            command: entry.command,
            events: entry.events,
            channels: entry
                .channels
                .map_or(VisibleChannels::All, VisibleChannels::Only),
            escalation: entry.escalation,
            enabled: entry.enabled,
            disabled_reason: entry.disabled_reason,
            failing_since: entry.failing_since,
            replaying: entry.replay.is_some(),
            former_secret_until: entry.former_secret.map(|(_, until)| until),
            has_access_token: entry.access_token.is_some(),
            created_at: entry.created_at,
        }
    }
}

/// A hook with its secret.
#[derive(Serialize, ToSchema)]
pub struct HookWithSecret {
    /// What it is.
    #[serde(flatten)]
    pub about: Hook,
    /// What its deliveries are signed with, `whsec_…`: keep it now, it is not shown again. `null` where nothing is signed.
    pub secret: Option<String>,
}

impl fmt::Debug for HookWithSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookWithSecret")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// A hook that is wanted.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHook {
    /// What speaks at the other end.
    #[serde(default)]
    kind: HookKind,
    /// Where it is told: an https address on the public internet, at most 2,000 bytes.
    #[schema(max_length = 2000, example = "https://shop.example/deskbell")]
    url: String,
    /// The types of the events that it hears, as the stream names them: at least one.
    #[schema(min_items = 1, example = json!(["message.created"]))]
    events: BTreeSet<String>,
    /// The channels of which it hears.
    #[serde(default)]
    channels: VisibleChannels,
    /// Whether it hears `bell.rung` only once the ring has climbed to the step of escalation.
    #[serde(default)]
    escalation: bool,
    /// What opens the server at the other end: of `ntfy` an access token where the topic wants one, of `gotify` and
    /// `pushover` the token of the application, always. It is never shown.
    #[serde(default)]
    access_token: Option<String>,
}

impl fmt::Debug for NewHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewHook")
            .field("kind", &self.kind)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// An administrator of some channels makes and sees no hooks: they might tell of others.
pub(super) fn of_all_channels(caller: &Caller) -> Result<(), Problem> {
    match caller.scope.channels() {
        None => Ok(()),
        Some(_) => Err(Problem::forbidden(
            "Hooks are for administrators who may see all channels.",
        )),
    }
}

fn checked_url(app: &Daemon, kind: HookKind, url: &str) -> Result<String, Problem> {
    if url.len() > MAX_URL_BYTES {
        return Err(Problem::field(
            "/url",
            "An address has at most 2,000 bytes.",
        ));
    }
    let refused = |why: String| {
        Problem::field(
            "/url",
            format!("Deskbell does not call this address: {why}."),
        )
    };
    let read = app.hooks.poster.check(url).map_err(refused)?;
    hooks::target_of(kind).check(&read).map_err(refused)?;
    Ok(url.to_owned())
}

fn checked_events(events: BTreeSet<String>) -> Result<BTreeSet<String>, Problem> {
    let known = hooks::TYPES.map(|kind| format!("`{kind}`")).join(", ");
    if events.is_empty() {
        let say = format!("Name at least one of {known}.");
        return Err(Problem::field("/events", say));
    }
    let unknown = |event: &&String| !hooks::TYPES.contains(&event.as_str());
    match events.iter().find(unknown) {
        Some(unknown) => {
            let shown: String = unknown.chars().take(60).collect();
            let say = format!("There is no event `{shown}`; there are {known}.");
            Err(Problem::field("/events", say))
        }
        None => Ok(events),
    }
}

fn checked_channels(
    app: &Daemon,
    channels: VisibleChannels,
) -> Result<Option<BTreeSet<String>>, Problem> {
    let slugs = match channels {
        VisibleChannels::All => return Ok(None),
        VisibleChannels::Only(slugs) => slugs,
    };
    if slugs.is_empty() {
        return Err(Problem::field(
            "/channels",
            "Name at least one channel, or `\"all\"`.",
        ));
    }
    let unknown = |slug: &&String| app.channels.number_of(slug).is_none();
    match slugs.iter().find(unknown) {
        Some(unknown) => Err(Problem::field(
            "/channels",
            format!("There is no channel `{unknown}`."),
        )),
        None => Ok(Some(slugs)),
    }
}

fn sealed_token(
    app: &Daemon,
    kind: HookKind,
    token: Option<String>,
) -> Result<Option<SealedValue>, Problem> {
    let access = hooks::target_of(kind).access();
    let Some(token) = token else {
        return match access {
            Access::Needed(what) => {
                let say = format!("It needs {what}.");
                Err(Problem::field("/access_token", say))
            }
            Access::None | Access::Possible => Ok(None),
        };
    };
    if access == Access::None {
        return Err(Problem::field(
            "/access_token",
            "Hooks of this kind have no access token; those of `ntfy`, `gotify` and `pushover` do.",
        ));
    }
    let does = !token.is_empty()
        && token.len() <= MAX_TOKEN_BYTES
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !does {
        return Err(Problem::field(
            "/access_token",
            "An access token is 1 to 1,000 visible ASCII characters.",
        ));
    }
    sealed(app, Place::HOOK_ACCESS, &Secret::new(token)).map(Some)
}

fn sealed(app: &Daemon, place: Place<'_>, secret: &Secret) -> Result<SealedValue, Problem> {
    let sealed = app.provisioner.sealer().seal(place, secret);
    sealed.map_err(|error| Problem::unavailable(format!("The secret {error}.")))
}

/// 409: a command of the configuration is none of the API's to change.
fn changeable(entry: Option<HookEntry>) -> Result<HookEntry, Problem> {
    let entry = entry.ok_or_else(|| Problem::not_found("hook"))?;
    if entry.kind == HookKind::Command {
        return Err(Problem::conflict(
            "hook-of-the-configuration",
            "This hook stands in the configuration",
            "Commands stand in the configuration file only. Change it there and restart the daemon.",
        ));
    }
    Ok(entry)
}

/// A hook as it is kept.
pub(super) async fn known(app: &App, id: HookId) -> Result<Option<HookEntry>, Problem> {
    paging::read(app, move |app| Ok(HookEntry::get(&*app.store, &id.key())?)).await
}

/// Make a hook
///
/// The secret is shown in this answer only; with `Idempotency-Key` the same request gives the same hook with the same
/// secret again, as long as it has that. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/hooks", tag = "hooks", operation_id = "makeHook",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body makes one hook")),
    request_body = NewHook,
    responses(
        (status = 201, description = "The hook, with its secret", body = HookWithSecret),
        (status = 409, description = "There are as many hooks as there may be, or what this `Idempotency-Key` made is gone", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn make(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<NewHook>,
) -> Result<(StatusCode, axum::Json<HookWithSecret>), Problem> {
    of_all_channels(&caller)?;
    if new.kind == HookKind::Command {
        return Err(Problem::field(
            "/kind",
            "Commands stand in the configuration file only: `[[hooks.command]]`.",
        ));
    }
    let remembered = key.of(&caller, &body);
    let secret = match &remembered {
        // Made of the key and a secret of the daemon's, so that the first answer can be given again without keeping it.
        Some((key, _)) => {
            let derived = app.cursors.derived_secret("hook", key);
            let bytes = URL_SAFE_NO_PAD.decode(derived).ok();
            bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        }
        None => None,
    };
    let secret = hooks::secret_of(&secret.unwrap_or_else(crate::secrets::random_bytes));
    let signs = new.kind == HookKind::Webhook;
    let hook = HookEntry {
        id: HookId::default(),
        kind: new.kind,
        url: checked_url(&app, new.kind, &new.url)?,
        events: checked_events(new.events)?,
        channels: checked_channels(&app, new.channels)?,
        escalation: new.escalation,
        enabled: true,
        disabled_reason: None,
        secret: signs
            .then(|| sealed(&app, Place::HOOK_SECRET, &secret))
            .transpose()?,
        former_secret: None,
        access_token: sealed_token(&app, new.kind, new.access_token)?,
        created_at: Time::default(),
        from_seq: 0,
        replay: None,
        failing_since: None,
        version: 0,
        command: None,
    };
    let once = Once {
        decision: MakeHook {
            hook,
            by: caller.actor(),
        },
        remembered,
        made: |made| {
            made.as_ref()
                .map_or_else(String::new, |hook| hook.id.to_string())
        },
    };
    let made = match app.writer.write(once).await? {
        OnceAnswer::Now(made) => made.ok_or_else(too_many)?,
        OnceAnswer::KeyReused => return Err(key_reused()),
        OnceAnswer::Before(id) => {
            let id = id.parse::<HookId>().unwrap_or_default();
            let before = known(&app, id).await?;
            let has_it = |hook: &HookEntry| {
                let secrets = hooks::open_secrets(&app, hook);
                !signs || secrets.is_ok_and(|(secrets, _)| secrets.first() == Some(&secret))
            };
            before.filter(has_it).ok_or_else(gone)?
        }
    };
    changed(&app);
    let about = Hook::from(made);
    let secret = signs.then(|| secret.expose().to_owned());
    Ok((
        StatusCode::CREATED,
        axum::Json(HookWithSecret { about, secret }),
    ))
}

fn changed(app: &App) {
    app.hooks.wake();
    app.live.changed(app.clock.now(), "hooks");
}

fn too_many() -> Problem {
    Problem::conflict(
        "too-many-hooks",
        "There are as many hooks as there may be",
        format!("There are {MOST_HOOKS}. Delete one that is used no longer."),
    )
}

fn gone() -> Problem {
    Problem::conflict(
        "hook-gone",
        "This hook is gone",
        "The hook that this `Idempotency-Key` made is deleted, or has another secret by now. Use a new key for a new hook.",
    )
}

/// A page of the hooks.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct HooksQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The hooks
///
/// Oldest first, never their secrets. Administrators only.
#[utoipa::path(
    get, path = "/api/v1/hooks", tag = "hooks", operation_id = "listHooks", params(HooksQuery),
    responses((status = 200, description = "A page of the hooks", body = List<Hook>)),
)]
async fn list(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Query(query): Query<HooksQuery>,
) -> Result<axum::Json<List<Hook>>, Problem> {
    of_all_channels(&caller)?;
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<HookId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let mut found = hooks::all(&*app.store)?;
        found.retain(|hook| start.is_none_or(|start| hook.id > start));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more);
        Ok(List {
            next: next.map(|last| app.cursors.write(&last.id)),
            data: found.into_iter().map(Into::into).collect(),
        })
    });
    list.await.map(axum::Json)
}

/// A hook
///
/// Without its secrets. Administrators only.
#[utoipa::path(
    get, path = "/api/v1/hooks/{id}", tag = "hooks", operation_id = "getHook",
    params(("id" = String, Path, description = "`hok_…`")),
    responses((status = 200, description = "The hook", body = Hook)),
)]
async fn one(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<HookId>,
) -> Result<axum::Json<Hook>, Problem> {
    of_all_channels(&caller)?;
    let hook = known(&app, id).await?;
    let hook = hook.ok_or_else(|| Problem::not_found("hook"))?;
    Ok(axum::Json(hook.into()))
}

/// What is to be changed of a hook; what is left out stays.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookChange {
    /// Where it is told.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, max_length = 2000)]
    url: Option<String>,
    /// The types of the events that it hears.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<String>, min_items = 1)]
    events: Option<BTreeSet<String>>,
    /// The channels of which it hears.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = VisibleChannels)]
    channels: Option<VisibleChannels>,
    /// Whether it hears `bell.rung` only once the ring has climbed to the step of escalation.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    escalation: Option<bool>,
    /// Whether it is told anything. What waits while it is off is told when it is on again; what happens meanwhile is not.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    enabled: Option<bool>,
    /// What opens the server at the other end; `null` takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    access_token: Option<Option<String>>,
}

impl fmt::Debug for HookChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookChange")
            .field("events", &self.events)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// Change a hook
///
/// What is already on its way is told as it was decided, at the new address. Administrators only.
#[utoipa::path(
    patch, path = "/api/v1/hooks/{id}", tag = "hooks", operation_id = "changeHook",
    params(("id" = String, Path, description = "`hok_…`")), request_body = HookChange,
    responses(
        (status = 200, description = "The hook after the change", body = Hook),
        (status = 409, description = "The hook stands in the configuration", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn change(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<HookId>,
    Json(change): Json<HookChange>,
) -> Result<axum::Json<Hook>, Problem> {
    of_all_channels(&caller)?;
    let before = changeable(known(&app, id).await?)?;
    let kind = before.kind;
    let url = change.url.as_deref();
    let decision = ChangeHook {
        hook: id,
        url: url.map(|url| checked_url(&app, kind, url)).transpose()?,
        events: change.events.map(checked_events).transpose()?,
        channels: change
            .channels
            .map(|channels| checked_channels(&app, channels))
            .transpose()?,
        escalation: change.escalation,
        enabled: change.enabled,
        access_token: change
            .access_token
            .map(|token| sealed_token(&app, kind, token))
            .transpose()?,
        by: caller.actor(),
    };
    let hook = app.writer.write(decision).await?;
    let hook = hook.ok_or_else(|| Problem::not_found("hook"))?;
    changed(&app);
    Ok(axum::Json(hook.into()))
}

/// Delete a hook
///
/// It is told nothing more, and what it was told goes with it. A command can be deleted once it no longer stands in the
/// configuration file. Administrators only.
#[utoipa::path(
    delete, path = "/api/v1/hooks/{id}", tag = "hooks", operation_id = "deleteHook",
    params(("id" = String, Path, description = "`hok_…`")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 409, description = "The hook stands in the configuration", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn remove(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<HookId>,
) -> Result<StatusCode, Problem> {
    of_all_channels(&caller)?;
    let entry = known(&app, id).await?;
    // What the file no longer has would be there for ever.
    let in_file = |entry: &HookEntry| {
        let mut commands = app.config.hooks.commands.iter();
        commands.any(|command| Some(&command.id) == entry.command.as_ref())
    };
    if entry
        .as_ref()
        .is_none_or(|entry| entry.kind != HookKind::Command || in_file(entry))
    {
        changeable(entry)?;
    }
    let remove = RemoveHook {
        hook: id,
        by: caller.actor(),
    };
    if !app.writer.write(remove).await? {
        return Err(Problem::not_found("hook"));
    }
    changed(&app);
    Ok(StatusCode::NO_CONTENT)
}

/// Give a hook a new secret
///
/// The secret is shown in this answer only. For 24 hours deliveries are signed with the former one as well, so that the
/// receiver can be changed meanwhile. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/hooks/{id}/rotate", tag = "hooks", operation_id = "rotateHookSecret",
    params(("id" = String, Path, description = "`hok_…`")),
    responses(
        (status = 200, description = "The hook, with its new secret", body = HookWithSecret),
        (status = 409, description = "The hook signs nothing", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn rotate(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<HookId>,
) -> Result<axum::Json<HookWithSecret>, Problem> {
    of_all_channels(&caller)?;
    let entry = changeable(known(&app, id).await?)?;
    if entry.kind != HookKind::Webhook {
        return Err(Problem::conflict(
            "hook-signs-nothing",
            "This hook has no secret",
            "Only hooks of the kind `webhook` sign what they tell.",
        ));
    }
    let secret = hooks::secret_of(&crate::secrets::random_bytes());
    let rotate = RotateSecret {
        hook: id,
        secret: sealed(&app, Place::HOOK_SECRET, &secret)?,
        by: caller.actor(),
    };
    let hook = app.writer.write(rotate).await?;
    let hook = hook.ok_or_else(|| Problem::not_found("hook"))?;
    changed(&app);
    Ok(axum::Json(HookWithSecret {
        about: hook.into(),
        secret: Some(secret.expose().to_owned()),
    }))
}
