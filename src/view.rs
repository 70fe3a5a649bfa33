//! The desk as the API shows it: the JSON of the contract, the same in answers and on the stream.

use std::collections::BTreeMap;

use deskbell_sdk::{AttachmentKind, DeliveryState, Direction, Time};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::channels::Channels;
use crate::id::{AttachmentId, ContactId, ConversationId, MessageId, TeamId, UserId};
use crate::store::change::{EventBody, LogEvent};
use crate::store::record::{
    AttachmentBytes, AttachmentRecord, AuthorRecord, ChannelNo, ContactRecord, ConversationRecord,
    MessageKind, MessageRecord, Priority, Status,
};
use crate::store::{Read, Scope};

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
    /// The text with mark-up.
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
    /// Could not be fetched; it will be tried again.
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

/// Shows records. Cheap to make: one for each request.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The channels.
    pub channels: &'a Channels,
    /// Now, for reply windows.
    pub now: Time,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl View<'_> {
    fn channel_id(&self, no: ChannelNo) -> String {
        self.channels
            .known(no)
            .map_or_else(|| format!("channel-{}", no.0), |entry| entry.id.clone())
    }

    fn connector(&self, no: ChannelNo) -> String {
        self.channels
            .known(no)
            .map_or_else(String::new, |entry| entry.connector.clone())
    }

    /// A message of a conversation. `store` finds the message that it answers.
    #[must_use]
    pub fn message(
        &self,
        store: &dyn Read,
        message: &MessageRecord,
        conversation: &ConversationRecord,
    ) -> Message {
        let deleted = message.changes.deleted_at.is_some();
        let (reply_to, reply_to_external_id) = self.reply_to(store, message);
        let reactions = message.changes.reactions.iter().filter_map(|reaction| {
            let emoji = reaction.emoji.clone()?;
            Some(Reaction {
                emoji,
                author: author(&reaction.author, conversation),
                at: reaction.at,
            })
        });
        Message {
            id: message.id,
            conversation_id: message.conversation,
            channel_id: self.channel_id(message.channel),
            connector: self.connector(message.channel),
            direction: message.direction,
            kind: message.kind,
            author: author(&message.author, conversation),
            text: if deleted {
                None
            } else {
                message.standing_text().map(str::to_owned)
            },
            html: if deleted { None } else { message.html.clone() },
            attachments: if deleted {
                Vec::new()
            } else {
                message.attachments.iter().map(attachment).collect()
            },
            reply_to,
            reply_to_external_id,
            reactions: reactions.collect(),
            external_id: message.external_id.clone(),
            metadata: if deleted {
                BTreeMap::new()
            } else {
                message.metadata.clone()
            },
            sent_at: message.sent_at,
            received_at: message.received_at,
            edited_at: message.changes.edit.as_ref().map(|edit| edit.at),
            deleted_at: message.changes.deleted_at,
            delivery: message.changes.delivery.as_ref().map(|delivery| Delivery {
                state: delivery.state,
                at: delivery.at,
                error: delivery
                    .error
                    .clone()
                    .map(|(code, detail, retryable)| DeliveryError {
                        code,
                        detail,
                        retryable,
                    }),
            }),
        }
    }

    fn reply_to(
        &self,
        store: &dyn Read,
        message: &MessageRecord,
    ) -> (Option<MessageId>, Option<String>) {
        let Some(external_id) = &message.reply_to else {
            return (None, None);
        };
        let scope = Scope::of_channels([message.channel]);
        match store.message_by_external_id(&scope, message.channel, external_id) {
            Ok(Some(id)) => (Some(id), None),
            // A note has no id of the platform's and is quoted by its own.
            _ => match external_id.parse() {
                Ok(id) => (Some(id), None),
                Err(_) => (None, Some(external_id.clone())),
            },
        }
    }

    /// A conversation.
    #[must_use]
    pub fn conversation(&self, conversation: &ConversationRecord) -> Conversation {
        Conversation {
            id: conversation.id,
            channel_id: self.channel_id(conversation.channel),
            connector: self.connector(conversation.channel),
            contact: contact_summary(conversation),
            status: conversation.status,
            assignee_id: conversation.assignee,
            team_id: conversation.team,
            labels: conversation.labels.clone(),
            priority: conversation.priority,
            subject: conversation.subject.clone(),
            snoozed_until: conversation.snoozed_until,
            unread_count: conversation.unread_count,
            message_count: conversation.message_count,
            last_message: conversation.last_message.as_ref().map(|last| LastMessage {
                id: last.place.id,
                preview: last.preview.clone(),
                direction: last.direction,
                at: last.place.sent_at,
            }),
            waiting_since: conversation.waiting_since,
            reply_window: self.reply_window(conversation),
            created_at: conversation.created_at,
            last_activity_at: conversation.last_activity_at,
        }
    }

    fn reply_window(&self, conversation: &ConversationRecord) -> ReplyWindow {
        let limits = self
            .channels
            .get_no(conversation.channel)
            .map(|channel| channel.channel.limits());
        let Some(window_ms) = limits.and_then(|limits| limits.reply_window_ms) else {
            return ReplyWindow {
                state: WindowState::Open,
                closes_at: None,
            };
        };
        let closes_at = conversation
            .customer_acted_at
            .map(|at| at.plus_millis(window_ms));
        let open = closes_at.is_some_and(|closes_at| self.now < closes_at);
        ReplyWindow {
            state: if open {
                WindowState::Open
            } else {
                WindowState::Closed
            },
            closes_at,
        }
    }

    /// A message of the feed.
    #[must_use]
    pub fn feed_item(
        &self,
        store: &dyn Read,
        message: &MessageRecord,
        conversation: &ConversationRecord,
    ) -> FeedItem {
        FeedItem {
            message: self.message(store, message, conversation),
            conversation: self.conversation(conversation),
            contact: contact_summary(conversation),
        }
    }

    /// A contact, with the identities that the reader may see.
    #[must_use]
    pub fn contact(&self, scope: &Scope, contact: &ContactRecord) -> Contact {
        let visible = contact
            .identities
            .iter()
            .filter(|identity| scope.allows(identity.channel));
        Contact {
            id: contact.id,
            name: contact.name.clone(),
            avatar_url: None,
            email: contact.email.clone(),
            phone: contact.phone.clone(),
            remark: contact.remark.clone(),
            identities: visible
                .map(|identity| Identity {
                    channel_id: self.channel_id(identity.channel),
                    external_id: identity.external_id.clone(),
                })
                .collect(),
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        }
    }

    /// An event of the log as the stream and hooks show it, for a reader with this scope.
    #[must_use]
    pub fn event(&self, store: &dyn Read, scope: &Scope, event: &LogEvent) -> StreamEvent {
        let with_message =
            |message: &MessageRecord, conversation: &ConversationRecord| EventData::Message {
                message: Box::new(self.message(store, message, conversation)),
                conversation: Box::new(self.conversation(conversation)),
            };
        let (r#type, data) = match &event.body {
            EventBody::MessageCreated {
                message,
                conversation,
            } => ("message.created", with_message(message, conversation)),
            EventBody::MessageUpdated {
                message,
                conversation,
            } => ("message.updated", with_message(message, conversation)),
            EventBody::ConversationCreated { conversation } => (
                "conversation.created",
                EventData::Conversation {
                    conversation: Box::new(self.conversation(conversation)),
                },
            ),
            EventBody::ConversationUpdated { conversation } => (
                "conversation.updated",
                EventData::Conversation {
                    conversation: Box::new(self.conversation(conversation)),
                },
            ),
            EventBody::ContactCreated { contact } => (
                "contact.created",
                EventData::Contact {
                    contact: Box::new(self.contact(scope, contact)),
                },
            ),
            EventBody::ContactUpdated { contact } => (
                "contact.updated",
                EventData::Contact {
                    contact: Box::new(self.contact(scope, contact)),
                },
            ),
            EventBody::ContactDeleted { contact, .. } => (
                "contact.deleted",
                EventData::ContactGone {
                    contact: GoneContact { id: *contact },
                },
            ),
            EventBody::ChannelHealth {
                channel,
                healthy,
                detail,
            } => {
                let channel = ChannelNews {
                    id: self.channel_id(*channel),
                    healthy: *healthy,
                    detail: detail.clone(),
                };
                ("channel.health", EventData::Channel { channel })
            }
        };
        StreamEvent {
            seq: event.seq,
            r#type: r#type.to_owned(),
            at: event.at,
            data,
        }
    }
}

