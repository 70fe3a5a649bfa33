//! Automatic answers to customers who write while a channel is closed.
//!
//! They follow messages as rings do: decided in the same durable step, so that none is lost or given twice. Such an answer
//! answers nothing: the customer goes on waiting, and the ring goes on.

use std::sync::Arc;

use deskbell_sdk::{DeliveryState, Direction, Time};

use super::bell::Steps;
use super::changes::delivery;
use super::conversations;
use super::hours::{Hours, Stretch, closed};
use super::outbox::{Window, Windows};
use crate::id::{ConversationId, MessageId, WorkId};
use crate::store::change::EventBody;
use crate::store::draft::Draft;
use crate::store::entry::{
    AnswerBy, AutoAnsweredEntry, ChannelHoursEntry, Entry, PartRecord, WorkEntry, WorkState,
};
use crate::store::metadata::{automatic, is_automatic};
use crate::store::record::{
    AuthorRecord, ConversationRecord, MessageChanges, MessageKind, MessageRecord,
};
use crate::store::{Found, Scope};

/// What was written longer ago than this when it comes gets no automatic answer: an hour, in milliseconds.
const OLD_MS: i64 = 60 * 60 * 1000;
/// Where a person has answered so lately they are still there: half an hour, in milliseconds.
const THERE_MS: i64 = 30 * 60 * 1000;
/// The variables of an answer.
const VARIABLES: [&str; 3] = ["opens_at", "opens_date", "opens_time"];

/// The names in braces that are no variables.
#[must_use]
pub fn unknown_variables(template: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut rest = template;
    while let Some((_, behind)) = rest.split_once('{') {
        let Some((name, after)) = behind.split_once('}') else {
            break;
        };
        let is_name = !name.is_empty()
            && name
                .chars()
                .all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
        if is_name && !VARIABLES.contains(&name) {
            unknown.push(name.to_owned());
        }
        rest = if is_name { after } else { behind };
    }
    unknown
}

/// The answer with its variables filled in.
#[must_use]
pub fn answer_text(template: &str, date: &str, time: &str) -> String {
    template
        .replace("{opens_at}", &format!("{date} {time}"))
        .replace("{opens_date}", date)
        .replace("{opens_time}", time)
}

/// Whether a message is an automatic answer of the desk's.
#[must_use]
pub fn is_automatic_answer(message: &MessageRecord) -> bool {
    message.direction == Direction::Outbound
        && matches!(message.author, AuthorRecord::Bot(_))
        && is_automatic(&message.metadata)
}

/// Answers the customers whose messages came with a decision, with the events of the draft from `from` on, while their
/// channel is closed.
pub fn follow(draft: &mut Draft<'_>, from: usize, steps: &Steps) -> Found<()> {
    let mut came: Vec<(ConversationId, Arc<MessageRecord>)> = Vec::new();
    for event in draft.events_since(from) {
        if let EventBody::MessageCreated { message, .. } = &event.body
            && message.is_from_customer()
            && came.iter().all(|(id, _)| *id != message.conversation)
        {
            came.push((message.conversation, Arc::clone(message)));
        }
    }
    for (conversation, message) in came {
        if let Some(conversation) = draft.conversation(&Scope::whole_desk(), conversation)? {
            consider(draft, &conversation, &message, steps)?;
        }
    }
    Ok(())
}

