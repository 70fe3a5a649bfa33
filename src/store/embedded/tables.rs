//! The conversation model in sled: a view of the journal, which can be made again from it at any time.
//!
//! One tree, since only within one is a batch atomic. Numbers are big-endian, so that scans run in order:
//!
//! | key | value |
//! |---|---|
//! | `m` channel(2) message(8) | the message |
//! | `o` conversation(8) place(24) | its message's channel(2); the place ends in the message's id |
//! | `x` channel(2) hash(16) of a platform's message id | message(8) |
//! | `c` conversation(8) | the conversation |
//! | `t` channel(2) hash(16) of a platform's thread id | conversation(8) |
//! | `p` contact(8) | the contact |
//! | `q` channel(2) hash(16) of a platform's id of a person | contact(8) |
//! | `P` contact(8) conversation(8) | its channel(2) |
//! | `s` table(1) key | an entry of a side table |
//! | `!` | [`Position`] |
//!
//! The feed is a merge of backward scans over the `m` of the channels that the reader may see: what lies outside the
//! scope is not even touched. Records are MessagePack arrays. A group is one batch, which carries the [`Position`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::IVec;

use super::key;
use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::record::MessageKind;
use crate::store::{
    ChannelNo, ContactRecord, ConversationRecord, Found, MessageRecord, Place, Scope, StoreError,
    Table,
};

/// Where the last applied frame is kept.
const POSITION_KEY: &[u8] = b"!";

/// Up to where the tables hold what the journal says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The last applied frame.
    pub(super) frame: u64,
    /// The last event that it or one before it had.
    pub(super) seq: u64,
    /// The highest id given until then.
    pub(super) last_id: u64,
    /// How many conversations there are: told apart from what a scan finds, it shows rows that sled lost.
    pub(super) conversations: u64,
}

fn last_number(key: &[u8]) -> Option<u64> {
    let from = key.len().checked_sub(8)?;
    key[from..].try_into().ok().map(u64::from_be_bytes)
}

fn channel_in(value: &[u8]) -> Option<ChannelNo> {
    value
        .try_into()
        .ok()
        .map(|bytes| ChannelNo(u16::from_be_bytes(bytes)))
}

fn odd_row(what: &str) -> StoreError {
    StoreError::Unreadable(format!("the tables hold a row of {what} that is none"))
}

fn record<T: DeserializeOwned>(what: &str, value: &[u8]) -> Found<T> {
    rmp_serde::from_slice(value)
        .map_err(|error| StoreError::Unreadable(format!("a row of {what} in the tables: {error}")))
}

/// The result of a call of sled's, as the store says it.
fn said<T>(result: sled::Result<T>) -> Found<T> {
    result.map_err(|error| StoreError::Unreadable(format!("the tables: {error}")))
}

/// The tables of one opened sled.
pub(super) struct Tables {
    db: sled::Db,
    suspect: AtomicBool,
    rebuild_flag: PathBuf,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables")
            .field("suspect", &self.suspect)
            .finish_non_exhaustive()
    }
}

impl Tables {
    /// Opens sled. It may panic on damaged files; that ends a thread of its own and is an error here.
    /// `rebuild_flag` is the file that asks the next start to rebuild the tables.
    pub(super) fn open(directory: &Path, cache_bytes: u64, rebuild_flag: PathBuf) -> Found<Self> {
        remove_half_snapshots(directory);
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(cache_bytes);
        let opening = std::thread::Builder::new()
            .name("tables-open".to_owned())
            .spawn(move || config.open());
        let opened = opening
            .map_err(|error| {
                StoreError::Unreadable(format!("no thread to open the tables: {error}"))
            })?
            .join()
            .map_err(|_| StoreError::Unreadable("sled panicked while it opened".to_owned()))?;
        Ok(Self {
            db: said(opened)?,
            suspect: AtomicBool::new(false),
            rebuild_flag,
        })
    }

