//! `/api/v1/conversations/{id}/messages`: the messages of a conversation, and what people of the shop write.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::send::{PartPlan, ReplyShape};
use deskbell_sdk::text::MAX_TEXT_CHARS;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{JsonBytes, Query};
use super::conversations::no_conversation;
use super::extract::{Id, MayRead, MayWrite};
use super::idempotency::{IdempotencyKey, key_reused};
use super::paging::{self, List, Look};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::channels::OpenChannel;
use crate::desk::outbox::{Window, Windows};
use crate::desk::replies::{Kind, Write, Written, kind_of};
use crate::id::{AttachmentId, ConversationId, MessageId, UserId};
use crate::store::entry::{AttachmentEntry, Entry, IdempotencyEntry, PartRecord};
use crate::store::record::{ChannelNo, ConversationRecord, MessageRecord, Place};
use crate::view::Message;

/// The most attachments of a message.
pub(super) const MAX_ATTACHMENTS: usize = 20;

/// The most people that a note mentions.
const MAX_MENTIONS: usize = 50;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(messages, write))
}

/// What of the messages is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct MessagesQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The messages of a conversation
///
/// By the platform's time, newest first; notes and what happened to the conversation are among them.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/messages", tag = "messages", operation_id = "listMessages",
    params(("id" = String, Path, description = "`cnv_…`"), MessagesQuery),
    responses((status = 200, description = "A page of the messages", body = List<Message>)),
)]
async fn messages(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<ConversationId>,
    Query(query): Query<MessagesQuery>,
) -> Result<axum::Json<List<Message>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<Place> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let conversation = app
            .store
            .conversation(&caller.scope, id)?
            .ok_or_else(no_conversation)?;
        let view = app.view();
        let fetch = |before: Option<&Place>, limit| {
            app.store.messages(
                &caller.scope,
                id,
                before.copied().unwrap_or(Place::LAST),
                limit,
            )
        };
        let look = |message: &Arc<MessageRecord>| {
            Ok(Look::Take(view.message(
                &*app.store,
                message,
                &conversation,
            )))
        };
        let (data, next) = paging::fill(limit, start, fetch, |message| message.place(), look)?;
        Ok(List {
            data,
            next: next.map(|place| app.cursors.write(&place)),
        })
    });
    list.await.map(axum::Json)
}

/// What is written into a conversation: a text, attachments or both.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The text; how long it may be, the channel says (`text_limit`).
    #[serde(default)]
    text: Option<String>,
    /// Uploads of your own that are in no message yet, `att_…`; at most 20.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 20)]
    attachment_ids: Vec<AttachmentId>,
    /// The message of this conversation that it answers, `msg_…`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    reply_to: Option<MessageId>,
    /// `true`: a note for the people of the shop, which the customer never sees.
    #[serde(default)]
    private: bool,
    /// Whom a note mentions, `usr_…`; at most 50. Answers mention nobody.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 50)]
    mentions: Vec<UserId>,
    /// The newest entry of the conversation that you saw, `msg_…`. Where a colleague has answered after it, nothing is
    /// written, and you get 409 `crossed`. Left out or `null`: it is written whatever came.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    seen: Option<MessageId>,
    /// `true`: it is written although a colleague has answered.
    #[serde(default)]
    force: bool,
}

impl NewMessage {
    /// The text that says something.
    fn text(&self) -> Option<&str> {
        self.text.as_deref().filter(|text| !text.trim().is_empty())
    }

    fn check(&self) -> Result<(), Problem> {
        if self.text().is_none() && self.attachment_ids.is_empty() {
            return Err(Problem::field(
                "/text",
                "A message has a text or attachments; this has neither.",
            ));
        }
        self.check_length(MAX_TEXT_CHARS)?;
        if self.attachment_ids.len() > MAX_ATTACHMENTS {
            let detail = format!("A message has {MAX_ATTACHMENTS} attachments at the most.");
            return Err(Problem::field("/attachment_ids", detail));
        }
        if self.mentions.len() > MAX_MENTIONS {
            let detail = format!("A note mentions {MAX_MENTIONS} people at the most.");
            return Err(Problem::field("/mentions", detail));
        }
        if !self.private && !self.mentions.is_empty() {
            let detail = "Only a note (`private`) mentions people; an answer goes to the customer.";
            return Err(Problem::field("/mentions", detail));
        }
        let mut seen = BTreeSet::new();
        for (place, id) in self.attachment_ids.iter().enumerate() {
            if !seen.insert(id) {
                return Err(Problem::field(
                    &format!("/attachment_ids/{place}"),
                    "This one is named twice.",
                ));
            }
        }
        Ok(())
    }

