//! The typed entries of the side tables.

mod audit;
mod bell;
mod devices;
mod erasure;
mod factors;
mod hooks;
mod hours;
mod people;
mod rhythm;
mod teams;
mod tokens;
mod working;

use std::collections::BTreeMap;

use deskbell_sdk::{DeliveryState, Source, Time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use audit::{
    Actor, ActorKind, AuditDetail, AuditEntry, AuditHead, AuditRecord, AuditTarget, AuditValue,
};
pub use bell::{
    Alarm, AlarmEntry, AlarmKind, Attempt, AttemptResult, OpenRing, RingEnd, RingEntry, RingState,
};
pub use devices::{
    DeviceEntry, DeviceKind, DeviceTest, DevicesEntry, EndpointEntry, PairingEntry, PushKeyEntry,
    Telling, TellingEntry, endpoint_hash,
};
pub use erasure::{ErasedIds, ErasedPerson, ErasureEntry};
pub use factors::{IdentityEntry, TwoFactorEntry, identity_key};
pub use hooks::{
    HookAttempt, HookCursor, HookDeliveryEntry, HookDeliveryState, HookEntry, HookKind,
    OpenHookDelivery,
};
pub use hours::{
    AfterHours, AnswerBy, AutoAnsweredEntry, ChannelHoursEntry, Day, OnCallEntry, Span,
    UserHoursEntry, WeekEntry,
};
pub use people::{
    EmailEntry, InvitationEntry, Preferences, PreferencesEntry, Role, SET_UP_KEY, SessionEntry,
    UserEntry, UserStatus, email_key,
};
pub use rhythm::RhythmEntry;
pub use teams::TeamEntry;
pub use tokens::{Right, TokenEntry};
pub use working::{
    CannedReplyEntry, DeskSettings, LabelEntry, ReadPosition, UnreadUntil, UnsentEntry, ViewEntry,
};

use super::change::{Put, Table};
use super::record::{ChannelNo, MessageChanges};
use super::{Found, Read, StoreError};
use crate::id::{AttachmentId, ContactId, ConversationId, MessageId, QuarantineId, WorkId};

/// An entry of a side table. Written as a MessagePack array: fields are only appended, with a default.
pub trait Entry: Serialize + DeserializeOwned {
    /// Its table.
    const TABLE: Table;

    /// Reads one.
    fn get<R: Read + ?Sized>(store: &R, key: &[u8]) -> Found<Option<Self>> {
        store
            .get(Self::TABLE, key)?
            .map(|bytes| Self::from_bytes(&bytes))
            .transpose()
    }

    /// Reads those whose key begins with `prefix`, by key, at most `limit`.
    fn scan<R: Read + ?Sized>(
        store: &R,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Self)>> {
        let rows = store.scan(Self::TABLE, prefix, after, limit)?;
        rows.into_iter()
            .map(|(key, bytes)| Ok((key, Self::from_bytes(&bytes)?)))
            .collect()
    }

    /// From its bytes.
    fn from_bytes(bytes: &[u8]) -> Found<Self> {
        rmp_serde::from_slice(bytes).map_err(|error| {
            StoreError::Unreadable(format!("an entry of {:?}: {error}", Self::TABLE))
        })
    }

    /// Writes it under `key`.
    fn put(&self, key: Vec<u8>) -> Put {
        // Only maps with keys that are no strings and unsized sequences can fail, and no entry has them.
        #[expect(
            clippy::expect_used,
            reason = "entries are plain data, which MessagePack always takes"
        )]
        let value = rmp_serde::to_vec(self).expect("plain data");
        Put {
            table: Self::TABLE,
            key,
            value: Some(value),
        }
    }

    /// Removes what stands under `key`.
    fn remove(key: Vec<u8>) -> Put {
        Put {
            table: Self::TABLE,
            key,
            value: None,
        }
    }
}

/// The key of a platform's id in a channel: the channel's number and 128 bits of SHA-256, so that long ids take no
/// more room than short ones and a crafted one meets no other.
#[must_use]
pub fn external_key(channel: ChannelNo, external_id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.extend_from_slice(&channel.0.to_be_bytes());
    key.extend_from_slice(&Sha256::digest(external_id.as_bytes())[..16]);
    key
}

/// The hash under which a bearer secret is kept.
#[must_use]
pub fn secret_hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// A channel's number and what it stands for. Key: the slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelEntry {
    /// The number.
    pub no: ChannelNo,
    /// The slug.
    pub id: String,
    /// The connector.
    pub connector: String,
    /// The name when it was last opened.
    pub name: String,
    /// Since when it is known.
    pub created_at: Time,
}

