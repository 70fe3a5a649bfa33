//! An answer that did not go out is sent once more, in its place.
//!
//! A retry is a new sending of the same message: a new item of work behind everything that waits in the conversation,
//! which goes on with the part that failed. What is known of the former sending stays: its ids at the platform keep its
//! parts from coming in as messages, and an echo that comes late settles the item before it leaves again.

use deskbell_sdk::{DeliveryState, Direction};

use super::{Decision, changes};
use crate::id::{MessageId, WorkId};
use crate::store::draft::Draft;
use crate::store::entry::{Entry, PartRecord, WorkEntry, WorkState};
use crate::store::record::{ChannelNo, DeliveryRecord, MessageChanges, MessageKind, MessageRecord};
use crate::store::{Found, Scope, metadata};

/// Somebody wants an answer sent once more.
#[derive(Clone, Debug)]
pub struct Retry {
    /// What the caller may see.
    pub scope: Scope,
    /// Its channel.
    pub channel: ChannelNo,
    /// Which message.
    pub message: MessageId,
    /// What it is cut into: as before.
    pub parts: Vec<PartRecord>,
    /// The caller knows that the customer may have it already.
    pub confirmed: bool,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is queued again.
    Queued,
    /// The caller knows no such message.
    NoMessage,
    /// It is none that failed: on its way, arrived, or no answer of ours.
    NotFailed,
    /// The customer may have it already, and nobody said that it is to be sent all the same.
    Doubtful,
}

impl Decision for Retry {
    type Answer = Retried;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Retried> {
        let Some((known, conversation)) = find(draft, &self.scope, self.channel, self.message)?
        else {
            return Ok(Retried::NoMessage);
        };
        let Some(delivery) = failed(&known) else {
            return Ok(Retried::NotFailed);
        };
        if delivery.state == DeliveryState::Unknown && !self.confirmed {
            return Ok(Retried::Doubtful);
        }
        let next_part = next_part(&known, delivery, self.parts.len());
        let now = draft.now();
        let work = WorkId(draft.new_id());
        let mut message = (*known).clone();
        set_ids_aside(&mut message, next_part, self.parts.len());
        metadata::undismiss(&mut message.metadata);
        let queued = DeliveryRecord {
            state: DeliveryState::Queued,
            at: now,
            error: None,
            attempt: work.0,
            sent_parts: None,
        };
        let change = MessageChanges {
            delivery: Some(queued),
            ..MessageChanges::default()
        };
        changes::merge(&mut message.changes, &change);
        message.version += 1;
        let mut conversation = (*conversation).clone();
        conversation.version += 1;
        let item = WorkEntry {
            id: work,
            channel: known.channel,
            conversation: known.conversation,
            message: known.id,
            parts: self.parts.clone(),
            next_part,
            state: WorkState::Waiting { attempts: 0 },
            due_at: now,
            created_at: now,
            looking_since: None,
        };
        draft.put(item.put(work.key().to_vec()));
        draft.update_message(message, conversation);
        Ok(Retried::Queued)
    }

    fn weight(&self) -> usize {
        let parts = self.parts.iter().map(|part| match part {
            PartRecord::Text(text) => text.len(),
            PartRecord::File(_) => 8,
        });
        1024 + parts.sum::<usize>()
    }
}

/// Somebody has seen that an answer did not go out, and leaves it at that.
#[derive(Clone, Debug)]
pub struct Dismiss {
    /// What the caller may see.
    pub scope: Scope,
    /// Its channel.
    pub channel: ChannelNo,
    /// Which message.
    pub message: MessageId,
}

impl Decision for Dismiss {
    /// `None`: the caller knows no such message; else whether it is one that failed.
    type Answer = Option<bool>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Option<bool>> {
        let Some((known, conversation)) = find(draft, &self.scope, self.channel, self.message)?
        else {
            return Ok(None);
        };
        if failed(&known).is_none() {
            return Ok(Some(false));
        }
        let mut message = (*known).clone();
        if metadata::dismiss(&mut message.metadata) {
            message.version += 1;
            let mut conversation = (*conversation).clone();
            conversation.version += 1;
            draft.update_message(message, conversation);
        }
        Ok(Some(true))
    }
}

type MessageAndConversation = (
    std::sync::Arc<MessageRecord>,
    std::sync::Arc<crate::store::ConversationRecord>,
);

/// A message with its conversation, where the caller may see it.
fn find(
    draft: &Draft<'_>,
    scope: &Scope,
    channel: ChannelNo,
    id: MessageId,
) -> Found<Option<MessageAndConversation>> {
    let Some(message) = draft.message(channel, id)? else {
        return Ok(None);
    };
    let conversation = draft.conversation(scope, message.conversation)?;
    Ok(conversation.map(|conversation| (message, conversation)))
}

/// How an answer of ours failed, or that nobody knows; `None` where it did not.
fn failed(message: &MessageRecord) -> Option<&DeliveryRecord> {
    let is_answer =
        message.kind == MessageKind::Message && message.direction == Direction::Outbound;
    let delivery = message.changes.delivery.as_ref()?;
    let has_failed = matches!(
        delivery.state,
        DeliveryState::Failed | DeliveryState::Unknown
    );
    (is_answer && has_failed && message.changes.deleted_at.is_none()).then_some(delivery)
}

/// With which of `parts` a retry begins. Where the platform itself said that the whole has failed it is the first.
fn next_part(message: &MessageRecord, delivery: &DeliveryRecord, parts: usize) -> usize {
    let told = match delivery.sent_parts {
        Some(sent) => usize::try_from(sent).unwrap_or(0),
        // Failures of an older Deskbell do not tell it; the ids of what was sent do.
        None => std::iter::once(&message.external_id)
            .chain(&message.part_ids)
            .take_while(|id| id.is_some())
            .count(),
    };
    if told < parts { told } else { 0 }
}

/// Makes room for the ids of the parts from `next_part` on. Those that they had stay known, behind the others.
fn set_ids_aside(message: &mut MessageRecord, next_part: usize, parts: usize) {
    let mut former = Vec::new();
    if next_part == 0 {
        former.extend(message.external_id.take());
    }
    let further = parts.saturating_sub(1);
    for slot in message
        .part_ids
        .iter_mut()
        .take(further)
        .skip(next_part.saturating_sub(1))
    {
        former.extend(slot.take());
    }
    if former.is_empty() {
        return;
    }
    if message.part_ids.len() < further {
        message.part_ids.resize(further, None);
    }
    message.part_ids.extend(former.into_iter().map(Some));
}
