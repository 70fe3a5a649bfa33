//! Albums: several messages of a platform's that are one message here.
//!
//! The first part that comes makes the message, later ones grow it, and each is known by its own id. What the message
//! shows follows from its parts alone, so that the same parts give the same message in whatever order they come.

use std::collections::BTreeMap;

use deskbell_sdk::{ExternalId, NewMessage, Time, text};

use super::arrivals::{Arrival, apply_receipts};
use super::changes::merge;
use super::{contacts, conversations, media};
use crate::id::{ConversationId, MessageId};
use crate::store::draft::Draft;
use crate::store::record::{
    Album, AlbumPart, AttachmentRecord, AuthorRecord, Edit, MessageChanges, MessageRecord, Place,
};
use crate::store::{Found, Scope};

/// The id by which the message of an album is found.
#[must_use]
pub fn key(album: &str) -> String {
    ExternalId::synthesised("album", &[album]).into_string()
}

/// Merges what changed on the part `external_id` of an album: its edit and its deletion are its own. What is left
/// concerns the whole message.
#[must_use]
pub fn merge_into_part(
    album: &mut Album,
    external_id: &str,
    more: &MessageChanges,
) -> MessageChanges {
    let mut of_all = more.clone();
    let Some(part) = album
        .parts
        .iter_mut()
        .find(|part| part.external_id == external_id)
    else {
        return of_all;
    };
    let of_part = MessageChanges {
        edit: of_all.edit.take(),
        deleted_at: of_all.deleted_at.take(),
        ..MessageChanges::default()
    };
    merge(&mut part.changes, &of_part);
    of_all
}

/// Makes the message of an album what its parts say. A message that is no album stays as it is.
pub fn settle(message: &mut MessageRecord) {
    let Some(mut album) = message.album.take() else {
        return;
    };
    album
        .parts
        .sort_by(|one, other| place(one).cmp(&place(other)));
    if let Some((first, further)) = album.parts.split_first() {
        message.external_id = Some(first.external_id.clone());
        message.part_ids = further
            .iter()
            .map(|part| Some(part.external_id.clone()))
            .collect();
        (message.sent_at, message.order) = (first.sent_at, first.order);
    }
    let left = || {
        album
            .parts
            .iter()
            .filter(|part| part.changes.deleted_at.is_none())
    };
    message.reply_to = album.parts.iter().find_map(|part| part.reply_to.clone());
    // Where two parts say different things of the same name, the first does.
    message.metadata = BTreeMap::new();
    for part in album.parts.iter().rev() {
        message.metadata.extend(part.metadata.clone());
    }
    message.text = joined(left().map(|part| part.text.as_deref()));
    message.changes.edit = edit(&album.parts).map(|(version, at)| Edit {
        version,
        at,
        text: joined(left().map(standing_text)).unwrap_or_default(),
    });
    message.changes.deleted_at = left()
        .next()
        .is_none()
        .then(|| {
            album
                .parts
                .iter()
                .filter_map(|part| part.changes.deleted_at)
                .max()
        })
        .flatten();
    let mut attachments: BTreeMap<_, _> = std::mem::take(&mut message.attachments)
        .into_iter()
        .map(|attachment| (attachment.id, attachment))
        .collect();
    message.attachments = left()
        .flat_map(|part| &part.attachments)
        .filter_map(|id| attachments.remove(id))
        .collect();
    message.album = Some(album);
}

/// Takes in what is known here of the same message, which `message` brings from elsewhere: what happened to it, and of an
/// album the parts that came here only.
pub fn join(message: &mut MessageRecord, known: &MessageRecord) {
    merge(&mut message.changes, &known.changes);
    if message.album.is_none() {
        message.album.clone_from(&known.album);
    }
    let (Some(album), Some(here)) = (&mut message.album, &known.album) else {
        return;
    };
    for part in &here.parts {
        let same = |one: &&mut AlbumPart| one.external_id == part.external_id;
        match album.parts.iter_mut().find(same) {
            Some(one) => merge(&mut one.changes, &part.changes),
            None => album.parts.push(part.clone()),
        }
    }
    let absent = known.attachments.iter().filter(|here| {
        let mut all = message.attachments.iter();
        !all.any(|attachment| attachment.id == here.id)
    });
    let absent: Vec<_> = absent.cloned().collect();
    message.attachments.extend(absent);
    settle(message);
}

