//! From records to lines and back. The channel is a number in records and a slug in lines.

use super::lines::{
    AlbumLine, AlbumPartLine, AttachmentLine, AuthorLine, AvatarLine, BytesLine, ChannelLine,
    ContactLine, ConversationLine, DeliveryErrorLine, DeliveryLine, EditLine, IdentityLine,
    LastLine, MergedLine, MessageLine, PlaceLine, ReactionLine, RevisionLine,
};
use crate::id::{ContactId, MessageId};
use crate::store::entry::{ChannelEntry, MergedContact};
use crate::store::record::{
    Album, AlbumPart, AttachmentBytes, AttachmentRecord, AuthorRecord, AvatarRecord, ChannelNo,
    ContactRecord, ConversationRecord, DeliveryRecord, Edit, Identity, LastMessage, MessageChanges,
    MessageRecord, Place, ReactionRecord, Revision,
};

impl ChannelLine {
    /// A channel.
    #[must_use]
    pub fn of(entry: &ChannelEntry) -> Self {
        Self {
            id: entry.id.clone(),
            connector: entry.connector.clone(),
            name: entry.name.clone(),
            created_at: entry.created_at,
        }
    }
}

impl MergedLine {
    /// A contact that was merged into another.
    #[must_use]
    pub const fn of(id: ContactId, entry: &MergedContact) -> Self {
        Self {
            id,
            into: entry.into,
            at: entry.at,
        }
    }
}

impl ContactLine {
    /// A contact; `slug` names a channel.
    pub fn of(contact: &ContactRecord, slug: impl Fn(ChannelNo) -> String) -> Self {
        Self {
            id: contact.id,
            version: contact.version,
            name: contact.name.clone(),
            named_at: contact.named_at,
            email: contact.email.clone(),
            phone: contact.phone.clone(),
            remark: contact.remark.clone(),
            identities: contact
                .identities
                .iter()
                .map(|identity| IdentityLine {
                    channel: slug(identity.channel),
                    external_id: identity.external_id.clone(),
                })
                .collect(),
            created_at: contact.created_at,
            updated_at: contact.updated_at,
            avatar: contact.avatar.as_ref().map(|avatar| AvatarLine {
                sha256: avatar.content.clone(),
                mime_type: avatar.mime_type.clone(),
            }),
            blocked: contact.blocked,
        }
    }

    /// The record. `number` knows the channels; one that it does not know is the error.
    pub fn into_record(
        self,
        number: impl Fn(&str) -> Option<ChannelNo>,
    ) -> Result<ContactRecord, String> {
        let identities = self.identities.into_iter().map(|identity| {
            let channel = number(&identity.channel).ok_or(identity.channel)?;
            Ok(Identity {
                channel,
                external_id: identity.external_id,
            })
        });
        Ok(ContactRecord {
            id: self.id,
            version: self.version,
            name: self.name,
            named_at: self.named_at,
            email: self.email,
            phone: self.phone,
            remark: self.remark,
            avatar: self.avatar.map(|avatar| AvatarRecord {
                content: avatar.sha256,
                mime_type: avatar.mime_type,
            }),
            identities: identities.collect::<Result<_, String>>()?,
            created_at: self.created_at,
            updated_at: self.updated_at,
            blocked: self.blocked,
        })
    }
}

impl From<Place> for PlaceLine {
    fn from(place: Place) -> Self {
        Self {
            sent_at: place.sent_at,
            order: place.order,
            id: place.id,
        }
    }
}

impl From<PlaceLine> for Place {
    fn from(place: PlaceLine) -> Self {
        Self {
            sent_at: place.sent_at,
            order: place.order,
            id: place.id,
        }
    }
}

impl ConversationLine {
    /// A conversation of the channel `slug`.
    #[must_use]
    pub fn of(conversation: &ConversationRecord, slug: String) -> Self {
        Self {
            id: conversation.id,
            version: conversation.version,
            channel: slug,
            thread: conversation.thread.clone(),
            contact_id: conversation.contact,
            contact_name: conversation.contact_name.clone(),
            status: conversation.status,
            assignee_id: conversation.assignee,
            team_id: conversation.team,
            labels: conversation.labels.clone(),
            priority: conversation.priority,
            subject: conversation.subject.clone(),
            snoozed_until: conversation.snoozed_until,
            unread_count: conversation.unread_count,
            message_count: conversation.message_count,
            last_message: conversation.last_message.as_ref().map(|last| LastLine {
                place: last.place.into(),
                preview: last.preview.clone(),
                direction: last.direction,
            }),
            waiting_since: conversation.waiting_since,
            answered_up_to: (conversation.answered_up_to != Place::FIRST)
                .then(|| conversation.answered_up_to.into()),
            customer_acted_at: conversation.customer_acted_at,
            delivered_up_to: conversation.delivered_up_to,
            read_up_to: conversation.read_up_to,
            staff_read_up_to: (conversation.staff_read_up_to != MessageId(0))
                .then_some(conversation.staff_read_up_to),
            created_at: conversation.created_at,
            last_activity_at: conversation.last_activity_at,
            spam: conversation.spam,
            mentioned_ids: conversation.mentioned.clone(),
        }
    }

