//! `/api/v1/quarantine`: what a platform signed and no connector could understand, kept for the operator.

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Query;
use super::extract::{Id, MayAdmin};
use super::paging::{self, List};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::access::Remove;
use crate::desk::audit::{Audited, Told};
use crate::id::QuarantineId;
use crate::store::entry::{Entry, QuarantineEntry};
use crate::store::{Found, Table};

/// How many entries are read at once; each holds up to 64 kB.
const STRETCH: usize = 64;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(quarantine))
        .routes(routes!(remove))
}

/// Something that could not be understood.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Quarantined {
    /// `qua_…`
    #[schema(value_type = String)]
    pub id: QuarantineId,
    /// The channel's slug.
    pub channel_id: String,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Time,
    /// What was wrong with it.
    pub why: String,
    /// It, as it came; at most 64 kB of it.
    pub raw: String,
}

/// A page of the quarantine.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct QuarantineQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// What could not be understood
///
/// Newest first. Nothing of a delivery is lost: what verifies and does not decode waits here. Administrators only.
#[utoipa::path(
    get, path = "/api/v1/quarantine", tag = "quarantine", operation_id = "listQuarantine", params(QuarantineQuery),
    responses((status = 200, description = "A page of the quarantine", body = List<Quarantined>)),
)]
async fn quarantine(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Query(query): Query<QuarantineQuery>,
) -> Result<axum::Json<List<Quarantined>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<QuarantineId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let mut found = newest_before(app, &caller, start, limit + 1)?;
        let next = paging::end(&mut found, limit, |last| app.cursors.write(&last.id));
        let data = found.into_iter().map(|entry| shown(app, entry)).collect();
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

/// The newest entries with an id below `before`, newest first. Side tables are read upwards only, so that all are
/// looked at; few are kept.
fn newest_before(
    app: &Daemon,
    caller: &Caller,
    before: Option<QuarantineId>,
    most: usize,
) -> Found<Vec<QuarantineEntry>> {
    let mut newest = std::collections::VecDeque::with_capacity(most + 1);
    let mut after: Option<Vec<u8>> = None;
    'reading: loop {
        let stretch = QuarantineEntry::scan(&*app.store, &[], after.as_deref(), STRETCH)?;
        let more = stretch.len() == STRETCH;
        for (key, entry) in stretch {
            if before.is_some_and(|before| entry.id >= before) {
                break 'reading;
            }
            after = Some(key);
            if caller.scope.allows(entry.channel) {
                newest.push_back(entry);
                if newest.len() > most {
                    newest.pop_front();
                }
            }
        }
        if !more {
            break;
        }
    }
    Ok(newest.into_iter().rev().collect())
}

fn shown(app: &Daemon, entry: QuarantineEntry) -> Quarantined {
    let channel = app.channels.known(entry.channel);
    Quarantined {
        id: entry.id,
        channel_id: channel.map_or_else(
            || format!("channel-{}", entry.channel.0),
            |channel| channel.id.clone(),
        ),
        received_at: entry.received_at,
        why: entry.why,
        raw: entry.raw,
    }
}

/// Remove what could not be understood
///
/// Once it was looked at. Administrators only.
#[utoipa::path(
    delete, path = "/api/v1/quarantine/{id}", tag = "quarantine", operation_id = "removeQuarantined",
    params(("id" = String, Path, description = "`qua_…`")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<QuarantineId>,
) -> Result<StatusCode, Problem> {
    let scope = caller.scope.clone();
    let found = paging::read(&app, move |app| {
        let entry = QuarantineEntry::get(&*app.store, &id.key())?;
        let entry = entry
            .filter(|entry| scope.allows(entry.channel))
            .ok_or_else(|| Problem::not_found("quarantine entry"))?;
        Ok(shown(app, entry).channel_id)
    });
    let channel = found.await?;
    let remove = Remove {
        table: Table::Quarantine,
        key: id.key().to_vec(),
    };
    let told = Told::of("quarantine.removed").to("quarantined", id, "");
    let told = told.with("channel_id", channel);
    app.writer
        .write(Audited::always(remove, caller.actor(), told))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
