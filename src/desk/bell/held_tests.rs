//! Rings of channels that are closed, and automatic answers, on a desk in memory.

use deskbell_sdk::DeliveryState;

use super::tests::*;
use super::*;
use crate::desk::duty::SetChannelHours;
use crate::desk::outbox::Ended;
use crate::desk::testing::{CHANNEL, Desk};
use crate::store::Read as _;
use crate::store::entry::{AnswerBy, Day, Span, WeekEntry, WorkEntry};
use crate::store::record::{AuthorRecord, Place};

const HOUR_MS: i64 = 3_600_000;
/// The desk's clock begins on a Monday at 15:13:20 UTC.
const OPENS: &str = "2026-09-22T09:00:00.000Z";

/// Open from 9 to 15, and closed when the clock begins.
pub(super) fn hours(after_hours: AfterHours, answer_by: Option<AnswerBy>) -> ChannelHoursEntry {
    let days = [
        Day::Monday,
        Day::Tuesday,
        Day::Wednesday,
        Day::Thursday,
        Day::Friday,
        Day::Saturday,
        Day::Sunday,
    ];
    let (from, to) = (9 * 60, 15 * 60);
    ChannelHoursEntry {
        open: Some(WeekEntry {
            time_zone: "UTC".to_owned(),
            spans: days.map(|day| Span { day, from, to }).to_vec(),
        }),
        after_hours,
        answer: answer_by.map(|_| "We open {opens_at}.".to_owned()),
        answer_by: answer_by.unwrap_or_default(),
    }
}

pub(super) fn set_hours(desk: &mut Desk, hours: ChannelHoursEntry) {
    desk.decide(&[SetChannelHours {
        channel: CHANNEL,
        hours,
    }]);
}

fn opens() -> Time {
    OPENS.parse().expect("a time")
}

/// What the desk said by itself in a thread, oldest first.
fn answers(desk: &Desk, thread: &str) -> Vec<Arc<MessageRecord>> {
    let scope = Scope::whole_desk();
    let id = conversation(desk, thread).id;
    let all = desk.store.messages(&scope, id, Place::LAST, 100);
    let mut all = all.expect("memory");
    all.retain(|message| is_automatic_answer(message));
    all.reverse();
    all
}

#[test]
fn a_ring_waits_for_its_channel_to_open_and_climbs_from_then_on() {
    let mut desk = desk();
    set_hours(&mut desk, hours(AfterHours::Hold, None));
    arrive(&mut desk, "t", 1);
    let ring = &rings(&desk)[0];
    assert!(ring.is_held() && !ring.sounds());
    assert_eq!((ring.step, ring.next_step_at), (0, Some(opens())));
    assert_eq!(conversation(&desk, "t").ring, Some(ring.id));
    let open = OpenRing::get(&desk.store, &ring.id.key()).expect("memory");
    assert_eq!(open.and_then(|open| open.held_for), Some(CHANNEL));
    for _ in 0..3 {
        desk.now += 4 * HOUR_MS;
        climb(&mut desk);
        assert!(rings(&desk)[0].is_held());
    }
    desk.now = opens().as_millis();
    climb(&mut desk);
    let ring = &rings(&desk)[0];
    assert!(ring.sounds());
    assert_eq!(
        (ring.step, ring.climbs_from()),
        (1, Time::from_millis(desk.now))
    );
    // A minute later and not all the steps of the night at once.
    desk.now += 60_000;
    climb(&mut desk);
    assert_eq!(rings(&desk)[0].step, 2);
    // Untaken until it closes again: it waits for the next morning.
    desk.now = opens().as_millis() + 6 * HOUR_MS;
    climb(&mut desk);
    let ring = &rings(&desk)[0];
    assert!(ring.is_held());
    assert_eq!(ring.next_step_at, Some(opens().plus_millis(24 * HOUR_MS)));
}

#[test]
fn what_waits_is_heard_as_soon_as_the_hours_are_others_and_can_be_taken_and_answered() {
    let mut desk = desk();
    set_hours(&mut desk, hours(AfterHours::Hold, None));
    for thread in ["t", "u", "v"] {
        arrive(&mut desk, thread, 1);
    }
    change(&mut desk, "t", |to| to.assignee = Some(Some(ANA)));
    assert_eq!(rings(&desk)[0].state, RingState::Taken);
    // An answer that fails leaves it as it was.
    let id = reply(&mut desk, "u");
    end_reply(
        &mut desk,
        id,
        Ended::Refused("1".to_owned(), "no".to_owned()),
    );
    let ring = &rings(&desk)[1];
    assert!(ring.is_held());
    assert_eq!(ring.next_step_at, Some(opens()));
    let id = reply(&mut desk, "u");
    end_reply(&mut desk, id, Ended::Sent(Some("x".to_owned())));
    assert_eq!(rings(&desk)[1].ended, Some(RingEnd::Answered));
    set_hours(&mut desk, hours(AfterHours::OnCall, None));
    climb(&mut desk);
    assert!(rings(&desk)[2].sounds());
}

