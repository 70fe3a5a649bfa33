//! What came from a platform: each delivery once, in whatever order.

mod receipts;

use deskbell_sdk::{
    Activity, AttachmentKind, Author, DeliveryState, Direction, Event, MessageChange,
    NewAttachment, NewMessage, Source, Time, text,
};

pub(super) use receipts::apply_receipts;

use super::changes::{delivery, merge};
use super::{
    Decision, albums, contacts, conversations, erasure, media, outbox, profiles, revisions,
};
use crate::id::{AttachmentId, ContactId, ConversationId, MessageId, QuarantineId};
use crate::store::draft::Draft;
use crate::store::entry::{AttachmentEntry, Entry, QuarantineEntry, WaitingChanges, external_key};
use crate::store::record::{
    Album, AttachmentBytes, AttachmentRecord, AuthorRecord, ChannelNo, DeliveryRecord, Edit,
    MessageChanges, MessageKind, MessageRecord, ReactionRecord,
};
use crate::store::{Found, Put, RawDelivery};

/// How far in the future a platform's time may lie before it is taken for nonsense: a day, in milliseconds.
const FUTURE_MS: i64 = 24 * 60 * 60 * 1000;
/// A clock that tells an earlier time is wrong for certain, since there was no Deskbell then: 2026. The platform is
/// believed against it.
const NOT_BEFORE_MS: i64 = 1_767_225_600_000;
/// How far a receipt's watermark may lie in the future: five minutes, in milliseconds, so that a wrong one does not
/// mark what is not yet written as read.
const WATERMARK_FUTURE_MS: i64 = 5 * 60 * 1000;
/// How much of an undecodable part is kept where the operator sees it; the whole delivery is in the log.
const QUARANTINE_BYTES: usize = 64 * 1024;

/// How many attachments of one message are kept one by one. Platforms allow some tens; the rest is counted in one
/// attachment of kind `unsupported`, and stays in the delivery as it came.
const MAX_ATTACHMENTS: usize = 100;
/// How many parts of one delivery that could not be understood are kept one by one, so that a platform gone mad does
/// not fill the store; the rest is counted in one entry, and stays in the delivery as it came.
const MAX_QUARANTINED: u32 = 20;

/// A delivery, decoded and routed.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// What happened, each with its channel.
    pub events: Vec<(ChannelNo, Event)>,
    /// When it reached the daemon.
    pub received_at: Time,
    /// The delivery as it came, where it is to be kept.
    pub raw: Option<RawDelivery>,
    /// Where reading at the platform stands after it: kept in the same step, or not at all.
    pub cursor: Option<Put>,
}

/// What became of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events that changed the desk.
    pub new: u32,
    /// Events that were known already.
    pub known: u32,
    /// Events that are of no use to the desk.
    pub ignored: u32,
    /// Parts that could not be understood, and are kept for the operator.
    pub quarantined: u32,
    /// Messages of people who were erased after they had written them: they are not taken in again.
    pub erased: u32,
    /// The message that each message event is, in order: new or known.
    pub messages: Vec<(ConversationId, MessageId)>,
}

impl Decision for Arrivals {
    type Answer = Outcome;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Outcome> {
        let mut outcome = Outcome::default();
        let mut uncounted = None;
        let latest = draft.latest().max(self.received_at);
        for (channel, event) in &self.events {
            let arrival = Arrival {
                channel: *channel,
                received_at: self.received_at,
                latest,
                again: false,
            };
            let changed = match event {
                Event::Message(message) => {
                    let Some((changed, conversation, id)) = arrival.message(draft, message)? else {
                        outcome.erased += 1;
                        continue;
                    };
                    outcome.messages.push((conversation, id));
                    changed
                }
                Event::Change { message, change } => arrival.change(draft, message, change)?,
                Event::Receipt(receipt) => arrival.receipt(draft, receipt)?,
                Event::Activity(activity) => {
                    let Some(changed) = arrival.activity(draft, activity)? else {
                        outcome.erased += 1;
                        continue;
                    };
                    changed
                }
                Event::Alert(_) | Event::Ignored { .. } => {
                    outcome.ignored += 1;
                    continue;
                }
                Event::Undecodable { raw, why } => {
                    outcome.quarantined += 1;
                    if outcome.quarantined <= MAX_QUARANTINED {
                        arrival.quarantine(draft, raw, why);
                    } else {
                        uncounted = Some(arrival);
                    }
                    continue;
                }
            };
            if changed {
                outcome.new += 1;
            } else {
                outcome.known += 1;
            }
        }
        if let Some(arrival) = uncounted {
            let why = format!(
                "{} more parts of the same delivery could not be understood. The whole delivery is in the log.",
                outcome.quarantined - MAX_QUARANTINED
            );
            arrival.quarantine(draft, "", &why);
        }
        // A delivery that only repeats what is known need not be kept twice.
        if let Some(raw) = &self.raw
            && (outcome.new > 0 || outcome.ignored > 0 || outcome.quarantined > 0)
        {
            draft.keep_raw(raw.clone());
        }
        if let Some(cursor) = &self.cursor {
            draft.put(cursor.clone());
        }
        Ok(outcome)
    }

