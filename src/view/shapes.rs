//! The JSON of the contract.

use std::collections::BTreeMap;

use deskbell_sdk::{AttachmentKind, DeliveryState, Direction, Time};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::id::{AttachmentId, ContactId, ConversationId, MessageId, TeamId, UserId};
use crate::store::record::{MessageKind, Priority, Status};

/// A message.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Message {
    /// `msg_…`
    #[schema(value_type = String, example = "msg_1K5N3F8Q2R7AB")]
    pub id: MessageId,
    /// `cnv_…`
    #[schema(value_type = String)]
    pub conversation_id: ConversationId,
    /// The channel's slug.
    pub channel_id: String,
    /// The channel's connector.
    pub connector: String,
    /// Whose it is.
    pub direction: Direction,
    /// What it is.
    pub kind: MessageKind,
    /// Who wrote it.
    pub author: Author,
    /// The text; `null` where there is none, or where it was taken back.
    pub text: Option<String>,
    /// The text with mark-up, made safe to show as a part of a page: only what formats text is left of what was sent. Links
    /// lead to `http`, `https`, `mailto` or `tel` and open beside the desk; pictures have `data-src` in place of `src`, so
    /// that nothing is loaded before somebody asks for it. What is larger than 512 kB or nests without end is here as its
    /// plain text.
    pub html: Option<String>,
    /// What came with it.
    pub attachments: Vec<Attachment>,
    /// The message it answers, where that is here.
    #[schema(value_type = Option<String>)]
    pub reply_to: Option<MessageId>,
    /// The platform's id of the message it answers, where that is not here.
    pub reply_to_external_id: Option<String>,
    /// Reactions that stand.
    pub reactions: Vec<Reaction>,
    /// The platform's id.
    pub external_id: Option<String>,
    /// What the platform added.
    #[schema(value_type = Object)]
    pub metadata: BTreeMap<String, Value>,
    /// The platform's time.
    #[schema(value_type = String, format = DateTime)]
    pub sent_at: Time,
    /// When it reached the daemon.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Time,
    /// When it was last edited.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub edited_at: Option<Time>,
    /// When it was taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deleted_at: Option<Time>,
    /// How far it has come; `null` for an inbound one.
    pub delivery: Option<Delivery>,
    /// Other texts that came under the same id of the platform's, in the order of arrival: an edit that the platform does
    /// not call one, or a forgery. `text` is the first.
    pub revisions: Vec<Revision>,
}

/// What a message said when it came another time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Revision {
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// What it said.
    pub text: String,
}

/// A message of the feed, with where it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeedItem {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// Its conversation.
    pub conversation: Conversation,
    /// The customer.
    pub contact: ContactSummary,
}

/// What an author is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthorType {
    /// A customer.
    Contact,
    /// A person of the shop.
    Staff,
    /// A program.
    Bot,
    /// The desk itself.
    System,
}

/// Who wrote.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Author {
    /// What they are.
    pub r#type: AuthorType,
    /// `cus_…` or `usr_…`, where the desk knows them.
    pub id: Option<String>,
    /// The name.
    pub name: Option<String>,
}

/// Whether an attachment's bytes are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentState {
    /// Not yet.
    Pending,
    /// Yes, or there are none to fetch.
    Stored,
    /// Could not be fetched: `detail` says why. Mostly it is tried again; not where a virus was found in it.
    Failed,
    /// Larger than the desk keeps.
    TooLarge,
    /// No longer at the platform.
    Expired,
}

/// An attachment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Attachment {
    /// `att_…`
    #[schema(value_type = String)]
    pub id: AttachmentId,
    /// What it is.
    pub kind: AttachmentKind,
    /// File name or title.
    pub name: Option<String>,
    /// Its type.
    pub mime_type: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Where the API serves its bytes, once they are here.
    pub url: Option<String>,
    /// Whether they are.
    pub state: AttachmentState,
    /// Why they are not, where they `failed` to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// A public page it points at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// A place's latitude in degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// A place's longitude in degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// A place's or a page's title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// A reaction.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reaction {
    /// Which.
    pub emoji: String,
    /// Whose.
    pub author: Author,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

/// How far an outbound message has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// The state.
    pub state: DeliveryState,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Why it failed.
    pub error: Option<DeliveryError>,
}

/// Why a message was not delivered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeliveryError {
    /// The platform's code.
    pub code: String,
    /// A sentence for the agent.
    pub detail: String,
    /// Whether trying again makes sense.
    pub retryable: bool,
}

