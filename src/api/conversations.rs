//! `/api/v1/conversations`: the inbox, and what people of the shop do with a conversation. What is written into one is
//! in [`super::messages`].

use std::sync::Arc;

use axum::extract::State;
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, Query};
use super::extract::{Id, JsonOrNothing, MayRead, MayWrite, present};
use super::filters::{self, ConversationFilter};
use super::paging::{self, List, Look};
use super::problem::Problem;
use crate::app::App;
use crate::desk::conversations::{ChangeConversation, MarkRead, Marked};
use crate::id::{ConversationId, MessageId, TeamId, UserId};
use crate::outbox::{Sign, give_sign};
use crate::store::InboxPage;
use crate::store::record::{ConversationRecord, Priority, Status};
use crate::view::{Author, AuthorType, Conversation};

/// The most labels of a conversation.
const MAX_LABELS: usize = 50;
/// The longest label, in characters.
const MAX_LABEL_CHARS: usize = 100;
/// The longest subject, in characters.
const MAX_SUBJECT_CHARS: usize = deskbell_sdk::text::MAX_NAME_CHARS;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(inbox))
        .routes(routes!(conversation, change))
        .routes(routes!(mark_read))
        .routes(routes!(typing))
}

/// What of the inbox is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct InboxQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// How the conversation stands.
    #[param(value_type = Option<Status>)]
    status: Option<String>,
    /// Only this channel, by its slug. One that you may not see gives an empty list.
    channel: Option<String>,
    /// Who has it: `me`, `none` or a user's id.
    assignee: Option<String>,
    /// Which team has it, by its id.
    team: Option<String>,
    /// A label that it bears.
    label: Option<String>,
    /// `true`: only conversations with something unread.
    #[param(value_type = Option<bool>)]
    unread: Option<String>,
    /// Words in the contact's name, the subject or the last message; upper and lower case are alike.
    #[param(max_length = 200)]
    q: Option<String>,
}

impl InboxQuery {
    fn filter(&self) -> Result<ConversationFilter, Problem> {
        Ok(ConversationFilter {
            status: self
                .status
                .as_deref()
                .map(|text| filters::status("status", text))
                .transpose()?,
            assignee: self
                .assignee
                .as_deref()
                .map(filters::assignee)
                .transpose()?,
            team: self
                .team
                .as_deref()
                .map(|text| filters::id::<TeamId>("team", text, "tea_…"))
                .transpose()?,
            label: self.label.clone(),
            unread: self
                .unread
                .as_deref()
                .map_or(Ok(false), |text| filters::flag("unread", text))?,
            words: self
                .q
                .as_deref()
                .map_or(Ok(None), |text| filters::words("q", text))?,
        })
    }
}

/// The inbox
///
/// Conversations by last activity. What moves to the top while you page is told by the stream; no conversation that
/// did not move is skipped or repeated.
#[utoipa::path(
    get, path = "/api/v1/conversations", tag = "conversations", operation_id = "listConversations", params(InboxQuery),
    responses((status = 200, description = "A page of the inbox", body = List<Conversation>)),
)]
async fn inbox(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<InboxQuery>,
) -> Result<axum::Json<List<Conversation>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<(Time, ConversationId)> = app.cursors.read(query.cursor.as_deref())?;
    let channels = filters::channels_named(&app.channels, query.channel.as_deref(), None);
    let filter = query.filter()?;
    let list = paging::read(&app, move |app| {
        let view = app.view();
        let fetch = |behind: Option<&(Time, ConversationId)>, limit| {
            let page = InboxPage {
                channels: channels.clone(),
                behind: behind.copied(),
                limit,
            };
            app.store.inbox(&caller.scope, &page)
        };
        let place_of = |found: &Arc<ConversationRecord>| (found.last_activity_at, found.id);
        let look = |found: &Arc<ConversationRecord>| {
            Ok(if filter.fits(found) {
                Look::Take(view.conversation(found))
            } else {
                Look::Skip
            })
        };
        let (data, next) = paging::fill(limit, start, fetch, place_of, look)?;
        Ok(List {
            data,
            next: next.map(|place| app.cursors.write(&place)),
        })
    });
    list.await.map(axum::Json)
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