    /// The record, in the channel with this number.
    #[must_use]
    pub fn into_record(self, channel: ChannelNo) -> ConversationRecord {
        ConversationRecord {
            id: self.id,
            version: self.version,
            channel,
            thread: self.thread,
            contact: self.contact_id,
            contact_name: self.contact_name,
            // These are the contact's, and follow from that.
            contact_avatar: None,
            blocked: false,
            spam: self.spam,
            mentioned: self.mentioned_ids,
            // Found anew by an import.
            last_said: None,
            status: self.status,
            assignee: self.assignee_id,
            team: self.team_id,
            labels: self.labels,
            priority: self.priority,
            subject: self.subject,
            snoozed_until: self.snoozed_until,
            unread_count: self.unread_count,
            message_count: self.message_count,
            last_message: self.last_message.map(|last| LastMessage {
                place: last.place.into(),
                preview: last.preview,
                direction: last.direction,
            }),
            waiting_since: self.waiting_since,
            answered_up_to: self.answered_up_to.map_or(Place::FIRST, Place::from),
            customer_acted_at: self.customer_acted_at,
            delivered_up_to: self.delivered_up_to,
            read_up_to: self.read_up_to,
            staff_read_up_to: self.staff_read_up_to.unwrap_or(MessageId(0)),
            created_at: self.created_at,
            last_activity_at: self.last_activity_at,
        }
    }
}

impl MessageLine {
    /// An entry of the channel `slug`.
    #[must_use]
    pub fn of(message: &MessageRecord, slug: String) -> Self {
        let changes = &message.changes;
        Self {
            id: message.id,
            version: message.version,
            channel: slug,
            conversation_id: message.conversation,
            direction: message.direction,
            kind: message.kind,
            author: AuthorLine::of(&message.author),
            external_id: message.external_id.clone(),
            part_ids: message.part_ids.clone(),
            text: message.text.clone(),
            html: message.html.clone(),
            attachments: message.attachments.iter().map(AttachmentLine::of).collect(),
            reply_to: message.reply_to.clone(),
            sent_at: message.sent_at,
            order: message.order,
            received_at: message.received_at,
            metadata: message.metadata.clone(),
            edit: changes.edit.as_ref().map(EditLine::of),
            reactions: changes.reactions.iter().map(ReactionLine::of).collect(),
            deleted_at: changes.deleted_at,
            delivery: changes.delivery.as_ref().map(DeliveryLine::of),
            album: message.album.as_deref().map(AlbumLine::of),
            revisions: message.revisions.iter().map(RevisionLine::of).collect(),
        }
    }

    /// The record, in the channel with this number.
    #[must_use]
    pub fn into_record(self, channel: ChannelNo) -> MessageRecord {
        let attachments = self.attachments.into_iter();
        let reactions = self.reactions.into_iter();
        MessageRecord {
            id: self.id,
            version: self.version,
            channel,
            conversation: self.conversation_id,
            direction: self.direction,
            kind: self.kind,
            author: self.author.into_record(),
            external_id: self.external_id,
            text: self.text,
            html: self.html,
            attachments: attachments.map(AttachmentLine::into_record).collect(),
            reply_to: self.reply_to,
            sent_at: self.sent_at,
            order: self.order,
            received_at: self.received_at,
            metadata: self.metadata,
            changes: MessageChanges {
                edit: self.edit.map(EditLine::into_record),
                reactions: reactions.map(ReactionLine::into_record).collect(),
                deleted_at: self.deleted_at,
                delivery: self.delivery.map(DeliveryLine::into_record),
            },
            part_ids: self.part_ids,
            album: self.album.map(|album| Box::new(album.into_record())),
            revisions: self
                .revisions
                .into_iter()
                .map(RevisionLine::into_record)
                .collect(),
        }
    }

    /// Takes out what its author took back: that it was here, when and by whom stays.
    pub fn forget_what_was_taken_back(&mut self) {
        for part in self.album.iter_mut().flat_map(|album| &mut album.parts) {
            if part.deleted_at.is_some() {
                part.text = None;
                part.attachment_ids.clear();
                if let Some(edit) = &mut part.edit {
                    edit.text.clear();
                }
            }
            if self.deleted_at.is_some() {
                part.metadata.clear();
            }
        }
        if self.deleted_at.is_none() {
            return;
        }
        self.text = None;
        self.html = None;
        self.attachments.clear();
        self.metadata.clear();
        self.revisions.clear();
        if let Some(edit) = &mut self.edit {
            edit.text.clear();
        }
    }
}

impl RevisionLine {
    fn of(revision: &Revision) -> Self {
        Self {
            at: revision.at,
            text: revision.text.clone(),
        }
    }

    fn into_record(self) -> Revision {
        Revision {
            at: self.at,
            text: self.text,
        }
    }
}

impl EditLine {
    fn of(edit: &Edit) -> Self {
        Self {
            version: edit.version,
            at: edit.at,
            text: edit.text.clone(),
        }
    }

