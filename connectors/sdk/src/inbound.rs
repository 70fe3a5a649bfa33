//! What a connector says has happened at its platform.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{AttachmentKind, DeliveryState, Direction};
use crate::time::Time;

/// One thing that happened, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// The account at the platform (a Page, a number) that it belongs to, where the platform delivers those of several
    /// accounts to one address. `None`: the channel whose address was called.
    pub account: Option<String>,
    /// What happened.
    pub event: Event,
}

impl Inbound {
    /// An event of the channel whose address was called.
    #[must_use]
    pub const fn here(event: Event) -> Self {
        Self {
            account: None,
            event,
        }
    }

    /// An event of the platform's account `account`.
    #[must_use]
    pub fn of(account: &str, event: Event) -> Self {
        Self {
            account: Some(account.to_owned()),
            event,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A message, from the customer or (an echo) from the shop.
    Message(Box<NewMessage>),
    /// An edit, reaction, deletion or delivery state of one message, which may not have come yet.
    Change {
        /// The platform's id of the message that changes.
        message: String,
        /// What changes.
        change: MessageChange,
    },
    /// Everything we sent in a thread up to a time was delivered or read.
    Receipt(Receipt),
    /// Something that happened in a thread and is no message: shown between the messages.
    Activity(Activity),
    /// Something that the operator has to know: a policy warning, a test delivery.
    Alert(Alert),
    /// Known and of no use to the desk. Dropping is a decision that tests can see.
    Ignored {
        /// Why, in one sentence.
        why: String,
    },
    /// A part that was signed but could not be understood. It is kept and shown to the operator.
    Undecodable {
        /// The part as it came.
        raw: String,
        /// What was wrong with it; holds no secret.
        why: String,
    },
}

/// A person at the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The platform's id of the person.
    pub id: String,
    /// The name, where the platform tells it.
    pub name: Option<String>,
    /// The e-mail address, where it is known and verified by the channel.
    pub email: Option<String>,
}

impl Person {
    /// A person of whom only the id is known.
    #[must_use]
    pub fn with_id(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: None,
            email: None,
        }
    }
}

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Author {
    /// The customer of the thread, or another person in it.
    Contact(Person),
    /// A person of the shop who answered outside the desk; the name where it is known.
    Staff {
        /// The name, or where it was typed.
        name: Option<String>,
    },
    /// A program that answered for the shop.
    Bot {
        /// The program's name or id.
        name: Option<String>,
    },
}

/// A message as the platform tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewMessage {
    /// The platform's id of the thread; for a talk of two, the customer's id.
    pub thread: String,
    /// The customer of the thread.
    pub customer: Person,
    /// The platform's id of the message. It tells duplicates: the same id in one channel is the same message.
    pub external_id: String,
    /// Whose message it is.
    pub direction: Direction,
    /// Who wrote it.
    pub author: Author,
    /// The text.
    pub text: Option<String>,
    /// What came with it.
    pub attachments: Vec<NewAttachment>,
    /// The platform's id of the message that this one quotes.
    pub reply_to: Option<String>,
    /// When the platform says it was written.
    pub sent_at: Time,
    /// The platform's own order between messages of the same `sent_at`; 0 where it has none.
    pub order: u64,
    /// What the platform adds (a postback's payload, an ad's referral): shown to developers, never trusted.
    pub metadata: BTreeMap<String, Value>,
    /// What we gave with our own send and the platform gives back, by which an echo finds its reply.
    pub send_token: Option<String>,
    /// The platform's id of the album that it is a part of, where the platform tells pictures that were sent together
    /// one by one. All parts of an album are one message at the desk, whose parts stand by `sent_at` and `order`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub album: Option<String>,
}

/// An attachment as the platform tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewAttachment {
    /// What it is.
    pub kind: AttachmentKind,
    /// File name, or the title of a place, link or card.
    pub name: Option<String>,
    /// The type that the platform claims.
    pub mime_type: Option<String>,
    /// Size in bytes that the platform claims.
    pub size: Option<u64>,
    /// Where its bytes are.
    pub source: Source,
    /// A place's latitude in degrees.
    pub latitude: Option<f64>,
    /// A place's longitude in degrees.
    pub longitude: Option<f64>,
    /// A public page that it points at; never fetched by the daemon.
    pub link: Option<String>,
    /// The platform's id of it, by which a second mention in the same message is known.
    pub external_id: Option<String>,
}

impl NewAttachment {
    /// An attachment of this kind with nothing else known.
    #[must_use]
    pub const fn of_kind(kind: AttachmentKind) -> Self {
        Self {
            kind,
            name: None,
            mime_type: None,
            size: None,
            source: Source::Nowhere,
            latitude: None,
            longitude: None,
            link: None,
            external_id: None,
        }
    }
}

/// Where the bytes of an attachment are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// At an address of the platform's, which may expire.
    Url(String),
    /// At the platform under this handle, which `send`'s counterpart turns into bytes.
    Handle(String),
    /// In the desk already, under this attachment id (`att_…`).
    Uploaded(String),
    /// There are none (a place, a link).
    Nowhere,
}

/// What changes on one message. Changes of one message may come in any order, twice, and before the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum MessageChange {
    /// The text was edited; the highest version stands.
    Edited {
        /// The whole new text.
        text: String,
        /// The platform's count of edits, or the time of the edit in milliseconds.
        version: u64,
        /// When.
        at: Time,
    },
    /// A person's reaction, one a person and message: the newest stands.
    Reacted {
        /// The thread, where the platform names it: to know whose reply window opens.
        thread: Option<String>,
        /// Who.
        by: Author,
        /// The emoji; `None` takes the reaction back.
        emoji: Option<String>,
        /// When.
        at: Time,
    },
    /// The author took it back.
    Deleted {
        /// When.
        at: Time,
    },
    /// How far one outbound message has come.
    Delivery {
        /// The state.
        state: DeliveryState,
        /// When.
        at: Time,
        /// The platform's code and sentence of a failure.
        error: Option<(String, String)>,
    },
}

/// A receipt by watermark: all we sent in `thread` at or before `watermark` has come this far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The platform's id of the thread.
    pub thread: String,
    /// `Delivered` or `Read`; anything else is ignored.
    pub state: DeliveryState,
    /// Up to which `sent_at`, inclusive.
    pub watermark: Time,
    /// When the platform says so.
    pub at: Time,
}

/// Something that happened in a thread between the messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// The platform's id of the thread.
    pub thread: String,
    /// The customer of the thread.
    pub customer: Person,
    /// Tells duplicates; synthesised from the event where the platform gives none.
    pub external_id: String,
    /// One sentence for the agent, in English.
    pub text: String,
    /// When.
    pub at: Time,
    /// Whether it is a deed of the customer's that opens the reply window.
    pub by_customer: bool,
    /// The platform's details.
    pub metadata: BTreeMap<String, Value>,
}

/// Something for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// A stable short name: `test_delivery`, `policy_warning` …
    pub code: String,
    /// One sentence that says what happened and what to do.
    pub text: String,
}
