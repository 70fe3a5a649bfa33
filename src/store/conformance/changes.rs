//! Cases of what changes: messages, identities, side tables, the log.

use super::cases::{desk, ids};
use super::everything::{all_feed, all_inbox, all_messages};
use super::fixtures::{
    at, began, came, changed, commit, contact, conversation, group, message, moved, put, renamed,
    seen,
};
use crate::id::{ConversationId, MessageId};
use crate::store::record::MessageKind;
use crate::store::{
    ChannelNo, ConversationRecord, EventBody, MessageRecord, RawDelivery, RawPlace, Removed, Scope,
    Store, StoreError, Table,
};

pub(super) fn a_message_that_changes_keeps_one_row(store: &dyn Store) {
    let talk = conversation(10, 1, 5, at(0));
    let mut words = MessageRecord {
        external_id: None,
        ..message(20, &talk, at(1))
    };
    commit(store, vec![came(&words, &talk)]).unwrap();
    assert_eq!(
        store
            .message_by_external_id(&desk(), ChannelNo(1), "mid.20")
            .unwrap(),
        None
    );
    words.external_id = Some("mid.20".to_owned());
    words.version = 2;
    commit(store, vec![changed(&words, &talk)]).unwrap();
    words.text = None;
    words.version = 3;
    commit(store, vec![changed(&words, &talk)]).unwrap();
    assert_eq!(
        store
            .message_by_external_id(&desk(), ChannelNo(1), "mid.20")
            .unwrap(),
        Some(MessageId(20))
    );
    assert_eq!(
        store
            .message(&desk(), ChannelNo(1), words.id)
            .unwrap()
            .as_deref(),
        Some(&words)
    );
    assert_eq!(ids(&all_feed(store, &desk(), None)), [20]);
    assert_eq!(ids(&all_messages(store, &desk(), talk.id)), [20]);
    assert_eq!(store.events(0, 10).unwrap().len(), 3);
}

pub(super) fn identities_move_between_contacts(store: &dyn Store) {
    let (mut one, mut two) = (
        contact(1, &[(1, "ada"), (2, "ada")]),
        contact(2, &[(1, "bob")]),
    );
    let mut talk = conversation(10, 1, 1, at(0));
    commit(store, vec![seen(&one), seen(&two), began(&talk)]).unwrap();
    let whose = |channel: u16, name: &str| {
        store
            .contact_by_identity(&desk(), ChannelNo(channel), name)
            .unwrap()
    };
    assert_eq!(
        (whose(1, "ada"), whose(2, "ada"), whose(1, "bob")),
        (Some(one.id), Some(one.id), Some(two.id))
    );
    // The one that gains is told first, in one group.
    two.identities.push(one.identities.remove(0));
    commit(store, vec![renamed(&two), renamed(&one)]).unwrap();
    assert_eq!(
        (whose(1, "ada"), whose(2, "ada"), whose(1, "bob")),
        (Some(two.id), Some(one.id), Some(two.id))
    );
    let second_channel = Scope::of_channels([ChannelNo(2)]);
    assert!(store.contact(&second_channel, one.id).unwrap().is_some());
    assert!(store.contact(&second_channel, two.id).unwrap().is_none());
    // Merged away: the conversation goes over, the name too.
    two.identities.append(&mut one.identities);
    talk.contact = two.id;
    let gone = EventBody::ContactDeleted {
        contact: one.id,
        channels: vec![ChannelNo(2)],
    };
    commit(store, vec![gone, renamed(&two), moved(&talk)]).unwrap();
    assert_eq!(
        (whose(1, "ada"), whose(2, "ada"), whose(1, "bob")),
        (Some(two.id), Some(two.id), Some(two.id))
    );
    assert_eq!(store.contact(&desk(), one.id).unwrap(), None);
    assert!(store.conversations_of(&desk(), one.id).unwrap().is_empty());
    assert_eq!(store.conversations_of(&desk(), two.id).unwrap(), [talk.id]);
    // And gone for good.
    commit(
        store,
        vec![EventBody::ContactDeleted {
            contact: two.id,
            channels: Vec::new(),
        }],
    )
    .unwrap();
    assert_eq!(
        (whose(1, "ada"), whose(2, "ada"), whose(1, "bob")),
        (None, None, None)
    );
    assert!(store.contacts(&desk(), None, 9).unwrap().is_empty());
}

