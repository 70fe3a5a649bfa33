//! The entries of the erasure of people.

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::id::{AttachmentId, ContactId, ConversationId, MessageId};
use crate::store::change::Table;
use crate::store::record::{AuthorRecord, ChannelNo, Identity, ReactionRecord};

/// A person who is being erased. Key: [`ErasureEntry::key`]. It is removed once everything is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureEntry {
    /// The contact.
    pub contact: ContactId,
    /// Who it was in each channel.
    pub identities: Vec<Identity>,
    /// The conversations: the channel, the platform's id of the thread, the id here.
    pub threads: Vec<(ChannelNo, String, ConversationId)>,
    /// What was written up to this time is erased.
    pub at: Time,
    /// How many steps were taken, each with an [`ErasedIds`].
    pub steps: u32,
    /// SHA-256 in hex of the person's pictures.
    pub content: Vec<String>,
}

impl Entry for ErasureEntry {
    const TABLE: Table = Table::Erasures;
}

impl ErasureEntry {
    /// Before the keys of erasures.
    pub const PREFIX: &'static [u8] = b"e";

    /// The key by contact.
    #[must_use]
    pub fn key(contact: ContactId) -> Vec<u8> {
        [Self::PREFIX, &contact.key()].concat()
    }

    /// The key of a step.
    #[must_use]
    pub fn step_key(contact: ContactId, step: u32) -> Vec<u8> {
        [b"s", &contact.key()[..], &step.to_be_bytes()].concat()
    }

    /// The person's ids at the platforms, those of their threads among them.
    pub fn ids(&self) -> impl Iterator<Item = (ChannelNo, &str)> {
        let people = self.identities.iter();
        let people = people.map(|identity| (identity.channel, identity.external_id.as_str()));
        let threads = self.threads.iter();
        people.chain(threads.map(|(channel, thread, _)| (*channel, thread.as_str())))
    }

    /// Whether the person is this author.
    #[must_use]
    pub fn is_author(&self, author: &AuthorRecord) -> bool {
        matches!(author, AuthorRecord::Contact(contact, _) if *contact == self.contact)
    }

    /// Whether a reaction in this channel is the person's.
    #[must_use]
    pub fn reacted(&self, channel: ChannelNo, reaction: &ReactionRecord) -> bool {
        let by = reaction.by.strip_prefix("c:");
        self.is_author(&reaction.author)
            || self
                .identities
                .iter()
                .any(|identity| identity.channel == channel && by == Some(&identity.external_id))
    }
}

/// What a step took. Key: [`ErasureEntry::step_key`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedIds {
    /// Messages.
    pub messages: Vec<MessageId>,
    /// Attachments.
    pub attachments: Vec<AttachmentId>,
    /// SHA-256 in hex of their files.
    pub content: Vec<String>,
}

impl Entry for ErasedIds {
    const TABLE: Table = Table::Erasures;
}

/// Somebody was erased. Key: a keyed hash of the person's or the thread's id at the platform, in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedPerson {
    /// What was written up to this time does not come back.
    pub at: Time,
}

impl Entry for ErasedPerson {
    const TABLE: Table = Table::Erased;
}
