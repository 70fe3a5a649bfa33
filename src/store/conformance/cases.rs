//! Reads with known answers.

use std::sync::Arc;

use super::changes;
use super::everything::{all_feed, all_inbox, all_messages};
use super::fixtures::{
    at, began, came, commit, contact, conversation, group, message, moved, put, seen,
};
use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::record::MessageKind;
use crate::store::{
    ChannelNo, FeedPage, Group, InboxPage, MessageRecord, Place, Scope, Store, Table,
};

/// A case: it begins with an empty store.
type Case = fn(&dyn Store);

/// All cases.
pub(super) const CASES: &[(&str, Case)] = &[
    ("an empty store", an_empty_store),
    (
        "a group is visible when it is committed",
        a_group_is_visible_when_it_is_committed,
    ),
    (
        "nothing is seen outside the scope",
        nothing_is_seen_outside_the_scope,
    ),
    (
        "a conversation reads by place",
        a_conversation_reads_by_place,
    ),
    (
        "the feed merges channels by arrival",
        the_feed_merges_channels_by_arrival,
    ),
    (
        "pages neither skip nor repeat while more comes",
        pages_neither_skip_nor_repeat_while_more_comes,
    ),
    (
        "the inbox follows the last activity",
        the_inbox_follows_the_last_activity,
    ),
    (
        "everything is read on from an id",
        changes::everything_is_read_on_from_an_id,
    ),
    (
        "a message that changes keeps one row",
        changes::a_message_that_changes_keeps_one_row,
    ),
    (
        "identities move between contacts",
        changes::identities_move_between_contacts,
    ),
    (
        "side tables are scanned by prefix",
        changes::side_tables_are_scanned_by_prefix,
    ),
    (
        "of one object the last image of a group stands",
        changes::of_one_object_the_last_image_of_a_group_stands,
    ),
    (
        "the log is read from anywhere",
        changes::the_log_is_read_from_anywhere,
    ),
    (
        "what is erased leaves no row",
        changes::what_is_erased_leaves_no_row,
    ),
];

/// The ids of messages.
pub(super) fn ids(messages: &[Arc<MessageRecord>]) -> Vec<u64> {
    messages.iter().map(|message| message.id.0).collect()
}

/// Who sees all.
pub(super) fn desk() -> Scope {
    Scope::whole_desk()
}

fn an_empty_store(store: &dyn Store) {
    assert_eq!((store.head(), store.oldest(), store.last_id()), (0, 1, 0));
    assert_eq!(store.events(0, 10).unwrap(), []);
    assert_eq!(
        ids(&store
            .feed(
                &desk(),
                &FeedPage {
                    limit: 10,
                    ..FeedPage::default()
                }
            )
            .unwrap()),
        [0; 0]
    );
    assert!(
        store
            .inbox(
                &desk(),
                &InboxPage {
                    limit: 10,
                    ..InboxPage::default()
                }
            )
            .unwrap()
            .is_empty()
    );
    assert!(store.contacts(&desk(), None, 10).unwrap().is_empty());
    assert_eq!(store.get(Table::Tokens, b"none").unwrap(), None);
    store.commit(Group::default()).unwrap();
    assert_eq!(store.head(), 0);
}

fn a_group_is_visible_when_it_is_committed(store: &dyn Store) {
    let talk = conversation(10, 1, 5, at(0));
    let note = message(20, &talk, at(1));
    let person = contact(5, &[(1, "ada")]);
    let puts = vec![put(Table::Cursors, b"here", Some(b"42"))];
    store
        .commit(group(
            0,
            vec![seen(&person), began(&talk), came(&note, &talk)],
            puts,
        ))
        .unwrap();
    assert_eq!(
        (store.head(), store.oldest(), store.last_id()),
        (3, 1, 1_003)
    );
    let bodies: Vec<_> = store
        .events(0, 10)
        .unwrap()
        .into_iter()
        .map(|event| event.body)
        .collect();
    assert_eq!(bodies, [seen(&person), began(&talk), came(&note, &talk)]);
    assert_eq!(
        store
            .message(&desk(), ChannelNo(1), MessageId(20))
            .unwrap()
            .as_deref(),
        Some(&note)
    );
    assert_eq!(
        store.message(&desk(), ChannelNo(2), MessageId(20)).unwrap(),
        None
    );
    assert_eq!(
        store
            .message_by_external_id(&desk(), ChannelNo(1), "mid.20")
            .unwrap(),
        Some(MessageId(20))
    );
    assert_eq!(
        store
            .message_by_external_id(&desk(), ChannelNo(2), "mid.20")
            .unwrap(),
        None
    );
    assert_eq!(
        store
            .conversation(&desk(), ConversationId(10))
            .unwrap()
            .as_deref(),
        Some(&talk)
    );
    assert_eq!(
        store.conversation(&desk(), ConversationId(11)).unwrap(),
        None
    );
    let by_thread = store
        .conversation_by_thread(&desk(), ChannelNo(1), "thread-10")
        .unwrap();
    assert_eq!(by_thread, Some(ConversationId(10)));
    assert_eq!(
        store.contact(&desk(), ContactId(5)).unwrap().as_deref(),
        Some(&person)
    );
    assert_eq!(
        store
            .contact_by_identity(&desk(), ChannelNo(1), "ada")
            .unwrap(),
        Some(ContactId(5))
    );
    assert_eq!(
        store.conversations_of(&desk(), ContactId(5)).unwrap(),
        [ConversationId(10)]
    );
    assert_eq!(
        store.get(Table::Cursors, b"here").unwrap().as_deref(),
        Some(b"42".as_slice())
    );
    // A group without events leaves the log alone and keeps its id.
    store
        .commit(Group {
            last_id: 9_000,
            puts: vec![put(Table::Cursors, b"here", None)],
            ..Group::default()
        })
        .unwrap();
    assert_eq!((store.head(), store.last_id()), (3, 9_000));
    assert_eq!(store.get(Table::Cursors, b"here").unwrap(), None);
}

