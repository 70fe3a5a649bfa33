//! What hooks were told: the log of deliveries, trying a hook, telling it something again.

use axum::extract::State;
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, Query};
use super::cursor::Position;
use super::extract::{Id, MayAdmin};
use super::hooks::{known, of_all_channels};
use super::paging::{self, List, Look};
use super::problem::Problem;
use crate::app::{App, Daemon};
use crate::desk::hooks::{Again, BeginTest, ReplayHook, Replayed, SettleAttempt};
use crate::hooks;
use crate::id::{DeliveryId, HookId};
use crate::store::Found;
use crate::store::entry::{Entry, HookAttempt, HookDeliveryEntry, HookDeliveryState, HookEntry};

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(deliveries))
        .routes(routes!(test))
        .routes(routes!(replay))
}

/// A place in the log of deliveries of a hook.
impl Position for DeliveryId {
    const LIST: u8 = 71;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// What a hook was or is to be told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HookDelivery {
    /// `dlv_…`
    #[schema(value_type = String)]
    pub id: DeliveryId,
    /// The id under which the receiver knows it: the same for each attempt, and for the same event told again.
    pub webhook_id: String,
    /// The event's type; `test` where somebody tried the hook.
    pub event: String,
    /// The event's number on the stream; `null` for a test.
    pub seq: Option<u64>,
    /// When the event happened.
    #[schema(value_type = String, format = DateTime)]
    pub event_at: Time,
    /// When it was decided that the hook is told.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// How it stands.
    pub state: HookDeliveryState,
    /// When the next attempt is due; `null` where none is. One that waits behind another of its conversation is tried
    /// after that.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<Time>,
    /// How often it was tried.
    pub tries: u32,
    /// The latest attempts, oldest first: at most 12.
    pub attempts: Vec<HookDeliveryAttempt>,
    /// The body, as it is sent.
    pub body: String,
}

/// An attempt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HookDeliveryAttempt {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The status of the answer; `null` where there was none.
    pub status: Option<u16>,
    /// What went wrong; `null` where it was taken.
    pub error: Option<String>,
    /// The beginning of the answer, at most 1 kB.
    pub answer: Option<String>,
}

impl From<HookAttempt> for HookDeliveryAttempt {
    fn from(attempt: HookAttempt) -> Self {
        Self {
            at: attempt.at,
            took_ms: attempt.took_ms,
            status: attempt.status,
            error: attempt.error,
            answer: attempt.answer,
        }
    }
}

impl From<HookDeliveryEntry> for HookDelivery {
    fn from(entry: HookDeliveryEntry) -> Self {
        Self {
            id: entry.id,
            webhook_id: entry.webhook_id(),
            event: entry.event,
            seq: entry.seq,
            event_at: entry.event_at,
            created_at: entry.created_at,
            state: entry.state,
            next_attempt_at: entry.due_at,
            tries: entry.tries,
            attempts: entry.attempts.into_iter().map(Into::into).collect(),
            body: entry.body,
        }
    }
}

/// A page of the log of deliveries.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only those that stand like this.
    #[param(inline)]
    state: Option<HookDeliveryState>,
}

/// What a hook was told
///
/// Newest first. What is done with is kept for 7 days, at most the newest 1,000. Administrators only.
#[utoipa::path(
    get, path = "/api/v1/hooks/{id}/deliveries", tag = "hooks", operation_id = "listHookDeliveries",
    params(("id" = String, Path, description = "`hok_…`"), DeliveriesQuery),
    responses((status = 200, description = "A page of the deliveries", body = List<HookDelivery>)),
)]
async fn deliveries(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<HookId>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<axum::Json<List<HookDelivery>>, Problem> {
    of_all_channels(&caller)?;
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<DeliveryId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        if HookEntry::get(&*app.store, &id.key())?.is_none() {
            return Err(Problem::not_found("hook"));
        }
        let fetch = |after: Option<&DeliveryId>, limit| {
            let after = after.map(|after| HookDeliveryEntry::key(id, *after));
            HookDeliveryEntry::scan(&*app.store, &id.key(), after.as_deref(), limit)
        };
        let look = |(_, entry): &(Vec<u8>, HookDeliveryEntry)| {
            let fits = query.state.is_none_or(|state| state == entry.state);
            Ok(if fits {
                Look::Take(HookDelivery::from(entry.clone()))
            } else {
                Look::Skip
            })
        };
        let (data, next) = paging::fill(limit, start, fetch, |(_, entry)| entry.id, look)?;
        Ok(List {
            data,
            next: next.map(|next| app.cursors.write(&next)),
        })
    });
    list.await.map(axum::Json)
}

