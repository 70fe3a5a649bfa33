//! Sending: texts, files, the typing sign and the seen mark (Send API of the Messenger platform).

pub(crate) mod answer;
mod fate;

use std::time::Duration;

use bytes::Bytes;
use deskbell_sdk::AttachmentKind;
use deskbell_sdk::client::{BoxFuture, Http};
use deskbell_sdk::multipart::Multipart;
use deskbell_sdk::send::{
    Fate, LostSend, Outbound, OutboundFile, Part, PartPlan, ReplyShape, Send, SendError, Sent,
};
use deskbell_sdk::split::split_text;
use serde::Serialize;

use crate::{DAY_MS, Messenger};

/// The longest text of one message (Send API: "2000 characters, UTF-8"). Whether Meta counts characters or UTF-16 units
/// is not said, so texts are cut by the stricter of the two.
pub(crate) const MAX_TEXT_CHARS: usize = 2000;
/// The largest file that can be sent (Send API: 25 MB for an upload).
const MAX_FILE_BYTES: u64 = 25 * 1000 * 1000;
/// The longest `metadata` is below 1,000 characters (Send API).
const MAX_METADATA_CHARS: usize = 999;
/// How long a person may answer with the Human Agent feature.
const HUMAN_AGENT_MS: i64 = 7 * DAY_MS;
/// Meta's limit for texts of one Page (Messenger platform, rate limits). Sounds and films have 10; more than that comes
/// back as a rate limit and is tried again.
const SENDS_PER_SECOND: u32 = 300;

/// The body of a message, as JSON or, with a file, as the fields of a form.
#[derive(Serialize)]
struct Call<'a> {
    recipient: Recipient<'a>,
    messaging_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'static str>,
    message: Message<'a>,
    /// At the top, not in the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<ReplyTo<'a>>,
}

#[derive(Serialize)]
struct Recipient<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
}

#[derive(Serialize)]
struct Attachment {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: Nothing,
}

/// `{}`: the content comes beside it.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct ReplyTo<'a> {
    mid: &'a str,
}

#[derive(Serialize)]
struct Action<'a> {
    recipient: Recipient<'a>,
    sender_action: &'static str,
}

impl Send for Messenger {
    /// A text in as many parts as it needs, then each file: the Send API takes a text or a file, never both.
    fn plan(&self, reply: &ReplyShape<'_>) -> Result<Vec<PartPlan>, SendError> {
        let texts = split_text(reply.text.unwrap_or_default(), MAX_TEXT_CHARS);
        let mut parts: Vec<PartPlan> = texts.into_iter().map(PartPlan::Text).collect();
        for (place, (kind, mime_type, size)) in reply.files.iter().enumerate() {
            sendable(*kind, mime_type, *size)?;
            parts.push(PartPlan::File(place));
        }
        if parts.is_empty() {
            return Err(refused("empty", "there is nothing to send"));
        }
        Ok(parts)
    }

    fn send<'a>(
        &'a self,
        http: &'a dyn Http,
        outbound: Outbound<'a>,
    ) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async move {
            let request = self.message_request(&outbound)?;
            answer::of_message(http.call(request).await)
        })
    }

    fn fate<'a>(&'a self, http: &'a dyn Http, lost: LostSend<'a>) -> BoxFuture<'a, Fate> {
        Box::pin(fate::look(&self.graph, http, lost))
    }

    fn extended_window_ms(&self) -> Option<i64> {
        self.human_agent.then_some(HUMAN_AGENT_MS)
    }

    fn sends_per_second(&self) -> u32 {
        SENDS_PER_SECOND
    }

    fn typing<'a>(
        &'a self,
        http: &'a dyn Http,
        thread: &'a str,
        typing: bool,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        let action = if typing { "typing_on" } else { "typing_off" };
        Box::pin(self.act(http, thread, action))
    }

    fn mark_seen<'a>(
        &'a self,
        http: &'a dyn Http,
        thread: &'a str,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(self.act(http, thread, "mark_seen"))
    }
}

