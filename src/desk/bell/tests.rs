//! What rings, climbs and ends, on a desk in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use deskbell_sdk::{Direction, Time};
use proptest::prelude::*;

use super::held_tests::{hours, set_hours};
use super::*;
use crate::desk::changing::ChangeConversation;
use crate::desk::outbox::{Begin, Ended, Finish, Windows};
use crate::desk::properties::message;
use crate::desk::replies::{Kind, Write};
use crate::desk::testing::{BASE_MS, CHANNEL, Desk};
use crate::id::WorkId;
use crate::store::entry::{AnswerBy, Role, UserEntry};
use crate::store::record::AuthorRecord;
use crate::store::{InboxPage, Read};

pub(super) const ANA: UserId = UserId(7);

/// A desk with Ana.
struct Hire;

impl Decision for Hire {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let now = draft.now();
        let ana = UserEntry {
            id: ANA,
            email: "ana@shop.example".to_owned(),
            name: "Ana".to_owned(),
            role: Role::Agent,
            channels: None,
            password: None,
            disabled: false,
            joined_at: Some(now),
            generation: 0,
            invitation: None,
            available: true,
            created_at: now,
            last_seen_at: None,
            two_factor: false,
        };
        draft.put(ana.put(ANA.key().to_vec()));
        Ok(())
    }
}

pub(super) fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.decide(&[Hire]);
    desk
}

pub(super) fn rings(desk: &Desk) -> Vec<RingEntry> {
    let found = RingEntry::scan(&desk.store, &[], None, 10_000).expect("memory");
    found.into_iter().map(|(_, ring)| ring).rev().collect()
}

pub(super) fn conversation(desk: &Desk, thread: &str) -> Arc<ConversationRecord> {
    let scope = Scope::whole_desk();
    let id = desk
        .store
        .conversation_by_thread(&scope, CHANNEL, thread)
        .expect("memory")
        .expect("there");
    desk.store
        .conversation(&scope, id)
        .expect("memory")
        .expect("there")
}

pub(super) fn arrive(desk: &mut Desk, thread: &str, number: i64) {
    let step = (desk.now - BASE_MS) / 1000;
    let event = message(
        thread,
        &format!("{thread}-{number}"),
        Direction::Inbound,
        step,
    );
    desk.deliver(&[event]);
}

pub(super) fn change(desk: &mut Desk, thread: &str, to: impl FnOnce(&mut ChangeConversation)) {
    let mut change = ChangeConversation {
        scope: Scope::whole_desk(),
        conversation: conversation(desk, thread).id,
        status: None,
        assignee: None,
        team: None,
        labels: None,
        priority: None,
        snoozed_until: None,
        subject: None,
        author: AuthorRecord::System,
        expected_assignee: None,
        spam: None,
    };
    to(&mut change);
    desk.decide(&[change]);
}

pub(super) fn reply(desk: &mut Desk, thread: &str) -> crate::id::MessageId {
    let write = Write {
        scope: Scope::whole_desk(),
        conversation: conversation(desk, thread).id,
        author: AuthorRecord::Staff(Some(ANA), None),
        owner: "usr".to_owned(),
        text: Some("answer".to_owned()),
        attachments: Vec::new(),
        reply_to: None,
        kind: Kind::Queued(vec![crate::store::entry::PartRecord::Text(
            "answer".to_owned(),
        )]),
        seen: None,
        mentions: Vec::new(),
        idempotency: None,
    };
    match desk.decide(&[write]).remove(0) {
        crate::desk::replies::Written::Message(_, id, _) => id,
        other => panic!("{other:?}"),
    }
}

pub(super) fn end_reply(desk: &mut Desk, id: crate::id::MessageId, ended: Ended) {
    let work = WorkId(id.0);
    let windows = Windows::default();
    desk.decide(&[Begin { work, windows }]);
    desk.decide(&[Finish {
        work,
        part: 0,
        ended,
        jitter: 0.5,
        looking_ms: 0,
    }]);
}

pub(super) fn climb(desk: &mut Desk) {
    let steps = Arc::new(Steps::default());
    for ring in rings(desk) {
        desk.decide(&[Climb {
            ring: ring.id,
            steps: Arc::clone(&steps),
        }]);
    }
}

