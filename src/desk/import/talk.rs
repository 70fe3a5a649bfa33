//! Conversations and messages that are imported.

use std::collections::BTreeSet;

use deskbell_sdk::{DeliveryState, Direction, text};

use super::{Done, ERASED, Importing, What};
use crate::desk::arrivals::Arrival;
use crate::desk::{albums, conversations, erasure, media};
use crate::id::{AttachmentId, ContactId, ConversationId, MessageId};
use crate::store::entry::{
    AttachmentEntry, Entry, Reservation, WorkEntry, WorkState, external_key,
};
use crate::store::record::{
    AttachmentBytes, AttachmentRecord, AuthorRecord, ChannelNo, ConversationRecord, DeliveryRecord,
    MessageKind, MessageRecord,
};
use crate::store::{Found, Scope};

/// Who an imported file belongs to: nobody who signs in, it is in its message.
const OWNER: &str = "import";
/// What browsers would run, or that is read as if they might: such a file is only to be saved.
const NOT_RUN: &str = "application/octet-stream";

impl Importing<'_, '_> {
    fn arrival(&self, channel: ChannelNo) -> Arrival {
        Arrival {
            channel,
            received_at: self.draft.now(),
            latest: self.draft.latest().max(self.draft.now()),
            again: false,
        }
    }

    /// Takes a conversation in. It has no messages yet: they are counted as they come.
    pub(super) fn conversation(&mut self, mut new: ConversationRecord) -> Found<Done> {
        make_conversation_safe(&mut new);
        if new.id == ConversationId(0) || new.thread.is_empty() {
            return Ok(Done::Refused("its id or its thread is none".to_owned()));
        }
        let people = [new.thread.as_str()];
        let contact_erased = self.is_erased(What::Contact, new.contact.0)?;
        if contact_erased || erasure::was_erased(self.draft, new.channel, people, new.created_at)? {
            self.remember(What::Conversation, new.id.0, ERASED, false)?;
            return Ok(Done::Known);
        }
        let Some(contact) = self.contact_here(new.contact)? else {
            return Ok(Done::Refused(format!(
                "it is with the contact {}, which does not come before it",
                new.contact
            )));
        };
        if contact.id != new.contact {
            new.contact = contact.id;
            new.contact_name = contact.name;
        }
        new.contact_avatar = contact.avatar.map(|avatar| avatar.content);
        new.blocked = contact.blocked;
        if !self.is_of_the_past(new.staff_read_up_to.0) && new.staff_read_up_to != MessageId(0) {
            new.staff_read_up_to = MessageId(self.draft.new_id());
        }
        if let Some(known) = self
            .draft
            .conversation_by_thread(new.channel, &new.thread)?
        {
            let remembered = self.remembered(What::Conversation, new.id.0)?;
            let is_own = match remembered {
                Some(remembered) => remembered.made && remembered.id == known.id.0,
                None => known.id == new.id,
            };
            if is_own {
                return self.update_conversation(&known, new);
            }
            self.remember(What::Conversation, new.id.0, known.id.0, false)?;
            return Ok(Done::Known);
        }
        let key = external_key(new.channel, &new.thread);
        let id = match self.draft.entry::<Reservation>(&key)? {
            Some(promised) => {
                let begun = self
                    .draft
                    .conversation(&Scope::whole_desk(), promised.conversation)?;
                if begun.is_some() {
                    // Its customer goes on in a conversation that was begun as a stranger.
                    let here = promised.conversation.0;
                    self.remember(What::Conversation, new.id.0, here, false)?;
                    return Ok(Done::Known);
                }
                self.draft.put(Reservation::remove(key));
                let here = promised.conversation.0;
                self.remember(What::Conversation, new.id.0, here, true)?;
                here
            }
            None => {
                let taken = self.draft.conversation(&Scope::whole_desk(), new.id)?;
                self.free_id(What::Conversation, new.id.0, taken.is_some())?
            }
        };
        let mut conversation = ConversationRecord {
            id: ConversationId(id),
            unread_count: 0,
            message_count: 0,
            last_message: None,
            last_said: None,
            ..new
        };
        self.arrival(conversation.channel)
            .apply_waiting_receipts(self.draft, &mut conversation)?;
        self.draft.create_conversation(conversation);
        Ok(Done::New)
    }

