//! `/api/v1/views`: how many conversations there are in each view of the inbox.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::MayRead;
use super::filters;
use super::paging;
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::store::Found;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(counts))
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
    })
}
