//! Joining what is here, ids that do not do, answers under way, files, and what is refused.

use deskbell_sdk::{
    AttachmentKind, Author, DeliveryState, Direction, Event, MessageChange, Person, Time,
};

use super::{CHANNEL, SLUG, exported, import, one_talk, other_desk, scope, taken_in};
use crate::desk::access::OpenChannel;
use crate::desk::import::{ChannelImported, Import, ImportChannel, Record};
use crate::desk::properties::message;
use crate::desk::replies::{Kind, Write};
use crate::desk::testing::Desk;
use crate::desk::visits::{Come, ProvenIdentity};
use crate::export::lines::{AvatarLine, Line, MessageLine};
use crate::id::{AttachmentId, ContactId, ConversationId, MessageId, first_at};
use crate::store::entry::{Entry, PartRecord, WorkEntry, secret_hash};
use crate::store::record::{
    AttachmentBytes, AttachmentRecord, AuthorRecord, ChannelNo, MessageRecord,
};
use crate::store::{Place, Read, Scope};

/// A desk to which the same platform delivers, under the same slug.
fn same_platform() -> Desk {
    let mut desk = Desk::new();
    desk.now += 120_000;
    desk.decide(&[OpenChannel {
        id: SLUG.to_owned(),
        connector: "messenger".to_owned(),
        name: "Page".to_owned(),
        free: CHANNEL,
    }]);
    desk
}

#[test]
fn history_joins_a_conversation_that_has_begun_here_and_doubles_nothing() {
    let (_, lines) = one_talk();
    let mut here = same_platform();
    here.deliver(&[
        message("t1", "m2", Direction::Inbound, 2),
        message("t1", "m9", Direction::Inbound, 9),
    ]);
    let own = here.message("m9").conversation;
    let imported = taken_in(&mut here, &lines);
    assert_eq!(
        (imported.new, imported.known),
        (1, 3),
        "m1 is what was missing"
    );
    let conversation = here
        .store
        .conversation(&scope(), own)
        .expect("memory")
        .expect("there");
    assert_eq!(here.message("m1").conversation, own);
    assert_eq!(
        (conversation.message_count, conversation.unread_count),
        (3, 2)
    );
    assert_eq!(
        conversation.last_message.as_ref().map(|last| last.place.id),
        Some(here.message("m9").id)
    );
    let all = here.store.messages(&scope(), own, Place::LAST, 9);
    assert_eq!(all.expect("memory").len(), 3);
    assert_eq!(
        here.store
            .contacts(&scope(), None, 9)
            .expect("memory")
            .len(),
        1
    );
    let head = here.store.head();
    assert_eq!(taken_in(&mut here, &lines).known, 4);
    assert_eq!(here.store.head(), head);
}

#[test]
fn what_came_before_its_message_is_applied_when_history_brings_it() {
    let (_, lines) = one_talk();
    let mut here = same_platform();
    let at = Time::from_millis(here.now);
    here.deliver(&[Event::Change {
        message: "m1".to_owned(),
        change: MessageChange::Reacted {
            thread: Some("t1".to_owned()),
            by: Author::Contact(Person::with_id("t1")),
            emoji: Some("❤".to_owned()),
            at,
        },
    }]);
    taken_in(&mut here, &lines);
    assert_eq!(here.message("m1").changes.reactions.len(), 1);
    let message = here.message("m1");
    let AuthorRecord::Contact(contact, _) = message.changes.reactions[0].author else {
        panic!("a customer's");
    };
    assert!(matches!(message.author, AuthorRecord::Contact(author, _) if author == contact));
}

/// Changes the message lines.
fn changed(lines: &[Line], mut change: impl FnMut(&mut MessageLine)) -> Vec<Line> {
    let mut lines = lines.to_vec();
    for line in &mut lines {
        if let Line::Message(message) = line {
            change(message);
        }
    }
    lines
}

