//! The rows that a step writes, in the order in which they can be written one by one.
//!
//! sled would take them in one atomic batch, but it writes its buffers to the disk before and after each, twice as often
//! as the journal itself is synced. So they go one by one, and what a batch would give follows from their order:
//!
//! - the position comes last. sled recovers a beginning of what it wrote, so tables that say that they stand at a frame
//!   hold all of it, and may hold a part of the next, which is applied once more;
//! - a reader in the middle finds no row that leads to one that is not there: what is new comes before what leads to it,
//!   and what goes comes after;
//! - what leads to a record is changed before the record, since its old rows are found by its old image: where a step
//!   ended in the middle, the next try finds the same ones, or those that are right already.

use std::collections::HashSet;
use std::sync::Arc;

use super::key;
use super::tables::{Position, encoded};
use crate::id::ContactId;
use crate::store::{ContactRecord, ConversationRecord, Found, MessageRecord};

/// Where the last applied frame is kept.
pub(super) const POSITION_KEY: &[u8] = b"!";

/// A row: its key, and what stands under it afterwards.
pub(super) type Row = (Vec<u8>, Option<Vec<u8>>);

/// Rows to write (a value) and to remove (none).
#[derive(Debug, Default)]
pub(super) struct Rows {
    begun: Vec<Row>,
    rest: Vec<Row>,
    conversations: Vec<Arc<ConversationRecord>>,
    contacts: Vec<Arc<ContactRecord>>,
}

/// Rows, sorted out.
pub(super) struct InOrder {
    /// One by one.
    pub(super) rows: Vec<Row>,
    /// The conversations that are written.
    pub(super) conversations: Vec<Arc<ConversationRecord>>,
    /// The contacts that are written.
    pub(super) contacts: Vec<Arc<ContactRecord>>,
}

impl Rows {
    /// Writes a row.
    pub(super) fn put(&mut self, key: Vec<u8>, value: impl Into<Vec<u8>>) {
        self.rest.push((key, Some(value.into())));
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.rest.push((key, None));
    }

    fn put_record(&mut self, key: Vec<u8>, value: Vec<u8>, begun: bool) {
        let rows = if begun {
            &mut self.begun
        } else {
            &mut self.rest
        };
        rows.push((key, Some(value)));
    }

    /// Writes a message; `begun`: there was none before.
    pub(super) fn put_message(&mut self, message: &MessageRecord, begun: bool) -> Found<()> {
        let key = key::message(message.channel, message.id);
        self.put_record(key, encoded(message)?, begun);
        Ok(())
    }

    /// Writes a conversation; `begun`: there was none before.
    pub(super) fn put_conversation(
        &mut self,
        conversation: &Arc<ConversationRecord>,
        begun: bool,
    ) -> Found<()> {
        let key = key::conversation(conversation.id);
        self.put_record(key, encoded(conversation)?, begun);
        self.conversations.push(Arc::clone(conversation));
        Ok(())
    }

    /// Writes a contact, or removes it; `begun`: there was none before.
    pub(super) fn put_contact(
        &mut self,
        id: ContactId,
        contact: Option<&Arc<ContactRecord>>,
        begun: bool,
    ) -> Found<()> {
        match contact {
            Some(contact) => {
                self.put_record(key::contact(id), encoded(contact)?, begun);
                self.contacts.push(Arc::clone(contact));
            }
            None => self.remove(key::contact(id)),
        }
        Ok(())
    }

    /// The keys that are written.
    pub(super) fn written(&self) -> HashSet<&[u8]> {
        let written = self
            .begun
            .iter()
            .chain(&self.rest)
            .filter(|(_, value)| value.is_some());
        written.map(|(key, _)| key.as_slice()).collect()
    }

    /// Writes the position.
    pub(super) fn put_position(&mut self, position: &Position) -> Found<()> {
        self.put(POSITION_KEY.to_vec(), encoded(position)?);
        Ok(())
    }

    /// The rows in the order in which they are written one by one.
    pub(super) fn in_order(self) -> InOrder {
        let Self {
            begun: mut rows,
            mut rest,
            conversations,
            contacts,
        } = self;
        rows.sort_by_key(|(key, _)| rank_of_begun(key));
        rest.sort_by_key(|(key, value)| (rank(key), value.is_some()));
        rows.append(&mut rest);
        InOrder {
            rows,
            conversations,
            contacts,
        }
    }

    /// The rows in the order of their keys, for tables that nobody reads and that are thrown away where not all is
    /// written.
    pub(super) fn by_key(self) -> Vec<Row> {
        let mut rows = self.begun;
        rows.extend(self.rest);
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        rows
    }
}

/// A message leads to its conversation, and that to its contact.
fn rank_of_begun(key: &[u8]) -> u8 {
    match key.first() {
        Some(b'p') => 0,
        Some(b'c') => 1,
        _ => 2,
    }
}

/// What leads to records, then the records, of which a message goes before its conversation does, then the position.
fn rank(key: &[u8]) -> u8 {
    match key.first() {
        Some(b'm') => 1,
        Some(b'c' | b'p') => 2,
        Some(b'!') => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f05_rows_come_in_an_order_in_which_a_step_may_end_anywhere() {
        let mut rows = Rows::default();
        rows.put_position(&Position::default()).expect("plain data");
        rows.put(b"m-changed".to_vec(), *b"1");
        rows.put(b"x-new".to_vec(), *b"1");
        rows.remove(b"c-gone".to_vec());
        rows.remove(b"o-gone".to_vec());
        rows.put(b"s-entry".to_vec(), *b"1");
        for key in [&b"m-begun"[..], b"c-begun", b"p-begun"] {
            rows.put_record(key.to_vec(), b"1".to_vec(), true);
        }
        let order: Vec<String> = rows
            .in_order()
            .rows
            .into_iter()
            .map(|(key, _)| String::from_utf8_lossy(&key).into_owned())
            .collect();
        assert_eq!(order[..3], ["p-begun", "c-begun", "m-begun"]);
        assert_eq!(order[3..6], ["o-gone", "x-new", "s-entry"]);
        assert_eq!(order[6..], ["m-changed", "c-gone", "!"]);
    }
}