fn consider(
    draft: &mut Draft<'_>,
    conversation: &Arc<ConversationRecord>,
    message: &MessageRecord,
    steps: &Steps,
) -> Found<()> {
    let now = draft.now();
    let age_ms = now.as_millis().saturating_sub(message.sent_at.as_millis());
    let wants_one = conversation.waiting_since.is_some()
        && !conversation.is_silenced()
        && !is_automatic(&message.metadata)
        && message.changes.deleted_at.is_none()
        && steps.is_news(message.sent_at, now)
        && age_ms <= OLD_MS;
    if !wants_one {
        return Ok(());
    }
    let key = ChannelHoursEntry::key(conversation.channel);
    let Some(hours) = draft.entry::<ChannelHoursEntry>(&key)? else {
        return Ok(());
    };
    let (Some(template), Some((week, stretch))) = (&hours.answer, closed(&hours, now)) else {
        return Ok(());
    };
    let answered_ms = now.as_millis() - conversation.answered_up_to.sent_at.as_millis();
    if answered_ms.abs() < THERE_MS || was_answered(draft, conversation.id, stretch)? {
        return Ok(());
    }
    if let AnswerBy::Platform(ordinary_ms) = hours.answer_by {
        let windows = Windows {
            ordinary_ms,
            extended_ms: None,
        };
        if windows.at(conversation, now) != Window::Open {
            return Ok(());
        }
    }
    let text = text_of(template, &week, stretch);
    answer(draft, conversation, text, hours.answer_by)
}

fn text_of(template: &str, week: &Hours, stretch: Stretch) -> String {
    let (date, time) = week.told(stretch.until);
    answer_text(template, &date, &time)
}

/// Whether the conversation got its answer since the channel closed. One that a wrong clock gave in the future is none.
fn was_answered(draft: &Draft<'_>, conversation: ConversationId, stretch: Stretch) -> Found<bool> {
    let before = draft.entry::<AutoAnsweredEntry>(&conversation.key())?;
    Ok(before.is_some_and(|before| stretch.covers(before.at)))
}

fn answer(
    draft: &mut Draft<'_>,
    known: &Arc<ConversationRecord>,
    text: String,
    by: AnswerBy,
) -> Found<()> {
    let now = draft.now();
    let id = MessageId(draft.new_id());
    let is_served_here = by == AnswerBy::ServedHere;
    let (sent_at, order) = conversations::behind_all(known, now);
    let message = MessageRecord {
        id,
        version: 1,
        channel: known.channel,
        conversation: known.id,
        direction: Direction::Outbound,
        kind: MessageKind::Message,
        author: AuthorRecord::Bot(None),
        external_id: is_served_here.then(|| id.to_string()),
        text: Some(text.clone()),
        html: None,
        attachments: Vec::new(),
        reply_to: None,
        sent_at,
        order,
        received_at: now,
        metadata: automatic(),
        changes: sent(is_served_here, now),
        part_ids: Vec::new(),
        album: None,
        revisions: Vec::new(),
    };
    let mut conversation = (**known).clone();
    conversations::count_in(draft, &mut conversation, &message)?;
    if !is_served_here {
        let work = WorkEntry {
            id: WorkId(id.0),
            channel: known.channel,
            conversation: known.id,
            message: id,
            parts: vec![PartRecord::Text(text)],
            next_part: 0,
            state: WorkState::Waiting { attempts: 0 },
            due_at: now,
            created_at: now,
            looking_since: None,
        };
        draft.put(work.put(work.id.key().to_vec()));
    }
    draft.create_message(message, conversation);
    let answered = AutoAnsweredEntry { at: now };
    draft.put(answered.put(known.id.key().to_vec()));
    Ok(())
}

fn sent(is_served_here: bool, now: Time) -> MessageChanges {
    delivery(
        if is_served_here {
            DeliveryState::Sent
        } else {
            DeliveryState::Queued
        },
        now,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_and_others_are_told() {
        let template = "We open {opens_at} ({opens_date}, {opens_time}). {hello} { } {no {x}";
        assert_eq!(unknown_variables(template), ["hello", "x"]);
        assert_eq!(
            answer_text(
                "From {opens_at}: {opens_date} {opens_time} {{",
                "2026-11-30",
                "09:00"
            ),
            "From 2026-11-30 09:00: 2026-11-30 09:00 {{"
        );
        assert_eq!(unknown_variables("{opens_at} {opens_time"), [""; 0]);
    }
}
