//! Removing the rows of what was erased.

use super::Changes;
use crate::id::ConversationId;
use crate::store::embedded::inbox::Inbox;
use crate::store::embedded::key;
use crate::store::embedded::tables::{Rows, Tables};
use crate::store::{ConversationRecord, Found, MessageRecord, Removed};

impl Changes {
    /// Takes in what a group erases: what was only to be written is not.
    pub(super) fn add_removed(&mut self, removed: &[Removed]) {
        for gone in removed {
            match gone {
                Removed::Message { id, .. } => drop(self.messages.remove(id)),
                Removed::Conversation(id) => drop(self.conversations.remove(id)),
            }
        }
        self.removed.extend_from_slice(removed);
    }

    /// The conversations that go.
    pub(super) fn removed_conversations(&self) -> impl Iterator<Item = ConversationId> {
        self.removed.iter().filter_map(|gone| match gone {
            Removed::Conversation(id) => Some(*id),
            Removed::Message { .. } => None,
        })
    }

    /// How many conversations that stand in the inbox go.
    pub(super) fn gone_from(&self, inbox: &Inbox) -> usize {
        self.removed_conversations()
            .filter(|id| inbox.known(*id).is_some())
            .count()
    }

    /// Removes the rows.
    pub(super) fn remove_rows(&self, tables: &Tables, rows: &mut Rows) -> Found<()> {
        if self.removed.is_empty() {
            return Ok(());
        }
        let mut gone = Vec::new();
        for removed in &self.removed {
            match removed {
                Removed::Message { channel, id } => {
                    if let Some(message) = tables.message(*channel, *id)? {
                        gone.extend(keys_of_message(&message, tables)?);
                    }
                }
                Removed::Conversation(id) => {
                    if let Some(conversation) = tables.conversation(*id)? {
                        gone.extend(keys_of_conversation(&conversation, tables)?);
                    }
                }
            }
        }
        // A name that somebody else has taken in the same step stays.
        let taken = rows.written();
        gone.retain(|key| !taken.contains(key.as_slice()));
        for key in gone {
            rows.remove(key);
        }
        Ok(())
    }
}

fn keys_of_message(message: &MessageRecord, tables: &Tables) -> Found<Vec<Vec<u8>>> {
    let mut keys = vec![
        key::message(message.channel, message.id),
        key::order(message.conversation, message.place()),
    ];
    for name in message.external_ids() {
        let key = key::message_name(message.channel, name);
        if tables.number(&key)? == Some(message.id.0) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn keys_of_conversation(conversation: &ConversationRecord, tables: &Tables) -> Found<Vec<Vec<u8>>> {
    let mut keys = vec![
        key::conversation(conversation.id),
        key::contact_conversation(conversation.contact, conversation.id),
    ];
    let thread = key::thread(conversation.channel, &conversation.thread);
    if tables.number(&thread)? == Some(conversation.id.0) {
        keys.push(thread);
    }
    Ok(keys)
}
