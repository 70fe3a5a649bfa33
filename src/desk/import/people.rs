//! Contacts that are imported.

use deskbell_sdk::{Time, text};

use super::{Done, ERASED, Importing, What};
use crate::desk::erasure;
use crate::id::ContactId;
use crate::store::entry::{Entry, MergedContact};
use crate::store::record::{ContactRecord, Identity};
use crate::store::{Found, Scope};

/// How many merged contacts are followed from one to the next: far more than people merge, and no ring without end.
const MOST_MERGES: usize = 1_000;
/// What a picture may be.
const PICTURES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

impl Importing<'_, '_> {
    /// Takes a contact in.
    pub(super) fn contact(&mut self, mut contact: ContactRecord) -> Found<Done> {
        make_safe(&mut contact);
        if contact.id == ContactId(0) {
            return Ok(Done::Refused("its id is none".to_owned()));
        }
        if contact.identities.is_empty() {
            let why = "it is known in no channel: `identities` is empty";
            return Ok(Done::Refused(why.to_owned()));
        }
        self.leave_erased_out(&mut contact)?;
        if contact.identities.is_empty() {
            self.remember(What::Contact, contact.id.0, ERASED, false)?;
            return Ok(Done::Known);
        }
        let remembered = self.remembered(What::Contact, contact.id.0)?;
        let here = ContactId(remembered.map_or(contact.id.0, |known| known.id));
        if self.is_merged(contact.id)? || self.is_merged(here)? {
            return Ok(Done::Known);
        }
        let by_id = self.draft.contact(&Scope::whole_desk(), here)?;
        if let Some(known) = &by_id
            && (remembered.is_some() || is_same(known, &contact))
        {
            if remembered.is_some_and(|known| !known.made) {
                self.adopt(known, &contact.identities)?;
                return Ok(Done::Known);
            }
            return self.update_contact(known, contact);
        }
        for identity in &contact.identities {
            let known = self
                .draft
                .contact_by_identity(identity.channel, &identity.external_id)?;
            if let Some(known) = known {
                self.remember(What::Contact, contact.id.0, known.id.0, false)?;
                self.adopt(&known, &contact.identities)?;
                return Ok(Done::Known);
            }
        }
        contact.id = ContactId(self.free_id(What::Contact, contact.id.0, by_id.is_some())?);
        self.draft.create_contact(contact);
        Ok(Done::New)
    }

    /// Takes out by whom the contact was known who was erased since: they do not come back (K08).
    fn leave_erased_out(&self, contact: &mut ContactRecord) -> Found<()> {
        let mut kept = Vec::new();
        for identity in contact.identities.drain(..) {
            let ids = [identity.external_id.as_str()];
            if !erasure::was_erased(self.draft, identity.channel, ids, contact.created_at)? {
                kept.push(identity);
            }
        }
        contact.identities = kept;
        Ok(())
    }

    /// The same contact, perhaps in a newer version.
    fn update_contact(&mut self, known: &ContactRecord, contact: ContactRecord) -> Found<Done> {
        if contact.version <= known.version {
            return Ok(Done::Known);
        }
        let mut identities = Vec::new();
        for identity in contact.identities.iter().chain(&known.identities) {
            let owner = self
                .draft
                .contact_by_identity(identity.channel, &identity.external_id)?;
            let is_ours = owner.is_none_or(|owner| owner.id == known.id);
            if is_ours && !identities.contains(identity) {
                identities.push(identity.clone());
            }
        }
        self.draft.update_contact(ContactRecord {
            id: known.id,
            identities,
            blocked: contact.blocked,
            avatar: contact.avatar.or_else(|| known.avatar.clone()),
            ..contact
        });
        Ok(Done::Updated)
    }

    /// Gives a contact that was here before the identities that it was known under elsewhere and nobody has here.
    fn adopt(&mut self, known: &ContactRecord, identities: &[Identity]) -> Found<()> {
        let mut whole = known.clone();
        for identity in identities {
            let owner = self
                .draft
                .contact_by_identity(identity.channel, &identity.external_id)?;
            if owner.is_none() && !whole.identities.contains(identity) {
                whole.identities.push(identity.clone());
            }
        }
        if whole.identities != known.identities {
            whole.version += 1;
            whole.updated_at = self.draft.now();
            self.draft.update_contact(whole);
        }
        Ok(())
    }

