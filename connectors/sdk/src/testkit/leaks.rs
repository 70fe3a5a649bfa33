//! Secrets that show, and results that no store or screen should get.

use serde_json::Value;

use crate::inbound::{Activity, Author, Event, Inbound, MessageChange, NewMessage, Person};
use crate::secret::Secret;
use crate::text::{clean_name, clean_text};

/// Looks for a channel's secrets in whatever comes out of it.
pub(crate) struct LeakCheck {
    secrets: Vec<Secret>,
}

impl LeakCheck {
    pub(crate) fn of<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Self {
        Self {
            secrets: secrets.cloned().collect(),
        }
    }

    /// Whether `text` shows a secret.
    pub(crate) fn shows_in(&self, text: &str) -> bool {
        self.secrets
            .iter()
            .any(|secret| text.contains(secret.expose()))
    }
}

/// What is wrong with events that a connector gave: an id that no store takes, text that was not cleaned, a message
/// that shows nothing.
pub(crate) fn improper(events: &[Inbound]) -> Option<String> {
    events.iter().find_map(|inbound| {
        if let Some(account) = &inbound.account
            && let Some(problem) = improper_id("account", account)
        {
            return Some(problem);
        }
        match &inbound.event {
            Event::Message(message) => improper_message(message),
            Event::Change { message, change } => {
                improper_id("change.message", message).or_else(|| match change {
                    MessageChange::Edited { text, .. } => improper_text("change.text", text),
                    MessageChange::Reacted {
                        thread, by, emoji, ..
                    } => thread
                        .as_deref()
                        .and_then(|thread| improper_id("change.thread", thread))
                        .or_else(|| improper_author(by))
                        .or_else(|| {
                            emoji
                                .as_deref()
                                .and_then(|emoji| improper_name("change.emoji", emoji))
                        }),
                    MessageChange::Deleted { .. } | MessageChange::Delivery { .. } => None,
                })
            }
            Event::Receipt(receipt) => improper_id("receipt.thread", &receipt.thread),
            Event::Activity(activity) => improper_activity(activity),
            Event::Alert(alert) => improper_text("alert.text", &alert.text)
                .or_else(|| improper_id("alert.code", &alert.code)),
            Event::Ignored { why } | Event::Undecodable { why, .. } => {
                if why.is_empty() {
                    return Some("why is empty".to_owned());
                }
                improper_text("why", why)
            }
        }
    })
}

fn improper_message(message: &NewMessage) -> Option<String> {
    if message
        .text
        .as_deref()
        .is_none_or(|text| text.trim().is_empty())
        && message.attachments.is_empty()
    {
        return Some(
            "a message has neither text nor attachments, so that nobody sees it".to_owned(),
        );
    }
    improper_id("thread", &message.thread)
        .or_else(|| improper_id("external_id", &message.external_id))
        .or_else(|| improper_person(&message.customer))
        .or_else(|| improper_author(&message.author))
        .or_else(|| {
            message
                .text
                .as_deref()
                .and_then(|text| improper_text("text", text))
        })
        .or_else(|| {
            message
                .reply_to
                .as_deref()
                .and_then(|id| improper_id("reply_to", id))
        })
        .or_else(|| {
            message.attachments.iter().find_map(|attachment| {
                let name = attachment
                    .name
                    .as_deref()
                    .and_then(|name| improper_name("attachment.name", name));
                name.or_else(|| {
                    attachment
                        .external_id
                        .as_deref()
                        .and_then(|id| improper_id("attachment.external_id", id))
                })
            })
        })
        .or_else(|| improper_metadata(message.metadata.values()))
}

fn improper_activity(activity: &Activity) -> Option<String> {
    improper_id("thread", &activity.thread)
        .or_else(|| improper_id("external_id", &activity.external_id))
        .or_else(|| improper_person(&activity.customer))
        .or_else(|| improper_text("activity.text", &activity.text))
        .or_else(|| improper_metadata(activity.metadata.values()))
}

fn improper_person(person: &Person) -> Option<String> {
    improper_id("person.id", &person.id).or_else(|| {
        person
            .name
            .as_deref()
            .and_then(|name| improper_name("person.name", name))
    })
}

fn improper_author(author: &Author) -> Option<String> {
    match author {
        Author::Contact(person) => improper_person(person),
        Author::Staff { name } | Author::Bot { name } => name
            .as_deref()
            .and_then(|name| improper_name("author.name", name)),
    }
}

fn improper_id(what: &str, id: &str) -> Option<String> {
    let proper = !id.is_empty()
        && id.len() <= crate::ExternalId::MAX_BYTES
        && !id.chars().any(char::is_control);
    (!proper).then(|| {
        format!(
            "{what} is empty, over {} bytes or has control characters",
            crate::ExternalId::MAX_BYTES
        )
    })
}

fn improper_text(what: &str, text: &str) -> Option<String> {
    (clean_text(text) != text).then(|| format!("{what} did not go through clean_text"))
}

fn improper_name(what: &str, name: &str) -> Option<String> {
    (clean_name(name).as_deref() != Some(name))
        .then(|| format!("{what} did not go through clean_name"))
}

/// Databases refuse U+0000 also inside of JSON (W13).
fn improper_metadata<'a>(values: impl Iterator<Item = &'a Value>) -> Option<String> {
    let mut left: Vec<&Value> = values.collect();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) if text.contains('\0') => {
                return Some("metadata holds U+0000".to_owned());
            }
            Value::Array(items) => left.extend(items),
            Value::Object(members) => left.extend(members.values()),
            _ => {}
        }
    }
    None
}
