//! What a conversation knows of itself: counts, who waits since when, what stands last.

use std::sync::Arc;

use deskbell_sdk::{DeliveryState, Direction, Time};

use super::Decision;
use super::after_hours::is_automatic_answer;
use crate::id::{ConversationId, MessageId};
use crate::store::draft::Draft;
use crate::store::entry::{
    DeskSettings, Entry, ReadPosition, Reservation, UnreadUntil, external_key,
};
use crate::store::record::{
    ChannelNo, ContactRecord, ConversationRecord, LastMessage, MessageKind, MessageRecord, Place,
    Status,
};
use crate::store::{Found, Scope};

/// How many characters of a message a list shows.
const PREVIEW_CHARS: usize = 120;

/// How many entries are read at once where a whole stretch of a conversation is walked.
const STRETCH: usize = 256;

/// The conversation of a thread, begun where it is new.
pub fn known_or_new(
    draft: &mut Draft<'_>,
    channel: ChannelNo,
    thread: &str,
    contact: &ContactRecord,
) -> Found<ConversationRecord> {
    if let Some(conversation) = draft.conversation_by_thread(channel, thread)? {
        return Ok((*conversation).clone());
    }
    let key = external_key(channel, thread);
    let id = match draft.entry::<Reservation>(&key)? {
        Some(reservation) => {
            draft.put(Reservation::remove(key));
            reservation.conversation
        }
        None => ConversationId(draft.new_id()),
    };
    let now = draft.now();
    let conversation = ConversationRecord {
        id,
        version: 1,
        channel,
        thread: thread.to_owned(),
        contact: contact.id,
        contact_name: contact.name.clone(),
        status: Status::Open,
        assignee: None,
        team: None,
        labels: Vec::new(),
        priority: None,
        subject: None,
        snoozed_until: None,
        unread_count: 0,
        message_count: 0,
        last_message: None,
        waiting_since: None,
        answered_up_to: Place::FIRST,
        customer_acted_at: None,
        delivered_up_to: None,
        read_up_to: None,
        staff_read_up_to: MessageId(0),
        created_at: now,
        last_activity_at: now,
        contact_avatar: contact.avatar.as_ref().map(|avatar| avatar.content.clone()),
        ring: None,
        spam: false,
        blocked: contact.blocked,
        mentioned: Vec::new(),
        last_said: None,
    };
    draft.create_conversation(conversation.clone());
    Ok(conversation)
}

/// Counts a new entry in: numbers, last message, who waits, whether it opens again.
pub fn count_in(
    draft: &Draft<'_>,
    conversation: &mut ConversationRecord,
    message: &MessageRecord,
) -> Found<()> {
    conversation.version += 1;
    show_last(conversation, message);
    conversation.last_activity_at = conversation.last_activity_at.max(message.received_at);
    if message.kind != MessageKind::Message {
        return Ok(());
    }
    conversation.message_count += 1;
    match message.direction {
        Direction::Inbound => {
            conversation.unread_count += 1;
            customer_acted(conversation, message.sent_at);
            if conversation.is_silenced() {
                return Ok(());
            }
            if message.place() > conversation.answered_up_to {
                conversation.waiting_since =
                    earlier(conversation.waiting_since, message.received_at);
            }
            if conversation.status != Status::Open {
                conversation.status = Status::Open;
                conversation.snoozed_until = None;
            }
        }
        // What still waits to be sent is no answer yet; `outbox` counts it once it is.
        Direction::Outbound if is_under_way(message) => {}
        Direction::Outbound => answered_by(draft, conversation, message)?,
    }
    Ok(())
}

