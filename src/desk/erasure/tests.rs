//! What is left of a person who was erased, and what does not come back.

use std::collections::HashSet;

use deskbell_sdk::{Direction, Event, MessageChange};

use super::*;
use crate::desk::properties::message as said;
use crate::desk::testing::{BASE_MS, CHANNEL, Desk};
use crate::store::{FeedPage, InboxPage, Read};

const KEY: &str = "an invented key of a desk that nobody has";

fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.decide(&[EnsureErasureKey {
        new: KEY.to_owned(),
    }]);
    desk
}

fn contact(desk: &Desk, person: &str) -> Option<ContactId> {
    let whole = Scope::whole_desk();
    desk.store
        .contact_by_identity(&whole, CHANNEL, person)
        .expect("memory")
}

fn erase(desk: &mut Desk, person: &str) -> ContactId {
    let contact = contact(desk, person).expect("the person is here");
    let until = None;
    let begun = desk.decide(&[BeginErasure { contact, until }]);
    assert!(begun[0].is_some());
    while desk.decide(&[EraseSome { contact }])[0] {}
    contact
}

fn feed(desk: &Desk) -> Vec<String> {
    let page = FeedPage {
        limit: 1_000,
        ..FeedPage::default()
    };
    let found = desk.store.feed(&Scope::whole_desk(), &page);
    let ids = found.expect("memory").into_iter();
    ids.map(|message| message.external_id.clone().expect("an id"))
        .collect()
}

#[test]
fn k08_nothing_of_a_person_is_read_any_more_and_others_stay() {
    let mut desk = desk();
    for step in 0..450 {
        desk.deliver(&[
            said("ann", &format!("a{step}"), Direction::Inbound, step),
            said("bob", &format!("b{step}"), Direction::Inbound, step),
        ]);
    }
    let ann = erase(&mut desk, "ann");
    let whole = Scope::whole_desk();
    assert_eq!(contact(&desk, "ann"), None);
    assert_eq!(desk.store.contact(&whole, ann).expect("memory"), None);
    let left = feed(&desk);
    assert_eq!(left.len(), 450);
    assert!(left.iter().all(|id| id.starts_with('b')));
    let page = InboxPage {
        limit: 10,
        ..InboxPage::default()
    };
    assert_eq!(desk.store.inbox(&whole, &page).expect("memory").len(), 1);
    desk.decide(&[FinishErasure { contact: ann }]);
    let rest = ErasureEntry::scan(&desk.store, &[], None, 10).map(|rest| rest.len());
    assert_eq!(rest.expect("memory"), 0);
}

#[test]
fn k08_what_was_written_before_does_not_come_back_and_what_comes_after_is_new() {
    let mut desk = desk();
    desk.deliver(&[said("ann", "a0", Direction::Inbound, 0)]);
    let before = erase(&mut desk, "ann");
    // The platform repeats a delivery, tells an older message, an answer of ours, and a note of an activity.
    let again = [
        said("ann", "a0", Direction::Inbound, 0),
        said("ann", "older", Direction::Inbound, -5),
        said("ann", "ours", Direction::Outbound, 1),
    ];
    let outcome = desk.deliver(&again);
    assert_eq!((outcome.new, outcome.known), (0, 0));
    assert_eq!(feed(&desk), Vec::<String>::new());
    assert_eq!(contact(&desk, "ann"), None);
    // Another person of that time is taken in.
    desk.deliver(&[said("bob", "b0", Direction::Inbound, 0)]);
    // The person writes anew: a day later by the platform's clock, which is past the erasure.
    desk.now += 24 * 60 * 60 * 1000;
    desk.deliver(&[said("ann", "a1", Direction::Inbound, 23 * 60 * 60)]);
    assert_eq!(feed(&desk), ["a1", "b0"]);
    let after = contact(&desk, "ann").expect("a new contact");
    assert_ne!(after, before);
    // And the old ones still do not come.
    desk.deliver(&again);
    assert_eq!(feed(&desk), ["a1", "b0"]);
}

#[test]
fn k08_what_a_person_said_to_others_is_emptied() {
    let mut desk = desk();
    let Event::Message(mut in_group) = said("ann", "g1", Direction::Inbound, 0) else {
        panic!("a message");
    };
    // A group has a customer of its own; Ann writes in it.
    in_group.thread = "group".to_owned();
    in_group.customer = deskbell_sdk::Person::with_id("group");
    let by_bob = said("bob", "b1", Direction::Inbound, 1);
    let Event::Message(template) = &by_bob else {
        panic!("a message");
    };
    let ann = in_group.author.clone();
    let reaction = Event::Change {
        message: "b1".to_owned(),
        change: MessageChange::Reacted {
            thread: None,
            by: ann,
            emoji: Some("❤".to_owned()),
            at: Time::from_millis(BASE_MS),
        },
    };
    assert_eq!(template.external_id, "b1");
    desk.deliver(&[Event::Message(in_group), by_bob, reaction]);
    assert_eq!(desk.message("b1").changes.reactions.len(), 1);
    let contact = erase(&mut desk, "ann");
    let messages = ["g1", "b1"]
        .map(|id| (CHANNEL, desk.message(id).id))
        .to_vec();
    desk.decide(&[EraseAuthored { contact, messages }]);
    let emptied = desk.message("g1");
    assert_eq!(
        (emptied.text.as_deref(), emptied.attachments.len()),
        (None, 0)
    );
    assert!(emptied.changes.deleted_at.is_some());
    let reacted = desk.message("b1");
    assert_eq!(reacted.changes.reactions, []);
    assert_eq!(reacted.text.as_deref(), Some("text of b1"));
}

#[test]
fn k08_side_tables_name_a_person_only_where_they_do() {
    let mut desk = desk();
    desk.deliver(&[said("4711", "a0", Direction::Inbound, 0)]);
    let contact = contact(&desk, "4711").expect("here");
    let until = None;
    let begun = desk.decide(&[BeginErasure { contact, until }]);
    let erasure = begun.into_iter().next().flatten().expect("begun");
    let quarantined = |raw: &str| {
        let entry = crate::store::entry::QuarantineEntry {
            id: crate::id::QuarantineId(1),
            channel: CHANNEL,
            received_at: Time::from_millis(BASE_MS),
            why: "odd".to_owned(),
            raw: raw.to_owned(),
        };
        let put = entry.put(Vec::new());
        names_person(
            &erasure,
            &HashSet::new(),
            Table::Quarantine,
            &[],
            &put.value.expect("a value"),
        )
        .expect("understood")
    };
    assert!(quarantined(r#"{"sender":{"id":"4711"}}"#));
    assert!(!quarantined(r#"{"sender":{"id":"47110"}}"#));
    assert!(!quarantined(r#"{"sender":{"id":"1"}}"#));
}

#[test]
fn a_key_of_one_desk_says_nothing_at_another() {
    let mut desk = desk();
    desk.decide(&[EnsureErasureKey {
        new: "another".to_owned(),
    }]);
    let key = ErasureKey::of(&desk.store).expect("memory").expect("a key");
    assert_eq!(key.hash(CHANNEL, "ann").len(), HASH_CHARS);
    assert_ne!(key.hash(CHANNEL, "ann"), key.hash(ChannelNo(2), "ann"));
    let other = ErasureKey(Secret::new("another"));
    assert_ne!(key.hash(CHANNEL, "ann"), other.hash(CHANNEL, "ann"));
}
