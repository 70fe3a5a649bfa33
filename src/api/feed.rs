//! `GET /api/v1/feed`: the unified feed.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use deskbell_sdk::{Direction, Time};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Query;
use super::extract::MayRead;
use super::filters::{self, ConversationFilter};
use super::paging::{self, List, Look};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::id::{ConversationId, MessageId, UserId, first_at};
use crate::store::record::{ChannelNo, ConversationRecord, MessageRecord};
use crate::store::{FeedPage, Found, Scope};
use crate::view::FeedItem;

/// How far an id's time and the arrival may lie apart, in milliseconds: the queue, and a clock that was set back.
const SLACK_MS: i64 = 10 * 60 * 1000;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(feed))
}

/// What of the feed is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only this channel, by its slug. One that you may not see gives an empty list.
    channel: Option<String>,
    /// Only channels of this connector.
    connector: Option<String>,
    /// `inbound` or `outbound`.
    #[param(value_type = Option<Direction>)]
    direction: Option<String>,
    /// Only what reached the daemon at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Only what reached the daemon before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
    /// Only messages whose conversation stands so now: `open`, `pending`, `snoozed`, `resolved`, or several with commas
    /// between.
    conversation_status: Option<String>,
    /// Only messages whose conversation has this assignee now: `me`, `none` or a user's id.
    assignee: Option<String>,
    /// Only messages whose conversation bears this label now.
    label: Option<String>,
}

/// What is wanted, understood.
struct Wanted {
    limit: usize,
    cursor: Option<MessageId>,
    channels: Option<Vec<ChannelNo>>,
    direction: Option<Direction>,
    since: Option<Time>,
    until: Option<Time>,
    conversation: ConversationFilter,
}

impl Wanted {
    fn understood(app: &Daemon, me: Option<UserId>, query: &FeedQuery) -> Result<Self, Problem> {
        let time = |name, text: &Option<String>| {
            text.as_deref()
                .map(|text| filters::time(name, text))
                .transpose()
        };
        Ok(Self {
            limit: paging::limit(query.limit.as_deref())?,
            cursor: app.cursors.read(query.cursor.as_deref())?,
            channels: filters::channels_named(
                &app.channels,
                query.channel.as_deref(),
                query.connector.as_deref(),
            ),
            direction: query
                .direction
                .as_deref()
                .map(filters::direction)
                .transpose()?,
            since: time("since", &query.since)?,
            until: time("until", &query.until)?,
            conversation: ConversationFilter {
                statuses: query
                    .conversation_status
                    .as_deref()
                    .map(|text| filters::statuses("conversation_status", text))
                    .transpose()?,
                assignee: query
                    .assignee
                    .as_deref()
                    .map(|text| filters::assignee(text, me))
                    .transpose()?,
                label: query.label.clone(),
                ..ConversationFilter::default()
            },
        })
    }

    /// Behind which message the page begins: ids tell the time, so that what came after `until` need not be looked at.
    fn start(&self) -> Option<MessageId> {
        let by_time = self
            .until
            .map(|until| MessageId(first_at(until.plus_millis(SLACK_MS))));
        match (self.cursor, by_time) {
            (Some(cursor), Some(by_time)) => Some(cursor.min(by_time)),
            (one, other) => one.or(other),
        }
    }

    /// Whether neither this message nor an older one can be wanted.
    fn is_behind(&self, message: &MessageRecord) -> bool {
        self.since
            .is_some_and(|since| message.id.0 < first_at(since.plus_millis(-SLACK_MS)))
    }

    fn fits(&self, message: &MessageRecord) -> bool {
        self.direction
            .is_none_or(|direction| message.direction == direction)
            && self.since.is_none_or(|since| message.received_at >= since)
            && self.until.is_none_or(|until| message.received_at < until)
    }
}

/// The conversations of one page, each read once.
struct Conversations<'a> {
    app: &'a Daemon,
    scope: &'a Scope,
    known: HashMap<ConversationId, Arc<ConversationRecord>>,
}

impl Conversations<'_> {
    /// The conversation of a message; `None` while the person is being erased.
    fn of(&mut self, message: &MessageRecord) -> Found<Option<Arc<ConversationRecord>>> {
        if let Some(known) = self.known.get(&message.conversation) {
            return Ok(Some(Arc::clone(known)));
        }
        let found = self
            .app
            .store
            .conversation(self.scope, message.conversation)?;
        if let Some(found) = &found {
            self.known.insert(found.id, Arc::clone(found));
        }
        Ok(found)
    }
}

/// The unified feed
///
/// The messages of every channel that you may read, newest arrival first, each with its conversation and contact.
/// Nothing is skipped or repeated while new messages arrive.
#[utoipa::path(
    get, path = "/api/v1/feed", tag = "feed", operation_id = "readFeed", params(FeedQuery),
    responses((status = 200, description = "A page of the feed", body = List<FeedItem>)),
)]
async fn feed(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<FeedQuery>,
) -> Result<axum::Json<List<FeedItem>>, Problem> {
    let wanted = Wanted::understood(&app, filters::user_of(&caller), &query)?;
    let list = paging::read(&app, move |app| Ok(page(app, &caller, &wanted)?)).await?;
    Ok(axum::Json(list))
}

fn page(app: &Daemon, caller: &Caller, wanted: &Wanted) -> Found<List<FeedItem>> {
    let view = app.view();
    let mut conversations = Conversations {
        app,
        scope: &caller.scope,
        known: HashMap::new(),
    };
    let fetch = |before: Option<&MessageId>, limit| {
        let page = FeedPage {
            channels: wanted.channels.clone(),
            before: before.copied(),
            limit,
        };
        app.store.feed(&caller.scope, &page)
    };
    let look = |message: &Arc<MessageRecord>| {
        if wanted.is_behind(message) {
            return Ok(Look::End);
        }
        if !wanted.fits(message) {
            return Ok(Look::Skip);
        }
        let Some(conversation) = conversations.of(message)? else {
            return Ok(Look::Skip);
        };
        if !wanted.conversation.fits(&conversation) {
            return Ok(Look::Skip);
        }
        Ok(Look::Take(view.feed_item(
            &*app.store,
            message,
            &conversation,
        )))
    };
    let (data, next) = paging::fill(
        wanted.limit,
        wanted.start(),
        fetch,
        |message| message.id,
        look,
    )?;
    Ok(List {
        data,
        next: next.map(|place| app.cursors.write(&place)),
    })
}