    /// Takes in that one contact was merged into another.
    pub(super) fn merged(&mut self, from: ContactId, into: ContactId, at: Time) -> Found<Done> {
        if from == into || from == ContactId(0) || into == ContactId(0) {
            let why = "a contact is merged into another one, and both have an id";
            return Ok(Done::Refused(why.to_owned()));
        }
        let remembered = self.remembered(What::Contact, from.0)?;
        let from_here = ContactId(remembered.map_or(from.0, |known| known.id));
        if self.is_merged(from)? || self.is_merged(from_here)? {
            return Ok(Done::Known);
        }
        let into_here = self.standing(ContactId(self.id_here(What::Contact, into.0)?))?;
        // One that was here before is another desk's to merge.
        if into_here == from_here || remembered.is_some_and(|known| !known.made) {
            return Ok(Done::Known);
        }
        let Some(gone) = self.draft.contact(&Scope::whole_desk(), from_here)? else {
            self.put_merged(from_here, into_here, at);
            return Ok(Done::New);
        };
        let into_here = match self.draft.contact(&Scope::whole_desk(), into_here)? {
            Some(whole) => {
                let mut whole = (*whole).clone();
                take_over(&mut whole, &gone);
                let id = whole.id;
                self.draft.update_contact(whole);
                id
            }
            // It comes later in the file, in a higher version; until then it is the one that was merged into it.
            None => {
                let id = ContactId(self.free_id(What::Contact, into_here.0, false)?);
                self.draft.create_contact(ContactRecord {
                    id,
                    version: 0,
                    ..(*gone).clone()
                });
                id
            }
        };
        for conversation in self.draft.conversations_of(gone.id)? {
            let mut conversation = (*conversation).clone();
            conversation.contact = into_here;
            self.draft.update_conversation(conversation);
        }
        self.draft.delete_contact(&gone);
        self.put_merged(from_here, into_here, at);
        Ok(Done::Updated)
    }

    fn put_merged(&mut self, from: ContactId, into: ContactId, at: Time) {
        let entry = MergedContact { into, at };
        self.draft.put(entry.put(from.key().to_vec()));
    }

    fn is_merged(&self, id: ContactId) -> Found<bool> {
        Ok(self.draft.entry::<MergedContact>(&id.key())?.is_some())
    }

    /// The contact that stands for `id` now.
    fn standing(&self, mut id: ContactId) -> Found<ContactId> {
        for _ in 0..MOST_MERGES {
            match self.draft.entry::<MergedContact>(&id.key())? {
                Some(merged) => id = merged.into,
                None => break,
            }
        }
        Ok(id)
    }

    /// The contact here of one that was imported.
    pub(super) fn contact_here(&self, id: ContactId) -> Found<Option<ContactRecord>> {
        let id = self.standing(ContactId(self.id_here(What::Contact, id.0)?))?;
        let contact = self.draft.contact(&Scope::whole_desk(), id)?;
        Ok(contact.map(|contact| (*contact).clone()))
    }
}

/// Whether two contacts of the same id are the same: ids of two desks may meet, though hardly ever.
fn is_same(known: &ContactRecord, contact: &ContactRecord) -> bool {
    known.created_at == contact.created_at
        || known
            .identities
            .iter()
            .any(|identity| contact.identities.contains(identity))
}

/// What is known of `gone` goes over into `whole`, where that does not have it.
fn take_over(whole: &mut ContactRecord, gone: &ContactRecord) {
    whole.identities.extend(gone.identities.iter().cloned());
    whole.identities.sort();
    whole.identities.dedup();
    if whole.name.is_none() {
        whole.name.clone_from(&gone.name);
        whole.named_at = gone.named_at;
    }
    whole.avatar = whole.avatar.take().or_else(|| gone.avatar.clone());
    whole.email = whole.email.take().or_else(|| gone.email.clone());
    whole.phone = whole.phone.take().or_else(|| gone.phone.clone());
    whole.remark = whole.remark.take().or_else(|| gone.remark.clone());
}

/// A file may have been written by anybody: its words are made as safe as a platform's.
fn make_safe(contact: &mut ContactRecord) {
    for name in [&mut contact.name, &mut contact.email, &mut contact.phone] {
        *name = name.as_deref().and_then(text::clean_name);
    }
    // A picture is shown in the page.
    contact.avatar = contact
        .avatar
        .take()
        .filter(|avatar| PICTURES.contains(&avatar.mime_type.as_str()));
    contact.remark = contact.remark.as_deref().map(text::clean_text);
    contact
        .identities
        .retain(|identity| !identity.external_id.is_empty());
}