fn states(desk: &Desk) -> Vec<(RingState, Option<RingEnd>)> {
    let all = rings(desk).into_iter();
    all.map(|ring| (ring.state, ring.ended)).collect()
}

#[test]
fn a_message_rings_once_however_many_follow_and_being_assigned_takes_it() {
    let mut desk = desk();
    arrive(&mut desk, "t", 1);
    arrive(&mut desk, "t", 2);
    assert_eq!(states(&desk), [(RingState::Ringing, None)]);
    let ring = &rings(&desk)[0];
    assert_eq!(conversation(&desk, "t").ring, Some(ring.id));
    assert_eq!(ring.message, Some(desk.message("t-1").id));
    assert_eq!((ring.step, ring.assignee), (1, None));
    change(&mut desk, "t", |to| to.assignee = Some(Some(ANA)));
    let ring = &rings(&desk)[0];
    assert_eq!(ring.state, RingState::Taken);
    assert_eq!(ring.taken_by, Some(ANA.to_string()));
    assert_eq!(conversation(&desk, "t").ring, None);
    // Once more: the one who has it is rung first.
    arrive(&mut desk, "t", 3);
    let ring = &rings(&desk)[1];
    assert_eq!((ring.state, ring.assignee), (RingState::Ringing, Some(ANA)));
    // Given back while somebody waits: it goes on, for everybody.
    change(&mut desk, "t", |to| to.assignee = Some(None));
    assert_eq!(rings(&desk)[1].assignee, None);
    assert_eq!(rings(&desk)[1].state, RingState::Ringing);
}

#[test]
fn what_was_taken_and_given_back_rings_anew() {
    let mut desk = desk();
    arrive(&mut desk, "t", 1);
    change(&mut desk, "t", |to| to.assignee = Some(Some(ANA)));
    change(&mut desk, "t", |to| to.assignee = Some(None));
    assert_eq!(
        states(&desk),
        [(RingState::Taken, None), (RingState::Ringing, None)]
    );
}

#[test]
fn an_answer_silences_at_once_ends_when_sent_and_rings_on_when_it_fails() {
    let mut desk = desk();
    arrive(&mut desk, "t", 1);
    let id = reply(&mut desk, "t");
    assert!(!rings(&desk)[0].sounds());
    desk.now += 10 * 60_000;
    climb(&mut desk);
    assert_eq!(rings(&desk)[0].step, 1, "what is silent does not climb");
    let refused = Ended::Refused("190".to_owned(), "no".to_owned());
    end_reply(&mut desk, id, refused);
    let ring = &rings(&desk)[0];
    assert!(ring.sounds() && ring.next_step_at > Some(Time::from_millis(desk.now)));
    let id = reply(&mut desk, "t");
    end_reply(&mut desk, id, Ended::Sent(Some("x".to_owned())));
    assert_eq!(states(&desk), [(RingState::Ended, Some(RingEnd::Answered))]);
    desk.now += 5_000;
    arrive(&mut desk, "t", 2);
    assert_eq!(rings(&desk).len(), 2);
}

#[test]
fn resolving_and_snoozing_end_it_and_opening_again_rings() {
    let mut desk = desk();
    arrive(&mut desk, "t", 1);
    change(&mut desk, "t", |to| to.status = Some(Status::Resolved));
    assert_eq!(states(&desk), [(RingState::Ended, Some(RingEnd::Resolved))]);
    change(&mut desk, "t", |to| to.status = Some(Status::Open));
    assert_eq!(rings(&desk)[1].state, RingState::Ringing);
    let later = Time::from_millis(desk.now + 3_600_000);
    change(&mut desk, "t", |to| to.snoozed_until = Some(Some(later)));
    assert_eq!(rings(&desk)[1].ended, Some(RingEnd::Snoozed));
}

#[test]
fn what_is_older_than_news_is_shown_and_not_rung() {
    let mut desk = desk();
    let old = message("t", "old", Direction::Inbound, -100_000);
    desk.deliver(&[old]);
    assert!(conversation(&desk, "t").waiting_since.is_some());
    assert!(rings(&desk).is_empty());
}

