//! What the store keeps of messages, conversations and contacts.
//!
//! Records are written as MessagePack arrays: a new field is only ever appended, with `#[serde(default)]`, so that
//! older records are read by newer daemons. Each record carries a version that grows by one at each change.

use std::collections::BTreeMap;

use deskbell_sdk::{AttachmentKind, DeliveryState, Direction, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{AttachmentId, ContactId, ConversationId, MessageId, TeamId, UserId, WorkId};

/// A channel's number in the store: short, never given twice, and kept when the channel is renamed or removed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ChannelNo(pub u16);

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Between the shop and the customer.
    Message,
    /// Between the people of the shop.
    Note,
    /// Something that happened to the conversation.
    Activity,
}

/// Who wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorRecord {
    /// A customer; the name as it was known then.
    Contact(ContactId, Option<String>),
    /// A person of the shop: who, where the desk knows, and the name.
    Staff(Option<UserId>, Option<String>),
    /// A program.
    Bot(Option<String>),
    /// The desk itself.
    System,
}

/// Where a message stands among those of its conversation: by the platform's time, then its own order, then arrival.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Place {
    /// The platform's time.
    pub sent_at: Time,
    /// The platform's own order.
    pub order: u64,
    /// The arrival.
    pub id: MessageId,
}

impl Place {
    /// Before every message.
    pub const FIRST: Self = Self {
        sent_at: Time::from_millis(i64::MIN),
        order: 0,
        id: MessageId(0),
    };
    /// After every message.
    pub const LAST: Self = Self {
        sent_at: Time::from_millis(i64::MAX),
        order: u64::MAX,
        id: MessageId(u64::MAX),
    };

    /// The bytes of a key: compared as bytes they sort as places do.
    #[must_use]
    pub fn key(self) -> [u8; 24] {
        let mut key = [0; 24];
        // Flipping the sign bit makes negative times sort before positive ones.
        let sent = self.sent_at.as_millis().cast_unsigned() ^ (1 << 63);
        key[..8].copy_from_slice(&sent.to_be_bytes());
        key[8..16].copy_from_slice(&self.order.to_be_bytes());
        key[16..].copy_from_slice(&self.id.key());
        key
    }

    /// The place that [`Self::key`] wrote.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let part = |from: usize| {
            key.get(from..from + 8)?
                .try_into()
                .ok()
                .map(u64::from_be_bytes)
        };
        let sent_at = Time::from_millis((part(0)? ^ (1 << 63)).cast_signed());
        (key.len() == 24).then_some(Self {
            sent_at,
            order: part(8)?,
            id: MessageId(part(16)?),
        })
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Its id, in the order of arrival.
    pub id: MessageId,
    /// Grows by one at each change.
    pub version: u32,
    /// Its channel.
    pub channel: ChannelNo,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Whose it is.
    pub direction: Direction,
    /// What it is.
    pub kind: MessageKind,
    /// Who wrote it.
    pub author: AuthorRecord,
    /// The platform's id; of our own it comes with the platform's answer.
    pub external_id: Option<String>,
    /// The text as it first came; [`Self::changes`] may hold a newer one.
    pub text: Option<String>,
    /// The text with mark-up, for e-mail.
    pub html: Option<String>,
    /// What came with it.
    pub attachments: Vec<AttachmentRecord>,
    /// The platform's id of the message it quotes.
    pub reply_to: Option<String>,
    /// The platform's time.
    pub sent_at: Time,
    /// The platform's own order.
    pub order: u64,
    /// When it reached the daemon.
    pub received_at: Time,
    /// What the platform added.
    pub metadata: BTreeMap<String, Value>,
    /// What has happened to it since.
    pub changes: MessageChanges,
    /// The platform's ids of its further parts, where it is several messages there: the second part's first. Behind them
    /// those of former sendings that failed, so that none of them comes in again.
    #[serde(default)]
    pub part_ids: Vec<Option<String>>,
    /// What it is made of, where it is an album of the platform's.
    #[serde(default)]
    pub album: Option<Box<Album>>,
    /// Other texts that came under the same id of the platform's, in the order of arrival. The first stands.
    #[serde(default)]
    pub revisions: Vec<Revision>,
}

/// What a message said when it came another time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// When it came.
    pub at: Time,
    /// What it said.
    pub text: String,
}

/// Several messages of the platform's that were sent together and are one message here. Of the message's own fields the
/// text, the attachments, the quotation, the place, the details, the edit and the deletion follow from the parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Album {
    /// The id by which a further part finds the message; it is like an id of the platform's.
    pub key: String,
    /// The parts that have come, in the platform's order.
    pub parts: Vec<AlbumPart>,
}