    /// The same conversation, perhaps in a newer version.
    fn update_conversation(
        &mut self,
        known: &ConversationRecord,
        new: ConversationRecord,
    ) -> Found<Done> {
        if new.version <= known.version {
            return Ok(Done::Known);
        }
        let staff_read_up_to = new.staff_read_up_to.max(known.staff_read_up_to);
        let unread_count = if staff_read_up_to > known.staff_read_up_to {
            conversations::unread_after(self.draft, known, staff_read_up_to)?
        } else {
            known.unread_count
        };
        let answered_here = known.answered_up_to > new.answered_up_to;
        self.draft.update_conversation(ConversationRecord {
            id: known.id,
            message_count: known.message_count,
            unread_count,
            last_message: known.last_message.clone(),
            last_said: known.last_said.clone(),
            waiting_since: if answered_here {
                known.waiting_since
            } else {
                new.waiting_since
            },
            answered_up_to: new.answered_up_to.max(known.answered_up_to),
            customer_acted_at: new.customer_acted_at.max(known.customer_acted_at),
            delivered_up_to: new.delivered_up_to.max(known.delivered_up_to),
            read_up_to: new.read_up_to.max(known.read_up_to),
            staff_read_up_to,
            last_activity_at: new.last_activity_at.max(known.last_activity_at),
            ..new
        });
        Ok(Done::Updated)
    }

    /// Takes a message, note or activity in.
    pub(super) fn message(&mut self, mut new: MessageRecord) -> Found<Done> {
        make_message_safe(&mut new);
        if new.id == MessageId(0) {
            return Ok(Done::Refused("its id is none".to_owned()));
        }
        let author_erased = match &new.author {
            AuthorRecord::Contact(id, _) => self.is_erased(What::Contact, id.0)?,
            _ => false,
        };
        if author_erased || self.is_erased(What::Conversation, new.conversation.0)? {
            return Ok(Done::Known);
        }
        let conversation_remembered = self.remembered(What::Conversation, new.conversation.0)?;
        let conversation_id =
            conversation_remembered.map_or(new.conversation, |known| ConversationId(known.id));
        let conversation = self
            .draft
            .conversation(&Scope::whole_desk(), conversation_id)?;
        let Some(conversation) = conversation.filter(|known| known.channel == new.channel) else {
            return Ok(Done::Refused(format!(
                "it is in the conversation {}, which does not come before it",
                new.conversation
            )));
        };
        let sent_elsewhere = new
            .changes
            .delivery
            .as_ref()
            .is_some_and(|delivery| delivery.state >= DeliveryState::Sent);
        settle(&mut new);
        self.name_as_here(&mut new)?;
        new.conversation = conversation.id;

        let here = MessageId(self.id_here(What::Message, new.id.0)?);
        if let Some(known) = self.draft.message(new.channel, here)?
            && is_same(&known, &new)
        {
            return self.update_message(&known, new, &conversation, sent_elsewhere);
        }
        for external_id in new.external_ids() {
            let known = self
                .draft
                .message_by_external_id(new.channel, external_id)?;
            if known.is_some() {
                return Ok(Done::Known);
            }
        }
        let is_taken = self.is_taken(new.id)?;
        let mut message = MessageRecord {
            id: MessageId(self.free_id(What::Message, new.id.0, is_taken)?),
            ..new
        };
        self.keep_files(&mut message, &[])?;
        let names: Vec<String> = message.external_ids().map(str::to_owned).collect();
        for name in &names {
            self.arrival(message.channel)
                .apply_waiting_changes(self.draft, &mut message, name)?;
        }
        let is_own = conversation_remembered.is_none_or(|known| known.made);
        let mut conversation = (*conversation).clone();
        if is_own {
            count_in_its_own(&mut conversation, &message);
        } else {
            conversations::count_in_history(self.draft, &mut conversation, &message)?;
        }
        // What still lay at its platform when it was taken away is fetched from here, where it can be.
        media::want(self.draft, &message, |_| true);
        self.draft.create_message(message, conversation);
        Ok(Done::New)
    }

