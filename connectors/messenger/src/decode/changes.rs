//! What happens to messages that were written: reactions, edits and receipts.

use deskbell_sdk::text::{clean_name, clean_text};
use deskbell_sdk::{Author, DeliveryState, Event, MessageChange, Receipt, Time};

use super::message::{change, customer};
use super::{Sides, ignored, shortened};
use crate::wire::{MessageEdit, Reaction, Watermark};

/// A reaction, or its taking back.
pub(super) fn reaction(reaction: Reaction, sides: &Sides, at: Time) -> Result<Event, String> {
    let customer = customer(sides)?;
    let emoji = match reaction.action.as_deref() {
        Some("unreact") => None,
        Some("react") | None => {
            let told = reaction.emoji.as_deref().and_then(clean_name);
            Some(told.unwrap_or_else(|| emoji_of(reaction.reaction.as_deref()).to_owned()))
        }
        Some(other) => {
            return Err(format!(
                "a reaction's action is react or unreact, not {}",
                shortened(other)
            ));
        }
    };
    let thread = Some(customer.id.clone());
    let by = if sides.by_page {
        Author::Staff { name: None }
    } else {
        Author::Contact(customer)
    };
    Ok(change(
        reaction.mid,
        MessageChange::Reacted {
            thread,
            by,
            emoji,
            at,
        },
    ))
}

/// The emoji that Messenger shows for the names of its reactions.
fn emoji_of(name: Option<&str>) -> &'static str {
    match name {
        Some("smile") => "😆",
        Some("angry") => "😠",
        Some("sad") => "😢",
        Some("wow") => "😮",
        Some("love") => "❤",
        Some("like") => "👍",
        Some("dislike") => "👎",
        _ => "❓",
    }
}

/// A new text. Edits are ordered by their number; where it is missing, by their time.
pub(super) fn edit(edit: MessageEdit, at: Time) -> Result<Event, String> {
    let text = edit
        .text
        .ok_or("a message was edited, but the new text is missing")?;
    let number = edit
        .num_edit
        .filter(|number| *number > 0)
        .unwrap_or_else(|| at.as_millis());
    let version = u64::try_from(number).unwrap_or(0);
    Ok(change(
        edit.mid,
        MessageChange::Edited {
            text: clean_text(&text),
            version,
            at,
        },
    ))
}

/// A receipt of what the Page sent. The watermark rules; single messages count only where it is missing.
pub(super) fn receipt(
    told: Watermark,
    state: DeliveryState,
    sides: &Sides,
    at: Time,
) -> Result<Vec<Event>, String> {
    if sides.by_page {
        return Ok(vec![ignored(
            "a receipt of the Page's own: the shop read what the customer wrote",
        )]);
    }
    let thread = customer(sides)?.id;
    if let Some(watermark) = told.watermark.filter(|watermark| *watermark > 0) {
        let watermark = Time::from_seconds_or_millis(watermark);
        return Ok(vec![Event::Receipt(Receipt {
            thread,
            state,
            watermark,
            at,
        })]);
    }
    let messages = told.mids.unwrap_or_default();
    if messages.is_empty() {
        return Err("a receipt without a watermark".to_owned());
    }
    let delivery = |mid| {
        change(
            mid,
            MessageChange::Delivery {
                state,
                at,
                error: None,
            },
        )
    };
    Ok(messages.into_iter().map(delivery).collect())
}