#[test]
fn it_climbs_step_by_step_and_missed_steps_are_not_made_up_for() {
    let mut desk = desk();
    arrive(&mut desk, "t", 1);
    let mut seen = vec![rings(&desk)[0].step];
    for _ in 0..40 {
        desk.now += 60_000;
        climb(&mut desk);
        let step = rings(&desk)[0].step;
        if seen.last() != Some(&step) {
            seen.push(step);
        }
    }
    assert_eq!(seen, [1, 2, 3, 4]);
    arrive(&mut desk, "u", 1);
    desk.now += 3_600_000;
    climb(&mut desk);
    assert_eq!(rings(&desk)[1].step, 4);
    climb(&mut desk);
    assert_eq!(rings(&desk)[1].step, 4, "one step at a time of the clock");
}

#[test]
fn two_take_at_once_and_one_has_it() {
    let mut desk = desk();
    arrive(&mut desk, "t", 1);
    let ring = rings(&desk)[0].id;
    let take = |user: u64| Take {
        scope: Scope::whole_desk(),
        ring,
        user: Some(UserId(user)),
        taker: UserId(user).to_string(),
    };
    let takers: Vec<_> = (1..=100).map(take).collect();
    let answers = desk.decide(&takers);
    let done = answers.iter().filter(|one| matches!(one, Taken::Done(_)));
    assert_eq!(done.count(), 1);
    assert_eq!(conversation(&desk, "t").assignee, Some(UserId(1)));
    assert_eq!(rings(&desk)[0].taken_by, Some(UserId(1).to_string()));
    let foreign = Take {
        scope: Scope::of_channels([]),
        ..take(1)
    };
    assert!(matches!(desk.decide(&[foreign])[0], Taken::NoRing));
}

#[test]
fn the_ledger_has_a_line_for_each_telling() {
    let mut desk = desk();
    arrive(&mut desk, "t", 1);
    let ring = rings(&desk)[0].id;
    let told = |result, device| NoteAttempt {
        ring,
        attempt: Attempt {
            at: Time::from_millis(0),
            user: Some(ANA),
            device: "desk".to_owned(),
            device_id: Some(DeviceId(device)),
            result,
            detail: None,
            step: None,
        },
    };
    let (sent, shown, failed) = (
        AttemptResult::Sent,
        AttemptResult::Shown,
        AttemptResult::Failed,
    );
    for (result, device) in [
        (sent, 1),
        (sent, 2),
        (shown, 1),
        (shown, 1),
        (failed, 2),
        (sent, 1),
    ] {
        desk.decide(&[told(result, device)]);
    }
    let lines: Vec<_> = rings(&desk)[0]
        .attempts
        .iter()
        .map(|one| (one.result, one.device_id.map(|id| id.0)))
        .collect();
    assert_eq!(
        lines,
        [
            (sent, Some(1)),
            (failed, Some(2)),
            (shown, Some(1)),
            (sent, Some(1))
        ]
    );
    for device in 10..400 {
        desk.decide(&[told(sent, device)]);
    }
    let attempts = &rings(&desk)[0].attempts;
    assert_eq!(attempts.len(), MAX_ATTEMPTS);
    assert!(attempts.iter().any(|one| one.result == shown));
}

#[test]
fn the_ledger_says_which_step_reached_whom() {
    let mut desk = desk();
    arrive(&mut desk, "t", 1);
    let ring = rings(&desk)[0].id;
    let says = |result, device, step| NoteAttempt {
        ring,
        attempt: Attempt {
            at: Time::from_millis(0),
            user: Some(ANA),
            device: "x".to_owned(),
            device_id: device,
            result,
            detail: None,
            step,
        },
    };
    let (sent, shown) = (AttemptResult::Sent, AttemptResult::Shown);
    let phone = Some(DeviceId(1));
    desk.decide(&[says(sent, phone, Some(1))]);
    // An open desk is told by the stream and says what it shows, once a step.
    desk.decide(&[says(shown, None, None)]);
    desk.decide(&[says(shown, None, None)]);
    desk.now += 60_000;
    climb(&mut desk);
    assert_eq!(rings(&desk)[0].step, 2);
    // The phone shows only now what it was told at the first step.
    desk.decide(&[says(shown, phone, None)]);
    desk.decide(&[says(shown, None, None)]);
    let lines: Vec<_> = rings(&desk)[0]
        .attempts
        .iter()
        .map(|one| (one.result, one.device_id, one.step))
        .collect();
    assert_eq!(
        lines,
        [
            (sent, phone, Some(1)),
            (shown, None, Some(1)),
            (shown, phone, Some(1)),
            (shown, None, Some(2))
        ]
    );
}