impl Entry for ChannelEntry {
    const TABLE: Table = Table::Channels;
}

/// How a channel that was made through the API is set up. Key: the slug. Once the channel is removed there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSetup {
    /// The connector.
    pub connector: String,
    /// The name.
    pub name: String,
    /// What was given of the connector's settings, by key.
    pub settings: BTreeMap<String, KeptSetting>,
    /// The platform's address, where it is not the connector's own.
    pub api_base: Option<String>,
    /// Whether what was missed is fetched.
    pub catch_up: bool,
    /// When it was last changed.
    pub changed_at: Time,
}

impl ChannelSetup {
    /// About how many bytes of memory it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        let values = self.settings.iter().map(|(key, value)| {
            let bytes = match value {
                KeptSetting::Text(text) => text.len(),
                KeptSetting::Flag(_) => 0,
                KeptSetting::List(items) => items.iter().map(|item| item.len() + 24).sum(),
                KeptSetting::Sealed(value) => value.sealed.len() + 64,
            };
            key.len() + bytes + 64
        });
        self.name.len() + values.sum::<usize>()
    }
}

impl Entry for ChannelSetup {
    const TABLE: Table = Table::ChannelSetups;
}

/// A setting as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeptSetting {
    /// A text or a choice.
    Text(String),
    /// A flag.
    Flag(bool),
    /// A list.
    List(Vec<String>),
    /// A secret.
    Sealed(SealedValue),
}

/// A secret as it is kept: without the daemon's key it is nothing (K01).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue {
    /// The name of the key that sealed it.
    pub key: String,
    /// What makes each sealing a different one.
    #[serde(with = "serde_bytes")]
    pub nonce: Vec<u8>,
    /// The secret, sealed.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
}

/// Changes of a message that has not come yet. Key: [`external_key`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingChanges {
    /// The changes, merged.
    pub changes: MessageChanges,
    /// When the first came.
    pub since: Time,
}

impl Entry for WaitingChanges {
    const TABLE: Table = Table::WaitingChanges;
}

/// Receipts of a thread that has not begun yet. Key: [`external_key`] of the thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingReceipts {
    /// Delivered up to.
    pub delivered_up_to: Option<Time>,
    /// Read up to.
    pub read_up_to: Option<Time>,
    /// The customer's last deed (a reaction before any message).
    pub customer_acted_at: Option<Time>,
}

impl Entry for WaitingReceipts {
    const TABLE: Table = Table::WaitingReceipts;
}

/// The conversation id promised to a thread. Key: [`external_key`] of the thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The id.
    pub conversation: ConversationId,
    /// When it was last promised.
    #[serde(default)]
    pub promised_at: Time,
}

impl Entry for Reservation {
    const TABLE: Table = Table::Reservations;
}

/// A visitor's session. Key: [`secret_hash`] of the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The channel.
    pub channel: ChannelNo,
    /// The thread that the token opens, and no other.
    pub thread: String,
    /// The conversation of that thread.
    pub conversation: ConversationId,
    /// The origin of the page that began it; the token works from no other. Empty where there was none.
    pub origin: String,
    /// The visitor's proven id at the shop.
    pub identified: bool,
    /// The name, where it was proven.
    pub name: Option<String>,
    /// The e-mail address, where it was proven.
    pub email: Option<String>,
    /// When it began.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
}

impl Entry for Visit {
    const TABLE: Table = Table::Visits;
}

/// Where an attachment is, and what it is while it is in no message. Key: the attachment's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentEntry {
    /// Its id.
    pub id: AttachmentId,
    /// The message it is in.
    pub message: Option<(ChannelNo, MessageId)>,
    /// Who uploaded it: only the same may put it into a message or see it before.
    pub owner: String,
    /// SHA-256 of the content in hex.
    pub content: String,
    /// File name.
    pub name: Option<String>,
    /// Sniffed type.
    pub mime_type: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was uploaded.
    pub created_at: Time,
}

impl Entry for AttachmentEntry {
    const TABLE: Table = Table::Attachments;
}

/// The answer to a request with an `Idempotency-Key`. Key: SHA-256 of who, where and the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyEntry {
    /// SHA-256 of the request's body.
    pub body: Vec<u8>,
    /// What was made: an id as text.
    pub made: String,
    /// When.
    pub at: Time,
}

impl Entry for IdempotencyEntry {
    const TABLE: Table = Table::Idempotency;
}

