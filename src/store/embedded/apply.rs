//! From groups to the rows that change. Of several changes of one object only the last image is written.

mod removal;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::inbox::Inbox;
use super::key;
use super::rows::Rows;
use super::tables::{Position, Tables};
use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::{
    ContactRecord, ConversationRecord, EventBody, Found, Group, MessageRecord, Removed, StoreError,
    Table,
};

/// An object's image after the groups, and whether it began in them, so that there is no older row to look at.
#[derive(Debug)]
struct Image<T> {
    record: T,
    begun_here: bool,
}

/// What one or more groups change.
#[derive(Debug, Default)]
pub(super) struct Changes {
    messages: HashMap<MessageId, Image<Arc<MessageRecord>>>,
    conversations: HashMap<ConversationId, Image<Arc<ConversationRecord>>>,
    contacts: HashMap<ContactId, Image<Option<Arc<ContactRecord>>>>,
    puts: HashMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    removed: Vec<Removed>,
    position: Position,
}

impl Changes {
    /// No changes, on tables that stand at `position`.
    pub(super) fn after(position: Position) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    /// Takes in the group of a frame; `next_seq` is the event that follows it.
    pub(super) fn add(&mut self, frame: u64, next_seq: u64, group: &mut Group) {
        self.position.frame = frame;
        self.position.seq = self.position.seq.max(next_seq.saturating_sub(1));
        self.position.last_id = self.position.last_id.max(group.last_id);
        for event in &group.events {
            self.add_event(&event.body);
        }
        for put in group.puts.drain(..) {
            self.puts.insert((put.table, put.key), put.value);
        }
        self.add_removed(&group.removed);
    }

    fn add_event(&mut self, body: &EventBody) {
        match body {
            EventBody::MessageCreated {
                message,
                conversation,
            } => {
                self.set_message(message, true);
                self.set_conversation(conversation, false);
            }
            EventBody::MessageUpdated {
                message,
                conversation,
            } => {
                self.set_message(message, false);
                self.set_conversation(conversation, false);
            }
            EventBody::ConversationCreated { conversation } => {
                self.set_conversation(conversation, true);
            }
            EventBody::ConversationUpdated { conversation } => {
                self.set_conversation(conversation, false);
            }
            EventBody::ContactCreated { contact } => {
                self.set_contact(contact.id, Some(contact), true)
            }
            EventBody::ContactUpdated { contact } => {
                self.set_contact(contact.id, Some(contact), false)
            }
            EventBody::ContactDeleted { contact, .. } => self.set_contact(*contact, None, false),
            EventBody::ChannelHealth { .. }
            | EventBody::BellRung { .. }
            | EventBody::BellAcknowledged { .. } => {}
        }
    }

    fn set_message(&mut self, message: &Arc<MessageRecord>, created: bool) {
        let image = self.messages.entry(message.id).or_insert_with(|| Image {
            record: Arc::clone(message),
            begun_here: created,
        });
        image.record = Arc::clone(message);
    }

    fn set_conversation(&mut self, conversation: &Arc<ConversationRecord>, created: bool) {
        let image = self
            .conversations
            .entry(conversation.id)
            .or_insert_with(|| Image {
                record: Arc::clone(conversation),
                begun_here: created,
            });
        image.record = Arc::clone(conversation);
    }

    fn set_contact(&mut self, id: ContactId, contact: Option<&Arc<ContactRecord>>, created: bool) {
        let image = self.contacts.entry(id).or_insert(Image {
            record: None,
            begun_here: created,
        });
        image.record = contact.cloned();
    }

    /// Where the tables stand once they are applied.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// Applies them, and to the inbox. The tables may hold a part of them already, from a try that ended in the middle.
    pub(super) fn apply(&mut self, tables: &Tables, inbox: &mut Inbox) -> Found<()> {
        let rows = self.rows_of(tables, inbox)?;
        tables.apply(rows)?;
        for image in self.conversations.values() {
            inbox.update(&image.record);
        }
        self.removed_conversations().for_each(|id| inbox.remove(id));
        Ok(())
    }

    /// The rows of a group, on tables that may hold a part of them.
    pub(super) fn rows_of(&mut self, tables: &Tables, inbox: &Inbox) -> Found<Rows> {
        self.check_count(inbox)?;
        let mut rows = Rows::default();
        self.put_all_but_conversations(tables, inbox, &mut rows)?;
        for image in self.conversations.values() {
            rows.put_conversation(&image.record, image.begun_here)?;
        }
        self.remove_rows(tables, &mut rows)?;
        let is_new = |id: &&ConversationId| inbox.known(**id).is_none();
        let new = self.conversations.keys().filter(is_new).count();
        self.position.conversations = (inbox.len() + new - self.gone_from(inbox)) as u64;
        rows.put_position(&self.position)?;
        Ok(rows)
    }