fn contact_summary(conversation: &ConversationRecord) -> ContactSummary {
    ContactSummary {
        id: conversation.contact,
        name: conversation.contact_name.clone(),
        avatar_url: None,
    }
}

/// An author; the customer of the conversation goes by the name that is known now.
fn author(author: &AuthorRecord, conversation: &ConversationRecord) -> Author {
    let (r#type, id, name) = match author {
        AuthorRecord::Contact(id, _) if *id == conversation.contact => (
            AuthorType::Contact,
            Some(id.to_string()),
            conversation.contact_name.clone(),
        ),
        AuthorRecord::Contact(id, name) => {
            (AuthorType::Contact, Some(id.to_string()), name.clone())
        }
        AuthorRecord::Staff(id, name) => {
            (AuthorType::Staff, id.map(|id| id.to_string()), name.clone())
        }
        AuthorRecord::Bot(name) => (AuthorType::Bot, None, name.clone()),
        AuthorRecord::System => (AuthorType::System, None, None),
    };
    Author { r#type, id, name }
}

fn attachment(record: &AttachmentRecord) -> Attachment {
    let state = match &record.bytes {
        AttachmentBytes::None | AttachmentBytes::Stored(_) => AttachmentState::Stored,
        AttachmentBytes::Remote(_) | AttachmentBytes::Handle(_) => AttachmentState::Pending,
        AttachmentBytes::Failed(_) => AttachmentState::Failed,
        AttachmentBytes::TooLarge => AttachmentState::TooLarge,
        AttachmentBytes::Expired => AttachmentState::Expired,
    };
    let stored = matches!(record.bytes, AttachmentBytes::Stored(_));
    let titled = matches!(
        record.kind,
        AttachmentKind::Location
            | AttachmentKind::Link
            | AttachmentKind::Story
            | AttachmentKind::Template
    );
    Attachment {
        id: record.id,
        kind: record.kind,
        name: record.name.clone(),
        mime_type: record.mime_type.clone(),
        size: record.size,
        url: stored.then(|| format!("/api/v1/attachments/{}", record.id)),
        state,
        link: record.link.clone(),
        latitude: record.latitude,
        longitude: record.longitude,
        title: titled.then(|| record.name.clone()).flatten(),
    }
}
