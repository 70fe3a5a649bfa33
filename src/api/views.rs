//! `/api/v1/views`: saved views of the inbox, and how many conversations there are in each view.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::Time;
use deskbell_sdk::text::clean_name;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, JsonBytes, Query};
use super::cursor::Position;
use super::extract::{Id, MayRead, MayWrite, present};
use super::filters;
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::inbox::{Search, Sort};
use super::paging::{self, List};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::access::Remove;
use crate::desk::audit::{Audited, Told};
use crate::desk::working::{ChangeView, MAX_VIEWS, SaveView};
use crate::id::{TeamId, ViewId};
use crate::inbox::Statuses;
use crate::store::entry::{Entry, Right, ViewEntry};
use crate::store::record::Status;
use crate::store::{Found, Table};

/// The views that everybody has.
pub(super) const ORDINARY: [&str; 9] = [
    "unanswered",
    "mine",
    "unassigned",
    "open",
    "pending",
    "snoozed",
    "mentions",
    "resolved",
    "spam",
];
/// The longest name of a view, in characters.
const MAX_VIEW_NAME_CHARS: usize = 100;
/// Up to how many conversations of a saved view are counted.
const MOST_COUNTED: usize = 1_000;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(counts))
        .routes(routes!(views, save))
        .routes(routes!(change, remove))
}

/// What of the inbox a view shows: the parameters of `GET conversations`, each as a value. What is left out does not
/// matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ViewFilter {
    /// How they stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Vec<Status>>,
    /// The channel's slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    /// `me`, `none` or a user's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee: Option<String>,
    /// A team's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// A label.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Only what is unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<bool>,
    /// Only what is unanswered.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<bool>,
    /// `me` or a user's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    mentioned: Option<String>,
    /// Only spam.
    #[serde(skip_serializing_if = "Option::is_none")]
    spam: Option<bool>,
    /// Words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    q: Option<String>,
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none")]
    sort: Option<Sort>,
}

impl ViewFilter {
    /// The same as the inbox is asked for it, by this caller.
    fn search(&self, app: &Daemon, caller: &Caller) -> Result<Search, Problem> {
        let me = filters::user_of(caller);
        let statuses = self.status.as_ref().map(|statuses| {
            statuses
                .iter()
                .fold(Statuses::default(), |all, status| all.and(*status))
        });
        Ok(Search {
            sort: self.sort.unwrap_or_default(),
            statuses,
            waiting: self.waiting.unwrap_or(false),
            channels: filters::channels_named(&app.channels, self.channel.as_deref(), None),
            assignee: self
                .assignee
                .as_deref()
                .map(|text| filters::assignee(text, me))
                .transpose()?,
            team: self
                .team
                .as_deref()
                .map(|text| filters::id::<TeamId>("team", text, "tea_…"))
                .transpose()?,
            label: self.label.clone(),
            unread: self.unread.unwrap_or(false),
            mentioned: self
                .mentioned
                .as_deref()
                .map(|text| filters::mentioned(text, me))
                .transpose()?,
            spam: self.spam.unwrap_or(false),
            words: self
                .q
                .as_deref()
                .map_or(Ok(None), |text| filters::words("q", text))?,
            contact: None,
        })
    }

    fn check(&self, app: &Daemon, caller: &Caller) -> Result<(), Problem> {
        let too_long = |text: &Option<String>| {
            text.as_ref()
                .is_some_and(|text| text.chars().count() > filters::MAX_WORDS_CHARS)
        };
        if too_long(&self.label) || too_long(&self.channel) {
            return Err(Problem::field("/filter", "A value is too long."));
        }
        if self.status.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::field(
                "/filter/status",
                "Name at least one status, or leave it out.",
            ));
        }
        if let Some(slug) = &self.channel
            && !may_see(app, caller, slug)
        {
            return Err(Problem::field(
                "/filter/channel",
                format!("There is no channel `{slug}`."),
            ));
        }
        self.search(app, caller)
            .map(drop)
            .map_err(|problem| Problem::field("/filter", problem.detail))
    }
}

/// Whether there is such a channel for the caller.
fn may_see(app: &Daemon, caller: &Caller, slug: &str) -> bool {
    app.channels
        .number_of(slug)
        .is_some_and(|channel| caller.scope.allows(channel))
}

/// A saved view.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct View {
    /// `vie_…`
    #[schema(value_type = String)]
    pub id: ViewId,
    /// The name.
    pub name: String,
    /// What it shows.
    pub filter: ViewFilter,
    /// Whether everybody has it.
    pub shared: bool,
    /// Who made it: `usr_…`, or `tok_…` for a program.
    pub owner_id: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

impl From<ViewEntry> for View {
    fn from(entry: ViewEntry) -> Self {
        Self {
            id: entry.id,
            name: entry.name,
            // One of a newer Deskbell may say what this one does not know.
            filter: serde_json::from_str(&entry.filter).unwrap_or_default(),
            shared: entry.shared,
            owner_id: entry.owner,
            created_at: entry.created_at,
        }
    }
}

