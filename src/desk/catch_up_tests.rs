//! What holds of messages that a platform's history shows, whoever else tells them.

use std::collections::BTreeMap;

use deskbell_sdk::{
    AttachmentKind, Author, DeliveryState, Direction, Event, NewAttachment, NewMessage, Person,
    Time,
};
use proptest::prelude::*;

use super::catch_up::{TakeFound, Taken};
use super::outbox::{Begin, Ended, Finish, Windows, send_token};
use super::replies::{Kind, Write, Written};
use super::retry::{Retried, Retry};
use super::testing::{BASE_MS, CHANNEL, Desk};
use crate::id::{MessageId, WorkId};
use crate::store::entry::{CatchUpMark, Entry, PartRecord, catch_up_key};
use crate::store::record::{AuthorRecord, MessageRecord};
use crate::store::{Place, Read, Scope};

fn shown(direction: Direction, external_id: &str, text: &str, at_ms: i64) -> NewMessage {
    let customer = Person::with_id("2001");
    NewMessage {
        album: None,
        thread: "2001".to_owned(),
        author: match direction {
            Direction::Inbound => Author::Contact(customer.clone()),
            Direction::Outbound => Author::Staff {
                name: Some("Facebook".to_owned()),
            },
        },
        customer,
        external_id: external_id.to_owned(),
        direction,
        text: Some(text.to_owned()),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: Time::from_millis(at_ms),
        order: 0,
        metadata: BTreeMap::new(),
        send_token: None,
    }
}

/// As a delivery tells it: with milliseconds.
fn delivered(direction: Direction, external_id: &str, text: &str, at_ms: i64) -> Event {
    Event::Message(Box::new(shown(direction, external_id, text, at_ms)))
}

fn found(desk: &mut Desk, messages: &[NewMessage]) -> Taken {
    let take = TakeFound {
        channel: CHANNEL,
        messages: messages.to_vec(),
        unreadable: Vec::new(),
        received_at: Time::from_millis(desk.now),
        before: None,
        mark: None,
    };
    desk.decide(&[take]).remove(0)
}

/// All messages of the one conversation, from the oldest.
fn all(desk: &Desk) -> Vec<MessageRecord> {
    let scope = Scope::whole_desk();
    let conversation = desk
        .store
        .conversation_by_thread(&scope, CHANNEL, "2001")
        .expect("memory");
    let conversation = conversation.expect("it has begun");
    let newest_first = desk
        .store
        .messages(&scope, conversation, Place::LAST, 1000)
        .expect("memory");
    let oldest_first = newest_first.iter().rev();
    oldest_first.map(|message| (**message).clone()).collect()
}

fn ids(desk: &Desk) -> Vec<String> {
    let all = all(desk).into_iter();
    all.filter_map(|message| message.external_id).collect()
}

/// A queued answer with this text, after a customer's question.
fn answered(desk: &mut Desk, text: &str) -> MessageId {
    let now = desk.now;
    desk.deliver(&[delivered(
        Direction::Inbound,
        "question",
        "Is it there?",
        now,
    )]);
    let write = Write {
        scope: Scope::whole_desk(),
        conversation: desk.message("question").conversation,
        author: AuthorRecord::Staff(None, Some("Ana".to_owned())),
        owner: "tok_1".to_owned(),
        text: Some(text.to_owned()),
        attachments: Vec::new(),
        reply_to: None,
        kind: Kind::Queued(vec![PartRecord::Text(text.to_owned())]),
        seen: None,
        mentions: Vec::new(),
        idempotency: None,
    };
    let Written::Message(_, id, false) = desk.decide(&[write])[0] else {
        panic!("written")
    };
    id
}

fn begin(desk: &mut Desk, id: MessageId) {
    let windows = Windows {
        ordinary_ms: Some(24 * 3_600_000),
        extended_ms: None,
    };
    let work = WorkId(id.0);
    assert!(desk.decide(&[Begin { work, windows }])[0].is_some());
}

