//! The store as a readable specification: plain maps, nothing kept across a restart. For tests and for reading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::change::{EventBody, Group, LogEvent, RawDelivery, Removed, Table};
use super::needle::Finder;
use super::raws::{Gathering, RawPlace};
use super::record::{
    ChannelNo, ContactRecord, ConversationRecord, MessageKind, MessageRecord, Place,
};
use super::{
    FeedPage, Forgotten, Found, InboxPage, Needle, Read, Scope, ScrubReport, SnapshotInfo, Store,
    StoreError, UpkeepState,
};
use crate::id::{ContactId, ConversationId, MessageId};

/// Everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    log: Vec<LogEvent>,
    head: u64,
    messages: BTreeMap<MessageId, Arc<MessageRecord>>,
    conversations: BTreeMap<ConversationId, Arc<ConversationRecord>>,
    contacts: BTreeMap<ContactId, Arc<ContactRecord>>,
    message_names: Names<MessageId>,
    conversation_names: Names<ConversationId>,
    contact_names: Names<ContactId>,
    tables: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// The deliveries of each group.
    raws: Vec<Vec<RawDelivery>>,
    last_id: u64,
}

/// Which records of a kind have a name at a platform.
#[derive(Debug)]
struct Names<Id>(BTreeMap<(ChannelNo, String), BTreeSet<Id>>);

impl<Id> Default for Names<Id> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Id: Ord + Copy> Names<Id> {
    fn put(&mut self, channel: ChannelNo, name: &str, id: Id) {
        let named = self.0.entry((channel, name.to_owned())).or_default();
        named.insert(id);
    }