/// The views that a caller has: their own, and the shared ones of channels that they may see.
fn visible(app: &Daemon, caller: &Caller) -> Found<Vec<View>> {
    let owner = caller.owner();
    let all = ViewEntry::scan(&*app.store, &[], None, usize::MAX)?;
    let views = all.into_iter().map(|(_, entry)| View::from(entry));
    Ok(views
        .filter(|view| {
            let shows_hidden = view.filter.channel.as_ref().is_some_and(|slug| {
                caller.scope.channels().is_some() && !may_see(app, caller, slug)
            });
            (view.owner_id == owner || view.shared) && !shows_hidden
        })
        .collect())
}

/// How many conversations there are, of those that the caller may see. Spam counts under `spam` only.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ViewCounts)]
pub struct Counts {
    /// A customer waits for an answer: `waiting=true`.
    pub unanswered: u64,
    /// Open ones of the caller: `status=open&assignee=me`.
    pub mine: u64,
    /// Open ones of nobody: `status=open&assignee=none`.
    pub unassigned: u64,
    /// `status=open`
    pub open: u64,
    /// `status=pending`
    pub pending: u64,
    /// `status=snoozed`
    pub snoozed: u64,
    /// With a note that mentions the caller, and not resolved: `status=open,pending,snoozed&mentioned=me`.
    pub mentions: u64,
    /// Spam that is not resolved: `spam=true&status=open,pending,snoozed`.
    pub spam: u64,
    /// Open ones of each channel, by slug; a channel without any is left out.
    pub channels: BTreeMap<String, u64>,
    /// Open ones with each label; a label without any is left out.
    pub labels: BTreeMap<String, u64>,
    /// Those of each saved view, by its id, up to 1,000; `null` where the view has words or resolved conversations in it,
    /// which are not counted.
    pub saved: BTreeMap<String, Option<usize>>,
}

/// How many there are
///
/// Of each view of the inbox, of the channels that you may read. It costs the same however many conversations there are.
#[utoipa::path(
    get, path = "/api/v1/views/counts", tag = "views", operation_id = "countViews",
    responses((status = 200, description = "The numbers", body = Counts)),
)]
async fn counts(
    State(app): State<App>,
    MayRead(caller): MayRead,
) -> Result<axum::Json<Counts>, Problem> {
    let counts = paging::read(&app, move |app| Ok(count(app, &caller)?));
    counts.await.map(axum::Json)
}

fn count(app: &Daemon, caller: &Caller) -> Found<Counts> {
    let user = filters::user_of(caller);
    let counts = app.inbox.counts(&*app.store, &caller.scope, user)?;
    let channels = counts.channels.into_iter();
    let mut saved = BTreeMap::new();
    for view in visible(app, caller)? {
        let search = view.filter.search(app, caller).ok();
        let wanted = search
            .filter(|search| search.words.is_none())
            .and_then(|search| search.in_memory());
        let count = match wanted {
            None => None,
            Some(wanted) => {
                let inbox = &app.inbox;
                Some(inbox.count(&*app.store, &caller.scope, &wanted, MOST_COUNTED)?)
            }
        };
        saved.insert(view.id.to_string(), count);
    }
    Ok(Counts {
        unanswered: counts.unanswered,
        mine: counts.mine,
        unassigned: counts.unassigned,
        open: counts.open,
        pending: counts.pending,
        snoozed: counts.snoozed,
        mentions: counts.mentions,
        spam: counts.spam,
        channels: channels
            .map(|(no, count)| (app.view().channel_id(no), count))
            .collect(),
        labels: counts.labels,
        saved,
    })
}

/// A page of the views.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ViewsQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A place in the list of views.
impl Position for ViewId {
    const LIST: u8 = 45;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// The saved views
///
/// Your own and the shared ones, the oldest first.
#[utoipa::path(
    get, path = "/api/v1/views", tag = "views", operation_id = "listViews", params(ViewsQuery),
    responses((status = 200, description = "A page of the views", body = List<View>)),
)]
async fn views(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<ViewsQuery>,
) -> Result<axum::Json<List<View>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<ViewId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let mut data = visible(app, &caller)?;
        data.retain(|view| start.is_none_or(|start| view.id > start));
        let next = paging::end(&mut data, limit, |last| app.cursors.write(&last.id));
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

/// A view that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewView {
    /// The name: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it shows.
    filter: ViewFilter,
    /// Whether everybody has it: only an administrator shares one.
    #[serde(default)]
    shared: bool,
}

fn checked_name(name: &str) -> Result<String, Problem> {
    let cleaned = clean_name(name).filter(|_| name.chars().count() <= MAX_VIEW_NAME_CHARS);
    cleaned.ok_or_else(|| {
        let detail =
            format!("A name has 1 to {MAX_VIEW_NAME_CHARS} characters, one of them visible.");
        Problem::field("/name", detail)
    })
}

fn only_admins_share() -> Problem {
    Problem::forbidden("Only an administrator makes, changes and removes views that everybody has.")
}