fn finish(desk: &mut Desk, id: MessageId, ended: Ended) {
    let finish = Finish {
        work: WorkId(id.0),
        part: 0,
        ended,
        jitter: 0.5,
        looking_ms: 5_000,
    };
    desk.decide(&[finish]);
}

fn state(desk: &Desk, id: MessageId) -> DeliveryState {
    let message = all(desk).into_iter().find(|message| message.id == id);
    let delivery = message.expect("there").changes.delivery;
    delivery.expect("an answer").state
}

/// An answer whose fate nobody could find out.
fn lost(desk: &mut Desk, text: &str) -> MessageId {
    let id = answered(desk, text);
    begin(desk, id);
    finish(desk, id, Ended::Unknown);
    desk.now += 5_000;
    finish(desk, id, Ended::Untold);
    assert_eq!(state(desk, id), DeliveryState::Unknown);
    id
}

#[test]
fn f20_an_answer_under_way_is_never_taken_for_anothers() {
    let mut desk = Desk::new();
    let id = answered(&mut desk, "Yes, two pairs.");
    begin(&mut desk, id);
    let now = desk.now;
    // The platform has it, and our own answer is not here yet: its history is read first.
    let ours = shown(Direction::Outbound, "m_ours", "Yes, two pairs.", now);
    let taken = found(&mut desk, std::slice::from_ref(&ours));
    assert_eq!((taken.new, taken.held), (0, 1));
    finish(&mut desk, id, Ended::Unknown);
    assert_eq!(
        found(&mut desk, std::slice::from_ref(&ours)).held,
        1,
        "while it is looked for, too"
    );
    finish(&mut desk, id, Ended::Sent(Some("m_ours".to_owned())));
    let taken = found(&mut desk, std::slice::from_ref(&ours));
    assert_eq!((taken.new, taken.known, taken.held), (0, 1, 0));
    assert_eq!(all(&desk).len(), 2);
    // What was written long before is nobody's doubt, and customers are never held up.
    let id = answered(&mut desk, "And a hat.");
    begin(&mut desk, id);
    let old = shown(Direction::Outbound, "m_old", "And a hat.", now - 3_600_000);
    let question = shown(Direction::Inbound, "m_new", "A red one?", now + 1_000);
    let taken = found(&mut desk, &[old, question]);
    assert_eq!((taken.new, taken.held), (2, 0));
}

#[test]
fn f20_an_answer_under_way_is_not_taken_for_anothers_by_a_clock_that_is_an_hour_ahead() {
    let mut desk = Desk::new();
    let told = desk.now;
    // The question has the platform's time; from now on this machine is an hour ahead of it.
    let id = answered(&mut desk, "Yes, two pairs.");
    desk.now += 3_600_000;
    begin(&mut desk, id);
    finish(&mut desk, id, Ended::Unknown);
    let ours = shown(
        Direction::Outbound,
        "m_ours",
        "Yes, two pairs.",
        told + 1_000,
    );
    let other = shown(
        Direction::Outbound,
        "m_other",
        "Something else.",
        told + 1_000,
    );
    let taken = found(&mut desk, &[ours, other]);
    assert_eq!((taken.new, taken.held), (1, 1));
}

#[test]
fn f20_a_held_message_leaves_the_mark_where_it_was() {
    let mut desk = Desk::new();
    let id = answered(&mut desk, "Yes.");
    begin(&mut desk, id);
    let mark = CatchUpMark {
        complete_to: Time::from_millis(BASE_MS),
        done_to: Some(Time::from_millis(BASE_MS + 1)),
    };
    let now = desk.now;
    for (messages, moved) in [
        (vec![shown(Direction::Outbound, "m_1", "Yes.", now)], false),
        (vec![shown(Direction::Inbound, "m_2", "Hm?", now)], true),
    ] {
        let take = TakeFound {
            channel: CHANNEL,
            messages,
            unreadable: Vec::new(),
            received_at: Time::from_millis(desk.now),
            before: None,
            mark: Some(mark),
        };
        desk.decide(&[take]);
        let kept = CatchUpMark::get(&desk.store, &catch_up_key(CHANNEL)).expect("memory");
        assert_eq!(kept, moved.then_some(mark));
    }
}