/// Something that was signed and could not be understood. Key: the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineEntry {
    /// Its id.
    pub id: QuarantineId,
    /// The channel.
    pub channel: ChannelNo,
    /// When it came.
    pub received_at: Time,
    /// What was wrong with it.
    pub why: String,
    /// It, as it came, at most 64 kB; the whole delivery is in the log.
    pub raw: String,
}

impl Entry for QuarantineEntry {
    const TABLE: Table = Table::Quarantine;
}

/// A contact that was merged into another. Key: its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedContact {
    /// The contact that has taken over its identities and conversations; it may have been merged itself since.
    pub into: ContactId,
    /// When.
    pub at: Time,
}

impl Entry for MergedContact {
    const TABLE: Table = Table::MergedContacts;
}

/// A person asked the platform to be forgotten. Kept under two keys: [`DeletionEntry::key_of_person`], by which a
/// repeated request is known, and [`DeletionEntry::key_of_code`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionEntry {
    /// By which the person can ask how it stands: unguessable.
    pub code: String,
    /// The channel.
    pub channel: ChannelNo,
    /// The platform's id of the person.
    pub person: String,
    /// Who that is here, where the platform uses the same id for messages.
    pub contact: Option<ContactId>,
    /// When it was first asked.
    pub requested_at: Time,
    /// When the shop said that it is done.
    pub done_at: Option<Time>,
}

impl DeletionEntry {
    /// Before the keys by person.
    pub const BY_PERSON: &'static [u8] = b"p";

    /// The key by person.
    #[must_use]
    pub fn key_of_person(channel: ChannelNo, person: &str) -> Vec<u8> {
        [Self::BY_PERSON, &external_key(channel, person)].concat()
    }

    /// The key by code.
    #[must_use]
    pub fn key_of_code(code: &str) -> Vec<u8> {
        [b"c", code.as_bytes()].concat()
    }
}

impl Entry for DeletionEntry {
    const TABLE: Table = Table::Deletions;
}

/// Where the poller of a channel stands. Key: [`poll_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollCursor {
    /// Where the next look begins, in the platform's words; empty: at the platform's own beginning.
    pub next: String,
    /// When the platform was last looked at; while nothing happens it is some minutes old.
    pub looked_at: Time,
}

impl Entry for PollCursor {
    const TABLE: Table = Table::Cursors;
}

/// The key of the cursor of a channel's poller.
#[must_use]
pub fn poll_key(channel: ChannelNo) -> Vec<u8> {
    [&channel.0.to_be_bytes()[..], b"poll"].concat()
}

/// What was imported and has another id here: because it was here already, or because its id was taken. Key:
/// [`imported_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedId {
    /// Its id here.
    pub id: u64,
    /// Whether the import made it, so that a later export of the same desk may change it; else it was here before.
    pub made: bool,
}

impl Entry for ImportedId {
    const TABLE: Table = Table::ImportedIds;
}

/// The key of an imported thing: a letter that says what it is, and its id where it came from.
#[must_use]
pub fn imported_key(what: u8, id: u64) -> Vec<u8> {
    [&[what][..], &id.to_be_bytes()].concat()
}

/// A small value of the daemon's own. Key: its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingEntry {
    /// The value.
    pub value: String,
}

impl Entry for SettingEntry {
    const TABLE: Table = Table::Settings;
}

/// An answer on its way out. Key: the id, which is its message's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkEntry {
    /// Its id: the number of its message.
    pub id: WorkId,
    /// The channel.
    pub channel: ChannelNo,
    /// The conversation: items of one are carried out in order.
    pub conversation: ConversationId,
    /// The message that is to be sent.
    pub message: MessageId,
    /// What it is cut into.
    pub parts: Vec<PartRecord>,
    /// The part that is to be sent next.
    pub next_part: usize,
    /// How far the next part has come.
    pub state: WorkState,
    /// When it is due.
    pub due_at: Time,
    /// When it was decided.
    pub created_at: Time,
    /// Since when the fate of the next part is looked for.
    #[serde(default)]
    pub looking_since: Option<Time>,
}

impl Entry for WorkEntry {
    const TABLE: Table = Table::Work;
}

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartRecord {
    /// A text.
    Text(String),
    /// The attachment with this place in the message.
    File(usize),
}

/// Up to where a channel's history is known to be here whole. Key: [`catch_up_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUpMark {
    /// Everything that the platform wrote down before this, by its own clock, is here.
    pub complete_to: Time,
    /// Where a run was broken off: of the threads that moved since `complete_to`, those that last moved before this are
    /// here.
    pub done_to: Option<Time>,
}

impl Entry for CatchUpMark {
    const TABLE: Table = Table::Cursors;
}