pub(super) fn side_tables_are_scanned_by_prefix(store: &dyn Store) {
    let keys: [&[u8]; 7] = [b"", b"a", b"a\x00", b"ab", b"a\xff", b"b", b"\xff\xff"];
    let mut puts: Vec<_> = keys
        .iter()
        .rev()
        .map(|key| put(Table::Cursors, key, Some(key)))
        .collect();
    puts.push(put(Table::Settings, b"ab", Some(b"elsewhere")));
    puts.push(put(Table::Idempotency, b"ab", Some(b"elsewhere")));
    puts.push(put(Table::Settings, b"twice", Some(b"first")));
    puts.push(put(Table::Settings, b"twice", Some(b"last")));
    puts.push(put(Table::Settings, b"never", Some(b"x")));
    puts.push(put(Table::Settings, b"never", None));
    store.commit(group(0, Vec::new(), puts)).unwrap();
    let scan = |prefix: &[u8], after: Option<&[u8]>, limit: usize| -> Vec<Vec<u8>> {
        store
            .scan(Table::Cursors, prefix, after, limit)
            .unwrap()
            .into_iter()
            .map(|(key, _)| key)
            .collect()
    };
    assert_eq!(scan(b"", None, 99), keys);
    assert_eq!(scan(b"a", None, 99), keys[1..5]);
    assert_eq!(scan(b"a", Some(b"a"), 2), keys[2..4]);
    assert_eq!(scan(b"a", Some(b"a\x00"), 99), keys[3..5]);
    assert_eq!(scan(b"a", Some(b"a\xff"), 99), keys[..0]);
    assert_eq!(scan(b"b", Some(b"a"), 99), keys[5..6]);
    assert_eq!(scan(b"a", Some(b"b"), 99), keys[..0]);
    assert_eq!(scan(b"\xff", None, 99), keys[6..]);
    assert_eq!(scan(b"", Some(b""), 1), keys[1..2]);
    assert_eq!(
        store.get(Table::Settings, b"twice").unwrap().as_deref(),
        Some(b"last".as_slice())
    );
    assert_eq!(store.get(Table::Settings, b"never").unwrap(), None);
    assert_eq!(store.head(), 0);
}

pub(super) fn of_one_object_the_last_image_of_a_group_stands(store: &dyn Store) {
    let mut talk = conversation(10, 1, 5, at(0));
    let mut words = message(20, &talk, at(1));
    let mut bodies = vec![began(&talk), came(&words, &talk)];
    for version in 2..6 {
        talk.version = version;
        talk.last_activity_at = at(i64::from(version));
        words.version = version;
        bodies.push(changed(&words, &talk));
    }
    commit(store, bodies).unwrap();
    assert_eq!(all_inbox(store, &desk()).len(), 1);
    assert_eq!(
        store
            .conversation(&desk(), talk.id)
            .unwrap()
            .unwrap()
            .version,
        5
    );
    assert_eq!(
        store
            .message(&desk(), ChannelNo(1), words.id)
            .unwrap()
            .unwrap()
            .version,
        5
    );
    assert_eq!(store.head(), 6);
}

pub(super) fn the_log_is_read_from_anywhere(store: &dyn Store) {
    let talk = conversation(10, 1, 5, at(0));
    for first in (0..60).step_by(3) {
        let words = (0..3)
            .map(|next| came(&message(100 + first + next, &talk, at(0)), &talk))
            .collect();
        commit(store, words).unwrap();
    }
    for after in 0..=61 {
        let seqs: Vec<_> = store
            .events(after, 5)
            .unwrap()
            .into_iter()
            .map(|event| event.seq)
            .collect();
        assert_eq!(seqs, (after + 1..=60).take(5).collect::<Vec<_>>());
    }
    assert_eq!(store.events(0, usize::MAX).unwrap().len(), 60);
    assert!(store.events(u64::MAX, 5).unwrap().is_empty());
    // Numbers go on without gaps: an engine may refuse others, and must not take them silently as these.
    if let Err(error) = store.commit(group(70, vec![began(&talk)], Vec::new())) {
        assert!(matches!(error, StoreError::NotWritten(_)), "{error}");
        assert_eq!(store.head(), 60);
    }
}

pub(super) fn everything_is_read_on_from_an_id(store: &dyn Store) {
    let (one, two) = (conversation(1, 1, 5, at(5)), conversation(2, 2, 5, at(4)));
    let mut note = message(12, &two, at(1));
    note.kind = MessageKind::Note;
    let bodies = vec![
        seen(&contact(5, &[(1, "a")])),
        began(&two),
        began(&one),
        came(&message(13, &one, at(2)), &one),
        came(&message(11, &two, at(3)), &two),
        came(&note, &two),
        came(&message(10, &one, at(9)), &one),
    ];
    commit(store, bodies).unwrap();
    let read = |scope: &Scope, after: u64, limit| {
        ids(&store
            .messages_after(scope, MessageId(after), limit)
            .expect("read"))
    };
    // By arrival, whatever the platform's time says; notes, too.
    assert_eq!(read(&desk(), 0, 99), [10, 11, 12, 13]);
    assert_eq!(read(&desk(), 10, 2), [11, 12]);
    assert_eq!(read(&desk(), 13, 9), Vec::<u64>::new());
    assert_eq!(read(&desk(), u64::MAX, 9), Vec::<u64>::new());
    assert_eq!(read(&Scope::of_channels([ChannelNo(2)]), 0, 99), [11, 12]);
    let begun = |scope: &Scope, after: u64, limit| -> Vec<u64> {
        let found = store.conversations_after(scope, ConversationId(after), limit);
        let found = found.expect("read");
        found.iter().map(|conversation| conversation.id.0).collect()
    };
    assert_eq!(begun(&desk(), 0, 9), [1, 2]);
    assert_eq!(begun(&desk(), 0, 1), [1]);
    assert_eq!(begun(&desk(), 1, 9), [2]);
    assert_eq!(begun(&desk(), u64::MAX, 9), Vec::<u64>::new());
    assert_eq!(begun(&Scope::of_channels([ChannelNo(2)]), 0, 9), [2]);
}

