//! What decisions and readers ask for most, in memory: conversations and contacts of people who write now, rows that lead
//! to them, and which ids of platforms are known at all.
//!
//! It never knows better than the tables. What it holds is what they hold, as [`Hot::begin`] and [`Hot::end`] see to;
//! what it does not hold is read from them. Of ids it says only that one is surely new, and says it only once it has
//! seen all of them.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rows::InOrder;
use crate::id::{ContactId, ConversationId};
use crate::store::{ContactRecord, ConversationRecord, Table};

/// Of the cache, one record is kept in memory for so many bytes.
const BYTES_A_RECORD: u64 = 32 << 10;
/// Records that are kept at least.
const FEWEST_RECORDS: usize = 512;
/// Longer rows of side tables are not kept.
const LONGEST_ROW_BYTES: usize = 1024;
/// Parts of [`Ids`], so that none is ever moved as a whole while it grows.
const PARTS: usize = 256;

/// What was used last: up to twice `most`, in two generations, of which the older is forgotten.
#[derive(Debug)]
struct Kept<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    most: usize,
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    fn new(most: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            most,
        }
    }

    fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value.clone());
        Some(value)
    }

    fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    fn remove<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.young.remove(key);
        self.old.remove(key);
    }
}

/// The number at the end of a record's key.
fn number_in(key: &[u8]) -> Option<u64> {
    let end = key.get(1..)?.try_into().ok()?;
    Some(u64::from_be_bytes(end))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which rows are known at all, of those kinds that are mostly asked for in vain: messages by the platform's id, and
/// what waits for them. 8 bytes each.
#[derive(Debug)]
pub(super) struct Ids {
    parts: Vec<Mutex<HashSet<u64>>>,
    complete: AtomicBool,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            complete: AtomicBool::new(false),
        }
    }
}

impl Ids {
    /// The beginnings of the keys whose ids are here.
    pub(super) const KINDS: [&'static [u8]; 4] = [
        b"x",
        &[b's', Table::WaitingChanges as u8],
        &[b's', Table::WaitingReceipts as u8],
        &[b's', Table::Reservations as u8],
    ];

    /// A row's mark: its kind, its channel, and 64 bits of the hash at its end.
    fn mark(key: &[u8]) -> Option<u64> {
        let kind = Self::KINDS.iter().position(|kind| key.starts_with(kind))?;
        let (start, hash) = key.split_at(key.len().checked_sub(8)?);
        let channel = start.get(Self::KINDS[kind].len()..)?.get(..2)?;
        let hash = hash.try_into().ok().map(u64::from_be_bytes)?;
        let kind = u64::try_from(kind).unwrap_or_default();
        Some(hash ^ (u64::from(channel[0]) << 40) ^ (u64::from(channel[1]) << 32) ^ (kind << 60))
    }

    fn part(&self, mark: u64) -> MutexGuard<'_, HashSet<u64>> {
        let place = usize::try_from(mark % PARTS as u64).unwrap_or_default();
        lock(&self.parts[place])
    }

    /// A row is or will be there. It may go again: then it is asked for in vain.
    pub(super) fn add(&self, key: &[u8]) {
        if let Some(mark) = Self::mark(key) {
            self.part(mark).insert(mark);
        }
    }

    /// From now on every row that is there was added.
    pub(super) fn all_are_here(&self) {
        self.complete.store(true, Ordering::SeqCst);
    }

    /// Whether it was added all that is there.
    pub(super) fn are_all_here(&self) -> bool {
        self.complete.load(Ordering::SeqCst)
    }

    /// Whether a row is surely not there.
    pub(super) fn lack(&self, key: &[u8]) -> bool {
        self.are_all_here() && Self::mark(key).is_some_and(|mark| !self.part(mark).contains(&mark))
    }
}

/// The hot part of the tables.
#[derive(Debug)]
pub(super) struct Hot {
    /// Odd while rows are written.
    steps: AtomicU64,
    conversations: Mutex<Kept<ConversationId, Arc<ConversationRecord>>>,
    contacts: Mutex<Kept<ContactId, Arc<ContactRecord>>>,
    rows: Mutex<Kept<Vec<u8>, Arc<[u8]>>>,
    /// Which ids are known.
    pub(super) ids: Arc<Ids>,
}

/// What is read from the tables now is as they stood then.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsOf(u64);

impl Hot {
    /// Nothing, beside tables with this cache.
    pub(super) fn new(cache_bytes: u64) -> Self {
        let most = usize::try_from(cache_bytes / BYTES_A_RECORD).unwrap_or(FEWEST_RECORDS);
        let most = most.max(FEWEST_RECORDS);
        Self {
            steps: AtomicU64::new(0),
            conversations: Mutex::new(Kept::new(most)),
            contacts: Mutex::new(Kept::new(most)),
            rows: Mutex::new(Kept::new(4 * most)),
            ids: Arc::default(),
        }
    }

    /// To be asked before the tables are read for what is to be kept.
    pub(super) fn as_of(&self) -> AsOf {
        AsOf(self.steps.load(Ordering::SeqCst))
    }

    /// Whether what was read as of then still stands. It is asked while the place where it is kept is locked: whatever is
    /// written from now on comes there afterwards.
    fn stands(&self, as_of: AsOf) -> bool {
        as_of.0.is_multiple_of(2) && self.as_of().0 == as_of.0
    }

