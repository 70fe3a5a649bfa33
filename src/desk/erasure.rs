//! The erasure of a person: what is kept of them goes, and what is told of them again does not come back.
//!
//! It goes in steps, so that nobody waits for a person with a long history: [`BeginErasure`] takes the contact and their
//! conversations away and writes down what is still to be done; [`EraseSome`] takes messages, some at a time;
//! [`EraseEntries`] and [`EraseAuthored`] take what else names the person; [`FinishErasure`] forgets who it was. A crash
//! in between goes on with what is written down.
//!
//! What stays is a keyed hash of each of their ids at the platforms with the time of the erasure: a message that was
//! written before it is not taken in again, whoever tells it. The person may write anew, and is a new contact then.

use deskbell_sdk::{Secret, Time, webhook::hmac_sha256_hex};

use super::Decision;
use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::draft::Draft;
use crate::store::entry::{
    DeletionEntry, Entry, ErasedIds, ErasedPerson, ErasureEntry, FetchEntry, MergedContact,
    OpenHookDelivery, Reservation, SettingEntry, WaitingReceipts, WorkEntry, external_key,
};
use crate::store::record::{AttachmentBytes, AuthorRecord, ChannelNo, MessageRecord, Place};
use crate::store::{Found, Put, Scope, Table};

/// How many messages go in one step.
const STEP: usize = 200;
/// Under which names the settings stand.
const KEY_SETTING: &[u8] = b"erasure-key";
const LATEST_SETTING: &[u8] = b"erased-until";
/// How many characters of a hash are kept: 128 bits.
const HASH_CHARS: usize = 32;

/// What a person's id in a channel is hashed with.
#[derive(Clone, Debug)]
pub struct ErasureKey(Secret);

impl ErasureKey {
    /// The key of this desk; `None` before there is one.
    pub fn of<R: crate::store::Read + ?Sized>(store: &R) -> Found<Option<Self>> {
        let setting = SettingEntry::get(store, KEY_SETTING)?;
        Ok(setting.map(|setting| Self(Secret::new(setting.value))))
    }

    /// What is kept of a person's or a thread's id, in hex.
    #[must_use]
    pub fn hash(&self, channel: ChannelNo, external_id: &str) -> String {
        let mut named = channel.0.to_be_bytes().to_vec();
        named.extend_from_slice(external_id.as_bytes());
        let mut hash = hmac_sha256_hex(&self.0, &named);
        hash.truncate(HASH_CHARS);
        hash
    }
}

/// Gives the desk its key, where it has none. It is there before the first backup, so that what is erased later can be
/// erased from that as well.
#[derive(Clone, Debug)]
pub struct EnsureErasureKey {
    /// A new one: unguessable.
    pub new: String,
}

impl Decision for EnsureErasureKey {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        if draft.entry::<SettingEntry>(KEY_SETTING)?.is_none() {
            let setting = SettingEntry {
                value: self.new.clone(),
            };
            draft.put(setting.put(KEY_SETTING.to_vec()));
        }
        Ok(())
    }
}

fn key(draft: &Draft<'_>) -> Found<Option<ErasureKey>> {
    let setting = draft.entry::<SettingEntry>(KEY_SETTING)?;
    Ok(setting.map(|setting| ErasureKey(Secret::new(setting.value))))
}

/// When the latest erasure was: what was sent after it need not be looked at.
fn latest(draft: &Draft<'_>) -> Found<Option<Time>> {
    let setting = draft.entry::<SettingEntry>(LATEST_SETTING)?;
    Ok(setting
        .and_then(|setting| setting.value.parse().ok())
        .map(Time::from_millis))
}

