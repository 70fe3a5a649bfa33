//! What a message holds. Nothing is dropped: what the desk has no kind for is named.

use std::collections::BTreeMap;

use deskbell_sdk::text::clean_name;
use deskbell_sdk::{AttachmentKind, ExternalId, NewAttachment, Source};
use serde_json::Value;

use super::{detail, details, filled, full_name, note, person_of_chat};
use crate::wire::{
    Checklist, Contact, File, Location, Message, PaidMediaInfo, PhotoSize, Poll, Sticker, Story,
    Titled,
};

/// What a message holds.
#[derive(Default)]
pub(super) struct Content {
    pub(super) text: Option<String>,
    pub(super) attachments: Vec<NewAttachment>,
    pub(super) metadata: BTreeMap<String, Value>,
}

/// Reads what a message holds; where nothing is found it may be a service message, or of a kind that is not known.
pub(super) fn of(message: &Message) -> Content {
    let mut found = Content {
        text: filled(message.text.as_deref()).or_else(|| filled(message.caption.as_deref())),
        ..Content::default()
    };
    add_files(message, &mut found);
    add_places(message, &mut found);
    if let Some(contact) = &message.contact {
        add_contact(contact, &mut found);
    }
    if let Some(paid) = &message.paid_media {
        add_paid(paid, &mut found);
    }
    if let Some(story) = message.story.as_ref().or(message.reply_to_story.as_ref()) {
        found.attachments.push(story_of(story));
    }
    if let Some(poll) = &message.poll {
        add_written("Poll", poll_in_words(poll), &mut found);
    }
    if let Some(checklist) = &message.checklist {
        add_written("Checklist", checklist_in_words(checklist), &mut found);
    }
    if let Some(game) = &message.game {
        add_written("Game", titled_in_words(game), &mut found);
    }
    if let Some(invoice) = &message.invoice {
        add_written("Invoice", titled_in_words(invoice), &mut found);
    }
    if let Some(dice) = &message.dice {
        let emoji = dice.emoji.as_deref().unwrap_or("🎲");
        let value = dice.value.map(|value| format!(" {value}"));
        add_text(&format!("{emoji}{}", value.unwrap_or_default()), &mut found);
    }
    if let Some(data) = &message.web_app_data {
        add_text(
            data.button_text.as_deref().unwrap_or("[button]"),
            &mut found,
        );
        note(&mut found.metadata, "payload", detail(data.data.as_deref()));
    }
    found
}

fn add_text(text: &str, found: &mut Content) {
    if found.text.is_none() {
        found.text = filled(Some(text));
    }
}

/// Something made of parts: an attachment with its name, and its content as text.
fn add_written(what: &str, lines: Vec<String>, found: &mut Content) {
    let title = lines.first().and_then(|line| clean_name(line));
    found.attachments.push(NewAttachment {
        name: clean_name(&format!("{what}: {}", title.unwrap_or_default())),
        ..NewAttachment::of_kind(AttachmentKind::Template)
    });
    add_text(&lines.join("\n"), found);
}

fn add_files(message: &Message, found: &mut Content) {
    if let Some(photo) = message.photo.as_deref().and_then(largest) {
        found.attachments.push(photo);
    }
    if let Some(film) = &message.live_photo
        && let Some(file_id) = &film.file_id
    {
        found.attachments.push(NewAttachment {
            mime_type: film.mime_type.as_deref().and_then(clean_name),
            size: film.file_size,
            ..fetched(AttachmentKind::Video, file_id, film.file_unique_id.as_ref())
        });
    }
    // An animation stands in `document` as well.
    let document = message
        .document
        .as_ref()
        .filter(|_| message.animation.is_none());
    for (kind, type_if_untold, file) in [
        (AttachmentKind::File, None, document),
        (
            AttachmentKind::Video,
            Some("video/mp4"),
            message.animation.as_ref(),
        ),
        (AttachmentKind::Audio, None, message.audio.as_ref()),
        (
            AttachmentKind::Audio,
            Some("audio/ogg"),
            message.voice.as_ref(),
        ),
        (AttachmentKind::Video, None, message.video.as_ref()),
        (
            AttachmentKind::Video,
            Some("video/mp4"),
            message.video_note.as_ref(),
        ),
    ] {
        if let Some(file) = file {
            found.attachments.push(file_of(kind, type_if_untold, file));
        }
    }
    if let Some(sticker) = &message.sticker {
        found.attachments.push(sticker_of(sticker));
    }
}

/// Bytes at Telegram: `getFile` tells where.
fn fetched(
    kind: AttachmentKind,
    file_id: &ExternalId,
    unique_id: Option<&ExternalId>,
) -> NewAttachment {
    NewAttachment {
        source: Source::Handle(file_id.as_str().to_owned()),
        external_id: unique_id.map(|id| id.as_str().to_owned()),
        ..NewAttachment::of_kind(kind)
    }
}

/// A picture comes in several sizes.
fn largest(sizes: &[PhotoSize]) -> Option<NewAttachment> {
    let largest = sizes.iter().max_by_key(|size| {
        (
            u64::from(size.width) * u64::from(size.height),
            size.file_size,
        )
    })?;
    Some(NewAttachment {
        mime_type: Some("image/jpeg".to_owned()),
        size: largest.file_size,
        ..fetched(
            AttachmentKind::Image,
            &largest.file_id,
            largest.file_unique_id.as_ref(),
        )
    })
}

