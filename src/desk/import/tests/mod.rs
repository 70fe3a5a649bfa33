//! What holds of history that goes from one desk to another, whatever happens meanwhile.

mod joining;

use std::collections::BTreeMap;

use deskbell_sdk::{Direction, Event, MessageChange, Time};
use proptest::prelude::*;

use super::{ChannelImported, Import, ImportChannel, Imported, Record};
use crate::blobs::Blobs;
use crate::channels::Channels;
use crate::desk::access::OpenChannel;
use crate::desk::changing::ChangeConversation;
use crate::desk::contacts::MergeContacts;
use crate::desk::conversations::MarkRead;
use crate::desk::properties::{events, message};
use crate::desk::testing::{CHANNEL, Desk};
use crate::export::lines::{ContactLine, ConversationLine, Line, MessageLine};
use crate::export::{Check, Exporter, Source, read_line};
use crate::id::{ConversationId, MessageId};
use crate::store::entry::{ChannelEntry, Entry, MergedContact};
use crate::store::record::{ChannelNo, Status};
use crate::store::{Read, Scope};

/// The slug of the channel of these tests.
const SLUG: &str = "page";

fn scope() -> Scope {
    Scope::whole_desk()
}

/// What the exporter needs beside the store.
struct Around {
    channels: Channels,
    blobs: Blobs,
    _folder: tempfile::TempDir,
}

impl Around {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let entry = ChannelEntry {
            no: CHANNEL,
            id: SLUG.to_owned(),
            connector: "messenger".to_owned(),
            name: "The page".to_owned(),
            created_at: Time::from_millis(0),
        };
        Self {
            channels: Channels::new(Vec::new(), vec![entry]),
            blobs: Blobs::open(folder.path()).expect("a folder"),
            _folder: folder,
        }
    }

    fn source<'a>(&'a self, desk: &'a Desk) -> Source<'a> {
        Source {
            store: &desk.store,
            channels: &self.channels,
            blobs: &self.blobs,
        }
    }
}

/// The lines of an export, a few records at a time; in between `meanwhile` happens.
fn exported(desk: &mut Desk, mut meanwhile: impl FnMut(&mut Desk)) -> Vec<Line> {
    let around = Around::new();
    let now = Time::from_millis(desk.now);
    let mut exporter = Exporter::new(around.source(desk), scope(), now).in_steps(1, 1);
    let mut text = Vec::new();
    while let Some(chunk) = exporter.next_chunk(around.source(desk)).expect("read") {
        text.extend_from_slice(&chunk);
        meanwhile(desk);
    }
    let (mut check, mut lines) = (Check::default(), Vec::new());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").expect("whole lines");
        check.line(line).expect("a whole export");
        lines.push(read_line(line).expect("checked"));
    }
    check.finish().expect("a whole export");
    lines
}

/// A desk that has a channel of its own, so that the imported one has another number.
fn other_desk() -> Desk {
    let mut desk = Desk::new();
    desk.now += 60_000;
    desk.decide(&[OpenChannel {
        id: "own".to_owned(),
        connector: "webchat".to_owned(),
        name: "Own".to_owned(),
        free: ChannelNo(1),
    }]);
    desk
}