    /// Whether a call failed, so that nothing more may be believed.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::SeqCst)
    }

    /// No more to be believed, in this run and the next.
    pub(super) fn distrust(&self) {
        if !self.suspect.swap(true, Ordering::SeqCst)
            && let Err(error) = std::fs::write(&self.rebuild_flag, b"")
        {
            tracing::warn!(%error, "the next start cannot be told to rebuild the tables");
        }
    }

    /// Reads, and holds what sled does wrong: its panics become errors, and either kind ends all trust.
    fn guarded<T>(&self, read: impl FnOnce(&sled::Tree) -> Found<T>) -> Found<T> {
        let result = catch_unwind(AssertUnwindSafe(|| read(&self.db)))
            .unwrap_or_else(|_| Err(StoreError::Unreadable("sled panicked".to_owned())));
        if let Err(error) = &result {
            tracing::error!(%error, "the tables cannot be read; they will be rebuilt from the journal");
            self.distrust();
        }
        result
    }

    /// Applies rows in one batch, whole or not at all.
    pub(super) fn apply(&self, rows: Rows) -> Found<()> {
        let mut batch = sled::Batch::default();
        for (key, value) in rows.rows {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.guarded(|tree| said(tree.apply_batch(batch)))
    }

    /// Inserts many rows, one by one: faster than a batch, and not atomic. Neighbours come together, and two threads
    /// share the work, as this is what a start waits for.
    pub(super) fn insert_all(&self, mut rows: Rows) -> Found<()> {
        rows.rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        let second = rows.rows.split_off(rows.rows.len() / 2);
        let insert = |rows: Vec<(Vec<u8>, Option<Vec<u8>>)>| {
            self.guarded(|tree| {
                for (key, value) in rows {
                    match value {
                        Some(value) => said(tree.insert(key, value))?,
                        None => said(tree.remove(key))?,
                    };
                }
                Ok(())
            })
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| insert(second));
            insert(rows.rows)?;
            other.join().unwrap_or_else(|_| {
                Err(StoreError::Unreadable(
                    "an inserting thread panicked".to_owned(),
                ))
            })
        })
    }

    /// Writes out what sled still holds in memory. Not on the path of a commit: the journal is the commit point.
    pub(super) fn flush(&self) -> Found<()> {
        self.guarded(|tree| said(tree.flush()).map(|_| ()))
    }

    /// Up to where they are applied; the default where they are empty.
    pub(super) fn position(&self) -> Found<Position> {
        self.guarded(|tree| match said(tree.get(POSITION_KEY))? {
            Some(value) => record("the position", &value),
            None => Ok(Position::default()),
        })
    }

    fn record<T: DeserializeOwned>(&self, what: &str, key: &[u8]) -> Found<Option<T>> {
        self.guarded(|tree| {
            said(tree.get(key))?
                .map(|value| record(what, &value))
                .transpose()
        })
    }

    /// The number that stands under a key.
    pub(super) fn number(&self, key: &[u8]) -> Found<Option<u64>> {
        self.guarded(|tree| match said(tree.get(key))? {
            Some(value) => last_number(&value)
                .map(Some)
                .ok_or_else(|| odd_row("numbers")),
            None => Ok(None),
        })
    }

    /// A message.
    pub(super) fn message(
        &self,
        channel: ChannelNo,
        id: MessageId,
    ) -> Found<Option<Arc<MessageRecord>>> {
        self.record("messages", &key::message(channel, id))
    }

    /// A conversation.
    pub(super) fn conversation(
        &self,
        id: ConversationId,
    ) -> Found<Option<Arc<ConversationRecord>>> {
        self.record("conversations", &key::conversation(id))
    }

    /// A contact.
    pub(super) fn contact(&self, id: ContactId) -> Found<Option<Arc<ContactRecord>>> {
        self.record("contacts", &key::contact(id))
    }

    /// Shows every conversation to `visit`.
    pub(super) fn each_conversation(
        &self,
        mut visit: impl FnMut(&ConversationRecord),
    ) -> Found<()> {
        self.guarded(|tree| {
            for row in tree.scan_prefix(b"c") {
                visit(&record::<ConversationRecord>(
                    "conversations",
                    &said(row)?.1,
                )?);
            }
            Ok(())
        })
    }

    /// The feed of these channels: messages that arrived before `before`, newest first.
    pub(super) fn feed(
        &self,
        channels: &[ChannelNo],
        before: MessageId,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        self.guarded(|tree| {
            let scan = |channel: &ChannelNo| {
                let rows = tree
                    .range(key::message(*channel, MessageId(0))..key::message(*channel, before));
                rows.rev()
            };
            let mut scans: Vec<_> = channels.iter().map(scan).collect();
            let mut heads = BinaryHeap::with_capacity(scans.len());
            for (place, scan) in scans.iter_mut().enumerate() {
                heads.extend(next_of(scan, place)?);
            }
            let mut page = Vec::new();
            while page.len() < limit
                && let Some((_, place, value)) = heads.pop()
            {
                let message: Arc<MessageRecord> = record("messages", &value)?;
                if message.kind == MessageKind::Message {
                    page.push(message);
                }
                heads.extend(next_of(&mut scans[place], place)?);
            }
            Ok(page)
        })
    }

    /// Entries of every kind of these channels that arrived after `after`, oldest first.
    pub(super) fn messages_after(
        &self,
        channels: &[ChannelNo],
        after: MessageId,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        let Some(first) = after.0.checked_add(1) else {
            return Ok(Vec::new());
        };
        self.guarded(|tree| {
            let scan = |channel: &ChannelNo| {
                tree.range(
                    key::message(*channel, MessageId(first))
                        ..=key::message(*channel, MessageId(u64::MAX)),
                )
            };
            let mut scans: Vec<_> = channels.iter().map(scan).collect();
            let mut heads = BinaryHeap::with_capacity(scans.len());
            for (place, scan) in scans.iter_mut().enumerate() {
                heads.extend(next_of(scan, place)?.map(Reverse));
            }
            let mut page = Vec::new();
            while page.len() < limit
                && let Some(Reverse((_, place, value))) = heads.pop()
            {
                page.push(record("messages", &value)?);
                heads.extend(next_of(&mut scans[place], place)?.map(Reverse));
            }
            Ok(page)
        })
    }

    /// Conversations above `after` that the scope allows, oldest first.
    pub(super) fn conversations_after(
        &self,
        scope: &Scope,
        after: ConversationId,
        limit: usize,
    ) -> Found<Vec<Arc<ConversationRecord>>> {
        let Some(first) = after.0.checked_add(1) else {
            return Ok(Vec::new());
        };
        self.guarded(|tree| {
            let rows = tree.range(
                key::conversation(ConversationId(first))
                    ..=key::conversation(ConversationId(u64::MAX)),
            );
            let mut page = Vec::new();
            for row in rows {
                if page.len() >= limit {
                    break;
                }
                let conversation: Arc<ConversationRecord> = record("conversations", &said(row)?.1)?;
                if scope.allows(conversation.channel) {
                    page.push(conversation);
                }
            }
            Ok(page)
        })
    }

    /// The entries of a conversation before a place, newest first.
    pub(super) fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        before: Place,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        self.guarded(|tree| {
            let rows = tree
                .range(key::order(conversation, Place::FIRST)..key::order(conversation, before));
            let mut page = Vec::new();
            for row in rows.rev() {
                if page.len() >= limit {
                    break;
                }
                let (order, channel) = said(row)?;
                let id = last_number(&order)
                    .map(MessageId)
                    .ok_or_else(|| odd_row("the order"))?;
                let channel = channel_in(&channel).ok_or_else(|| odd_row("the order"))?;
                if !scope.allows(channel) {
                    continue;
                }
                let value = said(tree.get(key::message(channel, id)))?
                    .ok_or_else(|| odd_row("the order"))?;
                page.push(record("messages", &value)?);
            }
            Ok(page)
        })
    }

    /// The conversations of a contact, oldest first.
    pub(super) fn conversations_of(
        &self,
        scope: &Scope,
        contact: ContactId,
    ) -> Found<Vec<ConversationId>> {
        self.guarded(|tree| {
            let mut prefix = vec![b'P'];
            prefix.extend_from_slice(&contact.key());
            let mut found = Vec::new();
            for row in tree.scan_prefix(prefix) {
                let (key, channel) = said(row)?;
                let channel =
                    channel_in(&channel).ok_or_else(|| odd_row("contacts' conversations"))?;
                if scope.allows(channel) {
                    found.extend(last_number(&key).map(ConversationId));
                }
            }
            Ok(found)
        })
    }

    /// Contacts below `before`, newest first, that `wanted` takes.
    pub(super) fn contacts(
        &self,
        before: ContactId,
        limit: usize,
        wanted: impl Fn(&ContactRecord) -> bool,
    ) -> Found<Vec<Arc<ContactRecord>>> {
        self.guarded(|tree| {
            let mut page = Vec::new();
            for row in tree
                .range(key::contact(ContactId(0))..key::contact(before))
                .rev()
            {
                if page.len() >= limit {
                    break;
                }
                let contact: Arc<ContactRecord> = record("contacts", &said(row)?.1)?;
                if wanted(&contact) {
                    page.push(contact);
                }
            }
            Ok(page)
        })
    }

    /// The bytes under a key.
    pub(super) fn value(&self, key: &[u8]) -> Found<Option<Vec<u8>>> {
        self.guarded(|tree| Ok(said(tree.get(key))?.map(|value| value.to_vec())))
    }

    /// Rows whose key begins with `kind` and is larger than `after`, by key.
    pub(super) fn rows_of_kind(
        &self,
        kind: u8,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Vec<u8>)>> {
        self.guarded(|tree| {
            let mut from = after.unwrap_or(&[kind]).to_vec();
            if after.is_some() {
                // The smallest key behind `after`.
                from.push(0);
            }
            let mut found = Vec::new();
            for row in tree.range(from..).take(limit) {
                let (key, value) = said(row)?;
                if key.first() != Some(&kind) {
                    break;
                }
                found.push((key.to_vec(), value.to_vec()));
            }
            Ok(found)
        })
    }

    /// An entry of a side table.
    pub(super) fn side(&self, table: Table, key: &[u8]) -> Found<Option<Vec<u8>>> {
        self.guarded(|tree| Ok(said(tree.get(key::side(table, key)))?.map(|value| value.to_vec())))
    }

    /// Entries of a side table whose key begins with `prefix` and is larger than `after`, by key.
    pub(super) fn side_scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Vec<u8>)>> {
        self.guarded(|tree| {
            let within = key::side(table, prefix);
            let mut from = key::side(
                table,
                after.filter(|after| *after >= prefix).unwrap_or(prefix),
            );
            if after.is_some_and(|after| after >= prefix) {
                // The smallest key behind `after`.
                from.push(0);
            }
            let mut found = Vec::new();
            for row in tree.range(from..).take(limit) {
                let (key, value) = said(row)?;
                if !key.starts_with(&within) {
                    break;
                }
                found.push((key[2..].to_vec(), value.to_vec()));
            }
            Ok(found)
        })
    }
}

