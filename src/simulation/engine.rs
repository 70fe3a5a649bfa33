//! The store between the daemon and its engine: here commits fail, the daemon dies, and faults are planted.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::platform::POISON;
use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::record::{ContactRecord, ConversationRecord, MessageRecord};
use crate::store::{
    ChannelNo, FeedPage, Forgotten, Found, Group, InboxPage, LogEvent, Needle, Place, RawDelivery,
    RawPlace, Read, Scope, ScrubReport, SnapshotInfo, Store, StoreError, Table, UpkeepState,
};

/// What happens to the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It is refused.
    Refused,
    /// The daemon dies before it.
    DiesBefore,
    /// The daemon dies after it, and nobody hears that it is durable.
    DiesAfter,
}

/// What is wrong with the daemon on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planted {
    /// Nothing.
    Nothing,
    /// A sync that does nothing.
    LostSync,
    /// What is known already is not recognised.
    DuplicateIgnored,
    /// What the platform does not show at once is sent again.
    BlindResend,
    /// After a restart the last event's number is given once more.
    NumberReused,
}

/// An engine with mishaps.
pub(super) struct Mishaps {
    engine: Arc<dyn Store>,
    /// What happens, and how many commits come before it.
    next: Mutex<Option<(u64, Mishap)>>,
    /// Shared with the line to the platform, where the daemon may die as well.
    dead: Arc<AtomicBool>,
    /// Reads by the writer that fail.
    unreadable: AtomicU32,
    ignores_duplicates: bool,
    goes_back: AtomicBool,
}

impl Mishaps {
    /// `engine`, with what is planted; `restarted`: something lived on it before. `dead`: whether the daemon is.
    pub(super) fn on(
        engine: Arc<dyn Store>,
        planted: Planted,
        restarted: bool,
        dead: Arc<AtomicBool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine,
            next: Mutex::default(),
            dead,
            unreadable: AtomicU32::new(0),
            ignores_duplicates: planted == Planted::DuplicateIgnored,
            goes_back: AtomicBool::new(planted == Planted::NumberReused && restarted),
        })
    }

    /// The next commit meets this.
    pub(super) fn plan(&self, mishap: Mishap) {
        self.plan_behind(0, mishap);
    }

    /// So many commits do well, and the next meets this.
    pub(super) fn plan_behind(&self, commits: u64, mishap: Mishap) {
        *self.next.lock().expect("nobody panicked") = Some((commits, mishap));
    }

    fn meets(&self) -> Option<Mishap> {
        let mut next = self.next.lock().expect("nobody panicked");
        if let Some((commits @ 1.., _)) = &mut *next {
            *commits -= 1;
            return None;
        }
        next.take().map(|(_, mishap)| mishap)
    }

    /// The next so many look-ups by the platforms' ids fail.
    pub(super) fn cannot_read(&self, times: u32) {
        self.unreadable.store(times, Ordering::SeqCst);
    }

    /// Nothing is planned any more.
    pub(super) fn heal(&self) {
        *self.next.lock().expect("nobody panicked") = None;
        self.cannot_read(0);
    }

    /// Whether the daemon is dead.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
}

impl Read for Mishaps {
    fn head(&self) -> u64 {
        self.engine.head()
    }

    fn oldest(&self) -> u64 {
        self.engine.oldest()
    }

    fn last_id(&self) -> u64 {
        self.engine.last_id()
    }

    fn events(&self, after: u64, limit: usize) -> Found<Vec<LogEvent>> {
        self.engine.events(after, limit)
    }

    fn feed(&self, scope: &Scope, page: &FeedPage) -> Found<Vec<Arc<MessageRecord>>> {
        self.engine.feed(scope, page)
    }

    fn inbox(&self, scope: &Scope, page: &InboxPage) -> Found<Vec<Arc<ConversationRecord>>> {
        self.engine.inbox(scope, page)
    }

    fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        before: Place,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        self.engine.messages(scope, conversation, before, limit)
    }

    fn message(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        id: MessageId,
    ) -> Found<Option<Arc<MessageRecord>>> {
        self.engine.message(scope, channel, id)
    }

    fn message_by_external_id(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<MessageId>> {
        let fails = self
            .unreadable
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if fails.is_ok() {
            return Err(StoreError::Unreadable(
                "as the simulation has it".to_owned(),
            ));
        }
        assert!(!external_id.starts_with(POISON), "poison");
        if self.ignores_duplicates {
            return Ok(None);
        }
        self.engine
            .message_by_external_id(scope, channel, external_id)
    }

    fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
    ) -> Found<Option<Arc<ConversationRecord>>> {
        self.engine.conversation(scope, id)
    }

    fn conversation_by_thread(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        thread: &str,
    ) -> Found<Option<ConversationId>> {
        self.engine.conversation_by_thread(scope, channel, thread)
    }

    fn conversations_of(&self, scope: &Scope, contact: ContactId) -> Found<Vec<ConversationId>> {
        self.engine.conversations_of(scope, contact)
    }

    fn contact(&self, scope: &Scope, id: ContactId) -> Found<Option<Arc<ContactRecord>>> {
        self.engine.contact(scope, id)
    }

    fn contact_by_identity(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<ContactId>> {
        self.engine.contact_by_identity(scope, channel, external_id)
    }

    fn contacts(
        &self,
        scope: &Scope,
        before: Option<ContactId>,
        limit: usize,
    ) -> Found<Vec<Arc<ContactRecord>>> {
        self.engine.contacts(scope, before, limit)
    }

    fn messages_after(
        &self,
        scope: &Scope,
        after: MessageId,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        self.engine.messages_after(scope, after, limit)
    }

    fn conversations_after(
        &self,
        scope: &Scope,
        after: ConversationId,
        limit: usize,
    ) -> Found<Vec<Arc<ConversationRecord>>> {
        self.engine.conversations_after(scope, after, limit)
    }

    fn get(&self, table: Table, key: &[u8]) -> Found<Option<Vec<u8>>> {
        self.engine.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Vec<u8>)>> {
        self.engine.scan(table, prefix, after, limit)
    }

    fn raws(&self, after: RawPlace, limit: usize) -> Found<Vec<(RawPlace, RawDelivery)>> {
        self.engine.raws(after, limit)
    }
}

impl Store for Mishaps {
    fn commit(&self, mut group: Group) -> Result<(), StoreError> {
        let refused = || StoreError::NotWritten("as the simulation has it".to_owned());
        if self.is_dead() {
            return Err(refused());
        }
        match self.meets() {
            None => {}
            Some(Mishap::Refused) => return Err(refused()),
            Some(Mishap::DiesBefore) => {
                self.dead.store(true, Ordering::SeqCst);
                return Err(refused());
            }
            Some(Mishap::DiesAfter) => {
                self.dead.store(true, Ordering::SeqCst);
                // Whatever came of it, nobody hears of it.
                let _ = self.engine.commit(group);
                return Err(refused());
            }
        }
        if !group.events.is_empty() && self.goes_back.swap(false, Ordering::SeqCst) {
            for event in &mut group.events {
                event.seq -= 1;
            }
        }
        self.engine.commit(group)
    }

    fn snapshot(&self) -> Result<SnapshotInfo, StoreError> {
        self.engine.snapshot()
    }

    fn drop_old(&self, keep: std::time::Duration) -> Result<u64, StoreError> {
        self.engine.drop_old(keep)
    }

    fn scrub(&self, rows_per_second: u64) -> Result<ScrubReport, StoreError> {
        self.engine.scrub(rows_per_second)
    }

    fn forget(&self, needles: &[Needle]) -> Result<Forgotten, StoreError> {
        self.engine.forget(needles)
    }

    fn upkeep(&self) -> UpkeepState {
        self.engine.upkeep()
    }

    fn bytes_on_disk(&self) -> u64 {
        self.engine.bytes_on_disk()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.engine.close()
    }
}
