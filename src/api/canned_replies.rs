//! `/api/v1/replies`: texts that one uses again and again. They are texts and nothing more: the names of variables in them
//! are filled in by whoever shows them, and the daemon evaluates nothing (R11).

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::Time;
use deskbell_sdk::text::{clean_name, clean_text};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, JsonBytes, Query};
use super::cursor::Position;
use super::extract::{Id, MayRead, MayWrite, present};
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::paging::{self, List};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::access::Remove;
use crate::desk::working::{Canned, ChangeCannedReply, MAX_CANNED_REPLIES, MakeCannedReply};
use crate::id::ReplyId;
use crate::store::Table;
use crate::store::entry::{CannedReplyEntry, Entry};

/// The longest shortcut, in characters.
const MAX_SHORTCUT_CHARS: usize = 40;
/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 200;
/// The longest text, in characters.
const MAX_CANNED_CHARS: usize = 20_000;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(replies, make))
        .routes(routes!(change, remove))
}

/// A place in the list of canned replies.
impl Position for ReplyId {
    const LIST: u8 = 42;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// A canned reply.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CannedReply {
    /// `rep_…`
    #[schema(value_type = String)]
    pub id: ReplyId,
    /// What one types to find it.
    pub shortcut: String,
    /// What it is about.
    pub title: String,
    /// The text. `{{contact.name}}`, `{{contact.first_name}}`, `{{agent.name}}`, `{{channel.name}}` and `{{shop.name}}` are
    /// filled in by the client; everything else stays as it is.
    pub text: String,
    /// The slugs of the channels that it is for, of those that you may see; `null`: all.
    pub channels: Option<Vec<String>>,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
}

/// A reply as this caller sees it; `None` where it is for channels that they may not see.
fn seen(app: &Daemon, caller: &Caller, entry: CannedReplyEntry) -> Option<CannedReply> {
    let channels = match entry.channels {
        None => None,
        Some(mut slugs) => {
            slugs.retain(|slug| may_see(app, caller, slug));
            if slugs.is_empty() {
                return None;
            }
            Some(slugs)
        }
    };
    Some(CannedReply {
        id: entry.id,
        shortcut: entry.shortcut,
        title: entry.title,
        text: entry.text,
        channels,
        updated_at: entry.updated_at,
    })
}

/// Whether the caller may know of this channel. One that is gone is known to those who may see all.
fn may_see(app: &Daemon, caller: &Caller, slug: &str) -> bool {
    caller.scope.channels().is_none()
        || app
            .channels
            .number_of(slug)
            .is_some_and(|channel| caller.scope.allows(channel))
}

/// A page of the replies.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RepliesQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The canned replies
///
/// Those for every channel and for channels that you may see, the oldest first.
#[utoipa::path(
    get, path = "/api/v1/replies", tag = "replies", operation_id = "listReplies", params(RepliesQuery),
    responses((status = 200, description = "A page of the replies", body = List<CannedReply>)),
)]
async fn replies(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<RepliesQuery>,
) -> Result<axum::Json<List<CannedReply>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<ReplyId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let all = CannedReplyEntry::scan(&*app.store, &[], None, usize::MAX)?;
        let mut data: Vec<_> = all
            .into_iter()
            .map(|(_, entry)| entry)
            .filter(|entry| start.is_none_or(|start| entry.id > start))
            .filter_map(|entry| seen(app, &caller, entry))
            .take(limit + 1)
            .collect();
        let next = paging::end(&mut data, limit, |last| app.cursors.write(&last.id));
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

/// A reply that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCannedReply {
    /// What one types to find it: 1 to 40 characters without spaces, and no other reply's.
    #[schema(min_length = 1, max_length = 40)]
    shortcut: String,
    /// What it is about: 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// The text: 1 to 20,000 characters.
    #[schema(min_length = 1, max_length = 20_000)]
    text: String,
    /// The slugs of the channels that it is for; left out or `null`: all.
    #[serde(default)]
    channels: Option<Vec<String>>,
}

fn checked_shortcut(text: &str) -> Result<String, Problem> {
    let is_odd = |character: char| character.is_whitespace() || character.is_control();
    let shortcut = clean_name(text)
        .filter(|name| name.chars().count() <= MAX_SHORTCUT_CHARS && !name.contains(is_odd));
    shortcut.ok_or_else(|| {
        let detail = format!("A shortcut has 1 to {MAX_SHORTCUT_CHARS} characters and no spaces.");
        Problem::field("/shortcut", detail)
    })
}

fn checked_title(text: &str) -> Result<String, Problem> {
    let title = clean_name(text).filter(|_| text.chars().count() <= MAX_TITLE_CHARS);
    title.ok_or_else(|| {
        let detail = format!("A title has 1 to {MAX_TITLE_CHARS} characters, one of them visible.");
        Problem::field("/title", detail)
    })
}

fn checked_text(text: &str) -> Result<String, Problem> {
    if text.trim().is_empty() || text.chars().count() > MAX_CANNED_CHARS {
        let detail = format!("A text has 1 to {MAX_CANNED_CHARS} characters, one of them visible.");
        return Err(Problem::field("/text", detail));
    }
    Ok(clean_text(text))
}

fn checked_channels(
    app: &Daemon,
    caller: &Caller,
    channels: Option<Vec<String>>,
) -> Result<Option<Vec<String>>, Problem> {
    let Some(mut slugs) = channels else {
        return Ok(None);
    };
    slugs.sort();
    slugs.dedup();
    if slugs.is_empty() {
        let detail = "Name at least one channel, or `null` for all.";
        return Err(Problem::field("/channels", detail));
    }
    for slug in &slugs {
        if app.channels.number_of(slug).is_none() || !may_see(app, caller, slug) {
            return Err(Problem::field(
                "/channels",
                format!("There is no channel `{slug}`."),
            ));
        }
    }
    Ok(Some(slugs))
}