fn place(part: &AlbumPart) -> (Time, u64, &str) {
    (part.sent_at, part.order, &part.external_id)
}

fn standing_text(part: &AlbumPart) -> Option<&str> {
    match &part.changes.edit {
        Some(edit) => Some(&edit.text),
        None => part.text.as_deref(),
    }
}

/// The texts that show something, a line each.
fn joined<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let filled: Vec<&str> = texts
        .flatten()
        .filter(|text| !text.trim().is_empty())
        .collect();
    (!filled.is_empty()).then(|| filled.join("\n"))
}

/// The newest edit of any part.
fn edit(parts: &[AlbumPart]) -> Option<(u64, Time)> {
    let edits = || parts.iter().filter_map(|part| part.changes.edit.as_ref());
    Some((
        edits().map(|edit| edit.version).max()?,
        edits().map(|edit| edit.at).max()?,
    ))
}

impl Arrival {
    /// A further part of an album whose message has begun: the message grows by it.
    pub(super) fn further_part(
        &self,
        draft: &mut Draft<'_>,
        new: &NewMessage,
        begun: &MessageRecord,
    ) -> Found<(bool, ConversationId, MessageId)> {
        let sent_at = self.sensible(new.sent_at);
        contacts::known_or_new(draft, self.channel, &new.customer, sent_at)?;
        let mut message = begun.clone();
        message.version += 1;
        let attachments = self.attachments(draft, message.id, &new.attachments)?;
        let part = self.part(new, &attachments);
        let place = Place {
            sent_at: part.sent_at,
            order: part.order,
            id: message.id,
        };
        let came: Vec<_> = attachments.iter().map(|attachment| attachment.id).collect();
        message.attachments.extend(attachments);
        if let Some(album) = &mut message.album {
            album.parts.push(part);
        }
        self.apply_waiting_changes(draft, &mut message, &new.external_id)?;
        let grown = (true, message.conversation, message.id);
        let scope = Scope::whole_desk();
        if let Some(conversation) = draft.conversation(&scope, message.conversation)? {
            let mut conversation = (*conversation).clone();
            apply_receipts(&conversation, &mut message);
            conversations::grow(draft, &mut conversation, &message, place, self.received_at)?;
            for reaction in &message.changes.reactions {
                if matches!(reaction.author, AuthorRecord::Contact(..)) && reaction.emoji.is_some()
                {
                    conversations::customer_acted(&mut conversation, reaction.at);
                }
            }
            media::want(draft, &message, |id| came.contains(&id));
            draft.update_message(message, conversation);
        }
        Ok(grown)
    }