/// Under which key a channel's [`CatchUpMark`] stands.
#[must_use]
pub fn catch_up_key(channel: ChannelNo) -> Vec<u8> {
    [&channel.0.to_be_bytes()[..], b"catch-up"].concat()
}

/// Something of a platform's history that could not be read and was set aside, so that it is set aside once. Key:
/// [`set_aside_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Since when.
    pub since: Time,
}

impl Entry for SetAside {
    const TABLE: Table = Table::Cursors;
}

/// Under which key a [`SetAside`] stands: the channel, and a hash of what it is.
#[must_use]
pub fn set_aside_key(channel: ChannelNo, raw: &str) -> Vec<u8> {
    let hash = Sha256::digest(raw.as_bytes());
    [&channel.0.to_be_bytes()[..], b"set-aside", &hash[..16]].concat()
}

/// How far a part has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkState {
    /// Waits to be attempted.
    Waiting {
        /// How often it was attempted before.
        attempts: u32,
    },
    /// An attempt is being made, or was when the daemon ended.
    Attempting {
        /// Which attempt it is, from 1.
        attempts: u32,
        /// When it began.
        since: Time,
    },
    /// The answer to an attempt was lost; whether it arrived is looked for.
    Looking {
        /// How often it was attempted.
        attempts: u32,
        /// When the last attempt began.
        since: Time,
    },
}

impl WorkState {
    /// How often the part was attempted.
    #[must_use]
    pub const fn attempts(self) -> u32 {
        match self {
            Self::Waiting { attempts }
            | Self::Attempting { attempts, .. }
            | Self::Looking { attempts, .. } => attempts,
        }
    }

    /// When the last attempt began, where its end is not known.
    #[must_use]
    pub const fn since(self) -> Option<Time> {
        match self {
            Self::Waiting { .. } => None,
            Self::Attempting { since, .. } | Self::Looking { since, .. } => Some(since),
        }
    }
}

/// Files of one message that are to be fetched. Key: the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchEntry {
    /// Its id.
    pub id: WorkId,
    /// The channel.
    pub channel: ChannelNo,
    /// The message.
    pub message: MessageId,
    /// What is still missing.
    pub files: Vec<FetchFile>,
    /// When it was decided.
    pub created_at: Time,
}

impl Entry for FetchEntry {
    const TABLE: Table = Table::Fetches;
}

impl FetchEntry {
    /// When the next of its files is due.
    #[must_use]
    pub fn due_at(&self) -> Time {
        let next = self.files.iter().map(|file| file.due_at).min();
        next.unwrap_or(self.created_at)
    }
}

/// A file that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFile {
    /// The attachment.
    pub attachment: AttachmentId,
    /// Its place in its message, from 0.
    pub place: usize,
    /// Where the message said that it is.
    pub source: Source,
    /// How often it was tried; an attempt counts from before it is made.
    pub attempts: u32,
    /// Whether what the message said no longer works.
    pub is_gone: bool,
    /// When it is due.
    pub due_at: Time,
}

/// A person who is to be looked up at the platform. Key: the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupEntry {
    /// Its id.
    pub id: WorkId,
    /// The channel.
    pub channel: ChannelNo,
    /// Who it is here.
    pub contact: ContactId,
    /// Who it is at the platform.
    pub person: String,
    /// Since when the person waits for an answer: the longest goes first.
    pub waiting_since: Time,
    /// How often it was tried; an attempt counts from before it is made.
    pub attempts: u32,
    /// When it is due.
    pub due_at: Time,
    /// When it was decided.
    pub created_at: Time,
}

impl Entry for LookupEntry {
    const TABLE: Table = Table::Lookups;
}

/// When a person was last looked up. Key: [`external_key`] of the person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileEntry {
    /// The look-up that is under way.
    pub pending: Option<WorkId>,
    /// When the last one ended.
    pub looked_at: Option<Time>,
}

impl Entry for ProfileEntry {
    const TABLE: Table = Table::Profiles;
}

/// The state of delivery that a thread's receipts give to what we sent at `sent_at`.
#[must_use]
pub fn delivery_by_receipts(
    delivered_up_to: Option<Time>,
    read_up_to: Option<Time>,
    sent_at: Time,
) -> Option<(DeliveryState, Time)> {
    match (read_up_to, delivered_up_to) {
        (Some(read), _) if sent_at <= read => Some((DeliveryState::Read, read)),
        (_, Some(delivered)) if sent_at <= delivered => Some((DeliveryState::Delivered, delivered)),
        _ => None,
    }
}