/// What came of trying a hook.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HookTest {
    /// Whether it was taken.
    pub delivered: bool,
    /// What came back.
    pub attempt: HookDeliveryAttempt,
    /// The delivery, in the log of the hook.
    #[schema(value_type = String)]
    pub delivery_id: DeliveryId,
}

/// Try a hook
///
/// Sends an event of the type `test`, also to a hook that is switched off, and says what came back. It is not tried
/// again. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/hooks/{id}/test", tag = "hooks", operation_id = "testHook",
    params(("id" = String, Path, description = "`hok_…`")),
    responses(
        (status = 200, description = "What came back", body = HookTest),
        (status = 409, description = "The desk was restored from a backup and is held", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn test(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<HookId>,
) -> Result<axum::Json<HookTest>, Problem> {
    of_all_channels(&caller)?;
    if app.held.is_held() {
        return Err(Problem::conflict(
            "held",
            "Nothing goes out of a restored desk",
            "This desk was restored from a backup: nothing is sent until `deskbell resume` says so.",
        ));
    }
    let hook = known(&app, id).await?;
    let hook = hook.ok_or_else(|| Problem::not_found("hook"))?;
    let begin = BeginTest {
        hook: id,
        body: hooks::test_body(&app, &hook),
    };
    let told = app.writer.write(begin).await?;
    let told = told.ok_or_else(|| Problem::not_found("hook"))?;
    let tried = hooks::try_once(&app, &hook, &told).await;
    let settle = SettleAttempt {
        hook: id,
        delivery: told.id,
        attempt: tried.attempt.clone(),
        outcome: hooks::outcome(&tried.verdict),
        pauses_ms: [].into(),
        jitter: 0.0,
    };
    app.writer.write(settle).await?;
    app.hooks.wake();
    Ok(axum::Json(HookTest {
        delivered: tried.verdict == hooks::Verdict::Taken,
        attempt: tried.attempt.into(),
        delivery_id: told.id,
    }))
}

/// What is to be told again: one of both.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedReplay {
    /// One delivery: `dlv_…`
    #[serde(default)]
    delivery_id: Option<String>,
    /// Every event since this time that the hook hears and the log still has.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Time>,
}

/// A replay that has begun.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct HookReplay {
    /// How many events are looked at; of them the hook is told what it hears.
    pub events: u64,
}

/// Tell a hook something again
///
/// The receiver gets it under the same `webhook-id` as before, so that it can leave out what it has. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/hooks/{id}/replay", tag = "hooks", operation_id = "replayHook",
    params(("id" = String, Path, description = "`hok_…`")), request_body = WantedReplay,
    responses(
        (status = 200, description = "It has begun", body = HookReplay),
        (status = 409, description = "The hook is switched off, or another replay is under way", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn replay(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<HookId>,
    Json(wanted): Json<WantedReplay>,
) -> Result<axum::Json<HookReplay>, Problem> {
    of_all_channels(&caller)?;
    let again = match (wanted.delivery_id, wanted.since) {
        (Some(delivery), None) => match delivery.parse() {
            Ok(delivery) => Again::One(delivery),
            Err(_) => return Err(Problem::field("/delivery_id", "This is no `dlv_…`.")),
        },
        (None, Some(since)) => {
            let behind = paging::read(&app, move |app| Ok(last_before(app, since)?));
            Again::Behind(behind.await?)
        }
        _ => {
            return Err(Problem::field(
                "",
                "Say `delivery_id` or `since`, and not both.",
            ));
        }
    };
    let replay = ReplayHook {
        hook: id,
        again,
        by: caller.actor(),
    };
    match app.writer.write(replay).await? {
        Replayed::Begun(events) => {
            app.hooks.wake();
            if let Again::One(delivery) = again {
                app.hooks.again(id, delivery);
            }
            Ok(axum::Json(HookReplay { events }))
        }
        Replayed::Unknown => Err(Problem::not_found("hook or delivery")),
        Replayed::Off => Err(Problem::conflict(
            "hook-off",
            "This hook is switched off",
            "Switch it on first: nothing is told to a hook that is off.",
        )),
        Replayed::UnderWay => Err(Problem::conflict(
            "replay-under-way",
            "Another replay is under way",
            "Wait until `replaying` of the hook is false.",
        )),
    }
}

/// The number of the last event that happened before a time.
fn last_before(app: &Daemon, since: Time) -> Found<u64> {
    let (mut low, mut high) = (app.store.oldest().saturating_sub(1), app.store.head());
    while low < high {
        let middle = low + (high - low) / 2;
        let next = app.store.events(middle, 1)?;
        match next.first() {
            Some(event) if event.at < since => low = event.seq.min(high).max(middle + 1),
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use crate::desk::hooks::TEST;
    use crate::hooks;

    #[test]
    fn a_test_has_a_type_that_no_event_has() {
        assert!(!hooks::TYPES.contains(&TEST));
    }
}
