//! `/api/v1/bell`: who was rung, on what, when it was shown, and who took it; and taking it.

use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Query;
use super::cursor::Position;
use super::extract::{Id, JsonOrNothing, MayRead, MayWrite, PathId};
use super::filters;
use super::paging::{self, List, Look};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::bell::{NoteAttempt, Take, Taken};
use crate::id::{ConversationId, DeviceId, RingId};
use crate::store::Found;
use crate::store::entry::{Attempt, AttemptResult, Entry, RingEntry, RingState};
use crate::view::Ring;

/// The longest word for a kind of device, in characters.
const MAX_DEVICE_CHARS: usize = 40;
/// The longest reason, in characters.
const MAX_DETAIL_CHARS: usize = 300;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ledger))
        .routes(routes!(ring))
        .routes(routes!(acknowledge))
        .routes(routes!(told))
}

impl PathId for RingId {
    const WHAT: &'static str = "ring";
}

/// A place in the ledger.
impl Position for RingId {
    const LIST: u8 = 60;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// Which rings are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct LedgerQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// How they stand.
    #[param(value_type = Option<RingState>)]
    state: Option<String>,
    /// Only this channel, by its slug.
    channel: Option<String>,
    /// Only this conversation: `cnv_…`
    conversation: Option<String>,
    /// Only those that began at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Only those that began before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

/// The ledger
///
/// Every ring, newest first: when it began, how far it climbed, who was told on what and what came of it, who took it.
#[utoipa::path(
    get, path = "/api/v1/bell", tag = "bell", operation_id = "listRings", params(LedgerQuery),
    responses((status = 200, description = "A page of the ledger", body = List<Ring>)),
)]
async fn ledger(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<LedgerQuery>,
) -> Result<axum::Json<List<Ring>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<RingId> = app.cursors.read(query.cursor.as_deref())?;
    let state = query
        .state
        .as_deref()
        .map(filters::ring_state)
        .transpose()?;
    let conversation = query
        .conversation
        .as_deref()
        .map(|text| filters::id::<ConversationId>("conversation", text, "cnv_…"))
        .transpose()?;
    let time = |name: &'static str, text: &Option<String>| {
        text.as_deref()
            .map(|text| filters::time(name, text))
            .transpose()
    };
    let (since, until) = (time("since", &query.since)?, time("until", &query.until)?);
    let channels = filters::channels_named(&app.channels, query.channel.as_deref(), None);
    let list = paging::read(&app, move |app| {
        let view = app.view();
        let fetch = |behind: Option<&RingId>, limit| newest(app, behind.copied(), limit);
        let look = |ring: &RingEntry| {
            let fits = ring.is_seen_by(&caller.scope)
                && channels.as_ref().is_none_or(|channels| {
                    ring.channel
                        .is_some_and(|channel| channels.contains(&channel))
                })
                && state.is_none_or(|state| ring.state == state)
                && conversation.is_none_or(|conversation| ring.conversation == Some(conversation))
                && since.is_none_or(|since| ring.started_at >= since)
                && until.is_none_or(|until| ring.started_at < until);
            Ok(if fits {
                Look::Take(view.ring(ring))
            } else {
                Look::Skip
            })
        };
        let (data, next) = paging::fill(limit, start, fetch, |ring: &RingEntry| ring.id, look)?;
        Ok(List {
            data,
            next: next.map(|place| app.cursors.write(&place)),
        })
    });
    list.await.map(axum::Json)
}

/// The rings behind one, newest first.
fn newest(app: &Daemon, behind: Option<RingId>, limit: usize) -> Found<Vec<RingEntry>> {
    let after = behind.map(RingEntry::key);
    let rows = RingEntry::scan(&*app.store, &[], after.as_deref(), limit)?;
    Ok(rows.into_iter().map(|(_, ring)| ring).collect())
}