/// The next row of a channel's scan, with the message's id before it, so that the newest comes out of a heap first.
fn next_of(
    scan: &mut impl Iterator<Item = sled::Result<(IVec, IVec)>>,
    place: usize,
) -> Found<Option<(u64, usize, IVec)>> {
    let Some(row) = scan.next() else {
        return Ok(None);
    };
    let (key, value) = said(row)?;
    let id = last_number(&key).ok_or_else(|| odd_row("messages"))?;
    Ok(Some((id, place, value)))
}

/// Rows to write (a value) and to remove (none).
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Rows {
    /// Writes a row.
    pub(super) fn put(&mut self, key: Vec<u8>, value: impl Into<Vec<u8>>) {
        self.rows.push((key, Some(value.into())));
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.rows.push((key, None));
    }

    /// The keys that are written.
    pub(super) fn written(&self) -> HashSet<&[u8]> {
        let written = self.rows.iter().filter(|(_, value)| value.is_some());
        written.map(|(key, _)| key.as_slice()).collect()
    }

    /// Writes the position.
    pub(super) fn put_position(&mut self, position: &Position) -> Found<()> {
        self.put(POSITION_KEY.to_vec(), encoded(position)?);
        Ok(())
    }
}

/// A record as a value.
pub(super) fn encoded<T: Serialize>(record: &T) -> Found<Vec<u8>> {
    rmp_serde::to_vec(record)
        .map_err(|error| StoreError::Unreadable(format!("a record cannot be encoded: {error}")))
}

/// A snapshot that sled was writing when it was killed can keep it from opening.
fn remove_half_snapshots(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let half = name
            .to_str()
            .is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating"));
        if half && let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(%error, "a half-written snapshot of sled's could not be removed");
        }
    }
}