/// A contact, as it stands in a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ContactSummary {
    /// `cus_…`
    #[schema(value_type = String)]
    pub id: ContactId,
    /// The name.
    pub name: Option<String>,
    /// Where the API serves the picture.
    pub avatar_url: Option<String>,
}

/// A conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Conversation {
    /// `cnv_…`
    #[schema(value_type = String)]
    pub id: ConversationId,
    /// The channel's slug.
    pub channel_id: String,
    /// The channel's connector.
    pub connector: String,
    /// The customer.
    pub contact: ContactSummary,
    /// How it stands.
    pub status: Status,
    /// Who has it.
    #[schema(value_type = Option<String>)]
    pub assignee_id: Option<UserId>,
    /// Which team has it.
    #[schema(value_type = Option<String>)]
    pub team_id: Option<TeamId>,
    /// Its labels.
    pub labels: Vec<String>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// What it is about.
    pub subject: Option<String>,
    /// Until when it sleeps.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub snoozed_until: Option<Time>,
    /// Messages of the customer's that nobody has read.
    pub unread_count: u32,
    /// Messages, without notes and activity.
    pub message_count: u32,
    /// The newest entry.
    pub last_message: Option<LastMessage>,
    /// Arrival of the oldest unanswered message.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub waiting_since: Option<Time>,
    /// Until when the platform lets us answer.
    pub reply_window: ReplyWindow,
    /// When it began here.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Arrival of the last event that a person caused.
    #[schema(value_type = String, format = DateTime)]
    pub last_activity_at: Time,
    /// Whether it was called spam: it is left out of the inbox, and nobody waits in it.
    pub spam: bool,
    /// Whether its customer is blocked: what they write is kept and shown, and nobody waits.
    pub blocked: bool,
    /// What was said last: the newest message or note, whatever has happened to the conversation since.
    pub last_said: Option<LastMessage>,
}

/// The newest entry of a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastMessage {
    /// `msg_…`
    #[schema(value_type = String)]
    pub id: MessageId,
    /// Its first words.
    pub preview: String,
    /// Whose it is.
    pub direction: Direction,
    /// The platform's time.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

/// Whether the platform lets us answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowState {
    /// Yes.
    Open,
    /// No longer.
    Closed,
}

/// Until when the platform lets us answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReplyWindow {
    /// Whether it does now.
    pub state: WindowState,
    /// Until when; `null`: without an end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closes_at: Option<Time>,
}

/// A contact.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Contact {
    /// `cus_…`
    #[schema(value_type = String)]
    pub id: ContactId,
    /// The name.
    pub name: Option<String>,
    /// Where the API serves the picture.
    pub avatar_url: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The telephone number.
    pub phone: Option<String>,
    /// A remark of the shop's.
    pub remark: Option<String>,
    /// Who they are in each channel that the reader may see.
    pub identities: Vec<Identity>,
    /// When they were first seen.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// When this last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
    /// Whether what they write makes nobody look.
    pub blocked: bool,
}

/// Who a contact is in a channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Identity {
    /// The channel's slug.
    pub channel_id: String,
    /// The platform's id.
    pub external_id: String,
}

/// An event of the stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StreamEvent {
    /// Its number in the log.
    pub seq: u64,
    /// What happened: `message.created` …
    #[schema(example = "message.created")]
    pub r#type: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// What it is about, as it was after the event.
    pub data: EventData,
}

/// What an event is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EventData {
    /// `message.created`, `message.updated`
    Message {
        /// The message.
        message: Box<Message>,
        /// Its conversation.
        conversation: Box<Conversation>,
    },
    /// `conversation.created`, `conversation.updated`
    Conversation {
        /// The conversation.
        conversation: Box<Conversation>,
    },
    /// `contact.created`, `contact.updated`
    Contact {
        /// The contact.
        contact: Box<Contact>,
    },
    /// `contact.deleted`
    ContactGone {
        /// Which.
        contact: GoneContact,
    },
    /// `channel.health`
    Channel {
        /// Which, and how it does.
        channel: ChannelNews,
    },
}

/// A contact that is no more.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GoneContact {
    /// `cus_…`
    #[schema(value_type = String)]
    pub id: ContactId,
}

/// How a channel does.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChannelNews {
    /// Its slug.
    pub id: String,
    /// Whether it works.
    pub healthy: bool,
    /// What is wrong and what to do.
    pub detail: String,
}
