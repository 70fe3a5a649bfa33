//! What is kept for a time only, and nobody can use any more.

use deskbell_sdk::Time;

use super::Decision;
use super::visits::VISIT_MS;
use crate::id::ConversationId;
use crate::store::draft::Draft;
use crate::store::entry::{
    AttachmentEntry, Entry, InvitationEntry, Reservation, SessionEntry, Visit, WaitingChanges,
    WaitingReceipts,
};
use crate::store::{Found, Put, Read, Scope, Table};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long an upload may lie in no message: a week, in milliseconds.
pub const LOOSE_UPLOAD_MS: i64 = 7 * DAY_MS;
/// How long a change waits for its message, and a receipt for its thread: 90 days, in milliseconds. No platform tells
/// of a message later than that.
pub const WAITING_MS: i64 = 90 * DAY_MS;
/// The tables that are swept. Answers to requests with an `Idempotency-Key` stay: without them a request that is sent
/// again would be done again.
const SWEPT: [Table; 7] = [
    Table::Visits,
    Table::Sessions,
    Table::Invitations,
    Table::Attachments,
    Table::Reservations,
    Table::WaitingChanges,
    Table::WaitingReceipts,
];
/// How many entries are read at once.
const STRETCH: usize = 512;

/// Removes entries that are still of no use when it is decided.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Which may be removed.
    pub found: Vec<(Table, Vec<u8>)>,
}

