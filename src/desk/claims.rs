//! Answers of our own that a platform's history shows: they must not come in again as messages of their own.

use deskbell_sdk::{AttachmentKind, DeliveryState, Direction, NewMessage, Time};

use super::catch_up::COARSE_MS;
use super::outbox::{found_while_waiting, part_arrived};
use crate::id::MessageId;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::WorkEntry;
use crate::store::record::{ChannelNo, MessageRecord, Place};

/// Whose a message is that the platform's history shows as the shop's, and that nobody has told by its id. Histories do
/// not give back the token that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It was written elsewhere.
    Elsewhere,
    /// It may be an answer of ours of which it is not known yet what became of it.
    Perhaps,
    /// It is an answer of ours that was thought lost; it has its id now. The place's time in the conversation.
    Ours(Time),
}

/// How many of a conversation's newest messages may be answers of ours whose end is not known.
const CLAIMED_AMONG: usize = 200;
/// How far the clocks of the platform and of this machine may differ, in milliseconds.
const WRONG_CLOCK_MS: i64 = 10 * 60 * 1000;
/// From how many characters on a text is taken for a part of ours only because it stands in it.
const TELLING_CHARS: usize = 1_000;

/// Says whose it is. While an answer is being attempted or looked for, nothing of the conversation that is about as new,
/// or says the same, is taken for another's: the outbox settles its own, and what is left is read again. An answer that
/// ended `unknown` and says the same was this one (F20).
pub(super) fn claim(draft: &mut Draft<'_>, channel: ChannelNo, shown: &NewMessage) -> Found<Claim> {
    let Some(conversation) = draft.conversation_by_thread(channel, &shown.thread)? else {
        return Ok(Claim::Elsewhere);
    };
    // A time that the platform does not tell rules nothing out.
    let since = |time: Time| {
        shown.sent_at.as_millis() <= 0 || shown.sent_at >= time.plus_millis(-WRONG_CLOCK_MS)
    };
    let until = |time: Time| shown.sent_at <= time.plus_millis(WRONG_CLOCK_MS);
    let mut lost = None;
    let messages = draft.messages(conversation.id, Place::LAST, CLAIMED_AMONG)?;
    // By the platform's clock alone, in whole seconds.
    let follows = |id: MessageId| {
        let mut told = messages.iter().filter(|one| one.id < id);
        told.all(|one| {
            one.direction != Direction::Inbound
                || one.sent_at <= shown.sent_at.plus_millis(COARSE_MS)
        })
    };
    for message in &messages {
        let Some(delivery) = &message.changes.delivery else {
            continue;
        };
        match delivery.state {
            DeliveryState::Queued => {
                let item = draft.entry::<WorkEntry>(&message.work().key())?;
                let attempted_at = item.and_then(|item| item.state.since());
                // The attempt has the time of this machine, whose clock may have been set. What says the same and came
                // after all that the platform had told before the answer was written may be it as well: taken for
                // another's it would be known, the answer never found, and sent twice.
                let may_be =
                    |time| since(time) || (says_the_same(message, shown) && follows(message.id));
                if attempted_at.is_some_and(may_be) {
                    return Ok(Claim::Perhaps);
                }
                // It is to be sent once more, and the first sending shows now.
                if delivery.attempt != 0
                    && since(message.received_at)
                    && says_the_same(message, shown)
                    && found_while_waiting(draft, message, &shown.external_id)?
                {
                    return Ok(Claim::Ours(message.sent_at));
                }
            }
            // Of several that say the same, the oldest arrived first.
            DeliveryState::Unknown
                if since(message.received_at)
                    && until(delivery.at)
                    && says_the_same(message, shown) =>
            {
                lost = Some(message);
            }
            _ => {}
        }
    }
    let Some(message) = lost else {
        return Ok(Claim::Elsewhere);
    };
    let part = first_unknown_part(message);
    part_arrived(draft, message, &conversation, part, &shown.external_id)?;
    Ok(Claim::Ours(message.sent_at))
}

/// The first part of which the platform's id is not known.
fn first_unknown_part(message: &MessageRecord) -> usize {
    let ids = std::iter::once(&message.external_id).chain(&message.part_ids);
    ids.take_while(|id| id.is_some()).count()
}

/// Whether what the platform shows has the content of this answer, or of a part of it.
fn says_the_same(message: &MessageRecord, shown: &NewMessage) -> bool {
    // White space may change on the way.
    let in_words = |text: &Option<String>| {
        let words = text.as_deref().unwrap_or_default().split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    };
    match (in_words(&shown.text), shown.attachments.as_slice()) {
        (text, []) if !text.is_empty() => {
            let ours = in_words(&message.text);
            ours == text || (text.chars().count() >= TELLING_CHARS && ours.contains(&text))
        }
        // Platforms show what they do not know as a file.
        (text, [file]) if text.is_empty() => message
            .attachments
            .iter()
            .any(|ours| ours.kind == file.kind || file.kind == AttachmentKind::File),
        _ => false,
    }
}