/// Imports lines in requests of these sizes.
fn import(desk: &mut Desk, lines: &[Line], sizes: &[usize]) -> Imported {
    let mut sum = Imported::default();
    let mut channels: BTreeMap<String, ChannelNo> = BTreeMap::new();
    let mut rest = lines;
    for size in sizes.iter().cycle() {
        let (some, later) = rest.split_at((*size).min(rest.len()));
        let mut records = Vec::new();
        for line in some.iter().cloned() {
            let number = |slug: &str| channels.get(slug).copied();
            records.push(match line {
                Line::Channel(line) => {
                    let channel = ImportChannel {
                        id: line.id,
                        connector: line.connector,
                        name: line.name,
                        created_at: line.created_at,
                    };
                    match desk.decide(&[channel]).remove(0) {
                        ChannelImported::New(entry) | ChannelImported::Known(entry) => {
                            channels.insert(entry.id, entry.no);
                        }
                        other => panic!("{other:?}"),
                    }
                    continue;
                }
                Line::Contact(line) => {
                    Record::Contact(line.into_record(number).expect("a known channel"))
                }
                Line::MergedContact(line) => Record::Merged {
                    from: line.id,
                    into: line.into,
                    at: line.at,
                },
                Line::Conversation(line) => {
                    let channel = number(&line.channel).expect("a known channel");
                    Record::Conversation(Box::new(line.into_record(channel)))
                }
                Line::Message(line) => {
                    let channel = number(&line.channel).expect("a known channel");
                    Record::Message(Box::new(line.into_record(channel)))
                }
                Line::Header(_) | Line::File(_) | Line::End(_) | Line::Unknown(_) => continue,
            });
        }
        let import = Import {
            records: (1..).zip(records).collect(),
            bytes: 0,
        };
        let imported = desk.decide(&[import]).remove(0);
        sum.new += imported.new;
        sum.updated += imported.updated;
        sum.known += imported.known;
        if imported.refused.is_some() {
            sum.refused = imported.refused;
            return sum;
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    sum
}

/// Takes in what must not be refused.
fn taken_in(desk: &mut Desk, lines: &[Line]) -> Imported {
    let imported = import(desk, lines, &[1_000]);
    assert_eq!(imported.refused, None);
    imported
}

/// Everything of the channel, as lines: contacts, conversations, entries.
fn everything(desk: &Desk, channel: ChannelNo) -> Vec<Line> {
    let of = Scope::of_channels([channel]);
    let contacts = desk.store.contacts(&of, None, 1_000).expect("memory");
    let conversations = desk
        .store
        .conversations_after(&of, ConversationId(0), 1_000)
        .expect("memory");
    let messages = desk
        .store
        .messages_after(&of, MessageId(0), 1_000)
        .expect("memory");
    let contacts = contacts
        .iter()
        .map(|one| Line::Contact(ContactLine::of(one, |_| SLUG.to_owned())));
    let conversations = conversations
        .iter()
        .map(|one| Line::Conversation(Box::new(ConversationLine::of(one, SLUG.to_owned()))));
    let messages = messages.iter().map(|one| {
        let mut line = MessageLine::of(one, SLUG.to_owned());
        line.forget_what_was_taken_back();
        Line::Message(Box::new(line))
    });
    contacts.chain(conversations).chain(messages).collect()
}

/// The number under which the other desk has the channel.
const THERE: ChannelNo = ChannelNo(2);

/// What people do beside the platform.
#[derive(Clone, Debug)]
enum Deed {
    Arrives(Event),
    Merge,
    Read,
    Resolve,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let beside = prop_oneof![
        2 => Just(Deed::Merge),
        2 => Just(Deed::Read),
        1 => Just(Deed::Resolve),
    ];
    (
        events(),
        proptest::collection::vec((beside, 0..12_usize), 0..6),
    )
        .prop_map(|(events, beside)| {
            let mut deeds: Vec<_> = events.into_iter().map(Deed::Arrives).collect();
            for (deed, at) in beside {
                deeds.insert(at.min(deeds.len()), deed);
            }
            deeds
        })
}

fn carry_out(desk: &mut Desk, deed: &Deed) {
    let conversations = desk
        .store
        .conversations_after(&scope(), ConversationId(0), 9)
        .expect("memory");
    match deed {
        Deed::Arrives(event) => {
            desk.deliver(std::slice::from_ref(event));
        }
        Deed::Merge => {
            let contacts = desk.store.contacts(&scope(), None, 9).expect("memory");
            if let [newer, older, ..] = contacts.as_slice() {
                desk.decide(&[MergeContacts {
                    scope: scope(),
                    into: older.id,
                    from: newer.id,
                }]);
            }
        }
        Deed::Read => {
            for conversation in conversations {
                desk.decide(&[MarkRead {
                    reader_name: "Ana".to_owned(),
                    scope: scope(),
                    conversation: conversation.id,
                    up_to: None,
                    reader: "tok_1".to_owned(),
                }]);
            }
        }
        Deed::Resolve => {
            for conversation in conversations {
                desk.decide(&[ChangeConversation {
                    author: crate::store::record::AuthorRecord::System,
                    expected_assignee: None,
                    spam: None,
                    scope: scope(),
                    conversation: conversation.id,
                    status: Some(Status::Resolved),
                    assignee: None,
                    team: None,
                    labels: Some(vec!["done".to_owned()]),
                    priority: None,
                    snoozed_until: None,
                    subject: None,
                }]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_export_that_is_written_while_much_happens_is_the_desk_at_one_moment(
        before in deeds(),
        during in deeds(),
        each in 1..4_usize,
        sizes in proptest::collection::vec(1..30_usize, 1..4),
        cut in 0..120_usize,
    ) {
        let mut desk = Desk::new();
        for deed in &before {
            carry_out(&mut desk, deed);
        }
        let mut later = during.iter();
        let mut moments = vec![everything(&desk, CHANNEL)];
        let lines = exported(&mut desk, |desk| {
            for deed in later.by_ref().take(each) {
                carry_out(desk, deed);
            }
            moments.push(everything(desk, CHANNEL));
        });
        let mut there = other_desk();
        let mut again = other_desk();
        import(&mut again, &lines[..cut.min(lines.len())], &sizes);
        for desk in [&mut there, &mut again] {
            let imported = import(desk, &lines, &sizes);
            prop_assert_eq!(imported.refused, None);
            let head = desk.store.head();
            let imported = import(desk, &lines, &[7]);
            prop_assert_eq!((imported.new, imported.updated, imported.refused), (0, 0, None));
            prop_assert_eq!(desk.store.head(), head, "a second time changes nothing");
        }
        let here = everything(&there, THERE);
        prop_assert_eq!(&here, &everything(&again, THERE), "and so does a first that was cut");
        prop_assert!(moments.contains(&here), "it is the desk as it stood at one moment");
        // A second export, in which nothing happens any more, brings the other desk to where this one is.
        let newer = exported(&mut desk, |_| {});
        prop_assert_eq!(import(&mut there, &newer, &sizes).refused, None);
        prop_assert_eq!(everything(&there, THERE), everything(&desk, CHANNEL));
    }
}

#[test]
fn a_desk_at_rest_goes_over_whole_with_what_was_merged_before() {
    let mut desk = Desk::new();
    desk.deliver(&[
        message("t1", "m1", Direction::Inbound, 1),
        message("t2", "m2", Direction::Inbound, 2),
        message("t1", "m3", Direction::Outbound, 3),
    ]);
    carry_out(&mut desk, &Deed::Merge);
    let lines = exported(&mut desk, |_| {});
    let mut there = other_desk();
    let imported = taken_in(&mut there, &lines);
    assert_eq!((imported.updated, imported.known), (0, 0));
    assert_eq!(everything(&there, THERE), everything(&desk, CHANNEL));
    let merged = |desk: &Desk| MergedContact::scan(&desk.store, &[], None, 9).expect("memory");
    assert_eq!(merged(&there), merged(&desk));
    assert_eq!(merged(&desk).len(), 1);
    // A webhook that is delivered again finds the message there.
    let known = message("t2", "m2", Direction::Inbound, 2);
    let outcome = there.decide(&[crate::desk::arrivals::Arrivals {
        events: vec![(THERE, known)],
        received_at: Time::from_millis(there.now),
        cursor: None,
        raw: None,
    }]);
    assert_eq!((outcome[0].new, outcome[0].known), (0, 1));
}

#[test]
fn what_was_taken_back_is_not_taken_away() {
    let mut desk = Desk::new();
    desk.deliver(&[
        message("t1", "m1", Direction::Inbound, 1),
        Event::Change {
            message: "m1".to_owned(),
            change: MessageChange::Edited {
                text: "still a secret".to_owned(),
                version: 1,
                at: Time::from_millis(desk.now),
            },
        },
        Event::Change {
            message: "m1".to_owned(),
            change: MessageChange::Deleted {
                at: Time::from_millis(desk.now),
            },
        },
    ]);
    let lines = exported(&mut desk, |_| {});
    let text = format!("{lines:?}");
    assert!(!text.contains("still a secret") && !text.contains("text of m1"));
    let mut there = other_desk();
    taken_in(&mut there, &lines);
    assert_eq!(everything(&there, THERE), everything(&desk, CHANNEL));
}

/// The lines of a desk with one conversation of two messages, and that desk.
fn one_talk() -> (Desk, Vec<Line>) {
    let mut desk = Desk::new();
    desk.deliver(&[
        message("t1", "m1", Direction::Inbound, 1),
        message("t1", "m2", Direction::Inbound, 2),
    ]);
    let lines = exported(&mut desk, |_| {});
    (desk, lines)
}
