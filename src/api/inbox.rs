//! `GET /api/v1/conversations`: the inbox, by last activity or by who waits longest.
//!
//! What is not resolved comes from the projection in memory ([`crate::inbox`]); where resolved conversations are asked
//! for as well, the store is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Query;
use super::cursor::Position;
use super::extract::MayRead;
use super::filters::{self, Assignee, ConversationFilter};
use super::paging::{self, List, Look};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::channels::Channels;
use crate::id::{ContactId, ConversationId, TeamId, UserId};
use crate::inbox::{Order, Statuses, Wanted};
use crate::store::record::{ChannelNo, ConversationRecord, Status};
use crate::store::{Found, InboxPage};
use crate::view::Conversation;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(inbox))
}

/// In which order conversations come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Last activity first.
    #[default]
    Activity,
    /// Longest wait first: only what is unanswered.
    Waiting,
}

/// What of the inbox is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct InboxQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// How the conversation stands: `open`, `pending`, `snoozed`, `resolved`, or several of them with commas between.
    status: Option<String>,
    /// `activity` (where it is left out): last activity first. `waiting`: longest wait first, and only what is unanswered.
    #[param(inline, value_type = Option<Sort>)]
    sort: Option<String>,
    /// `true`: only what is unanswered: a customer waits, and the conversation is neither resolved, asleep nor spam.
    #[param(value_type = Option<bool>)]
    waiting: Option<String>,
    /// Only this channel, by its slug. One that you may not see gives an empty list.
    channel: Option<String>,
    /// Who has it: `me`, `none` or a user's id.
    assignee: Option<String>,
    /// Which team has it, by its id.
    team: Option<String>,
    /// A label that it bears.
    label: Option<String>,
    /// `true`: only conversations with something unread.
    #[param(value_type = Option<bool>)]
    unread: Option<String>,
    /// `me`: only conversations with a note that mentions you; or a user's id.
    mentioned: Option<String>,
    /// `true`: only spam. Where it is left out or `false`, spam is left out.
    #[param(value_type = Option<bool>)]
    spam: Option<String>,
    /// Words in the contact's name, the subject or the last message; upper and lower case are alike.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Only those of this contact, by their id: also resolved ones.
    contact: Option<String>,
}

/// What is wanted, understood: of a request, or of a saved view.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    /// The order.
    pub(super) sort: Sort,
    /// How they stand; `None`: however.
    pub(super) statuses: Option<Statuses>,
    /// Only unanswered ones.
    pub(super) waiting: bool,
    /// Only these channels.
    pub(super) channels: Option<Vec<ChannelNo>>,
    /// Only those of this person, or of nobody.
    pub(super) assignee: Option<Assignee>,
    /// Only those of this team.
    pub(super) team: Option<TeamId>,
    /// Only those with this label.
    pub(super) label: Option<String>,
    /// Only those with something unread.
    pub(super) unread: bool,
    /// Only those in which this person was mentioned; a program never is.
    pub(super) mentioned: Option<Option<UserId>>,
    /// Only spam; else only what is none.
    pub(super) spam: bool,
    /// Words, in lower case.
    pub(super) words: Option<String>,
    /// Only those of this contact.
    pub(super) contact: Option<ContactId>,
}

