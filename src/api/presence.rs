//! `/api/v1/conversations/{id}/presence` and `…/readers`: who of the shop is there now, and up to where each has read.

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, Query};
use super::conversations::no_conversation;
use super::cursor::Position;
use super::extract::{Id, MayRead, MayWrite};
use super::paging::{self, List};
use super::problem::Problem;
use crate::app::App;
use crate::id::{ConversationId, MessageId, TokenId, UserId};
use crate::presence::Doing;
use crate::store::entry::{Entry, ReadPosition};

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(here, say))
        .routes(routes!(readers))
}

/// What somebody does at a conversation.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PresenceNews {
    /// What you do. Say it again at least every 30 seconds; `left` when you go.
    state: Doing,
}

/// Somebody who is at a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PresentPerson {
    /// Who.
    pub user: PersonHere,
    /// What they do.
    pub state: Doing,
    /// Until when they are taken to be there.
    #[schema(value_type = String, format = DateTime)]
    pub until: Time,
}

/// Who somebody is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PersonHere {
    /// `usr_…`, or `tok_…` for a program.
    pub id: String,
    /// The name.
    pub name: String,
}

/// A page of a list that is never long.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ShortQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Say that you are at a conversation
///
/// Colleagues hear it on the stream as `presence`. It is kept in memory for 30 seconds and nowhere else.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/presence", tag = "conversations", operation_id = "sayPresence",
    params(("id" = String, Path, description = "`cnv_…`")), request_body = PresenceNews,
    responses((status = 204, description = "It was told")),
)]
async fn say(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
    Json(news): Json<PresenceNews>,
) -> Result<StatusCode, Problem> {
    let scope = caller.scope.clone();
    let found = paging::read(&app, move |app| {
        app.store
            .conversation(&scope, id)?
            .ok_or_else(no_conversation)
    })
    .await?;
    let now = app.clock.now();
    let who = (caller.owner(), caller.name());
    if let Some(present) = app.presence.says(now, found.channel, id, who, news.state) {
        app.live.presence(now, found.channel, id, &present);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Who is at a conversation now
///
/// Those who came first before the others.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/presence", tag = "conversations", operation_id = "listPresence",
    params(("id" = String, Path, description = "`cnv_…`"), ShortQuery),
    responses((status = 200, description = "Who is there", body = List<PresentPerson>)),
)]
async fn here(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<ConversationId>,
    Query(query): Query<ShortQuery>,
) -> Result<axum::Json<List<PresentPerson>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    // There is one page: at most fifty are told of.
    let _: Option<ReaderPlace> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        app.store
            .conversation(&caller.scope, id)?
            .ok_or_else(no_conversation)?;
        let people = app.presence.at(app.clock.now(), id).into_iter();
        let data = people.take(limit).map(|present| PresentPerson {
            user: PersonHere {
                id: present.id,
                name: present.name,
            },
            state: present.doing,
            until: present.until,
        });
        Ok(List {
            data: data.collect(),
            next: None,
        })
    });
    list.await.map(axum::Json)
}

/// Up to where somebody has read a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reader {
    /// The person, `usr_…`; `null` for a program.
    #[schema(value_type = Option<String>)]
    pub user_id: Option<UserId>,
    /// The program, `tok_…`; `null` for a person.
    #[schema(value_type = Option<String>)]
    pub token_id: Option<TokenId>,
    /// The name, as it was when they read; `null` where it was not kept then.
    pub name: Option<String>,
    /// Everything that arrived at or before this.
    #[schema(value_type = String)]
    pub up_to: MessageId,
    /// When; `null` where it was not kept then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Time>,
}

/// A place in the list of readers: the reader.
struct ReaderPlace(String);

impl Position for ReaderPlace {
    const LIST: u8 = 44;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().map(Self)
    }
}

/// Who has read a conversation
///
/// Each person and program with the last message that they have read.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/readers", tag = "conversations", operation_id = "listReaders",
    params(("id" = String, Path, description = "`cnv_…`"), ShortQuery),
    responses((status = 200, description = "A page of the readers", body = List<Reader>)),
)]
async fn readers(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<ConversationId>,
    Query(query): Query<ShortQuery>,
) -> Result<axum::Json<List<Reader>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<ReaderPlace> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        app.store
            .conversation(&caller.scope, id)?
            .ok_or_else(no_conversation)?;
        let after = start.map(|start| [&id.key()[..], start.0.as_bytes()].concat());
        let mut found = ReadPosition::scan(&*app.store, &id.key(), after.as_deref(), limit + 1)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let reader =
            |key: &[u8]| String::from_utf8_lossy(key.get(8..).unwrap_or_default()).into_owned();
        let next = found
            .last()
            .filter(|_| more)
            .map(|(key, _)| app.cursors.write(&ReaderPlace(reader(key))));
        let data = found.into_iter().map(|(key, position)| {
            let who = reader(&key);
            Reader {
                user_id: who.parse().ok(),
                token_id: who.parse().ok(),
                name: position.name,
                up_to: position.up_to,
                at: position.at,
            }
        });
        Ok(List {
            data: data.collect(),
            next,
        })
    });
    list.await.map(axum::Json)
}
