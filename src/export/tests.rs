//! What is written is read back as it was, and what is no whole export is refused with its line.

use std::collections::BTreeMap;

use deskbell_sdk::{AttachmentKind, DeliveryState, Direction, Time};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::lines::{
    ChannelLine, ContactLine, ConversationLine, Counts, End, FileLine, Header, Line, MergedLine,
    MessageLine, VERSION,
};
use super::{Check, CheckFault, read_line};
use crate::id::{AttachmentId, ContactId, ConversationId, MessageId, TeamId, UserId};
use crate::store::record::{
    Album, AlbumPart, AttachmentBytes, AttachmentRecord, AuthorRecord, AvatarRecord, ChannelNo,
    ContactRecord, ConversationRecord, DeliveryRecord, Edit, Identity, LastMessage, MessageChanges,
    MessageKind, MessageRecord, Place, Priority, ReactionRecord, Revision, Status,
};

const CHANNEL: ChannelNo = ChannelNo(3);

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,20}",
        "[\\x00-\\x7f]{0,12}",
        Just("Dobrý deň, \"kedy\" \\ príde?\n\t📦 </script>".to_owned()),
    ]
}

fn time() -> impl Strategy<Value = Time> {
    any::<i64>().prop_map(Time::from_millis)
}

fn degrees() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("a place is somewhere", |degrees| degrees.is_finite())
}

