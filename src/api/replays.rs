//! `/api/v1/channels/{id}/replay`: a channel's deliveries are decoded once more, as they are kept.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{MAX_JSON_BYTES, parsed, read_limited};
use super::channel_actions::open;
use super::extract::{MayAdmin, Slug};
use super::problem::Problem;
use crate::app::App;
use crate::channels::ReplayReport;
use crate::desk::audit::{Tells, Told};
use crate::intake::replay;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(begin, report))
}

/// Which deliveries.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayRequest {
    /// Only those that came then or later; all that are kept where it is left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Time>,
}

/// How far decoding a channel's deliveries again has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Replay {
    /// Whether it is under way.
    pub running: bool,
    /// Only deliveries that came then or later are read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Time>,
    /// When the delivery came that was read last: how far it is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub come_to: Option<Time>,
    /// Deliveries that were read.
    pub deliveries: u64,
    /// Messages that were not here.
    pub messages_new: u64,
    /// Messages of which nothing had been understood, and that have their content now.
    pub messages_completed: u64,
    /// Edits, reactions, receipts and other news of what is here.
    pub changed: u64,
    /// What was here already.
    pub known: u64,
    /// What is not understood today either.
    pub not_understood: u64,
    /// Entries that are no longer in the quarantine, because they are understood.
    pub released: u64,
    /// Why it ended early.
    pub error: Option<String>,
}

impl From<ReplayReport> for Replay {
    fn from(report: ReplayReport) -> Self {
        Self {
            running: report.ended_at.is_none(),
            since: report.since,
            started_at: report.started_at,
            ended_at: report.ended_at,
            come_to: report.come_to,
            deliveries: report.deliveries,
            messages_new: report.new,
            messages_completed: report.completed,
            changed: report.changed,
            known: report.known,
            not_understood: report.not_understood,
            released: report.released,
            error: report.error,
        }
    }
}

/// Decode what came once more
///
/// Reads the channel's deliveries as they are kept, by the connector of today: what it did not understand when it came
/// becomes a message, or completes one, and leaves the quarantine; what is known stays as it is. Nothing is sent, and
/// nobody is rung for. It goes on by itself; `GET` of the same address tells how far it is. Where it runs already, that
/// report is answered. Broken off, it can be begun again. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/channels/{id}/replay", tag = "replay", operation_id = "replayChannel",
    params(("id" = String, Path, description = "The slug")),
    request_body(content = Option<ReplayRequest>, content_type = "application/json"),
    responses((status = 202, description = "It begins, or runs already", body = Replay)),
)]
async fn begin(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Slug(id): Slug,
    body: Body,
) -> Result<(StatusCode, HeaderMap, axum::Json<Replay>), Problem> {
    let channel = open(&app, &caller, &id)?;
    let body = read_limited(body, MAX_JSON_BYTES).await?;
    let asked: ReplayRequest = match body.trim_ascii() {
        b"" => ReplayRequest::default(),
        json => parsed(json)?,
    };
    let told = Told::of("channel.replayed").to("channel", &channel.id, channel.name.as_str());
    let tells = Tells {
        by: caller.actor(),
        told: told.with("since", asked.since.map(|since| since.to_string())),
    };
    app.writer.write(tells).await?;
    let report = replay::ask(&app, &channel, asked.since);
    let mut headers = HeaderMap::new();
    // A slug is plain ASCII.
    if let Ok(address) = HeaderValue::try_from(format!("/api/v1/channels/{}/replay", channel.id)) {
        headers.insert(header::LOCATION, address);
    }
    Ok((StatusCode::ACCEPTED, headers, axum::Json(report.into())))
}

/// How decoding once more goes, or went
///
/// Since the daemon's start, or the channel's last change; `null` where it was not asked for since. Administrators only.
#[utoipa::path(
    get, path = "/api/v1/channels/{id}/replay", tag = "replay", operation_id = "showReplay",
    params(("id" = String, Path, description = "The slug")),
    responses((status = 200, description = "The last report", body = Option<Replay>)),
)]
async fn report(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Slug(id): Slug,
) -> Result<axum::Json<Option<Replay>>, Problem> {
    let channel = open(&app, &caller, &id)?;
    let report = channel.status().replay.clone();
    Ok(axum::Json(report.map(Into::into)))
}