    fn weight(&self) -> usize {
        self.raw.as_ref().map_or(1024, |raw| raw.size() * 4) + self.events.len() * 512
    }
}

/// By whose ids a message would come back after an erasure.
fn people_of(new: &NewMessage) -> impl Iterator<Item = &str> {
    let author = match &new.author {
        Author::Contact(person) => Some(person.id.as_str()),
        Author::Staff { .. } | Author::Bot { .. } => None,
    };
    [new.customer.id.as_str(), &new.thread]
        .into_iter()
        .chain(author)
}

/// Where and when something came.
pub(super) struct Arrival {
    /// The channel.
    pub(super) channel: ChannelNo,
    /// When it reached the daemon.
    pub(super) received_at: Time,
    /// The same, or later where the clock was set back meanwhile: by this a platform's time is judged.
    pub(super) latest: Time,
    /// It came before, and is only understood now: where somebody answered since, it is history.
    pub(super) again: bool,
}

impl Arrival {
    /// Whether a platform's time is one, and at most so far in the future.
    fn is_sensible(&self, time: Time, future_ms: i64) -> bool {
        let clock_is_wrong = self.latest.as_millis() < NOT_BEFORE_MS;
        time.as_millis() > 0 && (clock_is_wrong || time <= self.latest.plus_millis(future_ms))
    }

    /// A platform's time, or the arrival where that is nonsense.
    pub(super) fn sensible(&self, time: Time) -> Time {
        if self.is_sensible(time, FUTURE_MS) {
            time
        } else {
            self.latest
        }
    }

