//! The methods that send: what Telegram checks before it takes a message.

use axum::body::Body;
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use super::server::{No, arguments, done, fail, is_executed};
use super::state::{Executed, SentFile};

const MAX_FILE_BYTES: usize = 50 * 1000 * 1000;
const MAX_PHOTO_BYTES: usize = 10 * 1000 * 1000;
const MAX_TEXT_UNITS: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    chat_id: i64,
    text: Option<String>,
    reply_parameters: Option<ReplyParameters>,
    message_thread_id: Option<i64>,
    business_connection_id: Option<String>,
    direct_messages_topic_id: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyParameters {
    message_id: i64,
    #[serde(default)]
    allow_sending_without_reply: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    chat_id: i64,
    action: String,
    business_connection_id: Option<String>,
    message_thread_id: Option<i64>,
}

/// Any of the methods that send a message.
pub(super) async fn send(
    shared: &Shared,
    method: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, No> {
    let field = method.trim_start_matches("send");
    let (call, file) = if field == "message" {
        (arguments::<Call>(&body)?, None)
    } else {
        let (call, file) = form(field, headers, body).await?;
        (call, Some(file))
    };
    check(&call, field, file.as_ref())?;
    reachable(shared, &call)?;
    let fault = shared.state().attempt();
    let executed = is_executed(fault.as_ref()).then(|| execute(shared, method, &call, file));
    match (fault, executed) {
        (Some(fault), _) => Ok(fail(shared, fault).await),
        (None, Some(message)) => Ok(done(&message)),
        (None, None) => Err(No::coded(500, "Internal Server Error")),
    }
}

/// A form: its fields as the arguments, and exactly one file under the name of what is sent.
async fn form(field: &str, headers: &HeaderMap, body: Bytes) -> Result<(Call, SentFile), No> {
    let unreadable = |error: &dyn std::fmt::Display| No::violation(format!("the form: {error}"));
    let mut request = Request::new(Body::from(body));
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        request.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| unreadable(&error))?;
    let (mut members, mut file) = (Map::new(), None);
    while let Some(part) = form
        .next_field()
        .await
        .map_err(|error| unreadable(&error))?
    {
        let name = part.name().unwrap_or_default().to_owned();
        match (part.file_name().map(str::to_owned), name == field) {
            (Some(file_name), true) if file.is_none() => {
                let mime_type = part.content_type().map(str::to_owned);
                file = Some(SentFile {
                    name: file_name,
                    mime_type: mime_type.ok_or_else(|| No::violation("a file without a type"))?,
                    bytes: part.bytes().await.map_err(|error| unreadable(&error))?,
                });
            }
            (None, false) => {
                let text = part.text().await.map_err(|error| unreadable(&error))?;
                // Numbers and objects come as their JSON, texts as they are.
                let value = serde_json::from_str::<Value>(&text)
                    .ok()
                    .filter(|value| value.is_number() || value.is_object());
                members.insert(name, value.unwrap_or(Value::String(text)));
            }
            _ => return Err(No::violation(format!("the field {name}"))),
        }
    }
    let file = file.ok_or_else(|| No::violation(format!("no file under {field}")))?;
    let call =
        serde_json::from_value(Value::Object(members)).map_err(|error| unreadable(&error))?;
    Ok((call, file))
}

fn check(call: &Call, field: &str, file: Option<&SentFile>) -> Result<(), No> {
    if call.message_thread_id.is_some_and(|topic| topic <= 0)
        || call
            .direct_messages_topic_id
            .is_some_and(|topic| topic <= 0)
        || call
            .business_connection_id
            .as_ref()
            .is_some_and(String::is_empty)
    {
        return Err(No::violation("a place that is none"));
    }
    match (&call.text, file) {
        (Some(text), None) if text.trim().is_empty() => Err(No::violation("message text is empty")),
        (Some(text), None) if text.encode_utf16().count() > MAX_TEXT_UNITS => {
            Err(No::violation("message is too long"))
        }
        (Some(_), None) => Ok(()),
        (None, Some(file)) if file.bytes.is_empty() => Err(No::violation("file must be non-empty")),
        (None, Some(file)) if file.bytes.len() > MAX_FILE_BYTES => {
            Err(No::coded(413, "Request Entity Too Large"))
        }
        (None, Some(file)) if field == "photo" && file.bytes.len() > MAX_PHOTO_BYTES => {
            Err(No::coded(400, "Bad Request: file is too big for a photo"))
        }
        (None, Some(_)) => Ok(()),
        _ => Err(No::violation("neither a text nor a file, or both")),
    }
}

fn reachable(shared: &Shared, call: &Call) -> Result<(), No> {
    let state = shared.state();
    let chat = state
        .chats
        .get(&call.chat_id)
        .ok_or_else(|| No::coded(400, "Bad Request: chat not found"))?;
    if chat.blocked {
        return Err(No::coded(403, "Forbidden: bot was blocked by the user"));
    }
    if let Some(to) = chat.moved_to {
        return Err(No {
            parameters: Some(json!({ "migrate_to_chat_id": to })),
            ..No::coded(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
            )
        });
    }
    match &call.reply_parameters {
        Some(reply)
            if reply.message_id > chat.last_message && !reply.allow_sending_without_reply =>
        {
            Err(No::coded(
                400,
                "Bad Request: message to be replied not found",
            ))
        }
        _ => Ok(()),
    }
}

fn execute(shared: &Shared, method: &str, call: &Call, file: Option<SentFile>) -> Value {
    let mut state = shared.state();
    let bot_id = state.bot_id;
    let chat = state
        .chats
        .get_mut(&call.chat_id)
        .expect("looked for before");
    chat.last_message += 1;
    let number = chat.last_message;
    let message = json!({
        "message_id": number, "date": super::now_seconds(), "text": call.text,
        "from": { "id": bot_id, "is_bot": true, "first_name": "Butik" },
        "chat": { "id": call.chat_id, "type": "private", "first_name": chat.name },
    });
    state.executed.push(Executed {
        id: format!("{}:{number}", call.chat_id),
        method: method.to_owned(),
        chat: call.chat_id,
        text: call.text.clone(),
        file,
        reply_to: call.reply_parameters.as_ref().map(|reply| reply.message_id),
    });
    message
}

/// `sendChatAction`.
pub(super) fn act(shared: &Shared, body: &[u8]) -> Result<Response, No> {
    let action: Action = arguments(body)?;
    let place = action.message_thread_id.is_none_or(|topic| topic > 0)
        && action
            .business_connection_id
            .as_ref()
            .is_none_or(|connection| !connection.is_empty());
    if action.action != "typing" || !place {
        return Err(No::violation(format!("the action {}", action.action)));
    }
    shared.state().actions.push((action.chat_id, action.action));
    Ok(done(&json!(true)))
}
