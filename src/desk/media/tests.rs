//! Files of messages: outages, crashes, and what was taken back.

use deskbell_sdk::{Author, Direction, Event, MessageChange, NewAttachment, NewMessage, Person};

use super::*;
use crate::desk::testing::{BASE_MS, CHANNEL, Desk};
use crate::store::Read;

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn picture(url: &str) -> NewAttachment {
    NewAttachment {
        source: Source::Url(url.to_owned()),
        ..NewAttachment::of_kind(AttachmentKind::Image)
    }
}

fn message(external_id: &str, attachments: Vec<NewAttachment>) -> Event {
    Event::Message(Box::new(NewMessage {
        thread: "2001".to_owned(),
        customer: Person::with_id("2001"),
        external_id: external_id.to_owned(),
        direction: Direction::Inbound,
        author: Author::Contact(Person::with_id("2001")),
        text: None,
        attachments,
        reply_to: None,
        sent_at: Time::from_millis(BASE_MS),
        order: 0,
        metadata: std::collections::BTreeMap::new(),
        send_token: None,
        album: None,
    }))
}

fn items(desk: &Desk) -> Vec<FetchEntry> {
    let items = FetchEntry::scan(&desk.store, &[], None, 100).expect("memory");
    items.into_iter().map(|(_, item)| item).collect()
}

fn begin(desk: &mut Desk, work: WorkId) -> Option<FetchErrand> {
    desk.decide(&[BeginFetch { work }]).remove(0)
}

fn finish(desk: &mut Desk, errand: &FetchErrand, ended: FetchEnded) -> Next {
    let finish = FinishFetch {
        work: errand.work,
        attachment: errand.file.attachment,
        ended,
        jitter: 1.0,
    };
    desk.decide(&[finish]).remove(0)
}

fn stored() -> FetchEnded {
    FetchEnded::Stored {
        content: "ab".repeat(32),
        mime_type: "image/png".to_owned(),
        size: 42,
        name: Some("photo.png".to_owned()),
    }
}

fn again(is_gone: bool) -> FetchEnded {
    FetchEnded::Again {
        say: "files.example did not answer in time".to_owned(),
        is_gone,
        after_ms: None,
    }
}

#[test]
fn a_message_is_there_at_once_and_its_files_follow() {
    let mut desk = Desk::new();
    let place = NewAttachment::of_kind(AttachmentKind::Location);
    let handle = NewAttachment {
        source: Source::Handle("4711".to_owned()),
        ..NewAttachment::of_kind(AttachmentKind::Audio)
    };
    let event = message(
        "m1",
        vec![picture("https://files.example/1"), place, handle],
    );
    desk.deliver(std::slice::from_ref(&event));
    desk.deliver(&[event, message("m2", vec![])]);
    let waiting = items(&desk);
    assert_eq!(waiting.len(), 1, "once, and only where files lie elsewhere");
    assert_eq!(waiting[0].files.len(), 2);
    let head = desk.store.head();
    for (place, left) in [(0, 1), (2, 0)] {
        let errand = begin(&mut desk, waiting[0].id).expect("something to fetch");
        assert_eq!(errand.file.place, place);
        assert_eq!(errand.message.external_id.as_deref(), Some("m1"));
        let next = finish(&mut desk, &errand, stored());
        assert_eq!(next == Next::Done, left == 0);
        let attachment = &desk.message("m1").attachments[place];
        assert_eq!(attachment.bytes, AttachmentBytes::Stored("ab".repeat(32)));
        assert_eq!(
            (attachment.size, attachment.name.as_deref()),
            (Some(42), Some("photo.png"))
        );
        let entry = AttachmentEntry::get(&desk.store, &attachment.id.key())
            .expect("memory")
            .expect("it can be read");
        assert_eq!(entry.message, Some((CHANNEL, desk.message("m1").id)));
    }
    assert_eq!(desk.store.head(), head + 2, "an event for each file");
    assert!(items(&desk).is_empty());
    assert_eq!(begin(&mut desk, waiting[0].id), None);
}

#[test]
fn a_file_that_fails_is_tried_later_and_later_and_told_once() {
    let mut desk = Desk::new();
    desk.deliver(&[message("m1", vec![picture("https://files.example/1")])]);
    let work = items(&desk)[0].id;
    let mut waits = Vec::new();
    let head = desk.store.head();
    for attempt in 1..=14 {
        let errand = begin(&mut desk, work).expect("still wanted");
        assert_eq!(errand.file.attempts, attempt);
        let Next::At(at) = finish(&mut desk, &errand, again(false)) else {
            panic!("it is given up");
        };
        waits.push((at.as_millis() - desk.now) / 1000);
        let bytes = &desk.message("m1").attachments[0].bytes;
        let is_failed = matches!(bytes, AttachmentBytes::Failed(_));
        assert_eq!(is_failed, attempt >= ATTEMPTS_UNTIL_FAILED, "{attempt}");
        desk.now = at.as_millis();
    }
    assert_eq!(waits[..5], [5, 10, 20, 40, 80]);
    assert_eq!(waits[13], 3600);
    assert_eq!(desk.store.head(), head + 1, "one event says that it failed");
    let errand = begin(&mut desk, work).expect("still wanted");
    assert_eq!(finish(&mut desk, &errand, stored()), Next::Done);
    assert!(matches!(
        desk.message("m1").attachments[0].bytes,
        AttachmentBytes::Stored(_)
    ));
}

