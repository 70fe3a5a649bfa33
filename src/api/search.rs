//! `GET /api/v1/search`: messages and people, found again by words.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Query;
use super::extract::MayRead;
use super::filters;
use super::paging;
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::search::{Asked, Hit, Is, MAX_CHARS, Rank, Wanted, What, fragment, phone_fragment};
use crate::store::Found;
use crate::store::record::{ChannelNo, ContactRecord, MessageRecord};
use crate::view::{Contact, Conversation, Message};

/// So many fragments are shown of one hit.
const MAX_FRAGMENTS: usize = 4;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search))
}

/// What is looked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// The words, all of which have to be there; the first twelve count. Case and marks on letters do not matter. Words in
    /// quotes are found as they stand behind each other, and so are the parts of an address or a number. The last word
    /// may be the beginning of one.
    /// Without any, nothing is found.
    #[param(max_length = 200)]
    q: String,
    /// What is looked for: `message` (and notes), `contact`, or `all`, which is meant where it is left out.
    #[serde(rename = "type")]
    #[param(inline, value_type = Option<Wants>)]
    kind: Option<String>,
    /// Only this channel, by its slug. One that you may not see gives an empty list.
    channel: Option<String>,
    /// Only messages that reached the daemon, and contacts that were first seen, at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Only those before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wants {
    /// Messages and contacts.
    All,
    /// Messages and notes.
    Message,
    /// Contacts.
    Contact,
}

/// What was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SearchResults {
    /// Best first, then newest first. With what was changed or erased a moment ago a page may be short before the end.
    data: Vec<SearchHit>,
    /// The `cursor` of the next page; `null` at the end.
    next: Option<String>,
    /// Whether everything that was written before was looked through. `false` while the index is being made, or under a
    /// load behind which it stays: then what is in it already answers.
    complete: bool,
}

/// A message or a contact that was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SearchHit {
    /// What it is.
    r#type: HitType,
    /// How well it fits: more is better. It is for comparing within one answer.
    score: f64,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<Message>>,
    /// The message's conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<Box<Conversation>>,
    /// The contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Box<Contact>>,
    /// Where the words stand.
    fragments: Vec<Fragment>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SearchHitType)]
pub enum HitType {
    /// A message, or a note.
    Message,
    /// A contact.
    Contact,
}

/// A part of a text with the words in it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SearchFragment)]
pub struct Fragment {
    /// Where it stands: `text` or `attachment` of a message; `name`, `email`, `phone`, `remark` or `identity` of a contact.
    field: &'static str,
    /// The text in pieces, as it is to be shown; `…` where something was left out.
    parts: Vec<FragmentPart>,
}

/// A piece of a text.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SearchFragmentPart)]
pub struct FragmentPart {
    /// What it says.
    text: String,
    /// Whether it is one of the words.
    hit: bool,
}

/// Find messages and contacts
///
/// By the words of messages, notes and the names of their files, and by a contact's name, e-mail address, telephone
/// number, remark and ids at the platforms: whatever of it you may see, and whatever was written before.
#[utoipa::path(
    get, path = "/api/v1/search", tag = "search", operation_id = "search", params(SearchQuery),
    responses((status = 200, description = "A page of what was found", body = SearchResults)),
)]
async fn search(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<SearchQuery>,
) -> Result<axum::Json<SearchResults>, Problem> {
    let wanted = query.wanted(&app, &caller)?;
    // Somebody who was just told of a message finds it.
    let is_whole = app.search.caught_up(app.store.head()).await;
    let turn = app.search.turn().await.map_err(|_| {
        Problem::unavailable("Too many search at once. Try again shortly.").retry_after(1)
    })?;
    let results = paging::read(&app, move |app| {
        // It lasts as long as the work, also where the caller has gone.
        let _turn = turn;
        Ok(results(app, &caller, &wanted, is_whole)?)
    });
    results.await.map(axum::Json)
}

impl SearchQuery {
    fn wanted(&self, app: &Daemon, caller: &Caller) -> Result<Wanted, Problem> {
        let text = &self.q;
        if text.chars().count() > MAX_CHARS {
            return Err(Problem::bad_request(format!(
                "`q` has at most {MAX_CHARS} characters."
            )));
        }
        let only = match self.kind.as_deref() {
            None | Some("all") => None,
            Some("message") => Some(What::Messages),
            Some("contact") => Some(What::Contacts),
            Some(_) => {
                return Err(Problem::bad_request(
                    "`type` is one of `all`, `message`, `contact`.",
                ));
            }
        };
        let time = |name, text: &Option<String>| {
            let time = text
                .as_deref()
                .map(|text| filters::time(name, text))
                .transpose();
            time.map(|time| time.map(deskbell_sdk::Time::as_millis))
        };
        Ok(Wanted {
            asked: Asked::read(text),
            only,
            channels: self.channels(app, caller),
            known: app
                .channels
                .all_known()
                .iter()
                .map(|entry| entry.no)
                .collect(),
            since_ms: time("since", &self.since)?,
            until_ms: time("until", &self.until)?,
            behind: app.cursors.read::<Rank>(self.cursor.as_deref())?,
            limit: paging::limit(self.limit.as_deref())?,
        })
    }

