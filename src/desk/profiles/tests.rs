//! People who are looked up: when, how often, and whose name stands.

use deskbell_sdk::{Author, Direction, Event, NewMessage, Person};

use super::*;
use crate::desk::contacts::ChangeContact;
use crate::desk::testing::{BASE_MS, CHANNEL, Desk};
use crate::store::{Read, Scope};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn writes(desk: &mut Desk, person: &str, number: usize) {
    let event = Event::Message(Box::new(NewMessage {
        thread: person.to_owned(),
        customer: Person::with_id(person),
        external_id: format!("m{number}-{person}"),
        direction: Direction::Inbound,
        author: Author::Contact(Person::with_id(person)),
        text: Some("Hello".to_owned()),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: Time::from_millis(BASE_MS),
        order: 0,
        metadata: std::collections::BTreeMap::new(),
        send_token: None,
        album: None,
    }));
    desk.deliver(&[event]);
}

fn able(desk: &mut Desk, can: bool) {
    let channel = CHANNEL;
    desk.decide(&[NoteProfiles { channel, can }]);
}

fn waiting(desk: &Desk) -> Vec<LookupEntry> {
    let items = LookupEntry::scan(&desk.store, &[], None, 100).expect("memory");
    items.into_iter().map(|(_, item)| item).collect()
}

fn finish(desk: &mut Desk, name: Option<&str>, picture: Option<&str>, after: After) -> Next {
    let work = waiting(desk)[0].id;
    assert!(desk.decide(&[BeginLookup { work }]).remove(0).is_some());
    let avatar = picture.map(|content| AvatarRecord {
        content: content.to_owned(),
        mime_type: "image/png".to_owned(),
    });
    let finish = FinishLookup {
        work,
        name: name.map(str::to_owned),
        avatar,
        after,
        jitter: 1.0,
    };
    desk.decide(&[finish]).remove(0)
}

/// Name and picture of a person, and of their conversation.
fn shown(desk: &Desk, person: &str) -> [(Option<String>, Option<String>); 2] {
    let scope = Scope::whole_desk();
    let id = desk
        .store
        .contact_by_identity(&scope, CHANNEL, person)
        .expect("memory")
        .expect("known");
    let contact = desk
        .store
        .contact(&scope, id)
        .expect("memory")
        .expect("known");
    let conversation = desk.store.conversations_of(&scope, id).expect("memory")[0];
    let conversation = desk
        .store
        .conversation(&scope, conversation)
        .expect("memory")
        .expect("known");
    [
        (
            contact.name.clone(),
            contact.avatar.as_ref().map(|avatar| avatar.content.clone()),
        ),
        (
            conversation.contact_name.clone(),
            conversation.contact_avatar.clone(),
        ),
    ]
}

#[test]
fn people_are_looked_up_once_where_the_platform_can_be_asked() {
    let mut desk = Desk::new();
    writes(&mut desk, "2001", 0);
    assert!(waiting(&desk).is_empty(), "nobody can be asked");
    able(&mut desk, true);
    able(&mut desk, true);
    for number in 1..4 {
        writes(&mut desk, "2001", number);
    }
    writes(&mut desk, "2002", 0);
    assert_eq!(waiting(&desk).len(), 2, "one for each person");
    assert_eq!(
        finish(&mut desk, Some("Jana Nováková"), Some("aa"), After::Enough),
        Next::Done
    );
    let both = (Some("Jana Nováková".to_owned()), Some("aa".to_owned()));
    assert_eq!(shown(&desk, "2001"), [both.clone(), both]);
    finish(&mut desk, None, None, After::Enough);
    assert_eq!(shown(&desk, "2002"), [(None, None), (None, None)]);
    able(&mut desk, false);
    writes(&mut desk, "2003", 0);
    assert!(waiting(&desk).is_empty());
}

#[test]
fn what_was_told_is_brought_up_to_date_after_a_week_when_they_write_again() {
    let mut desk = Desk::new();
    able(&mut desk, true);
    writes(&mut desk, "2001", 0);
    finish(&mut desk, Some("Jana Nováková"), Some("aa"), After::Enough);
    desk.now += 6 * DAY_MS;
    writes(&mut desk, "2001", 1);
    assert!(waiting(&desk).is_empty(), "not yet");
    desk.now += DAY_MS;
    writes(&mut desk, "2001", 2);
    let head = desk.store.head();
    finish(&mut desk, Some("Jana Nováková"), Some("aa"), After::Enough);
    assert_eq!(desk.store.head(), head, "nothing new is no event");
    desk.now += 7 * DAY_MS;
    writes(&mut desk, "2001", 3);
    finish(&mut desk, Some("Jana Malá"), Some("bb"), After::Enough);
    let both = (Some("Jana Malá".to_owned()), Some("bb".to_owned()));
    assert_eq!(shown(&desk, "2001"), [both.clone(), both]);
}

#[test]
fn a_name_that_staff_gave_stands() {
    let mut desk = Desk::new();
    able(&mut desk, true);
    writes(&mut desk, "2001", 0);
    writes(&mut desk, "2002", 0);
    for (person, name) in [("2001", Some("Jana from the market")), ("2002", None)] {
        let scope = Scope::whole_desk();
        let contact = desk
            .store
            .contact_by_identity(&scope, CHANNEL, person)
            .expect("memory")
            .expect("known");
        let change = ChangeContact {
            blocked: None,
            scope,
            contact,
            name: Some(name.map(str::to_owned)),
            email: None,
            phone: None,
            remark: None,
        };
        desk.decide(&[change]);
        finish(&mut desk, Some("Somebody Else"), Some("aa"), After::Enough);
        let both = (name.map(str::to_owned), Some("aa".to_owned()));
        let shown = shown(&desk, person);
        if name.is_some() {
            assert_eq!(
                shown,
                [both.clone(), both],
                "the picture comes all the same"
            );
        }
    }
}

#[test]
fn what_fails_is_tried_for_a_day() {
    let mut desk = Desk::new();
    able(&mut desk, true);
    writes(&mut desk, "2001", 0);
    let began = desk.now;
    // The name is told, and the picture cannot be had.
    let mut attempts = 0;
    while let Next::At(at) = finish(&mut desk, Some("Jana"), None, After::Again(None)) {
        assert!(at.as_millis() > desk.now);
        desk.now = at.as_millis();
        attempts += 1;
    }
    assert!((10..60).contains(&attempts), "{attempts}");
    assert!((DAY_MS..DAY_MS + 2 * 60 * 60 * 1000).contains(&(desk.now - began)));
    assert_eq!(shown(&desk, "2001")[0].0.as_deref(), Some("Jana"));
    writes(&mut desk, "2001", 1);
    assert!(waiting(&desk).is_empty(), "not again at once");
    desk.now += 7 * DAY_MS;
    writes(&mut desk, "2001", 2);
    let until = Time::from_millis(desk.now + 1_000_000);
    assert_eq!(
        finish(&mut desk, None, None, After::Postponed(until)),
        Next::At(until)
    );
    assert_eq!(waiting(&desk)[0].attempts, 0);
}