#[test]
fn f20_an_answer_of_unknown_fate_is_found_again_and_not_doubled() {
    let mut desk = Desk::new();
    let id = lost(&mut desk, "Yes,  two\npairs.");
    let now = desk.now;
    let again = [
        shown(Direction::Outbound, "m_other", "No.", now - 8_000),
        shown(
            Direction::Outbound,
            "m_ours",
            "Yes, two pairs. ",
            now - 6_000,
        ),
    ];
    let taken = found(&mut desk, &again);
    assert_eq!((taken.new, taken.known, taken.held), (1, 1, 0));
    assert_eq!(state(&desk, id), DeliveryState::Sent);
    let ours = all(&desk).into_iter().find(|message| message.id == id);
    assert_eq!(ours.expect("there").external_id.as_deref(), Some("m_ours"));
    // Its echo, should it still come, and another look change nothing.
    let mut echo = shown(
        Direction::Outbound,
        "m_ours",
        "Yes, two pairs.",
        now - 6_000,
    );
    echo.send_token = Some(send_token(id, 0));
    desk.deliver(&[Event::Message(Box::new(echo))]);
    assert_eq!(found(&mut desk, &again).known, 2);
    assert_eq!(
        all(&desk).len(),
        3,
        "the question, the other, and ours once"
    );
    let waiting = desk
        .store
        .conversation(&Scope::whole_desk(), desk.message("question").conversation);
    assert!(
        waiting
            .expect("memory")
            .expect("there")
            .waiting_since
            .is_none()
    );
}

#[test]
fn f20_two_lost_answers_of_one_wording_are_two_and_a_third_was_written_elsewhere() {
    let mut desk = Desk::new();
    let (first, second) = (lost(&mut desk, "Yes."), lost(&mut desk, "Yes."));
    let now = desk.now;
    let yes: Vec<_> = (1..=3)
        .map(|number| shown(Direction::Outbound, &format!("m_{number}"), "Yes.", now))
        .collect();
    let taken = found(&mut desk, &yes);
    assert_eq!((taken.new, taken.known), (1, 2));
    assert_eq!(
        (state(&desk, first), state(&desk, second)),
        (DeliveryState::Sent, DeliveryState::Sent)
    );
    let mut by_id: Vec<_> = all(&desk)
        .into_iter()
        .filter(|message| message.id == first || message.id == second)
        .collect();
    by_id.sort_by_key(|message| message.id);
    let ids: Vec<_> = by_id
        .iter()
        .filter_map(|message| message.external_id.as_deref())
        .collect();
    assert_eq!(ids, ["m_1", "m_2"], "the older one arrived first");
}

#[test]
fn f20_what_only_resembles_a_lost_answer_is_its_own_message() {
    let mut desk = Desk::new();
    let id = lost(&mut desk, "Yes, I will send two pairs tomorrow.");
    let now = desk.now;
    let mut picture = shown(Direction::Outbound, "m_3", "", now);
    picture.attachments = vec![NewAttachment::of_kind(AttachmentKind::Image)];
    let others = [
        shown(Direction::Outbound, "m_1", "Yes,", now),
        shown(
            Direction::Outbound,
            "m_2",
            "Yes, I will send two pairs tomorrow.",
            now + 3_600_000,
        ),
        picture,
    ];
    assert_eq!(found(&mut desk, &others).new, 3);
    assert_eq!(state(&desk, id), DeliveryState::Unknown, "a person decides");
}

#[test]
fn what_is_told_in_whole_seconds_stays_in_its_place() {
    let second = BASE_MS / 1000 * 1000;
    let mut desk = Desk::new();
    // Deliveries brought the first and the fourth, with their milliseconds.
    desk.deliver(&[
        delivered(Direction::Inbound, "m_1", "1", second + 700),
        delivered(Direction::Inbound, "m_4", "4", second + 900),
    ]);
    let history: Vec<_> = (1..=6)
        .map(|number| shown(Direction::Inbound, &format!("m_{number}"), "x", second))
        .collect();
    let taken = found(&mut desk, &history);
    assert_eq!((taken.new, taken.known), (4, 2));
    assert_eq!(ids(&desk), ["m_1", "m_2", "m_3", "m_4", "m_5", "m_6"]);
    // Only within the second: a day that deliveries told wrongly moves nothing.
    desk.deliver(&[delivered(Direction::Inbound, "m_7", "7", second + 86_000)]);
    let later = [
        shown(Direction::Inbound, "m_7", "x", second + 86_000),
        shown(Direction::Inbound, "m_8", "x", second + 5_000),
    ];
    found(&mut desk, &later);
    assert_eq!(desk.message("m_8").sent_at.as_millis(), second + 5_000);
}

