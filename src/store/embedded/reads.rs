//! The typed reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::EmbeddedStore;
use super::key;
use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::{
    ChannelNo, ContactRecord, ConversationRecord, FeedPage, Found, InboxPage, LogEvent,
    MessageRecord, Place, RawDelivery, RawPlace, Read, Scope, StoreError, Table,
};

/// A contact is visible where one of its identities is.
fn contact_visible(scope: &Scope, contact: &ContactRecord) -> bool {
    scope.channels().is_none()
        || contact
            .identities
            .iter()
            .any(|identity| scope.allows(identity.channel))
}

impl EmbeddedStore {
    fn number(&self, scope: &Scope, channel: ChannelNo, key: &[u8]) -> Found<Option<u64>> {
        if scope.allows(channel) {
            self.model.tables()?.number(key)
        } else {
            Ok(None)
        }
    }
}

impl Read for EmbeddedStore {
    fn head(&self) -> u64 {
        self.head.load(Ordering::SeqCst)
    }

    fn oldest(&self) -> u64 {
        self.log.oldest_seq()
    }

    fn last_id(&self) -> u64 {
        self.last_id.load(Ordering::SeqCst)
    }

    fn events(&self, after: u64, limit: usize) -> Found<Vec<LogEvent>> {
        let head = self.head();
        // What was dropped from the journal may still stand in memory.
        let after = after.max(self.oldest().saturating_sub(1));
        if after >= head || limit == 0 {
            return Ok(Vec::new());
        }
        match self.recent.after(after, head, limit) {
            Some(events) => Ok(events),
            None => self.log.events(after, head, limit),
        }
    }

    fn raws(&self, after: RawPlace, limit: usize) -> Found<Vec<(RawPlace, RawDelivery)>> {
        self.log.raws(after, limit)
    }

    fn feed(&self, scope: &Scope, page: &FeedPage) -> Found<Vec<Arc<MessageRecord>>> {
        // Held while it is read: a step is written row by row, and of its messages a later one must not be seen before
        // an earlier one, which a reader who goes on behind it would then miss.
        let inbox = self.model.inbox();
        // Messages are in the channel of their conversation.
        let channels = inbox.channels(scope, page.channels.as_deref());
        self.model.tables()?.feed(
            &channels,
            page.before.unwrap_or(MessageId(u64::MAX)),
            page.limit,
        )
    }

    fn inbox(&self, scope: &Scope, page: &InboxPage) -> Found<Vec<Arc<ConversationRecord>>> {
        // In this order: while the inbox is held, its tables are those that stand.
        let inbox = self.model.inbox();
        let tables = self.model.tables()?;
        let channels = inbox.channels(scope, page.channels.as_deref());
        let row = |id: ConversationId| {
            tables.conversation(id)?.ok_or_else(|| {
                tables.distrust();
                StoreError::Unreadable(format!("conversation {id} is missing in the tables"))
            })
        };
        inbox
            .page(&channels, page.behind, page.limit)
            .into_iter()
            .map(row)
            .collect()
    }

    fn messages(
        &self,
        scope: &Scope,
        conversation: ConversationId,
        before: Place,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        let _whole_steps = self.model.inbox();
        // Also of a conversation that is gone, as long as its messages are here: an erasure takes them in steps.
        self.model
            .tables()?
            .messages(scope, conversation, before, limit)
    }

    fn message(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        id: MessageId,
    ) -> Found<Option<Arc<MessageRecord>>> {
        if scope.allows(channel) {
            self.model.tables()?.message(channel, id)
        } else {
            Ok(None)
        }
    }

    fn message_by_external_id(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<MessageId>> {
        Ok(self
            .number(scope, channel, &key::message_name(channel, external_id))?
            .map(MessageId))
    }

    fn conversation(
        &self,
        scope: &Scope,
        id: ConversationId,
    ) -> Found<Option<Arc<ConversationRecord>>> {
        let found = self.model.tables()?.conversation(id)?;
        Ok(found.filter(|conversation| scope.allows(conversation.channel)))
    }

    fn conversation_by_thread(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        thread: &str,
    ) -> Found<Option<ConversationId>> {
        Ok(self
            .number(scope, channel, &key::thread(channel, thread))?
            .map(ConversationId))
    }

    fn conversations_of(&self, scope: &Scope, contact: ContactId) -> Found<Vec<ConversationId>> {
        self.model.tables()?.conversations_of(scope, contact)
    }

    fn contact(&self, scope: &Scope, id: ContactId) -> Found<Option<Arc<ContactRecord>>> {
        Ok(self
            .model
            .tables()?
            .contact(id)?
            .filter(|contact| contact_visible(scope, contact)))
    }

    fn contact_by_identity(
        &self,
        scope: &Scope,
        channel: ChannelNo,
        external_id: &str,
    ) -> Found<Option<ContactId>> {
        Ok(self
            .number(scope, channel, &key::identity(channel, external_id))?
            .map(ContactId))
    }

    fn contacts(
        &self,
        scope: &Scope,
        before: Option<ContactId>,
        limit: usize,
    ) -> Found<Vec<Arc<ContactRecord>>> {
        let before = before.unwrap_or(ContactId(u64::MAX));
        self.model
            .tables()?
            .contacts(before, limit, |contact| contact_visible(scope, contact))
    }

    fn messages_after(
        &self,
        scope: &Scope,
        after: MessageId,
        limit: usize,
    ) -> Found<Vec<Arc<MessageRecord>>> {
        let inbox = self.model.inbox();
        let channels = inbox.channels(scope, None);
        self.model.tables()?.messages_after(&channels, after, limit)
    }

    fn conversations_after(
        &self,
        scope: &Scope,
        after: ConversationId,
        limit: usize,
    ) -> Found<Vec<Arc<ConversationRecord>>> {
        self.model
            .tables()?
            .conversations_after(scope, after, limit)
    }

    fn get(&self, table: Table, key: &[u8]) -> Found<Option<Vec<u8>>> {
        self.model.tables()?.side(table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Vec<u8>)>> {
        self.model.tables()?.side_scan(table, prefix, after, limit)
    }
}
