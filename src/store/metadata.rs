//! What the desk itself writes into the details of messages, beside what platforms add.

use std::collections::BTreeMap;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::id::UserId;

/// The details of a message.
pub type Metadata = BTreeMap<String, Value>;

/// Somebody has seen that the message did not go out.
const DISMISSED: &str = "dismissed";
/// No person wrote it: an answer that the desk gave by itself, or what a connector knows to be one.
const AUTOMATIC: &str = "automatic";
/// Whom a note mentions.
const MENTIONS: &str = "mentions";
/// What an entry of kind `activity` tells.
const ACTIVITY: &str = "activity";

/// What has changed on a conversation: a field and its values before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActivityDetails {
    /// The field: `status`, `assignee`, `team`, `labels`, `priority`, `spam`, `subject`.
    pub what: String,
    /// Its value before.
    pub from: Option<Value>,
    /// Its value after.
    pub to: Option<Value>,
    /// Until when the conversation sleeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

impl ActivityDetails {
    /// That `what` went from one value to another.
    #[must_use]
    pub fn new(what: &str, from: &impl Serialize, to: &impl Serialize) -> Self {
        let value = |value: Result<Value, _>| value.ok().filter(|value| !value.is_null());
        Self {
            what: what.to_owned(),
            from: value(serde_json::to_value(from)),
            to: value(serde_json::to_value(to)),
            until: None,
        }
    }

    /// As the details of the entry.
    #[must_use]
    pub fn into_metadata(self) -> Metadata {
        BTreeMap::from([(
            ACTIVITY.to_owned(),
            serde_json::to_value(self).unwrap_or_default(),
        )])
    }
}

/// The details of a note that mentions these people.
#[must_use]
pub fn mentioning(users: &[UserId]) -> Metadata {
    if users.is_empty() {
        return BTreeMap::new();
    }
    BTreeMap::from([(MENTIONS.to_owned(), json!(users))])
}

/// Notes that somebody has seen that a message did not go out. Says whether that was news.
pub fn dismiss(metadata: &mut Metadata) -> bool {
    let before = metadata.insert(DISMISSED.to_owned(), Value::Bool(true));
    before != Some(Value::Bool(true))
}

/// Takes that back.
pub fn undismiss(metadata: &mut Metadata) {
    metadata.remove(DISMISSED);
}

/// Whether somebody has seen that a message did not go out.
#[must_use]
pub fn is_dismissed(metadata: &Metadata) -> bool {
    metadata.get(DISMISSED) == Some(&Value::Bool(true))
}

/// The details of an answer that the desk gives by itself.
#[must_use]
pub fn automatic() -> Metadata {
    BTreeMap::from([(AUTOMATIC.to_owned(), Value::Bool(true))])
}

/// Whether no person wrote it.
#[must_use]
pub fn is_automatic(metadata: &Metadata) -> bool {
    metadata.get(AUTOMATIC) == Some(&Value::Bool(true))
}