/// Takes in that a message grew by a part at `part`: it may have moved to an earlier place by it, and is no second
/// message.
pub fn grow(
    draft: &Draft<'_>,
    conversation: &mut ConversationRecord,
    message: &MessageRecord,
    part: Place,
    received_at: Time,
) -> Found<()> {
    conversation.version += 1;
    conversation.last_activity_at = conversation.last_activity_at.max(received_at);
    match message.direction {
        Direction::Inbound => {
            customer_acted(conversation, part.sent_at);
            if conversation.status != Status::Open && !conversation.is_silenced() {
                conversation.status = Status::Open;
                conversation.snoozed_until = None;
            }
            if message.place() <= conversation.answered_up_to
                && conversation.waiting_since.is_some()
            {
                conversation.waiting_since = None;
                let up_to = conversation.answered_up_to;
                walk_back(draft, conversation.id, up_to, |other| {
                    if other.is_from_customer() && other.id != message.id {
                        conversation.waiting_since =
                            earlier(conversation.waiting_since, other.received_at);
                    }
                })?;
            }
        }
        Direction::Outbound if is_automatic_answer(message) => {}
        Direction::Outbound => answered(draft, conversation, part)?,
    }
    show_moved(draft, conversation, message)
}

/// Where an entry stands that is written here at `now`: behind everything that its writer can see, also where the clock
/// was set back or the platform's is ahead of it.
#[must_use]
pub fn behind_all(conversation: &ConversationRecord, now: Time) -> (Time, u64) {
    match &conversation.last_message {
        Some(last) if last.place.sent_at >= now => (last.place.sent_at, last.place.order),
        _ => (now, 0),
    }
}

/// Brings the last message up to date by an entry that may have moved to an earlier place.
pub fn show_moved(
    draft: &Draft<'_>,
    conversation: &mut ConversationRecord,
    message: &MessageRecord,
) -> Found<()> {
    let stands_last = conversation
        .last_message
        .as_ref()
        .is_some_and(|last| last.place.id == message.id);
    if stands_last {
        conversation.last_message = None;
        let newest = draft.messages(conversation.id, Place::LAST, 2)?;
        if let Some(other) = newest.iter().find(|other| other.id != message.id) {
            show_last(conversation, other);
        }
    }
    let was_said_last = conversation
        .last_said
        .as_ref()
        .is_some_and(|last| last.place.id == message.id);
    if was_said_last {
        conversation.last_said = None;
        for other in draft.messages(conversation.id, Place::LAST, STRETCH)? {
            if other.id != message.id && other.kind != MessageKind::Activity {
                show_last(conversation, &other);
                break;
            }
        }
    }
    show_last(conversation, message);
    Ok(())
}

/// Counts an entry in that was written elsewhere and comes from there as history: nobody is told of it, so that it is
/// neither unread nor does it open anything again. Who still waits is found as ever.
pub fn count_in_history(
    draft: &Draft<'_>,
    conversation: &mut ConversationRecord,
    message: &MessageRecord,
) -> Found<()> {
    let (status, snoozed_until) = (conversation.status, conversation.snoozed_until);
    let unread_count = conversation.unread_count;
    count_in(draft, conversation, message)?;
    conversation.status = status;
    conversation.snoozed_until = snoozed_until;
    conversation.unread_count = unread_count;
    Ok(())
}

/// Whether an answer of ours is not at the platform yet.
fn is_under_way(message: &MessageRecord) -> bool {
    let state = message
        .changes
        .delivery
        .as_ref()
        .map(|delivery| delivery.state);
    state.is_some_and(|state| state < DeliveryState::Sent)
}

/// An answer has reached the customer: who still waits, and since when. What the desk says by itself is none.
pub fn answered_by(
    draft: &Draft<'_>,
    conversation: &mut ConversationRecord,
    message: &MessageRecord,
) -> Found<()> {
    if is_automatic_answer(message) {
        return Ok(());
    }
    answered(draft, conversation, message.place())
}