#[test]
fn ids_that_are_taken_or_of_the_future_are_given_anew_once() {
    let (_, lines) = one_talk();
    let mut here = other_desk();
    here.decide(&[OpenChannel {
        id: "elsewhere".to_owned(),
        connector: "messenger".to_owned(),
        name: "Elsewhere".to_owned(),
        free: ChannelNo(2),
    }]);
    // In another channel, somebody else's message has the id of the first, and the second is of next year.
    let taken = lines.iter().find_map(|line| match line {
        Line::Message(message) => Some(message.id),
        _ => None,
    });
    let taken = taken.expect("a message");
    let stranger = changed(&lines, |message| {
        message.external_id = Some(format!("x{}", message.id));
    });
    let stranger: Vec<Line> = stranger
        .into_iter()
        .map(|line| match line {
            Line::Channel(mut channel) => {
                channel.id = "elsewhere".to_owned();
                Line::Channel(channel)
            }
            Line::Contact(mut contact) => {
                contact.id = ContactId(contact.id.0 + 1);
                contact.identities[0].channel = "elsewhere".to_owned();
                Line::Contact(contact)
            }
            Line::Conversation(mut conversation) => {
                conversation.id = ConversationId(conversation.id.0 + 1);
                conversation.contact_id = ContactId(conversation.contact_id.0 + 1);
                conversation.channel = "elsewhere".to_owned();
                Line::Conversation(conversation)
            }
            Line::Message(mut message) => {
                message.conversation_id = ConversationId(message.conversation_id.0 + 1);
                message.channel = "elsewhere".to_owned();
                Line::Message(message)
            }
            other => other,
        })
        .collect();
    taken_in(&mut here, &stranger);
    let next_year = MessageId(first_at(Time::from_millis(here.now + 365 * 86_400_000)));
    let lines = changed(&lines, |message| {
        if message.id != taken {
            message.id = next_year;
        }
    });
    taken_in(&mut here, &lines);
    assert!(
        here.store.last_id() < next_year.0,
        "ours do not follow into the future"
    );
    let channel = ChannelNo(3);
    let imported = here
        .store
        .messages_after(&Scope::of_channels([channel]), MessageId(0), 9)
        .expect("memory");
    assert_eq!(imported.len(), 2);
    assert!(
        imported
            .iter()
            .all(|message| message.id != taken && message.id < next_year)
    );
    let (head, imported) = (here.store.head(), taken_in(&mut here, &lines));
    assert_eq!((imported.known, here.store.head()), (4, head));
    // A newer version of the same is known as the same, under its id here.
    let newer = changed(&lines, |message| {
        message.version += 1;
        message.text = Some("newer".to_owned());
    });
    assert_eq!(taken_in(&mut here, &newer).updated, 2);
    let all = here
        .store
        .messages_after(&Scope::of_channels([channel]), MessageId(0), 9)
        .expect("memory");
    assert_eq!(all.len(), 2);
    assert!(
        all.iter()
            .all(|message| message.text.as_deref() == Some("newer"))
    );
}

#[test]
fn what_was_given_elsewhere_is_not_given_again_here() {
    let (desk, lines) = one_talk();
    let mut here = other_desk();
    // The clock here is a little behind that of the other desk.
    here.now = desk.now - 5_000;
    taken_in(&mut here, &lines);
    assert!(here.store.last_id() >= desk.message("m2").id.0);
}

#[test]
fn an_answer_that_was_still_to_be_sent_is_neither_sent_nor_called_sent() {
    let (mut desk, _) = one_talk();
    let conversation = desk.message("m1").conversation;
    desk.decide(&[Write {
        scope: scope(),
        conversation,
        author: AuthorRecord::Staff(None, Some("Ana".to_owned())),
        owner: "tok_1".to_owned(),
        text: Some("on its way".to_owned()),
        attachments: Vec::new(),
        reply_to: None,
        kind: Kind::Queued(vec![PartRecord::Text("on its way".to_owned())]),
        seen: None,
        mentions: Vec::new(),
        idempotency: None,
    }]);
    let lines = exported(&mut desk, |_| {});
    let mut here = other_desk();
    taken_in(&mut here, &lines);
    let message = here
        .store
        .messages_after(&scope(), desk.message("m2").id, 9)
        .expect("memory")
        .remove(0);
    let delivery = message.changes.delivery.clone().expect("outbound");
    assert_eq!(delivery.state, DeliveryState::Unknown);
    assert_eq!(delivery.error.expect("why").0, "imported");
    assert_eq!(
        WorkEntry::scan(&here.store, &[], None, 9).expect("memory"),
        []
    );
    let talk = here
        .store
        .conversation(&scope(), conversation)
        .expect("memory");
    assert!(
        talk.expect("there").waiting_since.is_some(),
        "it is no answer"
    );

    // Into the desk that it comes from, it changes nothing: there it is still on its way.
    let head = desk.store.head();
    let mut own = lines.clone();
    own.retain(|line| !matches!(line, Line::Channel(_)));
    let records = own.into_iter().filter_map(|line| match line {
        Line::Message(line) => Some(Record::Message(Box::new(line.into_record(CHANNEL)))),
        _ => None,
    });
    let import = Import {
        records: (1..).zip(records).collect(),
        bytes: 0,
    };
    assert_eq!(desk.decide(std::slice::from_ref(&import))[0].known, 3);
    assert_eq!(desk.store.head(), head);
    assert_eq!(
        WorkEntry::scan(&desk.store, &[], None, 9)
            .expect("memory")
            .len(),
        1
    );

    // Where this desk is older than the export, in which the answer was sent, it must not go out again.
    let mut sent = import;
    for (_, record) in &mut sent.records {
        if let Record::Message(message) = record
            && let Some(delivery) = &mut message.changes.delivery
        {
            message.version += 1;
            delivery.state = DeliveryState::Sent;
            delivery.error = None;
        }
    }
    assert_eq!(desk.decide(&[sent])[0].updated, 1);
    assert_eq!(
        WorkEntry::scan(&desk.store, &[], None, 9).expect("memory"),
        []
    );
}

