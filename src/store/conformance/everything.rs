//! Everything that can be read of a store, so that two can be compared.

use std::sync::Arc;

use deskbell_sdk::Time;

use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::{
    ChannelNo, ContactRecord, ConversationRecord, FeedPage, InboxPage, LogEvent, MessageRecord,
    Place, Read, Scope, Store, Table,
};

/// Channels of the tests' world.
pub(super) const CHANNELS: u16 = 5;

const TABLES: [Table; 3] = [Table::Cursors, Table::Tokens, Table::Settings];

/// All answers of a store.
#[derive(Debug, PartialEq)]
pub(in crate::store) struct Everything {
    head: u64,
    oldest: u64,
    last_id: u64,
    events: Vec<LogEvent>,
    views: Vec<View>,
    tables: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// A message by its name and by its id.
type OfMessage = (MessageId, Option<MessageId>, Option<Arc<MessageRecord>>);
/// A conversation by its thread and by its id, and its messages.
type OfConversation = (
    Option<ConversationId>,
    Option<Arc<ConversationRecord>>,
    Vec<Arc<MessageRecord>>,
);
/// A contact by its id, its conversations, and itself by each identity.
type OfContact = (
    Option<Arc<ContactRecord>>,
    Vec<ConversationId>,
    Vec<Option<ContactId>>,
);

/// What one scope shows.
#[derive(Debug, PartialEq)]
struct View {
    feed: Vec<Arc<MessageRecord>>,
    feed_of_two: Vec<Arc<MessageRecord>>,
    inbox: Vec<Arc<ConversationRecord>>,
    contacts: Vec<Arc<ContactRecord>>,
    entries: Vec<Arc<MessageRecord>>,
    conversations: Vec<Arc<ConversationRecord>>,
    by_message: Vec<OfMessage>,
    by_conversation: Vec<OfConversation>,
    by_contact: Vec<OfContact>,
}

/// Reads everything, page by page.
pub(in crate::store) fn everything(store: &dyn Store) -> Everything {
    let scopes = [
        Scope::whole_desk(),
        Scope::of_channels([ChannelNo(1)]),
        Scope::of_channels([ChannelNo(2), ChannelNo(4)]),
        Scope::of_channels([]),
    ];
    Everything {
        head: store.head(),
        oldest: store.oldest(),
        last_id: store.last_id(),
        events: all_events(store),
        views: scopes.iter().map(|scope| view(store, scope)).collect(),
        tables: TABLES
            .iter()
            .map(|table| all_entries(store, *table))
            .collect(),
    }
}

/// All but the events and their numbers: the desk, however much of its log is kept.
pub(in crate::store) fn everything_but_the_log(store: &dyn Store) -> Everything {
    Everything {
        head: 0,
        oldest: 0,
        events: Vec::new(),
        ..everything(store)
    }
}

fn all_events(store: &dyn Read) -> Vec<LogEvent> {
    let mut events: Vec<LogEvent> = Vec::new();
    loop {
        let page = store
            .events(events.last().map_or(0, |event| event.seq), 7)
            .unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

/// The whole feed, by pages.
pub(super) fn all_feed(
    store: &dyn Read,
    scope: &Scope,
    channels: Option<Vec<ChannelNo>>,
) -> Vec<Arc<MessageRecord>> {
    let mut feed: Vec<Arc<MessageRecord>> = Vec::new();
    loop {
        let before = feed.last().map(|message| message.id);
        let page = store
            .feed(
                scope,
                &FeedPage {
                    channels: channels.clone(),
                    before,
                    limit: 6,
                },
            )
            .unwrap();
        if page.is_empty() {
            return feed;
        }
        feed.extend(page);
    }
}

/// The whole inbox, by pages.
pub(super) fn all_inbox(store: &dyn Read, scope: &Scope) -> Vec<Arc<ConversationRecord>> {
    let mut inbox: Vec<Arc<ConversationRecord>> = Vec::new();
    loop {
        let behind: Option<(Time, ConversationId)> =
            inbox.last().map(|last| (last.last_activity_at, last.id));
        let page = store
            .inbox(
                scope,
                &InboxPage {
                    channels: None,
                    behind,
                    limit: 4,
                },
            )
            .unwrap();
        if page.is_empty() {
            return inbox;
        }
        inbox.extend(page);
    }
}

/// All entries in the order of arrival, by pages.
fn all_entries_by_arrival(store: &dyn Read, scope: &Scope) -> Vec<Arc<MessageRecord>> {
    let mut entries: Vec<Arc<MessageRecord>> = Vec::new();
    loop {
        let after = entries.last().map_or(MessageId(0), |message| message.id);
        let page = store.messages_after(scope, after, 5).unwrap();
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

/// All conversations by their ids, by pages.
fn all_conversations(store: &dyn Read, scope: &Scope) -> Vec<Arc<ConversationRecord>> {
    let mut conversations: Vec<Arc<ConversationRecord>> = Vec::new();
    loop {
        let after = conversations.last().map_or(ConversationId(0), |one| one.id);
        let page = store.conversations_after(scope, after, 5).unwrap();
        if page.is_empty() {
            return conversations;
        }
        conversations.extend(page);
    }
}

/// The whole conversation, by pages.
pub(super) fn all_messages(
    store: &dyn Read,
    scope: &Scope,
    conversation: ConversationId,
) -> Vec<Arc<MessageRecord>> {
    let mut messages: Vec<Arc<MessageRecord>> = Vec::new();
    loop {
        let before = messages
            .last()
            .map_or(Place::LAST, |message| message.place());
        let page = store.messages(scope, conversation, before, 3).unwrap();
        if page.is_empty() {
            return messages;
        }
        messages.extend(page);
    }
}

fn all_entries(store: &dyn Read, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        let after = entries.last().map(|(key, _)| key.clone());
        let page = store.scan(table, b"", after.as_deref(), 3).unwrap();
        for (key, value) in &page {
            assert_eq!(store.get(table, key).unwrap().as_ref(), Some(value));
        }
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

/// What one scope shows of all that there is: ids are taken from the whole desk, so that a leak would show.
fn view(store: &dyn Store, scope: &Scope) -> View {
    let desk = Scope::whole_desk();
    let conversations = all_inbox(store, &desk);
    let messages: Vec<_> = conversations
        .iter()
        .flat_map(|found| all_messages(store, &desk, found.id))
        .collect();
    let contacts = store.contacts(&desk, None, usize::MAX).unwrap();
    View {
        feed: all_feed(store, scope, None),
        feed_of_two: all_feed(
            store,
            scope,
            Some(vec![
                ChannelNo(2),
                ChannelNo(1),
                ChannelNo(2),
                ChannelNo(77),
            ]),
        ),
        inbox: all_inbox(store, scope),
        contacts: store.contacts(scope, None, usize::MAX).unwrap(),
        entries: all_entries_by_arrival(store, scope),
        conversations: all_conversations(store, scope),
        by_message: messages
            .iter()
            .map(|message| {
                let name = message.external_id.as_deref().unwrap_or("none");
                let named = store
                    .message_by_external_id(scope, message.channel, name)
                    .unwrap();
                (
                    message.id,
                    named,
                    store.message(scope, message.channel, message.id).unwrap(),
                )
            })
            .collect(),
        by_conversation: conversations
            .iter()
            .map(|found| {
                let by_thread = store
                    .conversation_by_thread(scope, found.channel, &found.thread)
                    .unwrap();
                (
                    by_thread,
                    store.conversation(scope, found.id).unwrap(),
                    all_messages(store, scope, found.id),
                )
            })
            .collect(),
        by_contact: contacts
            .iter()
            .map(|contact| {
                let identities = contact.identities.iter();
                let by_identity = identities
                    .map(|known| {
                        store
                            .contact_by_identity(scope, known.channel, &known.external_id)
                            .unwrap()
                    })
                    .collect();
                let theirs = store.conversations_of(scope, contact.id).unwrap();
                (
                    store.contact(scope, contact.id).unwrap(),
                    theirs,
                    by_identity,
                )
            })
            .collect(),
    }
}
