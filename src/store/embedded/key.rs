//! The keys of the rows; the table at the head of [`super::tables`] says what stands under them.

use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::entry::external_key;
use crate::store::{ChannelNo, Place, Table};

fn of(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(prefix);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// A message.
pub(super) fn message(channel: ChannelNo, id: MessageId) -> Vec<u8> {
    of(b'm', &[&channel.0.to_be_bytes(), &id.key()])
}

/// The place of a message in its conversation.
pub(super) fn order(conversation: ConversationId, place: Place) -> Vec<u8> {
    of(b'o', &[&conversation.key(), &place.key()])
}

/// A message by the platform's id.
pub(super) fn message_name(channel: ChannelNo, external_id: &str) -> Vec<u8> {
    of(b'x', &[&external_key(channel, external_id)])
}

/// A conversation.
pub(super) fn conversation(id: ConversationId) -> Vec<u8> {
    of(b'c', &[&id.key()])
}

/// A conversation by the platform's id of its thread.
pub(super) fn thread(channel: ChannelNo, thread: &str) -> Vec<u8> {
    of(b't', &[&external_key(channel, thread)])
}

/// A contact.
pub(super) fn contact(id: ContactId) -> Vec<u8> {
    of(b'p', &[&id.key()])
}

/// A contact by the platform's id of the person.
pub(super) fn identity(channel: ChannelNo, external_id: &str) -> Vec<u8> {
    of(b'q', &[&external_key(channel, external_id)])
}

/// A contact's conversation.
pub(super) fn contact_conversation(contact: ContactId, conversation: ConversationId) -> Vec<u8> {
    of(b'P', &[&contact.key(), &conversation.key()])
}

/// An entry of a side table.
pub(super) fn side(table: Table, key: &[u8]) -> Vec<u8> {
    of(b's', &[&[table as u8], key])
}
