//! From Telegram's updates to the desk's words. Pure: the same bytes give the same events.

mod activity;
mod changes;
mod content;
mod message;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use deskbell_sdk::json::{Raw, mended};
use deskbell_sdk::text::{clean_name, clean_text};
use deskbell_sdk::{Event, ExternalId, Inbound, Malformed, Person, Time};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::place::{Thread, Topic};
use crate::wire::{Chat, DirectTopic, Update, User};

/// Decodes an update that was delivered; `bot` is the bot's own id.
pub(crate) fn update(body: &Bytes, bot: i64) -> Result<Vec<Inbound>, Malformed> {
    let text = mended(body);
    let update: Update<'_> = object(text.trim_ascii())
        .map_err(|why| Malformed(format!("not an update of Telegram's: {why}")))?;
    Ok(events(text.trim_ascii(), update, bot))
}

/// Decodes an update that was asked for: one that is none is kept, since the next begins behind it.
pub(crate) fn polled(update: &Bytes, bot: i64) -> Vec<Inbound> {
    let text = mended(update);
    match object(text.trim_ascii()) {
        Ok(update) => events(text.trim_ascii(), update, bot),
        Err(why) => vec![Inbound::here(undecodable(&text, &why))],
    }
}

/// There is one event as a rule; should Telegram ever put two into one update, both count.
fn events(text: &str, update: Update<'_>, bot: i64) -> Vec<Inbound> {
    let number = update.update_id;
    let mut found: Vec<Event> = Vec::new();
    let mut add = |raw: Option<Raw<'_>>, read: &dyn Fn(&str) -> Result<Vec<Event>, String>| {
        if let Some(raw) = raw {
            found.extend(read(raw.get()).unwrap_or_else(|why| vec![undecodable(raw.get(), &why)]));
        }
    };
    let message = |raw: &str| message::message(raw, bot);
    add(update.message, &message);
    add(update.business_message, &message);
    let edit = |raw: &str| changes::edit(raw, number);
    add(update.edited_message, &edit);
    add(update.edited_business_message, &edit);
    add(update.deleted_business_messages, &changes::deleted);
    add(update.message_reaction, &changes::reaction);
    add(update.callback_query, &message::tap);
    add(update.my_chat_member, &activity::membership);
    add(update.business_connection, &activity::connection);
    if found.is_empty() {
        found.push(unknown(text));
    }
    found.into_iter().map(Inbound::here).collect()
}

/// An update of a kind that the desk has no use for.
fn unknown(text: &str) -> Event {
    let keys = keys_of(text).unwrap_or_default();
    let why = match keys.keys().find(|key| *key != "update_id") {
        Some(key) => format!(
            "an update of a kind that the desk has no use for: `{}`",
            shortened(key)
        ),
        None => "an update with nothing in it".to_owned(),
    };
    Event::Ignored { why }
}

/// The keys of an object.
fn keys_of(text: &str) -> Result<BTreeMap<Cow<'_, str>, IgnoredAny>, String> {
    serde_json::from_str(text).map_err(|error| reason(&error))
}

/// Reads an object. Serde would also read a list as one, field by field, which no platform means.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    if text.starts_with('{') {
        serde_json::from_str(text).map_err(|error| reason(&error))
    } else {
        Err("an object is expected here".to_owned())
    }
}

fn ignored(why: impl Into<String>) -> Vec<Event> {
    vec![Event::Ignored { why: why.into() }]
}

fn undecodable(raw: &str, why: &str) -> Event {
    Event::Undecodable {
        raw: raw.to_owned(),
        why: why.to_owned(),
    }
}

/// The reader's words on what is wrong; they may repeat a part of the text, so they are cleaned and cut.
fn reason(error: &serde_json::Error) -> String {
    clean_name(&error.to_string()).unwrap_or_else(|| "cannot be read".to_owned())
}

/// A platform's word in a sentence of ours.
fn shortened(word: &str) -> String {
    let cleaned = clean_name(word).unwrap_or_default();
    match cleaned.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &cleaned[..end]),
        None => cleaned,
    }
}

/// Telegram's times are whole seconds; 0 is none.
fn time(seconds: i64) -> Time {
    Time::from_millis(seconds.saturating_mul(1000))
}

/// A text with something to see in it.
fn filled(text: Option<&str>) -> Option<String> {
    let cleaned = clean_text(text?);
    (!cleaned.trim().is_empty()).then_some(cleaned)
}

/// A person's first and last name.
fn full_name(first: Option<&str>, last: Option<&str>) -> Option<String> {
    let parts: Vec<&str> = [first, last].into_iter().flatten().collect();
    clean_name(&parts.join(" "))
}

fn person(user: &User) -> Person {
    Person {
        id: user.id.to_string(),
        name: full_name(user.first_name.as_deref(), user.last_name.as_deref()),
        email: None,
    }
}

/// A chat as somebody who writes: a group, a channel, or the person of a private chat.
fn person_of_chat(chat: &Chat) -> Person {
    let name = match chat.title.as_deref() {
        Some(title) => clean_name(title),
        None => full_name(chat.first_name.as_deref(), chat.last_name.as_deref()),
    };
    Person {
        id: chat.id.to_string(),
        name,
        email: None,
    }
}

/// The part of a chat that something belongs to.
fn topic(thread: Option<i64>, is_topic_message: bool, direct: Option<&DirectTopic>) -> Topic {
    match (direct, thread) {
        (Some(direct), _) => Topic::Direct(direct.topic_id),
        (None, Some(topic)) if is_topic_message => Topic::Forum(topic),
        _ => Topic::Whole,
    }
}

/// The customer of a thread: the person of a private chat, the person who talks with a channel, else the group.
fn customer(chat: &Chat, thread: &Thread<'_>, direct: Option<&DirectTopic>) -> Person {
    match direct {
        Some(direct) => match &direct.user {
            Some(user) => person(user),
            None => Person::with_id(thread.to_string()),
        },
        None => person_of_chat(chat),
    }
}

fn is_channel(chat: &Chat) -> bool {
    chat.kind.as_deref() == Some("channel")
}

/// The connection that an id names. Ids that cannot be part of ours are none of Telegram's.
fn connection_of(id: Option<&ExternalId>) -> Result<Option<&str>, String> {
    const LONGEST: usize = 256;
    match id.map(ExternalId::as_str) {
        Some(id) if id.len() > LONGEST => Err("a business connection's id is too long".to_owned()),
        id => Ok(id),
    }
}

/// Puts a detail into `metadata` where it is known.
fn note(metadata: &mut BTreeMap<String, Value>, key: &str, detail: Option<impl Into<Value>>) {
    if let Some(detail) = detail {
        metadata.insert(key.to_owned(), detail.into());
    }
}

/// An object of those details that are known; `None` where none is.
fn details(members: Vec<(&str, Option<Value>)>) -> Option<Value> {
    let known: serde_json::Map<String, Value> = members
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
    (!known.is_empty()).then_some(Value::Object(known))
}

/// A text for `metadata`.
fn detail(text: Option<&str>) -> Option<Value> {
    filled(text).map(Value::String)
}