    /// Takes a message in: whether that changed anything, and where it is. `None` where its person was erased.
    pub(super) fn message(
        &self,
        draft: &mut Draft<'_>,
        new: &NewMessage,
    ) -> Found<Option<(bool, ConversationId, MessageId)>> {
        if let Some(id) = draft.message_by_external_id(self.channel, &new.external_id)?
            && let Some(known) = draft.message(self.channel, id)?
        {
            let changed = revisions::keep(draft, &known, new, self.received_at)?;
            return Ok(Some((changed, known.conversation, id)));
        }
        if let (Direction::Outbound, Some(token)) = (new.direction, &new.send_token)
            && let Some(echoed) = outbox::echoed(draft, self.channel, token, &new.external_id)?
        {
            return Ok(Some(echoed));
        }
        if let Some(album) = &new.album
            && let Some(id) = draft.message_by_external_id(self.channel, &albums::key(album))?
            && let Some(begun) = draft.message(self.channel, id)?
        {
            return self.further_part(draft, new, &begun).map(Some);
        }
        let sent_at = self.sensible(new.sent_at);
        if erasure::was_erased(draft, self.channel, people_of(new), sent_at)? {
            return Ok(None);
        }
        let customer = contacts::known_or_new(draft, self.channel, &new.customer, sent_at)?;
        let mut conversation =
            conversations::known_or_new(draft, self.channel, &new.thread, &customer)?;
        self.apply_waiting_receipts(draft, &mut conversation)?;
        let author = match &new.author {
            Author::Contact(person) if person.id == new.customer.id => {
                AuthorRecord::Contact(customer.id, customer.name.clone())
            }
            other => self.author(draft, other, sent_at)?,
        };
        let id = MessageId(draft.new_id());
        let mut message = MessageRecord {
            id,
            version: 1,
            channel: self.channel,
            conversation: conversation.id,
            direction: new.direction,
            kind: MessageKind::Message,
            author,
            external_id: Some(new.external_id.clone()),
            text: new.text.as_deref().map(text::clean_text),
            html: None,
            attachments: self.attachments(draft, id, &new.attachments)?,
            reply_to: new.reply_to.clone(),
            sent_at,
            order: new.order,
            received_at: self.received_at,
            metadata: new.metadata.clone(),
            changes: MessageChanges::default(),
            part_ids: Vec::new(),
            album: None,
            revisions: Vec::new(),
        };
        if new.direction == Direction::Outbound {
            message.changes = delivery(DeliveryState::Sent, sent_at);
        }
        if let Some(album) = &new.album {
            message.album = Some(Box::new(Album {
                key: albums::key(album),
                parts: vec![self.part(new, &message.attachments)],
            }));
        }
        self.apply_waiting_changes(draft, &mut message, &new.external_id)?;
        apply_receipts(&conversation, &mut message);
        if self.again && message.place() <= conversation.answered_up_to {
            conversations::count_in_history(draft, &mut conversation, &message)?;
        } else {
            conversations::count_in(draft, &mut conversation, &message)?;
        }
        for reaction in &message.changes.reactions {
            if matches!(reaction.author, AuthorRecord::Contact(..)) && reaction.emoji.is_some() {
                conversations::customer_acted(&mut conversation, reaction.at);
            }
        }
        media::want(draft, &message, |_| true);
        if message.is_from_customer() {
            let waiting_since = conversation.waiting_since.unwrap_or(self.received_at);
            profiles::want(
                draft,
                self.channel,
                &new.customer.id,
                customer.id,
                waiting_since,
            )?;
        }
        let conversation_id = conversation.id;
        draft.create_message(message, conversation);
        Ok(Some((true, conversation_id, id)))
    }

    fn author(&self, draft: &mut Draft<'_>, author: &Author, at: Time) -> Found<AuthorRecord> {
        let cleaned = |name: &Option<String>| name.as_deref().and_then(text::clean_name);
        Ok(match author {
            Author::Contact(person) => {
                let contact = contacts::known_or_new(draft, self.channel, person, at)?;
                AuthorRecord::Contact(contact.id, contact.name.clone())
            }
            Author::Staff { name } => AuthorRecord::Staff(None, cleaned(name)),
            Author::Bot { name } => AuthorRecord::Bot(cleaned(name)),
        })
    }

    pub(super) fn attachments(
        &self,
        draft: &mut Draft<'_>,
        message: MessageId,
        new: &[NewAttachment],
    ) -> Found<Vec<AttachmentRecord>> {
        let mut kept = new
            .iter()
            .take(MAX_ATTACHMENTS)
            .map(|attachment| self.attachment(draft, message, attachment))
            .collect::<Found<Vec<_>>>()?;
        if new.len() > MAX_ATTACHMENTS {
            let rest = NewAttachment {
                name: Some(format!("{} more attachments", new.len() - MAX_ATTACHMENTS)),
                ..NewAttachment::of_kind(AttachmentKind::Unsupported)
            };
            kept.push(self.attachment(draft, message, &rest)?);
        }
        Ok(kept)
    }

    fn attachment(
        &self,
        draft: &mut Draft<'_>,
        message: MessageId,
        new: &NewAttachment,
    ) -> Found<AttachmentRecord> {
        let mut record = AttachmentRecord {
            id: AttachmentId(draft.new_id()),
            kind: new.kind,
            name: new.name.as_deref().and_then(text::clean_name),
            mime_type: new.mime_type.as_deref().and_then(text::clean_name),
            size: new.size,
            bytes: AttachmentBytes::None,
            latitude: new.latitude.filter(|degrees| degrees.is_finite()),
            longitude: new.longitude.filter(|degrees| degrees.is_finite()),
            link: new.link.clone(),
            external_id: new.external_id.clone(),
        };
        match &new.source {
            Source::Url(url) => record.bytes = AttachmentBytes::Remote(url.clone()),
            Source::Handle(handle) => record.bytes = AttachmentBytes::Handle(handle.clone()),
            Source::Nowhere => {}
            Source::Uploaded(id) => {
                let uploaded = id.parse::<AttachmentId>().ok();
                let entry = match uploaded {
                    Some(id) => draft.entry::<AttachmentEntry>(&id.key())?,
                    None => None,
                };
                match entry.filter(|entry| entry.message.is_none()) {
                    Some(entry) => attach_upload(draft, &mut record, entry, self.channel, message),
                    None => {
                        record.bytes = AttachmentBytes::Failed("the upload is not there".to_owned())
                    }
                }
            }
        }
        Ok(record)
    }

