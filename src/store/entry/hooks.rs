//! The entries of outgoing hooks: the hooks themselves, and what they were or are to be told.

use std::collections::BTreeSet;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::{Entry, SealedValue};
use crate::id::{ContactId, ConversationId, DeliveryId, HookId, MessageId, RingId};
use crate::store::change::Table;

/// What speaks at the other end of a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookKind {
    /// A program that takes events by the Standard Webhooks specification.
    #[default]
    Webhook,
    /// A topic of an ntfy server: readable words.
    Ntfy,
    /// An incoming webhook of Slack: readable words.
    Slack,
    /// An application of a Gotify server: readable words.
    Gotify,
    /// A user or a group of Pushover: readable words.
    Pushover,
    /// A webhook of a Discord channel: readable words.
    Discord,
    /// A workflow of Microsoft Teams: readable words.
    Teams,
    /// A program on this machine, from the configuration only.
    Command,
}

impl HookKind {
    /// Whether people read what it is told.
    #[must_use]
    pub const fn is_for_people(self) -> bool {
        !matches!(self, Self::Webhook | Self::Command)
    }
}

/// An outgoing hook. Key: its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookEntry {
    /// Its id.
    pub id: HookId,
    /// What speaks at the other end.
    pub kind: HookKind,
    /// Where it is told; of a command its program.
    pub url: String,
    /// The types of the events that it wants.
    pub events: BTreeSet<String>,
    /// The slugs of the channels of which it hears; `None`: all.
    pub channels: Option<BTreeSet<String>>,
    /// Whether it hears a ring only once that has climbed to the step of escalation.
    pub escalation: bool,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why it was switched off, where Deskbell did it.
    pub disabled_reason: Option<String>,
    /// What its deliveries are signed with.
    pub secret: Option<SealedValue>,
    /// What they were signed with before, and until when they are signed with that as well.
    pub former_secret: Option<(SealedValue, Time)>,
    /// What opens the server at the other end (ntfy, Gotify, Pushover).
    pub access_token: Option<SealedValue>,
    /// When it was made.
    pub created_at: Time,
    /// It hears events behind this number.
    pub from_seq: u64,
    /// Events that it is to be told again: those behind the first number, up to the second.
    pub replay: Option<(u64, u64)>,
    /// Since when nothing has been taken there; `None` where the last delivery was.
    pub failing_since: Option<Time>,
    /// Counts changes by people, so that two at once do not undo one another unseen.
    pub version: u64,
    /// Of a command its id in the configuration.
    #[serde(default)]
    pub command: Option<String>,
}

impl Entry for HookEntry {
    const TABLE: Table = Table::Hooks;
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookDeliveryState {
    /// It waits for its first attempt or its next.
    Waiting,
    /// It was taken.
    Delivered,
    /// It was given up after the last attempt.
    Dead,
}

/// What a hook was or is to be told. Key: [`HookDeliveryEntry::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookDeliveryEntry {
    /// Its id.
    pub id: DeliveryId,
    /// The hook.
    pub hook: HookId,
    /// The number of the event; `None` for a test.
    pub seq: Option<u64>,
    /// The event's type.
    pub event: String,
    /// When the event happened.
    pub event_at: Time,
    /// The deliveries of a hook with the same number go one after the other: the conversation's id, else the contact's, else
    /// the channel's number.
    pub lane: u64,
    /// The conversation that it tells of.
    pub conversation: Option<ConversationId>,
    /// The contact that it tells of.
    pub contact: Option<ContactId>,
    /// The ring that it tells of.
    pub ring: Option<RingId>,
    /// How many hooks and calls of the API led to the event, one after the other.
    pub hops: u8,
    /// The body, as it is sent.
    pub body: String,
    /// When it was decided.
    pub created_at: Time,
    /// How it stands.
    pub state: HookDeliveryState,
    /// When the next attempt is due.
    pub due_at: Option<Time>,
    /// How often it was tried since it was decided, or since it was last asked for again.
    pub tries: u32,
    /// The latest attempts, oldest first.
    pub attempts: Vec<HookAttempt>,
    /// The message that it tells of.
    #[serde(default)]
    pub message: Option<MessageId>,
}

impl Entry for HookDeliveryEntry {
    const TABLE: Table = Table::HookDeliveries;
}

impl HookDeliveryEntry {
    /// The key: by hook, newer ones first.
    #[must_use]
    pub fn key(hook: HookId, id: DeliveryId) -> Vec<u8> {
        [hook.key(), (!id.0).to_be_bytes()].concat()
    }

    /// The hook and the delivery of a key.
    #[must_use]
    pub fn of_key(key: &[u8]) -> Option<(HookId, DeliveryId)> {
        let (hook, id) = key.split_at_checked(8)?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        Some((HookId(number(hook)?), DeliveryId(!number(id)?)))
    }

    /// The id under which the other end knows it: the same for each attempt, and for the same event told again.
    #[must_use]
    pub fn webhook_id(&self) -> String {
        match self.seq {
            Some(seq) => format!("{}_{seq}", self.hook),
            None => self.id.to_string(),
        }
    }
}

/// An attempt to tell a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookAttempt {
    /// When it began.
    pub at: Time,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The status of the answer; of a command its exit code.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub answer: Option<String>,
}

/// A delivery that waits. Key: that of its [`HookDeliveryEntry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHookDelivery {
    /// When it is due.
    pub due_at: Time,
    /// What it stands in line with.
    pub lane: u64,
    /// The number of the event.
    pub seq: Option<u64>,
}

impl Entry for OpenHookDelivery {
    const TABLE: Table = Table::OpenHookDeliveries;
}

/// Up to which event hooks have heard. Key: [`HookCursor::KEY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCursor {
    /// The number of the last event that was looked at.
    pub seq: u64,
}

impl HookCursor {
    /// The one key.
    pub const KEY: &'static [u8] = b"cursor";
}

impl Entry for HookCursor {
    const TABLE: Table = Table::HookCursors;
}
