//! The lines of an export, as `docs/export.md` describes them: one JSON object each, whose `type` says what it is.
//!
//! These are words of their own and not the store's records, so that the format stays when the store changes. A field
//! that is added later has a default; one that is unknown is passed over.

use std::collections::BTreeMap;

use deskbell_sdk::{AttachmentKind, DeliveryState, Direction, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exact;
use crate::id::{AttachmentId, ContactId, ConversationId, MessageId, TeamId, UserId};
use crate::store::record::{MessageKind, Priority, Status};

/// The version of the format. It grows when an older Deskbell would misread what is written.
pub const VERSION: u32 = 1;
/// The longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
/// The largest piece of a file in one line, in bytes before base64.
pub const PIECE_BYTES: usize = 1024 * 1024;

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    #[serde(rename = "deskbell-export")]
    Header(Header),
    /// A channel.
    Channel(ChannelLine),
    /// A contact.
    Contact(ContactLine),
    /// A contact that was merged into another.
    MergedContact(MergedLine),
    /// A conversation.
    Conversation(Box<ConversationLine>),
    /// A message, note or activity.
    Message(Box<MessageLine>),
    /// A piece of a file.
    File(FileLine),
    /// The last line.
    End(End),
    /// A line of a type that this version does not know: it is passed over.
    #[serde(skip)]
    Unknown(String),
}

/// The first line: what this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub version: u32,
    /// When the export began.
    pub exported_at: Time,
    /// The version of the daemon that wrote it.
    pub daemon: String,
}

/// A channel: what its history needs, and nothing of how it is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelLine {
    /// The slug.
    pub id: String,
    /// The connector.
    pub connector: String,
    /// The name.
    pub name: String,
    /// Since when it was known.
    pub created_at: Time,
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactLine {
    /// Its id.
    pub id: ContactId,
    /// Grows at each change.
    pub version: u32,
    /// The name.
    pub name: Option<String>,
    /// The platform's time of the event that told the name; in the year 9999 where a person of the shop gave it.
    pub named_at: Time,
    /// The e-mail address.
    pub email: Option<String>,
    /// The telephone number.
    pub phone: Option<String>,
    /// A remark of the shop's.
    pub remark: Option<String>,
    /// Who it is in each channel.
    pub identities: Vec<IdentityLine>,
    /// When it was first seen.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// The picture: a `file`.
    #[serde(default)]
    pub avatar: Option<AvatarLine>,
    /// Whether what the person writes makes nobody look.
    #[serde(default)]
    pub blocked: bool,
}

/// The picture of a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvatarLine {
    /// SHA-256 of the content in hex.
    pub sha256: String,
    /// Its type.
    pub mime_type: String,
}

/// Who a contact is in a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityLine {
    /// The channel's slug.
    pub channel: String,
    /// The platform's id of the person.
    pub external_id: String,
}

/// A contact that was merged into another, so that its old id is still understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedLine {
    /// The contact that is no more.
    pub id: ContactId,
    /// The contact that took over.
    pub into: ContactId,
    /// When.
    pub at: Time,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationLine {
    /// Its id.
    pub id: ConversationId,
    /// Grows at each change.
    pub version: u32,
    /// The channel's slug.
    pub channel: String,
    /// The platform's id of the thread.
    pub thread: String,
    /// The customer.
    pub contact_id: ContactId,
    /// The customer's name.
    pub contact_name: Option<String>,
    /// How it stands.
    pub status: Status,
    /// Who has it.
    pub assignee_id: Option<UserId>,
    /// Which team has it.
    pub team_id: Option<TeamId>,
    /// Its labels.
    pub labels: Vec<String>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// What it is about.
    pub subject: Option<String>,
    /// Until when it sleeps.
    pub snoozed_until: Option<Time>,
    /// Messages of the customer's that nobody has read; counted anew by an import.
    pub unread_count: u32,
    /// Messages; counted anew by an import.
    pub message_count: u32,
    /// The newest entry; found anew by an import.
    pub last_message: Option<LastLine>,
    /// Arrival of the oldest unanswered message of the customer's.
    pub waiting_since: Option<Time>,
    /// Everything at or before this place is answered.
    pub answered_up_to: Option<PlaceLine>,
    /// The customer's last deed.
    pub customer_acted_at: Option<Time>,
    /// What the shop sent at or before this has reached the customer's device.
    pub delivered_up_to: Option<Time>,
    /// What the shop sent at or before this has been read by the customer.
    pub read_up_to: Option<Time>,
    /// The shop has read everything that arrived at or before this.
    pub staff_read_up_to: Option<MessageId>,
    /// When it began.
    pub created_at: Time,
    /// Arrival of the last event that a person caused.
    pub last_activity_at: Time,
    /// Whether somebody of the shop called it spam.
    #[serde(default)]
    pub spam: bool,
    /// Who was mentioned in one of its notes.
    #[serde(default)]
    pub mentioned_ids: Vec<UserId>,
}

