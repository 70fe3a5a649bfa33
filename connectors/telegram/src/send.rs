//! Sending: texts, files and the typing sign.

mod answer;

use bytes::Bytes;
use deskbell_sdk::AttachmentKind;
use deskbell_sdk::client::{BoxFuture, Http};
use deskbell_sdk::multipart::{Form, Multipart};
use deskbell_sdk::send::{
    Outbound, OutboundFile, Part, PartPlan, ReplyShape, Send, SendError, Sent,
};
use deskbell_sdk::split::split_text;
use http::Request;
use serde::Serialize;

use self::answer::Ended;
use crate::api::BotApi;
use crate::place::{Thread, Topic};

/// The longest text of one message: 4,096 characters, counted as UTF-16 units, as Telegram counts places in texts
/// (Bot API, sendMessage).
pub(crate) const MAX_TEXT_UNITS: usize = 4096;
/// The largest file that a bot can upload (Bot API, sending files: 50 MB).
const MAX_FILE_BYTES: u64 = 50 * 1000 * 1000;
/// The largest picture that is shown as one (Bot API, sendPhoto: 10 MB); larger ones go as files.
const MAX_PHOTO_BYTES: u64 = 10 * 1000 * 1000;
/// What Telegram takes from one bot (Bots FAQ: about 30 messages a second in all). A single chat takes about one; more
/// comes back as "too many" with a wait and is tried again.
const SENDS_PER_SECOND: u32 = 30;

/// What every message says besides its content.
#[derive(Serialize)]
struct Head<'a> {
    chat_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_connection_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_thread_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct_messages_topic_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_parameters: Option<ReplyParameters>,
}

/// What is answered. Where it is gone, the answer goes out all the same.
#[derive(Serialize)]
struct ReplyParameters {
    message_id: i64,
    allow_sending_without_reply: bool,
}

#[derive(Serialize)]
struct TextCall<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    text: &'a str,
}

#[derive(Serialize)]
struct ActionCall<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    action: &'static str,
}

/// How a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum As {
    Photo,
    Voice,
    Audio,
    Video,
    Document,
}

impl As {
    const fn method(self) -> &'static str {
        match self {
            Self::Photo => "sendPhoto",
            Self::Voice => "sendVoice",
            Self::Audio => "sendAudio",
            Self::Video => "sendVideo",
            Self::Document => "sendDocument",
        }
    }

    const fn field(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Voice => "voice",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
        }
    }
}

impl Send for BotApi {
    /// A text in as many parts as it needs, then each file.
    fn plan(&self, reply: &ReplyShape<'_>) -> Result<Vec<PartPlan>, SendError> {
        let texts = split_text(reply.text.unwrap_or_default(), MAX_TEXT_UNITS);
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
            let thread = Thread::parse(outbound.thread).ok_or_else(|| {
                refused("no_thread", "this conversation has no chat of Telegram's")
            })?;
            let head = Head::of(&thread, outbound.reply_to);
            let way = match outbound.part {
                Part::Text(_) => None,
                Part::File(file) => Some(sendable(
                    file.kind,
                    &file.mime_type,
                    file.bytes.len() as u64,
                )?),
            };
            match self.attempt(http, head, outbound.part, way).await? {
                Ended::Sent(sent) => Ok(sent.in_thread(&thread)),
                // Both are clear refusals, so that nothing was sent yet.
                Ended::Moved(chat) => {
                    let moved = Thread {
                        connection: thread.connection,
                        chat,
                        topic: Topic::Whole,
                    };
                    // The message that is answered has another number there.
                    let head = Head::of(&moved, None);
                    let again = self.attempt(http, head, outbound.part, way).await?;
                    again.last_word().map(|sent| sent.in_thread(&moved))
                }
                Ended::NoPhoto if way == Some(As::Photo) => {
                    let head = Head::of(&thread, outbound.reply_to);
                    let way = Some(As::Document);
                    let again = self.attempt(http, head, outbound.part, way).await?;
                    again.last_word().map(|sent| sent.in_thread(&thread))
                }
                Ended::NoPhoto => Err(answer::not_taken()),
            }
        })
    }

    fn sends_per_second(&self) -> u32 {
        SENDS_PER_SECOND
    }

    /// Shown for five seconds; there is no call that ends it.
    fn typing<'a>(
        &'a self,
        http: &'a dyn Http,
        thread: &'a str,
        typing: bool,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let Some(thread) = Thread::parse(thread).filter(|_| typing) else {
                return Ok(());
            };
            let call = ActionCall {
                head: Head::of(&thread, None),
                action: "typing",
            };
            let request = self.call("sendChatAction", &call).map_err(not_asked)?;
            answer::of_action(http.call(request).await)
        })
    }
}