impl Messenger {
    fn message_request(&self, outbound: &Outbound<'_>) -> Result<http::Request<Bytes>, SendError> {
        let (messaging_type, tag) = match (outbound.window_extended, self.human_agent) {
            (false, _) => ("RESPONSE", None),
            (true, true) => ("MESSAGE_TAG", Some("HUMAN_AGENT")),
            (true, false) => {
                return Err(refused(
                    "window_closed",
                    "the time to answer is over, and this Page's app does not have Meta's Human Agent feature; the \
                     customer has to write again first",
                ));
            }
        };
        let (text, file) = match outbound.part {
            Part::Text(text) => (Some(text.as_str()), None),
            Part::File(file) => (None, Some(file)),
        };
        let attachment = file
            .map(|file| sendable(file.kind, &file.mime_type, file.bytes.len() as u64))
            .transpose()?
            .map(|kind| Attachment {
                kind,
                payload: Nothing {},
            });
        let call = Call {
            recipient: Recipient {
                id: outbound.thread,
            },
            messaging_type,
            tag,
            message: Message {
                text,
                attachment,
                // A token that was cut would find nothing.
                metadata: Some(outbound.send_token)
                    .filter(|token| (1..=MAX_METADATA_CHARS).contains(&token.len())),
            },
            reply_to: outbound.reply_to.map(|mid| ReplyTo { mid }),
        };
        let (content_type, body) = match file {
            None => ("application/json".to_owned(), json(&call)?),
            Some(file) => {
                let form = form(&call, file)?.finish();
                (form.content_type, form.body)
            }
        };
        self.post(&content_type, body)
    }

    async fn act(
        &self,
        http: &dyn Http,
        thread: &str,
        sender_action: &'static str,
    ) -> Result<(), SendError> {
        let recipient = Recipient { id: thread };
        let action = Action {
            recipient,
            sender_action,
        };
        let request = self.post("application/json", json(&action)?)?;
        answer::of_action(http.call(request).await)
    }

    fn post(&self, content_type: &str, body: Bytes) -> Result<http::Request<Bytes>, SendError> {
        let path = format!("{}/messages", self.graph.page_id);
        self.graph
            .post(&path, content_type, body)
            .map_err(not_asked)
    }
}

/// The call as a form: each field as the JSON it would have, and the file with its type, without which Meta refuses it
/// (100/2018047).
fn form(call: &Call<'_>, file: &OutboundFile) -> Result<Multipart, SendError> {
    let mut form = Multipart::new()
        .field("recipient", json(&call.recipient)?)
        .field("messaging_type", call.messaging_type)
        .field("message", json(&call.message)?);
    if let Some(tag) = call.tag {
        form = form.field("tag", tag);
    }
    if let Some(reply_to) = &call.reply_to {
        form = form.field("reply_to", json(reply_to)?);
    }
    let name = file.name.as_deref().map(str::trim);
    let name = name
        .filter(|name| !name.is_empty())
        .map_or_else(|| nameless(&file.mime_type), str::to_owned);
    Ok(form.file("filedata", &name, &file.mime_type, file.bytes.clone()))
}

/// A name for a file that has none: `image.png`.
fn nameless(mime_type: &str) -> String {
    match mime_type.split_once('/') {
        Some((kind, subtype)) if subtype.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("{kind}.{subtype}")
        }
        _ => "file".to_owned(),
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, SendError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| not_asked(error.to_string()))
}

/// A call that could not even be written.
fn not_asked(say: String) -> SendError {
    SendError::Retry { after: None, say }
}

fn refused(code: &str, say: impl Into<String>) -> SendError {
    SendError::Refused {
        code: code.to_owned(),
        say: say.into(),
    }
}

/// What Messenger calls such a file. A picture that it does not show as one is sent as a file.
fn sendable(kind: AttachmentKind, mime_type: &str, size: u64) -> Result<&'static str, SendError> {
    let called = match kind {
        AttachmentKind::Image if matches!(mime_type, "image/png" | "image/jpeg" | "image/gif") => {
            "image"
        }
        AttachmentKind::Audio if mime_type.starts_with("audio/") => "audio",
        AttachmentKind::Video if mime_type.starts_with("video/") => "video",
        AttachmentKind::Image
        | AttachmentKind::Audio
        | AttachmentKind::Video
        | AttachmentKind::File => "file",
        AttachmentKind::Location
        | AttachmentKind::Sticker
        | AttachmentKind::Contact
        | AttachmentKind::Link
        | AttachmentKind::Story
        | AttachmentKind::Template
        | AttachmentKind::Unsupported => {
            return Err(refused(
                "unsupported",
                "Messenger takes pictures, sounds, films and files; write the rest as text",
            ));
        }
    };
    if size == 0 {
        return Err(refused("empty_file", "the file is empty; choose it again"));
    }
    if size > MAX_FILE_BYTES {
        let megabytes = size.div_ceil(100_000);
        return Err(refused(
            "too_large",
            format!(
                "Messenger takes files of at most 25 MB, and this one has {}.{} MB; send a smaller one, or a link to it",
                megabytes / 10,
                megabytes % 10
            ),
        ));
    }
    Ok(called)
}

/// What Meta's usage header asks for, in minutes, as a wait.
const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

#[cfg(test)]
pub(crate) mod tests;
