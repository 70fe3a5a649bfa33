//! `/api/v1/messages/{id}/…`: what becomes of an answer that did not go out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::send::ReplyShape;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Id, JsonOrNothing, MayWrite};
use super::messages::{channel_closed, recorded, sending_unavailable, shown, window_closed};
use super::paging;
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::outbox::Window;
use crate::desk::retry::{Dismiss, Retried, Retry};
use crate::id::MessageId;
use crate::store::Found;
use crate::store::entry::PartRecord;
use crate::store::record::MessageRecord;
use crate::view::Message;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(retry))
        .routes(routes!(dismiss))
}

/// What the caller knows of the answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MessageRetry)]
pub struct Confirmation {
    /// `true`: send it although the customer may have it already. Only an answer whose state is `unknown` needs it.
    #[serde(default)]
    confirm: bool,
}

/// Send an answer once more
///
/// Of an answer that `failed`, or of which it is `unknown` whether it arrived. It is queued again in its place, and what
/// of its parts was sent is not sent again. Where an unknown one shows up at the platform before it leaves, it does not
/// leave.
#[utoipa::path(
    post, path = "/api/v1/messages/{id}/retry", tag = "messages", operation_id = "retryMessage",
    params(("id" = String, Path, description = "`msg_…`")), request_body = Confirmation,
    responses(
        (status = 202, description = "The answer, on its way again", body = Message),
        (status = 409, description = "It has not failed, may have arrived, or this channel takes no answer now", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn retry(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<MessageId>,
    JsonOrNothing(confirmation): JsonOrNothing<Confirmation>,
) -> Result<(StatusCode, axum::Json<Message>), Problem> {
    let seer = caller.clone();
    let (message, parts) = paging::read(&app, move |app| {
        let message = find(app, &seer, id)?.ok_or_else(no_message)?;
        let parts = parts(app, &seer, &message)?;
        Ok((message, parts))
    })
    .await?;
    let decision = Retry {
        scope: caller.scope.clone(),
        channel: message.channel,
        message: id,
        parts,
        confirmed: confirmation.confirm,
    };
    match app.writer.write(decision).await? {
        Retried::Queued => {}
        Retried::NoMessage => return Err(no_message()),
        Retried::NotFailed => return Err(not_failed()),
        Retried::Doubtful => {
            let detail = "Whether the customer has this is not known. Look at the platform; where it is not there, send it \
                          again with `\"confirm\": true`.";
            return Err(Problem::conflict(
                "may-have-arrived",
                "It may have arrived",
                detail,
            ));
        }
    }
    let message = paging::read(&app, move |app| shown(app, &caller, message.channel, id));
    Ok((StatusCode::ACCEPTED, axum::Json(message.await?)))
}

/// Leave an answer that failed
///
/// Somebody has seen that it did not go out: `metadata.dismissed` says so from then on. Its delivery stays as it is.
#[utoipa::path(
    post, path = "/api/v1/messages/{id}/dismiss", tag = "messages", operation_id = "dismissMessage",
    params(("id" = String, Path, description = "`msg_…`")),
    responses(
        (status = 200, description = "The answer", body = Message),
        (status = 409, description = "It has not failed", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn dismiss(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<MessageId>,
) -> Result<axum::Json<Message>, Problem> {
    let seer = caller.clone();
    let message = paging::read(&app, move |app| {
        find(app, &seer, id)?.ok_or_else(no_message)
    });
    let channel = message.await?.channel;
    let decision = Dismiss {
        scope: caller.scope.clone(),
        channel,
        message: id,
    };
    match app.writer.write(decision).await? {
        None => Err(no_message()),
        Some(false) => Err(not_failed()),
        Some(true) => {
            let message = paging::read(&app, move |app| shown(app, &caller, channel, id));
            Ok(axum::Json(message.await?))
        }
    }
}

/// A message in whichever channel the caller may see.
pub(super) fn find(
    app: &Daemon,
    caller: &Caller,
    id: MessageId,
) -> Found<Option<Arc<MessageRecord>>> {
    for channel in app.channels.all_known() {
        if caller.scope.allows(channel.no)
            && let Some(message) = app.store.message(&caller.scope, channel.no, id)?
        {
            return Ok(Some(message));
        }
    }
    Ok(None)
}

/// What the answer is cut into, where the channel takes it now.
fn parts(
    app: &Daemon,
    caller: &Caller,
    message: &MessageRecord,
) -> Result<Vec<PartRecord>, Problem> {
    let conversation = app
        .store
        .conversation(&caller.scope, message.conversation)?
        .ok_or_else(no_message)?;
    let channel = app
        .channels
        .get_no(message.channel)
        .ok_or_else(channel_closed)?;
    let Some(sender) = channel.channel.send() else {
        return Err(match channel.channel.visitors() {
            // What is served here has arrived.
            Some(_) => not_failed(),
            None => sending_unavailable(&channel),
        });
    };
    let windows = crate::outbox::windows(&channel);
    if windows.at(&conversation, app.clock.now()) == Window::Closed {
        return Err(window_closed(app, &conversation, windows));
    }
    let shape = ReplyShape {
        text: message.text.as_deref(),
        files: message
            .attachments
            .iter()
            .map(|file| {
                let mime_type = file
                    .mime_type
                    .as_deref()
                    .unwrap_or("application/octet-stream");
                (file.kind, mime_type, file.size.unwrap_or(0))
            })
            .collect(),
    };
    let parts = sender
        .plan(&shape)
        .map_err(|error| Problem::field("", error.to_string()))?;
    Ok(recorded(parts))
}

fn no_message() -> Problem {
    Problem::not_found("message")
}

fn not_failed() -> Problem {
    let detail = "It is on its way, has arrived, or is no answer of the shop's. Only an answer that failed, or of which it is \
                  unknown whether it arrived, is sent once more or left at that.";
    Problem::conflict("not-failed", "It has not failed", detail)
}
