//! What holds of the desk whatever happens: any order, repetition, batching and restart of the same deliveries gives
//! the same desk (the order of arrival apart).

use std::collections::BTreeMap;

use deskbell_sdk::{
    Activity, AttachmentKind, Author, DeliveryState, Direction, Event, MessageChange,
    NewAttachment, NewMessage, Person, Receipt, Time,
};
use proptest::prelude::*;

use super::changing::ChangeConversation;
use super::conversations::{MarkRead, Marked};
use super::replies::{Kind, Write};
use super::testing::{BASE_MS, Desk};
use crate::id::MessageId;
use crate::store::memory::MemoryStore;
use crate::store::record::{AuthorRecord, Place, Status};
use crate::store::{FeedPage, InboxPage, Read, Scope};

fn at(step: i64) -> Time {
    Time::from_millis(BASE_MS + step * 1000)
}

pub(super) fn message(thread: &str, external_id: &str, direction: Direction, step: i64) -> Event {
    let customer = Person {
        id: thread.to_owned(),
        name: Some(format!("Name {thread} {step}")),
        email: None,
    };
    let author = match direction {
        Direction::Inbound => Author::Contact(customer.clone()),
        Direction::Outbound => Author::Staff { name: None },
    };
    Event::Message(Box::new(NewMessage {
        thread: thread.to_owned(),
        customer,
        external_id: external_id.to_owned(),
        direction,
        author,
        text: Some(format!("text of {external_id}")),
        attachments: vec![NewAttachment::of_kind(AttachmentKind::Image)],
        reply_to: None,
        sent_at: at(step),
        order: 0,
        metadata: BTreeMap::new(),
        send_token: None,
        album: None,
    }))
}

/// A part of one of two albums, the customer's and the shop's. Each part has a time of its own, or shares it and has an
/// order; other messages stand between the parts.
fn album_part(number: i64) -> Event {
    let (thread, direction) = if number % 2 == 0 {
        ("t1", Direction::Inbound)
    } else {
        ("t2", Direction::Outbound)
    };
    let Event::Message(mut part) = message(thread, &format!("p{number}"), direction, 0) else {
        unreachable!("a message")
    };
    part.album = Some(format!("album of {thread}"));
    part.text = (number % 3 != 0).then(|| format!("caption {number}"));
    part.sent_at = at(number / 4 * 5).plus_millis(250);
    part.customer.name = Some(format!("Name {thread} by part {number}"));
    part.order = u64::try_from(number).expect("small");
    part.reply_to = (number > 3).then(|| format!("m{number}"));
    part.metadata = BTreeMap::from([("part".to_owned(), number.into())]);
    part.attachments[0].external_id = Some(format!("file {number}"));
    Event::Message(part)
}

/// The desk in words, without what arrival decides: ids, arrival times, and the time of a delivery state.
fn in_words(store: &MemoryStore) -> Vec<String> {
    let scope = Scope::whole_desk();
    let page = InboxPage {
        limit: 1000,
        ..InboxPage::default()
    };
    let mut words = Vec::new();
    for conversation in store.inbox(&scope, &page).expect("memory") {
        let messages = store
            .messages(&scope, conversation.id, Place::LAST, 10_000)
            .expect("memory");
        let last = conversation
            .last_message
            .as_ref()
            .expect("a conversation begins with an entry");
        let contact = store
            .contact(&scope, conversation.contact)
            .expect("memory")
            .expect("a contact");
        words.push(format!(
            "{} by {:?} ({:?} in the list): {:?}, {} unread, {} messages, waits {}, acted {:?}, delivered {:?}, read {:?}, last {:?} at {}",
            conversation.thread, contact.name, conversation.contact_name, conversation.status,
            conversation.unread_count, conversation.message_count, conversation.waiting_since.is_some(),
            conversation.customer_acted_at, conversation.delivered_up_to, conversation.read_up_to,
            last.preview, last.place.sent_at,
        ));
        for message in messages {
            let author = match &message.author {
                AuthorRecord::Contact(..) => "customer",
                AuthorRecord::Staff(..) => "staff",
                AuthorRecord::Bot(_) => "bot",
                AuthorRecord::System => "system",
            };
            let reactions: Vec<_> = message
                .changes
                .reactions
                .iter()
                .map(|one| (&one.by, one.at, &one.emoji))
                .collect();
            words.push(format!(
                "{} {author} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                conversation.thread,
                message.part_ids,
                message.reply_to,
                message.metadata,
                message.external_id,
                message.text,
                message.changes.edit,
                message.changes.deleted_at,
                message
                    .changes
                    .delivery
                    .as_ref()
                    .map(|delivery| delivery.state),
                reactions,
                message
                    .attachments
                    .iter()
                    .map(|attachment| &attachment.external_id)
                    .collect::<Vec<_>>(),
            ));
        }
    }
    words.sort();
    words
}

