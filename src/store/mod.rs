//! Where the desk is kept.
//!
//! The store offers typed reads and one atomic durable step ([`Store::commit`]). It knows the model and the changes;
//! it knows no connector, no HTTP and no rule of the desk. Two engines stand behind the one trait: [`memory`], the
//! readable specification, and [`embedded`], a journal with sled beside it. [`conformance`] runs over both.

pub mod change;
#[cfg(test)]
mod conformance;
pub mod draft;
pub mod embedded;
pub mod entry;
pub mod memory;
pub mod metadata;
mod needle;
pub mod raws;
pub mod record;
pub mod scope;
pub mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Time;

pub use change::{EventBody, Group, LogEvent, Put, RawDelivery, Removed, Table};
pub use needle::Needle;
pub use raws::RawPlace;
pub use record::{ChannelNo, ContactRecord, ConversationRecord, MessageRecord, Place};
pub use scope::Scope;
pub use upkeep::{Forgotten, ScrubReport, SnapshotInfo, UpkeepState};

use crate::id::{ContactId, ConversationId, MessageId};

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing of the group is in; it may be tried again.
    #[error("the store cannot write: {0}")]
    NotWritten(String),
    /// The group is durable, and the tables beside the journal could not follow; they are being rebuilt.
    #[error("the store is being repaired: {0}")]
    Repairing(String),
    /// A read failed.
    #[error("the store cannot read: {0}")]
    Unreadable(String),
}

/// What a read gives.
pub type Found<T> = Result<T, StoreError>;

/// A page of the feed: messages of `kind: message`, newest arrival first.
#[derive(Clone, Debug, Default)]
pub struct FeedPage {
    /// Only these channels; `None`: all that the scope allows.
    pub channels: Option<Vec<ChannelNo>>,
    /// Only what arrived before this message.
    pub before: Option<MessageId>,
    /// How many at the most.
    pub limit: usize,
}

/// A page of the inbox: conversations, last activity first.
#[derive(Clone, Debug, Default)]
pub struct InboxPage {
    /// Only these channels; `None`: all that the scope allows.
    pub channels: Option<Vec<ChannelNo>>,
    /// Only what stands behind this conversation in the order (last activity, id).
    pub behind: Option<(Time, ConversationId)>,
    /// How many at the most.
    pub limit: usize,
}

/// Typed reads. Each takes the reader's [`Scope`], so that nothing can be read past it; what lies outside is as if it
/// did not exist. A write is visible to every read that starts after its commit returned.
pub trait Read: Send + Sync {
    /// The number of the newest event; 0 where there is none.
    fn head(&self) -> u64;

    /// The number of the oldest event that is kept; `head() + 1` where none is.
    fn oldest(&self) -> u64;

    /// The highest id given so far.
    fn last_id(&self) -> u64;

    /// Events after number `after`, oldest first, at most `limit`. The scope does not filter here, since a reader's
    /// position moves over what it may not see: the reader filters by [`EventBody::channels`].
    fn events(&self, after: u64, limit: usize) -> Found<Vec<LogEvent>>;

    /// Deliveries that are kept as they came and stand behind `after`, oldest first: at most `limit`, and fewer where
    /// they are large. None: there are no more. They are the daemon's own; who reads them decides whose they are.
    fn raws(&self, after: RawPlace, limit: usize) -> Found<Vec<(RawPlace, RawDelivery)>>;

    /// The feed.
    fn feed(&self, scope: &Scope, page: &FeedPage) -> Found<Vec<Arc<MessageRecord>>>;

    /// The inbox.
    fn inbox(&self, scope: &Scope, page: &InboxPage) -> Found<Vec<Arc<ConversationRecord>>>;

    /// The entries of a conversation before `before`, newest first.
    fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        before: Place,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>>;

    /// One message.
    fn message(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        id: MessageId,
    ) -> Found<Option<Arc<MessageRecord>>>;

    /// The message that has this id at the platform.
    fn message_by_external_id(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<MessageId>>;

    /// One conversation.
    fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
    ) -> Found<Option<Arc<ConversationRecord>>>;

    /// The conversation of a thread.
    fn conversation_by_thread(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        thread: &str,
    ) -> Found<Option<ConversationId>>;

    /// The conversations of a contact, oldest first.
    fn conversations_of(&self, scope: &Scope, contact: ContactId) -> Found<Vec<ConversationId>>;

    /// One contact; visible where one of its identities is.
    fn contact(&self, scope: &Scope, id: ContactId) -> Found<Option<Arc<ContactRecord>>>;

    /// The contact that has this id at the platform.
    fn contact_by_identity(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<ContactId>>;

    /// Contacts with an id below `before` (`None`: from the newest), newest first.
    fn contacts(
        &self,
        scope: &Scope,
        before: Option<ContactId>,
        limit: usize,
    ) -> Found<Vec<Arc<ContactRecord>>>;

    /// Entries of every kind with an id above `after`, in the order of arrival, at most `limit`.
    fn messages_after(
        &self,
        scope: &Scope,
        after: MessageId,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>>;

    /// Conversations with an id above `after`, oldest first, at most `limit`.
    fn conversations_after(
        &self,
        scope: &Scope,
        after: ConversationId,
        limit: usize,
    ) -> Found<Vec<Arc<ConversationRecord>>>;

    /// One entry of a side table. Side tables are the daemon's own; what of them is shown is decided by their readers.
    fn get(&self, table: Table, key: &[u8]) -> Found<Option<Vec<u8>>>;

    /// Entries of a side table whose key begins with `prefix` and is larger than `after`, by key, at most `limit`.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Vec<u8>)>>;
}

/// The one atomic durable step.
pub trait Store: Read {
    /// Writes a group. When it returns, the group is durable and visible; when it fails with
    /// [`StoreError::NotWritten`], nothing of it is in. The events are numbered on from [`Read::head`]. Only one
    /// thread commits.
    fn commit(&self, group: Group) -> Result<(), StoreError>;

    /// Makes a snapshot of all that is durable, beside the commits, and gives it; where nothing came since the newest
    /// one, that one.
    ///
    /// # Errors
    /// The disk refuses, or the engine keeps nothing. Then everything is as it was.
    fn snapshot(&self) -> Result<SnapshotInfo, StoreError>;

    /// Drops what of the log is older than `keep` and held by two whole snapshots; how many files that was. Then
    /// [`Read::oldest`] is higher.
    ///
    /// # Errors
    /// The disk refuses.
    fn drop_old(&self, keep: Duration) -> Result<u64, StoreError>;

    /// Compares what is read with what was logged, beside everything else and at most so many rows a second (0: as
    /// fast as it goes). What differs is an alarm, and what is read is made again.
    ///
    /// # Errors
    /// Something cannot be read, or the store closes.
    fn scrub(&self, rows_per_second: u64) -> Result<ScrubReport, StoreError>;

    /// Takes everything that one of `needles` is found in out of what was logged until now, and out of every file:
    /// events, entries and deliveries. What is to be read no more is removed by a group before. It may take minutes,
    /// goes on beside everything else, and may be repeated where it was cut off.
    ///
    /// # Errors
    /// The disk refuses, or the store closes: then it is to be called again.
    fn forget(&self, needles: &[Needle]) -> Result<Forgotten, StoreError>;

    /// How the upkeep stands.
    fn upkeep(&self) -> UpkeepState;

    /// How many bytes the store takes on disk, for the metrics; 0 in memory.
    fn bytes_on_disk(&self) -> u64;

    /// Closes cleanly, so that the next start is quick. Nothing may be committed afterwards.
    fn close(&self) -> Result<(), StoreError>;
}