impl InboxQuery {
    fn understood(&self, channels: &Channels, caller: &Caller) -> Result<Search, Problem> {
        let flag = |name, text: &Option<String>| {
            text.as_deref()
                .map_or(Ok(false), |text| filters::flag(name, text))
        };
        let me = filters::user_of(caller);
        Ok(Search {
            sort: self
                .sort
                .as_deref()
                .map_or(Ok(Sort::Activity), filters::sort)?,
            statuses: self
                .status
                .as_deref()
                .map(|text| filters::statuses("status", text))
                .transpose()?,
            waiting: flag("waiting", &self.waiting)?,
            channels: filters::channels_named(channels, self.channel.as_deref(), None),
            assignee: self
                .assignee
                .as_deref()
                .map(|text| filters::assignee(text, me))
                .transpose()?,
            team: self
                .team
                .as_deref()
                .map(|text| filters::id::<TeamId>("team", text, "tea_…"))
                .transpose()?,
            label: self.label.clone(),
            unread: flag("unread", &self.unread)?,
            mentioned: self
                .mentioned
                .as_deref()
                .map(|text| filters::mentioned(text, me))
                .transpose()?,
            spam: flag("spam", &self.spam)?,
            words: self
                .q
                .as_deref()
                .map_or(Ok(None), |text| filters::words("q", text))?,
            contact: self
                .contact
                .as_deref()
                .map(|text| filters::id::<ContactId>("contact", text, "cus_…"))
                .transpose()?,
        })
    }
}

impl Search {
    /// The same for the projection; `None` where it does not know all that is wanted, or where nothing can be.
    pub(super) fn in_memory(&self) -> Option<Wanted> {
        let waiting = self.waiting || self.sort == Sort::Waiting;
        let statuses = match self.statuses {
            Some(statuses) => statuses,
            None if waiting => Statuses::AWAKE,
            None => Statuses::ALL,
        };
        if !self.spam && !waiting && statuses.has(Status::Resolved) {
            return None;
        }
        let wanted = Wanted {
            statuses,
            channels: self
                .channels
                .as_ref()
                .map(|channels| channels.iter().copied().collect::<BTreeSet<_>>()),
            waiting,
            assignee: match self.assignee {
                None => None,
                Some(Assignee::Nobody) => Some(None),
                Some(Assignee::User(user)) => Some(Some(user)),
                Some(Assignee::NoUser) => return Some(Wanted::default()),
            },
            team: self.team,
            label: self.label.clone(),
            unread: self.unread,
            mentioned: match self.mentioned {
                Some(None) => return Some(Wanted::default()),
                Some(user) => user,
                None => None,
            },
            spam: self.spam,
        };
        Some(wanted)
    }

    /// The same for records.
    fn filter(&self) -> ConversationFilter {
        ConversationFilter {
            statuses: self.statuses,
            waiting: self.waiting || self.sort == Sort::Waiting,
            assignee: self.assignee,
            team: self.team,
            label: self.label.clone(),
            unread: self.unread,
            mentioned: self.mentioned,
            spam: Some(self.spam),
            words: self.words.clone(),
        }
    }
}

/// A place in the inbox by the time that somebody waits: no cursor of the one order does for the other.
#[derive(Clone, Copy, Debug)]
struct WaitingPlace(Time, ConversationId);

impl Position for WaitingPlace {
    const LIST: u8 = 40;

    fn to_bytes(&self) -> Vec<u8> {
        (self.0, self.1).to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, id) = <(Time, ConversationId)>::from_bytes(bytes)?;
        Some(Self(time, id))
    }
}