    fn into_record(self) -> Edit {
        Edit {
            version: self.version,
            at: self.at,
            text: self.text,
        }
    }
}

impl AlbumLine {
    fn of(album: &Album) -> Self {
        let parts = album.parts.iter().map(|part| AlbumPartLine {
            external_id: part.external_id.clone(),
            sent_at: part.sent_at,
            order: part.order,
            text: part.text.clone(),
            reply_to: part.reply_to.clone(),
            metadata: part.metadata.clone(),
            attachment_ids: part.attachments.clone(),
            edit: part.changes.edit.as_ref().map(EditLine::of),
            deleted_at: part.changes.deleted_at,
        });
        Self {
            key: album.key.clone(),
            parts: parts.collect(),
        }
    }

    fn into_record(self) -> Album {
        let parts = self.parts.into_iter().map(|part| AlbumPart {
            external_id: part.external_id,
            sent_at: part.sent_at,
            order: part.order,
            text: part.text,
            reply_to: part.reply_to,
            metadata: part.metadata,
            attachments: part.attachment_ids,
            changes: MessageChanges {
                edit: part.edit.map(EditLine::into_record),
                deleted_at: part.deleted_at,
                ..MessageChanges::default()
            },
        });
        Album {
            key: self.key,
            parts: parts.collect(),
        }
    }
}

impl AuthorLine {
    fn of(author: &AuthorRecord) -> Self {
        match author.clone() {
            AuthorRecord::Contact(id, name) => Self::Contact { id, name },
            AuthorRecord::Staff(id, name) => Self::Staff { id, name },
            AuthorRecord::Bot(name) => Self::Bot { name },
            AuthorRecord::System => Self::System,
        }
    }

    fn into_record(self) -> AuthorRecord {
        match self {
            Self::Contact { id, name } => AuthorRecord::Contact(id, name),
            Self::Staff { id, name } => AuthorRecord::Staff(id, name),
            Self::Bot { name } => AuthorRecord::Bot(name),
            Self::System => AuthorRecord::System,
        }
    }
}

impl AttachmentLine {
    fn of(attachment: &AttachmentRecord) -> Self {
        Self {
            id: attachment.id,
            kind: attachment.kind,
            name: attachment.name.clone(),
            mime_type: attachment.mime_type.clone(),
            size: attachment.size,
            bytes: match attachment.bytes.clone() {
                AttachmentBytes::None => BytesLine::None,
                AttachmentBytes::Remote(url) => BytesLine::Remote { url },
                AttachmentBytes::Handle(handle) => BytesLine::Handle { handle },
                AttachmentBytes::Stored(sha256) => BytesLine::Stored { sha256 },
                AttachmentBytes::Failed(reason) => BytesLine::Failed { reason },
                AttachmentBytes::TooLarge => BytesLine::TooLarge,
                AttachmentBytes::Expired => BytesLine::Expired,
            },
            latitude: attachment.latitude,
            longitude: attachment.longitude,
            link: attachment.link.clone(),
            external_id: attachment.external_id.clone(),
        }
    }

    fn into_record(self) -> AttachmentRecord {
        AttachmentRecord {
            id: self.id,
            kind: self.kind,
            name: self.name,
            mime_type: self.mime_type,
            size: self.size,
            bytes: match self.bytes {
                BytesLine::None => AttachmentBytes::None,
                BytesLine::Remote { url } => AttachmentBytes::Remote(url),
                BytesLine::Handle { handle } => AttachmentBytes::Handle(handle),
                BytesLine::Stored { sha256 } => AttachmentBytes::Stored(sha256),
                BytesLine::Failed { reason } => AttachmentBytes::Failed(reason),
                BytesLine::TooLarge => AttachmentBytes::TooLarge,
                BytesLine::Expired => AttachmentBytes::Expired,
            },
            latitude: self.latitude,
            longitude: self.longitude,
            link: self.link,
            external_id: self.external_id,
        }
    }
}

impl ReactionLine {
    fn of(reaction: &ReactionRecord) -> Self {
        Self {
            by: reaction.by.clone(),
            at: reaction.at,
            emoji: reaction.emoji.clone(),
            author: AuthorLine::of(&reaction.author),
        }
    }

    fn into_record(self) -> ReactionRecord {
        ReactionRecord {
            by: self.by,
            at: self.at,
            emoji: self.emoji,
            author: self.author.into_record(),
        }
    }
}

impl DeliveryLine {
    fn of(delivery: &DeliveryRecord) -> Self {
        let error = delivery.error.clone();
        Self {
            state: delivery.state,
            at: delivery.at,
            error: error.map(|(code, detail, retryable)| DeliveryErrorLine {
                code,
                detail,
                retryable,
            }),
            attempt: delivery.attempt,
            sent_parts: delivery.sent_parts,
        }
    }

    fn into_record(self) -> DeliveryRecord {
        DeliveryRecord {
            state: self.state,
            at: self.at,
            error: self
                .error
                .map(|error| (error.code, error.detail, error.retryable)),
            attempt: self.attempt,
            sent_parts: self.sent_parts,
        }
    }
}