    /// The tables hold as many conversations as they say, but for those that a try before this one began or removed.
    fn check_count(&self, inbox: &Inbox) -> Found<()> {
        let is_known = |id: &ConversationId| inbox.known(*id).is_some();
        let begun = self
            .conversations
            .iter()
            .filter(|(id, image)| image.begun_here && is_known(id))
            .count();
        let gone = self.removed_conversations().count() - self.gone_from(inbox);
        let most = self.position.conversations + begun as u64;
        let least = most.saturating_sub(gone as u64);
        if (least..=most).contains(&(inbox.len() as u64)) {
            return Ok(());
        }
        Err(StoreError::Unreadable(format!(
            "the tables hold {} conversations, and there should be {most}",
            inbox.len()
        )))
    }

    fn put_all_but_conversations(
        &mut self,
        tables: &Tables,
        inbox: &Inbox,
        rows: &mut Rows,
    ) -> Found<()> {
        self.put_messages(tables, rows)?;
        self.put_conversations(inbox, rows);
        self.put_contacts(tables, rows)?;
        for ((table, key), value) in self.puts.drain() {
            let key = key::side(table, &key);
            match value {
                Some(value) => rows.put(key, value),
                None => rows.remove(key),
            }
        }
        Ok(())
    }

    fn put_messages(&self, tables: &Tables, rows: &mut Rows) -> Found<()> {
        for Image {
            record: message,
            begun_here,
        } in self.messages.values()
        {
            let old = if *begun_here {
                None
            } else {
                tables.message(message.channel, message.id)?
            };
            let old_place = old.as_ref().map(|old| (old.conversation, old.place()));
            let place = (message.conversation, message.place());
            if old_place != Some(place) {
                if let Some((conversation, place)) = old_place {
                    rows.remove(key::order(conversation, place));
                }
                rows.put(
                    key::order(place.0, place.1),
                    message.channel.0.to_be_bytes(),
                );
            }
            let old_names: Vec<&str> = old
                .as_ref()
                .map_or_else(Vec::new, |old| old.external_ids().collect());
            let names: Vec<&str> = message.external_ids().collect();
            for name in old_names.iter().filter(|name| !names.contains(name)) {
                rows.remove(key::message_name(message.channel, name));
            }
            for name in names.iter().filter(|name| !old_names.contains(name)) {
                rows.put(key::message_name(message.channel, name), message.id.key());
            }
            rows.put_message(message, *begun_here)?;
        }
        Ok(())
    }

    /// What hangs on conversations; their own rows are written elsewhere.
    fn put_conversations(&self, inbox: &Inbox, rows: &mut Rows) {
        for Image {
            record: conversation,
            begun_here,
        } in self.conversations.values()
        {
            let old = inbox.known(conversation.id).filter(|_| !begun_here);
            if old.is_none() {
                // A conversation keeps its channel and its thread for life.
                rows.put(
                    key::thread(conversation.channel, &conversation.thread),
                    conversation.id.key(),
                );
            }
            let old_contact = old.map(|old| old.contact);
            if old_contact != Some(conversation.contact) {
                if let Some(contact) = old_contact {
                    rows.remove(key::contact_conversation(contact, conversation.id));
                }
                let key = key::contact_conversation(conversation.contact, conversation.id);
                rows.put(key, conversation.channel.0.to_be_bytes());
            }
        }
    }

    fn put_contacts(&self, tables: &Tables, rows: &mut Rows) -> Found<()> {
        let mut gained: HashSet<Vec<u8>> = HashSet::new();
        for (id, Image { record, begun_here }) in &self.contacts {
            for key in identity_keys(record.as_deref()) {
                rows.put(key.clone(), id.key());
                gained.insert(key);
            }
            rows.put_contact(*id, record.as_ref(), *begun_here)?;
        }
        for (id, image) in self.contacts.iter().filter(|(_, image)| !image.begun_here) {
            let old = tables.contact(*id)?;
            let kept = identity_keys(image.record.as_deref());
            for key in identity_keys(old.as_deref()).difference(&kept) {
                // Another contact may have taken it over, here or before.
                if !gained.contains(key) && tables.number(key)? == Some(id.0) {
                    rows.remove(key.clone());
                }
            }
        }
        Ok(())
    }
}

fn identity_keys(contact: Option<&ContactRecord>) -> BTreeSet<Vec<u8>> {
    let identities = contact
        .map(|contact| contact.identities.as_slice())
        .unwrap_or_default();
    identities
        .iter()
        .map(|identity| key::identity(identity.channel, &identity.external_id))
        .collect()
}
