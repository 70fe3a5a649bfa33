//! What comes with a message. Nothing is dropped: what the desk has no kind for is named.

use std::borrow::Cow;
use std::collections::BTreeMap;

use deskbell_sdk::json::Raw;
use deskbell_sdk::text::{clean_name, clean_text};
use deskbell_sdk::{AttachmentKind, ExternalId, NewAttachment, Source};

use super::{reason, shortened};
use crate::media::MEDIA_DOMAINS;
use crate::wire::{Attachment, Payload, Template, TemplateButton, TemplateElement};

/// Where links without a host lead.
const FACEBOOK: &str = "https://www.facebook.com";

/// The attachments of one message.
#[derive(Default)]
pub(super) struct Found {
    pub(super) attachments: Vec<NewAttachment>,
    /// The templates among them as readable text.
    pub(super) readable: Option<String>,
    /// The templates among them, for `metadata`.
    pub(super) templates: Vec<Template>,
    /// The fields of an appointment, for `metadata`.
    pub(super) appointment: BTreeMap<String, String>,
}

/// Reads the attachments of a message; `sticker` is the sticker that the message names beside them.
pub(super) fn all(
    attachments: Vec<Attachment<'_>>,
    sticker: Option<&ExternalId>,
) -> Result<Found, String> {
    let mut found = Found::default();
    for attachment in attachments {
        let read = one(&attachment, sticker, &mut found)?;
        let is_known_sticker = read.kind == AttachmentKind::Sticker
            && read.external_id.is_some()
            && found.attachments.iter().any(|other| {
                other.kind == AttachmentKind::Sticker && other.external_id == read.external_id
            });
        // Until August 2026 a sticker came as two attachments, `image` and `sticker`.
        if !is_known_sticker {
            found.attachments.push(read);
        }
    }
    Ok(found)
}

fn one(
    attachment: &Attachment<'_>,
    sticker: Option<&ExternalId>,
    found: &mut Found,
) -> Result<NewAttachment, String> {
    let kind = attachment.kind.as_deref().unwrap_or("attachment");
    let payload = payload_of(attachment)?;
    let url = first_filled(&[&payload.url, &attachment.url, &attachment.url_in_capitals]);
    let title = first_filled(&[&payload.title, &attachment.title]).and_then(clean_name);
    let sticker = payload.sticker_id.as_ref().or(sticker);
    Ok(match kind {
        "sticker" => sticker_at(url, sticker),
        "image" if sticker.is_some() => sticker_at(url, sticker),
        "image" => media(AttachmentKind::Image, url, title),
        "audio" => media(AttachmentKind::Audio, url, title),
        "video" => media(AttachmentKind::Video, url, title),
        "file" => {
            let name = title.or_else(|| url.and_then(file_name));
            media(AttachmentKind::File, url, name)
        }
        "location" => NewAttachment {
            name: title,
            latitude: payload
                .coordinates
                .as_ref()
                .and_then(|place| place.lat)
                .filter(|lat| lat.abs() <= 90.0),
            longitude: payload.coordinates.as_ref().and_then(|place| place.long),
            link: url.and_then(page_link),
            ..NewAttachment::of_kind(AttachmentKind::Location)
        },
        "fallback" if url.is_some() || title.is_some() => {
            shared(AttachmentKind::Link, url, title, None)
        }
        "reel" | "ig_reel" => shared(
            AttachmentKind::Video,
            url,
            title,
            payload.reel_video_id.as_ref(),
        ),
        "post" | "ig_post" | "share" => {
            let id = payload.ig_post_media_id.as_ref().or(payload.id.as_ref());
            shared(AttachmentKind::Link, url, title, id)
        }
        "template" => template(attachment, found)?,
        "appointment_booking" => appointment(attachment, found)?,
        unknown => NewAttachment {
            name: Some(format!("[unsupported: {}]", shortened(unknown))),
            ..shared(AttachmentKind::Unsupported, url, None, payload.id.as_ref())
        },
    })
}