    /// A message as a part of an album.
    pub(super) fn part(&self, new: &NewMessage, attachments: &[AttachmentRecord]) -> AlbumPart {
        AlbumPart {
            external_id: new.external_id.clone(),
            sent_at: self.sensible(new.sent_at),
            order: new.order,
            text: new.text.as_deref().map(text::clean_text),
            reply_to: new.reply_to.clone(),
            metadata: new.metadata.clone(),
            attachments: attachments.iter().map(|attachment| attachment.id).collect(),
            changes: MessageChanges::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use deskbell_sdk::{
        AttachmentKind, Author, Direction, Event, MessageChange, NewAttachment, NewMessage, Person,
        Time,
    };

    use super::super::testing::{BASE_MS, Desk};
    use crate::store::record::{MessageRecord, Place, Status};
    use crate::store::{Read as _, Scope};

    fn part(number: u64, caption: Option<&str>) -> Event {
        let customer = Person::with_id("2001");
        Event::Message(Box::new(NewMessage {
            thread: "2001".to_owned(),
            author: Author::Contact(customer.clone()),
            customer,
            external_id: format!("2001:{number}"),
            direction: Direction::Inbound,
            text: caption.map(str::to_owned),
            attachments: vec![NewAttachment {
                external_id: Some(format!("file {number}")),
                ..NewAttachment::of_kind(AttachmentKind::Image)
            }],
            reply_to: None,
            sent_at: Time::from_millis(BASE_MS),
            order: number,
            metadata: BTreeMap::new(),
            send_token: None,
            album: Some("2001:77".to_owned()),
        }))
    }

    fn files(message: &MessageRecord) -> Vec<&str> {
        message
            .attachments
            .iter()
            .filter_map(|attachment| attachment.external_id.as_deref())
            .collect()
    }

    fn change(number: u64, change: MessageChange) -> Event {
        Event::Change {
            message: format!("2001:{number}"),
            change,
        }
    }

    fn deleted(number: u64) -> Event {
        let at = Time::from_millis(BASE_MS + 5000);
        change(number, MessageChange::Deleted { at })
    }

    #[test]
    fn an_album_is_one_unread_message_that_is_known_by_each_of_its_parts() {
        let mut desk = Desk::new();
        desk.deliver(&[part(12, Some("all broken")), part(11, None), part(13, None)]);
        let message = desk.message("2001:11");
        assert_eq!(
            message.external_id.as_deref(),
            Some("2001:11"),
            "the first in Telegram's order"
        );
        assert_eq!(files(&message), ["file 11", "file 12", "file 13"]);
        assert_eq!(message.text.as_deref(), Some("all broken"));
        for id in ["2001:12", "2001:13"] {
            assert_eq!(desk.message(id).id, message.id);
        }
        let conversation = desk
            .store
            .conversation(&Scope::whole_desk(), message.conversation)
            .expect("memory")
            .expect("there");
        assert_eq!(
            (conversation.message_count, conversation.unread_count),
            (1, 1)
        );
        let last = conversation.last_message.as_ref().expect("the album");
        assert_eq!(
            (last.place, last.preview.as_str()),
            (message.place(), "all broken")
        );
        let head = desk.store.head();
        desk.deliver(&[part(13, None), part(11, None)]);
        assert_eq!(desk.store.head(), head, "each part once");
        let entries = desk
            .store
            .messages(&Scope::whole_desk(), message.conversation, Place::LAST, 9)
            .expect("memory");
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn a_part_is_edited_and_taken_back_by_itself() {
        let mut desk = Desk::new();
        desk.deliver(&[part(11, Some("one")), part(12, Some("two"))]);
        let edited = MessageChange::Edited {
            text: "zwei".to_owned(),
            version: 1,
            at: Time::from_millis(BASE_MS + 1000),
        };
        desk.deliver(&[change(12, edited)]);
        assert_eq!(desk.message("2001:11").standing_text(), Some("one\nzwei"));
        desk.deliver(&[deleted(11)]);
        let left = desk.message("2001:12");
        assert_eq!(
            (left.standing_text(), files(&left)),
            (Some("zwei"), vec!["file 12"])
        );
        assert_eq!(left.changes.deleted_at, None);
        desk.deliver(&[deleted(12)]);
        assert!(desk.message("2001:11").changes.deleted_at.is_some());
        // A part that comes late is still there to be seen.
        desk.deliver(&[part(13, None)]);
        let late = desk.message("2001:13");
        assert_eq!(
            (late.changes.deleted_at, files(&late)),
            (None, vec!["file 13"])
        );
    }

    #[test]
    fn a_late_part_opens_a_conversation_that_was_resolved_in_between() {
        let mut desk = Desk::new();
        desk.deliver(&[part(11, None)]);
        let conversation = desk.message("2001:11").conversation;
        desk.decide(&[super::super::changing::ChangeConversation {
            author: crate::store::record::AuthorRecord::System,
            expected_assignee: None,
            spam: None,
            scope: Scope::whole_desk(),
            conversation,
            status: Some(Status::Resolved),
            assignee: None,
            team: None,
            labels: None,
            priority: None,
            snoozed_until: None,
            subject: None,
        }]);
        desk.deliver(&[part(12, None)]);
        let now = desk.store.conversation(&Scope::whole_desk(), conversation);
        assert_eq!(now.expect("memory").expect("there").status, Status::Open);
    }
}
