//! What a connector understands only later: it comes in once, at its place, and nothing that stands is touched.

use std::collections::BTreeMap;

use deskbell_sdk::{Author, Direction, MessageChange, NewAttachment, Person, Source};

use super::*;
use crate::desk::changing::ChangeConversation;
use crate::desk::testing::{BASE_MS, CHANNEL, Desk};
use crate::store::Read as _;
use crate::store::entry::FetchEntry;
use crate::store::record::{ConversationRecord, Status};

fn message(external_id: &str, direction: Direction, at: i64, text: Option<&str>) -> NewMessage {
    let person = Person::with_id("ann");
    NewMessage {
        thread: person.id.clone(),
        customer: person.clone(),
        external_id: external_id.to_owned(),
        direction,
        author: match direction {
            Direction::Inbound => Author::Contact(person),
            Direction::Outbound => Author::Staff { name: None },
        },
        text: text.map(str::to_owned),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: Time::from_millis(BASE_MS + at),
        order: 0,
        metadata: BTreeMap::new(),
        send_token: None,
        album: None,
    }
}

fn asks(external_id: &str, at: i64) -> Event {
    let words = Some("What I asked");
    Event::Message(Box::new(message(
        external_id,
        Direction::Inbound,
        at,
        words,
    )))
}

fn riddle(external_id: &str, at: i64) -> NewMessage {
    NewMessage {
        attachments: vec![NewAttachment {
            name: Some("a kind that is not known".to_owned()),
            ..NewAttachment::of_kind(AttachmentKind::Unsupported)
        }],
        ..message(external_id, Direction::Inbound, at, None)
    }
}

fn answers(external_id: &str, at: i64) -> Event {
    let words = Some("What we answered");
    Event::Message(Box::new(message(
        external_id,
        Direction::Outbound,
        at,
        words,
    )))
}

fn came_at() -> Time {
    Time::from_millis(BASE_MS + 5_000)
}

fn replay(desk: &mut Desk, events: &[Event], understood: &[QuarantineId]) -> Replayed {
    let replay = Replay {
        channel: CHANNEL,
        events: events.to_vec(),
        received_at: came_at(),
        understood: understood.to_vec(),
    };
    desk.decide(&[replay]).remove(0)
}

fn conversation(desk: &Desk) -> ConversationRecord {
    let all = desk
        .store
        .conversations_after(&Scope::whole_desk(), crate::id::ConversationId(0), 9)
        .expect("memory");
    assert_eq!(all.len(), 1);
    (*all[0]).clone()
}

#[test]
fn what_is_understood_at_last_is_a_message_of_then_and_leaves_the_quarantine() {
    let mut desk = Desk::new();
    desk.deliver(&[
        asks("m1", 0),
        Event::Undecodable {
            raw: "{}".to_owned(),
            why: "no idea".to_owned(),
        },
        asks("m3", 3_000),
    ]);
    let kept = QuarantineEntry::scan(&desk.store, &[], None, 9).expect("memory");
    let id = kept[0].1.id;
    let events = [asks("m1", 0), asks("m2", 2_000), asks("m3", 3_000)];
    let replayed = replay(&mut desk, &events, &[id]);
    let expected = Replayed {
        new: 1,
        known: 2,
        released: 1,
        ..Replayed::default()
    };
    assert_eq!(replayed, expected);
    let late = desk.message("m2");
    assert_eq!(late.received_at, came_at());
    assert!(desk.message("m1").place() < late.place() && late.place() < desk.message("m3").place());
    let stands = conversation(&desk);
    assert_eq!((stands.message_count, stands.unread_count), (3, 3));
    assert_eq!(
        stands.last_message.expect("one").place,
        desk.message("m3").place()
    );
    let kept = QuarantineEntry::scan(&desk.store, &[], None, 9).expect("memory");
    assert!(kept.is_empty());
    // Again: nothing happens at all.
    let head = desk.store.head();
    let replayed = replay(&mut desk, &events, &[id]);
    assert_eq!((replayed.known, replayed.new, replayed.released), (3, 0, 0));
    assert_eq!(desk.store.head(), head);
}