/// One of the platform's messages in an album.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlbumPart {
    /// The platform's id of it.
    pub external_id: String,
    /// The platform's time.
    pub sent_at: Time,
    /// The platform's own order.
    pub order: u64,
    /// Its text as it first came.
    pub text: Option<String>,
    /// The platform's id of the message it quotes.
    pub reply_to: Option<String>,
    /// What the platform added.
    pub metadata: BTreeMap<String, Value>,
    /// Which of the message's attachments came with it.
    pub attachments: Vec<AttachmentId>,
    /// Its newest edit, and when it was taken back; nothing else happens to a part alone.
    pub changes: MessageChanges,
}

impl MessageRecord {
    /// Where it stands in its conversation.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place {
            sent_at: self.sent_at,
            order: self.order,
            id: self.id,
        }
    }

    /// All its ids at the platform: it is known by each.
    pub fn external_ids(&self) -> impl Iterator<Item = &str> {
        self.external_id
            .iter()
            .chain(self.part_ids.iter().flatten())
            .chain(self.album.iter().map(|album| &album.key))
            .map(String::as_str)
    }

    /// Keeps the platform's id of one of its parts; the first that was told stands.
    pub fn set_part_id(&mut self, part: usize, external_id: &str) {
        let slot = match part.checked_sub(1) {
            None => &mut self.external_id,
            Some(further) => {
                if self.part_ids.len() <= further {
                    self.part_ids.resize(further + 1, None);
                }
                &mut self.part_ids[further]
            }
        };
        slot.get_or_insert_with(|| external_id.to_owned());
    }

    /// Whether the platform's id of each of its parts is known.
    #[must_use]
    pub fn knows_all_parts(&self) -> bool {
        self.external_id.is_some() && self.part_ids.iter().all(Option::is_some)
    }

    /// The text that stands: the newest edit, else the first.
    #[must_use]
    pub fn standing_text(&self) -> Option<&str> {
        self.changes
            .edit
            .as_ref()
            .map_or(self.text.as_deref(), |edit| Some(&edit.text))
    }

    /// The item of work that sends it, or sent it last.
    #[must_use]
    pub fn work(&self) -> WorkId {
        let delivery = self.changes.delivery.as_ref();
        match delivery.map(|delivery| delivery.attempt) {
            Some(attempt) if attempt != 0 => WorkId(attempt),
            _ => WorkId(self.id.0),
        }
    }

    /// Whether a customer wrote it to the shop.
    #[must_use]
    pub fn is_from_customer(&self) -> bool {
        self.kind == MessageKind::Message && self.direction == Direction::Inbound
    }
}

/// What can change on a message. Merging two of these gives the same whatever the order and however often: that is
/// what makes late, early and repeated events harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageChanges {
    /// The newest edit.
    pub edit: Option<Edit>,
    /// The newest reaction of each person, sorted by person; taken-back ones stay with no emoji.
    pub reactions: Vec<ReactionRecord>,
    /// When it was taken back; the earliest that was told.
    pub deleted_at: Option<Time>,
    /// How far an outbound one has come.
    pub delivery: Option<DeliveryRecord>,
}

/// An edit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edit {
    /// The platform's count; the highest stands.
    pub version: u64,
    /// When.
    pub at: Time,
    /// The whole new text.
    pub text: String,
}

/// One person's reaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionRecord {
    /// Tells the person apart: `c:` and the platform's id for a customer, `s:` for the shop.
    pub by: String,
    /// When.
    pub at: Time,
    /// What; `None` where it was taken back.
    pub emoji: Option<String>,
    /// Who, for showing.
    pub author: AuthorRecord,
}

/// How far an outbound message has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The state.
    pub state: DeliveryState,
    /// Since when.
    pub at: Time,
    /// The platform's code and sentence where it failed, and whether trying again makes sense.
    pub error: Option<(String, String, bool)>,
    /// Which sending it is: 0 is the first, a later one goes by the id of its work item, so that later ones are higher.
    #[serde(default)]
    pub attempt: u64,
    /// Where it ended here: how many of its parts are at the platform for certain.
    #[serde(default)]
    pub sent_parts: Option<u32>,
}

/// An attachment of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttachmentRecord {
    /// Its id.
    pub id: AttachmentId,
    /// What it is.
    pub kind: AttachmentKind,
    /// File name or title.
    pub name: Option<String>,
    /// The type: sniffed where the bytes are here, else the platform's claim.
    pub mime_type: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Where its bytes are.
    pub bytes: AttachmentBytes,
    /// A place's latitude in degrees.
    pub latitude: Option<f64>,
    /// A place's longitude in degrees.
    pub longitude: Option<f64>,
    /// A public page it points at.
    pub link: Option<String>,
    /// The platform's id.
    pub external_id: Option<String>,
}