#[test]
fn w13_what_cannot_be_read_is_set_aside_once() {
    let mut desk = Desk::new();
    let take = |desk: &mut Desk| {
        let take = TakeFound {
            channel: CHANNEL,
            messages: Vec::new(),
            unreadable: vec![("{}".to_owned(), "it has no id".to_owned())],
            received_at: Time::from_millis(desk.now),
            before: None,
            mark: None,
        };
        desk.decide(&[take]).remove(0).set_aside
    };
    assert_eq!((take(&mut desk), take(&mut desk)), (1, 0));
    let kept = crate::store::entry::QuarantineEntry::scan(&desk.store, &[], None, 9);
    assert_eq!(kept.expect("memory").len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Deliveries and readings of the history, each of any piece, in any order and any number: each message once, and
    /// the conversation in the platform's order.
    #[test]
    fn f19_f20_whoever_tells_a_message_and_however_often_it_is_there_once(
        steps in proptest::collection::vec((any::<bool>(), 0..20_usize, 1..20_usize), 1..30),
        same_second in any::<bool>(),
    ) {
        let written: Vec<(String, Direction, i64)> = (0..20_i64)
            .map(|number| {
                let direction = if number % 4 == 3 { Direction::Outbound } else { Direction::Inbound };
                let apart = if same_second { 0 } else { 1_500 };
                (format!("m_{number:02}"), direction, BASE_MS / 1000 * 1000 + number * apart)
            })
            .collect();
        let mut desk = Desk::new();
        let mut told = std::collections::BTreeSet::new();
        for (by_delivery, from, many) in steps {
            let piece = written.iter().skip(from).take(many);
            told.extend(piece.clone().map(|(id, ..)| id.clone()));
            if by_delivery {
                let events: Vec<_> = piece.map(|(id, direction, at)| delivered(*direction, id, id, *at)).collect();
                desk.deliver(&events);
            } else {
                let messages: Vec<_> =
                    piece.map(|(id, direction, at)| shown(*direction, id, id, at / 1000 * 1000)).collect();
                let taken = found(&mut desk, &messages);
                prop_assert_eq!(taken.held, 0);
            }
        }
        let mut stored = ids(&desk);
        if !same_second {
            prop_assert_eq!(&stored, &told.iter().cloned().collect::<Vec<_>>());
        }
        stored.sort();
        prop_assert_eq!(stored, told.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn f20_an_answer_that_waits_to_be_sent_again_does_not_leave_when_the_first_shows() {
    let mut desk = Desk::new();
    let id = lost(&mut desk, "Yes, two pairs.");
    let again = Retry {
        scope: Scope::whole_desk(),
        channel: CHANNEL,
        message: id,
        parts: vec![PartRecord::Text("Yes, two pairs.".to_owned())],
        confirmed: true,
    };
    assert_eq!(desk.decide(&[again]), [Retried::Queued]);
    assert_eq!(state(&desk, id), DeliveryState::Queued);
    let now = desk.now;
    let ours = shown(Direction::Outbound, "m_ours", "Yes, two pairs.", now);
    let taken = found(&mut desk, std::slice::from_ref(&ours));
    assert_eq!(taken.new + taken.known, 1);
    assert_eq!(state(&desk, id), DeliveryState::Sent);
    assert_eq!(all(&desk).len(), 2, "it is no message of its own");
    let work = desk.message("m_ours").work();
    let windows = Windows::default();
    assert!(desk.decide(&[Begin { work, windows }])[0].is_none());
}
