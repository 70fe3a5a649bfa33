//! What changes on messages: edits, reactions, and deletions in business chats.

use deskbell_sdk::{Author, Event, MessageChange, Time};

use super::{connection_of, content, ignored, is_channel, object, person, person_of_chat, time};
use crate::place::message_id;
use crate::wire::{BusinessDeleted, Message, MessageReaction};

/// An edited message. `update` is the update's number: of two edits within the same second the later has the higher.
pub(super) fn edit(raw: &str, update: i64) -> Result<Vec<Event>, String> {
    let message: Message = object(raw)?;
    if is_channel(&message.chat) {
        return Ok(ignored(
            "an edited post in a channel, which is no talk with a customer",
        ));
    }
    let found = content::of(&message);
    if message.location.is_some() && found.text.is_none() {
        return Ok(ignored("a live location moved"));
    }
    let connection = connection_of(message.business_connection_id.as_ref())?;
    let seconds = message.edit_date.unwrap_or(message.date);
    Ok(vec![Event::Change {
        message: message_id(connection, message.chat.id, message.message_id),
        change: MessageChange::Edited {
            text: found.text.unwrap_or_default(),
            version: version(seconds, update),
            at: time(seconds),
        },
    }])
}

/// The time of the edit in seconds, and below it the lower half of the update's number.
fn version(seconds: i64, update: i64) -> u64 {
    let seconds = u64::from(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
    (seconds << 32) | (update.cast_unsigned() & u64::from(u32::MAX))
}

/// A person's reactions to a message, which replace the former ones. Up to three stand side by side.
pub(super) fn reaction(raw: &str) -> Result<Vec<Event>, String> {
    let reaction: MessageReaction = object(raw)?;
    if is_channel(&reaction.chat) {
        return Ok(ignored(
            "a reaction to a channel's post, which is no talk with a customer",
        ));
    }
    let by = match (&reaction.user, &reaction.actor_chat) {
        (Some(user), _) => person(user),
        (None, Some(chat)) => person_of_chat(chat),
        (None, None) => return Ok(ignored("a reaction of nobody who is named")),
    };
    let emoji: String = reaction
        .new_reaction
        .iter()
        .map(|one| match (one.kind.as_deref(), one.emoji.as_deref()) {
            (_, Some(emoji)) => emoji,
            (Some("paid"), _) => "⭐",
            // An emoji of somebody's own making has a number and no character.
            _ => "❔",
        })
        .collect();
    let is_private = reaction.chat.kind.as_deref() == Some("private");
    Ok(vec![Event::Change {
        message: message_id(None, reaction.chat.id, reaction.message_id),
        change: MessageChange::Reacted {
            thread: is_private.then(|| reaction.chat.id.to_string()),
            by: Author::Contact(by),
            emoji: deskbell_sdk::text::clean_name(&emoji),
            at: time(reaction.date),
        },
    }])
}

/// Messages that were deleted in a chat of a business account; when is not told, so it counts from their arrival.
pub(super) fn deleted(raw: &str) -> Result<Vec<Event>, String> {
    let deleted: BusinessDeleted = object(raw)?;
    let connection = connection_of(Some(&deleted.business_connection_id))?;
    if deleted.message_ids.is_empty() {
        return Ok(ignored("a deletion of no message"));
    }
    let events = deleted.message_ids.iter().map(|id| Event::Change {
        message: message_id(connection, deleted.chat.id, *id),
        change: MessageChange::Deleted {
            at: Time::from_millis(0),
        },
    });
    Ok(events.collect())
}