    /// The channels that are wanted and may be seen; `None`: all.
    fn channels(&self, app: &Daemon, caller: &Caller) -> Option<Vec<ChannelNo>> {
        let named = filters::channels_named(&app.channels, self.channel.as_deref(), None);
        match (named, caller.scope.channels()) {
            (None, None) => None,
            (None, Some(seen)) => Some(seen.iter().copied().collect()),
            (Some(named), _) => Some(
                named
                    .into_iter()
                    .filter(|no| caller.scope.allows(*no))
                    .collect(),
            ),
        }
    }
}

fn results(app: &Daemon, caller: &Caller, wanted: &Wanted, is_whole: bool) -> Found<SearchResults> {
    // One more than fits tells whether there is a next page.
    let more = Wanted {
        limit: wanted.limit + 1,
        ..wanted.clone()
    };
    let mut found = app.search.find(&more);
    let next = if found.hits.len() > wanted.limit {
        found.hits.truncate(wanted.limit);
        found.hits.last().map(|last| app.cursors.write(&last.rank))
    } else {
        None
    };
    let mut data = Vec::new();
    for hit in found.hits {
        // What was erased or hidden since it was indexed is not there for the reader.
        data.extend(shown(app, caller, &wanted.asked, hit)?);
    }
    Ok(SearchResults {
        data,
        next,
        complete: is_whole && found.is_complete,
    })
}

fn shown(app: &Daemon, caller: &Caller, asked: &Asked, hit: Hit) -> Found<Option<SearchHit>> {
    let view = app.view();
    let score = hit.rank.score();
    match hit.is {
        Is::Message(channel, id) => {
            let Some(message) = app.store.message(&caller.scope, channel, id)? else {
                return Ok(None);
            };
            let conversation = app
                .store
                .conversation(&caller.scope, message.conversation)?;
            let Some(conversation) = conversation.filter(|_| message.changes.deleted_at.is_none())
            else {
                return Ok(None);
            };
            Ok(Some(SearchHit {
                r#type: HitType::Message,
                score,
                fragments: in_message(&message, asked),
                message: Some(Box::new(view.message(&*app.store, &message, &conversation))),
                conversation: Some(Box::new(view.conversation(&conversation))),
                contact: None,
            }))
        }
        Is::Contact(id) => {
            let Some(contact) = app.store.contact(&caller.scope, id)? else {
                return Ok(None);
            };
            Ok(Some(SearchHit {
                r#type: HitType::Contact,
                score,
                fragments: in_contact(caller, &contact, asked),
                message: None,
                conversation: None,
                contact: Some(Box::new(view.contact(&caller.scope, &contact))),
            }))
        }
    }
}

fn in_message(message: &Arc<MessageRecord>, asked: &Asked) -> Vec<Fragment> {
    let names = message
        .attachments
        .iter()
        .map(|attachment| attachment.name.as_deref());
    let texts = std::iter::once(("text", message.standing_text()))
        .chain(names.map(|name| ("attachment", name)));
    fragments(texts, asked)
}

fn in_contact(caller: &Caller, contact: &ContactRecord, asked: &Asked) -> Vec<Fragment> {
    let seen = contact
        .identities
        .iter()
        .filter(|identity| caller.scope.allows(identity.channel));
    let identities = seen.map(|identity| ("identity", Some(identity.external_id.as_str())));
    let texts = [
        ("name", contact.name.as_deref()),
        ("email", contact.email.as_deref()),
        ("phone", contact.phone.as_deref()),
        ("remark", contact.remark.as_deref()),
    ];
    fragments(texts.into_iter().chain(identities), asked)
}

fn fragments<'a>(
    texts: impl Iterator<Item = (&'static str, Option<&'a str>)>,
    asked: &Asked,
) -> Vec<Fragment> {
    let found = texts.filter_map(|(field, text)| {
        let parts = if field == "phone" {
            phone_fragment(text?, asked)?
        } else {
            fragment(text?, asked)?
        };
        let parts = parts.into_iter().map(|part| FragmentPart {
            text: part.text,
            hit: part.hit,
        });
        Some(Fragment {
            field,
            parts: parts.collect(),
        })
    });
    found.take(MAX_FRAGMENTS).collect()
}
