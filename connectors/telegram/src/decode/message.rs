//! Messages: what was written, and what was tapped.

use std::collections::BTreeMap;

use deskbell_sdk::text::clean_text;
use deskbell_sdk::{
    AttachmentKind, Author, Direction, Event, ExternalId, NewAttachment, NewMessage, Person, Time,
};
use serde_json::Value;

use super::{
    activity, connection_of, content, customer, detail, details, filled, full_name, ignored,
    is_channel, note, object, person, person_of_chat, shortened, time, topic,
};
use crate::place::Thread;
use crate::wire::{CallbackQuery, Entity, ForwardOrigin, Message};

/// Who wrote a message, and for which side.
struct Written {
    direction: Direction,
    author: Author,
}

/// A message, an album's part or a service message.
pub(super) fn message(raw: &str, bot: i64) -> Result<Vec<Event>, String> {
    let message: Message = object(raw)?;
    if is_channel(&message.chat) {
        return Ok(ignored(
            "a post in a channel, which is no talk with a customer",
        ));
    }
    if message.is_automatic_forward {
        return Ok(ignored(
            "a post of the shop's own channel that Telegram copied into its group",
        ));
    }
    let connection = connection_of(message.business_connection_id.as_ref())?;
    let direct = message.direct_messages_topic.as_ref();
    let thread = Thread {
        connection,
        chat: message.chat.id,
        topic: topic(message.message_thread_id, message.is_topic_message, direct),
    };
    let customer = customer(&message.chat, &thread, direct);
    let Some(written) = written(&message, &customer, bot) else {
        return Ok(ignored(
            "a message of the bot's own, which is known from its sending",
        ));
    };
    let found = content::of(&message);
    let mut shown = found.attachments;
    if found.text.is_none() && shown.is_empty() {
        match activity::service(raw, &message, &thread, &customer)? {
            activity::Service::Known(events) => return Ok(events),
            activity::Service::Unknown(key) => shown.push(unsupported(&key)),
        }
    }
    let mut metadata = found.metadata;
    add_details(&message, &mut metadata);
    let text = found.text;
    if let Some(payload) = text.as_deref().and_then(start_payload) {
        note(&mut metadata, "payload", Some(payload));
    }
    Ok(vec![Event::Message(Box::new(NewMessage {
        thread: thread.to_string(),
        external_id: thread.message(message.message_id),
        direction: written.direction,
        author: written.author,
        text,
        attachments: shown,
        reply_to: reply_to(&message, &thread),
        sent_at: time(message.date),
        order: u64::try_from(message.message_id).unwrap_or(0),
        metadata,
        send_token: None,
        album: message
            .media_group_id
            .as_ref()
            .map(|album| format!("{thread}:{}", album.as_str()))
            .filter(|album| album.len() <= ExternalId::MAX_BYTES),
        customer,
    }))])
}

/// Who wrote it; `None`: this bot did.
fn written(message: &Message, customer: &Person, bot: i64) -> Option<Written> {
    let staff = |name: Option<String>| {
        Some(Written {
            direction: Direction::Outbound,
            author: Author::Staff { name },
        })
    };
    let inbound = |person: Person| {
        Some(Written {
            direction: Direction::Inbound,
            author: Author::Contact(person),
        })
    };
    let from = message.from.as_ref();
    if from.is_some_and(|from| from.id == bot)
        || message
            .sender_business_bot
            .as_ref()
            .is_some_and(|sender| sender.id == bot)
    {
        return None;
    }
    let name =
        || from.and_then(|from| full_name(from.first_name.as_deref(), from.last_name.as_deref()));
    let is_customers = from.is_none_or(|from| from.id.to_string() == customer.id);
    if message.business_connection_id.is_some() {
        return match (&message.sender_business_bot, is_customers) {
            (Some(other), _) => Some(Written {
                direction: Direction::Outbound,
                author: Author::Bot {
                    name: full_name(other.first_name.as_deref(), other.last_name.as_deref()),
                },
            }),
            (None, true) => inbound(customer.clone()),
            (None, false) => staff(name()),
        };
    }
    if message.direct_messages_topic.is_some() || message.chat.is_direct_messages {
        return match is_customers {
            true => inbound(customer.clone()),
            // Whoever else writes there is one of the channel's administrators.
            false => staff(name()),
        };
    }
    // An anonymous administrator, or a channel that writes in a group.
    match (&message.sender_chat, from) {
        (Some(chat), _) => inbound(person_of_chat(chat)),
        (None, Some(from)) if !is_customers => inbound(person(from)),
        _ => inbound(customer.clone()),
    }
}

/// The message that is answered. In a forum every message names the topic's first one; that is no answer.
fn reply_to(message: &Message, thread: &Thread<'_>) -> Option<String> {
    let answered = message.reply_to_message.as_ref()?.message_id;
    let is_topic = message.is_topic_message && message.message_thread_id == Some(answered);
    (!is_topic).then(|| thread.message(answered))
}