pub(super) fn what_is_erased_leaves_no_row(store: &dyn Store) {
    let person = contact(5, &[(1, "ada")]);
    let (gone, stays) = (conversation(10, 1, 5, at(0)), conversation(11, 1, 5, at(1)));
    let words = [message(20, &gone, at(1)), message(21, &stays, at(2))];
    commit(
        store,
        vec![
            seen(&person),
            began(&gone),
            began(&stays),
            came(&words[0], &gone),
            came(&words[1], &stays),
        ],
    )
    .unwrap();
    // In the same step the thread begins anew, under another id.
    let anew = ConversationRecord {
        thread: gone.thread.clone(),
        ..conversation(12, 1, 5, at(3))
    };
    let again = MessageRecord {
        external_id: words[0].external_id.clone(),
        ..message(22, &anew, at(3))
    };
    let mut erasing = group(
        store.head(),
        vec![began(&anew), came(&again, &anew)],
        Vec::new(),
    );
    erasing.removed = vec![
        Removed::Message {
            channel: ChannelNo(1),
            id: words[0].id,
        },
        Removed::Conversation(gone.id),
    ];
    store.commit(erasing).unwrap();
    assert_eq!(ids(&all_feed(store, &desk(), None)), [22, 21]);
    assert_eq!(all_inbox(store, &desk()).len(), 2);
    assert_eq!(store.conversation(&desk(), gone.id).unwrap(), None);
    assert!(all_messages(store, &desk(), gone.id).is_empty());
    assert_eq!(
        store.conversations_of(&desk(), person.id).unwrap(),
        [stays.id, anew.id]
    );
    let thread = store.conversation_by_thread(&desk(), ChannelNo(1), &gone.thread);
    assert_eq!(thread.unwrap(), Some(anew.id));
    let name = words[0].external_id.as_deref().unwrap();
    let named = store.message_by_external_id(&desk(), ChannelNo(1), name);
    assert_eq!(named.unwrap(), Some(again.id));
    // And without a successor nothing is left of it. The conversation goes first: its messages are found until they go.
    let mut erasing = group(store.head(), Vec::new(), Vec::new());
    erasing.removed = vec![Removed::Conversation(anew.id)];
    store.commit(erasing).unwrap();
    assert_eq!(ids(&all_messages(store, &desk(), anew.id)), [22]);
    let mut erasing = group(store.head(), Vec::new(), Vec::new());
    erasing.removed = vec![Removed::Message {
        channel: ChannelNo(1),
        id: again.id,
    }];
    store.commit(erasing).unwrap();
    assert!(all_messages(store, &desk(), anew.id).is_empty());
    let named = store.message_by_external_id(&desk(), ChannelNo(1), name);
    assert_eq!(named.unwrap(), None);
    let thread = store.conversation_by_thread(&desk(), ChannelNo(1), &gone.thread);
    assert_eq!(thread.unwrap(), None);
    assert_eq!(ids(&all_feed(store, &desk(), None)), [21]);
}

pub(super) fn deliveries_are_kept_as_they_came(store: &dyn Store) {
    let talk = conversation(10, 1, 5, at(0));
    let body = |number: usize| format!("delivery {number}").into_bytes();
    let kept = |number| RawDelivery::new(ChannelNo(1), at(0), body(number));
    // None, one, and several in a group.
    let mut number = 0;
    for count in [0, 1, 3, 0, 2, 5] {
        let mut group = group(store.head(), vec![began(&talk)], Vec::new());
        group.raws = (number..number + count).map(kept).collect();
        number += count;
        store.commit(group).unwrap();
    }
    for limit in [1, 2, 4, 100] {
        let (mut after, mut read) = (RawPlace::default(), Vec::new());
        loop {
            let some = store.raws(after, limit).unwrap();
            assert!(some.len() <= limit);
            let Some((last, _)) = some.last() else { break };
            assert!(*last > after);
            after = *last;
            read.extend(
                some.into_iter()
                    .map(|(_, raw)| raw.body().unwrap().into_owned()),
            );
        }
        assert_eq!(read, (0..number).map(body).collect::<Vec<_>>(), "{limit}");
    }
    assert!(store.raws(RawPlace::default(), 0).unwrap().is_empty());
}