#[test]
fn an_automatic_answer_is_given_once_a_closed_stretch_and_answers_nothing() {
    let mut desk = desk();
    set_hours(
        &mut desk,
        hours(AfterHours::Ring, Some(AnswerBy::ServedHere)),
    );
    arrive(&mut desk, "t", 1);
    let said = answers(&desk, "t");
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].text.as_deref(), Some("We open 2026-09-22 09:00."));
    assert_eq!(said[0].author, AuthorRecord::Bot(None));
    // The customer still waits, and it rings.
    let waits = conversation(&desk, "t");
    assert!(waits.waiting_since.is_some() && waits.unread_count == 1);
    assert!(rings(&desk)[0].sounds());
    for number in 2..5 {
        desk.now += HOUR_MS;
        arrive(&mut desk, "t", number);
    }
    assert_eq!(
        answers(&desk, "t").len(),
        1,
        "not once more the same evening"
    );
    desk.now += 24 * HOUR_MS;
    arrive(&mut desk, "t", 5);
    assert_eq!(answers(&desk, "t").len(), 2, "the next evening");
    // While it is open there is none.
    desk.now = opens().as_millis() + 72 * HOUR_MS;
    arrive(&mut desk, "t", 6);
    arrive(&mut desk, "u", 1);
    assert_eq!(answers(&desk, "t").len(), 2);
    assert!(answers(&desk, "u").is_empty());
}

#[test]
fn an_answer_that_a_platform_is_given_rings_on_while_it_is_sent_and_after() {
    let mut desk = desk();
    let window_ms = Some(24 * HOUR_MS);
    set_hours(
        &mut desk,
        hours(AfterHours::Ring, Some(AnswerBy::Platform(window_ms))),
    );
    arrive(&mut desk, "t", 1);
    let said = answers(&desk, "t");
    let state = |message: &MessageRecord| message.changes.delivery.as_ref().map(|at| at.state);
    assert_eq!(state(&said[0]), Some(DeliveryState::Queued));
    let work = WorkEntry::scan(&desk.store, &[], None, 10).expect("memory");
    assert_eq!(work.len(), 1);
    assert!(rings(&desk)[0].sounds(), "on its way it silences nothing");
    end_reply(&mut desk, said[0].id, Ended::Sent(Some("bot-1".to_owned())));
    assert_eq!(state(&answers(&desk, "t")[0]), Some(DeliveryState::Sent));
    assert!(conversation(&desk, "t").waiting_since.is_some());
    assert!(rings(&desk)[0].sounds());
    // Nor does it where it fails.
    arrive(&mut desk, "u", 1);
    let said = answers(&desk, "u");
    end_reply(
        &mut desk,
        said[0].id,
        Ended::Refused("1".to_owned(), "no".to_owned()),
    );
    assert!(rings(&desk)[1].sounds());
    assert!(conversation(&desk, "u").waiting_since.is_some());
}

#[test]
fn nobody_is_answered_who_is_spam_or_old_or_has_just_been_answered_by_a_person() {
    let mut desk = desk();
    set_hours(
        &mut desk,
        hours(AfterHours::Ring, Some(AnswerBy::ServedHere)),
    );
    // Written two hours before it came.
    let old = crate::desk::properties::message("old", "old-1", Direction::Inbound, -2 * 3600);
    desk.deliver(&[old]);
    assert!(answers(&desk, "old").is_empty());
    set_hours(&mut desk, hours(AfterHours::Ring, None));
    arrive(&mut desk, "spam", 1);
    change(&mut desk, "spam", |to| to.spam = Some(true));
    arrive(&mut desk, "busy", 1);
    let id = reply(&mut desk, "busy");
    end_reply(&mut desk, id, Ended::Sent(Some("x".to_owned())));
    set_hours(
        &mut desk,
        hours(AfterHours::Ring, Some(AnswerBy::ServedHere)),
    );
    desk.now += 60_000;
    for thread in ["spam", "busy"] {
        arrive(&mut desk, thread, 2);
        assert!(answers(&desk, thread).is_empty(), "{thread}");
    }
    // The person has gone.
    desk.now += HOUR_MS;
    arrive(&mut desk, "busy", 3);
    assert_eq!(answers(&desk, "busy").len(), 1);
    // The platform takes nothing any more.
    set_hours(
        &mut desk,
        hours(AfterHours::Ring, Some(AnswerBy::Platform(Some(1)))),
    );
    arrive(&mut desk, "late", 1);
    assert!(answers(&desk, "late").is_empty());
}

#[test]
fn f11_a_clock_that_was_wrong_keeps_nobody_from_their_answer() {
    let mut desk = desk();
    set_hours(
        &mut desk,
        hours(AfterHours::Ring, Some(AnswerBy::ServedHere)),
    );
    let now = desk.now;
    desk.now += 10 * 365 * 24 * HOUR_MS;
    arrive(&mut desk, "t", 1);
    assert_eq!(answers(&desk, "t").len(), 1);
    desk.now = now;
    arrive(&mut desk, "t", 2);
    assert_eq!(answers(&desk, "t").len(), 2);
    arrive(&mut desk, "t", 3);
    assert_eq!(answers(&desk, "t").len(), 2);
}