fn nothing_is_seen_outside_the_scope(store: &dyn Store) {
    let talk = conversation(10, 1, 5, at(0));
    let words = message(20, &talk, at(1));
    commit(
        store,
        vec![
            seen(&contact(5, &[(1, "ada")])),
            began(&talk),
            came(&words, &talk),
        ],
    )
    .unwrap();
    for (scope, shown) in [
        (Scope::of_channels([ChannelNo(1)]), true),
        (Scope::of_channels([ChannelNo(1), ChannelNo(2)]), true),
        (Scope::of_all_channels(), true),
        (Scope::of_channels([ChannelNo(2)]), false),
        (Scope::of_channels([]), false),
    ] {
        let one = usize::from(shown);
        let here = Some(vec![ChannelNo(1)]);
        assert_eq!(
            store
                .feed(
                    &scope,
                    &FeedPage {
                        limit: 5,
                        ..FeedPage::default()
                    }
                )
                .unwrap()
                .len(),
            one
        );
        assert_eq!(
            store
                .feed(
                    &scope,
                    &FeedPage {
                        limit: 5,
                        channels: here.clone(),
                        before: None
                    }
                )
                .unwrap()
                .len(),
            one
        );
        assert_eq!(
            store
                .inbox(
                    &scope,
                    &InboxPage {
                        limit: 5,
                        ..InboxPage::default()
                    }
                )
                .unwrap()
                .len(),
            one
        );
        assert_eq!(
            store
                .inbox(
                    &scope,
                    &InboxPage {
                        limit: 5,
                        channels: here,
                        behind: None
                    }
                )
                .unwrap()
                .len(),
            one
        );
        assert_eq!(
            store
                .messages(&scope, talk.id, Place::LAST, 5)
                .unwrap()
                .len(),
            one
        );
        assert_eq!(
            store
                .message(&scope, ChannelNo(1), words.id)
                .unwrap()
                .is_some(),
            shown
        );
        assert_eq!(
            store
                .message_by_external_id(&scope, ChannelNo(1), "mid.20")
                .unwrap()
                .is_some(),
            shown
        );
        assert_eq!(
            store.conversation(&scope, talk.id).unwrap().is_some(),
            shown
        );
        assert_eq!(
            store
                .conversation_by_thread(&scope, ChannelNo(1), "thread-10")
                .unwrap()
                .is_some(),
            shown
        );
        assert_eq!(
            store.conversations_of(&scope, ContactId(5)).unwrap().len(),
            one
        );
        assert_eq!(
            store.contact(&scope, ContactId(5)).unwrap().is_some(),
            shown
        );
        assert_eq!(
            store
                .contact_by_identity(&scope, ChannelNo(1), "ada")
                .unwrap()
                .is_some(),
            shown
        );
        assert_eq!(store.contacts(&scope, None, 5).unwrap().len(), one);
    }
}

fn a_conversation_reads_by_place(store: &dyn Store) {
    let talk = conversation(10, 1, 5, at(0));
    // In the order of arrival: time, the platform's order.
    let arrivals = [
        (at(5), 0),
        (at(1), 7),
        (at(1), 3),
        (at(1), 3),
        (at(-900), 0),
        (at(5), 0),
    ];
    let messages: Vec<_> = (20..)
        .zip(arrivals)
        .map(|(id, (sent_at, order))| MessageRecord {
            order,
            ..message(id, &talk, sent_at)
        })
        .collect();
    commit(
        store,
        messages.iter().map(|words| came(words, &talk)).collect(),
    )
    .unwrap();
    let newest_first = [25, 20, 21, 23, 22, 24];
    assert_eq!(
        ids(&store.messages(&desk(), talk.id, Place::LAST, 10).unwrap()),
        newest_first
    );
    assert_eq!(
        ids(&store
            .messages(&desk(), talk.id, messages[3].place(), 10)
            .unwrap()),
        [22, 24]
    );
    assert_eq!(
        ids(&store.messages(&desk(), talk.id, Place::FIRST, 10).unwrap()),
        [0; 0]
    );
    assert_eq!(ids(&all_messages(store, &desk(), talk.id)), newest_first);
    assert_eq!(
        ids(&store.messages(&desk(), talk.id, Place::LAST, 0).unwrap()),
        [0; 0]
    );
}