/// Everything that can happen in two threads, each message with its own time.
pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let thread = || prop_oneof![Just("t1"), Just("t2")];
    let id = || {
        prop_oneof![
            2 => (0..8_i64).prop_map(|number| format!("m{number}")),
            1 => (0..8_i64).prop_map(|number| format!("p{number}")),
        ]
    };
    let part = (0..8_i64).prop_map(album_part);
    let step = || 0..20_i64;
    // A message's thread, direction and time follow from its id, as they do at a platform.
    let message = (0..8_i64).prop_map(|number| {
        let direction = if number % 3 == 0 {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        message(
            if number % 2 == 0 { "t1" } else { "t2" },
            &format!("m{number}"),
            direction,
            number * 2,
        )
    });
    let edit = (id(), 0..4_u64).prop_map(|(message, version)| Event::Change {
        message,
        change: MessageChange::Edited {
            text: format!("edit {version}"),
            version,
            at: at(30),
        },
    });
    let reaction =
        (0..8_i64, step(), proptest::option::of("[ab]")).prop_map(|(number, step, emoji)| {
            let thread = if number % 2 == 0 { "t1" } else { "t2" };
            Event::Change {
                message: format!("m{number}"),
                change: MessageChange::Reacted {
                    thread: Some(thread.to_owned()),
                    by: Author::Contact(Person::with_id(thread)),
                    emoji,
                    at: at(step),
                },
            }
        });
    let deletion = (id(), step()).prop_map(|(message, step)| Event::Change {
        message,
        change: MessageChange::Deleted { at: at(step) },
    });
    let receipt = (thread(), any::<bool>(), step()).prop_map(|(thread, read, step)| {
        Event::Receipt(Receipt {
            thread: thread.to_owned(),
            state: if read {
                DeliveryState::Read
            } else {
                DeliveryState::Delivered
            },
            watermark: at(step),
            at: at(step),
        })
    });
    let activity = (thread(), step()).prop_map(|(thread, step)| {
        Event::Activity(Activity {
            thread: thread.to_owned(),
            customer: Person::with_id(thread),
            external_id: format!("a{thread}{step}"),
            text: "came by an ad".to_owned(),
            // Never at the time of a message, where arrival would decide which stands last.
            at: at(step).plus_millis(500),
            by_customer: true,
            metadata: BTreeMap::new(),
        })
    });
    let one = prop_oneof![4 => message, 4 => part, 1 => edit, 2 => reaction, 1 => deletion, 2 => receipt, 1 => activity];
    proptest::collection::vec(one, 1..40)
}

