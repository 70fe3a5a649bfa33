//! Who writes to the shop.

use std::sync::Arc;

use deskbell_sdk::{Person, Time, text};

use super::{Decision, conversations};
use crate::id::ContactId;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, MergedContact};
use crate::store::record::{AvatarRecord, ChannelNo, ContactRecord, Identity};
use crate::store::{Found, Scope};

/// The contact of a person, made or brought up to date by what the platform tells of them. `told_at` is the
/// platform's time of the telling: the newest name stands.
pub fn known_or_new(
    draft: &mut Draft<'_>,
    channel: ChannelNo,
    person: &Person,
    told_at: Time,
) -> Found<Arc<ContactRecord>> {
    let name = person.name.as_deref().and_then(text::clean_name);
    let email = person.email.as_deref().and_then(text::clean_name);
    if let Some(contact) = draft.contact_by_identity(channel, &person.id)? {
        let newer_name = name.filter(|name| {
            (told_at, name)
                > (
                    contact.named_at,
                    contact.name.as_ref().unwrap_or(&String::new()),
                )
        });
        let newer_name = newer_name.filter(|name| contact.name.as_ref() != Some(name));
        let new_email = email.filter(|_| contact.email.is_none());
        if newer_name.is_none() && new_email.is_none() {
            return Ok(contact);
        }
        let mut contact = (*contact).clone();
        if let Some(name) = newer_name {
            contact.name = Some(name);
            contact.named_at = told_at;
        }
        contact.email = new_email.or(contact.email);
        return change(draft, contact);
    }
    let contact = ContactRecord {
        id: ContactId(draft.new_id()),
        version: 1,
        named_at: if name.is_some() {
            told_at
        } else {
            Time::from_millis(i64::MIN)
        },
        name,
        email,
        phone: None,
        remark: None,
        identities: vec![Identity {
            channel,
            external_id: person.id.clone(),
        }],
        created_at: draft.now(),
        updated_at: draft.now(),
        avatar: None,
        blocked: false,
    };
    draft.create_contact(contact.clone());
    Ok(Arc::new(contact))
}

/// What a platform told of a person when it was asked: the name, unless a person of the shop gave one, and the picture.
/// `None` leaves what is known.
pub fn told(
    draft: &mut Draft<'_>,
    contact: ContactId,
    name: Option<&str>,
    avatar: Option<&AvatarRecord>,
) -> Found<()> {
    let Some(known) = draft.contact(&Scope::whole_desk(), contact)? else {
        return Ok(());
    };
    let mut contact = (*known).clone();
    if let Some(name) = name.and_then(text::clean_name)
        && contact.name.as_ref() != Some(&name)
        && draft.now() > contact.named_at
    {
        contact.name = Some(name);
        contact.named_at = draft.now();
    }
    if avatar.is_some() {
        contact.avatar = avatar.cloned();
    }
    if contact != *known {
        change(draft, contact)?;
    }
    Ok(())
}

/// Writes a changed contact, and its name, its picture and whether it is blocked into its conversations.
fn change(draft: &mut Draft<'_>, mut contact: ContactRecord) -> Found<Arc<ContactRecord>> {
    contact.version += 1;
    contact.updated_at = draft.now();
    draft.update_contact(contact.clone());
    let avatar = contact.avatar.as_ref().map(|avatar| &avatar.content);
    for conversation in draft.conversations_of(contact.id)? {
        if conversation.contact_name != contact.name
            || conversation.contact_avatar.as_ref() != avatar
            || conversation.blocked != contact.blocked
        {
            let mut conversation = (*conversation).clone();
            conversation.contact_name.clone_from(&contact.name);
            conversation.contact_avatar = avatar.cloned();
            conversation.version += 1;
            conversation.blocked = contact.blocked;
            conversations::still_waits(draft, &mut conversation)?;
            draft.update_conversation(conversation);
        }
    }
    Ok(Arc::new(contact))
}

/// A person of the shop corrects a contact. `None` leaves a field; `Some(None)` empties it.
#[derive(Clone, Debug)]
pub struct ChangeContact {
    /// What the caller may see.
    pub scope: Scope,
    /// Which contact.
    pub contact: ContactId,
    /// The name.
    pub name: Option<Option<String>>,
    /// The e-mail address.
    pub email: Option<Option<String>>,
    /// The telephone number.
    pub phone: Option<Option<String>>,
    /// A remark.
    pub remark: Option<Option<String>>,
    /// Whether what they write makes nobody look.
    pub blocked: Option<bool>,
}