fn file_of(kind: AttachmentKind, type_if_untold: Option<&str>, file: &File) -> NewAttachment {
    let track = || {
        let parts: Vec<&str> = [file.performer.as_deref(), file.title.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        clean_name(&parts.join(" – "))
    };
    NewAttachment {
        name: file
            .file_name
            .as_deref()
            .and_then(clean_name)
            .or_else(track),
        mime_type: file
            .mime_type
            .as_deref()
            .and_then(clean_name)
            .or_else(|| type_if_untold.map(str::to_owned)),
        size: file.file_size,
        ..fetched(kind, &file.file_id, file.file_unique_id.as_ref())
    }
}

fn sticker_of(sticker: &Sticker) -> NewAttachment {
    let mime_type = match (sticker.is_animated, sticker.is_video) {
        (true, _) => "application/x-tgsticker",
        (false, true) => "video/webm",
        (false, false) => "image/webp",
    };
    NewAttachment {
        name: sticker.emoji.as_deref().and_then(clean_name),
        mime_type: Some(mime_type.to_owned()),
        size: sticker.file_size,
        ..fetched(
            AttachmentKind::Sticker,
            &sticker.file_id,
            sticker.file_unique_id.as_ref(),
        )
    }
}

fn add_places(message: &Message, found: &mut Content) {
    // A venue's place stands in `location` as well.
    let Some(place) = &message.location else {
        return;
    };
    let name = match &message.venue {
        Some(venue) => {
            let parts: Vec<&str> = [venue.title.as_deref(), venue.address.as_deref()]
                .into_iter()
                .flatten()
                .collect();
            clean_name(&parts.join(", "))
        }
        None => place.live_period.map(|_| "Live location".to_owned()),
    };
    found.attachments.push(location_of(place, name));
    note(
        &mut found.metadata,
        "live_period_s",
        place.live_period.filter(|seconds| *seconds > 0),
    );
}

fn location_of(place: &Location, name: Option<String>) -> NewAttachment {
    NewAttachment {
        name,
        latitude: place.latitude.filter(|degrees| degrees.abs() <= 90.0),
        longitude: place.longitude.filter(|degrees| degrees.abs() <= 180.0),
        ..NewAttachment::of_kind(AttachmentKind::Location)
    }
}

fn add_contact(contact: &Contact, found: &mut Content) {
    let name = full_name(contact.first_name.as_deref(), contact.last_name.as_deref());
    let parts: Vec<&str> = [name.as_deref(), contact.phone_number.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    found.attachments.push(NewAttachment {
        name: clean_name(&parts.join(", ")),
        ..NewAttachment::of_kind(AttachmentKind::Contact)
    });
    let card = details(vec![
        ("name", name.map(Value::String)),
        ("phone", detail(contact.phone_number.as_deref())),
        ("user_id", contact.user_id.map(|id| id.to_string().into())),
        ("vcard", detail(contact.vcard.as_deref())),
    ]);
    note(&mut found.metadata, "contact", card);
}

fn add_paid(paid: &PaidMediaInfo, found: &mut Content) {
    for media in &paid.paid_media {
        let photo = media.photo.as_deref().and_then(largest);
        let video = media
            .video
            .as_ref()
            .map(|video| file_of(AttachmentKind::Video, None, video));
        found.attachments.push(photo.or(video).unwrap_or_else(|| {
            named(
                AttachmentKind::Unsupported,
                "[paid media that was not bought]",
            )
        }));
    }
    if paid.paid_media.is_empty() {
        found
            .attachments
            .push(named(AttachmentKind::Unsupported, "[paid media]"));
    }
    note(&mut found.metadata, "stars", paid.star_count);
}

fn named(kind: AttachmentKind, name: &str) -> NewAttachment {
    NewAttachment {
        name: Some(name.to_owned()),
        ..NewAttachment::of_kind(kind)
    }
}

/// A story: bots get no bytes of it, only where it is.
fn story_of(story: &Story) -> NewAttachment {
    let chat = story.chat.as_ref();
    let plain = |name: &&str| {
        (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let link = chat
        .and_then(|chat| chat.username.as_deref())
        .filter(plain)
        .zip(story.id)
        .map(|(username, id)| format!("https://t.me/{username}/s/{id}"));
    NewAttachment {
        name: chat.and_then(|chat| person_of_chat(chat).name),
        link,
        ..NewAttachment::of_kind(AttachmentKind::Story)
    }
}

fn poll_in_words(poll: &Poll) -> Vec<String> {
    let question = filled(poll.question.as_deref());
    let options = poll
        .options
        .iter()
        .filter_map(|option| filled(option.text.as_deref()))
        .map(|option| format!("• {option}"));
    question.into_iter().chain(options).collect()
}

fn checklist_in_words(checklist: &Checklist) -> Vec<String> {
    let tasks = checklist.tasks.iter().filter_map(|task| {
        let done = task.completion_date.is_some_and(|date| date > 0);
        let mark = if done { "☑" } else { "☐" };
        filled(task.text.as_deref()).map(|text| format!("{mark} {text}"))
    });
    filled(checklist.title.as_deref())
        .into_iter()
        .chain(tasks)
        .collect()
}

fn titled_in_words(titled: &Titled) -> Vec<String> {
    [titled.title.as_deref(), titled.description.as_deref()]
        .into_iter()
        .filter_map(filled)
        .collect()
}
