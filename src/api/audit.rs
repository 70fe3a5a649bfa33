//! `/api/v1/audit`: who did what to access, people, channels and history.

use axum::extract::State;
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Query;
use super::cursor::Position;
use super::extract::MayAdmin;
use super::filters;
use super::paging::{self, List, Look};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::App;
use crate::desk::audit;
use crate::id::AuditId;
use crate::store::entry::{ActorKind, AuditEntry, AuditRecord, Entry};

/// The longest value of a filter, in characters.
const MAX_FILTER_CHARS: usize = 300;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(check))
}

/// A place in the log: an entry's key.
#[derive(Clone, Debug)]
struct Behind(Vec<u8>);

impl Position for Behind {
    const LIST: u8 = 31;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 8).then(|| Self(bytes.to_vec()))
    }
}

/// Who did something.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditActor {
    /// What they are.
    pub r#type: ActorKind,
    /// `usr_…`, `tok_…`, or a word for those of the configuration, of this machine and the daemon itself.
    pub id: String,
    /// Their name at that time.
    pub name: String,
}

/// What something was done to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditThing {
    /// What it is: `user`, `token`, `channel` …
    pub r#type: String,
    /// Its id.
    pub id: String,
    /// Its name at that time.
    pub name: String,
}

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditItem {
    /// `aud_…`
    #[schema(value_type = String)]
    pub id: AuditId,
    /// When it was done.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who did it.
    pub actor: AuditActor,
    /// What was done, as `token.created`.
    pub action: String,
    /// To what.
    pub target: Option<AuditThing>,
    /// What else is known of it. It holds no secret.
    #[schema(value_type = Object)]
    pub detail: Map<String, Value>,
    /// The address that they came from.
    pub address: Option<String>,
}

impl From<AuditRecord> for AuditItem {
    fn from(record: AuditRecord) -> Self {
        Self {
            id: record.id,
            at: record.at,
            actor: AuditActor {
                r#type: record.actor.kind,
                id: record.actor.id,
                name: record.actor.name,
            },
            action: record.action,
            target: record.target.map(|target| AuditThing {
                r#type: target.kind,
                id: target.id,
                name: target.name,
            }),
            detail: serde_json::from_str(&record.detail).unwrap_or_default(),
            address: record.actor.address,
        }
    }
}

/// A page of the audit log.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only what was done by this one: an `id` of an `actor`.
    actor: Option<String>,
    /// Only this action, as `token.created`, or with `token` all those of tokens.
    action: Option<String>,
    /// Only what was done then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Only what was done before.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

/// What is looked for.
struct Wanted {
    actor: Option<String>,
    action: Option<String>,
    since: Option<Time>,
    until: Option<Time>,
}

impl Wanted {
    fn of(query: &AuditQuery) -> Result<Self, Problem> {
        let text = |name: &str, text: &Option<String>| match text {
            Some(text) if text.is_empty() || text.chars().count() > MAX_FILTER_CHARS => Err(
                Problem::bad_request(format!("`{name}` has 1 to {MAX_FILTER_CHARS} characters.")),
            ),
            text => Ok(text.clone()),
        };
        let time = |name: &str, text: &Option<String>| {
            text.as_deref()
                .map(|text| filters::time(name, text))
                .transpose()
        };
        Ok(Self {
            actor: text("actor", &query.actor)?,
            action: text("action", &query.action)?,
            since: time("since", &query.since)?,
            until: time("until", &query.until)?,
        })
    }

    fn fits(&self, record: &AuditRecord) -> bool {
        let is_action = |action: &String| {
            let rest = record.action.strip_prefix(action.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.actor.as_ref().is_none_or(|id| record.actor.id == *id)
            && self.action.as_ref().is_none_or(is_action)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }
}

/// The audit log
///
/// Newest first: what changed access, people, teams, tokens, channels and settings, what was taken away or erased, and
/// who signed in. Entries are never changed or removed. For administrators who may see all channels.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", operation_id = "listAudit", params(AuditQuery),
    responses((status = 200, description = "A page of the log", body = List<AuditItem>)),
)]
async fn list(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Query(query): Query<AuditQuery>,
) -> Result<axum::Json<List<AuditItem>>, Problem> {
    of_all_channels(&caller)?;
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<Behind> = app.cursors.read(query.cursor.as_deref())?;
    let wanted = Wanted::of(&query)?;
    let list = paging::read(&app, move |app| {
        let fetch = |behind: Option<&Vec<u8>>, limit: usize| {
            AuditEntry::scan(&*app.store, &[], behind.map(Vec::as_slice), limit)
        };
        let look = |(_, entry): &(Vec<u8>, AuditEntry)| {
            let record = AuditRecord::from_bytes(&entry.record)?;
            Ok(match wanted.fits(&record) {
                true => Look::Take(record.into()),
                false => Look::Skip,
            })
        };
        let start = start.map(|Behind(key)| key);
        let (data, next) = paging::fill(limit, start, fetch, |(key, _)| key.clone(), look)?;
        let next = next.map(|key| app.cursors.write(&Behind(key)));
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

/// Whether the audit log is whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditCheck {
    /// Whether it is as it was written.
    pub intact: bool,
    /// How many entries there are.
    pub entries: u64,
    /// The place of the newest entry that does not follow from the one before it, which is the one that was changed or the
    /// next: 1 is the oldest.
    pub broken_at: Option<u64>,
    /// The hash of all entries, in hex. Whoever can write the daemon's files can write the whole log anew; who notes this
    /// down elsewhere from time to time sees that too, since entries are only added.
    pub head: String,
}

/// Check the audit log
///
/// Follows the chain of hashes through the whole log. For administrators who may see all channels.
#[utoipa::path(
    get, path = "/api/v1/audit/check", tag = "audit", operation_id = "checkAudit",
    responses((status = 200, description = "How it stands", body = AuditCheck)),
)]
async fn check(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
) -> Result<axum::Json<AuditCheck>, Problem> {
    of_all_channels(&caller)?;
    let checked = paging::read(&app, |app| Ok(audit::check(&*app.store)?)).await?;
    if let Some(place) = checked.broken_at {
        tracing::error!(place, "the audit log is not as it was written");
    }
    Ok(axum::Json(AuditCheck {
        intact: checked.broken_at.is_none(),
        entries: checked.entries,
        broken_at: checked.broken_at,
        head: hex::encode(checked.head),
    }))
}

fn of_all_channels(caller: &Caller) -> Result<(), Problem> {
    match caller.scope.channels() {
        None => Ok(()),
        Some(_) => Err(Problem::forbidden(
            "The audit log tells of all channels: only who may see them all may read it.",
        )),
    }
}
