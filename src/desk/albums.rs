//! Albums: several messages of a platform's that are one message here.
//!
//! The first part that comes makes the message, later ones grow it, and each is known by its own id. What the message
//! shows follows from its parts alone, so that the same parts give the same message in whatever order they come.

use std::collections::BTreeMap;

use deskbell_sdk::{ExternalId, Time};

use super::changes::merge;
use crate::store::record::{Album, AlbumPart, Edit, MessageChanges, MessageRecord};

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