/// Everything at or before `place` is answered: who still waits, and since when.
fn answered(draft: &Draft<'_>, conversation: &mut ConversationRecord, place: Place) -> Found<()> {
    if place <= conversation.answered_up_to {
        return Ok(());
    }
    conversation.answered_up_to = place;
    if conversation.unread_count > 0 && unread_until(draft)? == UnreadUntil::Answered {
        read_by_answer(draft, conversation, place)?;
    }
    if conversation.waiting_since.is_none() {
        return Ok(());
    }
    conversation.waiting_since = None;
    walk_back(draft, conversation.id, place, |message| {
        if message.is_from_customer() {
            conversation.waiting_since = earlier(conversation.waiting_since, message.received_at);
        }
    })
}

/// When the shop takes messages for read.
pub(super) fn unread_until(draft: &Draft<'_>) -> Found<UnreadUntil> {
    let settings = draft.entry::<DeskSettings>(DeskSettings::KEY)?;
    Ok(settings.unwrap_or_default().unread_until)
}

/// What stands at or before an answer's place is read by it.
fn read_by_answer(
    draft: &Draft<'_>,
    conversation: &mut ConversationRecord,
    place: Place,
) -> Found<()> {
    let mut unread = Vec::new();
    walk_back(draft, conversation.id, place, |message| {
        if message.is_from_customer() && message.id > conversation.staff_read_up_to {
            unread.push(message.id);
        }
    })?;
    let still = u32::try_from(unread.len()).unwrap_or(u32::MAX);
    if still < conversation.unread_count {
        conversation.unread_count = still;
        let read_up_to = match unread.iter().min() {
            Some(first) => MessageId(first.0.saturating_sub(1)),
            None => MessageId(draft.last_id()),
        };
        conversation.staff_read_up_to = conversation.staff_read_up_to.max(read_up_to);
    }
    Ok(())
}

/// Finds anew who waits, after the customer was blocked or not, or the conversation called spam or not: what came
/// meanwhile and is unanswered waits again.
pub fn still_waits(draft: &Draft<'_>, conversation: &mut ConversationRecord) -> Found<()> {
    if conversation.is_silenced() {
        conversation.waiting_since = None;
        return Ok(());
    }
    if conversation.waiting_since.is_some() {
        return Ok(());
    }
    let mut waiting_since = None;
    walk_back(
        draft,
        conversation.id,
        conversation.answered_up_to,
        |message| {
            if message.is_from_customer() {
                waiting_since = earlier(waiting_since, message.received_at);
            }
        },
    )?;
    conversation.waiting_since = waiting_since;
    Ok(())
}

/// Shows every entry of a conversation after `place`, newest first.
pub fn walk_back(
    draft: &Draft<'_>,
    conversation: ConversationId,
    place: Place,
    mut see: impl FnMut(&Arc<MessageRecord>),
) -> Found<()> {
    let mut before = Place::LAST;
    loop {
        let stretch = draft.messages(conversation, before, STRETCH)?;
        for message in &stretch {
            if message.place() <= place {
                return Ok(());
            }
            see(message);
        }
        match stretch.last() {
            Some(last) if stretch.len() == STRETCH => before = last.place(),
            _ => return Ok(()),
        }
    }
}

fn earlier(one: Option<Time>, other: Time) -> Option<Time> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// The customer did something that opens the reply window.
pub fn customer_acted(conversation: &mut ConversationRecord, at: Time) {
    conversation.customer_acted_at = conversation.customer_acted_at.max(Some(at));
}

/// Brings the last message up to date by a new or changed entry.
pub fn show_last(conversation: &mut ConversationRecord, message: &MessageRecord) {
    let place = message.place();
    if conversation
        .last_message
        .as_ref()
        .is_none_or(|last| place >= last.place)
    {
        conversation.last_message = Some(last(message));
    }
    if message.kind != MessageKind::Activity
        && conversation
            .last_said
            .as_ref()
            .is_none_or(|last| place >= last.place)
    {
        conversation.last_said = Some(last(message));
    }
}

fn last(message: &MessageRecord) -> LastMessage {
    LastMessage {
        place: message.place(),
        preview: preview(message),
        direction: message.direction,
    }
}

