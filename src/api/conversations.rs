//! `/api/v1/conversations/{id}`: one conversation, reading it and typing in it. The inbox is in [`super::inbox`], what
//! changes of one in [`super::conversation_changes`], what is written into one in [`super::messages`].

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Json;
use super::extract::{Id, JsonOrNothing, MayRead, MayWrite};
use super::paging;
use super::problem::Problem;
use crate::app::App;
use crate::desk::conversations::{MarkRead, Marked};
use crate::id::{ConversationId, MessageId};
use crate::outbox::{Sign, give_sign};
use crate::view::{Author, AuthorType, Conversation};

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(conversation))
        .routes(routes!(mark_read))
        .routes(routes!(typing))
}

/// One conversation
///
/// As it stands now.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}", tag = "conversations", operation_id = "getConversation",
    params(("id" = String, Path, description = "`cnv_…`")),
    responses((status = 200, description = "The conversation", body = Conversation)),
)]
async fn conversation(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<ConversationId>,
) -> Result<axum::Json<Conversation>, Problem> {
    let found = paging::read(&app, move |app| {
        let found = app.store.conversation(&caller.scope, id)?;
        found
            .map(|found| app.view().conversation(&found))
            .ok_or_else(no_conversation)
    });
    found.await.map(axum::Json)
}

/// Up to where a conversation was read.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadUpTo {
    /// The last message that was read, `msg_…`; left out or `null`: everything that is there.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    up_to: Option<MessageId>,
}

/// Mark as read
///
/// Marks everything that arrived up to a message as read, for the team and for the caller. The body may be left out.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/read", tag = "conversations", operation_id = "markConversationRead",
    params(("id" = String, Path, description = "`cnv_…`")), request_body = ReadUpTo,
    responses((status = 200, description = "The conversation after it", body = Conversation)),
)]
async fn mark_read(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
    JsonOrNothing(read): JsonOrNothing<ReadUpTo>,
) -> Result<axum::Json<Conversation>, Problem> {
    let (reader, reader_name) = (caller.owner(), caller.name());
    let decision = MarkRead {
        scope: caller.scope,
        conversation: id,
        up_to: read.up_to,
        reader,
        reader_name,
    };
    match app.writer.write(decision).await? {
        Marked::Done(conversation) => {
            give_sign(&app, conversation.channel, &conversation.thread, Sign::Seen);
            Ok(axum::Json(app.view().conversation(&conversation)))
        }
        Marked::NoConversation => Err(no_conversation()),
        Marked::NoMessage => Err(Problem::field(
            "/up_to",
            "There is no such message in this conversation.",
        )),
    }
}

/// Whether somebody types.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Typing {
    /// `true`: somebody types; `false`: no longer.
    typing: bool,
}

/// Tell that you type
///
/// The others at the desk see it, and the customer where the channel can show it. It is kept nowhere.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/typing", tag = "conversations", operation_id = "tellTyping",
    params(("id" = String, Path, description = "`cnv_…`")), request_body = Typing,
    responses((status = 200, description = "It was told", body = Typing)),
)]
async fn typing(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
    Json(typing): Json<Typing>,
) -> Result<axum::Json<Typing>, Problem> {
    let scope = caller.scope.clone();
    let found = paging::read(&app, move |app| {
        app.store
            .conversation(&scope, id)?
            .ok_or_else(no_conversation)
    })
    .await?;
    let by = Author {
        r#type: AuthorType::Staff,
        id: None,
        name: Some(caller.name()),
    };
    let by = serde_json::to_value(by).unwrap_or_default();
    app.live
        .typing(app.clock.now(), found.channel, found.id, by, typing.typing);
    app.live.typing_to_visitor(found.id, typing.typing);
    give_sign(
        &app,
        found.channel,
        &found.thread,
        Sign::Typing(typing.typing),
    );
    Ok(axum::Json(typing))
}

/// 404: the caller knows no such conversation.
pub(super) fn no_conversation() -> Problem {
    Problem::not_found("conversation")
}
