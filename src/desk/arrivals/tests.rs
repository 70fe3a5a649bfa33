//! What a platform gone mad may not do.

use std::collections::BTreeMap;

use deskbell_sdk::{
    AttachmentKind, Author, Direction, Event, NewAttachment, NewMessage, Person, Source, Time,
};

use super::{MAX_ATTACHMENTS, MAX_QUARANTINED};
use crate::desk::testing::{BASE_MS, CHANNEL, Desk};
use crate::store::entry::{Entry, QuarantineEntry};

#[test]
fn w09_a_message_keeps_a_hundred_attachments_and_names_the_rest() {
    let picture = |number: usize| NewAttachment {
        source: Source::Url(format!("https://cdn.example/{number}")),
        ..NewAttachment::of_kind(AttachmentKind::Image)
    };
    let person = Person::with_id("ann");
    let message = |external_id: &str, attachments: usize| {
        Event::Message(Box::new(NewMessage {
            thread: person.id.clone(),
            customer: person.clone(),
            external_id: external_id.to_owned(),
            direction: Direction::Inbound,
            author: Author::Contact(person.clone()),
            text: None,
            attachments: (0..attachments).map(picture).collect(),
            reply_to: None,
            sent_at: Time::from_millis(BASE_MS),
            order: 0,
            metadata: BTreeMap::new(),
            send_token: None,
            album: None,
        }))
    };
    let mut desk = Desk::new();
    desk.deliver(&[message("most", MAX_ATTACHMENTS), message("more", 100_000)]);
    let most = desk.message("most").attachments;
    assert!(most.len() == MAX_ATTACHMENTS && most[99].kind == AttachmentKind::Image);
    let more = desk.message("more").attachments;
    assert_eq!(more.len(), MAX_ATTACHMENTS + 1);
    let rest = &more[MAX_ATTACHMENTS];
    assert_eq!(
        (rest.kind, rest.name.as_deref()),
        (AttachmentKind::Unsupported, Some("99900 more attachments"))
    );
}

#[test]
fn f29_a_delivery_of_nothing_but_nonsense_leaves_a_few_entries_that_count_it() {
    let nonsense = |number: u32| {
        let event = Event::Undecodable {
            raw: number.to_string(),
            why: "it is a number".to_owned(),
        };
        (CHANNEL, event)
    };
    let mut desk = Desk::new();
    let arrivals = super::Arrivals {
        events: (0..10_000).map(nonsense).collect(),
        received_at: Time::from_millis(BASE_MS),
        raw: None,
        cursor: None,
    };
    assert_eq!(desk.decide(&[arrivals])[0].quarantined, 10_000);
    let kept = QuarantineEntry::scan(&desk.store, &[], None, 99).expect("memory");
    assert_eq!(kept.len(), MAX_QUARANTINED as usize + 1);
    let (_, last) = &kept[MAX_QUARANTINED as usize];
    assert!(last.why.starts_with("9980 more parts"), "{}", last.why);
}
