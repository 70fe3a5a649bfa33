//! Reading what no delivery brought: the Page's conversations (Conversations API), in the words in which deliveries
//! tell messages.
//!
//! What conversations do not tell: receipts, edits, payloads of buttons, referrals, and which app wrote for the Page.

use deskbell_sdk::backfill::{Backfill, MessagePage, ThreadHead, ThreadPage, Unreadable};
use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::json::{Raw, mended};
use deskbell_sdk::text::{clean_name, clean_text};
use deskbell_sdk::{
    AttachmentKind, Author, Direction, ExternalId, NewAttachment, NewMessage, Person, Source, Time,
};
use serde::de::DeserializeOwned;

use crate::call::{call, not_metas};
use crate::decode::attachments::{fetched_from, shared};
use crate::decode::{object, shortened};
use crate::graph::{Graph, percent_encoded};
use crate::wire::reading::{
    Few, List, Paging, Participant, Quoted, Share, Shown, ShownAttachment, Thread, party,
};

/// Conversations on a page, and messages that come with each.
const THREADS: usize = 25;
const NEWEST: usize = 25;
/// Messages on a page of their own: Meta's most.
const MESSAGES: usize = 100;
/// Longer cursors are none of Meta's.
const MAX_CURSOR_BYTES: usize = 4096;
const FIELDS: &str =
    "id,created_time,from,to,message,attachments,sticker,shares,reply_to,is_unsupported";

impl Backfill for Graph {
    fn threads<'a>(
        &'a self,
        http: &'a dyn Http,
        at: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ThreadPage, CallError>> {
        Box::pin(async move {
            let path = format!("{}/conversations", self.page_id);
            let mut query = format!(
                "platform=messenger&limit={THREADS}&fields=id,updated_time,participants,\
                 messages.limit({NEWEST})%7B{FIELDS}%7D"
            );
            if let Some(cursor) = at {
                query.push_str(&format!("&after={}", percent_encoded(cursor)));
            }
            let body = call(http, self.get(&path, &query)).await?;
            read_threads(&mended(&body), &self.page_id)
        })
    }

    fn messages<'a>(
        &'a self,
        http: &'a dyn Http,
        at: &'a str,
    ) -> BoxFuture<'a, Result<MessagePage, CallError>> {
        Box::pin(async move {
            let place = Place::read(at);
            let path = format!("{}/messages", percent_encoded(place.thread));
            let mut query = format!("limit={MESSAGES}&fields={FIELDS}");
            if let Some(cursor) = place.cursor {
                query.push_str(&format!("&after={}", percent_encoded(cursor)));
            }
            let body = call(http, self.get(&path, &query)).await?;
            let text = mended(&body);
            let list: List<'_> = object(&text).map_err(|_| not_metas())?;
            let customer = place.customer.map(Person::with_id);
            read_messages(&list, &self.page_id, place.thread, customer.as_ref())
        })
    }
}

/// Where messages are: the thread, whose it is, and how far back.
struct Place<'a> {
    thread: &'a str,
    customer: Option<&'a str>,
    cursor: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// What [`Place::write`] wrote.
    fn read(at: &'a str) -> Self {
        let mut parts = at.split('\n');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        Self {
            thread: part().unwrap_or_default(),
            customer: part(),
            cursor: part(),
        }
    }

    /// Neither ids nor cursors hold a line's end.
    fn write(&self) -> String {
        let (customer, cursor) = (
            self.customer.unwrap_or_default(),
            self.cursor.unwrap_or_default(),
        );
        format!("{}\n{customer}\n{cursor}", self.thread)
    }
}

fn read_threads(text: &str, page_id: &str) -> Result<ThreadPage, CallError> {
    let list: List<'_> = object(text).map_err(|_| not_metas())?;
    let mut page = ThreadPage {
        next: next(list.paging.as_ref())?,
        ..ThreadPage::default()
    };
    for raw in list.data {
        let thread = match object::<Thread<'_>>(raw.get()) {
            Ok(thread) => thread,
            Err(why) => {
                let why = format!("a conversation of the Page: {why}");
                page.unreadable.push(unreadable(raw, &why));
                continue;
            }
        };
        let customer = customer_of(thread.participants, page_id);
        let list = thread.messages.unwrap_or_default();
        let newest = read_messages(&list, page_id, thread.id.as_str(), customer.as_ref())?;
        let newest_at = newest.messages.first().map(|message| message.sent_at);
        let place = Place {
            thread: thread.id.as_str(),
            customer: customer.as_ref().map(|customer| customer.id.as_str()),
            cursor: None,
        };
        page.threads.push(ThreadHead {
            first: place.write(),
            updated_at: time(thread.updated_time.as_deref()).or(newest_at),
            newest,
        });
    }
    Ok(page)
}

