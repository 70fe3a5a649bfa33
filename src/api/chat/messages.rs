//! What a visitor writes, and what stands in the visitor's conversation.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use deskbell_sdk::{Author, Direction, Event, NewAttachment, NewMessage, Person, Source};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Visitor;
use crate::api::body::Query;
use crate::api::problem::Problem;
use crate::app::{App, Daemon};
use crate::desk::arrivals::Arrivals;
use crate::desk::replies::kind_of;
use crate::id::AttachmentId;
use crate::server::ClientAddress;
use crate::store::Scope;
use crate::store::entry::{AttachmentEntry, Entry};
use crate::store::record::{ConversationRecord, MessageKind, MessageRecord, Place};

/// The longest `client_id`, in characters.
const MAX_CLIENT_ID: usize = 64;
/// The most files in one message.
const MAX_FILES: usize = 10;
/// How many messages a page of the conversation has.
const PAGE: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sending {
    text: Option<String>,
    client_id: String,
    #[serde(default)]
    attachment_ids: Vec<AttachmentId>,
}

/// Takes a visitor's message: durable before it is answered, and once for each `client_id`.
pub(super) async fn send(
    State(app): State<App>,
    Path(id): Path<String>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let visitor = Visitor::of(&app, &id, &headers)?;
    app.chat_limits
        .message(address, visitor.visit.thread.as_bytes())?;
    let sending: Sending = super::json(&headers, body).await?;
    let received_at = app.clock.now();
    let message = arrived(&app, &visitor, sending)?;
    let arrivals = Arrivals {
        events: vec![(visitor.channel.no, Event::Message(Box::new(message)))],
        received_at,
        raw: None,
        cursor: None,
    };
    let outcome = app.writer.write(arrivals).await?;
    visitor.channel.status().last_event_at = Some(received_at);
    let status = if outcome.new > 0 {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let scope = Scope::of_channels([visitor.channel.no]);
    let shown = match outcome.messages.first() {
        Some((conversation, id)) => {
            let message = app.store.message(&scope, visitor.channel.no, *id)?;
            let conversation = app.store.conversation(&scope, *conversation)?;
            message.zip(conversation).map(|(message, conversation)| {
                shown(&app, &visitor.channel.id, &message, &conversation)
            })
        }
        None => None,
    };
    let shown = shown.ok_or_else(|| {
        Problem::unavailable("The message is kept, and cannot be read right now.")
    })?;
    Ok((status, Json(shown)).into_response())
}

fn arrived(app: &Daemon, visitor: &Visitor, sending: Sending) -> Result<NewMessage, Problem> {
    let client_id = &sending.client_id;
    // A `/` ends the visitor's thread in the message's id: inside of a `client_id` it could make the id of a message of
    // another customer, whose own id at the shop goes on with what stands before it (V07).
    let is_sound = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if client_id.is_empty() || client_id.len() > MAX_CLIENT_ID || !client_id.bytes().all(is_sound) {
        return Err(Problem::field(
            "/client_id",
            format!("has 1 to {MAX_CLIENT_ID} visible ASCII characters and no `/`."),
        ));
    }
    let limit = visitor
        .channel
        .channel
        .limits()
        .text_chars
        .unwrap_or(usize::MAX);
    let text = sending.text.filter(|text| !text.trim().is_empty());
    if text
        .as_ref()
        .is_some_and(|text| text.chars().count() > limit)
    {
        return Err(Problem::field(
            "/text",
            format!("has {limit} characters at the most."),
        ));
    }
    if text.is_none() && sending.attachment_ids.is_empty() {
        return Err(Problem::field("/text", "is empty, and no file is with it."));
    }
    if sending.attachment_ids.len() > MAX_FILES {
        return Err(Problem::field(
            "/attachment_ids",
            format!("names {MAX_FILES} files at the most."),
        ));
    }
    let external_id = format!("{}/{client_id}", visitor.visit.thread);
    let attachments = match uploads(app, visitor, &sending.attachment_ids) {
        Ok(attachments) => attachments,
        // Of a repeated request the files are in the first message already. Asked only now: the first may have been
        // kept a moment ago.
        Err(refused) => {
            let scope = Scope::of_channels([visitor.channel.no]);
            match app
                .store
                .message_by_external_id(&scope, visitor.channel.no, &external_id)?
            {
                Some(_) => Vec::new(),
                None => return Err(refused),
            }
        }
    };
    let customer = Person {
        id: visitor.visit.thread.clone(),
        name: visitor.visit.name.clone(),
        email: visitor.visit.email.clone(),
    };
    Ok(NewMessage {
        thread: visitor.visit.thread.clone(),
        author: Author::Contact(customer.clone()),
        customer,
        external_id,
        direction: Direction::Inbound,
        text,
        attachments,
        reply_to: None,
        // The desk dates it, behind what was there: our own clock may have been set back.
        sent_at: deskbell_sdk::Time::default(),
        order: 0,
        metadata: BTreeMap::new(),
        send_token: None,
        album: None,
    })
}

/// The visitor's uploads that a message is to have, each still free and named once (V06).
fn uploads(
    app: &Daemon,
    visitor: &Visitor,
    ids: &[AttachmentId],
) -> Result<Vec<NewAttachment>, Problem> {
    let mut attachments = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let entry = AttachmentEntry::get(&*app.store, &id.key())?;
        let own = entry.filter(|entry| {
            entry.owner == visitor.owner() && entry.message.is_none() && !ids[..place].contains(id)
        });
        let entry = own.ok_or_else(|| {
            Problem::field(
                &format!("/attachment_ids/{place}"),
                "is no upload of yours that is still free.",
            )
        })?;
        attachments.push(NewAttachment {
            source: Source::Uploaded(entry.id.to_string()),
            ..NewAttachment::of_kind(kind_of(&entry.mime_type))
        });
    }
    Ok(attachments)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// The visitor's conversation, newest first, without what is private to the shop.
pub(super) async fn list(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(listing): Query<Listing>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let visitor = Visitor::of(&app, &id, &headers)?;
    let limit = listing.limit.unwrap_or(PAGE).clamp(1, 200);
    let scope = Scope::of_channels([visitor.channel.no]);
    let mut before = app
        .cursors
        .read::<Place>(listing.cursor.as_deref())?
        .unwrap_or(Place::LAST);
    let Some(conversation) = app.store.conversation(&scope, visitor.visit.conversation)? else {
        return Ok(Json(json!({ "data": [], "next": null })));
    };
    let mut data = Vec::new();
    let next = loop {
        let page = app.store.messages(&scope, conversation.id, before, limit)?;
        for message in page
            .iter()
            .filter(|message| message.kind == MessageKind::Message)
        {
            if data.len() < limit {
                before = message.place();
                data.push(shown(&app, &visitor.channel.id, message, &conversation));
            }
        }
        match page.last() {
            Some(last) if page.len() == limit && data.len() < limit => before = last.place(),
            Some(_) if page.len() == limit => break Some(app.cursors.write(&before)),
            _ => break None,
        }
    };
    Ok(Json(json!({ "data": data, "next": next })))
}

/// A message as its visitor sees it: with the visitor's own id, without what is the shop's.
pub(super) fn shown(
    app: &Daemon,
    channel_id: &str,
    message: &MessageRecord,
    conversation: &ConversationRecord,
) -> Value {
    let mut shown = json!(app.view().message(&*app.store, message, conversation));
    let own_prefix = format!("{}/", conversation.thread);
    let client_id = message
        .external_id
        .as_deref()
        .and_then(|id| id.strip_prefix(&own_prefix));
    shown["client_id"] = json!(client_id);
    if let Some(fields) = shown.as_object_mut() {
        for private in [
            "external_id",
            "metadata",
            "reply_to_external_id",
            "revisions",
            "connector",
        ] {
            fields.remove(private);
        }
    }
    shown["author"] = json!({ "type": shown["author"]["type"], "name": shown["author"]["name"] });
    if let Some(reactions) = shown["reactions"].as_array_mut() {
        for reaction in reactions {
            reaction["author"] = json!({ "type": reaction["author"]["type"] });
        }
    }
    if let Some(attachments) = shown["attachments"].as_array_mut() {
        for attachment in attachments {
            if let Some(id) = attachment["url"]
                .as_str()
                .and_then(|url| url.rsplit('/').next())
            {
                attachment["url"] = json!(format!("/chat/{channel_id}/attachments/{id}"));
            }
        }
    }
    shown
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Typing {
    typing: bool,
}

/// Tells the shop that the visitor types.
pub(super) async fn typing(
    State(app): State<App>,
    Path(id): Path<String>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let visitor = Visitor::of(&app, &id, &headers)?;
    app.chat_limits
        .message(address, visitor.visit.thread.as_bytes())?;
    let Typing { typing } = super::json(&headers, body).await?;
    let by = json!({ "type": "contact", "name": visitor.visit.name });
    app.live.typing(
        app.clock.now(),
        visitor.channel.no,
        visitor.visit.conversation,
        by,
        typing,
    );
    Ok(Json(json!({ "typing": typing })))
}