/// The payload's common fields. It may also be absent, or a text: a link or a title.
fn payload_of(attachment: &Attachment<'_>) -> Result<Payload, String> {
    let Some(raw) = attachment.payload else {
        return Ok(Payload::default());
    };
    match raw.get().as_bytes().first() {
        Some(b'{') => serde_json::from_str(raw.get()).map_err(|error| reason(&error)),
        Some(b'"') => {
            let text: String = serde_json::from_str(raw.get()).map_err(|error| reason(&error))?;
            let is_link = page_link(&text).is_some();
            Ok(Payload {
                url: is_link.then(|| text.clone()),
                title: (!is_link).then_some(text),
                ..Payload::default()
            })
        }
        _ => Ok(Payload::default()),
    }
}

fn first_filled<'a>(texts: &[&'a Option<String>]) -> Option<&'a str> {
    texts
        .iter()
        .filter_map(|text| text.as_deref())
        .find(|text| !text.trim().is_empty())
}

/// Where bytes can be fetched.
pub(crate) fn fetched_from(url: Option<&str>) -> Source {
    match url.and_then(web_address) {
        Some(url) => Source::Url(url),
        None => Source::Nowhere,
    }
}

fn media(kind: AttachmentKind, url: Option<&str>, name: Option<String>) -> NewAttachment {
    NewAttachment {
        name,
        source: fetched_from(url),
        ..NewAttachment::of_kind(kind)
    }
}

fn sticker_at(url: Option<&str>, sticker: Option<&ExternalId>) -> NewAttachment {
    NewAttachment {
        source: fetched_from(url),
        external_id: sticker.map(|id| id.as_str().to_owned()),
        ..NewAttachment::of_kind(AttachmentKind::Sticker)
    }
}

/// Something that was shared: bytes of kind `as_media` where the address is one of Meta's media servers, else a link to
/// a page. What is unsupported stays so.
pub(crate) fn shared(
    as_media: AttachmentKind,
    url: Option<&str>,
    name: Option<String>,
    id: Option<&ExternalId>,
) -> NewAttachment {
    let link = url.and_then(page_link);
    let is_media = link.as_deref().is_some_and(is_on_media_server);
    let kind = if is_media || as_media == AttachmentKind::Unsupported {
        as_media
    } else {
        AttachmentKind::Link
    };
    let (source, link) = match link {
        Some(url) if is_media => (Source::Url(url), None),
        link => (Source::Nowhere, link),
    };
    NewAttachment {
        name,
        source,
        link,
        external_id: id.map(|id| id.as_str().to_owned()),
        ..NewAttachment::of_kind(kind)
    }
}