#[test]
fn m14_an_outage_of_six_days_loses_no_file_and_a_week_ends_it() {
    let mut desk = Desk::new();
    let events: Vec<Event> = (0..50)
        .map(|number| {
            message(
                &format!("m{number}"),
                vec![picture("https://files.example/1")],
            )
        })
        .collect();
    desk.deliver(&events);
    let began = desk.now;
    let mut attempts = 0;
    // The clock is turned from one due time to the next; the platform is back after six days.
    while let Some(item) = items(&desk).into_iter().min_by_key(FetchEntry::due_at) {
        desk.now = desk.now.max(item.due_at().as_millis());
        let is_back = desk.now - began >= 6 * DAY_MS;
        let errand = begin(&mut desk, item.id).expect("wanted");
        attempts += 1;
        finish(
            &mut desk,
            &errand,
            if is_back { stored() } else { again(false) },
        );
    }
    for number in 0..50 {
        let message = desk.message(&format!("m{number}"));
        assert!(
            matches!(message.attachments[0].bytes, AttachmentBytes::Stored(_)),
            "{:?}",
            message.attachments[0].bytes
        );
    }
    assert!(
        desk.now - began < 6 * DAY_MS + 2 * HOUR_MS,
        "soon after it is back"
    );
    assert!(attempts < 50 * 200, "and nobody was hammered: {attempts}");

    desk.deliver(&[message("late", vec![picture("https://files.example/1")])]);
    let work = items(&desk)[0].id;
    let began = desk.now;
    while !items(&desk).is_empty() {
        desk.now = desk.now.max(items(&desk)[0].due_at().as_millis());
        let errand = begin(&mut desk, work).expect("wanted");
        finish(&mut desk, &errand, again(true));
    }
    assert_eq!(
        desk.message("late").attachments[0].bytes,
        AttachmentBytes::Expired
    );
    let gone_after = desk.now - began;
    assert!((FETCHED_FOR_MS..FETCHED_FOR_MS + 2 * HOUR_MS).contains(&gone_after));
}

#[test]
fn an_attempt_is_on_record_before_it_is_made_and_a_dead_link_is_remembered() {
    let mut desk = Desk::new();
    desk.deliver(&[message("m1", vec![picture("https://files.example/1")])]);
    let work = items(&desk)[0].id;
    // The daemon dies in the middle of two attempts.
    for attempt in 1..=2 {
        assert!(begin(&mut desk, work).is_some());
        assert_eq!(items(&desk)[0].files[0].attempts, attempt);
        assert!(items(&desk)[0].due_at().as_millis() > desk.now);
    }
    let errand = begin(&mut desk, work).expect("wanted");
    finish(&mut desk, &errand, again(true));
    let errand = begin(&mut desk, work).expect("wanted");
    assert!(errand.file.is_gone);
    let until = Time::from_millis(desk.now + DAY_MS);
    assert_eq!(
        finish(&mut desk, &errand, FetchEnded::Postponed(until)),
        Next::At(until)
    );
    assert_eq!(
        items(&desk)[0].files[0].attempts,
        3,
        "what was not tried does not count"
    );
}

#[test]
fn a_message_that_was_taken_back_is_left_alone() {
    let mut desk = Desk::new();
    let deleted = |id: &str| Event::Change {
        message: id.to_owned(),
        change: MessageChange::Deleted {
            at: Time::from_millis(BASE_MS),
        },
    };
    // Before it came, before it is fetched, and while it is.
    desk.deliver(&[
        deleted("m1"),
        message("m1", vec![picture("https://files.example/1")]),
    ]);
    assert!(items(&desk).is_empty());
    desk.deliver(&[message("m2", vec![picture("https://files.example/2")])]);
    let work = items(&desk)[0].id;
    desk.deliver(&[deleted("m2")]);
    assert_eq!(begin(&mut desk, work), None);
    assert!(items(&desk).is_empty());
    desk.deliver(&[message("m3", vec![picture("https://files.example/3")])]);
    let work = items(&desk)[0].id;
    let errand = begin(&mut desk, work).expect("wanted");
    desk.deliver(&[deleted("m3")]);
    assert_eq!(finish(&mut desk, &errand, stored()), Next::Done);
    assert!(items(&desk).is_empty());
    let attachment = &desk.message("m3").attachments[0];
    assert!(matches!(attachment.bytes, AttachmentBytes::Remote(_)));
    assert_eq!(
        AttachmentEntry::get(&desk.store, &attachment.id.key()).expect("memory"),
        None
    );
}

#[test]
fn m08_what_is_no_picture_is_not_called_one() {
    let mut desk = Desk::new();
    let ends = [
        (FetchEnded::TooLarge, AttachmentBytes::TooLarge),
        (FetchEnded::Expired, AttachmentBytes::Expired),
        (
            FetchEnded::Refused("no".to_owned()),
            AttachmentBytes::Failed("no".to_owned()),
        ),
    ];
    for (number, (ended, bytes)) in ends.into_iter().enumerate() {
        let id = format!("m{number}");
        desk.deliver(&[message(&id, vec![picture("https://files.example/1")])]);
        let work = items(&desk)[0].id;
        let errand = begin(&mut desk, work).expect("wanted");
        assert_eq!(finish(&mut desk, &errand, ended), Next::Done);
        assert_eq!(desk.message(&id).attachments[0].bytes, bytes);
    }
    desk.deliver(&[message("page", vec![picture("https://files.example/1")])]);
    let work = items(&desk)[0].id;
    let errand = begin(&mut desk, work).expect("wanted");
    let page = FetchEnded::Stored {
        content: "cd".repeat(32),
        mime_type: "application/octet-stream".to_owned(),
        size: 1,
        name: None,
    };
    finish(&mut desk, &errand, page);
    let attachment = &desk.message("page").attachments[0];
    assert_eq!(attachment.kind, AttachmentKind::File);
    assert_eq!(
        attachment.mime_type.as_deref(),
        Some("application/octet-stream")
    );
}