    fn check_length(&self, most_chars: usize) -> Result<(), Problem> {
        let chars = self.text().map_or(0, |text| text.chars().count());
        if chars > most_chars {
            let detail = format!(
                "It has {chars} characters; {most_chars} are taken at the most. Send it in parts."
            );
            return Err(Problem::field("/text", detail));
        }
        Ok(())
    }
}

/// Write a reply or a note
///
/// A reply answers 202 with the message, a note (`private`) 201. 409 where the channel takes no answer from here: its
/// reply window is closed, it is closed itself, or answers are written at the platform for now.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/messages", tag = "messages", operation_id = "writeMessage",
    params(
        ("id" = String, Path, description = "`cnv_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body is written once"),
    ),
    request_body = NewMessage,
    responses(
        (status = 201, description = "The note", body = Message),
        (status = 202, description = "The reply, on its way", body = Message),
        (status = 409, description = "This channel takes no answer from here now", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn write(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<NewMessage>,
) -> Result<(StatusCode, axum::Json<Message>), Problem> {
    new.check()?;
    let scope = caller.scope.clone();
    let conversation = paging::read(&app, move |app| {
        app.store
            .conversation(&scope, id)?
            .ok_or_else(no_conversation)
    });
    let conversation = conversation.await?;
    let idempotency = key.of(&caller, &body);
    let status = if new.private {
        StatusCode::CREATED
    } else {
        StatusCode::ACCEPTED
    };
    // A repeated request gets the first answer again, also where the channel would take no new one now.
    let repeated = match &idempotency {
        Some((key, _)) => IdempotencyEntry::get(&*app.store, key)?.is_some(),
        None => false,
    };
    let kind = if new.private || repeated {
        Kind::Note
    } else {
        answer_kind(&app, &caller.owner(), &conversation, &new)?
    };
    let decision = Write {
        scope: caller.scope.clone(),
        conversation: id,
        author: caller.author(),
        owner: caller.owner(),
        text: new.text().map(str::to_owned),
        attachments: new.attachment_ids.clone(),
        reply_to: new.reply_to,
        kind,
        seen: new.seen.filter(|_| !new.force),
        mentions: new.mentions.clone(),
        idempotency,
    };
    let (channel, id) = match app.writer.write(decision).await? {
        Written::Message(channel, id, _) => (channel, id),
        Written::NoConversation => return Err(no_conversation()),
        Written::NoReplyTo => {
            return Err(Problem::field(
                "/reply_to",
                "There is no such message in this conversation.",
            ));
        }
        Written::NoAttachment(place) => {
            let detail = "There is no such upload of yours, or it is in a message already.";
            return Err(Problem::field(&format!("/attachment_ids/{place}"), detail));
        }
        Written::NoMention(place) => {
            let detail = "There is no such person, or their account is disabled.";
            return Err(Problem::field(&format!("/mentions/{place}"), detail));
        }
        Written::KeyReused => return Err(key_reused()),
        Written::Crossed(channel, id) => {
            let by = paging::read(&app, move |app| shown(app, &caller, channel, id)).await?;
            let detail = "A colleague has answered meanwhile: `crossed_by`. Nothing was sent. Read it, and write anew, or \
                          send this all the same with `\"force\": true`.";
            let problem = Problem::conflict("crossed", "A colleague has answered", detail);
            return Err(problem.with("crossed_by", &by));
        }
    };
    let message = paging::read(&app, move |app| shown(app, &caller, channel, id));
    Ok((status, axum::Json(message.await?)))
}

/// A message as it is shown, where the caller may see it.
pub(super) fn shown(
    app: &Daemon,
    caller: &Caller,
    channel: ChannelNo,
    id: MessageId,
) -> Result<Message, Problem> {
    let message = app.store.message(&caller.scope, channel, id)?;
    let message = message.ok_or_else(|| Problem::not_found("message"))?;
    let conversation = app
        .store
        .conversation(&caller.scope, message.conversation)?
        .ok_or_else(no_conversation)?;
    Ok(app.view().message(&*app.store, &message, &conversation))
}

/// How an answer in this conversation goes out, where it can.
fn answer_kind(
    app: &Daemon,
    owner: &str,
    conversation: &ConversationRecord,
    new: &NewMessage,
) -> Result<Kind, Problem> {
    let Some(channel) = app.channels.get_no(conversation.channel) else {
        return Err(channel_closed());
    };
    if channel.channel.visitors().is_some() {
        if let Some(most_chars) = channel.channel.limits().text_chars {
            new.check_length(most_chars)?;
        }
        return Ok(Kind::ServedHere);
    }
    let Some(sender) = channel.channel.send() else {
        return Err(sending_unavailable(&channel));
    };
    let windows = crate::outbox::windows(&channel);
    if windows.at(conversation, app.clock.now()) == Window::Closed {
        return Err(window_closed(app, conversation, windows));
    }
    let files = uploads(app, owner, &new.attachment_ids)?;
    let shape = ReplyShape {
        text: new.text(),
        files: files
            .iter()
            .map(|file| (kind_of(&file.mime_type), file.mime_type.as_str(), file.size))
            .collect(),
    };
    let parts = sender
        .plan(&shape)
        .map_err(|error| Problem::field("", error.to_string()))?;
    Ok(Kind::Queued(recorded(parts)))
}

/// Of the channel only the history is left.
pub(super) fn channel_closed() -> Problem {
    let detail = "This channel is not open; only its history is left. `GET /api/v1/channels/{id}` says why. Open it again to answer.";
    Problem::conflict("channel-closed", "The channel is closed", detail)
}

/// The parts of a reply, as they are kept.
pub(super) fn recorded(parts: Vec<PartPlan>) -> Vec<PartRecord> {
    let parts = parts.into_iter().map(|part| match part {
        PartPlan::Text(text) => PartRecord::Text(text),
        PartPlan::File(place) => PartRecord::File(place),
    });
    parts.collect()
}

/// The caller's uploads, as far as they are there: what is not is refused where it is put into the message.
fn uploads(
    app: &Daemon,
    owner: &str,
    ids: &[AttachmentId],
) -> Result<Vec<AttachmentEntry>, Problem> {
    let mut found = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        match AttachmentEntry::get(&*app.store, &id.key())? {
            Some(entry) if entry.owner == owner => found.push(entry),
            _ => {
                let detail = "There is no such upload of yours, or it is in a message already.";
                return Err(Problem::field(&format!("/attachment_ids/{place}"), detail));
            }
        }
    }
    Ok(found)
}

/// The platform takes no answer any more; what can still be done.
pub(super) fn window_closed(
    app: &Daemon,
    conversation: &ConversationRecord,
    windows: Windows,
) -> Problem {
    let closed_at = app.view().conversation(conversation).reply_window.closes_at;
    let since = closed_at.map_or_else(String::new, |closed_at| format!(" since {closed_at}"));
    let can = match (windows.extended_ms, windows.ordinary_ms) {
        (Some(_), _) => "The longer time for a person's answer has passed, too.",
        (None, _) => {
            "Where the platform grants the app a longer time for answers by a person, switch it on for the channel."
        }
    };
    let detail = format!(
        "The platform takes no answer{since}: it does so for a while after the customer's last message. {can} When the \
         customer writes again, the window opens again; until then another channel is the way. Notes work."
    );
    Problem::conflict("reply-window-closed", "The reply window is closed", detail)
}

pub(super) fn sending_unavailable(channel: &OpenChannel) -> Problem {
    let detail = format!(
        "Deskbell does not send to {} yet. Answer there for now: what you write there shows here as well. Notes \
         (`\"private\": true`) work.",
        channel.kind.title
    );
    Problem::conflict(
        "sending-unavailable",
        "Answers in this channel are written at the platform",
        detail,
    )
}