/// A place in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceLine {
    /// The platform's time.
    pub sent_at: Time,
    /// The platform's own order.
    pub order: u64,
    /// The message.
    pub id: MessageId,
}

/// The newest entry of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLine {
    /// Its place.
    pub place: PlaceLine,
    /// Its first words.
    pub preview: String,
    /// Whose it is.
    pub direction: Direction,
}

/// A message, note or activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageLine {
    /// Its id, in the order of arrival.
    pub id: MessageId,
    /// Grows at each change.
    pub version: u32,
    /// The channel's slug.
    pub channel: String,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Whose it is.
    pub direction: Direction,
    /// What it is.
    pub kind: MessageKind,
    /// Who wrote it.
    pub author: AuthorLine,
    /// The platform's id.
    pub external_id: Option<String>,
    /// The platform's ids of its further parts, the second part's first.
    #[serde(default)]
    pub part_ids: Vec<Option<String>>,
    /// The text as it first came; null where it was taken back.
    pub text: Option<String>,
    /// The text with mark-up.
    pub html: Option<String>,
    /// What came with it.
    pub attachments: Vec<AttachmentLine>,
    /// The platform's id of the message that it answers, or the id here of one that has none.
    pub reply_to: Option<String>,
    /// The platform's time.
    pub sent_at: Time,
    /// The platform's own order.
    pub order: u64,
    /// When it reached the daemon.
    pub received_at: Time,
    /// What the platform added.
    pub metadata: BTreeMap<String, Value>,
    /// The newest edit.
    pub edit: Option<EditLine>,
    /// The newest reaction of each person.
    pub reactions: Vec<ReactionLine>,
    /// When it was taken back.
    pub deleted_at: Option<Time>,
    /// How far one of the shop's has come.
    pub delivery: Option<DeliveryLine>,
    /// What it is made of, where it is an album of the platform's.
    #[serde(default)]
    pub album: Option<AlbumLine>,
    /// Other texts that came under the same id of the platform's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<RevisionLine>,
}

/// What a message said when it came another time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionLine {
    /// When it came.
    pub at: Time,
    /// What it said.
    pub text: String,
}

/// Several messages of the platform's that are one here. What the message shows follows from its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlbumLine {
    /// The id by which a further part finds the message.
    pub key: String,
    /// The parts, in the platform's order.
    pub parts: Vec<AlbumPartLine>,
}

/// One of the platform's messages in an album.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlbumPartLine {
    /// The platform's id.
    pub external_id: String,
    /// The platform's time.
    pub sent_at: Time,
    /// The platform's own order.
    pub order: u64,
    /// Its text as it first came; null where it was taken back.
    pub text: Option<String>,
    /// The platform's id of the message that it answers.
    pub reply_to: Option<String>,
    /// What the platform added.
    pub metadata: BTreeMap<String, Value>,
    /// Which of the message's attachments came with it.
    pub attachment_ids: Vec<AttachmentId>,
    /// Its newest edit.
    pub edit: Option<EditLine>,
    /// When it was taken back.
    pub deleted_at: Option<Time>,
}

