//! What the people of the shop write: answers and notes.

use std::collections::BTreeMap;

use deskbell_sdk::{AttachmentKind, DeliveryState, Direction, text};

use super::arrivals::attach_upload;
use super::changes::delivery;
use super::{Decision, conversations};
use crate::id::{AttachmentId, ConversationId, MessageId, UserId, WorkId};
use crate::store::draft::Draft;
use crate::store::entry::{
    AttachmentEntry, Entry, IdempotencyEntry, PartRecord, UserEntry, WorkEntry, WorkState,
};
use crate::store::metadata::mentioning;
use crate::store::record::{
    AttachmentBytes, AttachmentRecord, AuthorRecord, ChannelNo, MessageChanges, MessageKind,
    MessageRecord, Place,
};
use crate::store::{Found, Scope};

/// Somebody of the shop writes into a conversation.
#[derive(Clone, Debug)]
pub struct Write {
    /// What the caller may see.
    pub scope: Scope,
    /// Where.
    pub conversation: ConversationId,
    /// Who, for showing.
    pub author: AuthorRecord,
    /// Who, as the owner of uploads.
    pub owner: String,
    /// The text.
    pub text: Option<String>,
    /// Uploads to put in.
    pub attachments: Vec<AttachmentId>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// What kind of writing it is.
    pub kind: Kind,
    /// The newest entry that the writer saw: a colleague's answer behind it makes this one crossed. `None`: it is written
    /// whatever came.
    pub seen: Option<MessageId>,
    /// Who is mentioned in a note.
    pub mentions: Vec<UserId>,
    /// The key under which a repetition is known, with the hash of the request.
    pub idempotency: Option<(Vec<u8>, Vec<u8>)>,
}

/// What kind of writing it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For the people of the shop only.
    Note,
    /// An answer in a channel whose readers the daemon serves itself: it has reached them once it is durable.
    ServedHere,
    /// An answer that the platform has to be given, in these parts.
    Queued(Vec<PartRecord>),
}

/// How writing went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there; `true` where it was there already.
    Message(ChannelNo, MessageId, bool),
    /// The caller knows no such conversation.
    NoConversation,
    /// There is no such message in the conversation.
    NoReplyTo,
    /// The upload with this place in the list is not there, not the caller's, or in a message already.
    NoAttachment(usize),
    /// Whoever is mentioned at this place is nobody, or their account is disabled.
    NoMention(usize),
    /// The `Idempotency-Key` was used for another request.
    KeyReused,
    /// A colleague has answered meanwhile, by this message; nothing was written.
    Crossed(ChannelNo, MessageId),
}

/// How many of the newest entries are looked at for an answer that crossed this one.
const CROSSED_AMONG: usize = 200;

/// The newest answer of somebody else that the writer has not seen. One that failed has answered nothing.
fn crossed(draft: &Draft<'_>, write: &Write, seen: MessageId) -> Found<Option<MessageId>> {
    let is_answer = |message: &MessageRecord| {
        let state = message
            .changes
            .delivery
            .as_ref()
            .map(|delivery| delivery.state);
        message.id > seen
            && message.kind == MessageKind::Message
            && message.direction == Direction::Outbound
            && matches!(message.author, AuthorRecord::Staff(..))
            && message.author != write.author
            && message.changes.deleted_at.is_none()
            && state != Some(DeliveryState::Failed)
    };
    let newest = draft.messages(write.conversation, Place::LAST, CROSSED_AMONG)?;
    Ok(newest
        .iter()
        .find(|message| is_answer(message))
        .map(|message| message.id))
}

