//! Messages: what a customer wrote or tapped, and the echoes of what the Page wrote.

use std::collections::BTreeMap;

use deskbell_sdk::text::clean_text;
use deskbell_sdk::{
    Activity, AttachmentKind, Author, Direction, Event, ExternalId, MessageChange, NewAttachment,
    NewMessage, Person, Source, Time,
};
use serde_json::Value;

use super::{PAGE_INBOX_APP, Place, Sides, attachments, details, note};
use crate::wire::{Message, Postback, PriorMessage, Story};

/// A message, an echo, an unsent message or a line of the system's.
pub(super) fn message(
    message: Message<'_>,
    prior: Option<&PriorMessage>,
    sides: &Sides,
    at: Time,
    place: Place<'_>,
) -> Result<Vec<Event>, String> {
    if message.is_deleted {
        let mid = message
            .mid
            .ok_or("a message was unsent, but which is not said")?;
        return Ok(vec![change(mid, MessageChange::Deleted { at })]);
    }
    let customer = customer(sides)?;
    let mut metadata = metadata(place);
    let found = attachments::all(
        message.attachments.unwrap_or_default(),
        message.sticker_id.as_ref(),
    )?;
    let mut shown = found.attachments;
    note(&mut metadata, "templates", details(&found.templates));
    note(&mut metadata, "appointment", details(&found.appointment));

    let payload = message.quick_reply.and_then(|reply| reply.payload);
    let commands: Vec<String> = message
        .commands
        .unwrap_or_default()
        .into_iter()
        .filter_map(|command| command.name)
        .collect();
    note(&mut metadata, "payload", details(&payload));
    note(&mut metadata, "commands", details(&commands));
    note(&mut metadata, "referral", details(&message.referral));
    if let Some(prior) = prior {
        let of_prior =
            BTreeMap::from([("source", &prior.source), ("identifier", &prior.identifier)]);
        note(&mut metadata, "prior_message", details(&of_prior));
    }

    let (reply_to, story) = message
        .reply_to
        .map_or((None, None), |reply| (reply.mid, reply.story));
    shown.extend(story.map(answered_story));
    let written = message
        .text
        .map(|text| clean_text(&text))
        .filter(|text| !text.trim().is_empty());
    let text = written
        .or(found.readable)
        .or_else(|| in_words(&commands))
        .or_else(|| {
            payload
                .as_deref()
                .map(clean_text)
                .filter(|text| !text.trim().is_empty())
        });

    let mut events = Vec::new();
    if let Some(line) = message
        .admin_text
        .map(|line| clean_text(&line))
        .filter(|line| !line.trim().is_empty())
    {
        events.push(Event::Activity(Activity {
            thread: customer.id.clone(),
            customer: customer.clone(),
            // Not the message's own id: a text beside it is a message of that id.
            external_id: made_id(
                "admin_text",
                &customer.id,
                at,
                &[message.mid.as_ref().map_or("", ExternalId::as_str), &line],
            ),
            text: line,
            at,
            by_customer: false,
            metadata: self::metadata(place),
        }));
        if text.is_none() && shown.is_empty() && !message.is_unsupported {
            return Ok(events);
        }
    }
    if message.is_unsupported {
        shown.push(unsupported("[unsupported message]"));
    } else if text.is_none() && shown.is_empty() {
        shown.push(unsupported("[empty message]"));
    }

    let external_id = message.mid.map_or_else(
        || {
            let mut telling = vec![
                if sides.by_page { "page" } else { "customer" },
                text.as_deref().unwrap_or_default(),
            ];
            telling.extend(shown.iter().map(|attachment| match &attachment.source {
                Source::Url(url) => url.as_str(),
                _ => attachment.name.as_deref().unwrap_or_default(),
            }));
            made_id("message", &customer.id, at, &telling)
        },
        ExternalId::into_string,
    );
    if sides.by_page {
        note(&mut metadata, "app_id", details(&message.app_id));
    }
    let author = if sides.by_page {
        echo_author(message.app_id.as_ref(), place.own_app)
    } else {
        Author::Contact(customer.clone())
    };
    events.push(Event::Message(Box::new(NewMessage {
        thread: customer.id.clone(),
        customer,
        external_id,
        direction: if sides.by_page {
            Direction::Outbound
        } else {
            Direction::Inbound
        },
        author,
        text,
        attachments: shown,
        reply_to: reply_to.map(ExternalId::into_string),
        sent_at: at,
        order: 0,
        metadata,
        send_token: message
            .metadata
            .filter(|_| sides.by_page)
            .filter(|token| is_token(token)),
        album: None,
    })));
    Ok(events)
}