impl Decision for Sweep {
    /// How many were removed.
    type Answer = usize;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<usize> {
        let mut removed = 0;
        for (table, key) in &self.found {
            let Some(value) = draft.value(*table, key)? else {
                continue;
            };
            let begun = |conversation| {
                Ok(draft
                    .conversation(&Scope::whole_desk(), conversation)?
                    .is_some())
            };
            if is_useless(*table, &value, draft.now(), begun)? {
                draft.put(Put {
                    table: *table,
                    key: key.clone(),
                    value: None,
                });
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn weight(&self) -> usize {
        1024 + 64 * self.found.len()
    }
}

/// What could be swept at `now`, at most `most` entries of each table.
pub fn useless(
    store: &(impl Read + ?Sized),
    now: Time,
    most: usize,
) -> Found<Vec<(Table, Vec<u8>)>> {
    let begun = |conversation| {
        Ok(store
            .conversation(&Scope::whole_desk(), conversation)?
            .is_some())
    };
    let mut found = Vec::new();
    for table in SWEPT {
        let (mut after, mut of_table): (Option<Vec<u8>>, usize) = (None, 0);
        loop {
            let stretch = store.scan(table, &[], after.as_deref(), STRETCH)?;
            let more = stretch.len() == STRETCH;
            for (key, value) in stretch {
                if of_table < most && is_useless(table, &value, now, begun)? {
                    found.push((table, key.clone()));
                    of_table += 1;
                }
                after = Some(key);
            }
            if !more || of_table == most {
                break;
            }
        }
    }
    Ok(found)
}

/// Whether an entry is of no use any more. `begun` tells whether a conversation has a message.
fn is_useless(
    table: Table,
    value: &[u8],
    now: Time,
    begun: impl Fn(ConversationId) -> Found<bool>,
) -> Found<bool> {
    let older_than = |at: Time, age_ms: i64| at.plus_millis(age_ms) < now;
    Ok(match table {
        Table::Visits => Visit::from_bytes(value)?.expires_at < now,
        Table::Sessions => SessionEntry::from_bytes(value)?.expires_at < now,
        Table::Invitations => InvitationEntry::from_bytes(value)?.expires_at < now,
        Table::Attachments => {
            let upload = AttachmentEntry::from_bytes(value)?;
            upload.message.is_none() && older_than(upload.created_at, LOOSE_UPLOAD_MS)
        }
        Table::Reservations => {
            let reservation = Reservation::from_bytes(value)?;
            older_than(reservation.promised_at, VISIT_MS + DAY_MS)
                && !begun(reservation.conversation)?
        }
        Table::WaitingChanges => older_than(WaitingChanges::from_bytes(value)?.since, WAITING_MS),
        Table::WaitingReceipts => {
            let waiting = WaitingReceipts::from_bytes(value)?;
            let newest = waiting
                .delivered_up_to
                .max(waiting.read_up_to)
                .max(waiting.customer_acted_at);
            newest.is_none_or(|newest| older_than(newest, WAITING_MS))
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use deskbell_sdk::{Event, MessageChange, Receipt};

    use super::*;
    use crate::desk::access::{BeginSession, KeepUpload};
    use crate::desk::testing::{BASE_MS, CHANNEL, Desk};
    use crate::desk::visits::{Come, ProvenIdentity};
    use crate::store::entry::secret_hash;

    fn come(token: &str, identity: Option<&str>) -> Come {
        Come {
            channel: CHANNEL,
            origin: "https://shop.example".to_owned(),
            new_hash: secret_hash(token),
            old_hash: None,
            identity: identity.map(|id| ProvenIdentity {
                id: id.to_owned(),
                name: None,
                email: None,
            }),
            anonymous_thread: format!("anon:{token}"),
        }
    }

    /// A desk on which one of everything was left lying.
    fn littered() -> Desk {
        let mut desk = Desk::new();
        desk.decide(&[come("stranger", None), come("customer", Some("7"))]);
        desk.decide(&[BeginSession {
            hash: secret_hash("cookie"),
            works_for_ms: DAY_MS,
        }]);
        desk.decide(&[KeepUpload {
            upload: AttachmentEntry {
                id: crate::id::AttachmentId(0),
                message: None,
                owner: "nobody".to_owned(),
                content: "0".repeat(64),
                name: None,
                mime_type: "text/plain".to_owned(),
                size: 1,
                created_at: Time::from_millis(0),
            },
        }]);
        let at = Time::from_millis(BASE_MS);
        desk.deliver(&[
            Event::Change {
                message: "never comes".to_owned(),
                change: MessageChange::Deleted { at },
            },
            Event::Receipt(Receipt {
                thread: "never begins".to_owned(),
                state: deskbell_sdk::DeliveryState::Read,
                watermark: at,
                at,
            }),
        ]);
        desk
    }

    fn swept(desk: &mut Desk) -> usize {
        let found = useless(&desk.store, Time::from_millis(desk.now), 1000).expect("memory");
        desk.decide(&[Sweep { found }]).into_iter().sum()
    }

    fn left(desk: &Desk) -> usize {
        SWEPT
            .iter()
            .map(|table| {
                desk.store
                    .scan(*table, &[], None, 99)
                    .expect("memory")
                    .len()
            })
            .sum()
    }

    #[test]
    fn what_can_still_be_used_stays_and_the_rest_goes() {
        let mut desk = littered();
        let all = left(&desk);
        assert_eq!((all, swept(&mut desk)), (8, 0));
        let begun = desk.now;
        for (days, swept_by_then) in [(2, 1), (8, 2), (29, 2), (32, 6), (89, 6), (92, 8)] {
            desk.now = begun + days * DAY_MS;
            swept(&mut desk);
            assert_eq!(all - left(&desk), swept_by_then, "after {days} days");
        }
    }

    #[test]
    fn a_promise_lasts_as_long_as_the_newest_token_that_carries_it() {
        let mut desk = Desk::new();
        let first = desk.decide(&[come("one", Some("7"))]).remove(0);
        desk.now += 25 * DAY_MS;
        let second = desk.decide(&[come("two", Some("7"))]).remove(0);
        assert_eq!(first.visit.conversation, second.visit.conversation);
        desk.now += 25 * DAY_MS;
        assert_eq!(swept(&mut desk), 1, "the first token");
        let third = desk.decide(&[come("three", Some("7"))]).remove(0);
        assert_eq!(first.visit.conversation, third.visit.conversation);
    }

    #[test]
    fn what_is_used_between_the_look_and_the_decision_stays() {
        let mut desk = littered();
        desk.now += 40 * DAY_MS;
        let found = useless(&desk.store, Time::from_millis(desk.now), 1000).expect("memory");
        // The customer comes back at just that moment, and is promised the same conversation again.
        let back = desk.decide(&[come("back", Some("7"))]).remove(0);
        desk.decide(&[Sweep { found }]);
        let again = desk.decide(&[come("again", Some("7"))]).remove(0);
        assert_eq!(back.visit.conversation, again.visit.conversation);
    }
}
