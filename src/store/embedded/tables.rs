//! The conversation model in sled: a view of the journal, which can be made again from it at any time.
//!
//! One tree, so that what is written comes back in one order. Numbers are big-endian, so that scans run in order:
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
//! scope is not even touched. Records are MessagePack arrays. The rows of a group are written one by one, in the order of
//! [`super::rows`], and then the [`Position`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::IVec;

use super::hot::{Hot, Ids};
use super::key;
use super::rows::{POSITION_KEY, Row, Rows};
use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::record::MessageKind;
use crate::store::{
    ChannelNo, ContactRecord, ConversationRecord, Found, MessageRecord, Place, Scope, StoreError,
    Table,
};

/// How often sled writes out what it holds in memory, and syncs. Each time takes the disk from the journal, and what is
/// lost without it is in the journal.
const FLUSH_EVERY_MS: u64 = 2_000;
/// sled counts what it caches as it stands on the disk; in memory it takes about twice as much.
const MEMORY_OF_A_CACHED_BYTE: u64 = 2;
/// Rows that are looked through for ids at a stretch, and the rest after them.
const ROWS_LEARNED_AT_ONCE: usize = 1_000;
const LEARNING_REST: Duration = Duration::from_millis(1);

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
    hot: Hot,
    learning: OnceLock<Option<JoinHandle<()>>>,
    closing: Arc<AtomicBool>,
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
    /// Opens sled, whose cache shall take about `cache_bytes` of memory. It may panic on damaged files; that ends a thread
    /// of its own and is an error here.
    /// `rebuild_flag` is the file that asks the next start to rebuild the tables.
    pub(super) fn open(directory: &Path, cache_bytes: u64, rebuild_flag: PathBuf) -> Found<Self> {
        remove_half_snapshots(directory);
        let config = sled::Config::new()
            .path(directory)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .cache_capacity(cache_bytes / MEMORY_OF_A_CACHED_BYTE);
        let opening = std::thread::Builder::new()
            .name("tables-open".to_owned())
            .spawn(move || config.open());
        let opened = opening
            .map_err(|error| {
                StoreError::Unreadable(format!("no thread to open the tables: {error}"))
            })?
            .join()
            .map_err(|_| StoreError::Unreadable("sled panicked while it opened".to_owned()))?;
        let db = said(opened)?;
        let hot = Hot::new(cache_bytes);
        if db.is_empty() {
            hot.ids.all_are_here();
        }
        Ok(Self {
            db,
            hot,
            learning: OnceLock::new(),
            closing: Arc::default(),
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

    /// Applies rows one by one, in an order in which it may end anywhere.
    pub(super) fn apply(&self, rows: Rows) -> Found<()> {
        let rows = rows.in_order();
        self.hot.begin();
        self.guarded(|tree| self.write(tree, &rows.rows))?;
        self.hot.end(rows);
        Ok(())
    }

    fn write(&self, tree: &sled::Tree, rows: &[Row]) -> Found<()> {
        for (key, value) in rows {
            match value {
                Some(value) => {
                    self.hot.ids.add(key);
                    said(tree.insert(key, value.as_slice()))?
                }
                None => said(tree.remove(key))?,
            };
        }
        Ok(())
    }

    /// Writes the beginning of a step, as a crash in its middle leaves it: `share` of 256 of its rows. Forgets what is in
    /// memory.
    #[cfg(test)]
    pub(super) fn apply_a_part(&mut self, rows: Rows, share: u8) -> Found<()> {
        let rows = rows.in_order().rows;
        let part = rows.len() * usize::from(share) / 256;
        self.guarded(|tree| self.write(tree, &rows[..part]))?;
        self.hot = Hot::new(0);
        Ok(())
    }

    /// Every row.
    #[cfg(test)]
    pub(super) fn all_rows(&self) -> Vec<(IVec, IVec)> {
        self.db.iter().map(|row| row.expect("a row")).collect()
    }

    /// Inserts many rows. Neighbours come together, and two threads share the work, as this is what a start waits for.
    pub(super) fn insert_all(&self, rows: Rows) -> Found<()> {
        let rows = rows.by_key();
        let (first, second) = rows.split_at(rows.len() / 2);
        let insert = |rows: &[Row]| self.guarded(|tree| self.write(tree, rows));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| insert(second));
            insert(first)?;
            other.join().unwrap_or_else(|_| {
                Err(StoreError::Unreadable(
                    "an inserting thread panicked".to_owned(),
                ))
            })
        })
    }

    /// Has a thread look through the ids that are known, where they are not all in memory.
    fn learn_ids(&self) {
        if self.hot.ids.are_all_here() {
            return;
        }
        self.learning.get_or_init(|| {
            let (db, ids) = (self.db.clone(), Arc::clone(&self.hot.ids));
            let closing = Arc::clone(&self.closing);
            let learn = move || {
                let learned = catch_unwind(AssertUnwindSafe(|| learn_ids(&db, &ids, &closing)));
                if !matches!(learned, Ok(Ok(()))) {
                    tracing::warn!("the ids in the tables cannot be looked through; each is read");
                }
            };
            std::thread::Builder::new()
                .name("tables-ids".to_owned())
                .spawn(learn)
                .ok()
        });
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

    /// The bytes under a key of which many are asked for again, or in vain.
    fn row(&self, key: &[u8]) -> Found<Option<Arc<[u8]>>> {
        if self.hot.ids.lack(key) {
            return Ok(None);
        }
        if let Some(kept) = self.hot.row(key) {
            return Ok(Some(kept));
        }
        self.learn_ids();
        let as_of = self.hot.as_of();
        let read = self.guarded(|tree| said(tree.get(key)))?;
        Ok(read.map(|value| {
            self.hot.keep_row(as_of, key, &value);
            Arc::from(&*value)
        }))
    }

    /// The number that stands under a key.
    pub(super) fn number(&self, key: &[u8]) -> Found<Option<u64>> {
        let Some(value) = self.row(key)? else {
            return Ok(None);
        };
        match last_number(&value) {
            Some(number) => Ok(Some(number)),
            None => self.guarded(|_| Err(odd_row("numbers"))),
        }
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
        if let Some(kept) = self.hot.conversation(id) {
            return Ok(Some(kept));
        }
        let as_of = self.hot.as_of();
        let read = self.record("conversations", &key::conversation(id))?;
        if let Some(read) = &read {
            self.hot.keep_conversation(as_of, read);
        }
        Ok(read)
    }

    /// A contact.
    pub(super) fn contact(&self, id: ContactId) -> Found<Option<Arc<ContactRecord>>> {
        if let Some(kept) = self.hot.contact(id) {
            return Ok(Some(kept));
        }
        let as_of = self.hot.as_of();
        let read = self.record("contacts", &key::contact(id))?;
        if let Some(read) = &read {
            self.hot.keep_contact(as_of, read);
        }
        Ok(read)
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
                let Some(value) = said(tree.get(key::message(channel, id)))? else {
                    // It may have been erased, or have moved, since its place was read.
                    if said(tree.get(&order))?.is_none() {
                        continue;
                    }
                    return Err(odd_row("the order"));
                };
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
        let value = self.row(&key::side(table, key))?;
        Ok(value.map(|value| value.to_vec()))
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

impl Drop for Tables {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        if let Some(Some(learning)) = self.learning.take() {
            // It has told what went wrong.
            drop(learning.join());
        }
    }
}

/// Adds every id to those that are known. What is written meanwhile adds its own.
fn learn_ids(db: &sled::Db, ids: &Ids, closing: &AtomicBool) -> sled::Result<()> {
    for kind in Ids::KINDS {
        let mut from = kind.to_vec();
        loop {
            let mut rows = 0;
            for row in db.range(from.clone()..).take(ROWS_LEARNED_AT_ONCE) {
                let (key, _) = row?;
                if !key.starts_with(kind) {
                    break;
                }
                ids.add(&key);
                rows += 1;
                from.clear();
                from.extend_from_slice(&key);
                // The smallest key behind it.
                from.push(0);
            }
            if rows < ROWS_LEARNED_AT_ONCE {
                break;
            }
            if closing.load(Ordering::SeqCst) {
                return Ok(());
            }
            // Whoever decides goes first.
            std::thread::sleep(LEARNING_REST);
        }
    }
    ids.all_are_here();
    Ok(())
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