    /// Merges what came for a message before the message itself.
    pub(super) fn apply_waiting_changes(
        &self,
        draft: &mut Draft<'_>,
        message: &mut MessageRecord,
        external_id: &str,
    ) -> Found<()> {
        let key = external_key(self.channel, external_id);
        let mut changes = MessageChanges::default();
        if let Some(waiting) = draft.entry::<WaitingChanges>(&key)? {
            draft.put(WaitingChanges::remove(key));
            changes = waiting.changes;
        }
        for reaction in &mut changes.reactions {
            self.resolve(draft, reaction)?;
        }
        merge_into(message, external_id, &changes);
        Ok(())
    }

    /// A reaction that waited knows its person only by the platform's id.
    fn resolve(&self, draft: &mut Draft<'_>, reaction: &mut ReactionRecord) -> Found<()> {
        if let (AuthorRecord::Contact(ContactId(0), name), Some(external_id)) =
            (&reaction.author, reaction.by.strip_prefix("c:"))
        {
            let mut person = deskbell_sdk::Person::with_id(external_id);
            person.name.clone_from(name);
            let contact = contacts::known_or_new(draft, self.channel, &person, reaction.at)?;
            reaction.author = AuthorRecord::Contact(contact.id, contact.name.clone());
        }
        Ok(())
    }

    pub(super) fn change(
        &self,
        draft: &mut Draft<'_>,
        external_id: &str,
        change: &MessageChange,
    ) -> Found<bool> {
        let mut more = self.as_changes(change);
        let mut changed = self.reacted(draft, change)?;
        let known = match draft.message_by_external_id(self.channel, external_id)? {
            Some(id) => draft.message(self.channel, id)?,
            None => None,
        };
        let Some(known) = known else {
            let key = external_key(self.channel, external_id);
            let before = draft.entry::<WaitingChanges>(&key)?;
            let mut waiting = before.clone().unwrap_or(WaitingChanges {
                changes: MessageChanges::default(),
                since: self.received_at,
            });
            merge(&mut waiting.changes, &more);
            if before.as_ref() != Some(&waiting) {
                draft.put(waiting.put(key));
                changed = true;
            }
            return Ok(changed);
        };
        for reaction in &mut more.reactions {
            self.resolve(draft, reaction)?;
        }
        let mut message = (*known).clone();
        if let (Some(more), Some(delivery)) = (&mut more.delivery, &known.changes.delivery)
            && delivery.state >= DeliveryState::Sent
            && known.external_ids().any(|id| id == external_id)
        {
            // Of the sending that gave the message the id that it bears now. While a later one waits, what is told of a
            // former one is past.
            more.attempt = delivery.attempt;
        }
        merge_into(&mut message, external_id, &more);
        if message == *known {
            return Ok(changed);
        }
        message.version += 1;
        let scope = crate::store::Scope::whole_desk();
        if let Some(conversation) = draft.conversation(&scope, message.conversation)? {
            let mut conversation = (*conversation).clone();
            conversation.version += 1;
            if !matches!(change, MessageChange::Delivery { .. }) {
                conversation.last_activity_at = conversation.last_activity_at.max(self.received_at);
            }
            conversations::show_last(&mut conversation, &message);
            draft.update_message(message, conversation);
        }
        Ok(true)
    }

