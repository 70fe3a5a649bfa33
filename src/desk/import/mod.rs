//! History that comes from an export: each thing once, however often it is imported, under its own id where that is free.
//!
//! What is here already is known: by its id, or by the platform's. A thing that came from the same desk may come again
//! in a newer version, which stands then; nothing else that is here is overwritten. Counts and who is unread are not
//! taken over but found anew, so that they fit what is here, whatever else the conversation holds. Nothing is sent.

mod people;
mod talk;
#[cfg(test)]
mod tests;

use deskbell_sdk::Time;

use super::Decision;
use crate::id::{ContactId, first_at};
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{ChannelEntry, Entry, ImportedId, imported_key};
use crate::store::record::{ChannelNo, ContactRecord, ConversationRecord, MessageRecord};

/// The id here of what is of somebody who was erased: nothing has it.
const ERASED: u64 = 0;
/// How far in the future an id may have been given, for the clocks of two machines differ: ten minutes, in
/// milliseconds. One that is further gets a new id, since ours stay above all that are kept.
const FUTURE_MS: i64 = 10 * 60 * 1000;

/// Makes a channel of which there will be history only, unless its slug is known.
#[derive(Clone, Debug)]
pub struct ImportChannel {
    /// The slug.
    pub id: String,
    /// The connector.
    pub connector: String,
    /// The name.
    pub name: String,
    /// Since when it was known where it comes from.
    pub created_at: Time,
}

/// What became of an imported channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelImported {
    /// It is new, and closed.
    New(ChannelEntry),
    /// The slug is known.
    Known(ChannelEntry),
    /// The slug is that of a channel of this other connector.
    OtherConnector(String),
    /// There are as many channels as there can be.
    Full,
}

impl Decision for ImportChannel {
    type Answer = ChannelImported;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<ChannelImported> {
        let known = draft.channels()?;
        if let Some(known) = known.iter().find(|known| known.id == self.id) {
            return Ok(if known.connector == self.connector {
                ChannelImported::Known(known.clone())
            } else {
                ChannelImported::OtherConnector(known.connector.clone())
            });
        }
        let highest = known.iter().map(|known| known.no.0).max().unwrap_or(0);
        let Some(no) = highest.checked_add(1) else {
            return Ok(ChannelImported::Full);
        };
        let entry = ChannelEntry {
            no: ChannelNo(no),
            id: self.id.clone(),
            connector: self.connector.clone(),
            name: self.name.clone(),
            created_at: self.created_at.min(draft.now()),
        };
        draft.put(entry.put(self.id.as_bytes().to_vec()));
        Ok(ChannelImported::New(entry))
    }
}

/// A record of another desk, or of this one at another time. Its ids are those of that desk, its channel is one of here.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A contact.
    Contact(ContactRecord),
    /// A contact that was merged into another.
    Merged {
        /// The one that is no more.
        from: ContactId,
        /// The one that took over.
        into: ContactId,
        /// When.
        at: Time,
    },
    /// A conversation.
    Conversation(Box<ConversationRecord>),
    /// An entry of a conversation. Files that it holds are here.
    Message(Box<MessageRecord>),
}

/// Takes in records, each after those that it names.
#[derive(Clone, Debug)]
pub struct Import {
    /// The records, each with its number in its file.
    pub records: Vec<(u64, Record)>,
    /// About how many bytes of memory they hold.
    pub bytes: usize,
}

/// What became of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many are new.
    pub new: u32,
    /// How many were here in an older version.
    pub updated: u32,
    /// How many were here already.
    pub known: u32,
    /// The first that cannot be taken in, and why; those behind it were not looked at.
    pub refused: Option<(u64, String)>,
}

impl Decision for Import {
    type Answer = Imported;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Imported> {
        let channels = draft.channels()?.into_iter().map(|entry| entry.no);
        let mut importing = Importing {
            channels: channels.collect(),
            draft,
        };
        let mut imported = Imported::default();
        for (number, record) in &self.records {
            let done = match record.clone() {
                Record::Contact(contact) => importing.contact(contact)?,
                Record::Merged { from, into, at } => importing.merged(from, into, at)?,
                Record::Conversation(conversation) => importing.conversation(*conversation)?,
                Record::Message(message) => importing.message(*message)?,
            };
            match done {
                Done::New => imported.new += 1,
                Done::Updated => imported.updated += 1,
                Done::Known => imported.known += 1,
                Done::Refused(why) => {
                    imported.refused = Some((*number, why));
                    break;
                }
            }
        }
        Ok(imported)
    }

    fn weight(&self) -> usize {
        1024 + self.bytes
    }
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Done {
    New,
    Updated,
    Known,
    Refused(String),
}

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Contact,
    Conversation,
    Message,
}

impl What {
    const fn letter(self) -> u8 {
        match self {
            Self::Contact => b'p',
            Self::Conversation => b'c',
            Self::Message => b'm',
        }
    }
}

struct Importing<'d, 'a> {
    draft: &'d mut Draft<'a>,
    /// Every channel that was ever known.
    channels: Vec<ChannelNo>,
}

impl Importing<'_, '_> {
    /// What was remembered of an imported id: `None` where it is the same here, or was never imported.
    fn remembered(&self, what: What, id: u64) -> Found<Option<ImportedId>> {
        self.draft
            .entry::<ImportedId>(&imported_key(what.letter(), id))
    }

    /// The id here of a thing that was imported under `id`.
    fn id_here(&self, what: What, id: u64) -> Found<u64> {
        Ok(self.remembered(what, id)?.map_or(id, |known| known.id))
    }

    /// Whether a thing that was imported is of somebody who was erased.
    fn is_erased(&self, what: What, id: u64) -> Found<bool> {
        Ok(self
            .remembered(what, id)?
            .is_some_and(|known| known.id == ERASED))
    }

    /// From now on `id` is understood as `here`.
    fn remember(&mut self, what: What, id: u64, here: u64, made: bool) -> Found<()> {
        let entry = ImportedId { id: here, made };
        if id != here && self.remembered(what, id)? != Some(entry) {
            self.draft.put(entry.put(imported_key(what.letter(), id)));
        }
        Ok(())
    }

    /// The id under which a new thing is kept: its own where that is free and not of the future.
    fn free_id(&mut self, what: What, id: u64, is_taken: bool) -> Found<u64> {
        if !is_taken && self.is_of_the_past(id) {
            self.draft.stay_above(id);
            return Ok(id);
        }
        let new = self.draft.new_id();
        self.remember(what, id, new, true)?;
        Ok(new)
    }

    /// Whether an id can have been given by now.
    fn is_of_the_past(&self, id: u64) -> bool {
        id != 0 && id < first_at(self.draft.now().plus_millis(FUTURE_MS))
    }
}