    /// Rows are about to be written.
    pub(super) fn begin(&self) {
        self.steps.fetch_add(1, Ordering::SeqCst);
    }

    /// These rows are written.
    pub(super) fn end(&self, written: InOrder) {
        let (mut gone_conversations, mut gone_contacts) = (Vec::new(), Vec::new());
        let mut rows = lock(&self.rows);
        for (key, value) in written.rows {
            if value.is_none() {
                match key.first() {
                    Some(b'c') => gone_conversations.extend(number_in(&key).map(ConversationId)),
                    Some(b'p') => gone_contacts.extend(number_in(&key).map(ContactId)),
                    _ => {}
                }
            }
            let leads = matches!(key.first(), Some(b't' | b'q'));
            match value {
                Some(value) if value.len() <= LONGEST_ROW_BYTES => {
                    if leads || rows.get(key.as_slice()).is_some() {
                        rows.put(key, value.into());
                    }
                }
                _ => rows.remove(key.as_slice()),
            }
        }
        drop(rows);
        let mut conversations = lock(&self.conversations);
        for conversation in written.conversations {
            conversations.put(conversation.id, conversation);
        }
        gone_conversations
            .iter()
            .for_each(|id| conversations.remove(id));
        drop(conversations);
        let mut contacts = lock(&self.contacts);
        for contact in written.contacts {
            contacts.put(contact.id, contact);
        }
        gone_contacts.iter().for_each(|id| contacts.remove(id));
        drop(contacts);
        self.steps.fetch_add(1, Ordering::SeqCst);
    }

    /// A conversation that is kept.
    pub(super) fn conversation(&self, id: ConversationId) -> Option<Arc<ConversationRecord>> {
        lock(&self.conversations).get(&id)
    }

    /// Keeps a conversation that was read.
    pub(super) fn keep_conversation(&self, as_of: AsOf, conversation: &Arc<ConversationRecord>) {
        let mut conversations = lock(&self.conversations);
        if self.stands(as_of) {
            conversations.put(conversation.id, Arc::clone(conversation));
        }
    }

    /// A contact that is kept.
    pub(super) fn contact(&self, id: ContactId) -> Option<Arc<ContactRecord>> {
        lock(&self.contacts).get(&id)
    }

    /// Keeps a contact that was read.
    pub(super) fn keep_contact(&self, as_of: AsOf, contact: &Arc<ContactRecord>) {
        let mut contacts = lock(&self.contacts);
        if self.stands(as_of) {
            contacts.put(contact.id, Arc::clone(contact));
        }
    }

    /// A row that is kept.
    pub(super) fn row(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        lock(&self.rows).get(key)
    }

    /// Keeps a row that was read.
    pub(super) fn keep_row(&self, as_of: AsOf, key: &[u8], value: &[u8]) {
        if value.len() > LONGEST_ROW_BYTES {
            return;
        }
        let mut rows = lock(&self.rows);
        if self.stands(as_of) {
            rows.put(key.to_vec(), value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::rows::Rows;

    fn name(number: u8) -> Vec<u8> {
        let mut key = b"x\x00\x01".to_vec();
        key.extend_from_slice(&[number; 16]);
        key
    }

    #[test]
    fn f07_an_id_is_new_only_where_all_were_seen() {
        let ids = Ids::default();
        ids.add(&name(1));
        assert!(!ids.lack(&name(2)), "there may be others");
        ids.all_are_here();
        assert!(ids.lack(&name(2)));
        assert!(!ids.lack(&name(1)));
        // Another channel, another kind of row.
        let mut other = name(1);
        other[2] = 2;
        assert!(ids.lack(&other));
        let mut waiting = vec![b's', Table::WaitingChanges as u8];
        waiting.extend_from_slice(&name(1)[1..]);
        assert!(ids.lack(&waiting));
        ids.add(&waiting);
        assert!(!ids.lack(&waiting));
        assert!(
            !ids.lack(b"c\x00\x00\x00\x00\x00\x00\x00\x01"),
            "not its kind"
        );
    }

    #[test]
    fn what_was_read_before_a_step_is_not_kept_after_it() {
        let hot = Hot::new(0);
        let before = hot.as_of();
        hot.begin();
        let during = hot.as_of();
        hot.keep_row(before, b"q1", b"old");
        hot.keep_row(during, b"q1", b"old");
        assert_eq!(hot.row(b"q1"), None);
        let mut rows = Rows::default();
        rows.put(b"q1".to_vec(), *b"new");
        hot.end(rows.in_order());
        hot.keep_row(before, b"q1", b"old");
        assert_eq!(hot.row(b"q1").as_deref(), Some(&b"new"[..]));
        hot.begin();
        let mut rows = Rows::default();
        rows.remove(b"q1".to_vec());
        hot.end(rows.in_order());
        assert_eq!(hot.row(b"q1"), None);
        hot.keep_row(hot.as_of(), b"q1", b"read");
        assert_eq!(hot.row(b"q1").as_deref(), Some(&b"read"[..]));
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut kept = Kept::new(10);
        for number in 0..1_000_u32 {
            kept.put(number, number);
            assert_eq!(kept.get(&0), Some(0), "it is used all the time");
        }
        assert!(kept.young.len() + kept.old.len() <= 20);
        assert_eq!(kept.get(&500), None);
    }
}
