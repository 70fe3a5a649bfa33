//! Merging what changed on a message: the same result whatever the order and however often.

use deskbell_sdk::{DeliveryState, Time};

use crate::store::record::{DeliveryRecord, MessageChanges, ReactionRecord};

/// Merges `more` into `changes`. Commutative, associative and idempotent.
pub fn merge(changes: &mut MessageChanges, more: &MessageChanges) {
    if more.edit > changes.edit {
        changes.edit.clone_from(&more.edit);
    }
    for reaction in &more.reactions {
        merge_reaction(&mut changes.reactions, reaction);
    }
    changes.deleted_at = match (changes.deleted_at, more.deleted_at) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    if let Some(delivery) = &more.delivery {
        merge_delivery(&mut changes.delivery, delivery);
    }
}

fn merge_reaction(reactions: &mut Vec<ReactionRecord>, more: &ReactionRecord) {
    match reactions.binary_search_by(|known| known.by.cmp(&more.by)) {
        Ok(at) => {
            let known = &mut reactions[at];
            if (more.at, &more.emoji) > (known.at, &known.emoji) {
                *known = more.clone();
            }
        }
        Err(at) => reactions.insert(at, more.clone()),
    }
}

/// The state that is further stands; of two alike the earlier. A later sending begins anew, but for what the customer
/// has: nothing takes that back.
fn merge_delivery(delivery: &mut Option<DeliveryRecord>, more: &DeliveryRecord) {
    let further = delivery
        .as_ref()
        .is_none_or(|known| how_far(more) > how_far(known));
    if further {
        *delivery = Some(more.clone());
    }
}

/// A total order of what is told of a delivery: a merge takes the highest.
fn how_far(delivery: &DeliveryRecord) -> impl Ord + '_ {
    let arrived = delivery.state >= DeliveryState::Delivered;
    (
        arrived,
        if arrived { 0 } else { delivery.attempt },
        delivery.state,
        std::cmp::Reverse(delivery.at),
        &delivery.error,
        delivery.sent_parts,
        delivery.attempt,
    )
}

/// A change that says only how far a message has come.
#[must_use]
pub fn delivery(state: DeliveryState, at: Time) -> MessageChanges {
    MessageChanges {
        delivery: Some(DeliveryRecord {
            state,
            at,
            error: None,
            attempt: 0,
            sent_parts: None,
        }),
        ..MessageChanges::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::record::{AuthorRecord, Edit};

    fn changes() -> impl Strategy<Value = MessageChanges> {
        let time = || (0..4_i64).prop_map(Time::from_millis);
        let edit =
            (0..3_u64, time(), "[ab]").prop_map(|(version, at, text)| Edit { version, at, text });
        let reaction =
            ("[cs]", time(), proptest::option::of("[xy]")).prop_map(|(by, at, emoji)| {
                ReactionRecord {
                    by,
                    at,
                    emoji,
                    author: AuthorRecord::System,
                }
            });
        let state = prop_oneof![
            Just(DeliveryState::Queued),
            Just(DeliveryState::Unknown),
            Just(DeliveryState::Sent),
            Just(DeliveryState::Failed),
            Just(DeliveryState::Delivered),
            Just(DeliveryState::Read),
        ];
        let delivery = (state, time(), 0..3_u64, proptest::option::of(0..2_u32)).prop_map(
            |(state, at, attempt, sent_parts)| DeliveryRecord {
                state,
                at,
                error: None,
                attempt,
                sent_parts,
            },
        );
        (
            proptest::option::of(edit),
            proptest::option::of(reaction),
            proptest::option::of(time()),
            proptest::option::of(delivery),
        )
            .prop_map(|(edit, reaction, deleted_at, delivery)| MessageChanges {
                edit,
                reactions: reaction.into_iter().collect(),
                deleted_at,
                delivery,
            })
    }

    fn merged(parts: &[&MessageChanges]) -> MessageChanges {
        let mut all = MessageChanges::default();
        for part in parts {
            merge(&mut all, part);
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn f21_any_order_grouping_and_repetition_gives_the_same(a in changes(), b in changes(), c in changes()) {
            let all = merged(&[&a, &b, &c]);
            prop_assert_eq!(&all, &merged(&[&c, &a, &b]));
            prop_assert_eq!(&all, &merged(&[&b, &a, &c, &b, &a]));
            prop_assert_eq!(&all, &merged(&[&a, &merged(&[&c, &b])]));
        }
    }
}