/// One ring
///
/// As it stands now.
#[utoipa::path(
    get, path = "/api/v1/bell/{id}", tag = "bell", operation_id = "getRing",
    params(("id" = String, Path, description = "`rng_…`")),
    responses((status = 200, description = "The ring", body = Ring)),
)]
async fn ring(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<RingId>,
) -> Result<axum::Json<Ring>, Problem> {
    let found = paging::read(&app, move |app| {
        let ring = visible(app, &caller, id)?;
        Ok(app.view().ring(&ring))
    });
    found.await.map(axum::Json)
}

fn visible(app: &Daemon, caller: &Caller, id: RingId) -> Result<RingEntry, Problem> {
    RingEntry::get(&*app.store, &RingEntry::key(id))?
        .filter(|ring| ring.is_seen_by(&caller.scope))
        .ok_or_else(|| Problem::not_found("ring"))
}

/// Take it
///
/// The ring ends on every device, and the conversation is the taker's; a program's token takes it without being assigned.
/// Taking again what one has is the same once more.
#[utoipa::path(
    post, path = "/api/v1/bell/{id}/ack", tag = "bell", operation_id = "takeRing",
    params(("id" = String, Path, description = "`rng_…`")),
    responses(
        (status = 200, description = "It is taken", body = Ring),
        (status = 409, description = "Somebody else has it, or it has ended", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn acknowledge(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<RingId>,
) -> Result<axum::Json<Ring>, Problem> {
    let take = Take {
        scope: caller.scope.clone(),
        ring: id,
        user: filters::user_of(&caller),
        taker: caller.owner(),
    };
    match app.writer.write(take).await? {
        Taken::Done(ring) => Ok(axum::Json(app.view().ring(&ring))),
        Taken::Over(ring) => {
            let detail = match (&ring.taken_by, ring.ended) {
                (Some(by), _) => format!("It was taken by {by}."),
                (None, Some(_)) => "It has ended: nobody waits there any more.".to_owned(),
                (None, None) => "It has ended.".to_owned(),
            };
            Err(Problem::conflict("ring-over", "The ring is over", detail))
        }
        Taken::NoRing => Err(Problem::not_found("ring")),
    }
}

/// What a device says of a ring.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = RingTold)]
pub struct Told {
    /// The kind of device, as `desk`; at most 40 letters, digits and hyphens.
    device: Option<String>,
    /// Which: `dev_…`
    #[schema(value_type = Option<String>)]
    device_id: Option<DeviceId>,
    /// Whether it could not be shown.
    failed: bool,
    /// The reason in words, at most 300 characters.
    detail: Option<String>,
}

/// A device has shown it
///
/// Or could not. It goes into the ledger; to have seen is not to have taken.
#[utoipa::path(
    post, path = "/api/v1/bell/{id}/shown", tag = "bell", operation_id = "noteShown",
    params(("id" = String, Path, description = "`rng_…`")), request_body(content = Told),
    responses((status = 200, description = "It is in the ledger", body = Ring)),
)]
async fn told(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<RingId>,
    JsonOrNothing(told): JsonOrNothing<Told>,
) -> Result<axum::Json<Ring>, Problem> {
    let device = told.device.unwrap_or_else(|| "desk".to_owned());
    let is_word = device.chars().count() <= MAX_DEVICE_CHARS
        && !device.is_empty()
        && device
            .chars()
            .all(|sign| sign.is_ascii_alphanumeric() || sign == '-');
    if !is_word {
        let detail = "Use at most 40 letters, digits and hyphens.";
        return Err(Problem::field("/device", detail));
    }
    let too_long = |text: &String| text.chars().count() > MAX_DETAIL_CHARS;
    if told.detail.as_ref().is_some_and(too_long) {
        return Err(Problem::field("/detail", "Use at most 300 characters."));
    }
    visible(&app, &caller, id)?;
    let note = NoteAttempt {
        ring: id,
        attempt: Attempt {
            at: app.clock.now(),
            user: filters::user_of(&caller),
            device,
            device_id: told.device_id,
            result: if told.failed {
                AttemptResult::Failed
            } else {
                AttemptResult::Shown
            },
            detail: told.detail,
            step: None,
        },
    };
    let ring = app.writer.write(note).await?;
    let ring = ring.ok_or_else(|| Problem::not_found("ring"))?;
    Ok(axum::Json(app.view().ring(&ring)))
}