/// Whether something that happened at `at` concerns a person who was erased after it, by any of these ids.
pub(super) fn was_erased<'a>(
    draft: &Draft<'_>,
    channel: ChannelNo,
    ids: impl IntoIterator<Item = &'a str>,
    at: Time,
) -> Found<bool> {
    if latest(draft)?.is_none_or(|latest| at > latest) {
        return Ok(false);
    }
    let Some(key) = key(draft)? else {
        return Ok(false);
    };
    for id in ids {
        let erased = draft.entry::<ErasedPerson>(key.hash(channel, id).as_bytes())?;
        if erased.is_some_and(|erased| at <= erased.at) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Remembers that a person was erased of whom nothing is here: a restored desk is told of it.
#[derive(Clone, Debug)]
pub struct RememberErased {
    /// The hash of the person's id, and when it was erased.
    pub erased: Vec<(String, Time)>,
}

impl Decision for RememberErased {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        for (hash, at) in &self.erased {
            remember(draft, hash.clone(), *at)?;
        }
        Ok(())
    }

    fn weight(&self) -> usize {
        1024 + 64 * self.erased.len()
    }
}

fn remember(draft: &mut Draft<'_>, hash: String, at: Time) -> Found<()> {
    let known = draft.entry::<ErasedPerson>(hash.as_bytes())?;
    if known.is_none_or(|known| known.at < at) {
        draft.put(ErasedPerson { at }.put(hash.into_bytes()));
    }
    if latest(draft)?.is_none_or(|latest| latest < at) {
        let value = at.as_millis().to_string();
        draft.put(SettingEntry { value }.put(LATEST_SETTING.to_vec()));
    }
    Ok(())
}

/// A person is to be erased: their contact and conversations go at once.
#[derive(Clone, Debug)]
pub struct BeginErasure {
    /// The contact.
    pub contact: ContactId,
    /// Up to when what they wrote is erased; `None`: up to now.
    pub until: Option<Time>,
}

impl Decision for BeginErasure {
    /// What was begun; `None` where there is no such contact.
    type Answer = Option<ErasureEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let scope = Scope::whole_desk();
        let Some(contact) = draft.contact(&scope, self.contact)? else {
            return Ok(None);
        };
        let Some(key) = key(draft)? else {
            return Err(crate::store::StoreError::Unreadable(
                "there is no key for erasures; restart the daemon".to_owned(),
            ));
        };
        let at = self.until.unwrap_or_else(|| draft.now());
        let mut erasure = ErasureEntry {
            contact: contact.id,
            identities: contact.identities.clone(),
            threads: Vec::new(),
            at,
            steps: 0,
            content: contact
                .avatar
                .iter()
                .map(|one| one.content.clone())
                .collect(),
        };
        for conversation in draft.conversations_of(contact.id)? {
            let thread = external_key(conversation.channel, &conversation.thread);
            draft.put(Reservation::remove(thread.clone()));
            draft.put(WaitingReceipts::remove(thread));
            draft.erase_conversation(conversation.id);
            erasure.threads.push((
                conversation.channel,
                conversation.thread.clone(),
                conversation.id,
            ));
        }
        for (channel, id) in erasure.ids() {
            remember(draft, key.hash(channel, id), at)?;
        }
        for identity in &contact.identities {
            let person = external_key(identity.channel, &identity.external_id);
            draft.put(Put {
                table: Table::Profiles,
                key: person,
                value: None,
            });
        }
        draft.delete_contact(&contact);
        draft.put(erasure.put(ErasureEntry::key(contact.id)));
        Ok(Some(erasure))
    }
}

/// Takes some messages of the conversations of a person who is being erased.
#[derive(Clone, Copy, Debug)]
pub struct EraseSome {
    /// Who is erased.
    pub contact: ContactId,
}

impl Decision for EraseSome {
    /// Whether there may be more.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let at = ErasureEntry::key(self.contact);
        let Some(mut erasure) = draft.entry::<ErasureEntry>(&at)? else {
            return Ok(false);
        };
        for (_, _, conversation) in &erasure.threads {
            let messages = draft.messages(*conversation, Place::LAST, STEP)?;
            if messages.is_empty() {
                continue;
            }
            let mut gone = ErasedIds::default();
            for message in messages {
                erase_message(draft, &message, &mut gone);
            }
            draft.put(gone.put(ErasureEntry::step_key(self.contact, erasure.steps)));
            erasure.steps += 1;
            draft.put(erasure.put(at));
            return Ok(true);
        }
        Ok(false)
    }
}