    fn remove(&mut self, channel: ChannelNo, name: &str, id: Id) {
        let key = (channel, name.to_owned());
        if let Some(named) = self.0.get_mut(&key) {
            named.remove(&id);
            if named.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    /// The first that has a name.
    fn first(&self, channel: ChannelNo, name: &str) -> Option<Id> {
        let named = self.0.get(&(channel, name.to_owned()))?;
        named.first().copied()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn read<T>(&self, reader: impl FnOnce(&Inner) -> T) -> T {
        reader(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn apply(&mut self, body: &EventBody) {
        match body {
            EventBody::MessageCreated {
                message,
                conversation,
            }
            | EventBody::MessageUpdated {
                message,
                conversation,
            } => {
                self.remove_message(message.id);
                for name in message.external_ids() {
                    self.message_names.put(message.channel, name, message.id);
                }
                self.messages.insert(message.id, Arc::clone(message));
                self.put_conversation(conversation);
            }
            EventBody::ConversationCreated { conversation }
            | EventBody::ConversationUpdated { conversation } => {
                self.put_conversation(conversation);
            }
            EventBody::ContactCreated { contact } | EventBody::ContactUpdated { contact } => {
                self.remove_contact(contact.id);
                for identity in &contact.identities {
                    let (channel, name) = (identity.channel, &identity.external_id);
                    self.contact_names.put(channel, name, contact.id);
                }
                self.contacts.insert(contact.id, Arc::clone(contact));
            }
            EventBody::ContactDeleted { contact, .. } => self.remove_contact(*contact),
            EventBody::ChannelHealth { .. }
            | EventBody::BellRung { .. }
            | EventBody::BellAcknowledged { .. } => {}
        }
    }
}

impl Inner {
    fn put_conversation(&mut self, conversation: &Arc<ConversationRecord>) {
        let (id, channel) = (conversation.id, conversation.channel);
        self.remove_conversation(id);
        self.conversation_names
            .put(channel, &conversation.thread, id);
        self.conversations.insert(id, Arc::clone(conversation));
    }

    fn remove_message(&mut self, id: MessageId) {
        if let Some(message) = self.messages.remove(&id) {
            for name in message.external_ids() {
                self.message_names.remove(message.channel, name, id);
            }
        }
    }

    fn remove_conversation(&mut self, id: ConversationId) {
        if let Some(conversation) = self.conversations.remove(&id) {
            let (channel, thread) = (conversation.channel, &conversation.thread);
            self.conversation_names.remove(channel, thread, id);
        }
    }

    fn remove_contact(&mut self, id: ContactId) {
        if let Some(contact) = self.contacts.remove(&id) {
            for identity in &contact.identities {
                let (channel, name) = (identity.channel, &identity.external_id);
                self.contact_names.remove(channel, name, id);
            }
        }
    }
}

/// Whether a channel is wanted by the reader and allowed to it.
fn wanted(scope: &Scope, channels: Option<&Vec<ChannelNo>>, channel: ChannelNo) -> bool {
    scope.allows(channel) && channels.is_none_or(|channels| channels.contains(&channel))
}

/// A contact is visible where one of its identities is.
fn contact_visible(scope: &Scope, contact: &ContactRecord) -> bool {
    scope.channels().is_none()
        || contact
            .identities
            .iter()
            .any(|identity| scope.allows(identity.channel))
}

impl Read for MemoryStore {
    fn head(&self) -> u64 {
        self.read(|inner| inner.head)
    }

    fn oldest(&self) -> u64 {
        self.read(|inner| inner.log.first().map_or(inner.head + 1, |event| event.seq))
    }

    fn last_id(&self) -> u64 {
        self.read(|inner| inner.last_id)
    }

    fn events(&self, after: u64, limit: usize) -> Found<Vec<LogEvent>> {
        Ok(self.read(|inner| {
            let from = inner.log.partition_point(|event| event.seq <= after);
            inner.log[from..].iter().take(limit).cloned().collect()
        }))
    }

    fn raws(&self, after: RawPlace, limit: usize) -> Found<Vec<(RawPlace, RawDelivery)>> {
        let mut gathering = Gathering::new(after, limit, usize::MAX);
        self.read(|inner| {
            for (group, raws) in (1..).zip(&inner.raws) {
                gathering.take(group, raws.iter().cloned());
            }
        });
        Ok(gathering.taken)
    }

    fn feed(&self, scope: &Scope, page: &FeedPage) -> Found<Vec<Arc<MessageRecord>>> {
        Ok(self.read(|inner| {
            let before = page.before.unwrap_or(MessageId(u64::MAX));
            let newest_first = inner
                .messages
                .range(..before)
                .rev()
                .map(|(_, message)| message);
            newest_first
                .filter(|message| message.kind == MessageKind::Message)
                .filter(|message| wanted(scope, page.channels.as_ref(), message.channel))
                .take(page.limit)
                .cloned()
                .collect()
        }))
    }

    fn inbox(&self, scope: &Scope, page: &InboxPage) -> Found<Vec<Arc<ConversationRecord>>> {
        Ok(self.read(|inner| {
            let order = |conversation: &ConversationRecord| {
                (conversation.last_activity_at, conversation.id)
            };
            let mut found: Vec<_> = inner
                .conversations
                .values()
                .filter(|conversation| wanted(scope, page.channels.as_ref(), conversation.channel))
                .filter(|conversation| {
                    page.behind
                        .is_none_or(|behind| order(conversation) < behind)
                })
                .cloned()
                .collect();
            found.sort_by_key(|conversation| std::cmp::Reverse(order(conversation)));
            found.truncate(page.limit);
            found
        }))
    }

    fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        before: Place,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        Ok(self.read(|inner| {
            let mut found: Vec<_> = inner
                .messages
                .values()
                .filter(|message| message.conversation == conversation)
                .filter(|message| scope.allows(message.channel) && message.place() < before)
                .cloned()
                .collect();
            found.sort_by_key(|message| std::cmp::Reverse(message.place()));
            found.truncate(limit);
            found
        }))
    }

    fn message(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        id: MessageId,
    ) -> Found<Option<Arc<MessageRecord>>> {
        Ok(self.read(|inner| {
            let message = inner.messages.get(&id)?;
            (message.channel == channel && scope.allows(channel)).then(|| Arc::clone(message))
        }))
    }

    fn message_by_external_id(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<MessageId>> {
        Ok(self.read(|inner| {
            let found = inner.message_names.first(channel, external_id);
            found.filter(|_| scope.allows(channel))
        }))
    }

    fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
    ) -> Found<Option<Arc<ConversationRecord>>> {
        Ok(self.read(|inner| {
            inner
                .conversations
                .get(&id)
                .filter(|found| scope.allows(found.channel))
                .cloned()
        }))
    }

    fn conversation_by_thread(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        thread: &str,
    ) -> Found<Option<ConversationId>> {
        Ok(self.read(|inner| {
            let found = inner.conversation_names.first(channel, thread);
            found.filter(|_| scope.allows(channel))
        }))
    }

    fn conversations_of(&self, scope: &Scope, contact: ContactId) -> Found<Vec<ConversationId>> {
        Ok(self.read(|inner| {
            let of_contact = |conversation: &&Arc<ConversationRecord>| {
                conversation.contact == contact && scope.allows(conversation.channel)
            };
            inner
                .conversations
                .values()
                .filter(of_contact)
                .map(|found| found.id)
                .collect()
        }))
    }

    fn contact(&self, scope: &Scope, id: ContactId) -> Found<Option<Arc<ContactRecord>>> {
        Ok(self.read(|inner| {
            inner
                .contacts
                .get(&id)
                .filter(|contact| contact_visible(scope, contact))
                .cloned()
        }))
    }

    fn contact_by_identity(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<ContactId>> {
        Ok(self.read(|inner| {
            let found = inner.contact_names.first(channel, external_id);
            found.filter(|_| scope.allows(channel))
        }))
    }

    fn contacts(
        &self,
        scope: &Scope,
        before: Option<ContactId>,
        limit: usize,
    ) -> Found<Vec<Arc<ContactRecord>>> {
        Ok(self.read(|inner| {
            let before = before.unwrap_or(ContactId(u64::MAX));
            let newest_first = inner
                .contacts
                .range(..before)
                .rev()
                .map(|(_, contact)| contact);
            newest_first
                .filter(|contact| contact_visible(scope, contact))
                .take(limit)
                .cloned()
                .collect()
        }))
    }

    fn messages_after(
        &self,
        scope: &Scope,
        after: MessageId,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        Ok(self.read(|inner| {
            let later = inner.messages.values().filter(|message| message.id > after);
            let seen = later.filter(|message| scope.allows(message.channel));
            seen.take(limit).cloned().collect()
        }))
    }

    fn conversations_after(
        &self,
        scope: &Scope,
        after: ConversationId,
        limit: usize,
    ) -> Found<Vec<Arc<ConversationRecord>>> {
        Ok(self.read(|inner| {
            let later = inner.conversations.values().filter(|one| one.id > after);
            let seen = later.filter(|one| scope.allows(one.channel));
            seen.take(limit).cloned().collect()
        }))
    }

    fn get(&self, table: Table, key: &[u8]) -> Found<Option<Vec<u8>>> {
        Ok(self.read(|inner| inner.tables.get(&(table, key.to_vec())).cloned()))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Vec<u8>)>> {
        let from = after.map_or(prefix, |after| after.max(prefix));
        Ok(self.read(|inner| {
            inner
                .tables
                .range((table, from.to_vec())..)
                .take_while(|((of, key), _)| *of == table && key.starts_with(prefix))
                .filter(|((_, key), _)| after.is_none_or(|after| key.as_slice() > after))
                .take(limit)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect()
        }))
    }
}

impl Store for MemoryStore {
    fn commit(&self, group: Group) -> Result<(), StoreError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for event in group.events {
            inner.apply(&event.body);
            inner.head = event.seq;
            inner.log.push(event);
        }
        for put in group.puts {
            match put.value {
                Some(value) => inner.tables.insert((put.table, put.key), value),
                None => inner.tables.remove(&(put.table, put.key)),
            };
        }
        for removed in group.removed {
            match removed {
                Removed::Message { id, .. } => inner.remove_message(id),
                Removed::Conversation(id) => inner.remove_conversation(id),
            }
        }
        inner.raws.push(group.raws);
        inner.last_id = inner.last_id.max(group.last_id);
        Ok(())
    }

    fn snapshot(&self) -> Result<SnapshotInfo, StoreError> {
        let why = "the memory engine keeps nothing, and makes no snapshots";
        Err(StoreError::NotWritten(why.to_owned()))
    }

    fn drop_old(&self, _keep: Duration) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn scrub(&self, _rows_per_second: u64) -> Result<ScrubReport, StoreError> {
        Ok(ScrubReport::default())
    }

    fn forget(&self, needles: &[Needle]) -> Result<Forgotten, StoreError> {
        let finder = Finder::new(needles)?;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let before = inner.log.len();
        inner
            .log
            .retain(|event| rmp_serde::to_vec(event).is_ok_and(|bytes| !finder.is_in(&bytes)));
        let events = (before - inner.log.len()) as u64;
        Ok(Forgotten {
            events,
            ..Forgotten::default()
        })
    }

    fn upkeep(&self) -> UpkeepState {
        UpkeepState::default()
    }

    fn bytes_on_disk(&self) -> u64 {
        0
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