#[test]
fn who_was_answered_since_does_not_wait_again() {
    let mut desk = Desk::new();
    desk.deliver(&[asks("m1", 0), answers("m5", 5_000)]);
    let talk = conversation(&desk);
    let resolve = ChangeConversation {
        author: crate::store::record::AuthorRecord::System,
        expected_assignee: None,
        spam: None,
        scope: Scope::whole_desk(),
        conversation: talk.id,
        status: Some(Status::Resolved),
        assignee: None,
        team: None,
        labels: None,
        priority: None,
        snoozed_until: None,
        subject: None,
    };
    desk.decide(&[resolve]);
    let before = conversation(&desk);
    assert_eq!(replay(&mut desk, &[asks("m2", 2_000)], &[]).new, 1);
    let after = conversation(&desk);
    assert_eq!(
        (after.status, after.unread_count, after.waiting_since),
        (Status::Resolved, before.unread_count, None)
    );
    assert_eq!(after.message_count, before.message_count + 1);
    assert_eq!(after.last_activity_at, before.last_activity_at);
    // Nobody answered this one.
    assert_eq!(replay(&mut desk, &[asks("m9", 9_000)], &[]).new, 1);
    let after = conversation(&desk);
    assert_eq!(
        (after.status, after.unread_count, after.waiting_since),
        (Status::Open, before.unread_count + 1, Some(came_at()))
    );
}

#[test]
fn a_message_without_content_gets_it_and_everything_else_of_it_stands() {
    let mut desk = Desk::new();
    let edit = Event::Change {
        message: "edited".to_owned(),
        change: MessageChange::Edited {
            text: "What I mean".to_owned(),
            version: 1,
            at: Time::from_millis(BASE_MS + 100),
        },
    };
    let gone = Event::Change {
        message: "gone".to_owned(),
        change: MessageChange::Deleted {
            at: Time::from_millis(BASE_MS + 100),
        },
    };
    let bare = |id: &str, at| Event::Message(Box::new(riddle(id, at)));
    desk.deliver(&[
        bare("bare", 0),
        bare("edited", 1),
        bare("gone", 2),
        edit,
        gone,
    ]);
    desk.deliver(&[asks("whole", 3)]);
    let before: Vec<_> = ["bare", "edited", "gone", "whole"]
        .map(|id| desk.message(id))
        .into();
    let unread = conversation(&desk).unread_count;
    let picture = NewAttachment {
        source: Source::Url("https://cdn.example/1".to_owned()),
        ..NewAttachment::of_kind(AttachmentKind::Image)
    };
    let now = |id: &str| {
        Event::Message(Box::new(NewMessage {
            attachments: vec![picture.clone()],
            ..message(id, Direction::Inbound, 7_000, Some("An order"))
        }))
    };
    let events = [now("bare"), now("edited"), now("gone"), now("whole")];
    let replayed = replay(&mut desk, &events, &[]);
    assert_eq!(
        (replayed.completed, replayed.known, replayed.new),
        (2, 2, 0)
    );
    let bare = desk.message("bare");
    assert_eq!(bare.standing_text(), Some("An order"));
    assert_eq!(bare.attachments[0].kind, AttachmentKind::Image);
    assert_eq!((bare.id, bare.place()), (before[0].id, before[0].place()));
    let edited = desk.message("edited");
    assert_eq!(edited.standing_text(), Some("What I mean"));
    assert_eq!(edited.attachments[0].kind, AttachmentKind::Image);
    assert_eq!(desk.message("gone"), before[2]);
    assert_eq!(desk.message("whole"), before[3]);
    assert_eq!(conversation(&desk).unread_count, unread);
    let wanted = FetchEntry::scan(&desk.store, &[], None, 9).expect("memory");
    assert_eq!(wanted.len(), 2, "their files are fetched");
    // Again, and by a connector that understands less: it stands.
    let head = desk.store.head();
    for events in [
        events,
        [("bare"); 4].map(|id| Event::Message(Box::new(riddle(id, 0)))),
    ] {
        let replayed = replay(&mut desk, &events, &[]);
        assert_eq!((replayed.completed, replayed.known), (0, 4));
    }
    assert_eq!(desk.store.head(), head);
}
