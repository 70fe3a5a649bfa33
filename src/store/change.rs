//! What can be written, and the numbered log of what happened.

use std::borrow::Cow;
use std::sync::Arc;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::entry::RingEntry;
use super::record::{ChannelNo, ContactRecord, ConversationRecord, MessageRecord};
use crate::id::{ContactId, ConversationId, MessageId};

/// One entry of the log: numbered without gaps from 1. It carries what changed as it was after the change, never a
/// difference, so that applying it again is harmless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEvent {
    /// Its number.
    pub seq: u64,
    /// When it was decided.
    pub at: Time,
    /// What happened.
    pub body: EventBody,
    /// How many hooks led to it, one after the other, as the callers of the API said.
    #[serde(default)]
    pub hops: u8,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventBody {
    /// A message came or was written.
    MessageCreated {
        /// The message.
        message: Arc<MessageRecord>,
        /// Its conversation after it.
        conversation: Arc<ConversationRecord>,
    },
    /// A message was edited, taken back, reacted to, or has come further.
    MessageUpdated {
        /// The message after the change.
        message: Arc<MessageRecord>,
        /// Its conversation after the change.
        conversation: Arc<ConversationRecord>,
    },
    /// A conversation began.
    ConversationCreated {
        /// The conversation.
        conversation: Arc<ConversationRecord>,
    },
    /// A conversation changed without a message.
    ConversationUpdated {
        /// The conversation after the change.
        conversation: Arc<ConversationRecord>,
    },
    /// A contact was seen for the first time.
    ContactCreated {
        /// The contact.
        contact: Arc<ContactRecord>,
    },
    /// A contact changed.
    ContactUpdated {
        /// The contact after the change.
        contact: Arc<ContactRecord>,
    },
    /// A contact was merged away or erased.
    ContactDeleted {
        /// Which.
        contact: ContactId,
        /// The channels in which it was known: who may hear of it.
        channels: Vec<ChannelNo>,
    },
    /// A channel works, or no longer does.
    ChannelHealth {
        /// Which.
        channel: ChannelNo,
        /// `true`: it works.
        healthy: bool,
        /// What is wrong and what to do, in plain words.
        detail: String,
    },
    /// A ring began, or came to its next step.
    BellRung {
        /// The ring as it is then.
        ring: Arc<RingEntry>,
    },
    /// Somebody has taken what rang.
    BellAcknowledged {
        /// The ring as it is then.
        ring: Arc<RingEntry>,
    },
}

impl EventBody {
    /// The conversation that it tells of.
    #[must_use]
    pub const fn conversation(&self) -> Option<&Arc<ConversationRecord>> {
        match self {
            Self::MessageCreated { conversation, .. }
            | Self::MessageUpdated { conversation, .. }
            | Self::ConversationCreated { conversation }
            | Self::ConversationUpdated { conversation } => Some(conversation),
            _ => None,
        }
    }

    /// The same, to change it before it is written.
    pub(super) const fn conversation_mut(&mut self) -> Option<&mut Arc<ConversationRecord>> {
        match self {
            Self::MessageCreated { conversation, .. }
            | Self::MessageUpdated { conversation, .. }
            | Self::ConversationCreated { conversation }
            | Self::ConversationUpdated { conversation } => Some(conversation),
            _ => None,
        }
    }

    /// The channels whose readers may see it. An alarm of the whole desk has none.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelNo> {
        match self {
            Self::MessageCreated { conversation, .. }
            | Self::MessageUpdated { conversation, .. }
            | Self::ConversationCreated { conversation }
            | Self::ConversationUpdated { conversation } => vec![conversation.channel],
            Self::ContactCreated { contact } | Self::ContactUpdated { contact } => {
                let mut channels: Vec<_> = contact
                    .identities
                    .iter()
                    .map(|identity| identity.channel)
                    .collect();
                channels.sort_unstable();
                channels.dedup();
                channels
            }
            Self::ContactDeleted { channels, .. } => channels.clone(),
            Self::ChannelHealth { channel, .. } => vec![*channel],
            Self::BellRung { ring } | Self::BellAcknowledged { ring } => {
                ring.channel.into_iter().collect()
            }
        }
    }
}

