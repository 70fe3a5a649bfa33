//! Records for the tests of the store. Everybody in them is invented.

use std::collections::BTreeMap;
use std::sync::Arc;

use deskbell_sdk::{AttachmentKind, Direction, Time};

use crate::id::{AttachmentId, ContactId, ConversationId, MessageId};
use crate::store::record::{
    AttachmentBytes, AttachmentRecord, AuthorRecord, AvatarRecord, Identity, LastMessage,
    MessageChanges, MessageKind, Status,
};
use crate::store::{
    ChannelNo, ContactRecord, ConversationRecord, EventBody, Group, LogEvent, MessageRecord, Place,
    Put, RawDelivery, Store, StoreError, Table,
};

/// The time `ms` milliseconds after the beginning of the tests' world.
pub(in crate::store) fn at(ms: i64) -> Time {
    Time::from_millis(1_700_000_000_000 + ms)
}

/// A customer's message.
pub(in crate::store) fn message(
    id: u64,
    conversation: &ConversationRecord,
    sent_at: Time,
) -> MessageRecord {
    MessageRecord {
        id: MessageId(id),
        version: 1,
        channel: conversation.channel,
        conversation: conversation.id,
        direction: Direction::Inbound,
        kind: MessageKind::Message,
        author: AuthorRecord::Contact(conversation.contact, Some("Ada".to_owned())),
        external_id: Some(format!("mid.{id}")),
        text: Some(format!("Is number {id} still to be had?")),
        html: None,
        attachments: vec![AttachmentRecord {
            id: AttachmentId(id),
            kind: AttachmentKind::Image,
            name: Some("vase.jpg".to_owned()),
            mime_type: Some("image/jpeg".to_owned()),
            size: Some(1234),
            bytes: AttachmentBytes::Remote("https://pictures.example/vase.jpg".to_owned()),
            latitude: Some(52.5),
            longitude: None,
            link: None,
            external_id: None,
        }],
        reply_to: None,
        sent_at,
        order: 0,
        received_at: sent_at,
        metadata: BTreeMap::from([(
            "tag".to_owned(),
            serde_json::json!({"list": [1, null, "two", 3.5, true]}),
        )]),
        changes: MessageChanges::default(),
        part_ids: Vec::new(),
        album: None,
        revisions: Vec::new(),
    }
}

/// A conversation in a thread of its own.
pub(in crate::store) fn conversation(
    id: u64,
    channel: u16,
    contact: u64,
    activity: Time,
) -> ConversationRecord {
    ConversationRecord {
        id: ConversationId(id),
        version: 1,
        channel: ChannelNo(channel),
        thread: format!("thread-{id}"),
        contact: ContactId(contact),
        contact_name: Some("Ada".to_owned()),
        status: Status::Open,
        assignee: None,
        team: None,
        labels: vec!["vase".to_owned()],
        priority: None,
        subject: None,
        snoozed_until: None,
        unread_count: 1,
        message_count: 1,
        last_message: Some(LastMessage {
            place: Place {
                sent_at: activity,
                order: 0,
                id: MessageId(id),
            },
            preview: "Is it".to_owned(),
            direction: Direction::Inbound,
        }),
        waiting_since: Some(activity),
        answered_up_to: Place::FIRST,
        customer_acted_at: Some(activity),
        delivered_up_to: None,
        read_up_to: None,
        staff_read_up_to: MessageId(0),
        created_at: activity,
        last_activity_at: activity,
        contact_avatar: Some("0f".repeat(32)),
        ring: None,
        spam: false,
        blocked: false,
        mentioned: Vec::new(),
        last_said: None,
    }
}

/// A contact that is known under these ids.
pub(in crate::store) fn contact(id: u64, identities: &[(u16, &str)]) -> ContactRecord {
    ContactRecord {
        id: ContactId(id),
        version: 1,
        name: Some(format!("Ada the {id}th")),
        named_at: at(0),
        email: None,
        phone: None,
        remark: None,
        identities: identities
            .iter()
            .map(|(channel, name)| Identity {
                channel: ChannelNo(*channel),
                external_id: (*name).to_owned(),
            })
            .collect(),
        created_at: at(0),
        updated_at: at(0),
        avatar: Some(AvatarRecord {
            content: "0f".repeat(32),
            mime_type: "image/png".to_owned(),
        }),
        blocked: false,
    }
}

/// A message came.
pub(in crate::store) fn came(
    message: &MessageRecord,
    conversation: &ConversationRecord,
) -> EventBody {
    EventBody::MessageCreated {
        message: Arc::new(message.clone()),
        conversation: Arc::new(conversation.clone()),
    }
}

/// A message changed.
pub(in crate::store) fn changed(
    message: &MessageRecord,
    conversation: &ConversationRecord,
) -> EventBody {
    EventBody::MessageUpdated {
        message: Arc::new(message.clone()),
        conversation: Arc::new(conversation.clone()),
    }
}

/// A conversation began.
pub(in crate::store) fn began(conversation: &ConversationRecord) -> EventBody {
    EventBody::ConversationCreated {
        conversation: Arc::new(conversation.clone()),
    }
}

/// A conversation changed.
pub(in crate::store) fn moved(conversation: &ConversationRecord) -> EventBody {
    EventBody::ConversationUpdated {
        conversation: Arc::new(conversation.clone()),
    }
}

/// A contact was seen.
pub(in crate::store) fn seen(contact: &ContactRecord) -> EventBody {
    EventBody::ContactCreated {
        contact: Arc::new(contact.clone()),
    }
}

/// A contact changed.
pub(in crate::store) fn renamed(contact: &ContactRecord) -> EventBody {
    EventBody::ContactUpdated {
        contact: Arc::new(contact.clone()),
    }
}

/// A group of these events, numbered on from `head`.
pub(in crate::store) fn group(head: u64, bodies: Vec<EventBody>, puts: Vec<Put>) -> Group {
    let seqs = head + 1..;
    let last_id = 1_000 + head + bodies.len() as u64;
    let raws = vec![RawDelivery::new(
        ChannelNo(1),
        at(0),
        br#"{"object":"page"}"#,
    )];
    let events = seqs
        .zip(bodies)
        .map(|(seq, body)| LogEvent {
            seq,
            at: at(0),
            body,
            hops: 0,
        })
        .collect();
    Group {
        events,
        puts,
        raws,
        last_id,
        removed: Vec::new(),
    }
}

/// Commits events.
pub(in crate::store) fn commit(
    store: &dyn Store,
    bodies: Vec<EventBody>,
) -> Result<(), StoreError> {
    store.commit(group(store.head(), bodies, Vec::new()))
}

/// An entry of a side table.
pub(in crate::store) fn put(table: Table, key: &[u8], value: Option<&[u8]>) -> Put {
    Put {
        table,
        key: key.to_vec(),
        value: value.map(<[u8]>::to_vec),
    }
}
