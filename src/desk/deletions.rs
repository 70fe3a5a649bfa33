//! People who asked a platform to be forgotten: each request once, until the shop says that it is done.

use super::Decision;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{DeletionEntry, Entry};
use crate::store::record::ChannelNo;

/// A platform passes on that a person wants to be forgotten.
#[derive(Clone, Debug)]
pub struct RequestDeletion {
    /// The channel.
    pub channel: ChannelNo,
    /// The platform's id of the person.
    pub person: String,
    /// A code for the case that the request is new: unguessable.
    pub new_code: String,
}

impl Decision for RequestDeletion {
    /// The request, and whether it is new.
    type Answer = (DeletionEntry, bool);

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let key = DeletionEntry::key_of_person(self.channel, &self.person);
        if let Some(known) = draft.entry::<DeletionEntry>(&key)?
            && known.done_at.is_none()
        {
            return Ok((known, false));
        }
        let contact = draft.contact_by_identity(self.channel, &self.person)?;
        let entry = DeletionEntry {
            code: self.new_code.clone(),
            channel: self.channel,
            person: self.person.clone(),
            contact: contact.map(|contact| contact.id),
            requested_at: draft.now(),
            done_at: None,
        };
        keep(draft, &entry);
        Ok((entry, true))
    }
}

/// The shop says that a request is done.
#[derive(Clone, Debug)]
pub struct FinishDeletion {
    /// Its code.
    pub code: String,
}

impl Decision for FinishDeletion {
    /// The request; `None` where there is none of this code.
    type Answer = Option<DeletionEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let key = DeletionEntry::key_of_code(&self.code);
        let Some(mut entry) = draft.entry::<DeletionEntry>(&key)? else {
            return Ok(None);
        };
        if entry.done_at.is_none() {
            entry.done_at = Some(draft.now());
            keep(draft, &entry);
        }
        Ok(Some(entry))
    }
}

fn keep(draft: &mut Draft<'_>, entry: &DeletionEntry) {
    draft.put(entry.put(DeletionEntry::key_of_code(&entry.code)));
    draft.put(entry.put(DeletionEntry::key_of_person(entry.channel, &entry.person)));
}