impl Decision for Write {
    type Answer = Written;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Written> {
        let Some(known) = draft.conversation(&self.scope, self.conversation)? else {
            return Ok(Written::NoConversation);
        };
        if let Some((key, body)) = &self.idempotency
            && let Some(before) = draft.entry::<IdempotencyEntry>(key)?
        {
            return Ok(match before.made.parse() {
                Ok(id) if before.body == *body => Written::Message(known.channel, id, true),
                _ => Written::KeyReused,
            });
        }
        if let (Some(seen), true) = (self.seen, self.kind != Kind::Note)
            && let Some(by) = crossed(draft, self, seen)?
        {
            return Ok(Written::Crossed(known.channel, by));
        }
        let quoted = match self.reply_to {
            None => None,
            Some(id) => match draft.message(known.channel, id)? {
                Some(message) if message.conversation == known.id => Some(message),
                _ => return Ok(Written::NoReplyTo),
            },
        };
        let mut uploads = Vec::new();
        for (place, id) in self.attachments.iter().enumerate() {
            match draft.entry::<AttachmentEntry>(&id.key())? {
                Some(entry) if entry.message.is_none() && entry.owner == self.owner => {
                    uploads.push(entry)
                }
                _ => return Ok(Written::NoAttachment(place)),
            }
        }
        for (place, id) in self.mentions.iter().enumerate() {
            let person = draft.entry::<UserEntry>(&id.key())?;
            if person.is_none_or(|person| person.disabled) {
                return Ok(Written::NoMention(place));
            }
        }
        let id = MessageId(draft.new_id());
        let now = draft.now();
        let attachments = uploads
            .into_iter()
            .map(|entry| {
                let mut record = uploaded(&entry);
                attach_upload(draft, &mut record, entry, known.channel, id);
                record
            })
            .collect();
        let private = self.kind == Kind::Note;
        let (sent_at, order) = conversations::behind_all(&known, now);
        let message = MessageRecord {
            id,
            version: 1,
            channel: known.channel,
            conversation: known.id,
            direction: Direction::Outbound,
            kind: if private {
                MessageKind::Note
            } else {
                MessageKind::Message
            },
            author: self.author.clone(),
            external_id: (self.kind == Kind::ServedHere).then(|| id.to_string()),
            text: self.text.as_deref().map(text::clean_text),
            html: None,
            attachments,
            reply_to: quoted.map(|quoted| {
                quoted
                    .external_id
                    .clone()
                    .unwrap_or_else(|| quoted.id.to_string())
            }),
            sent_at,
            order,
            received_at: now,
            metadata: if private {
                mentioning(&self.mentions)
            } else {
                BTreeMap::new()
            },
            changes: match &self.kind {
                Kind::Note => MessageChanges::default(),
                Kind::ServedHere => delivery(DeliveryState::Sent, now),
                Kind::Queued(_) => delivery(DeliveryState::Queued, now),
            },
            part_ids: Vec::new(),
            album: None,
            revisions: Vec::new(),
        };
        let mut conversation = (*known).clone();
        if private {
            conversation.mentioned.extend(&self.mentions);
            conversation.mentioned.sort_unstable();
            conversation.mentioned.dedup();
        }
        conversations::count_in(draft, &mut conversation, &message)?;
        if let Kind::Queued(parts) = &self.kind {
            let work = WorkEntry {
                id: WorkId(id.0),
                channel: known.channel,
                conversation: known.id,
                message: id,
                parts: parts.clone(),
                next_part: 0,
                state: WorkState::Waiting { attempts: 0 },
                due_at: now,
                created_at: now,
                looking_since: None,
            };
            draft.put(work.put(work.id.key().to_vec()));
        }
        draft.create_message(message, conversation);
        if let Some((key, body)) = &self.idempotency {
            let entry = IdempotencyEntry {
                body: body.clone(),
                made: id.to_string(),
                at: now,
            };
            draft.put(entry.put(key.clone()));
        }
        Ok(Written::Message(known.channel, id, false))
    }

    fn weight(&self) -> usize {
        1024 + self.text.as_ref().map_or(0, String::len)
    }
}

/// What an upload is as an attachment.
fn uploaded(entry: &AttachmentEntry) -> AttachmentRecord {
    AttachmentRecord {
        id: entry.id,
        kind: kind_of(&entry.mime_type),
        name: entry.name.clone(),
        mime_type: Some(entry.mime_type.clone()),
        size: Some(entry.size),
        bytes: AttachmentBytes::None,
        latitude: None,
        longitude: None,
        link: None,
        external_id: None,
    }
}

/// What a file of this type is shown as.
#[must_use]
pub fn kind_of(mime_type: &str) -> AttachmentKind {
    match mime_type.split('/').next() {
        Some("image") if mime_type != "image/svg+xml" => AttachmentKind::Image,
        Some("audio") => AttachmentKind::Audio,
        Some("video") => AttachmentKind::Video,
        _ => AttachmentKind::File,
    }
}
