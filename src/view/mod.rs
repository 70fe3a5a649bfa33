//! The desk as the API shows it: the JSON of the contract, the same in answers and on the stream.

mod bell;
pub mod devices;
mod shapes;

use std::collections::BTreeMap;

use deskbell_sdk::{AttachmentKind, Time};

use crate::channels::Channels;
use crate::id::{ContactId, MessageId};
use crate::store::change::{EventBody, LogEvent};
use crate::store::record::{
    AttachmentBytes, AttachmentRecord, AuthorRecord, ChannelNo, ContactRecord, ConversationRecord,
    MessageRecord, Revision as RevisionRecord,
};
use crate::store::{Read, Scope};

pub use bell::{Ring, RingAttempt};
pub use shapes::*;

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
    /// The slug of a channel.
    #[must_use]
    pub fn channel_id(&self, no: ChannelNo) -> String {
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
            html: if deleted {
                None
            } else {
                message.html.as_deref().map(crate::html::shown)
            },
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
            revisions: if deleted {
                Vec::new()
            } else {
                message.revisions.iter().map(revision).collect()
            },
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
            last_message: conversation.last_message.as_ref().map(last_message),
            waiting_since: conversation.waiting_since,
            reply_window: self.reply_window(conversation),
            created_at: conversation.created_at,
            last_activity_at: conversation.last_activity_at,
            spam: conversation.spam,
            blocked: conversation.blocked,
            // Conversations of an older Deskbell know only the last entry of any kind, until another is written.
            last_said: conversation
                .last_said
                .as_ref()
                .or(conversation.last_message.as_ref())
                .map(last_message),
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
            avatar_url: contact
                .avatar
                .as_ref()
                .map(|avatar| avatar_url(contact.id, &avatar.content)),
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
            blocked: contact.blocked,
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
            EventBody::BellRung { ring } => (
                "bell.rung",
                EventData::Ring {
                    ring: Box::new(self.ring(ring)),
                },
            ),
            EventBody::BellAcknowledged { ring } => (
                "bell.acknowledged",
                EventData::Ring {
                    ring: Box::new(self.ring(ring)),
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

fn last_message(last: &crate::store::record::LastMessage) -> LastMessage {
    LastMessage {
        id: last.place.id,
        preview: last.preview.clone(),
        direction: last.direction,
        at: last.place.sent_at,
    }
}

fn contact_summary(conversation: &ConversationRecord) -> ContactSummary {
    ContactSummary {
        id: conversation.contact,
        name: conversation.contact_name.clone(),
        avatar_url: conversation
            .contact_avatar
            .as_ref()
            .map(|content| avatar_url(conversation.contact, content)),
    }
}

/// Where the picture of a contact is served. The address changes with the picture, so that none is shown that is old.
fn avatar_url(contact: ContactId, content: &str) -> String {
    let version = content.get(..16).unwrap_or(content);
    format!("/api/v1/contacts/{contact}/avatar?v={version}")
}

/// An author; the customer of the conversation goes by the name that is known now.
fn revision(revision: &RevisionRecord) -> Revision {
    Revision {
        at: revision.at,
        text: revision.text.clone(),
    }
}

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
        detail: match &record.bytes {
            AttachmentBytes::Failed(why) => Some(why.clone()),
            _ => None,
        },
        link: record.link.clone(),
        latitude: record.latitude,
        longitude: record.longitude,
        title: titled.then(|| record.name.clone()).flatten(),
    }
}
