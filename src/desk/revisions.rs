//! A message that comes again under the same id with other words: the first stands, and the others are kept beside it,
//! so that neither an edit that a platform does not call one nor a forgery is lost (F22).

use deskbell_sdk::{Direction, NewMessage, Time, text};

use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::record::{MessageRecord, Revision};

/// How many other wordings of one message are kept. More is no edit but an attack; the deliveries stay in the log.
const MAX_REVISIONS: usize = 20;

/// Keeps what `again` says beside the customer's message that is known, where it says something else. Says whether it
/// did.
pub(super) fn keep(
    draft: &mut Draft<'_>,
    known: &MessageRecord,
    again: &NewMessage,
    received_at: Time,
) -> Found<bool> {
    if known.direction != Direction::Inbound || again.direction != Direction::Inbound {
        return Ok(false);
    }
    let Some(text) = again.text.as_deref().map(text::clean_text) else {
        return Ok(false);
    };
    if text.is_empty() || is_known(known, &again.external_id, &text) {
        return Ok(false);
    }
    let scope = crate::store::Scope::whole_desk();
    let Some(conversation) = draft.conversation(&scope, known.conversation)? else {
        return Ok(false);
    };
    let (mut message, mut conversation) = (known.clone(), (*conversation).clone());
    message.version += 1;
    message.revisions.push(Revision {
        at: received_at,
        text,
    });
    conversation.version += 1;
    conversation.last_activity_at = conversation.last_activity_at.max(received_at);
    draft.update_message(message, conversation);
    Ok(true)
}

/// Whether the message has said this before. Of an album the part with this id speaks.
fn is_known(known: &MessageRecord, external_id: &str, text: &str) -> bool {
    let part = known
        .album
        .iter()
        .flat_map(|album| &album.parts)
        .find(|part| part.external_id == external_id);
    let (first, edit) = match part {
        Some(part) => (&part.text, &part.changes.edit),
        None => (&known.text, &known.changes.edit),
    };
    first.as_deref() == Some(text)
        || edit.as_ref().is_some_and(|edit| edit.text == text)
        || known.revisions.len() >= MAX_REVISIONS
        || known.revisions.iter().any(|other| other.text == text)
}

#[cfg(test)]
mod tests {
    use deskbell_sdk::{Event, MessageChange};

    use super::*;
    use crate::desk::properties::message as said;
    use crate::desk::testing::{BASE_MS, Desk};

    fn worded(text: &str) -> Event {
        let Event::Message(mut message) = said("ann", "m_1", Direction::Inbound, 0) else {
            panic!("a message");
        };
        message.text = Some(text.to_owned());
        Event::Message(message)
    }

    #[test]
    fn f22_other_words_under_the_same_id_are_kept_and_the_first_stand() {
        let mut desk = Desk::new();
        let deliveries = ["first", "second", "first", "third", "second"];
        for text in deliveries {
            desk.deliver(&[worded(text)]);
        }
        let message = desk.message("m_1");
        assert_eq!(message.standing_text(), Some("first"));
        let kept: Vec<_> = message.revisions.iter().map(|one| &*one.text).collect();
        assert_eq!(kept, ["second", "third"]);
        assert_eq!(message.version, 3);
        // What an edit says is known.
        desk.deliver(&[Event::Change {
            message: "m_1".to_owned(),
            change: MessageChange::Edited {
                text: "edited".to_owned(),
                version: 1,
                at: Time::from_millis(BASE_MS),
            },
        }]);
        desk.deliver(&[worded("edited")]);
        assert_eq!(desk.message("m_1").revisions.len(), 2);
    }

    #[test]
    fn f22_a_message_that_changes_without_end_does_not_grow_without_end() {
        let mut desk = Desk::new();
        for number in 0..100 {
            desk.deliver(&[worded(&format!("wording {number}"))]);
        }
        let message = desk.message("m_1");
        assert_eq!(message.standing_text(), Some("wording 0"));
        assert_eq!(message.revisions.len(), MAX_REVISIONS);
    }
}