fn erase_message(draft: &mut Draft<'_>, message: &MessageRecord, gone: &mut ErasedIds) {
    draft.erase_message(message.channel, message.id);
    draft.put(WorkEntry::remove(message.work().key().to_vec()));
    gone.messages.push(message.id);
    note_files(draft, message, gone);
}

/// The files of a message are in no message any more.
fn note_files(draft: &mut Draft<'_>, message: &MessageRecord, gone: &mut ErasedIds) {
    for attachment in &message.attachments {
        gone.attachments.push(attachment.id);
        if let AttachmentBytes::Stored(content) = &attachment.bytes {
            gone.content.push(content.clone());
        }
        draft.put(Put {
            table: Table::Attachments,
            key: attachment.id.key().to_vec(),
            value: None,
        });
    }
}

/// Takes away entries that name a person who is being erased.
#[derive(Clone, Debug)]
pub struct EraseEntries {
    /// Which.
    pub found: Vec<(Table, Vec<u8>)>,
}

impl Decision for EraseEntries {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        for (table, key) in &self.found {
            if *table == Table::HookDeliveries {
                draft.put(OpenHookDelivery::remove(key.clone()));
            }
            draft.put(Put {
                table: *table,
                key: key.clone(),
                value: None,
            });
        }
        Ok(())
    }

    fn weight(&self) -> usize {
        1024 + 64 * self.found.len()
    }
}

/// Empties what a person who is being erased wrote in conversations of others, and takes their reactions away. The
/// messages keep their places: what others answered to them stays understandable.
#[derive(Clone, Debug)]
pub struct EraseAuthored {
    /// Who is erased.
    pub contact: ContactId,
    /// The messages.
    pub messages: Vec<(ChannelNo, MessageId)>,
}

impl Decision for EraseAuthored {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let at = ErasureEntry::key(self.contact);
        let Some(mut erasure) = draft.entry::<ErasureEntry>(&at)? else {
            return Ok(());
        };
        let mut gone = ErasedIds::default();
        for (channel, id) in &self.messages {
            let Some(known) = draft.message(*channel, *id)? else {
                continue;
            };
            let mut message = (*known).clone();
            if erasure.is_author(&message.author) {
                note_files(draft, &message, &mut gone);
                empty(draft, &mut message);
            }
            let reactions = &mut message.changes.reactions;
            reactions.retain(|reaction| !erasure.reacted(message.channel, reaction));
            if message == *known {
                continue;
            }
            gone.messages.push(message.id);
            message.version += 1;
            let scope = Scope::whole_desk();
            if let Some(conversation) = draft.conversation(&scope, message.conversation)? {
                let mut conversation = (*conversation).clone();
                conversation.version += 1;
                super::conversations::show_last(&mut conversation, &message);
                draft.update_message(message, conversation);
            }
        }
        draft.put(gone.put(ErasureEntry::step_key(self.contact, erasure.steps)));
        erasure.steps += 1;
        draft.put(erasure.put(at));
        Ok(())
    }

    fn weight(&self) -> usize {
        1024 + 16 * self.messages.len()
    }
}

fn empty(draft: &Draft<'_>, message: &mut MessageRecord) {
    message.text = None;
    message.html = None;
    message.attachments.clear();
    message.metadata.clear();
    message.revisions.clear();
    message.album = None;
    message.author = AuthorRecord::Contact(ContactId(0), None);
    message.changes.edit = None;
    message.changes.deleted_at = message.changes.deleted_at.or_else(|| Some(draft.now()));
}