impl Decision for ChangeContact {
    /// `None` where the caller knows no such contact.
    type Answer = Option<Arc<ContactRecord>>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(known) = draft.contact(&self.scope, self.contact)? else {
            return Ok(None);
        };
        let cleaned = |value: &Option<String>| value.as_deref().and_then(text::clean_name);
        let mut contact = (*known).clone();
        if let Some(name) = &self.name {
            contact.name = cleaned(name);
            contact.named_at = Time::from_millis(i64::MAX);
        }
        if let Some(email) = &self.email {
            contact.email = cleaned(email);
        }
        if let Some(phone) = &self.phone {
            contact.phone = cleaned(phone);
        }
        if let Some(remark) = &self.remark {
            contact.remark = remark
                .as_deref()
                .map(text::clean_text)
                .filter(|text| !text.is_empty());
        }
        if let Some(blocked) = self.blocked {
            contact.blocked = blocked;
        }
        if contact == *known {
            return Ok(Some(known));
        }
        change(draft, contact).map(Some)
    }
}

/// A person of the shop says that two contacts are one: `from` goes over into `into` and is gone.
#[derive(Clone, Debug)]
pub struct MergeContacts {
    /// What the caller may see.
    pub scope: Scope,
    /// The contact that stays.
    pub into: ContactId,
    /// The contact that goes.
    pub from: ContactId,
}

/// How a merging ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The contact that stayed, after it.
    Into(Arc<ContactRecord>),
    /// The caller knows no contact of the first or of the second id.
    Unknown(ContactId),
    /// They are the same already.
    Same,
    /// One of them is known in channels that the caller may not see, which would be decided over as well.
    Beyond,
}

impl Decision for MergeContacts {
    type Answer = Merged;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Merged> {
        if self.into == self.from {
            return Ok(Merged::Same);
        }
        let Some(into) = draft.contact(&self.scope, self.into)? else {
            return Ok(Merged::Unknown(self.into));
        };
        let Some(from) = draft.contact(&self.scope, self.from)? else {
            return Ok(Merged::Unknown(self.from));
        };
        let seen = |contact: &ContactRecord| {
            contact
                .identities
                .iter()
                .all(|identity| self.scope.allows(identity.channel))
        };
        if !seen(&into) || !seen(&from) {
            return Ok(Merged::Beyond);
        }
        let mut whole = (*into).clone();
        whole.identities.extend(from.identities.iter().cloned());
        whole.identities.sort();
        whole.identities.dedup();
        if whole.name.is_none() {
            whole.name.clone_from(&from.name);
            whole.named_at = from.named_at;
        }
        whole.avatar = whole.avatar.or_else(|| from.avatar.clone());
        whole.email = whole.email.or_else(|| from.email.clone());
        whole.phone = whole.phone.or_else(|| from.phone.clone());
        whole.remark = match (whole.remark, &from.remark) {
            (Some(one), Some(other)) if one != *other => Some(format!("{one}\n{other}")),
            (one, other) => one.or_else(|| other.clone()),
        };
        whole.created_at = whole.created_at.min(from.created_at);
        let conversations = draft.conversations_of(from.id)?;
        let whole = change(draft, whole)?;
        for conversation in conversations {
            let mut conversation = (*conversation).clone();
            conversation.contact = whole.id;
            conversation.contact_name.clone_from(&whole.name);
            conversation.contact_avatar =
                whole.avatar.as_ref().map(|avatar| avatar.content.clone());
            conversation.version += 1;
            conversation.blocked = whole.blocked;
            conversations::still_waits(draft, &mut conversation)?;
            draft.update_conversation(conversation);
        }
        draft.delete_contact(&from);
        let merged = MergedContact {
            into: whole.id,
            at: draft.now(),
        };
        draft.put(merged.put(from.id.key().to_vec()));
        Ok(Merged::Into(whole))
    }
}

/// The contact that stands for `id` now, where it was merged into another.
pub fn standing(store: &(impl crate::store::Read + ?Sized), id: ContactId) -> Found<ContactId> {
    let mut id = id;
    // No contact is merged into one that is gone, so this comes to an end.
    while let Some(merged) = MergedContact::get(store, &id.key())? {
        id = merged.into;
    }
    Ok(id)
}
