//! A made-up day at the desk, the same for the same seed: groups of events that hold to what the desk promises its
//! store (a name belongs to one, a conversation keeps its thread and its channel, a message its conversation).

use super::everything::CHANNELS;
use super::fixtures::{
    at, began, came, changed, contact, conversation, group, message, moved, put, renamed, seen,
};
use crate::store::record::{Identity, MessageKind};
use crate::store::{
    ChannelNo, ContactRecord, ConversationRecord, EventBody, Group, MessageRecord, Put, Removed,
    Store, StoreError, Table,
};

/// Tells the story group by group.
#[derive(Debug)]
pub(in crate::store) struct Story {
    random: u64,
    head: u64,
    next_id: u64,
    contacts: Vec<ContactRecord>,
    conversations: Vec<ConversationRecord>,
    messages: Vec<MessageRecord>,
}

impl Story {
    /// The story of a seed.
    pub(in crate::store) const fn new(seed: u64) -> Self {
        Self {
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            head: 0,
            next_id: 0,
            contacts: Vec::new(),
            conversations: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Commits the next `groups` groups.
    pub(in crate::store) fn tell(&mut self, groups: usize, store: &dyn Store) {
        for _ in 0..groups {
            store.commit(self.next_group()).unwrap();
        }
    }

    /// Offers the next group until the store takes it, and gives what it said before.
    pub(in crate::store) fn tell_one(&mut self, store: &dyn Store) -> Vec<StoreError> {
        let group = self.next_group();
        let mut refused = Vec::new();
        for _ in 0..50 {
            match store.commit(group.clone()) {
                Ok(()) => return refused,
                Err(error) => refused.push(error),
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the store takes no group: {refused:?}");
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from((self.random >> 11) % (limit.max(1) as u64)).unwrap()
    }

    fn number(&mut self, limit: usize) -> i64 {
        i64::try_from(self.below(limit)).unwrap()
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1 + self.below(3) as u64;
        self.next_id
    }

    /// The number of the last event told.
    pub(in crate::store) const fn head(&self) -> u64 {
        self.head
    }

    /// The next group.
    pub(in crate::store) fn next_group(&mut self) -> Group {
        let deeds = self.below(6);
        let mut bodies: Vec<_> = (0..deeds).flat_map(|_| self.deed()).collect();
        let puts: Vec<_> = (0..self.below(3)).map(|_| self.put()).collect();
        if bodies.is_empty() && puts.is_empty() {
            bodies.push(EventBody::ChannelHealth {
                channel: ChannelNo(1),
                healthy: true,
                detail: String::new(),
            });
        }
        let mut told = group(self.head, bodies, puts);
        if self.below(12) == 0 {
            told.removed = self.erase_conversation();
        }
        self.head += told.events.len() as u64;
        told
    }

    fn deed(&mut self) -> Vec<EventBody> {
        match self.below(12) {
            0 => vec![self.new_contact()],
            1 => vec![self.new_conversation()],
            2 => self.change_conversation(),
            3 => self.change_message(),
            4 => self.move_identity(),
            5 => self.merge_contacts(),
            _ => self.new_message(),
        }
    }

    fn erase_conversation(&mut self) -> Vec<Removed> {
        if self.conversations.is_empty() {
            return Vec::new();
        }
        let which = self.below(self.conversations.len());
        let gone = self.conversations.remove(which);
        let (erased, kept) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(|message| message.conversation == gone.id);
        self.messages = kept;
        let messages = erased
            .iter()
            .map(|message: &MessageRecord| Removed::Message {
                channel: message.channel,
                id: message.id,
            });
        messages.chain([Removed::Conversation(gone.id)]).collect()
    }

    fn put(&mut self) -> Put {
        let table = [Table::Cursors, Table::Tokens, Table::Settings][self.below(3)];
        let long = self.below(4);
        let key: Vec<u8> = (0..long).map(|_| [0, 1, 255][self.below(3)]).collect();
        let value = self.below(200).to_string();
        put(table, &key, (self.below(4) > 0).then_some(value.as_bytes()))
    }

    fn new_contact(&mut self) -> EventBody {
        let id = self.new_id();
        let name = format!("person-{id}");
        let channels = 1 + self.below(usize::from(CHANNELS)) as u16;
        let new = contact(id, &[(channels, name.as_str()), (1, "also")][..1]);
        self.contacts.push(new.clone());
        seen(&new)
    }

    fn new_conversation(&mut self) -> EventBody {
        let id = self.new_id();
        let channel = 1 + self.below(usize::from(CHANNELS)) as u16;
        let whose = self.below(self.contacts.len());
        let contact = self.contacts.get(whose).map_or(1, |contact| contact.id.0);
        let activity = at(self.number(50));
        let new = conversation(id, channel, contact, activity);
        self.conversations.push(new.clone());
        began(&new)
    }

    fn change_conversation(&mut self) -> Vec<EventBody> {
        let which = self.below(self.conversations.len());
        let activity = at(self.number(50));
        let whose = self.below(self.contacts.len());
        let contact = self.contacts.get(whose).map(|contact| contact.id);
        let goes_over = self.below(2) == 0;
        let Some(conversation) = self.conversations.get_mut(which) else {
            return Vec::new();
        };
        conversation.version += 1;
        conversation.last_activity_at = activity;
        conversation.contact = contact
            .filter(|_| goes_over)
            .unwrap_or(conversation.contact);
        vec![moved(conversation)]
    }

    fn new_message(&mut self) -> Vec<EventBody> {
        let which = self.below(self.conversations.len());
        let (id, sent_at, activity) = (self.new_id(), at(self.number(4)), at(self.number(50)));
        let (order, kind, named) = (self.below(2) as u64, self.below(4), self.below(3) > 0);
        let Some(conversation) = self.conversations.get_mut(which) else {
            return Vec::new();
        };
        conversation.version += 1;
        conversation.message_count += 1;
        conversation.last_activity_at = activity;
        let mut new = message(id, conversation, sent_at);
        new.order = order;
        new.kind = [
            MessageKind::Message,
            MessageKind::Message,
            MessageKind::Note,
            MessageKind::Activity,
        ][kind];
        new.external_id = new.external_id.filter(|_| named);
        self.messages.push(new.clone());
        vec![came(&new, conversation)]
    }

    fn change_message(&mut self) -> Vec<EventBody> {
        let which = self.below(self.messages.len());
        let text = format!("changed to {}", self.below(100));
        let Some(message) = self.messages.get_mut(which) else {
            return Vec::new();
        };
        message.version += 1;
        message.text = Some(text);
        message
            .external_id
            .get_or_insert_with(|| format!("late.{}", message.id.0));
        let of = self
            .conversations
            .iter()
            .find(|conversation| conversation.id == message.conversation);
        vec![changed(message, of.unwrap())]
    }

    fn two_contacts(&mut self) -> Option<(usize, usize)> {
        let (one, other) = (
            self.below(self.contacts.len()),
            self.below(self.contacts.len()),
        );
        (one != other).then_some((one, other))
    }

    /// One contact loses an identity to another, told of in either order.
    fn move_identity(&mut self) -> Vec<EventBody> {
        let Some((from, to)) = self.two_contacts() else {
            return Vec::new();
        };
        let Some(identity) = self.contacts[from].identities.pop() else {
            let channel = ChannelNo(1 + self.below(usize::from(CHANNELS)) as u16);
            let external_id = format!("again-{}", self.new_id());
            self.contacts[from].identities.push(Identity {
                channel,
                external_id,
            });
            return vec![renamed(&self.contacts[from])];
        };
        self.contacts[to].identities.push(identity);
        let mut told = vec![renamed(&self.contacts[from]), renamed(&self.contacts[to])];
        if self.below(2) == 0 {
            told.reverse();
        }
        told
    }

    /// One contact takes over the identities and conversations of another, which ends.
    fn merge_contacts(&mut self) -> Vec<EventBody> {
        let Some((from, to)) = self.two_contacts() else {
            return Vec::new();
        };
        let identities = std::mem::take(&mut self.contacts[from].identities);
        let channels = identities.iter().map(|identity| identity.channel).collect();
        self.contacts[to].identities.extend(identities);
        let (gone, stays) = (self.contacts[from].id, self.contacts[to].id);
        let mut told = vec![
            renamed(&self.contacts[to]),
            EventBody::ContactDeleted {
                contact: gone,
                channels,
            },
        ];
        for conversation in self
            .conversations
            .iter_mut()
            .filter(|conversation| conversation.contact == gone)
        {
            conversation.contact = stays;
            told.push(moved(conversation));
        }
        self.contacts.remove(from);
        told
    }
}