/// The inbox
///
/// Conversations by last activity, or by who waits longest. What moves while you page is told by the stream; no
/// conversation that did not move is skipped or repeated.
#[utoipa::path(
    get, path = "/api/v1/conversations", tag = "conversations", operation_id = "listConversations", params(InboxQuery),
    responses((status = 200, description = "A page of the inbox", body = List<Conversation>)),
)]
async fn inbox(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<InboxQuery>,
) -> Result<axum::Json<List<Conversation>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let search = query.understood(&app.channels, &caller)?;
    let cursor = query.cursor.as_deref();
    let start = match search.sort {
        Sort::Activity => app.cursors.read::<(Time, ConversationId)>(cursor)?,
        Sort::Waiting => app
            .cursors
            .read::<WaitingPlace>(cursor)?
            .map(|place| (place.0, place.1)),
    };
    let list = paging::read(&app, move |app| {
        let (data, next) = match (search.contact, search.in_memory()) {
            (Some(contact), _) => of_contact(app, &caller, &search, contact, start, limit)?,
            (None, Some(wanted)) => from_memory(app, &caller, &search, &wanted, start, limit)?,
            (None, None) => from_store(app, &caller, &search, start, limit)?,
        };
        let next = next.map(|(time, id)| match search.sort {
            Sort::Activity => app.cursors.write(&(time, id)),
            Sort::Waiting => app.cursors.write(&WaitingPlace(time, id)),
        });
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

type Page = (Vec<Conversation>, Option<(Time, ConversationId)>);

fn from_memory(
    app: &Daemon,
    caller: &Caller,
    search: &Search,
    wanted: &Wanted,
    start: Option<(Time, ConversationId)>,
    limit: usize,
) -> Found<Page> {
    let order = match search.sort {
        Sort::Activity => Order::Activity,
        Sort::Waiting => Order::Waiting,
    };
    let (view, filter) = (app.view(), search.filter());
    let fetch = |behind: Option<&(Time, ConversationId)>, limit| {
        app.inbox.page(
            &*app.store,
            &caller.scope,
            wanted,
            order,
            behind.copied(),
            limit,
        )
    };
    let look = |(_, id): &(Time, ConversationId)| {
        let Some(found) = app.store.conversation(&caller.scope, *id)? else {
            app.inbox.gone(*id);
            return Ok(Look::Skip);
        };
        // It may have changed since it was found: then it has moved, and the stream tells of it.
        Ok(if filter.fits(&found) {
            Look::Take(view.conversation(&found))
        } else {
            Look::Skip
        })
    };
    paging::fill(limit, start, fetch, |stand| *stand, look)
}

/// One contact has few conversations: all are read, and put in order here.
fn of_contact(
    app: &Daemon,
    caller: &Caller,
    search: &Search,
    contact: ContactId,
    start: Option<(Time, ConversationId)>,
    limit: usize,
) -> Found<Page> {
    let (view, filter) = (app.view(), search.filter());
    let mut found = Vec::new();
    for id in app.store.conversations_of(&caller.scope, contact)? {
        let Some(record) = app.store.conversation(&caller.scope, id)? else {
            continue;
        };
        let channels = search.channels.as_ref();
        let is_in_channel = channels.is_none_or(|channels| channels.contains(&record.channel));
        if is_in_channel && filter.fits(&record) {
            let time = match search.sort {
                Sort::Activity => record.last_activity_at,
                Sort::Waiting => record.waiting_since.unwrap_or(record.last_activity_at),
            };
            found.push(((time, id), record));
        }
    }
    found.sort_unstable_by_key(|(place, _)| *place);
    if search.sort == Sort::Activity {
        found.reverse();
    }
    let is_behind = |place: (Time, ConversationId)| {
        start.is_none_or(|start| match search.sort {
            Sort::Activity => place < start,
            Sort::Waiting => place > start,
        })
    };
    found.retain(|(place, _)| is_behind(*place));
    let next = paging::end(&mut found, limit, |(place, _)| *place);
    let data = found.iter().map(|(_, record)| view.conversation(record));
    Ok((data.collect(), next))
}

fn from_store(
    app: &Daemon,
    caller: &Caller,
    search: &Search,
    start: Option<(Time, ConversationId)>,
    limit: usize,
) -> Found<Page> {
    let (view, filter) = (app.view(), search.filter());
    let fetch = |behind: Option<&(Time, ConversationId)>, limit| {
        let page = InboxPage {
            channels: search.channels.clone(),
            behind: behind.copied(),
            limit,
        };
        app.store.inbox(&caller.scope, &page)
    };
    let place_of = |found: &Arc<ConversationRecord>| (found.last_activity_at, found.id);
    let look = |found: &Arc<ConversationRecord>| {
        Ok(if filter.fits(found) {
            Look::Take(view.conversation(found))
        } else {
            Look::Skip
        })
    };
    paging::fill(limit, start, fetch, place_of, look)
}
