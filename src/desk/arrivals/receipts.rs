//! How far what was sent has come, and when the customer last did something: by thread, also before it begins.

use deskbell_sdk::{Author, DeliveryState, Direction, MessageChange, Receipt};

use super::{Arrival, WATERMARK_FUTURE_MS};
use crate::desk::changes::{delivery, merge};
use crate::desk::conversations;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{Entry as _, WaitingReceipts, delivery_by_receipts, external_key};
use crate::store::record::{ConversationRecord, MessageKind, MessageRecord, Place};

impl Arrival {
    /// Takes in the receipts that came before the thread began.
    pub(in crate::desk) fn apply_waiting_receipts(
        &self,
        draft: &mut Draft<'_>,
        conversation: &mut ConversationRecord,
    ) -> Found<()> {
        if conversation.message_count > 0 {
            return Ok(());
        }
        let key = external_key(self.channel, &conversation.thread);
        if let Some(waiting) = draft.entry::<WaitingReceipts>(&key)? {
            draft.put(WaitingReceipts::remove(key));
            conversation.delivered_up_to =
                conversation.delivered_up_to.max(waiting.delivered_up_to);
            conversation.read_up_to = conversation.read_up_to.max(waiting.read_up_to);
            conversation.customer_acted_at = conversation
                .customer_acted_at
                .max(waiting.customer_acted_at);
        }
        Ok(())
    }

    /// A customer's reaction opens the reply window of its thread, whether or not the message is known.
    pub(super) fn reacted(&self, draft: &mut Draft<'_>, change: &MessageChange) -> Found<bool> {
        let MessageChange::Reacted {
            thread: Some(thread),
            by: Author::Contact(_),
            emoji: Some(_),
            at,
        } = change
        else {
            return Ok(false);
        };
        let at = self.sensible(*at);
        self.update_thread(
            draft,
            thread,
            |conversation| {
                conversations::customer_acted(conversation, at);
            },
            |waiting| waiting.customer_acted_at = waiting.customer_acted_at.max(Some(at)),
        )
    }

    /// Changes a thread's conversation, or what waits for it where it has not begun. Says whether anything changed.
    fn update_thread(
        &self,
        draft: &mut Draft<'_>,
        thread: &str,
        conversation_rule: impl FnOnce(&mut ConversationRecord),
        waiting_rule: impl FnOnce(&mut WaitingReceipts),
    ) -> Found<bool> {
        if let Some(known) = draft.conversation_by_thread(self.channel, thread)? {
            let mut conversation = (*known).clone();
            conversation_rule(&mut conversation);
            if conversation == *known {
                return Ok(false);
            }
            conversation.version += 1;
            draft.update_conversation(conversation);
            return Ok(true);
        }
        let key = external_key(self.channel, thread);
        let before = draft.entry::<WaitingReceipts>(&key)?.unwrap_or_default();
        let mut waiting = before.clone();
        waiting_rule(&mut waiting);
        let changed = waiting != before;
        if changed {
            draft.put(waiting.put(key));
        }
        Ok(changed)
    }

    pub(in crate::desk) fn receipt(&self, draft: &mut Draft<'_>, receipt: &Receipt) -> Found<bool> {
        let up_to = if self.is_sensible(receipt.watermark, WATERMARK_FUTURE_MS) {
            receipt.watermark
        } else {
            let latest = self.latest.plus_millis(WATERMARK_FUTURE_MS);
            receipt.watermark.min(latest)
        };
        let (delivered, read) = match receipt.state {
            DeliveryState::Delivered => (Some(up_to), None),
            DeliveryState::Read => (Some(up_to), Some(up_to)),
            _ => return Ok(false),
        };
        // What stands at or before the former watermark has moved already.
        let former = draft
            .conversation_by_thread(self.channel, &receipt.thread)?
            .and_then(|known| {
                if read.is_some() {
                    known.read_up_to
                } else {
                    known.delivered_up_to
                }
            });
        let stop = former.map_or(Place::FIRST, |sent_at| Place {
            sent_at,
            ..Place::LAST
        });
        let changed = self.update_thread(
            draft,
            &receipt.thread,
            |conversation| {
                conversation.delivered_up_to = conversation.delivered_up_to.max(delivered);
                conversation.read_up_to = conversation.read_up_to.max(read);
            },
            |waiting| {
                waiting.delivered_up_to = waiting.delivered_up_to.max(delivered);
                waiting.read_up_to = waiting.read_up_to.max(read);
            },
        )?;
        if !changed {
            return Ok(false);
        }
        let Some(conversation) = draft.conversation_by_thread(self.channel, &receipt.thread)?
        else {
            return Ok(true);
        };
        let mut reached = Vec::new();
        conversations::walk_back(draft, conversation.id, stop, |message| {
            let mut moved = (**message).clone();
            apply_receipts(&conversation, &mut moved);
            if moved.changes != message.changes {
                moved.version += 1;
                reached.push(moved);
            }
        })?;
        for message in reached.into_iter().rev() {
            let mut conversation = (*conversation).clone();
            conversations::show_last(&mut conversation, &message);
            draft.update_message(message, conversation);
        }
        Ok(true)
    }
}

/// Moves an outbound message as far as the receipts of its thread say. What never left stays where it is (W17).
pub(in crate::desk) fn apply_receipts(
    conversation: &ConversationRecord,
    message: &mut MessageRecord,
) {
    let left_us = message.changes.delivery.as_ref().is_some_and(|delivery| {
        matches!(
            delivery.state,
            DeliveryState::Sent | DeliveryState::Delivered | DeliveryState::Unknown
        )
    });
    if message.direction != Direction::Outbound || message.kind != MessageKind::Message || !left_us
    {
        return;
    }
    if let Some((state, at)) = delivery_by_receipts(
        conversation.delivered_up_to,
        conversation.read_up_to,
        message.sent_at,
    ) {
        let known = message
            .changes
            .delivery
            .as_ref()
            .map(|delivery| delivery.state);
        if known < Some(state) {
            merge(&mut message.changes, &delivery(state, at));
        }
    }
}
