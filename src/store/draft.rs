//! The store as it will be once the changes decided so far are written: what the rules of the desk read and write.
//!
//! Later commands of a group see what earlier ones decided. A draft is thrown away whole where one of its decisions
//! fails.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use deskbell_sdk::Time;

use super::change::{EventBody, Group, LogEvent, Put, RawDelivery, Removed, Table};
use super::entry::{ChannelEntry, Entry, RingEntry, external_key};
use super::record::{ChannelNo, ContactRecord, ConversationRecord, MessageRecord, Place};
use super::{Found, Read, Scope};
use crate::id::{ContactId, ConversationId, Ids, MessageId, given_at};

/// A draft of the next group.
pub struct Draft<'a> {
    base: &'a dyn Read,
    desk: Scope,
    ids: &'a mut Ids,
    now: Time,
    next_seq: u64,
    hops: u8,
    group: Group,
    messages: HashMap<MessageId, Arc<MessageRecord>>,
    conversations: HashMap<ConversationId, Arc<ConversationRecord>>,
    contacts: HashMap<ContactId, Option<Arc<ContactRecord>>>,
    by_external_id: HashMap<Vec<u8>, MessageId>,
    by_thread: HashMap<Vec<u8>, ConversationId>,
    by_identity: HashMap<Vec<u8>, ContactId>,
    entries: HashMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    erased_messages: HashSet<MessageId>,
    erased_conversations: HashSet<ConversationId>,
}