/// A tap on a button. It is a message whose text is the button's title.
pub(super) fn postback(
    postback: Postback,
    sides: &Sides,
    at: Time,
    place: Place<'_>,
) -> Result<Event, String> {
    let customer = customer(sides)?;
    let mut metadata = metadata(place);
    note(&mut metadata, "payload", details(&postback.payload));
    note(&mut metadata, "referral", details(&postback.referral));
    let shown = |text: Option<&String>| {
        text.map(|text| clean_text(text))
            .filter(|text| !text.trim().is_empty())
    };
    let text = shown(postback.title.as_ref())
        .or_else(|| shown(postback.payload.as_ref()))
        .unwrap_or_else(|| "[button]".to_owned());
    let external_id = postback.mid.map_or_else(
        || {
            made_id(
                "postback",
                &customer.id,
                at,
                &[postback.payload.as_deref().unwrap_or_default()],
            )
        },
        ExternalId::into_string,
    );
    Ok(Event::Message(Box::new(NewMessage {
        thread: customer.id.clone(),
        author: Author::Contact(customer.clone()),
        customer,
        external_id,
        direction: Direction::Inbound,
        text: Some(text),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: at,
        order: 0,
        metadata,
        send_token: None,
        album: None,
    })))
}

/// The customer, without whom a message has no place.
pub(super) fn customer(sides: &Sides) -> Result<Person, String> {
    let id = sides
        .customer
        .as_deref()
        .ok_or("neither side has the id of a customer")?;
    Ok(Person::with_id(id))
}

/// The id of an event that the platform gave none.
pub(super) fn made_id(kind: &str, customer: &str, at: Time, parts: &[&str]) -> String {
    let at = at.as_millis().to_string();
    let parts: Vec<&str> = [customer, at.as_str()]
        .into_iter()
        .chain(parts.iter().copied())
        .collect();
    ExternalId::synthesised(kind, &parts).into_string()
}

/// The details that every message and activity begins with.
pub(super) fn metadata(place: Place<'_>) -> BTreeMap<String, Value> {
    let mut metadata = BTreeMap::new();
    if place.is_standby {
        metadata.insert("standby".to_owned(), Value::Bool(true));
    }
    metadata
}

pub(super) fn change(message: ExternalId, change: MessageChange) -> Event {
    Event::Change {
        message: message.into_string(),
        change,
    }
}

/// Who wrote for the Page. Our own sends are found by their token; one of ours that is not found was typed by somebody
/// with our app, so it is staff too.
fn echo_author(app: Option<&ExternalId>, own_app: &str) -> Author {
    match app.map(ExternalId::as_str) {
        None | Some(PAGE_INBOX_APP) => Author::Staff {
            name: Some("Facebook".to_owned()),
        },
        Some(app) if app == own_app => Author::Staff { name: None },
        Some(app) => Author::Bot {
            name: Some(app.to_owned()),
        },
    }
}

fn answered_story(story: Story) -> NewAttachment {
    NewAttachment {
        source: attachments::fetched_from(story.url.as_deref()),
        external_id: story.id.map(ExternalId::into_string),
        ..NewAttachment::of_kind(AttachmentKind::Story)
    }
}

fn unsupported(name: &str) -> NewAttachment {
    NewAttachment {
        name: Some(name.to_owned()),
        source: Source::Nowhere,
        ..NewAttachment::of_kind(AttachmentKind::Unsupported)
    }
}

/// Slash commands as they were typed.
fn in_words(commands: &[String]) -> Option<String> {
    let typed: Vec<String> = commands
        .iter()
        .map(|name| format!("/{}", clean_text(name).trim_start_matches('/')))
        .collect();
    (!typed.is_empty()).then(|| typed.join(" "))
}

/// Tokens are made by the desk: short and without control characters. Anything else is somebody else's.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() < 1000 && !token.chars().any(char::is_control)
}