/// Save a view
///
/// For yourself, or as an administrator for everybody.
#[utoipa::path(
    post, path = "/api/v1/views", tag = "views", operation_id = "saveView",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body saves one view")),
    request_body = NewView,
    responses(
        (status = 201, description = "The view", body = View),
        (status = 409, description = "You have too many", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn save(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<NewView>,
) -> Result<(StatusCode, axum::Json<View>), Problem> {
    if new.shared && !caller.may(Right::Admin) {
        return Err(only_admins_share());
    }
    new.filter.check(&app, &caller)?;
    let view = ViewEntry {
        id: ViewId::default(),
        name: checked_name(&new.name)?,
        filter: as_text(&new.filter),
        shared: new.shared,
        owner: caller.owner(),
        created_at: Time::default(),
    };
    let once = Once {
        decision: Audited::by_answer(SaveView { view }, caller.actor(), |made| {
            let view = made.as_ref().filter(|view: &&ViewEntry| view.shared)?;
            Some(Told::of("view.shared").to("view", view.id, view.name.clone()))
        }),
        remembered: key.of(&caller, &body),
        made: |made| {
            made.as_ref()
                .map_or_else(String::new, |view| view.id.to_string())
        },
    };
    let made = match app.writer.write(once).await? {
        OnceAnswer::Now(made) => made.ok_or_else(too_many)?,
        OnceAnswer::KeyReused => return Err(key_reused()),
        OnceAnswer::Before(id) => {
            let before = paging::read(&app, move |app| match id.parse::<ViewId>() {
                Ok(id) => Ok(ViewEntry::get(&*app.store, &id.key())?),
                Err(_) => Err(too_many()),
            });
            before.await?.ok_or_else(no_view)?
        }
    };
    tell(&app, &caller, made.shared);
    Ok((StatusCode::CREATED, axum::Json(made.into())))
}

fn too_many() -> Problem {
    let detail = format!("You have {MAX_VIEWS} views already. Remove one first.");
    Problem::conflict("too-many", "There are too many", detail)
}

fn as_text(filter: &ViewFilter) -> String {
    serde_json::to_string(filter).unwrap_or_else(|_| "{}".to_owned())
}

/// Tells those who have the view that it is to be read anew.
fn tell(app: &Daemon, caller: &Caller, shared: bool) {
    let now = app.clock.now();
    if shared {
        app.live.changed(now, "views");
    } else {
        app.live.changed_for(now, caller.owner(), "views");
    }
}

/// What is to be changed of a view; what is left out stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewChange {
    /// The name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: Option<String>,
    /// What it shows: the whole of it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ViewFilter)]
    filter: Option<ViewFilter>,
    /// Whether everybody has it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    shared: Option<bool>,
}

/// Change a view
///
/// Your own, or as an administrator a shared one.
#[utoipa::path(
    patch, path = "/api/v1/views/{id}", tag = "views", operation_id = "changeView",
    params(("id" = String, Path, description = "`vie_…`")), request_body = ViewChange,
    responses((status = 200, description = "The view after the change", body = View)),
)]
async fn change(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ViewId>,
    Json(change): Json<ViewChange>,
) -> Result<axum::Json<View>, Problem> {
    let known = mine(&app, &caller, id).await?;
    if change.shared == Some(true) && !caller.may(Right::Admin) {
        return Err(only_admins_share());
    }
    if let Some(filter) = &change.filter {
        filter.check(&app, &caller)?;
    }
    let decision = ChangeView {
        id,
        name: change.name.as_deref().map(checked_name).transpose()?,
        filter: change.filter.as_ref().map(as_text),
        shared: change.shared,
    };
    let changed = app.writer.write(decision).await?.ok_or_else(no_view)?;
    tell(&app, &caller, known.shared || changed.shared);
    Ok(axum::Json(changed.into()))
}

/// Remove a view
///
/// Your own, or as an administrator a shared one.
#[utoipa::path(
    delete, path = "/api/v1/views/{id}", tag = "views", operation_id = "removeView",
    params(("id" = String, Path, description = "`vie_…`")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ViewId>,
) -> Result<StatusCode, Problem> {
    let known = mine(&app, &caller, id).await?;
    let decision = Remove {
        table: Table::Views,
        key: id.key().to_vec(),
    };
    app.writer.write(decision).await?;
    tell(&app, &caller, known.shared);
    Ok(StatusCode::NO_CONTENT)
}

/// A view that the caller may change: others' own are not there, and shared ones are an administrator's.
async fn mine(app: &App, caller: &Caller, id: ViewId) -> Result<View, Problem> {
    let reader = caller.clone();
    let found = paging::read(app, move |app| {
        let views = visible(app, &reader)?;
        views
            .into_iter()
            .find(|view| view.id == id)
            .ok_or_else(no_view)
    });
    let view = found.await?;
    if view.shared && !caller.may(Right::Admin) {
        return Err(only_admins_share());
    }
    Ok(view)
}

fn no_view() -> Problem {
    Problem::not_found("view")
}