/// What changes of a conversation. A field that is left out stays; `null` empties it.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConversationChange)]
pub struct Change {
    /// How it stands.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Status)]
    status: Option<Status>,
    /// Who has it: `usr_…`
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    assignee_id: Option<Option<UserId>>,
    /// Which team has it: `tea_…`
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    team_id: Option<Option<TeamId>>,
    /// All its labels: at most 50, each of at most 100 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>, max_items = 50)]
    labels: Option<Option<Vec<String>>>,
    /// How urgent it is.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Priority>)]
    priority: Option<Option<Priority>>,
    /// Until when it sleeps: in the future. It stands as `snoozed` then.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    snoozed_until: Option<Option<Time>>,
    /// What it is about: at most 300 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 300)]
    subject: Option<Option<String>>,
}

impl Change {
    fn check(&self, now: Time) -> Result<(), Problem> {
        if let Some(Some(labels)) = &self.labels {
            check_labels(labels)?;
        }
        if let Some(Some(until)) = self.snoozed_until {
            if until <= now {
                return Err(Problem::field(
                    "/snoozed_until",
                    "This time is past; a conversation sleeps until a later one.",
                ));
            }
            if self.status.is_some_and(|status| status != Status::Snoozed) {
                return Err(Problem::field(
                    "/snoozed_until",
                    "Only a `snoozed` conversation sleeps; leave `status` out, or this.",
                ));
            }
        }
        if let Some(Some(subject)) = &self.subject
            && subject.chars().count() > MAX_SUBJECT_CHARS
        {
            return Err(Problem::field(
                "/subject",
                format!("It may have {MAX_SUBJECT_CHARS} characters at the most."),
            ));
        }
        Ok(())
    }
}

fn check_labels(labels: &[String]) -> Result<(), Problem> {
    if labels.len() > MAX_LABELS {
        return Err(Problem::field(
            "/labels",
            format!("A conversation bears {MAX_LABELS} labels at the most."),
        ));
    }
    for (place, label) in labels.iter().enumerate() {
        let pointer = format!("/labels/{place}");
        if deskbell_sdk::text::clean_name(label).is_none() {
            return Err(Problem::field(&pointer, "A label has a visible character."));
        }
        if label.chars().count() > MAX_LABEL_CHARS {
            return Err(Problem::field(
                &pointer,
                format!("A label has {MAX_LABEL_CHARS} characters at the most."),
            ));
        }
    }
    Ok(())
}

/// Change a conversation
///
/// Status, assignee, team, labels, priority, sleep and subject. Fields that are left out stay as they are; `null`
/// empties one.
#[utoipa::path(
    patch, path = "/api/v1/conversations/{id}", tag = "conversations", operation_id = "changeConversation",
    params(("id" = String, Path, description = "`cnv_…`")), request_body = Change,
    responses((status = 200, description = "The conversation after the change", body = Conversation)),
)]
async fn change(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
    Json(change): Json<Change>,
) -> Result<axum::Json<Conversation>, Problem> {
    change.check(app.clock.now())?;
    let decision = ChangeConversation {
        scope: caller.scope,
        conversation: id,
        status: change.status,
        assignee: change.assignee_id,
        team: change.team_id,
        labels: change.labels.map(Option::unwrap_or_default),
        priority: change.priority,
        snoozed_until: change.snoozed_until,
        subject: change.subject,
    };
    let changed = app
        .writer
        .write(decision)
        .await?
        .ok_or_else(no_conversation)?;
    Ok(axum::Json(app.view().conversation(&changed)))
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
    let reader = caller.owner();
    let decision = MarkRead {
        scope: caller.scope,
        conversation: id,
        up_to: read.up_to,
        reader,
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