/// Whatever people and platforms do: nobody waits unheard, and no conversation rings twice.
fn check(desk: &Desk) -> Result<(), TestCaseError> {
    let page = InboxPage {
        limit: 100,
        ..InboxPage::default()
    };
    let inbox = desk
        .store
        .inbox(&Scope::whole_desk(), &page)
        .expect("memory");
    let open: BTreeSet<RingId> = rings(desk)
        .iter()
        .filter(|ring| ring.state == RingState::Ringing)
        .map(|ring| ring.id)
        .collect();
    let named: BTreeSet<RingId> = inbox.iter().filter_map(|one| one.ring).collect();
    prop_assert_eq!(&named, &open, "each ring that rings is its conversation's");
    let listed: BTreeSet<RingId> = OpenRing::scan(&desk.store, &[], None, 1000)
        .expect("memory")
        .iter()
        .map(|(key, _)| RingId(u64::from_be_bytes(key.as_slice().try_into().expect("8"))))
        .collect();
    prop_assert_eq!(&listed, &open, "and it is in the list of those");
    for conversation in inbox {
        let waits = wants_somebody(&conversation);
        if waits && conversation.assignee.is_none() {
            prop_assert!(
                conversation.ring.is_some(),
                "{} waits unheard",
                conversation.thread
            );
        }
        if !waits {
            prop_assert!(
                conversation.ring.is_none(),
                "{} rings for nothing",
                conversation.thread
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn f34_whatever_happens_nobody_waits_unheard(
        deeds in proptest::collection::vec((0..12_u8, 0..3_u8, 0..4_000_i64), 1..60),
    ) {
        let mut desk = desk();
        let mut number = 0;
        let mut answers = Vec::new();
        for (deed, thread, seconds) in deeds {
            let thread = ["a", "b", "c"][usize::from(thread)];
            desk.now += 2_000 + seconds * 1000;
            number += 1;
            let known = desk
                .store
                .conversation_by_thread(&Scope::whole_desk(), CHANNEL, thread)
                .expect("memory")
                .is_some();
            match deed {
                _ if !known => arrive(&mut desk, thread, number),
                0..=2 => arrive(&mut desk, thread, number),
                3 => change(&mut desk, thread, |to| to.assignee = Some(Some(ANA))),
                4 => change(&mut desk, thread, |to| to.assignee = Some(None)),
                5 => change(&mut desk, thread, |to| to.status = Some(Status::Resolved)),
                6 => change(&mut desk, thread, |to| to.status = Some(Status::Open)),
                7 => answers.push(reply(&mut desk, thread)),
                8 => {
                    if let Some(id) = answers.pop() {
                        let ended = if seconds % 2 == 0 {
                            Ended::Sent(Some(format!("x{number}")))
                        } else {
                            Ended::Refused("1".to_owned(), "no".to_owned())
                        };
                        end_reply(&mut desk, id, ended);
                    }
                }
                9 => {
                    let modes = [AfterHours::Ring, AfterHours::Hold, AfterHours::OnCall];
                    let mode = modes[usize::try_from(seconds % 3).expect("small")];
                    let by = [AnswerBy::ServedHere, AnswerBy::Platform(None)];
                    let by = by[usize::try_from(seconds % 2).expect("small")];
                    set_hours(&mut desk, hours(mode, Some(by)));
                }
                _ => climb(&mut desk),
            }
            check(&desk)?;
        }
    }
}