impl BotApi {
    /// One call that sends.
    async fn attempt(
        &self,
        http: &dyn Http,
        head: Head<'_>,
        part: &Part,
        way: Option<As>,
    ) -> Result<Ended, SendError> {
        let request = self.message_request(head, part, way)?;
        answer::of_message(http.call(request).await)
    }

    fn message_request(
        &self,
        head: Head<'_>,
        part: &Part,
        way: Option<As>,
    ) -> Result<Request<Bytes>, SendError> {
        match part {
            Part::Text(text) => self.call("sendMessage", &TextCall { head, text }),
            Part::File(file) => {
                let way = way.unwrap_or(As::Document);
                let form = form(&head, file, way).map_err(not_asked)?;
                self.post(way.method(), &form.content_type, form.body)
            }
        }
        .map_err(not_asked)
    }
}

impl<'a> Head<'a> {
    fn of(thread: &Thread<'a>, reply_to: Option<&str>) -> Self {
        let answered = reply_to.and_then(|id| thread.number_of(id));
        Self {
            chat_id: thread.chat,
            business_connection_id: thread.connection,
            message_thread_id: match thread.topic {
                Topic::Forum(topic) => Some(topic),
                Topic::Whole | Topic::Direct(_) => None,
            },
            direct_messages_topic_id: match thread.topic {
                Topic::Direct(topic) => Some(topic),
                Topic::Whole | Topic::Forum(_) => None,
            },
            reply_parameters: answered.map(|message_id| ReplyParameters {
                message_id,
                allow_sending_without_reply: true,
            }),
        }
    }
}

/// The call as a form: each argument as the text or JSON it has, and the file.
fn form(head: &Head<'_>, file: &OutboundFile, way: As) -> Result<Form, String> {
    let mut form = Multipart::new().field("chat_id", head.chat_id.to_string());
    if let Some(connection) = head.business_connection_id {
        form = form.field("business_connection_id", connection.to_owned());
    }
    for (name, number) in [
        ("message_thread_id", head.message_thread_id),
        ("direct_messages_topic_id", head.direct_messages_topic_id),
    ] {
        if let Some(number) = number {
            form = form.field(name, number.to_string());
        }
    }
    if let Some(reply) = &head.reply_parameters {
        let reply = serde_json::to_string(reply).map_err(|error| error.to_string())?;
        form = form.field("reply_parameters", reply);
    }
    let name = file.name.as_deref().map(str::trim);
    let name = name
        .filter(|name| !name.is_empty())
        .map_or_else(|| nameless(&file.mime_type), str::to_owned);
    Ok(form
        .file(way.field(), &name, &file.mime_type, file.bytes.clone())
        .finish())
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

/// How Telegram takes such a file. What it does not show as picture, sound or film goes as a file.
fn sendable(kind: AttachmentKind, mime_type: &str, size: u64) -> Result<As, SendError> {
    let way = match (kind, mime_type) {
        (AttachmentKind::Image, "image/jpeg" | "image/png" | "image/webp")
            if size <= MAX_PHOTO_BYTES =>
        {
            As::Photo
        }
        (AttachmentKind::Audio, "audio/ogg" | "audio/opus") => As::Voice,
        (AttachmentKind::Audio, "audio/mpeg" | "audio/mp4" | "audio/m4a" | "audio/x-m4a") => {
            As::Audio
        }
        (AttachmentKind::Video, "video/mp4") => As::Video,
        (
            AttachmentKind::Image
            | AttachmentKind::Audio
            | AttachmentKind::Video
            | AttachmentKind::File,
            _,
        ) => As::Document,
        (
            AttachmentKind::Location
            | AttachmentKind::Sticker
            | AttachmentKind::Contact
            | AttachmentKind::Link
            | AttachmentKind::Story
            | AttachmentKind::Template
            | AttachmentKind::Unsupported,
            _,
        ) => {
            return Err(refused(
                "unsupported",
                "the desk sends pictures, sounds, films and files to Telegram; write the rest as text",
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
                "bots can send files of at most 50 MB, and this one has {}.{} MB; send a smaller one, or a link to it",
                megabytes / 10,
                megabytes % 10
            ),
        ));
    }
    Ok(way)
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

#[cfg(test)]
mod tests;