/// The side tables: everything that is neither message, conversation nor contact. Each has a typed entry in
/// [`super::entry`]; the engine only sees bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Table {
    /// Channel numbers and their slugs.
    Channels = 1,
    /// Changes of messages that have not come yet.
    WaitingChanges = 2,
    /// Receipts of threads that have not begun yet.
    WaitingReceipts = 3,
    /// Conversation ids promised to threads that have not begun yet.
    Reservations = 4,
    /// Sessions of website visitors, by the hash of their token.
    Visits = 5,
    /// API tokens, by the hash of the token.
    Tokens = 6,
    /// Sessions of the desk, by the hash of the cookie.
    Sessions = 7,
    /// Uploads that are in no message yet, and where each attachment is.
    Attachments = 8,
    /// Answers to requests with an `Idempotency-Key`.
    Idempotency = 9,
    /// Where each poller and each catch-up stands.
    Cursors = 10,
    /// What could not be understood.
    Quarantine = 11,
    /// Each person's read position in each conversation.
    ReadPositions = 12,
    /// The daemon's own settings.
    Settings = 13,
    /// Answers that are still to be sent.
    Work = 14,
    /// Contacts that were merged into others.
    MergedContacts = 30,
    /// Who wants to be forgotten.
    Deletions = 31,
    /// Files of messages that are still to be fetched.
    Fetches = 20,
    /// People who are still to be looked up.
    Lookups = 21,
    /// When people were last looked up.
    Profiles = 22,
    /// How the channels that were made through the API are set up, by slug.
    ChannelSetups = 15,
    /// What was imported and has another id here.
    ImportedIds = 32,
    /// Who is being erased, and what of them is gone already.
    Erasures = 33,
    /// Who was erased, by keyed hashes.
    Erased = 34,
    /// Rings of the bell: the ledger.
    Rings = 70,
    /// The rings that have not ended.
    OpenRings = 71,
    /// The devices of people.
    Devices = 72,
    /// Whose device an endpoint of a push service is.
    Endpoints = 73,
    /// Codes that give a companion its token.
    Pairings = 74,
    /// What devices are still to be told.
    Tellings = 75,
    /// The key by which push services know the daemon.
    PushKeys = 76,
    /// When people work.
    UserHours = 90,
    /// When channels are open, and what becomes of messages outside.
    ChannelHours = 91,
    /// Who is on call.
    OnCall = 92,
    /// Conversations that got an automatic answer.
    AutoAnswered = 93,
    /// What is wrong.
    Alarms = 94,
    /// When something usually comes in each channel.
    Rhythms = 95,
    /// What people have begun to write.
    Unsent = 60,
    /// Canned replies.
    CannedReplies = 61,
    /// Labels, by name.
    Labels = 62,
    /// Saved views of the inbox.
    Views = 63,
    /// What the shop has decided for everybody.
    DeskSettings = 64,
    /// The people of the shop, by id.
    Users = 40,
    /// The people of the shop, by e-mail address.
    UserEmails = 41,
    /// Invitations that are open, by the hash of their token.
    Invitations = 42,
    /// What each person has set for themselves.
    Preferences = 43,
    /// The audit log.
    Audit = 50,
    /// Where the audit log ends.
    AuditHead = 51,
    /// Outgoing hooks.
    Hooks = 80,
    /// What hooks were or are to be told.
    HookDeliveries = 81,
    /// What of it still waits.
    OpenHookDeliveries = 82,
    /// Up to which event hooks have heard.
    HookCursors = 83,
    /// Teams.
    Teams = 52,
    /// The second factors of people.
    TwoFactors = 53,
    /// Who somebody is at a provider of identities.
    OidcIdentities = 54,
}

/// One entry of a side table: a value, or `None` to remove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The table.
    pub table: Table,
    /// The key: compared as bytes.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// The value.
    #[serde(with = "serde_bytes")]
    pub value: Option<Vec<u8>>,
}

/// A delivery as it came, kept in the log beside what was decided of it, so that it can be decoded again after a
/// connector was mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawDelivery {
    /// The channel at whose address it came.
    pub channel: ChannelNo,
    /// When.
    pub received_at: Time,
    /// The body. The journal packs it together with the message that it became.
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
    /// Whether the body is as it came. Stores of format 1 have it compressed (LZ4 with its length before it).
    #[serde(default)]
    as_it_came: bool,
}

impl RawDelivery {
    /// A delivery with its body as it came.
    #[must_use]
    pub fn new(channel: ChannelNo, received_at: Time, body: impl Into<Vec<u8>>) -> Self {
        Self {
            channel,
            received_at,
            body: body.into(),
            as_it_came: true,
        }
    }

    /// The body as it came; `None` where it is damaged.
    #[must_use]
    pub fn body(&self) -> Option<Cow<'_, [u8]>> {
        if self.as_it_came {
            return Some(Cow::Borrowed(&self.body));
        }
        let body = lz4_flex::decompress_size_prepended(&self.body);
        body.ok().map(Cow::Owned)
    }

    /// Bytes that it takes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.body.len()
    }
}

/// What was erased: its row and all that hangs on it go. Ids are never given twice, so what is gone stays gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Removed {
    /// A message.
    Message {
        /// Its channel.
        channel: ChannelNo,
        /// Which.
        id: MessageId,
    },
    /// A conversation. Its messages are removed one by one.
    Conversation(ConversationId),
}

/// Everything that one durable step writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What happened, numbered on from the head of the log.
    pub events: Vec<LogEvent>,
    /// Side tables, in order.
    pub puts: Vec<Put>,
    /// The deliveries that led to it.
    pub raws: Vec<RawDelivery>,
    /// The highest id given so far.
    pub last_id: u64,
    /// What is erased, after everything else of the group.
    #[serde(default)]
    pub removed: Vec<Removed>,
}

impl Group {
    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.puts.is_empty()
            && self.raws.is_empty()
            && self.removed.is_empty()
    }
}