/// The first words of a message; what an attachment is where there are none; nothing where it was taken back.
fn preview(message: &MessageRecord) -> String {
    if message.changes.deleted_at.is_some() {
        return String::new();
    }
    let words = message
        .standing_text()
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    match words.filter(|words| !words.is_empty()) {
        Some(words) if words.chars().count() > PREVIEW_CHARS => {
            words.chars().take(PREVIEW_CHARS - 1).chain(['…']).collect()
        }
        Some(words) => words,
        None => message
            .attachments
            .first()
            .map_or_else(String::new, |attachment| {
                let kind = format!("{:?}", attachment.kind).to_lowercase();
                attachment
                    .name
                    .as_ref()
                    .map_or_else(|| format!("[{kind}]"), |name| format!("[{kind}] {name}"))
            }),
    }
}

/// A person of the shop has read a conversation.
#[derive(Clone, Debug)]
pub struct MarkRead {
    /// What the caller may see.
    pub scope: Scope,
    /// Which conversation.
    pub conversation: ConversationId,
    /// Up to this arrival; `None`: everything that is there.
    pub up_to: Option<MessageId>,
    /// Who: a user's or a token's id.
    pub reader: String,
    /// What the reader is called.
    pub reader_name: String,
}

/// How marking as read went.
#[derive(Clone, Debug)]
pub enum Marked {
    /// The conversation after it.
    Done(Arc<ConversationRecord>),
    /// The caller knows no such conversation.
    NoConversation,
    /// There is no such message in it.
    NoMessage,
}

impl Decision for MarkRead {
    type Answer = Marked;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Marked> {
        let Some(known) = draft.conversation(&self.scope, self.conversation)? else {
            return Ok(Marked::NoConversation);
        };
        let up_to = match self.up_to {
            Some(id) => match draft.message(known.channel, id)? {
                Some(message) if message.conversation == known.id => id,
                _ => return Ok(Marked::NoMessage),
            },
            None => MessageId(draft.new_id()),
        };
        let mut key = known.id.key().to_vec();
        key.extend_from_slice(self.reader.as_bytes());
        let own = draft.entry::<ReadPosition>(&key)?;
        if own.is_none_or(|own| own.up_to < up_to) {
            let position = ReadPosition {
                up_to,
                at: Some(draft.now()),
                name: Some(self.reader_name.clone()),
            };
            draft.put(position.put(key));
        }
        let is_read = unread_until(draft)? == UnreadUntil::Read;
        if known.unread_count == 0 || up_to <= known.staff_read_up_to || !is_read {
            return Ok(Marked::Done(known));
        }
        let mut conversation = (*known).clone();
        conversation.unread_count = unread_after(draft, &known, up_to)?;
        if conversation.unread_count == known.unread_count {
            return Ok(Marked::Done(known));
        }
        conversation.staff_read_up_to = up_to;
        conversation.version += 1;
        draft.update_conversation(conversation.clone());
        Ok(Marked::Done(Arc::new(conversation)))
    }
}

/// Counts what arrived after the new read position among what was unread `before` it.
pub(super) fn unread_after(
    draft: &Draft<'_>,
    before: &ConversationRecord,
    up_to: MessageId,
) -> Found<u32> {
    let mut to_find = before.unread_count;
    let mut unread = 0;
    let mut behind = Place::LAST;
    while to_find > 0 {
        let stretch = draft.messages(before.id, behind, STRETCH)?;
        let was_unread = |message: &&Arc<MessageRecord>| {
            message.is_from_customer() && message.id > before.staff_read_up_to
        };
        for message in stretch.iter().filter(was_unread) {
            to_find = to_find.saturating_sub(1);
            unread += u32::from(message.id > up_to);
        }
        match stretch.last() {
            Some(last) if stretch.len() == STRETCH => behind = last.place(),
            _ => break,
        }
    }
    Ok(unread)
}
