//! The entries of what people of the shop have for their work: drafts, canned replies, labels, views, settings.

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::id::{AttachmentId, ConversationId, MessageId, ReplyId, ViewId};
use crate::store::Table;

/// Up to where a person or token has read a conversation. Key: the conversation's id and the reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPosition {
    /// Everything that arrived at or before this.
    pub up_to: MessageId,
    /// When it was read.
    #[serde(default)]
    pub at: Option<Time>,
    /// Who the reader is called.
    #[serde(default)]
    pub name: Option<String>,
}

impl Entry for ReadPosition {
    const TABLE: Table = Table::ReadPositions;
}

/// What somebody has begun to write into a conversation. Key: [`UnsentEntry::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsentEntry {
    /// Where.
    pub conversation: ConversationId,
    /// Who: the owner as uploads have it.
    pub owner: String,
    /// The text.
    pub text: String,
    /// Whether it is a note.
    pub private: bool,
    /// Uploads that go with it.
    pub attachments: Vec<AttachmentId>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// When it was last changed.
    pub updated_at: Time,
}

impl UnsentEntry {
    /// The conversation first, so that an erasure finds what belongs to one.
    #[must_use]
    pub fn key(conversation: ConversationId, owner: &str) -> Vec<u8> {
        [&conversation.key()[..], owner.as_bytes()].concat()
    }
}

impl Entry for UnsentEntry {
    const TABLE: Table = Table::Unsent;
}

/// A canned reply. Key: the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CannedReplyEntry {
    /// Its id.
    pub id: ReplyId,
    /// What one types to find it.
    pub shortcut: String,
    /// What it is about.
    pub title: String,
    /// The text, with the names of variables in it; nothing here ever fills them in (R11).
    pub text: String,
    /// The slugs of the channels that it is for; `None`: all.
    pub channels: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

impl Entry for CannedReplyEntry {
    const TABLE: Table = Table::CannedReplies;
}

/// A label that conversations can bear. Key: the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelEntry {
    /// The name.
    pub name: String,
    /// One of the colours' names.
    pub color: String,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Time,
}

impl Entry for LabelEntry {
    const TABLE: Table = Table::Labels;
}

/// A saved view of the inbox. Key: the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewEntry {
    /// Its id.
    pub id: ViewId,
    /// The name.
    pub name: String,
    /// What of the inbox it shows, as JSON.
    pub filter: String,
    /// Whether everybody has it.
    pub shared: bool,
    /// Who made it.
    pub owner: String,
    /// When.
    pub created_at: Time,
}

impl Entry for ViewEntry {
    const TABLE: Table = Table::Views;
}

/// When a message of a customer's counts as read by the team.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnreadUntil {
    /// Once somebody has read it.
    #[default]
    Read,
    /// Once it is answered, or its conversation resolved.
    Answered,
}

/// What the shop has decided for everybody. Key: [`DeskSettings::KEY`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskSettings {
    /// What the shop is called.
    pub shop_name: String,
    /// When messages count as read.
    pub unread_until: UnreadUntil,
    /// The view with which the inbox opens.
    pub default_view: String,
}

impl DeskSettings {
    /// Where they stand.
    pub const KEY: &'static [u8] = b"desk";
}

impl Default for DeskSettings {
    fn default() -> Self {
        Self {
            shop_name: String::new(),
            unread_until: UnreadUntil::Read,
            default_view: "unanswered".to_owned(),
        }
    }
}

impl Entry for DeskSettings {
    const TABLE: Table = Table::DeskSettings;
}