fn author() -> impl Strategy<Value = AuthorRecord> {
    prop_oneof![
        (any::<u64>(), of(words()))
            .prop_map(|(id, name)| AuthorRecord::Contact(ContactId(id), name)),
        (of(any::<u64>()), of(words()))
            .prop_map(|(id, name)| AuthorRecord::Staff(id.map(UserId), name)),
        of(words()).prop_map(AuthorRecord::Bot),
        Just(AuthorRecord::System),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    (time(), any::<u64>(), any::<u64>()).prop_map(|(sent_at, order, id)| Place {
        sent_at,
        order,
        id: MessageId(id),
    })
}

fn bytes() -> impl Strategy<Value = AttachmentBytes> {
    prop_oneof![
        Just(AttachmentBytes::None),
        words().prop_map(AttachmentBytes::Remote),
        words().prop_map(AttachmentBytes::Handle),
        "[0-9a-f]{64}".prop_map(AttachmentBytes::Stored),
        words().prop_map(AttachmentBytes::Failed),
        Just(AttachmentBytes::TooLarge),
        Just(AttachmentBytes::Expired),
    ]
}

fn kind() -> impl Strategy<Value = AttachmentKind> {
    proptest::sample::select(vec![
        AttachmentKind::Image,
        AttachmentKind::Audio,
        AttachmentKind::Video,
        AttachmentKind::File,
        AttachmentKind::Location,
        AttachmentKind::Sticker,
        AttachmentKind::Contact,
        AttachmentKind::Link,
        AttachmentKind::Story,
        AttachmentKind::Template,
        AttachmentKind::Unsupported,
    ])
}

fn attachment() -> impl Strategy<Value = AttachmentRecord> {
    (
        (
            any::<u64>(),
            kind(),
            of(words()),
            of(words()),
            of(any::<u64>()),
        ),
        (
            bytes(),
            of(degrees()),
            of(degrees()),
            of(words()),
            of(words()),
        ),
    )
        .prop_map(
            |(
                (id, kind, name, mime_type, size),
                (bytes, latitude, longitude, link, external_id),
            )| {
                AttachmentRecord {
                    id: AttachmentId(id),
                    kind,
                    name,
                    mime_type,
                    size,
                    bytes,
                    latitude,
                    longitude,
                    link,
                    external_id,
                }
            },
        )
}

fn state() -> impl Strategy<Value = DeliveryState> {
    proptest::sample::select(vec![
        DeliveryState::Queued,
        DeliveryState::Unknown,
        DeliveryState::Sent,
        DeliveryState::Failed,
        DeliveryState::Delivered,
        DeliveryState::Read,
    ])
}

fn changes() -> impl Strategy<Value = MessageChanges> {
    let edit =
        (any::<u64>(), time(), words()).prop_map(|(version, at, text)| Edit { version, at, text });
    let reaction = (words(), time(), of(words()), author()).prop_map(|(by, at, emoji, author)| {
        ReactionRecord {
            by,
            at,
            emoji,
            author,
        }
    });
    let delivery = (
        (state(), time(), of((words(), words(), any::<bool>()))),
        (any::<u64>(), of(any::<u32>())),
    )
        .prop_map(
            |((state, at, error), (attempt, sent_parts))| DeliveryRecord {
                state,
                at,
                error,
                attempt,
                sent_parts,
            },
        );
    (of(edit), vec(reaction, 0..3), of(time()), of(delivery)).prop_map(
        |(edit, reactions, deleted_at, delivery)| MessageChanges {
            edit,
            reactions,
            deleted_at,
            delivery,
        },
    )
}

fn metadata() -> impl Strategy<Value = BTreeMap<String, serde_json::Value>> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        words().prop_map(serde_json::Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(words(), inner, 0..3)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map(words(), value, 0..3)
}

fn album() -> impl Strategy<Value = Album> {
    let edit =
        (any::<u64>(), time(), words()).prop_map(|(version, at, text)| Edit { version, at, text });
    let part = (
        (words(), time(), any::<u64>(), of(words()), of(words())),
        (metadata(), vec(any::<u64>(), 0..3), of(edit), of(time())),
    )
        .prop_map(
            |(
                (external_id, sent_at, order, text, reply_to),
                (metadata, attachments, edit, deleted_at),
            )| AlbumPart {
                external_id,
                sent_at,
                order,
                text,
                reply_to,
                metadata,
                attachments: attachments.into_iter().map(AttachmentId).collect(),
                changes: MessageChanges {
                    edit,
                    deleted_at,
                    ..MessageChanges::default()
                },
            },
        );
    (words(), vec(part, 1..4)).prop_map(|(key, parts)| Album { key, parts })
}

fn message() -> impl Strategy<Value = MessageRecord> {
    let direction = proptest::sample::select(vec![Direction::Inbound, Direction::Outbound]);
    let kind = proptest::sample::select(vec![
        MessageKind::Message,
        MessageKind::Note,
        MessageKind::Activity,
    ]);
    (
        (
            any::<u64>(),
            any::<u32>(),
            any::<u64>(),
            direction,
            kind,
            author(),
        ),
        (
            of(words()),
            of(words()),
            of(words()),
            vec(attachment(), 0..3),
            of(words()),
        ),
        (
            time(),
            any::<u64>(),
            time(),
            metadata(),
            changes(),
            vec(of(words()), 0..3),
            of(album()),
            vec(revision(), 0..2),
        ),
    )
        .prop_map(
            |(
                (id, version, conversation, direction, kind, author),
                (external_id, text, html, attachments, reply_to),
                (sent_at, order, received_at, metadata, changes, part_ids, album, revisions),
            )| MessageRecord {
                album: album.map(Box::new),
                revisions,
                id: MessageId(id),
                version,
                channel: CHANNEL,
                conversation: ConversationId(conversation),
                direction,
                kind,
                author,
                external_id,
                text,
                html,
                attachments,
                reply_to,
                sent_at,
                order,
                received_at,
                metadata,
                changes,
                part_ids,
            },
        )
}

fn revision() -> impl Strategy<Value = Revision> {
    (time(), words()).prop_map(|(at, text)| Revision { at, text })
}

fn conversation() -> impl Strategy<Value = ConversationRecord> {
    let status = proptest::sample::select(vec![
        Status::Open,
        Status::Pending,
        Status::Snoozed,
        Status::Resolved,
    ]);
    let priority = proptest::sample::select(vec![
        Priority::Low,
        Priority::Normal,
        Priority::High,
        Priority::Urgent,
    ]);
    let last = (place(), words()).prop_map(|(place, preview)| LastMessage {
        place,
        preview,
        direction: Direction::Outbound,
    });
    let answered = prop_oneof![Just(Place::FIRST), place()];
    (
        (
            any::<u64>(),
            any::<u32>(),
            words(),
            any::<u64>(),
            of(words()),
            status,
        ),
        (
            of(any::<u64>()),
            of(any::<u64>()),
            vec(words(), 0..3),
            of(priority),
            of(words()),
        ),
        (
            of(time()),
            any::<u32>(),
            any::<u32>(),
            of(last),
            of(time()),
            answered,
        ),
        (
            of(time()),
            of(time()),
            of(time()),
            any::<u64>(),
            time(),
            time(),
        ),
    )
        .prop_map(
            |(
                (id, version, thread, contact, contact_name, status),
                (assignee, team, labels, priority, subject),
                (snoozed_until, unread_count, message_count, last_message, waiting_since, answered),
                (acted, delivered, read, staff_read, created_at, last_activity_at),
            )| ConversationRecord {
                contact_avatar: None,
                blocked: false,
                spam: unread_count % 2 == 1,
                mentioned: assignee.map(UserId).into_iter().collect(),
                last_said: None,
                id: ConversationId(id),
                version,
                channel: CHANNEL,
                thread,
                contact: ContactId(contact),
                contact_name,
                status,
                assignee: assignee.map(UserId),
                team: team.map(TeamId),
                labels,
                priority,
                subject,
                snoozed_until,
                unread_count,
                message_count,
                last_message,
                waiting_since,
                answered_up_to: answered,
                customer_acted_at: acted,
                delivered_up_to: delivered,
                read_up_to: read,
                staff_read_up_to: MessageId(staff_read),
                created_at,
                last_activity_at,
            },
        )
}

fn contact() -> impl Strategy<Value = ContactRecord> {
    let avatar = ("[0-9a-f]{64}", words())
        .prop_map(|(content, mime_type)| AvatarRecord { content, mime_type });
    let identity = (1..4_u16, words()).prop_map(|(channel, external_id)| Identity {
        channel: ChannelNo(channel),
        external_id,
    });
    (
        (any::<u64>(), any::<u32>(), of(words()), time(), of(words())),
        (
            of(words()),
            of(words()),
            vec(identity, 0..4),
            time(),
            time(),
            of(avatar),
        ),
    )
        .prop_map(
            |(
                (id, version, name, named_at, email),
                (phone, remark, identities, created_at, updated_at, avatar),
            )| ContactRecord {
                avatar,
                blocked: version % 2 == 1,
                id: ContactId(id),
                version,
                name,
                named_at,
                email,
                phone,
                remark,
                identities,
                created_at,
                updated_at,
            },
        )
}

/// Through the text of a line and back.
fn written_and_read(line: &Line) -> Line {
    let text = serde_json::to_vec(line).expect("plain data");
    assert!(!text.contains(&b'\n'), "one line");
    read_line(&text).unwrap_or_else(|bad| panic!("{bad}: {}", String::from_utf8_lossy(&text)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_is_read_as_it_was_written(record in message()) {
        let line = Line::Message(Box::new(MessageLine::of(&record, "shop".to_owned())));
        match written_and_read(&line) {
            Line::Message(read) => {
                prop_assert_eq!(&read.channel, "shop");
                prop_assert_eq!(read.into_record(CHANNEL), record);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_conversation_is_read_as_it_was_written(record in conversation()) {
        let line = Line::Conversation(Box::new(ConversationLine::of(&record, "shop".to_owned())));
        match written_and_read(&line) {
            Line::Conversation(read) => prop_assert_eq!(read.into_record(CHANNEL), record),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_contact_is_read_as_it_was_written(record in contact()) {
        let line = Line::Contact(ContactLine::of(&record, |no| format!("channel-{}", no.0)));
        match written_and_read(&line) {
            Line::Contact(read) => {
                let number = |slug: &str| slug.strip_prefix("channel-")?.parse().ok().map(ChannelNo);
                prop_assert_eq!(read.into_record(number), Ok(record));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
        // Whether it is a line does not matter here.
        let _ = read_line(text.as_bytes());
    }

    #[test]
    fn a_damaged_line_is_refused_or_read_and_nothing_else(record in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let line = Line::Message(Box::new(MessageLine::of(&record, "shop".to_owned())));
        let mut text = serde_json::to_vec(&line).expect("plain data");
        let at = at.index(text.len());
        text[at] = byte;
        let _ = read_line(&text);
        text.truncate(at);
        prop_assert!(read_line(&text).is_err(), "a cut line");
    }
}

#[test]
fn the_small_lines_are_read_as_they_were_written() {
    let at = Time::from_millis(1_790_000_000_123);
    let lines = [
        Line::Header(Header {
            version: VERSION,
            exported_at: at,
            daemon: "0.1.0".to_owned(),
        }),
        Line::Channel(ChannelLine {
            id: "shop-page".to_owned(),
            connector: "messenger".to_owned(),
            name: "Butik".to_owned(),
            created_at: at,
        }),
        Line::MergedContact(MergedLine {
            id: ContactId(1),
            into: ContactId(2),
            at,
        }),
        Line::File(FileLine {
            sha256: "0".repeat(64),
            mime_type: "image/png".to_owned(),
            size: 3,
            offset: 0,
            data: "YWJj".to_owned(),
        }),
        Line::End(End {
            counts: Counts {
                channel: 1,
                file: 7,
                ..Counts::default()
            },
        }),
    ];
    for line in lines {
        assert_eq!(written_and_read(&line), line);
    }
}

#[test]
fn what_is_read_tells_what_is_wrong_and_no_words_of_customers() {
    let cases = [
        ("", "", "it is damaged"),
        ("{\"type\":\"message\"", "", "it is damaged"),
        ("[1]", "", "no line of an export"),
        ("{\"kind\":\"x\"}", "", "no line of an export"),
        (
            "{\"type\":\"message\",\"id\":\"msg_0000000000001\"}",
            "",
            "a field is missing: `version`",
        ),
        (
            "{\"type\":\"deskbell-export\",\"version\":2,\"exported_at\":\"2026-11-21T12:00:00Z\",\"daemon\":\"9\"}",
            "/version",
            "take a newer one",
        ),
        (
            "{\"type\":\"merged_contact\",\"id\":\"secret words\",\"into\":\"cus_0000000000001\",\"at\":\"2026-11-21T12:00:00Z\"}",
            "/id",
            "a value that does not do",
        ),
        (
            "{\"type\":\"merged_contact\",\"id\":\"cus_0000000000001\",\"into\":\"cus_0000000000002\",\"at\":\"secret words\"}",
            "/at",
            "a value that does not do",
        ),
        ("{\"type\":\"file\",\"type\":\"file\"}", "", ""),
    ];
    for (text, pointer, words) in cases {
        let bad = read_line(text.as_bytes()).expect_err(text);
        assert_eq!(bad.pointer, pointer, "{text}");
        assert!(bad.detail.contains(words), "{text}: {}", bad.detail);
        assert!(!bad.to_string().contains("secret"), "{bad}");
    }
    let later = read_line(b"{\"type\":\"ring\",\"loud\":true}");
    assert_eq!(later, Ok(Line::Unknown("ring".to_owned())));
    let long = vec![b' '; super::lines::MAX_LINE_BYTES + 1];
    assert!(read_line(&long).is_err_and(|bad| bad.detail.contains("bytes")));
}

const HEADER: &str = "{\"type\":\"deskbell-export\",\"version\":1,\"exported_at\":\"2026-11-21T12:00:00Z\",\"daemon\":\"0.1.0\"}";
const CHANNEL_LINE: &str = "{\"type\":\"channel\",\"id\":\"a\",\"connector\":\"webchat\",\"name\":\"A\",\"created_at\":\"2026-11-21T12:00:00Z\"}";

fn end(channels: u64) -> String {
    let counts = Counts {
        channel: channels,
        ..Counts::default()
    };
    serde_json::to_string(&Line::End(End { counts })).expect("plain data")
}

fn checked(lines: &[&str]) -> Result<u64, CheckFault> {
    let mut check = Check::default();
    for line in lines {
        check.line(line.as_bytes())?;
    }
    check.finish()
}

#[test]
fn a_file_is_whole_or_refused_with_its_line() {
    let (none, one) = (end(0), end(1));
    assert_eq!(checked(&[HEADER, &none]), Ok(2));
    assert_eq!(
        checked(&[HEADER, CHANNEL_LINE, "{\"type\":\"ring\"}", &one]),
        Ok(4)
    );
    assert_eq!(checked(&[]), Err(CheckFault::Foreign));
    for foreign in ["", "id;name;text", "{\"version\":1}", CHANNEL_LINE, &none] {
        assert_eq!(
            checked(&[foreign, &none]),
            Err(CheckFault::Foreign),
            "{foreign}"
        );
    }
    assert_eq!(checked(&[HEADER, CHANNEL_LINE]), Err(CheckFault::Cut(2)));
    assert_eq!(
        checked(&[HEADER, &none, CHANNEL_LINE]),
        Err(CheckFault::Longer(3))
    );
    assert_eq!(
        checked(&[HEADER, HEADER, &none]),
        Err(CheckFault::Longer(2))
    );
    assert_eq!(
        checked(&[HEADER, CHANNEL_LINE, &none]),
        Err(CheckFault::Counts(3))
    );
    assert_eq!(checked(&[HEADER, &one]), Err(CheckFault::Counts(2)));
    let newer = HEADER.replace("\"version\":1", "\"version\":2");
    for damaged in [
        checked(&[HEADER, &CHANNEL_LINE[..40], &one]),
        checked(&[&newer]),
    ] {
        let fault = damaged.expect_err("damaged");
        assert!(matches!(fault, CheckFault::Line { .. }), "{fault}");
    }
}
