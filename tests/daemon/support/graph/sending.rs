//! The Send API: what Meta checks before it takes a message.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Multipart, Path, Request, State as Given};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::server::{No, answer, fail, is_executed, let_in, parameters};
use super::state::{Executed, Message, SentFile};
use super::{Shared, now_ms, webhooks};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const MAX_FILE_BYTES: usize = 25 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    recipient: Recipient,
    messaging_type: Option<String>,
    tag: Option<String>,
    message: Option<NewMessage>,
    reply_to: Option<ReplyTo>,
    sender_action: Option<String>,
    notification_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipient {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMessage {
    text: Option<String>,
    attachment: Option<NewAttachment>,
    metadata: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAttachment {
    #[serde(rename = "type")]
    kind: String,
    payload: Payload,
}

/// What is uploaded in the call has none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    is_reusable: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyTo {
    mid: String,
}

/// A file of a form, before it is known what it is for.
struct Upload {
    name: String,
    mime_type: Option<String>,
    bytes: Bytes,
}

/// `POST /{page}/messages`.
pub(super) async fn post(
    Given(shared): Given<Arc<Shared>>,
    Path((version, node)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (call, upload) = match read(&shared, &version, &node, request).await {
        Ok(read) => read,
        Err(no) => return no.answer(&shared),
    };
    if call.sender_action.is_some() {
        return act(&shared, &call, upload.is_some()).unwrap_or_else(|no| no.answer(&shared));
    }
    let message = match check(&shared, call, upload) {
        Ok(message) => message,
        Err(no) => return no.answer(&shared),
    };
    let fault = shared.state().attempt(message.metadata.as_deref());
    let done = answer(
        200,
        json!({ "recipient_id": message.recipient, "message_id": message.id }),
    );
    if is_executed(fault.as_ref()) {
        execute(&shared, &message);
        webhooks::echo(&shared, &message).await;
    }
    match fault {
        None => done,
        Some(fault) => fail(&shared, fault, done).await,
    }
}

async fn read(
    shared: &Shared,
    version: &str,
    node: &str,
    request: Request,
) -> Result<(Call, Option<Upload>), No> {
    let given = parameters(request.uri().query().unwrap_or_default())?;
    let_in(shared, version, request.headers(), &given)?;
    if node != "me" && node != shared.state().page.page_id {
        return Err(No::coded(400, 100, Some(33)));
    }
    if let Some(more) = given.keys().find(|key| *key != "appsecret_proof") {
        return Err(No::violation(format!("{more} stands in the address")));
    }
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let unreadable =
        |error: &dyn std::fmt::Display| No::violation(format!("the body is unreadable: {error}"));
    let (call, upload) = if kind == "application/json" {
        let body = Bytes::from_request(request, &())
            .await
            .map_err(|error| unreadable(&error))?;
        (
            serde_json::from_slice(&body).map_err(|error| unreadable(&error))?,
            None,
        )
    } else if kind.starts_with("multipart/form-data; boundary=") {
        let form = Multipart::from_request(request, &())
            .await
            .map_err(|error| unreadable(&error))?;
        read_form(form).await?
    } else {
        return Err(No::violation(format!("the content type is {kind:?}")));
    };
    let call = serde_json::from_value(call).map_err(|error| unreadable(&error))?;
    Ok((call, upload))
}

/// The fields of a form as the JSON they stand for, and the file beside them.
async fn read_form(mut form: Multipart) -> Result<(Value, Option<Upload>), No> {
    let unreadable =
        |error: &dyn std::fmt::Display| No::violation(format!("the form is unreadable: {error}"));
    let (mut call, mut upload) = (Map::new(), None);
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| unreadable(&error))?
    {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "filedata" && upload.is_none() {
            let file_name = field.file_name().unwrap_or_default().to_owned();
            let mime_type = field.content_type().map(str::to_owned);
            let bytes = field.bytes().await.map_err(|error| unreadable(&error))?;
            upload = Some(Upload {
                name: file_name,
                mime_type,
                bytes,
            });
            continue;
        }
        let text = field.text().await.map_err(|error| unreadable(&error))?;
        let value = match name.as_str() {
            "recipient" | "message" | "reply_to" => {
                serde_json::from_str(&text).map_err(|error| unreadable(&error))?
            }
            _ => Value::String(text),
        };
        if call.insert(name.clone(), value).is_some() {
            return Err(No::violation(format!("{name} stands twice in the form")));
        }
    }
    Ok((Value::Object(call), upload))
}

/// Typing signs and seen marks: nothing else stands in their call.
fn act(shared: &Shared, call: &Call, has_file: bool) -> Result<Response, No> {
    let action = call.sender_action.clone().unwrap_or_default();
    let more = call.message.is_some()
        || call.messaging_type.is_some()
        || call.tag.is_some()
        || call.reply_to.is_some()
        || has_file;
    if more {
        return Err(No::violation("an action comes with something else"));
    }
    if !matches!(action.as_str(), "typing_on" | "typing_off" | "mark_seen") {
        return Err(No::violation(format!("{action:?} is no action")));
    }
    let person = call.recipient.id.clone();
    let mut state = shared.state();
    if !state.people.contains_key(&person) {
        return Err(No::coded(400, 100, Some(2_018_001)));
    }
    state.actions.push((person.clone(), action));
    Ok(answer(200, json!({ "recipient_id": person })))
}

/// Everything that Meta looks at before it takes a message.
fn check(shared: &Shared, call: Call, upload: Option<Upload>) -> Result<Executed, No> {
    let message = call
        .message
        .ok_or_else(|| No::violation("there is neither a message nor an action"))?;
    let messaging_type = call
        .messaging_type
        .ok_or_else(|| No::violation("messaging_type is missing"))?;
    match (messaging_type.as_str(), call.tag.as_deref()) {
        ("RESPONSE" | "UPDATE", None) | ("MESSAGE_TAG", Some("HUMAN_AGENT")) => {}
        (kind, tag) => {
            return Err(No::violation(format!(
                "messaging_type {kind} with the tag {tag:?}"
            )));
        }
    }
    let silent = call.notification_type.as_deref();
    if !matches!(silent, None | Some("REGULAR" | "SILENT_PUSH" | "NO_PUSH")) {
        return Err(No::violation(format!("notification_type {silent:?}")));
    }
    if message
        .metadata
        .as_ref()
        .is_some_and(|metadata| metadata.chars().count() >= 1000)
    {
        return Err(No::violation("metadata has 1,000 characters or more"));
    }
    let (text, file) = match (message.text, message.attachment, upload) {
        (Some(text), None, None) => (Some(checked_text(text)?), None),
        (None, Some(attachment), Some(upload)) => (None, Some(checked_file(&attachment, upload)?)),
        (None, Some(_), None) => return Err(No::violation("an attachment without a file")),
        (None, None, _) => return Err(No::violation("a message without a content")),
        (Some(_), _, _) => return Err(No::violation("a text and a file in one message")),
    };
    let mut state = shared.state();
    let human_agent = state.page.human_agent;
    let person = state
        .people
        .get(&call.recipient.id)
        .ok_or_else(|| No::coded(400, 100, Some(2_018_001)))?;
    let since = now_ms() - person.last_deed_ms;
    let in_time = if messaging_type == "MESSAGE_TAG" {
        human_agent && since <= 7 * DAY_MS
    } else {
        since <= DAY_MS
    };
    if !in_time {
        return Err(No::coded(400, 10, Some(2_018_278)));
    }
    if let Some(reply_to) = &call.reply_to
        && !person
            .messages
            .iter()
            .any(|message| message.id == reply_to.mid)
    {
        return Err(No::violation(format!(
            "the message {} that is answered is not there",
            reply_to.mid
        )));
    }
    Ok(Executed {
        id: state.next_id(),
        recipient: call.recipient.id,
        text,
        file,
        metadata: message.metadata,
        reply_to: call.reply_to.map(|reply_to| reply_to.mid),
        tag: call.tag,
        at_ms: now_ms(),
    })
}

fn checked_text(text: String) -> Result<String, No> {
    // By the stricter way of counting: which of the two Meta uses is not said.
    let length = text.encode_utf16().count();
    if text.trim().is_empty() || length > 2000 {
        return Err(No::violation(format!("a text of {length} characters")));
    }
    Ok(text)
}

fn checked_file(attachment: &NewAttachment, upload: Upload) -> Result<SentFile, No> {
    let kind = attachment.kind.as_str();
    if !matches!(kind, "image" | "audio" | "video" | "file") {
        return Err(No::violation(format!("an attachment of the type {kind}")));
    }
    if attachment.payload.is_reusable == Some(true) {
        return Err(No::violation(
            "a file that nobody will send again is to be kept for that",
        ));
    }
    let mime_type = upload.mime_type.unwrap_or_default();
    let fits = kind == "file" || mime_type.starts_with(&format!("{kind}/"));
    if mime_type.is_empty() || !fits || upload.bytes.is_empty() {
        let why = format!(
            "{} bytes of the type {mime_type:?} as {kind}",
            upload.bytes.len()
        );
        return Err(No {
            subcode: Some(2_018_047),
            ..No::violation(why)
        });
    }
    if upload.bytes.len() > MAX_FILE_BYTES {
        let why = format!("a file of {} bytes", upload.bytes.len());
        return Err(No {
            subcode: Some(2_018_109),
            ..No::violation(why)
        });
    }
    Ok(SentFile {
        kind: attachment.kind.clone(),
        name: upload.name,
        mime_type,
        bytes: upload.bytes,
    })
}

fn execute(shared: &Shared, message: &Executed) {
    let mut state = shared.state();
    let kept = Message {
        id: message.id.clone(),
        at_ms: message.at_ms,
        from_page: true,
        text: message.text.clone(),
        file: message.file.clone(),
        reply_to: message.reply_to.clone(),
    };
    if let Some(person) = state.people.get_mut(&message.recipient) {
        person.messages.push(kept);
    }
    state.executed.push(message.clone());
}