/// Who wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AuthorLine {
    /// A customer.
    Contact {
        /// Which.
        id: ContactId,
        /// The name as it was known then.
        name: Option<String>,
    },
    /// A person of the shop.
    Staff {
        /// Who, where that is known.
        id: Option<UserId>,
        /// The name.
        name: Option<String>,
    },
    /// A program.
    Bot {
        /// Its name.
        name: Option<String>,
    },
    /// The desk.
    System,
}

/// An attachment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttachmentLine {
    /// Its id.
    pub id: AttachmentId,
    /// What it is.
    pub kind: AttachmentKind,
    /// File name or title.
    pub name: Option<String>,
    /// Its type.
    pub mime_type: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Where its bytes are.
    pub bytes: BytesLine,
    /// A place's latitude in degrees.
    #[serde(default, with = "exact")]
    pub latitude: Option<f64>,
    /// A place's longitude in degrees.
    #[serde(default, with = "exact")]
    pub longitude: Option<f64>,
    /// A public page it points at.
    pub link: Option<String>,
    /// The platform's id.
    pub external_id: Option<String>,
}

/// Where the bytes of an attachment are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BytesLine {
    /// There are none.
    None,
    /// At the platform, at this address.
    Remote {
        /// The address.
        url: String,
    },
    /// At the platform, under this handle.
    Handle {
        /// The handle.
        handle: String,
    },
    /// In the file with this content.
    Stored {
        /// SHA-256 of the content in hex.
        sha256: String,
    },
    /// Could not be fetched.
    Failed {
        /// Why.
        reason: String,
    },
    /// Larger than the desk keeps.
    TooLarge,
    /// No longer at the platform.
    Expired,
}

/// An edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditLine {
    /// The platform's count.
    pub version: u64,
    /// When.
    pub at: Time,
    /// The whole new text.
    pub text: String,
}

/// A person's reaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionLine {
    /// Tells the person apart.
    pub by: String,
    /// When.
    pub at: Time,
    /// Which; null where it was taken back.
    pub emoji: Option<String>,
    /// Whose.
    pub author: AuthorLine,
}

/// How far a message has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryLine {
    /// The state.
    pub state: DeliveryState,
    /// Since when.
    pub at: Time,
    /// Why it failed.
    pub error: Option<DeliveryErrorLine>,
    /// Which sending it is; 0 is the first, and each later number is higher.
    #[serde(default)]
    pub attempt: u64,
    /// Where it failed here: how many of its parts were sent.
    #[serde(default)]
    pub sent_parts: Option<u32>,
}

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryErrorLine {
    /// The platform's code.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
    /// Whether trying again makes sense.
    pub retryable: bool,
}

/// A piece of a file. The pieces of a file come in order, before the first line that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// SHA-256 of the whole content in hex.
    pub sha256: String,
    /// The type by the content.
    pub mime_type: String,
    /// Size of the whole in bytes.
    pub size: u64,
    /// Where the piece begins.
    pub offset: u64,
    /// The piece in base64, at most 1 MiB of bytes.
    pub data: String,
}

/// The last line: without it a file was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many lines of each type came before it.
    pub counts: Counts,
}

/// How many lines there are of each type. One thing may have several: it changed while the export was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// `channel`
    pub channel: u64,
    /// `contact`
    pub contact: u64,
    /// `merged_contact`
    pub merged_contact: u64,
    /// `conversation`
    pub conversation: u64,
    /// `message`
    pub message: u64,
    /// `file`
    pub file: u64,
}

impl Counts {
    /// Counts a line in.
    pub const fn count(&mut self, line: &Line) {
        let number = match line {
            Line::Channel(_) => &mut self.channel,
            Line::Contact(_) => &mut self.contact,
            Line::MergedContact(_) => &mut self.merged_contact,
            Line::Conversation(_) => &mut self.conversation,
            Line::Message(_) => &mut self.message,
            Line::File(_) => &mut self.file,
            Line::Header(_) | Line::End(_) | Line::Unknown(_) => return,
        };
        *number += 1;
    }
}
