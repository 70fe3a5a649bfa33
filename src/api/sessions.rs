//! `/api/v1/sessions`: where somebody is signed in, and the end of it.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Signed, cookie_for};
use super::body::Query;
use super::cursor::Position;
use super::extract::Id;
use super::paging::{self, List};
use super::problem::Problem;
use super::users::told_of_ended;
use crate::access::{Caller, IDLE_MS};
use crate::app::{App, Daemon};
use crate::desk::access::Remove;
use crate::desk::audit::{Audited, Told};
use crate::desk::people::EndSessions;
use crate::id::SessionId;
use crate::store::entry::{Entry, SessionEntry, UserEntry};
use crate::store::{Found, Table};

/// How many entries are read at once.
const STRETCH: usize = 500;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sessions, end_others))
        .routes(routes!(end))
        .routes(routes!(sign_out))
}

/// A place in the list of sessions.
impl Position for SessionId {
    const LIST: u8 = 21;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// Where somebody is signed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Session {
    /// `ses_…`
    #[schema(value_type = String)]
    pub id: SessionId,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// When it was last used, to within minutes.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Time>,
    /// The address on the network from which it began.
    pub address: Option<String>,
    /// What the browser called itself.
    pub agent: Option<String>,
    /// Whether it is the one of this request.
    pub current: bool,
}

/// The sessions of a caller that work, with their keys.
fn of(app: &Daemon, caller: &Caller) -> Found<Vec<(Vec<u8>, SessionEntry)>> {
    let Some(current) = caller.session() else {
        return Ok(Vec::new());
    };
    let Some(id) = caller.user() else {
        // The session of the set-up link is nobody's, and knows of no other.
        let own = SessionEntry::get(&*app.store, current)?;
        return Ok(own.map(|own| (current.to_vec(), own)).into_iter().collect());
    };
    let Some(user) = UserEntry::get(&*app.store, &id.key())? else {
        return Ok(Vec::new());
    };
    let now = app.clock.now();
    let works = |session: &SessionEntry| {
        let idle = session
            .last_seen_at
            .is_some_and(|seen| seen.plus_millis(IDLE_MS) < now);
        session.user == Some(id)
            && session.generation == user.generation
            && now < session.expires_at
            && !idle
    };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let stretch = SessionEntry::scan(&*app.store, &[], after.as_deref(), STRETCH)?;
        let more = stretch.len() == STRETCH;
        after = stretch.last().map(|(key, _)| key.clone());
        found.extend(stretch.into_iter().filter(|(_, session)| works(session)));
        if !more {
            found.sort_by_key(|(_, session)| std::cmp::Reverse(session.id));
            return Ok(found);
        }
    }
}

/// A page of the sessions.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SessionsQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Where I am signed in
///
/// The own sessions that work, newest first. A token has none.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "session", operation_id = "listSessions", params(SessionsQuery),
    responses((status = 200, description = "A page of the sessions", body = List<Session>)),
)]
async fn sessions(
    State(app): State<App>,
    Signed(caller): Signed,
    Query(query): Query<SessionsQuery>,
) -> Result<axum::Json<List<Session>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<SessionId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let mut found = of(app, &caller)?;
        found.retain(|(_, session)| start.is_none_or(|start| session.id < start));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| more)
            .map(|(_, last)| app.cursors.write(&last.id));
        let current = caller.session();
        let shown = found.into_iter().map(|(key, session)| Session {
            id: session.id,
            created_at: session.created_at,
            last_seen_at: session.last_seen_at,
            address: session.address,
            agent: session.agent,
            current: is_current(current, &key),
        });
        Ok(List {
            data: shown.collect(),
            next,
        })
    });
    list.await.map(axum::Json)
}

/// Whether a key of the store is the one by which the caller got in.
fn is_current(current: Option<&[u8]>, key: &[u8]) -> bool {
    current.is_some_and(|current| subtle::ConstantTimeEq::ct_eq(current, key).into())
}

async fn remove(app: &App, caller: &Caller, key: Vec<u8>) -> Result<(), Problem> {
    let remove = Remove {
        table: Table::Sessions,
        key,
    };
    let told = Told::of("session.ended");
    let changing = app.access.changing();
    let removed = app
        .writer
        .write(Audited::always(remove, caller.actor(), told))
        .await;
    drop(changing);
    Ok(removed?)
}

/// End one of my sessions
///
/// At once for requests, within seconds for open streams.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", tag = "session", operation_id = "endOwnSession",
    params(("id" = String, Path, description = "`ses_…`")),
    responses((status = 204, description = "It is over")),
)]
async fn end(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<SessionId>,
) -> Result<StatusCode, Problem> {
    let whose = caller.clone();
    let key = paging::read(&app, move |app| {
        let own = of(app, &whose)?;
        let found = own.into_iter().find(|(_, session)| session.id == id);
        found
            .map(|(key, _)| key)
            .ok_or_else(|| Problem::not_found("session"))
    });
    remove(&app, &caller, key.await?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all my other sessions
///
/// All but the one of this request.
#[utoipa::path(
    delete, path = "/api/v1/sessions", tag = "session", operation_id = "endOtherSessions",
    responses(
        (status = 204, description = "They are over"),
        (status = 409, description = "An API token has no session", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn end_others(State(app): State<App>, Signed(caller): Signed) -> Result<StatusCode, Problem> {
    let current = caller.session().ok_or_else(no_session)?;
    // The session of the set-up link knows of no other.
    if let Some(user) = caller.user() {
        let end = EndSessions {
            user,
            generation: None,
            password: None,
            except: Some(current.to_vec()),
        };
        let end = Audited::by_answer(end, caller.actor(), told_of_ended);
        let changing = app.access.changing();
        let ended = app.writer.write(end).await?;
        drop(changing);
        ended?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn no_session() -> Problem {
    Problem::conflict(
        "no-session",
        "There is no session to end",
        "A token opened the door, not a session. To end a token, delete it.",
    )
}

/// Sign out
///
/// Ends the session whose cookie the request bears: at once for requests, within seconds for open streams.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "session", operation_id = "endSession",
    responses(
        (status = 204, description = "The session is over"),
        (status = 409, description = "An API token has no session", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn sign_out(State(app): State<App>, Signed(caller): Signed) -> Result<Response, Problem> {
    let key = caller.session().ok_or_else(no_session)?;
    remove(&app, &caller, key.to_vec()).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie_for(&app, "")) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