#[test]
fn a_visitor_who_was_promised_a_conversation_finds_the_imported_one_in_it() {
    let mut desk = Desk::new();
    desk.deliver(&[message("user:7", "m1", Direction::Inbound, 1)]);
    let lines = exported(&mut desk, |_| {});
    let mut here = same_platform();
    let come = Come {
        channel: CHANNEL,
        origin: String::new(),
        new_hash: secret_hash("token"),
        old_hash: None,
        identity: Some(ProvenIdentity {
            id: "7".to_owned(),
            name: None,
            email: None,
        }),
        anonymous_thread: "anon:1".to_owned(),
    };
    let promised = here.decide(&[come]).remove(0).visit.conversation;
    taken_in(&mut here, &lines);
    assert_eq!(here.message("m1").conversation, promised);
    let head = here.store.head();
    taken_in(&mut here, &lines);
    assert_eq!(here.store.head(), head);
}

#[test]
fn files_are_in_their_message_and_no_browser_runs_them() {
    let (_, lines) = one_talk();
    let mut here = other_desk();
    let mut given = AttachmentId(0);
    let lines = changed(&lines, |message| {
        let stored = |mime_type: &str| AttachmentRecord {
            id: AttachmentId(message.id.0 + 50),
            kind: AttachmentKind::File,
            name: Some("a.bin".to_owned()),
            mime_type: Some(mime_type.to_owned()),
            size: Some(3),
            bytes: AttachmentBytes::Stored("ab".repeat(32)),
            latitude: None,
            longitude: None,
            link: None,
            external_id: None,
        };
        let record = MessageRecord {
            attachments: vec![
                stored("text/html"),
                stored("image/png"),
                stored("image/svg+xml"),
            ],
            ..message.clone().into_record(CHANNEL)
        };
        given = record.attachments[0].id;
        *message = MessageLine::of(&record, SLUG.to_owned());
    });
    taken_in(&mut here, &lines);
    let message = here
        .store
        .messages_after(&scope(), MessageId(0), 9)
        .expect("memory")
        .pop()
        .expect("two");
    let types: Vec<_> = message
        .attachments
        .iter()
        .map(|attachment| attachment.mime_type.as_deref().expect("a type"))
        .collect();
    let saved = "application/octet-stream";
    assert_eq!(types, [saved, "image/png", saved]);
    let ids: std::collections::BTreeSet<_> = message
        .attachments
        .iter()
        .map(|attachment| attachment.id)
        .collect();
    assert_eq!(ids.len(), 3, "one id names one file");
    assert!(ids.contains(&given));
    for attachment in &message.attachments {
        let entry = crate::store::entry::AttachmentEntry::get(&here.store, &attachment.id.key());
        let entry = entry.expect("memory").expect("there");
        assert_eq!(entry.message, Some((message.channel, message.id)));
        assert_eq!(
            entry.mime_type,
            attachment.mime_type.clone().expect("a type")
        );
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_number_and_the_rest_waits() {
    let (_, lines) = one_talk();
    let without = |unwanted: fn(&Line) -> bool| -> Vec<Line> {
        lines
            .iter()
            .filter(|line| !unwanted(line))
            .cloned()
            .collect()
    };
    let (number, why) = import(
        &mut other_desk(),
        &without(|line| matches!(line, Line::Contact(_))),
        &[99],
    )
    .refused
    .expect("refused");
    assert_eq!(number, 1);
    assert!(why.contains("the contact cus_"), "{why}");
    let imported = import(
        &mut other_desk(),
        &without(|line| matches!(line, Line::Conversation(_))),
        &[99],
    );
    assert_eq!(imported.new, 1, "the contact");
    let (number, why) = imported.refused.expect("refused");
    assert_eq!(number, 2);
    assert!(why.contains("the conversation cnv_"), "{why}");

    let mut here = other_desk();
    here.decide(&[OpenChannel {
        id: SLUG.to_owned(),
        connector: "telegram".to_owned(),
        name: "A bot".to_owned(),
        free: ChannelNo(9),
    }]);
    let channel = ImportChannel {
        id: SLUG.to_owned(),
        connector: "messenger".to_owned(),
        name: "Page".to_owned(),
        created_at: Time::from_millis(0),
    };
    let other = ChannelImported::OtherConnector("telegram".to_owned());
    assert_eq!(here.decide(&[channel]), [other]);
}

#[test]
fn contacts_that_are_merged_in_a_ring_are_one_and_no_end_of_looking() {
    let mut here = other_desk();
    let merged = |from, into| Record::Merged {
        from: ContactId(from),
        into: ContactId(into),
        at: Time::from_millis(0),
    };
    let import = |records: Vec<Record>| Import {
        records: (1..).zip(records).collect(),
        bytes: 0,
    };
    let ring = import(vec![merged(1, 2), merged(2, 3), merged(3, 1)]);
    let imported = here.decide(&[ring]).remove(0);
    assert_eq!((imported.new, imported.known), (2, 1));
    let standing = crate::desk::contacts::standing(&here.store, ContactId(1));
    assert_eq!(standing.expect("memory"), ContactId(3));
    let itself = here.decide(&[import(vec![merged(5, 5)])]).remove(0);
    assert_eq!(itself.refused.expect("refused").0, 1);
}

/// A part of an album, with a picture of its own.
fn part(number: u64) -> Event {
    let Event::Message(mut new) = message("t1", &format!("part{number}"), Direction::Inbound, 5)
    else {
        panic!("a message");
    };
    new.order = number;
    new.album = Some("t1:77".to_owned());
    new.attachments[0].external_id = Some(format!("file {number}"));
    Event::Message(new)
}

#[test]
fn an_album_goes_over_as_one_and_grows_on_there() {
    let mut desk = Desk::new();
    desk.deliver(&[part(2), part(3)]);
    let lines = exported(&mut desk, |_| {});
    let mut here = same_platform();
    taken_in(&mut here, &lines);
    assert_eq!(here.message("part3"), desk.message("part2"));
    here.deliver(&[part(1), part(3)]);
    let files = |message: &MessageRecord| -> Vec<String> {
        let all = message.attachments.iter();
        all.filter_map(|attachment| attachment.external_id.clone())
            .collect()
    };
    let grown = here.message("part1");
    assert_eq!(grown.id, desk.message("part2").id);
    assert_eq!(files(&grown), ["file 1", "file 2", "file 3"]);

    // At home another part came meanwhile, and one was taken back: a later export brings both, and takes nothing away.
    let at = Time::from_millis(desk.now);
    let taken_back = Event::Change {
        message: "part2".to_owned(),
        change: MessageChange::Deleted { at },
    };
    desk.deliver(&[part(4), taken_back]);
    let newer = exported(&mut desk, |_| {});
    assert!(!format!("{newer:?}").contains("text of part2"));
    assert_eq!(
        taken_in(&mut here, &newer).updated,
        2,
        "with its conversation"
    );
    let joined = here.message("part4");
    assert_eq!(joined.id, grown.id);
    assert_eq!(files(&joined), ["file 1", "file 3", "file 4"]);
    let head = here.store.head();
    taken_in(&mut here, &newer);
    assert_eq!(here.store.head(), head);
}

#[test]
fn a_picture_goes_over_with_its_contact_and_only_where_it_is_one() {
    let (_, lines) = one_talk();
    for (mime_type, shown) in [("image/png", true), ("text/html", false)] {
        let lines: Vec<Line> = lines
            .iter()
            .cloned()
            .map(|line| match line {
                Line::Contact(mut contact) => {
                    contact.avatar = Some(AvatarLine {
                        sha256: "ab".repeat(32),
                        mime_type: mime_type.to_owned(),
                    });
                    Line::Contact(contact)
                }
                other => other,
            })
            .collect();
        let mut here = other_desk();
        taken_in(&mut here, &lines);
        let contact = here
            .store
            .contacts(&scope(), None, 9)
            .expect("memory")
            .remove(0);
        let talk = here
            .store
            .conversations_after(&scope(), ConversationId(0), 9)
            .expect("memory")
            .remove(0);
        assert_eq!(contact.avatar.is_some(), shown, "{mime_type}");
        assert_eq!(talk.contact_avatar.is_some(), shown, "{mime_type}");
    }
}