/// Make a canned reply
///
/// For everybody of the shop.
#[utoipa::path(
    post, path = "/api/v1/replies", tag = "replies", operation_id = "makeReply",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body makes one reply")),
    request_body = NewCannedReply,
    responses(
        (status = 201, description = "The reply", body = CannedReply),
        (status = 409, description = "Another reply has this shortcut", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn make(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<NewCannedReply>,
) -> Result<(StatusCode, axum::Json<CannedReply>), Problem> {
    let reply = CannedReplyEntry {
        id: ReplyId::default(),
        shortcut: checked_shortcut(&new.shortcut)?,
        title: checked_title(&new.title)?,
        text: checked_text(&new.text)?,
        channels: checked_channels(&app, &caller, new.channels)?,
        created_at: Time::default(),
        updated_at: Time::default(),
    };
    let once = Once {
        decision: MakeCannedReply { reply },
        remembered: key.of(&caller, &body),
        made: |made| match made {
            Canned::Kept(reply) => reply.id.to_string(),
            _ => String::new(),
        },
    };
    let made = match app.writer.write(once).await? {
        OnceAnswer::Now(made) => kept(&app, made)?,
        OnceAnswer::KeyReused => return Err(key_reused()),
        OnceAnswer::Before(id) => {
            let before = paging::read(&app, move |app| match id.parse::<ReplyId>() {
                Ok(id) => Ok(CannedReplyEntry::get(&*app.store, &id.key())?),
                Err(_) => Err(shortcut_taken()),
            });
            before.await?.ok_or_else(no_reply)?
        }
    };
    let shown = seen(&app, &caller, made).ok_or_else(no_reply)?;
    Ok((StatusCode::CREATED, axum::Json(shown)))
}

fn kept(app: &Daemon, canned: Canned) -> Result<CannedReplyEntry, Problem> {
    match canned {
        Canned::Kept(reply) => {
            app.live.changed(app.clock.now(), "replies");
            Ok(reply)
        }
        Canned::ShortcutTaken => Err(shortcut_taken()),
        Canned::None => Err(no_reply()),
        Canned::TooMany => {
            let detail = format!("There are {MAX_CANNED_REPLIES} already. Remove one first.");
            Err(Problem::conflict("too-many", "There are too many", detail))
        }
    }
}

/// What is to be changed of a reply; what is left out stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CannedReplyChange {
    /// What one types to find it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 40)]
    shortcut: Option<String>,
    /// What it is about.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    title: Option<String>,
    /// The text.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 20_000)]
    text: Option<String>,
    /// The channels that it is for; `null`: all. Those that you may not see stay.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    channels: Option<Option<Vec<String>>>,
}

/// Change a canned reply
///
/// Fields that are left out stay.
#[utoipa::path(
    patch, path = "/api/v1/replies/{id}", tag = "replies", operation_id = "changeReply",
    params(("id" = String, Path, description = "`rep_…`")), request_body = CannedReplyChange,
    responses(
        (status = 200, description = "The reply after the change", body = CannedReply),
        (status = 409, description = "Another reply has this shortcut", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn change(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ReplyId>,
    Json(change): Json<CannedReplyChange>,
) -> Result<axum::Json<CannedReply>, Problem> {
    let known = find(&app, &caller, id).await?;
    let channels = match change.channels {
        None => None,
        Some(channels) => {
            let mut channels = checked_channels(&app, &caller, channels)?;
            if let (Some(channels), Some(known)) = (&mut channels, known.channels) {
                // Of what the caller may not see they decide nothing.
                let mut hidden = known;
                hidden.retain(|slug| !may_see(&app, &caller, slug));
                channels.extend(hidden);
            }
            Some(channels)
        }
    };
    let decision = ChangeCannedReply {
        id,
        shortcut: change
            .shortcut
            .as_deref()
            .map(checked_shortcut)
            .transpose()?,
        title: change.title.as_deref().map(checked_title).transpose()?,
        text: change.text.as_deref().map(checked_text).transpose()?,
        channels,
    };
    let changed = kept(&app, app.writer.write(decision).await?)?;
    seen(&app, &caller, changed)
        .map(axum::Json)
        .ok_or_else(no_reply)
}

/// Remove a canned reply
///
/// For everybody of the shop.
#[utoipa::path(
    delete, path = "/api/v1/replies/{id}", tag = "replies", operation_id = "removeReply",
    params(("id" = String, Path, description = "`rep_…`")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ReplyId>,
) -> Result<StatusCode, Problem> {
    find(&app, &caller, id).await?;
    let decision = Remove {
        table: Table::CannedReplies,
        key: id.key().to_vec(),
    };
    app.writer.write(decision).await?;
    app.live.changed(app.clock.now(), "replies");
    Ok(StatusCode::NO_CONTENT)
}

/// A reply that the caller may see.
async fn find(app: &App, caller: &Caller, id: ReplyId) -> Result<CannedReplyEntry, Problem> {
    let caller = caller.clone();
    let found = paging::read(app, move |app| {
        let entry = CannedReplyEntry::get(&*app.store, &id.key())?.ok_or_else(no_reply)?;
        match seen(app, &caller, entry.clone()) {
            Some(_) => Ok(entry),
            None => Err(no_reply()),
        }
    });
    found.await
}

fn no_reply() -> Problem {
    Problem::not_found("reply")
}

fn shortcut_taken() -> Problem {
    Problem::conflict(
        "shortcut-taken",
        "Another reply has this shortcut",
        "Another canned reply has this shortcut. Take another one, or change that one.",
    )
}