fn in_batches(events: &[Event], sizes: &[usize]) -> Vec<String> {
    let mut desk = Desk::new();
    let mut rest = events;
    for size in sizes.iter().cycle() {
        let (batch, later) = rest.split_at((*size).min(rest.len()));
        desk.deliver(batch);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    in_words(&desk.store)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn f21_any_order_repetition_and_batching_gives_the_same_desk(
        (events, shuffled) in events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        sizes in proptest::collection::vec(1..9_usize, 1..5),
        again in 0..40_usize,
    ) {
        // In a conversation of which only receipts are known there is nothing to compare.
        let once = in_batches(&events, &[1]);
        prop_assert_eq!(&once, &in_batches(&events, &sizes), "batched");
        prop_assert_eq!(&once, &in_batches(&shuffled, &sizes), "shuffled");
        let mut repeated = shuffled.clone();
        repeated.extend(events.iter().take(again).cloned());
        repeated.extend(events.iter().cloned());
        prop_assert_eq!(&once, &in_batches(&repeated, &sizes), "repeated");
    }
}

#[test]
fn f19_a_repeated_delivery_changes_nothing() {
    let mut desk = Desk::new();
    let events = [
        message("t1", "m1", Direction::Inbound, 1),
        message("t1", "m2", Direction::Outbound, 2),
    ];
    assert_eq!(desk.deliver(&events).new, 2);
    let head = desk.store.head();
    for _ in 0..5 {
        let again = desk.deliver(&events);
        assert_eq!((again.new, again.known), (0, 2));
    }
    assert_eq!(desk.store.head(), head, "no event was written");
}

#[test]
fn w17_a_receipt_never_moves_what_the_customer_wrote_nor_what_is_not_yet_written() {
    let mut desk = Desk::new();
    desk.deliver(&[message("t1", "in", Direction::Inbound, 1)]);
    let forged = MessageChange::Delivery {
        state: DeliveryState::Read,
        at: at(2),
        error: None,
    };
    desk.deliver(&[Event::Change {
        message: "in".to_owned(),
        change: forged,
    }]);
    assert_eq!(desk.message("in").changes.delivery, None);

    let far = Time::from_millis(BASE_MS + 10_i64.pow(12));
    let receipt = Receipt {
        thread: "t1".to_owned(),
        state: DeliveryState::Read,
        watermark: far,
        at: far,
    };
    desk.deliver(&[Event::Receipt(receipt)]);
    desk.now += 10 * 60 * 1000;
    let step = (desk.now - BASE_MS) / 1000;
    desk.deliver(&[message("t1", "later", Direction::Outbound, step)]);
    let delivery = desk.message("later").changes.delivery.expect("outbound");
    assert_eq!(delivery.state, DeliveryState::Sent);
}

#[test]
fn w17_a_state_never_goes_back() {
    let mut desk = Desk::new();
    desk.deliver(&[message("t1", "out", Direction::Outbound, 1)]);
    for (state, stands) in [
        (DeliveryState::Read, DeliveryState::Read),
        (DeliveryState::Delivered, DeliveryState::Read),
        (DeliveryState::Sent, DeliveryState::Read),
        (DeliveryState::Failed, DeliveryState::Read),
    ] {
        let change = MessageChange::Delivery {
            state,
            at: at(5),
            error: None,
        };
        desk.deliver(&[Event::Change {
            message: "out".to_owned(),
            change,
        }]);
        assert_eq!(
            desk.message("out")
                .changes
                .delivery
                .expect("outbound")
                .state,
            stands
        );
    }
}

#[test]
fn the_oldest_unanswered_message_waits_and_an_answer_ends_it() {
    let mut desk = Desk::new();
    let scope = Scope::whole_desk();
    let waiting = |desk: &Desk| {
        let page = InboxPage {
            limit: 1,
            ..InboxPage::default()
        };
        desk.store.inbox(&scope, &page).expect("memory")[0].clone()
    };
    desk.deliver(&[message("t1", "m1", Direction::Inbound, 1)]);
    let first = waiting(&desk).waiting_since.expect("waits");
    desk.deliver(&[message("t1", "m2", Direction::Inbound, 2)]);
    assert_eq!(waiting(&desk).waiting_since, Some(first));
    desk.deliver(&[message("t1", "out", Direction::Outbound, 3)]);
    assert_eq!(waiting(&desk).waiting_since, None);
    assert_eq!(
        waiting(&desk).unread_count,
        2,
        "answered elsewhere is not read here"
    );
    desk.deliver(&[message("t1", "late", Direction::Inbound, 2)]);
    assert_eq!(
        waiting(&desk).waiting_since,
        None,
        "written before the answer"
    );
    desk.deliver(&[message("t1", "m3", Direction::Inbound, 4)]);
    assert!(waiting(&desk).waiting_since.is_some());
}

#[test]
fn reading_counts_by_arrival_so_that_a_late_message_stays_unread() {
    let mut desk = Desk::new();
    let scope = Scope::whole_desk();
    for step in 1..=5 {
        desk.deliver(&[message(
            "t1",
            &format!("m{step}"),
            Direction::Inbound,
            step * 2,
        )]);
    }
    let third = desk.message("m3");
    let read = |up_to: Option<MessageId>| MarkRead {
        reader_name: "Ana".to_owned(),
        scope: scope.clone(),
        conversation: third.conversation,
        up_to,
        reader: "usr_1".to_owned(),
    };
    let unread = |marked: &Marked| match marked {
        Marked::Done(conversation) => conversation.unread_count,
        other => panic!("{other:?}"),
    };
    assert_eq!(unread(&desk.decide(&[read(Some(third.id))])[0]), 2);
    desk.deliver(&[message("t1", "late", Direction::Inbound, 1)]);
    assert_eq!(unread(&desk.decide(&[read(Some(third.id))])[0]), 3);
    assert_eq!(unread(&desk.decide(&[read(None)])[0]), 0);
    assert!(matches!(
        desk.decide(&[read(Some(MessageId(1)))])[0],
        Marked::NoMessage
    ));
}

#[test]
fn f11_a_clock_that_went_back_puts_nothing_before_what_was_there() {
    for back_ms in [1_000, 3_600_000, 10 * 365 * 86_400_000] {
        let mut desk = Desk::new();
        desk.now = BASE_MS + 10_000;
        desk.deliver(&[message("t1", "m1", Direction::Inbound, 9)]);
        let conversation = desk.message("m1").conversation;
        desk.now -= back_ms;
        let write = Write {
            scope: Scope::whole_desk(),
            conversation,
            author: AuthorRecord::Staff(None, None),
            owner: "tok_1".to_owned(),
            text: Some("an answer".to_owned()),
            attachments: Vec::new(),
            reply_to: None,
            kind: Kind::ServedHere,
            seen: None,
            mentions: Vec::new(),
            idempotency: None,
        };
        desk.decide(&[write]);
        // The platform's clock is right: its times are no nonsense, and its receipts reach what they say.
        desk.deliver(&[message("t1", "m2", Direction::Inbound, 12)]);
        assert_eq!(desk.message("m2").sent_at, at(12));
        // What has no time of a platform's, as in the website chat, is dated here.
        let Event::Message(mut undated) = message("t2", "m3", Direction::Inbound, 0) else {
            unreachable!("a message")
        };
        undated.sent_at = Time::default();
        desk.deliver(&[Event::Message(undated)]);
        assert!(desk.message("m3").sent_at >= at(10), "{back_ms}");
        let order = desk
            .store
            .messages(&Scope::whole_desk(), conversation, Place::LAST, 9);
        let texts: Vec<_> = order
            .expect("memory")
            .iter()
            .rev()
            .map(|message| message.text.clone().expect("words"))
            .collect();
        assert_eq!(texts, ["text of m1", "an answer", "text of m2"]);
        let scope = Scope::whole_desk();
        let known = desk.store.conversation(&scope, conversation);
        let known = known.expect("memory").expect("there");
        assert!(known.waiting_since.is_some(), "m2 is not answered");
    }
}

#[test]
fn f11_a_machine_that_begins_without_the_time_believes_the_platform() {
    let mut desk = Desk::new();
    desk.now = 1_000;
    for (id, step) in [("m2", 2), ("m1", 1), ("m3", 3)] {
        desk.deliver(&[message("t1", id, Direction::Inbound, step)]);
        assert_eq!(desk.message(id).sent_at, at(step));
    }
}

#[test]
fn an_inbound_message_opens_a_resolved_conversation() {
    let mut desk = Desk::new();
    desk.deliver(&[message("t1", "m1", Direction::Inbound, 1)]);
    let conversation = desk.message("m1").conversation;
    let resolve = ChangeConversation {
        author: crate::store::record::AuthorRecord::System,
        expected_assignee: None,
        spam: None,
        scope: Scope::whole_desk(),
        conversation,
        status: Some(Status::Resolved),
        assignee: None,
        team: None,
        labels: Some(vec![
            "b".to_owned(),
            "a".to_owned(),
            "b".to_owned(),
            " ".to_owned(),
        ]),
        priority: None,
        snoozed_until: None,
        subject: None,
    };
    let resolved = desk.decide(&[resolve]).remove(0).done().expect("there");
    assert_eq!(
        (resolved.status, resolved.labels.as_slice()),
        (Status::Resolved, &["a".to_owned(), "b".to_owned()][..])
    );
    desk.deliver(&[message("t1", "m2", Direction::Inbound, 2)]);
    let now = desk
        .store
        .conversation(&Scope::whole_desk(), conversation)
        .expect("memory")
        .expect("there");
    assert_eq!(now.status, Status::Open);
    assert_eq!(
        desk.store
            .feed(
                &Scope::whole_desk(),
                &FeedPage {
                    limit: 9,
                    ..FeedPage::default()
                }
            )
            .expect("memory")
            .len(),
        2
    );
}