    /// The same message, perhaps in a newer version. What has happened to it here is merged and not lost.
    fn update_message(
        &mut self,
        known: &MessageRecord,
        new: MessageRecord,
        conversation: &ConversationRecord,
        sent_elsewhere: bool,
    ) -> Found<Done> {
        if new.version <= known.version || known.conversation != conversation.id {
            return Ok(Done::Known);
        }
        for external_id in new.external_ids() {
            let owner = self
                .draft
                .message_by_external_id(new.channel, external_id)?;
            if owner.is_some_and(|owner| owner != known.id) {
                return Ok(Done::Known);
            }
        }
        let work = known.id.key().to_vec();
        match self.draft.entry::<WorkEntry>(&work)?.map(|work| work.state) {
            None => {}
            // It waits to be sent by a desk that is older than the export, which knows that it was.
            Some(WorkState::Waiting { .. }) if sent_elsewhere => {
                self.draft.put(WorkEntry::remove(work));
            }
            Some(_) => return Ok(Done::Known),
        }
        let mut message = MessageRecord {
            id: known.id,
            conversation: known.conversation,
            ..new
        };
        self.keep_files(&mut message, &known.attachments)?;
        albums::join(&mut message, known);
        let mut conversation = conversation.clone();
        conversations::show_moved(self.draft, &mut conversation, &message)?;
        self.draft.update_message(message, conversation);
        Ok(Done::Updated)
    }