/// The one who is not the Page.
fn customer_of(participants: Option<Raw<'_>>, page_id: &str) -> Option<Person> {
    let people: Few<Participant> = serde_json::from_str(participants?.get()).ok()?;
    let customer = people
        .data
        .into_iter()
        .find(|participant| participant.id.as_str() != page_id)?;
    Some(Person {
        name: customer.name.as_deref().and_then(clean_name),
        ..Person::with_id(customer.id.into_string())
    })
}

fn read_messages(
    list: &List<'_>,
    page_id: &str,
    thread: &str,
    customer: Option<&Person>,
) -> Result<MessagePage, CallError> {
    let mut page = MessagePage::default();
    for raw in &list.data {
        let read =
            object::<Shown<'_>>(raw.get()).and_then(|shown| read_message(shown, page_id, customer));
        match read {
            Ok(message) => page.messages.push(message),
            Err(why) => page.unreadable.push(unreadable(raw, &why)),
        }
    }
    let known = page.messages.first().map(|message| &message.customer);
    let customer = customer.or(known).map(|person| person.id.clone());
    page.older = next(list.paging.as_ref())?.map(|cursor| {
        let (customer, cursor) = (customer.as_deref(), Some(cursor.as_str()));
        Place {
            thread,
            customer,
            cursor,
        }
        .write()
    });
    Ok(page)
}

fn unreadable(raw: Raw<'_>, why: &str) -> Unreadable {
    Unreadable {
        raw: raw.get().to_owned(),
        why: why.to_owned(),
    }
}

/// The cursor of the next page. Meta's own address of it holds the token, so only its cursor is taken (P16).
fn next(paging: Option<&Paging>) -> Result<Option<String>, CallError> {
    let Some((paging, address)) = paging.and_then(|paging| Some((paging, paging.next.as_ref()?)))
    else {
        return Ok(None);
    };
    let told = paging
        .cursors
        .as_ref()
        .and_then(|cursors| cursors.after.as_deref());
    let in_address = || {
        let query = address.split_once('?')?.1;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("after="))
    };
    let cursor = told.or_else(in_address).unwrap_or_default();
    let plain = cursor.bytes().all(|byte| byte.is_ascii_graphic());
    if cursor.is_empty() || cursor.len() > MAX_CURSOR_BYTES || !plain {
        return Err(CallError::retry(
            "Meta told of a further page without saying where it is",
        ));
    }
    Ok(Some(cursor.to_owned()))
}

fn time(written: Option<&str>) -> Option<Time> {
    written?.parse().ok()
}

fn read_message(
    shown: Shown<'_>,
    page_id: &str,
    customer: Option<&Person>,
) -> Result<NewMessage, String> {
    let from = party(shown.from);
    let to: Vec<Participant> = shown
        .to
        .and_then(|raw| serde_json::from_str::<Few<Participant>>(raw.get()).ok())
        .map_or_else(Vec::new, |people| people.data);
    let is_page = |side: &Participant| side.id.as_str() == page_id;
    // Where the sender is not told, the receiver tells. Where neither is, it is better heard than not.
    let by_page = match &from {
        Some(from) => is_page(from),
        None => !to.is_empty() && !to.iter().any(is_page),
    };
    let other_side = from.iter().chain(&to).find(|side| !is_page(side));
    let other_side = other_side.map(|side| Person {
        name: side.name.as_deref().and_then(clean_name),
        ..Person::with_id(side.id.as_str())
    });
    let customer = match (customer, other_side) {
        (Some(customer), Some(other)) if customer.name.is_none() && customer.id == other.id => {
            other
        }
        (Some(customer), _) => customer.clone(),
        (None, Some(other)) => other,
        (None, None) => return Err("neither side has the id of a customer".to_owned()),
    };

    let (mut attachments, mut readable) = (Vec::new(), None);
    for attachment in each::<ShownAttachment>(shown.attachments) {
        attachments.push(match attachment {
            Some(attachment) => read_attachment(attachment, &mut readable),
            None => unsupported("[unreadable attachment]"),
        });
    }
    sticker(shown.sticker.as_deref(), &mut attachments);
    for share in each::<Share>(shown.shares) {
        let Some(share) = share else {
            attachments.push(unsupported("[unreadable link]"));
            continue;
        };
        // A sticker is also told as a share of its picture.
        if share.link.is_none() || share.link != shown.sticker {
            let name = share.name.as_deref().and_then(clean_name);
            let link = share.link.as_deref();
            attachments.push(shared(AttachmentKind::Link, link, name, share.id.as_ref()));
        }
    }
    let written = shown
        .message
        .map(|text| clean_text(&text))
        .filter(|text| !text.trim().is_empty());
    let text = written.or(readable);
    if shown.is_unsupported {
        attachments.push(unsupported("[unsupported message]"));
    } else if text.is_none() && attachments.is_empty() {
        attachments.push(unsupported("[empty message]"));
    }
    let quoted = shown
        .reply_to
        .and_then(|raw| serde_json::from_str::<Quoted>(raw.get()).ok());
    let (direction, author) = if by_page {
        let name = Some("Facebook".to_owned());
        (Direction::Outbound, Author::Staff { name })
    } else {
        (Direction::Inbound, Author::Contact(customer.clone()))
    };
    Ok(NewMessage {
        album: None,
        thread: customer.id.clone(),
        customer,
        external_id: shown.id.into_string(),
        direction,
        author,
        text,
        attachments,
        reply_to: quoted
            .and_then(|quoted| quoted.mid.or(quoted.id))
            .map(ExternalId::into_string),
        sent_at: time(shown.created_time.as_deref()).unwrap_or_default(),
        order: 0,
        metadata: std::collections::BTreeMap::new(),
        send_token: None,
    })
}