/// An address of the web; nothing else (`javascript:`, `file:`) is handed on.
fn web_address(url: &str) -> Option<String> {
    let url = url.trim();
    let scheme_fits = ["https://", "http://"].iter().any(|scheme| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let plain = url.len() <= 8192
        && !url
            .chars()
            .any(|character| character.is_control() || character.is_whitespace());
    (scheme_fits && plain).then(|| url.to_owned())
}

/// As [`web_address`]; a path without a host (`/reel/123/`) is one of Facebook's.
fn page_link(url: &str) -> Option<String> {
    let url = url.trim();
    if url.starts_with('/') && !url.starts_with("//") {
        web_address(&format!("{FACEBOOK}{url}"))
    } else {
        web_address(url)
    }
}

/// Links to Meta's media servers expire and are bytes, not pages.
fn is_on_media_server(url: &str) -> bool {
    let host = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split(['/', '?', '#']).next())
        .unwrap_or_default();
    let host = host.to_ascii_lowercase();
    MEDIA_DOMAINS.iter().any(|domain| {
        host.strip_suffix(domain)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// Files come without a name; the last part of the address is it.
fn file_name(url: &str) -> Option<String> {
    let path = url.split("://").nth(1)?.split(['?', '#']).next()?;
    let (_, last) = path.rsplit_once('/')?;
    let mut bytes = Vec::with_capacity(last.len());
    let mut rest = last.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after
            .get(..2)
            .filter(|digits| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let decoded = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    let name = String::from_utf8_lossy(&bytes);
    // A name is no path, whatever was escaped in it.
    clean_name(&name.replace(['/', '\\'], "_"))
}

fn template(attachment: &Attachment<'_>, found: &mut Found) -> Result<NewAttachment, String> {
    let template: Template = match attachment
        .payload
        .map(|raw| raw.get())
        .filter(|raw| raw.starts_with('{'))
    {
        Some(raw) => serde_json::from_str(raw).map_err(|error| reason(&error))?,
        None => Template::default(),
    };
    let readable = in_words(&template);
    let first_line = readable.lines().next().and_then(clean_name);
    let name = attachment
        .title
        .as_deref()
        .and_then(clean_name)
        .or(first_line)
        .unwrap_or_else(|| {
            format!(
                "[template: {}]",
                shortened(template.template_type.as_deref().unwrap_or("unknown"))
            )
        });
    add_readable(found, &readable);
    found.templates.push(template);
    Ok(NewAttachment {
        name: Some(name),
        ..NewAttachment::of_kind(AttachmentKind::Template)
    })
}

/// A template as text: its text, then a line a card, then the buttons in brackets.
fn in_words(template: &Template) -> String {
    let mut lines = Vec::new();
    lines.extend(filled(&template.title));
    lines.extend(filled(&template.text));
    let of_product = template
        .product
        .as_ref()
        .and_then(|product| product.elements.as_deref());
    for element in template
        .elements
        .as_deref()
        .into_iter()
        .chain(of_product)
        .flatten()
    {
        lines.extend(element_in_words(element));
    }
    lines.extend(buttons_in_words(template.buttons.as_deref()));
    lines.join("\n")
}

fn element_in_words(element: &TemplateElement) -> Vec<String> {
    let title: Vec<String> = [&element.title, &element.subtitle]
        .into_iter()
        .filter_map(filled)
        .collect();
    let mut lines = Vec::new();
    if !title.is_empty() {
        lines.push(title.join(" — "));
    }
    lines.extend(buttons_in_words(element.buttons.as_deref()));
    lines
}

fn buttons_in_words(buttons: Option<&[TemplateButton]>) -> Option<String> {
    let titles: Vec<String> = buttons?
        .iter()
        .filter_map(|button| filled(&button.title))
        .map(|title| format!("[{title}]"))
        .collect();
    (!titles.is_empty()).then(|| titles.join(" "))
}

fn filled(text: &Option<String>) -> Option<String> {
    let cleaned = clean_text(text.as_deref()?);
    (!cleaned.trim().is_empty()).then(|| cleaned.trim().to_owned())
}

fn add_readable(found: &mut Found, readable: &str) {
    if readable.is_empty() {
        return;
    }
    let text = match found.readable.take() {
        Some(before) => format!("{before}\n{readable}"),
        None => readable.to_owned(),
    };
    found.readable = Some(clean_text(&text));
}

/// An appointment, of which only the beginning of its fields' names is documented: `booking_`.
fn appointment(attachment: &Attachment<'_>, found: &mut Found) -> Result<NewAttachment, String> {
    let raw = attachment
        .payload
        .map(|raw| raw.get())
        .filter(|raw| raw.starts_with('{'))
        .unwrap_or("{}");
    let fields: BTreeMap<Cow<'_, str>, Raw<'_>> =
        serde_json::from_str(raw).map_err(|error| reason(&error))?;
    let mut lines = vec!["Appointment".to_owned()];
    for (key, value) in fields {
        let Some(name) = key.strip_prefix("booking_") else {
            continue;
        };
        let value = match value.get().as_bytes().first() {
            Some(b'"') => serde_json::from_str(value.get()).map_err(|error| reason(&error))?,
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => value.get().to_owned(),
            _ => continue,
        };
        let value = clean_text(&value);
        lines.push(format!("{}: {value}", shortened(&name.replace('_', " "))));
        found.appointment.insert(shortened(&key), value);
    }
    add_readable(found, &lines.join("\n"));
    Ok(NewAttachment {
        name: Some("Appointment".to_owned()),
        ..NewAttachment::of_kind(AttachmentKind::Template)
    })
}