/// Everything of a person is gone: forgets who it was.
#[derive(Clone, Copy, Debug)]
pub struct FinishErasure {
    /// Who was erased.
    pub contact: ContactId,
}

impl Decision for FinishErasure {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let at = ErasureEntry::key(self.contact);
        let Some(erasure) = draft.entry::<ErasureEntry>(&at)? else {
            return Ok(());
        };
        for step in 0..erasure.steps {
            draft.put(ErasedIds::remove(ErasureEntry::step_key(
                self.contact,
                step,
            )));
        }
        for identity in &erasure.identities {
            settle_request(draft, identity.channel, &identity.external_id)?;
        }
        draft.put(ErasureEntry::remove(at));
        Ok(())
    }
}

/// Who asked the platform to be forgotten finds that it is done; by whom it was asked is forgotten as well.
fn settle_request(draft: &mut Draft<'_>, channel: ChannelNo, person: &str) -> Found<()> {
    let by_person = DeletionEntry::key_of_person(channel, person);
    let Some(mut request) = draft.entry::<DeletionEntry>(&by_person)? else {
        return Ok(());
    };
    draft.put(DeletionEntry::remove(by_person));
    request.done_at = request.done_at.or_else(|| Some(draft.now()));
    request.person.clear();
    request.contact = None;
    let by_code = DeletionEntry::key_of_code(&request.code);
    draft.put(request.put(by_code));
    Ok(())
}

/// Whether an entry of a side table names a person who is being erased, by its key or its value. `messages` are the
/// messages that went.
pub fn names_person(
    erasure: &ErasureEntry,
    messages: &std::collections::HashSet<MessageId>,
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Found<bool> {
    use crate::store::entry::{
        HookDeliveryEntry, LookupEntry, QuarantineEntry, Visit, WaitingChanges,
    };
    let is_conversation =
        |id: ConversationId| erasure.threads.iter().any(|(_, _, gone)| *gone == id);
    Ok(match table {
        Table::Visits => is_conversation(Visit::from_bytes(value)?.conversation),
        Table::ReadPositions | Table::Unsent | Table::AutoAnswered => erasure
            .threads
            .iter()
            .any(|(_, _, gone)| key.starts_with(&gone.key())),
        Table::Fetches => messages.contains(&FetchEntry::from_bytes(value)?.message),
        Table::Lookups => LookupEntry::from_bytes(value)?.contact == erasure.contact,
        Table::MergedContacts => MergedContact::from_bytes(value)?.into == erasure.contact,
        Table::WaitingChanges => {
            let waiting = WaitingChanges::from_bytes(value)?.changes;
            let channel = key.get(..2).and_then(|no| no.try_into().ok());
            let channel = ChannelNo(channel.map_or(0, u16::from_be_bytes));
            waiting
                .reactions
                .iter()
                .any(|reaction| erasure.reacted(channel, reaction))
        }
        Table::Quarantine => {
            let quarantined = QuarantineEntry::from_bytes(value)?;
            erasure.ids().any(|(channel, id)| {
                channel == quarantined.channel && mentions(&quarantined.raw, id)
            })
        }
        Table::HookDeliveries => {
            let told = HookDeliveryEntry::from_bytes(value)?;
            // That they are gone says no more than the id, and has to be told.
            let is_of_person = told.conversation.is_some_and(is_conversation)
                || told.contact == Some(erasure.contact)
                || told.message.is_some_and(|id| messages.contains(&id))
                || mentions(&told.body, &erasure.contact.to_string());
            is_of_person && told.event != "contact.deleted"
        }
        _ => false,
    })
}

/// Whether a text holds a name by itself, not as a part of a longer one.
fn mentions(text: &str, name: &str) -> bool {
    let is_inner = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    !name.is_empty()
        && text.match_indices(name).any(|(from, _)| {
            !is_inner(text[..from].chars().next_back())
                && !is_inner(text[from + name.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests;