/// What is told beside the content.
fn add_details(message: &Message, metadata: &mut BTreeMap<String, Value>) {
    if let Some(from) = &message.from {
        note(metadata, "username", detail(from.username.as_deref()));
        note(metadata, "language", detail(from.language_code.as_deref()));
    }
    if let Some(via) = &message.via_bot {
        note(metadata, "via_bot", detail(via.username.as_deref()));
    }
    note(
        metadata,
        "forwarded",
        message.forward_origin.as_ref().and_then(forwarded),
    );
    if let Some(quote) = &message.quote {
        note(metadata, "quote", detail(quote.text.as_deref()));
    }
    if let Some(external) = &message.external_reply {
        let chat = external.chat.as_ref();
        let from = chat.and_then(|chat| person_of_chat(chat).name);
        let known = details(vec![
            ("chat", chat.map(|chat| chat.id.to_string().into())),
            ("name", from.map(Value::String)),
            ("message_id", external.message_id.map(Value::from)),
        ]);
        note(metadata, "external_reply", known);
    }
    let (text, entities) = match &message.text {
        Some(text) => (Some(text), message.entities.as_deref()),
        None => (
            message.caption.as_ref(),
            message.caption_entities.as_deref(),
        ),
    };
    if let Some(text) = text {
        let links = hidden_links(text, entities.unwrap_or_default());
        note(
            metadata,
            "links",
            (!links.is_empty()).then_some(Value::Array(links)),
        );
    }
}

fn forwarded(origin: &ForwardOrigin) -> Option<Value> {
    let chat = origin.sender_chat.as_ref().or(origin.chat.as_ref());
    let from = origin
        .sender_user
        .as_ref()
        .and_then(|user| person(user).name)
        .or_else(|| filled(origin.sender_user_name.as_deref()))
        .or_else(|| chat.and_then(|chat| person_of_chat(chat).name));
    details(vec![
        ("type", detail(origin.kind.as_deref())),
        ("from", from.map(Value::String)),
        ("signature", detail(origin.author_signature.as_deref())),
        ("at", origin.date.map(|date| time(date).to_string().into())),
    ])
}

/// The addresses behind words of the text, which the words themselves do not show.
fn hidden_links(text: &str, entities: &[Entity]) -> Vec<Value> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let linked = entities
        .iter()
        .filter(|entity| entity.kind == "text_link")
        .filter_map(|entity| {
            let end = entity.offset.checked_add(entity.length)?;
            let words = String::from_utf16_lossy(units.get(entity.offset..end)?);
            details(vec![
                ("text", detail(Some(&words))),
                ("url", detail(entity.url.as_deref())),
            ])
        });
    linked.take(100).collect()
}

/// What stands behind `/start`: from a link t.me/<bot>?start=…, at most 64 characters of `A-Za-z0-9_-`.
fn start_payload(text: &str) -> Option<String> {
    let (command, payload) = text.trim().split_once(' ')?;
    let command = command.split('@').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let is_payload =
        command == "/start" && (1..=64).contains(&payload.len()) && payload.bytes().all(plain);
    is_payload.then(|| payload.to_owned())
}

fn unsupported(key: &str) -> NewAttachment {
    NewAttachment {
        name: Some(format!("[unsupported: {}]", shortened(key))),
        ..NewAttachment::of_kind(AttachmentKind::Unsupported)
    }
}

/// A tap on a button under a message: a message whose text is the button's title. Telegram tells no time of it, so that
/// it stands at its arrival.
pub(super) fn tap(raw: &str) -> Result<Vec<Event>, String> {
    let query: CallbackQuery = object(raw)?;
    let tapped = query.message.as_ref();
    let from = person(&query.from);
    let (thread, customer, answered) = match tapped {
        Some(tapped) if is_channel(&tapped.chat) => {
            return Ok(ignored(
                "a tap on a button under a channel's post, which is no talk with a customer",
            ));
        }
        Some(tapped) => {
            let direct = tapped.direct_messages_topic.as_ref();
            let thread = Thread {
                connection: connection_of(tapped.business_connection_id.as_ref())?,
                chat: tapped.chat.id,
                topic: topic(tapped.message_thread_id, tapped.is_topic_message, direct),
            };
            let customer = customer(&tapped.chat, &thread, direct);
            let answered = thread.message(tapped.message_id);
            (thread.to_string(), customer, Some(answered))
        }
        // Under a message that was sent by way of the bot in some other chat: it is the person who tapped.
        None => (from.id.clone(), from.clone(), None),
    };
    let data = query.data.as_deref().or(query.game_short_name.as_deref());
    let keyboard = tapped.and_then(|tapped| tapped.reply_markup.as_ref());
    let title = keyboard
        .iter()
        .flat_map(|keyboard| keyboard.inline_keyboard.iter().flatten())
        .find(|button| button.callback_data.is_some() && button.callback_data == query.data)
        .and_then(|button| filled(button.text.as_deref()));
    let text = title
        .or_else(|| filled(data))
        .unwrap_or_else(|| "[button]".to_owned());
    let mut metadata = BTreeMap::new();
    note(&mut metadata, "payload", data.map(clean_text));
    Ok(vec![Event::Message(Box::new(NewMessage {
        thread,
        customer,
        external_id: ExternalId::synthesised("callback", &[query.id.as_str()]).into_string(),
        direction: Direction::Inbound,
        author: Author::Contact(from),
        text: Some(text),
        attachments: Vec::new(),
        reply_to: answered,
        sent_at: Time::from_millis(0),
        order: 0,
        metadata,
        send_token: None,
        album: None,
    }))])
}
