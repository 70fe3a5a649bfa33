//! What is done with a channel: making its platform deliver here, and fetching what was missed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use deskbell_sdk::client::CallError;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::channel_health::{CatchUp, Finding, Found};
use super::channels::visible;
use super::extract::{MayAdmin, MayWrite, Slug};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::App;
use crate::channels::OpenChannel;
use crate::desk::audit::{Tells, Told};
use crate::intake::catch_up::{self, Not};
use crate::registration;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(register, unregister))
        .routes(routes!(fetch_missed))
}

/// What the platform was told, as read back from it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Registered {
    /// Whether all is as it should be.
    pub matches: bool,
    /// What was found.
    pub findings: Vec<Finding>,
}

pub(super) fn open(app: &App, caller: &Caller, id: &str) -> Result<Arc<OpenChannel>, Problem> {
    let entry = visible(app, caller, id)?;
    app.channels.get_no(entry.no).ok_or_else(|| {
        Problem::conflict(
            "channel-closed",
            "The channel is closed",
            "It is no longer in the configuration. Put it back, and start the daemon again.",
        )
    })
}

fn call_problem(error: CallError) -> Problem {
    match error {
        CallError::Retry { after, say } => {
            let seconds = after.map_or(5, |after| after.as_secs().clamp(1, 3600));
            Problem::unavailable(format!("The platform could not be asked: {say}."))
                .retry_after(u32::try_from(seconds).unwrap_or(5))
        }
        CallError::Refused { say, .. } => Problem::conflict(
            "not-registered",
            "It cannot be registered",
            format!("{say}."),
        ),
        CallError::Credentials { say } => Problem::conflict(
            "credentials",
            "The channel's credentials do not work",
            format!("{say}."),
        ),
    }
}

/// Make a platform deliver here
///
/// Registers the channel's webhook at its platform with all that the channels of its app need, and reads back what the
/// platform has now. It may be called again at any time.
#[utoipa::path(
    post, path = "/api/v1/channels/{id}/register", tag = "channels", operation_id = "registerChannel",
    params(("id" = String, Path, description = "The slug")),
    responses(
        (status = 200, description = "Registered; what was read back", body = Registered),
        (status = 409, description = "It cannot be registered as things stand"),
    ),
)]
async fn register(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Slug(id): Slug,
) -> Result<axum::Json<Registered>, Problem> {
    let channel = open(&app, &caller, &id)?;
    let findings = registration::register(&app, &channel).await;
    let findings: Vec<Finding> = findings
        .map_err(call_problem)?
        .iter()
        .map(Finding::from)
        .collect();
    tell(&app, &caller, &channel, "channel.registered").await?;
    Ok(axum::Json(Registered {
        matches: findings.iter().all(|one| one.standing == Found::Fine),
        findings,
    }))
}

/// Make a platform deliver no longer
///
/// Undoes the registration. What other channels of the same app need stays.
#[utoipa::path(
    delete, path = "/api/v1/channels/{id}/register", tag = "channels", operation_id = "unregisterChannel",
    params(("id" = String, Path, description = "The slug")),
    responses(
        (status = 204, description = "It is registered no longer"),
        (status = 409, description = "It cannot be undone as things stand"),
    ),
)]
async fn unregister(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Slug(id): Slug,
) -> Result<StatusCode, Problem> {
    let channel = open(&app, &caller, &id)?;
    registration::unregister(&app, &channel)
        .await
        .map_err(call_problem)?;
    tell(&app, &caller, &channel, "channel.unregistered").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Writes into the audit log what was done at a channel's platform.
async fn tell(
    app: &App,
    caller: &Caller,
    channel: &OpenChannel,
    action: &'static str,
) -> Result<(), Problem> {
    let told = Told::of(action).to("channel", &channel.id, channel.name.as_str());
    let by = caller.actor();
    app.writer.write(Tells { by, told }).await?;
    Ok(())
}

/// Fetch what was missed
///
/// Reads at the platform what no delivery brought. It goes on by itself; the report is in the channel's health, whose
/// address is in `Location`. Where it runs already, that report is answered.
#[utoipa::path(
    post, path = "/api/v1/channels/{id}/catch-up", tag = "channels", operation_id = "catchUpChannel",
    params(("id" = String, Path, description = "The slug")),
    responses(
        (status = 202, description = "It begins, or runs already", body = CatchUp),
        (status = 409, description = "It cannot be caught up as things stand"),
    ),
)]
async fn fetch_missed(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Slug(id): Slug,
) -> Result<(StatusCode, HeaderMap, axum::Json<CatchUp>), Problem> {
    let channel = open(&app, &caller, &id)?;
    let refuse = |detail: String| {
        Problem::conflict("no-catch-up", "The channel cannot be caught up", detail)
    };
    match catch_up::is_on(&channel) {
        Ok(()) => {}
        Err(Not::Able) => {
            let title = channel.kind.title;
            return Err(refuse(format!(
                "{title} has no history that could be read."
            )));
        }
        Err(Not::Wanted) => {
            let detail = "`catch_up = false` stands in its configuration. Take it out, and start the daemon again.";
            return Err(refuse(detail.to_owned()));
        }
    }
    if channel.status().sending_paused {
        let detail = "Its credentials do not work; `deskbell check` says what to do. It is caught up once they do.";
        return Err(refuse(detail.to_owned()));
    }
    let report = catch_up::ask(&app, &channel);
    let mut headers = HeaderMap::new();
    // A slug is plain ASCII.
    if let Ok(address) = HeaderValue::try_from(format!("/api/v1/channels/{}/health", channel.id)) {
        headers.insert(header::LOCATION, address);
    }
    Ok((
        StatusCode::ACCEPTED,
        headers,
        axum::Json(CatchUp::from(&report)),
    ))
}