/// Where the bytes of an attachment are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachmentBytes {
    /// There are none.
    None,
    /// Still at the platform, at this address.
    Remote(String),
    /// Still at the platform, under this handle.
    Handle(String),
    /// Here, under the SHA-256 of the content in hex.
    Stored(String),
    /// Could not be fetched, for this reason; it is tried again where a work item says so.
    Failed(String),
    /// Larger than the desk keeps.
    TooLarge,
    /// No longer at the platform.
    Expired,
}

/// How a conversation stands.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    utoipa::ToSchema,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Somebody should look.
    #[default]
    Open,
    /// Waits for the customer or a third party.
    Pending,
    /// Sleeps until a time.
    Snoozed,
    /// Done.
    Resolved,
}

/// How urgent a conversation is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    utoipa::ToSchema,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Can wait.
    Low,
    /// As usual.
    Normal,
    /// Soon.
    High,
    /// Now.
    Urgent,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationRecord {
    /// Its id.
    pub id: ConversationId,
    /// Grows by one at each change.
    pub version: u32,
    /// Its channel.
    pub channel: ChannelNo,
    /// The platform's id of the thread.
    pub thread: String,
    /// The customer.
    pub contact: ContactId,
    /// The customer's name, so that a list needs no second look.
    pub contact_name: Option<String>,
    /// How it stands.
    pub status: Status,
    /// Who has it.
    pub assignee: Option<UserId>,
    /// Which team has it.
    pub team: Option<TeamId>,
    /// Its labels, sorted.
    pub labels: Vec<String>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// What it is about.
    pub subject: Option<String>,
    /// Until when it sleeps.
    pub snoozed_until: Option<Time>,
    /// Messages of the customer's that nobody of the shop has read.
    pub unread_count: u32,
    /// Messages, without notes and activity.
    pub message_count: u32,
    /// The newest entry by [`Place`].
    pub last_message: Option<LastMessage>,
    /// Arrival of the oldest unanswered message of the customer's.
    pub waiting_since: Option<Time>,
    /// Everything at or before this place is answered.
    pub answered_up_to: Place,
    /// The customer's last deed, which opens the reply window.
    pub customer_acted_at: Option<Time>,
    /// What we sent at or before this has reached the customer's device.
    pub delivered_up_to: Option<Time>,
    /// What we sent at or before this has been read by the customer.
    pub read_up_to: Option<Time>,
    /// The shop has read everything that arrived at or before this.
    pub staff_read_up_to: MessageId,
    /// When it began here.
    pub created_at: Time,
    /// Arrival of the last event that a person caused.
    pub last_activity_at: Time,
    /// SHA-256 of the contact's picture in hex.
    #[serde(default)]
    pub contact_avatar: Option<String>,
    /// Somebody of the shop called it spam: it waits for nobody.
    #[serde(default)]
    pub spam: bool,
    /// Its customer is blocked, as the contact says: it waits for nobody.
    #[serde(default)]
    pub blocked: bool,
    /// Who was mentioned in one of its notes, sorted.
    #[serde(default)]
    pub mentioned: Vec<UserId>,
    /// The newest message or note by [`Place`]: what was said last, whatever has happened to the conversation since.
    #[serde(default)]
    pub last_said: Option<LastMessage>,
}

impl ConversationRecord {
    /// Whether what comes in it makes nobody look: it is kept and shown, and is not unanswered.
    #[must_use]
    pub const fn is_silenced(&self) -> bool {
        self.spam || self.blocked
    }
}

/// The newest entry of a conversation, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastMessage {
    /// Its place.
    pub place: Place,
    /// Its first words.
    pub preview: String,
    /// Whose it is.
    pub direction: Direction,
}

/// A person who writes to the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactRecord {
    /// Its id.
    pub id: ContactId,
    /// Grows by one at each change.
    pub version: u32,
    /// The name.
    pub name: Option<String>,
    /// The platform's time of the event that told the name: a newer one replaces it. A name that a person of the shop
    /// gave stands at the end of time.
    pub named_at: Time,
    /// The e-mail address.
    pub email: Option<String>,
    /// The telephone number.
    pub phone: Option<String>,
    /// A remark of the shop's.
    pub remark: Option<String>,
    /// Who it is in each channel.
    pub identities: Vec<Identity>,
    /// When it was first seen.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// The picture.
    #[serde(default)]
    pub avatar: Option<AvatarRecord>,
    /// What the person writes is kept and shown, and makes nobody look.
    #[serde(default)]
    pub blocked: bool,
}

/// The picture of a person, as the platform had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvatarRecord {
    /// SHA-256 of the content in hex.
    pub content: String,
    /// Sniffed type.
    pub mime_type: String,
}

/// Who a contact is in one channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The channel.
    pub channel: ChannelNo,
    /// The platform's id of the person.
    pub external_id: String,
}