impl std::fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft")
            .field("events", &self.group.events.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Draft<'a> {
    /// An empty draft on top of `base`.
    pub fn new(base: &'a dyn Read, ids: &'a mut Ids, now: Time) -> Self {
        Self {
            next_seq: base.head() + 1,
            hops: 0,
            base,
            desk: Scope::whole_desk(),
            ids,
            now,
            group: Group::default(),
            messages: HashMap::new(),
            conversations: HashMap::new(),
            contacts: HashMap::new(),
            by_external_id: HashMap::new(),
            by_thread: HashMap::new(),
            by_identity: HashMap::new(),
            entries: HashMap::new(),
            erased_messages: HashSet::new(),
            erased_conversations: HashSet::new(),
        }
    }

    /// The time of the decision.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// From now on events bear this number: how many hooks led to what is decided.
    pub const fn set_hops(&mut self, hops: u8) {
        self.hops = hops;
    }

    /// The latest time of which an id tells. Where the clock was set back it lies after [`Draft::now`].
    #[must_use]
    pub fn latest(&self) -> Time {
        given_at(self.ids.last())
    }

    /// A new id.
    pub fn new_id(&mut self) -> u64 {
        self.ids.next(self.now)
    }

    /// The highest id that was given so far: everything that has arrived is at or before it.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.ids.last()
    }

    /// Gives only ids above `id` from now on: one that was given elsewhere is kept here.
    pub fn stay_above(&mut self, id: u64) {
        self.ids.stay_above(id);
    }

    /// How many changes there are so far.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.group.events.len() + self.group.puts.len() + self.group.removed.len()
    }

    /// The group to commit.
    #[must_use]
    pub fn into_group(mut self) -> Group {
        self.group.last_id = self.ids.last();
        self.group
    }

    fn log(&mut self, body: EventBody) {
        self.group.events.push(LogEvent {
            seq: self.next_seq,
            at: self.now,
            body,
            hops: self.hops,
        });
        self.next_seq += 1;
    }

    fn remember_message(&mut self, message: &Arc<MessageRecord>) {
        for external_id in message.external_ids() {
            self.by_external_id
                .insert(external_key(message.channel, external_id), message.id);
        }
        self.messages.insert(message.id, Arc::clone(message));
    }

    fn remember_conversation(&mut self, conversation: &Arc<ConversationRecord>) {
        self.conversations
            .insert(conversation.id, Arc::clone(conversation));
    }

    /// Writes a new message and its conversation after it.
    pub fn create_message(&mut self, message: MessageRecord, conversation: ConversationRecord) {
        let (message, conversation) = (Arc::new(message), Arc::new(conversation));
        self.remember_message(&message);
        self.remember_conversation(&conversation);
        self.log(EventBody::MessageCreated {
            message,
            conversation,
        });
    }

    /// Writes a changed message and its conversation.
    pub fn update_message(&mut self, message: MessageRecord, conversation: ConversationRecord) {
        let (message, conversation) = (Arc::new(message), Arc::new(conversation));
        self.remember_message(&message);
        self.remember_conversation(&conversation);
        self.log(EventBody::MessageUpdated {
            message,
            conversation,
        });
    }

    /// Writes a new conversation.
    pub fn create_conversation(&mut self, conversation: ConversationRecord) {
        let conversation = Arc::new(conversation);
        let key = external_key(conversation.channel, &conversation.thread);
        self.by_thread.insert(key, conversation.id);
        self.remember_conversation(&conversation);
        self.log(EventBody::ConversationCreated { conversation });
    }

    /// Writes a changed conversation.
    pub fn update_conversation(&mut self, conversation: ConversationRecord) {
        let conversation = Arc::new(conversation);
        self.remember_conversation(&conversation);
        self.log(EventBody::ConversationUpdated { conversation });
    }

    fn remember_contact(&mut self, contact: &Arc<ContactRecord>) {
        for identity in &contact.identities {
            self.by_identity.insert(
                external_key(identity.channel, &identity.external_id),
                contact.id,
            );
        }
        self.contacts.insert(contact.id, Some(Arc::clone(contact)));
    }

    /// Writes a new contact.
    pub fn create_contact(&mut self, contact: ContactRecord) {
        let contact = Arc::new(contact);
        self.remember_contact(&contact);
        self.log(EventBody::ContactCreated { contact });
    }

    /// Writes a changed contact.
    pub fn update_contact(&mut self, contact: ContactRecord) {
        let contact = Arc::new(contact);
        self.remember_contact(&contact);
        self.log(EventBody::ContactUpdated { contact });
    }

    /// Removes a contact whose identities others have taken over, or nobody has any more.
    pub fn delete_contact(&mut self, contact: &ContactRecord) {
        let body = EventBody::ContactUpdated {
            contact: Arc::new(contact.clone()),
        };
        let channels = body.channels();
        self.contacts.insert(contact.id, None);
        self.by_identity.retain(|_, owner| *owner != contact.id);
        self.log(EventBody::ContactDeleted {
            contact: contact.id,
            channels,
        });
    }

    /// Erases a message.
    pub fn erase_message(&mut self, channel: ChannelNo, id: MessageId) {
        self.erased_messages.insert(id);
        self.messages.remove(&id);
        self.by_external_id.retain(|_, named| *named != id);
        self.group.removed.push(Removed::Message { channel, id });
    }

    /// Erases a conversation. Its messages are erased one by one.
    pub fn erase_conversation(&mut self, id: ConversationId) {
        self.erased_conversations.insert(id);
        self.conversations.remove(&id);
        self.by_thread.retain(|_, named| *named != id);
        self.group.removed.push(Removed::Conversation(id));
    }

    /// The number of the newest event, with those of this draft.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.next_seq - 1
    }

    /// How many events there are so far.
    #[must_use]
    pub const fn event_count(&self) -> usize {
        self.group.events.len()
    }

    /// What happened since there were `from` events.
    #[must_use]
    pub fn events_since(&self, from: usize) -> &[LogEvent] {
        self.group.events.get(from..).unwrap_or_default()
    }

    /// A conversation as it was before this draft.
    pub fn conversation_before(
        &self,
        id: ConversationId,
    ) -> Found<Option<Arc<ConversationRecord>>> {
        self.base.conversation(&self.desk, id)
    }

    /// Changes a conversation further in the event that told its last change in this draft; it is no change of its own.
    /// Nothing happens where the draft has none.
    pub fn amend_conversation(
        &mut self,
        id: ConversationId,
        amend: impl FnOnce(&mut ConversationRecord),
    ) {
        let told = self.group.events.iter_mut().rev().find_map(|event| {
            event
                .body
                .conversation_mut()
                .filter(|conversation| conversation.id == id)
        });
        if let Some(told) = told {
            amend(Arc::make_mut(told));
            let conversation = Arc::clone(told);
            self.remember_conversation(&conversation);
        }
    }

    /// Writes that a ring began or came further.
    pub fn bell_rung(&mut self, ring: RingEntry) {
        self.log(EventBody::BellRung {
            ring: Arc::new(ring),
        });
    }

    /// Completes a ring in the event that told of it since there were `from` events. Nothing happens where none did.
    pub fn amend_rung(&mut self, from: usize, ring: RingEntry) {
        let events = self.group.events.get_mut(from..).unwrap_or_default();
        let told = events
            .iter_mut()
            .rev()
            .find_map(|event| match &mut event.body {
                EventBody::BellRung { ring: told } if told.id == ring.id => Some(told),
                _ => None,
            });
        if let Some(told) = told {
            *told = Arc::new(ring);
        }
    }

    /// Whether an entry of a side table is written or removed by this draft.
    #[must_use]
    pub fn changes(&self, table: Table, key: &[u8]) -> bool {
        self.entries.contains_key(&(table, key.to_vec()))
    }

    /// Writes that somebody has taken a ring.
    pub fn bell_acknowledged(&mut self, ring: RingEntry) {
        self.log(EventBody::BellAcknowledged {
            ring: Arc::new(ring),
        });
    }

    /// Writes that a channel works or not.
    pub fn channel_health(&mut self, channel: ChannelNo, healthy: bool, detail: String) {
        self.log(EventBody::ChannelHealth {
            channel,
            healthy,
            detail,
        });
    }

    /// Writes or removes an entry of a side table.
    pub fn put(&mut self, put: Put) {
        self.entries
            .insert((put.table, put.key.clone()), put.value.clone());
        self.group.puts.push(put);
    }

    /// Keeps a delivery as it came.
    pub fn keep_raw(&mut self, raw: RawDelivery) {
        self.group.raws.push(raw);
    }

    /// An entry of a side table.
    pub fn entry<E: Entry>(&self, key: &[u8]) -> Found<Option<E>> {
        match self.entries.get(&(E::TABLE, key.to_vec())) {
            Some(value) => value.as_deref().map(E::from_bytes).transpose(),
            None => E::get(self.base, key),
        }
    }

    /// The bytes of an entry of a side table.
    pub fn value(&self, table: Table, key: &[u8]) -> Found<Option<Vec<u8>>> {
        match self.entries.get(&(table, key.to_vec())) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(table, key),
        }
    }

    /// A message.
    pub fn message(&self, channel: ChannelNo, id: MessageId) -> Found<Option<Arc<MessageRecord>>> {
        match self.messages.get(&id) {
            Some(message) => Ok((message.channel == channel).then(|| Arc::clone(message))),
            None if self.erased_messages.contains(&id) => Ok(None),
            None => self.base.message(&self.desk, channel, id),
        }
    }

    /// All entries of a side table that has few, by key.
    pub fn all<E: Entry>(&self) -> Found<Vec<(Vec<u8>, E)>> {
        let mut all: BTreeMap<Vec<u8>, E> = E::scan(self.base, &[], None, usize::MAX)?
            .into_iter()
            .collect();
        for ((table, key), value) in &self.entries {
            if *table != E::TABLE {
                continue;
            }
            match value {
                Some(value) => all.insert(key.clone(), E::from_bytes(value)?),
                None => all.remove(key),
            };
        }
        Ok(all.into_iter().collect())
    }

    /// Every channel that was ever known.
    pub fn channels(&self) -> Found<Vec<ChannelEntry>> {
        let all = self.all::<ChannelEntry>()?.into_iter();
        let mut channels: Vec<_> = all.map(|(_, channel)| channel).collect();
        channels.sort_by_key(|channel| channel.no);
        Ok(channels)
    }

    /// The message that has this id at the platform.
    pub fn message_by_external_id(
        &self,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<MessageId>> {
        match self.by_external_id.get(&external_key(channel, external_id)) {
            Some(id) => Ok(Some(*id)),
            None => Ok(self
                .base
                .message_by_external_id(&self.desk, channel, external_id)?
                .filter(|id| !self.erased_messages.contains(id))),
        }
    }

    /// A conversation that the caller may see.
    pub fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
    ) -> Found<Option<Arc<ConversationRecord>>> {
        match self.conversations.get(&id) {
            Some(conversation) => Ok(scope
                .allows(conversation.channel)
                .then(|| Arc::clone(conversation))),
            None if self.erased_conversations.contains(&id) => Ok(None),
            None => self.base.conversation(scope, id),
        }
    }

    /// The conversation of a thread.
    pub fn conversation_by_thread(
        &self,
        channel: ChannelNo,
        thread: &str,
    ) -> Found<Option<Arc<ConversationRecord>>> {
        let id = match self.by_thread.get(&external_key(channel, thread)) {
            Some(id) => Some(*id),
            None => self
                .base
                .conversation_by_thread(&self.desk, channel, thread)?,
        };
        id.map_or(Ok(None), |id| self.conversation(&self.desk, id))
    }

    /// The conversations of a contact.
    pub fn conversations_of(&self, contact: ContactId) -> Found<Vec<Arc<ConversationRecord>>> {
        let mut ids = self.base.conversations_of(&self.desk, contact)?;
        ids.extend(
            self.conversations
                .values()
                .filter(|one| one.contact == contact)
                .map(|one| one.id),
        );
        ids.sort_unstable();
        ids.dedup();
        let found: Found<Vec<_>> = ids
            .into_iter()
            .map(|id| self.conversation(&self.desk, id))
            .collect();
        Ok(found?
            .into_iter()
            .flatten()
            .filter(|one| one.contact == contact)
            .collect())
    }

    /// A contact that the caller may see.
    pub fn contact(&self, scope: &Scope, id: ContactId) -> Found<Option<Arc<ContactRecord>>> {
        match self.contacts.get(&id) {
            Some(contact) => Ok(contact.clone().filter(|contact| {
                contact
                    .identities
                    .iter()
                    .any(|identity| scope.allows(identity.channel))
            })),
            None => self.base.contact(scope, id),
        }
    }

    /// The contact that has this id at the platform.
    pub fn contact_by_identity(
        &self,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<Arc<ContactRecord>>> {
        let id = match self.by_identity.get(&external_key(channel, external_id)) {
            Some(id) => Some(*id),
            None => self
                .base
                .contact_by_identity(&self.desk, channel, external_id)?,
        };
        id.map_or(Ok(None), |id| self.contact(&self.desk, id))
    }

    /// The entries of a conversation before `before`, newest first, at most `limit`.
    pub fn messages(
        &self,
        conversation: ConversationId,
        before: Place,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        let mut found = self
            .base
            .messages(&self.desk, conversation, before, limit)?;
        found.retain(|message| !self.erased_messages.contains(&message.id));
        for message in &mut found {
            if let Some(newer) = self.messages.get(&message.id) {
                *message = Arc::clone(newer);
            }
        }
        let known: std::collections::HashSet<MessageId> =
            found.iter().map(|message| message.id).collect();
        found.extend(
            self.messages
                .values()
                .filter(|message| message.conversation == conversation && message.place() < before)
                .filter(|message| !known.contains(&message.id))
                .cloned(),
        );
        found.sort_by_key(|message| std::cmp::Reverse(message.place()));
        found.truncate(limit);
        Ok(found)
    }
}