fn the_feed_merges_channels_by_arrival(store: &dyn Store) {
    let talks: Vec<_> = (1..=5)
        .map(|channel| conversation(u64::from(channel), channel, 5, at(0)))
        .collect();
    commit(store, talks.iter().map(began).collect()).unwrap();
    let of = |id: u64| &talks[usize::try_from(id * id % 5).unwrap()];
    for id in 100..160 {
        let mut words = message(id, of(id), at(0));
        if id % 7 == 0 {
            words.kind = MessageKind::Note;
        }
        commit(store, vec![came(&words, of(id))]).unwrap();
    }
    let wanted = |channels: &[u16]| -> Vec<u64> {
        let in_channels = |id: &u64| channels.contains(&of(*id).channel.0) && !id.is_multiple_of(7);
        (100..160).rev().filter(in_channels).collect()
    };
    assert_eq!(
        ids(&all_feed(store, &desk(), None)),
        wanted(&[1, 2, 3, 4, 5])
    );
    let three = Scope::of_channels([ChannelNo(1), ChannelNo(2), ChannelNo(9)]);
    assert_eq!(ids(&all_feed(store, &three, None)), wanted(&[1, 2]));
    assert_eq!(
        ids(&all_feed(
            store,
            &desk(),
            Some(vec![ChannelNo(5), ChannelNo(2)])
        )),
        wanted(&[2, 5])
    );
    assert_eq!(
        ids(&all_feed(
            store,
            &three,
            Some(vec![ChannelNo(5), ChannelNo(2)])
        )),
        wanted(&[2])
    );
    assert_eq!(ids(&all_feed(store, &desk(), Some(Vec::new()))), [0; 0]);
    let page = FeedPage {
        before: Some(MessageId(130)),
        limit: 1,
        channels: None,
    };
    assert_eq!(ids(&store.feed(&desk(), &page).unwrap()), [129]);
}

fn pages_neither_skip_nor_repeat_while_more_comes(store: &dyn Store) {
    let talks: Vec<_> = (1..=3)
        .map(|channel| conversation(u64::from(channel), channel, 5, at(0)))
        .collect();
    let say = |id: u64| {
        let talk = &talks[usize::try_from(id % 3).unwrap()];
        commit(store, vec![came(&message(id, talk, at(0)), talk)]).unwrap();
    };
    (100..130).for_each(say);
    let (mut feed, mut talked) = (Vec::new(), Vec::new());
    let (mut before, mut before_place) = (None, Place::LAST);
    for round in 0..20_u64 {
        let page = store
            .feed(
                &desk(),
                &FeedPage {
                    before,
                    limit: 2,
                    channels: None,
                },
            )
            .unwrap();
        before = page.last().map(|message| message.id).or(before);
        feed.extend(ids(&page));
        let page = store
            .messages(&desk(), talks[0].id, before_place, 1)
            .unwrap();
        before_place = page.last().map_or(before_place, |message| message.place());
        talked.extend(ids(&page));
        say(200 + round);
    }
    assert_eq!(feed, (100..130).rev().collect::<Vec<_>>());
    let of_one: Vec<_> = (100..130).rev().filter(|id| id % 3 == 0).collect();
    assert_eq!(talked, of_one);
}

fn the_inbox_follows_the_last_activity(store: &dyn Store) {
    let mut talks: Vec<_> = (1..=9)
        .map(|id| conversation(id, 1 + (id % 3) as u16, 5, at(id.cast_signed())))
        .collect();
    commit(store, talks.iter().map(began).collect()).unwrap();
    let inbox = |scope: &Scope| -> Vec<u64> {
        all_inbox(store, scope)
            .iter()
            .map(|talk| talk.id.0)
            .collect()
    };
    assert_eq!(inbox(&desk()), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    // Up, down, and to the same moment as another.
    for (place, activity) in [(0, 100), (8, -100), (4, 100)] {
        talks[place].last_activity_at = at(activity);
        commit(store, vec![moved(&talks[place])]).unwrap();
    }
    assert_eq!(inbox(&desk()), [5, 1, 8, 7, 6, 4, 3, 2, 9]);
    assert_eq!(
        inbox(&Scope::of_channels([ChannelNo(1), ChannelNo(2)])),
        [1, 7, 6, 4, 3, 9]
    );
    let page = InboxPage {
        behind: Some((at(100), ConversationId(5))),
        limit: 2,
        channels: Some(vec![ChannelNo(2)]),
    };
    let found: Vec<_> = store
        .inbox(&desk(), &page)
        .unwrap()
        .iter()
        .map(|talk| talk.id.0)
        .collect();
    assert_eq!(found, [1, 7]);
    assert_eq!(
        store
            .inbox(
                &desk(),
                &InboxPage {
                    limit: 1,
                    ..InboxPage::default()
                }
            )
            .unwrap()[0]
            .as_ref(),
        &talks[4]
    );
}
