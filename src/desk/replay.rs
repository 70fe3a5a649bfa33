//! Deliveries that came before and are decoded once more, by a connector that understands more by now.
//!
//! What is known stays known, and what was not becomes a message with the time at which it came. Somebody who was
//! answered since is not shown as waiting: such a message is not unread and reopens nothing. One that nobody has
//! answered is unread, as any message that comes late.

use deskbell_sdk::{AttachmentKind, Event, NewMessage, Time, text};

use super::arrivals::Arrival;
use super::{Decision, conversations, media};
use crate::id::QuarantineId;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, QuarantineEntry};
use crate::store::record::{AttachmentBytes, ChannelNo, MessageKind, MessageRecord};
use crate::store::{Found, Scope};

/// A delivery that is decoded again, as far as it is of one channel.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The channel.
    pub channel: ChannelNo,
    /// What it says, as it is understood today.
    pub events: Vec<Event>,
    /// When it came.
    pub received_at: Time,
    /// What was not understood then and is now.
    pub understood: Vec<QuarantineId>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Messages that were not here.
    pub new: u64,
    /// Messages of which nothing was understood, and that say something now.
    pub completed: u64,
    /// Edits, reactions, receipts and other news of what is here.
    pub changed: u64,
    /// What was here already.
    pub known: u64,
    /// Parts that are not understood today either.
    pub not_understood: u64,
    /// Entries of the quarantine that are gone, because they are understood.
    pub released: u64,
}

impl Decision for Replay {
    type Answer = Replayed;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Replayed> {
        let mut replayed = Replayed::default();
        let arrival = Arrival {
            channel: self.channel,
            received_at: self.received_at,
            latest: draft.latest().max(self.received_at),
            again: true,
        };
        for event in &self.events {
            let (changed, counted) = match event {
                Event::Message(new) => match known(draft, self.channel, new)? {
                    Some(known) => (
                        complete(&arrival, draft, &known, new)?,
                        &mut replayed.completed,
                    ),
                    // Who was erased since does not come back.
                    None => (
                        arrival.message(draft, new)?.is_some_and(|taken| taken.0),
                        &mut replayed.new,
                    ),
                },
                Event::Change { message, change } => (
                    arrival.change(draft, message, change)?,
                    &mut replayed.changed,
                ),
                Event::Receipt(receipt) => {
                    (arrival.receipt(draft, receipt)?, &mut replayed.changed)
                }
                Event::Activity(activity) => {
                    let changed = arrival.activity(draft, activity)?;
                    (changed == Some(true), &mut replayed.changed)
                }
                // Alarms are of their day.
                Event::Alert(_) | Event::Ignored { .. } => continue,
                Event::Undecodable { .. } => (true, &mut replayed.not_understood),
            };
            if changed {
                *counted += 1;
            } else {
                replayed.known += 1;
            }
        }
        for id in &self.understood {
            if draft.entry::<QuarantineEntry>(&id.key())?.is_some() {
                draft.put(QuarantineEntry::remove(id.key().to_vec()));
                replayed.released += 1;
            }
        }
        Ok(replayed)
    }

    fn weight(&self) -> usize {
        1024 + self.events.len() * 2048
    }
}

fn known(
    draft: &mut Draft<'_>,
    channel: ChannelNo,
    new: &NewMessage,
) -> Found<Option<std::sync::Arc<MessageRecord>>> {
    match draft.message_by_external_id(channel, &new.external_id)? {
        Some(id) => draft.message(channel, id),
        None => Ok(None),
    }
}

/// Gives a message its content, where none of it was understood when it came. Everything else of it stands: its place,
/// what was edited or reacted since, whether it was read.
fn complete(
    arrival: &Arrival,
    draft: &mut Draft<'_>,
    known: &MessageRecord,
    new: &NewMessage,
) -> Found<bool> {
    let says_nothing = |kind| kind == AttachmentKind::Unsupported;
    let is_bare = known.kind == MessageKind::Message
        && known.direction == new.direction
        && known.text.is_none()
        && known.html.is_none()
        && known.album.is_none()
        && known.changes.deleted_at.is_none()
        && known
            .attachments
            .iter()
            .all(|one| says_nothing(one.kind) && one.bytes == AttachmentBytes::None);
    let text = new.text.as_deref().map(text::clean_text);
    let text = text.filter(|text| !text.trim().is_empty());
    let says_more = text.is_some() || new.attachments.iter().any(|one| !says_nothing(one.kind));
    if !is_bare || !says_more {
        return Ok(false);
    }
    let Some(conversation) = draft.conversation(&Scope::whole_desk(), known.conversation)? else {
        return Ok(false);
    };
    let mut message = known.clone();
    message.version += 1;
    message.text = text;
    message.attachments = arrival.attachments(draft, message.id, &new.attachments)?;
    message.reply_to = message.reply_to.or_else(|| new.reply_to.clone());
    for (key, value) in &new.metadata {
        message
            .metadata
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    media::want(draft, &message, |_| true);
    let mut conversation = (*conversation).clone();
    conversation.version += 1;
    conversations::show_last(&mut conversation, &message);
    draft.update_message(message, conversation);
    Ok(true)
}

#[cfg(test)]
mod tests;
