//! People who asked a platform to be forgotten: what the platform tells, what the person sees, what the shop does.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::{get, post};
use deskbell_sdk::{Request, Time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Query, read_limited};
use super::cursor::Position;
use super::extract::MayAdmin;
use super::pages::plain_page;
use super::paging::{self, List};
use super::problem::Problem;
use crate::app::{App, Daemon};
use crate::desk::access::TellHealth;
use crate::desk::audit::{Audited, Told};
use crate::desk::deletions::{FinishDeletion, RequestDeletion};
use crate::id::ContactId;
use crate::secrets::random_text;
use crate::store::entry::{DeletionEntry, Entry};

/// The largest request of a platform, in bytes: a signed form of some hundred.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// How much of a code is given: 128 bits are more than can be guessed.
const CODE_CHARS: usize = 22;

/// Where platforms and people come.
pub fn pages() -> Router<App> {
    Router::new()
        .route("/webhooks/{channel_id}/data-deletion", post(requested))
        .route("/data-deletion/{code}", get(shown_to_person))
}

/// The resources of the API.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(deletions))
        .routes(routes!(done))
}

/// What a platform wants to hear: where the person can look, and by which code.
#[derive(Clone, Debug, Serialize)]
struct Confirmed {
    url: String,
    confirmation_code: String,
}

async fn requested(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: HttpRequest<Body>,
) -> Result<axum::Json<Confirmed>, Problem> {
    let channel = app
        .channels
        .get(&id)
        .ok_or_else(|| Problem::not_found("channel"))?;
    let deletions = channel.channel.deletions().ok_or_else(|| {
        Problem::not_found("address: this channel's platform passes on no deletions")
    })?;
    let body = read_limited(request.into_body(), MAX_REQUEST_BYTES).await?;
    let request = Request {
        method: &Method::POST,
        query: "",
        headers: &headers,
        body: &body,
    };
    let wanted = deletions.requested(&request).map_err(|rejected| {
        Problem::new(
            axum::http::StatusCode::UNAUTHORIZED,
            "unproven",
            "The sender could not be proven",
            format!("Nothing was kept: {rejected}."),
        )
    })?;
    let mut new_code = random_text();
    new_code.truncate(CODE_CHARS);
    let decision = RequestDeletion {
        channel: channel.no,
        person: wanted.person,
        new_code,
    };
    let (entry, is_new) = app.writer.write(decision).await?;
    if is_new {
        tracing::warn!(channel = %channel.id, code = %entry.code, "a person asked to be forgotten; see GET /api/v1/data-deletions");
        let tell = TellHealth {
            channel: channel.no,
            healthy: channel.is_healthy(),
            detail: "A person asked the platform to be forgotten. See the list of data deletions."
                .to_owned(),
        };
        app.writer.write(tell).await?;
    }
    Ok(axum::Json(Confirmed {
        url: format!("{}/data-deletion/{}", app.public_url(), entry.code),
        confirmation_code: entry.code,
    }))
}

/// What the person sees who follows the address: how it stands, and nothing of who it is.
async fn shown_to_person(
    State(app): State<App>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = paging::read(&app, move |app| {
        DeletionEntry::get(&*app.store, &DeletionEntry::key_of_code(&code))?
            .ok_or_else(|| Problem::not_found("request"))
    });
    let entry = found.await?;
    let day = |time: Time| time.to_string().chars().take(10).collect::<String>();
    let standing = match entry.done_at {
        None => "It has reached the shop, which deletes what it keeps of you.".to_owned(),
        Some(done_at) => format!(
            "It is done: the shop has deleted what it kept of you on {}.",
            day(done_at)
        ),
    };
    let body = format!(
        "<h2>Your request to delete your data</h2>\n<p>You asked for it on {}. {standing}</p>\n",
        day(entry.requested_at)
    );
    Ok(plain_page("Deletion of data", &body, &headers))
}

/// A person who wants to be forgotten.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DataDeletion {
    /// Its code: what the person was told.
    pub code: String,
    /// The channel's slug.
    pub channel_id: String,
    /// The platform's id of the person.
    pub external_id: String,
    /// Who that is, where the platform uses the same id for messages; `null` where it does not tell.
    #[schema(value_type = Option<String>)]
    pub contact_id: Option<ContactId>,
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Time,
    /// When the shop said that it is done.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Time>,
}

fn shown(app: &Daemon, entry: DeletionEntry) -> DataDeletion {
    let channel = app.channels.known(entry.channel);
    DataDeletion {
        code: entry.code,
        channel_id: channel.map_or_else(
            || format!("channel-{}", entry.channel.0),
            |channel| channel.id.clone(),
        ),
        external_id: entry.person,
        contact_id: entry.contact,
        requested_at: entry.requested_at,
        done_at: entry.done_at,
    }
}

/// A place in the list: the key of an entry.
#[derive(Clone, Debug)]
struct DeletionKey(Vec<u8>);

impl Position for DeletionKey {
    const LIST: u8 = 20;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.to_vec()))
    }
}

/// A page of the requests.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeletionsQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Who wants to be forgotten
///
/// People who asked a platform that their data be deleted, and when that was done. Administrators only.
#[utoipa::path(
    get, path = "/api/v1/data-deletions", tag = "data-deletions", operation_id = "listDataDeletions", params(DeletionsQuery),
    responses((status = 200, description = "A page of the requests", body = List<DataDeletion>)),
)]
async fn deletions(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Query(query): Query<DeletionsQuery>,
) -> Result<axum::Json<List<DataDeletion>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<DeletionKey> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let mut found = DeletionEntry::scan(
            &*app.store,
            DeletionEntry::BY_PERSON,
            start.as_ref().map(|key| key.0.as_slice()),
            limit + 1,
        )?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| more)
            .map(|(key, _)| app.cursors.write(&DeletionKey(key.clone())));
        let data = found
            .into_iter()
            .filter(|(_, entry)| caller.scope.allows(entry.channel))
            .map(|(_, entry)| shown(app, entry))
            .collect();
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

/// Say that a person is forgotten
///
/// Once everything of the person was deleted: the person's page then says so. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/data-deletions/{code}/done", tag = "data-deletions", operation_id = "finishDataDeletion",
    params(("code" = String, Path, description = "The code of the request")),
    responses((status = 200, description = "The request after it", body = DataDeletion)),
)]
async fn done(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Path(code): Path<String>,
) -> Result<axum::Json<DataDeletion>, Problem> {
    let none = || Problem::not_found("request");
    let key = DeletionEntry::key_of_code(&code);
    let known = DeletionEntry::get(&*app.store, &key)?;
    known
        .filter(|entry| caller.scope.allows(entry.channel))
        .ok_or_else(none)?;
    // The code opens the person's page, and is no name for them here.
    let finish = Audited::by_answer(FinishDeletion { code }, caller.actor(), |entry| {
        let entry: &DeletionEntry = entry.as_ref()?;
        Some(Told::of("deletion.finished").with("requested_at", entry.requested_at.to_string()))
    });
    let entry = app.writer.write(finish).await?;
    entry
        .map(|entry| axum::Json(shown(&app, entry)))
        .ok_or_else(none)
}