    fn as_changes(&self, change: &MessageChange) -> MessageChanges {
        let mut changes = MessageChanges::default();
        match change {
            MessageChange::Edited { text, version, at } => {
                let (version, at) = (*version, self.sensible(*at));
                changes.edit = Some(Edit {
                    version,
                    at,
                    text: text::clean_text(text),
                });
            }
            MessageChange::Reacted { by, emoji, at, .. } => {
                let (by, author) = match by {
                    Author::Contact(person) => {
                        let name = person.name.as_deref().and_then(text::clean_name);
                        (
                            format!("c:{}", person.id),
                            AuthorRecord::Contact(ContactId(0), name),
                        )
                    }
                    Author::Staff { name } | Author::Bot { name } => {
                        ("s:".to_owned(), AuthorRecord::Staff(None, name.clone()))
                    }
                };
                let emoji = emoji.as_deref().and_then(text::clean_name);
                changes.reactions.push(ReactionRecord {
                    by,
                    at: self.sensible(*at),
                    emoji,
                    author,
                });
            }
            MessageChange::Deleted { at } => changes.deleted_at = Some(self.sensible(*at)),
            MessageChange::Delivery { state, at, error } => {
                let error = error.clone().map(|(code, detail)| (code, detail, false));
                changes.delivery = Some(DeliveryRecord {
                    state: *state,
                    at: self.sensible(*at),
                    error,
                    attempt: 0,
                    sent_parts: None,
                });
            }
        }
        changes
    }

    pub(super) fn activity(
        &self,
        draft: &mut Draft<'_>,
        activity: &Activity,
    ) -> Found<Option<bool>> {
        if draft
            .message_by_external_id(self.channel, &activity.external_id)?
            .is_some()
        {
            return Ok(Some(false));
        }
        let at = self.sensible(activity.at);
        let people = [activity.customer.id.as_str(), &activity.thread];
        if erasure::was_erased(draft, self.channel, people, at)? {
            return Ok(None);
        }
        let customer = contacts::known_or_new(draft, self.channel, &activity.customer, at)?;
        let mut conversation =
            conversations::known_or_new(draft, self.channel, &activity.thread, &customer)?;
        self.apply_waiting_receipts(draft, &mut conversation)?;
        if activity.by_customer {
            conversations::customer_acted(&mut conversation, at);
        }
        let message = MessageRecord {
            id: MessageId(draft.new_id()),
            version: 1,
            channel: self.channel,
            conversation: conversation.id,
            direction: Direction::Inbound,
            kind: MessageKind::Activity,
            author: AuthorRecord::System,
            external_id: Some(activity.external_id.clone()),
            text: Some(text::clean_text(&activity.text)),
            html: None,
            attachments: Vec::new(),
            reply_to: None,
            sent_at: at,
            order: 0,
            received_at: self.received_at,
            metadata: activity.metadata.clone(),
            changes: MessageChanges::default(),
            part_ids: Vec::new(),
            album: None,
            revisions: Vec::new(),
        };
        conversations::count_in(draft, &mut conversation, &message)?;
        draft.create_message(message, conversation);
        Ok(Some(true))
    }

    fn quarantine(&self, draft: &mut Draft<'_>, raw: &str, why: &str) {
        let id = QuarantineId(draft.new_id());
        let mut end = raw.len().min(QUARANTINE_BYTES);
        while !raw.is_char_boundary(end) {
            end -= 1;
        }
        let entry = QuarantineEntry {
            id,
            channel: self.channel,
            received_at: self.received_at,
            why: text::clean_text(why),
            raw: raw[..end].to_owned(),
        };
        draft.put(entry.put(id.key().to_vec()));
    }
}

/// Puts an upload into a message.
pub(super) fn attach_upload(
    draft: &mut Draft<'_>,
    record: &mut AttachmentRecord,
    mut entry: AttachmentEntry,
    channel: ChannelNo,
    message: MessageId,
) {
    record.id = entry.id;
    record.name.clone_from(&entry.name);
    record.mime_type = Some(entry.mime_type.clone());
    record.size = Some(entry.size);
    record.bytes = AttachmentBytes::Stored(entry.content.clone());
    entry.message = Some((channel, message));
    draft.put(entry.put(record.id.key().to_vec()));
}

/// Merges changes of the platform's message `external_id` into the message that it is, or is a part of. How far it has
/// come is nothing that can happen to a message of the customer's (W17).
fn merge_into(message: &mut MessageRecord, external_id: &str, more: &MessageChanges) {
    let mut more = match &mut message.album {
        Some(album) => albums::merge_into_part(album, external_id, more),
        None => more.clone(),
    };
    if message.direction == Direction::Inbound {
        more.delivery = None;
    }
    merge(&mut message.changes, &more);
    albums::settle(message);
}

#[cfg(test)]
mod tests;