    /// Whether another message has this id, in whichever channel.
    fn is_taken(&self, id: MessageId) -> Found<bool> {
        for channel in &self.channels {
            if self.draft.message(*channel, id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Names people and the message that is answered by their ids here.
    fn name_as_here(&self, message: &mut MessageRecord) -> Found<()> {
        let reactions = message.changes.reactions.iter_mut();
        let authors = reactions.map(|reaction| &mut reaction.author);
        for author in authors.chain([&mut message.author]) {
            if let AuthorRecord::Contact(id, _) = author {
                *id = ContactId(self.id_here(What::Contact, id.0)?);
            }
        }
        // A note has no id of the platform's and is quoted by its own.
        if let Some(quoted) = message.reply_to.as_deref()
            && let Ok(id) = quoted.parse::<MessageId>()
        {
            let here = MessageId(self.id_here(What::Message, id.0)?);
            message.reply_to = Some(here.to_string());
        }
        Ok(())
    }

    /// Gives the attachments their ids, and says of the files that are here which message they are in. `before`: those
    /// that the message had.
    fn keep_files(
        &mut self,
        message: &mut MessageRecord,
        before: &[AttachmentRecord],
    ) -> Found<()> {
        let place = Some((message.channel, message.id));
        let exported: Vec<_> = message.attachments.iter().map(|one| one.id).collect();
        let mut used = BTreeSet::new();
        for (number, attachment) in message.attachments.iter_mut().enumerate() {
            let by_id = before.iter().find(|before| before.id == attachment.id);
            let by_place = || {
                before
                    .get(number)
                    .filter(|before| is_alike(before, attachment))
            };
            if let Some(before) = by_id.or_else(by_place) {
                attachment.id = before.id;
                // What was fetched here meanwhile stays.
                if matches!(before.bytes, AttachmentBytes::Stored(_))
                    && !matches!(attachment.bytes, AttachmentBytes::Stored(_))
                {
                    attachment.clone_from(before);
                }
            }
            let known = self.draft.entry::<AttachmentEntry>(&attachment.id.key())?;
            let is_taken =
                known.is_some_and(|known| known.message != place) || used.contains(&attachment.id);
            if is_taken || !self.is_of_the_past(attachment.id.0) {
                attachment.id = AttachmentId(self.draft.new_id());
            } else {
                self.draft.stay_above(attachment.id.0);
            }
            used.insert(attachment.id);
            let AttachmentBytes::Stored(content) = &attachment.bytes else {
                continue;
            };
            let mime_type = attachment.mime_type.as_deref().map_or(NOT_RUN, safe_type);
            let mime_type = mime_type.to_owned();
            attachment.mime_type = Some(mime_type.clone());
            let entry = AttachmentEntry {
                id: attachment.id,
                message: place,
                owner: OWNER.to_owned(),
                content: content.clone(),
                name: attachment.name.clone(),
                mime_type,
                size: attachment.size.unwrap_or(0),
                created_at: message.received_at,
            };
            self.draft.put(entry.put(attachment.id.key().to_vec()));
        }
        let parts = message.album.iter_mut().flat_map(|album| &mut album.parts);
        for id in parts.flat_map(|part| &mut part.attachments) {
            if let Some(place) = exported.iter().position(|exported| exported == id) {
                *id = message.attachments[place].id;
            }
        }
        Ok(())
    }
}

/// Whether an attachment in the same place of the same message is the same, though its id is another here.
fn is_alike(before: &AttachmentRecord, attachment: &AttachmentRecord) -> bool {
    before.kind == attachment.kind
        && before.name == attachment.name
        && before.external_id == attachment.external_id
}

/// Counts an entry into the conversation that it came with. Who waits since when came with the conversation itself.
fn count_in_its_own(conversation: &mut ConversationRecord, message: &MessageRecord) {
    conversations::show_last(conversation, message);
    if message.kind != MessageKind::Message {
        return;
    }
    conversation.message_count += 1;
    if message.is_from_customer() && message.id > conversation.staff_read_up_to {
        conversation.unread_count += 1;
    }
}

/// Whether two messages of the same id are the same: ids of two desks may meet, though hardly ever.
fn is_same(known: &MessageRecord, new: &MessageRecord) -> bool {
    // An album goes by the id of its first part, and may have grown by an earlier one.
    let mut shared = known
        .external_ids()
        .filter(|id| new.external_ids().any(|other| other == *id));
    let differ =
        known.external_id.is_some() && new.external_id.is_some() && shared.next().is_none();
    !differ && known.received_at == new.received_at && known.direction == new.direction
}

/// What was still to be sent will not be sent from here: whether it was is not known.
fn settle(message: &mut MessageRecord) {
    if message.direction == Direction::Inbound {
        message.changes.delivery = None;
        return;
    }
    if let Some(delivery) = &mut message.changes.delivery
        && delivery.state == DeliveryState::Queued
    {
        let say = "It was still waiting to be sent when it was exported. Whether it was sent since is not known here: \
                   look at the platform before you send it again.";
        *delivery = DeliveryRecord {
            state: DeliveryState::Unknown,
            at: delivery.at,
            error: Some(("imported".to_owned(), say.to_owned(), true)),
            ..*delivery
        };
    }
}

/// The type of a file as it is told to browsers: nothing that they would run (M08).
fn safe_type(told: &str) -> &str {
    let plain = told
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/.+-".contains(&byte));
    let kind = told.split_once('/').map(|(kind, _)| kind);
    let runs = ["html", "xml", "svg", "script"]
        .iter()
        .any(|word| told.contains(word));
    let known = matches!(
        kind,
        Some("image" | "audio" | "video" | "application" | "font")
    ) || told == "text/plain";
    if plain && known && !runs {
        told
    } else {
        NOT_RUN
    }
}

/// A file may have been written by anybody: its words are made as safe as a platform's.
fn make_message_safe(message: &mut MessageRecord) {
    message.text = message.text.as_deref().map(text::clean_text);
    for part in message.album.iter_mut().flat_map(|album| &mut album.parts) {
        part.text = part.text.as_deref().map(text::clean_text);
        if let Some(edit) = &mut part.changes.edit {
            edit.text = text::clean_text(&edit.text);
        }
    }
    if let Some(edit) = &mut message.changes.edit {
        edit.text = text::clean_text(&edit.text);
    }
    match &mut message.author {
        AuthorRecord::Contact(_, name) | AuthorRecord::Staff(_, name) | AuthorRecord::Bot(name) => {
            *name = name.as_deref().and_then(text::clean_name);
        }
        AuthorRecord::System => {}
    }
    for attachment in &mut message.attachments {
        attachment.name = attachment.name.as_deref().and_then(text::clean_name);
        attachment.mime_type = attachment.mime_type.as_deref().and_then(text::clean_name);
    }
    // Merging looks for a person by bisection.
    let reactions = &mut message.changes.reactions;
    reactions.sort_by(|one, other| one.by.cmp(&other.by));
    reactions.dedup_by(|one, other| one.by == other.by);
}

fn make_conversation_safe(conversation: &mut ConversationRecord) {
    conversation.contact_name = conversation
        .contact_name
        .as_deref()
        .and_then(text::clean_name);
    conversation.subject = conversation.subject.as_deref().and_then(text::clean_name);
    conversation.labels = conversation
        .labels
        .iter()
        .filter_map(|label| text::clean_name(label))
        .collect();
    conversation.labels.sort();
    conversation.labels.dedup();
}