/// The things of a small list; `None` for each that cannot be read, and for a list that cannot be.
fn each<T: DeserializeOwned>(list: Option<Raw<'_>>) -> Vec<Option<T>> {
    let Some(list) = list.filter(|raw| raw.get() != "null") else {
        return Vec::new();
    };
    match serde_json::from_str::<List<'_>>(list.get()) {
        Ok(list) => list
            .data
            .iter()
            .map(|raw| serde_json::from_str(raw.get()).ok())
            .collect(),
        Err(_) => vec![None],
    }
}

fn read_attachment(shown: ShownAttachment, readable: &mut Option<String>) -> NewAttachment {
    let mime = shown.mime_type.as_deref().unwrap_or_default();
    let of_type = || match mime.split('/').next() {
        Some("image") => AttachmentKind::Image,
        Some("audio") => AttachmentKind::Audio,
        Some("video") => AttachmentKind::Video,
        _ => AttachmentKind::File,
    };
    let mut name = shown.name.as_deref().and_then(clean_name);
    let (kind, source) = if let Some(image) = &shown.image_data {
        let kind = if image.render_as_sticker {
            AttachmentKind::Sticker
        } else {
            AttachmentKind::Image
        };
        (kind, fetched_from(image.url.as_deref()))
    } else if let Some(video) = &shown.video_data {
        (AttachmentKind::Video, fetched_from(video.url.as_deref()))
    } else if shown.file_url.is_some() {
        (of_type(), fetched_from(shown.file_url.as_deref()))
    } else if let Some(template) = &shown.generic_template {
        let words: Vec<String> = [&template.title, &template.subtitle]
            .into_iter()
            .filter_map(|text| clean_name(text.as_deref()?))
            .collect();
        if !words.is_empty() {
            readable.get_or_insert_with(|| words.join(" — "));
        }
        name = words.into_iter().next().or(name);
        (AttachmentKind::Template, Source::Nowhere)
    } else if shown.template.is_some() {
        (AttachmentKind::Template, Source::Nowhere)
    } else if mime.is_empty() {
        name = name.or_else(|| Some("[unsupported: attachment]".to_owned()));
        (AttachmentKind::Unsupported, Source::Nowhere)
    } else {
        // Where privacy rules hide contents, only the type is told.
        (of_type(), Source::Nowhere)
    };
    NewAttachment {
        name,
        mime_type: shown.mime_type.as_deref().map(shortened),
        size: shown.size.and_then(|size| u64::try_from(size).ok()),
        source,
        external_id: shown.id.map(ExternalId::into_string),
        ..NewAttachment::of_kind(kind)
    }
}

/// The sticker of a message, unless it stands among the attachments.
fn sticker(address: Option<&str>, attachments: &mut Vec<NewAttachment>) {
    let Some(address) = address else { return };
    let source = fetched_from(Some(address));
    let same = attachments
        .iter_mut()
        .find(|one| one.kind == AttachmentKind::Sticker || one.source == source);
    match same {
        Some(known) => known.kind = AttachmentKind::Sticker,
        None => attachments.push(NewAttachment {
            source,
            ..NewAttachment::of_kind(AttachmentKind::Sticker)
        }),
    }
}

fn unsupported(name: &str) -> NewAttachment {
    NewAttachment {
        name: Some(name.to_owned()),
        ..NewAttachment::of_kind(AttachmentKind::Unsupported)
    }
}

#[cfg(test)]
mod tests;
