//! `/api/v1/attachments`: uploads, and the bytes of what came with messages.

use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Query;
use super::extract::{Id, MayRead, MayWrite};
use super::filters;
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::problem::Problem;
use super::{paging, uploads};
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::id::AttachmentId;
use crate::store::Found;
use crate::store::entry::{AttachmentEntry, Entry};
use crate::view::Attachment;

/// The largest upload, in bytes.
pub const MAX_UPLOAD_BYTES: usize = 25 * 1024 * 1024;
/// What a form may hold beside the file, in bytes.
const FORM_BYTES: usize = 64 * 1024;
/// How many uploads are taken in at once: each is held in memory until it is kept.
static PLACES: Semaphore = Semaphore::const_new(16);

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    let limit = DefaultBodyLimit::max(MAX_UPLOAD_BYTES + FORM_BYTES);
    OpenApiRouter::new()
        .routes(routes!(upload))
        .routes(routes!(download))
        .layer(limit)
}

/// The form of an upload.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "it describes the form; the file is read as it comes"
)]
pub struct UploadForm {
    /// The file: at most 25 MiB.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Upload a file
///
/// It can be put into a message of yours; until then only you can read it. Its type is what its content says.
#[utoipa::path(
    post, path = "/api/v1/attachments", tag = "attachments", operation_id = "uploadAttachment",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same file keeps it once")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 201, description = "The upload", body = Attachment)),
)]
async fn upload(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    key: IdempotencyKey,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, axum::Json<Attachment>), Problem> {
    let form = form.map_err(|_| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "This takes a form",
            "Send the file as multipart/form-data in the field `file`.",
        )
    })?;
    let Ok(_place) = PLACES.try_acquire() else {
        return Err(Problem::unavailable(
            "Too many files are coming in at once. Try again shortly.",
        ));
    };
    let file = uploads::receive(form, MAX_UPLOAD_BYTES).await?;
    let decision = uploads::keep_bytes(&app, file, caller.owner()).await?;
    // The content's hash and the name are what the request asked to keep; a form's boundary differs each time.
    let name = decision.upload.name.as_deref().unwrap_or_default();
    let body = format!("{}\n{name}", decision.upload.content);
    let once = Once {
        remembered: key.of(&caller, body.as_bytes()),
        decision,
        made: |made| made.id.to_string(),
    };
    let entry = match app.writer.write(once).await? {
        OnceAnswer::Now(entry) => entry,
        OnceAnswer::KeyReused => return Err(key_reused()),
        OnceAnswer::Before(id) => {
            let before = paging::read(&app, move |app| match id.parse::<AttachmentId>() {
                Ok(id) => Ok(AttachmentEntry::get(&*app.store, &id.key())?),
                Err(_) => Ok(None),
            });
            before
                .await?
                .ok_or_else(|| Problem::not_found("attachment"))?
        }
    };
    let url = format!("/api/v1/attachments/{}", entry.id);
    Ok((StatusCode::CREATED, axum::Json(uploads::shown(&entry, url))))
}

/// How a file is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DownloadQuery {
    /// `1`: to be saved, whatever it is.
    download: Option<String>,
}

/// Download a file
///
/// With its exact type. Pictures, sounds and films may be shown in a page, everything else is to be saved. Ranges and
/// `If-None-Match` are answered.
#[utoipa::path(
    get, path = "/api/v1/attachments/{id}", tag = "attachments", operation_id = "downloadAttachment",
    params(("id" = String, Path, description = "`att_…`"), DownloadQuery),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part that `Range` named", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "You have it already"),
    ),
)]
async fn download(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<AttachmentId>,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let save = match query.download.as_deref() {
        None | Some("0") => false,
        Some("" | "1") => true,
        Some(text) => filters::flag("download", text)?,
    };
    let entry = paging::read(&app, move |app| {
        visible(app, &caller, id)?.ok_or_else(|| Problem::not_found("attachment"))
    });
    uploads::serve(&app, &entry.await?.into(), &headers, save).await
}

/// An attachment whose message the caller may see, or an upload of the caller's own. What was in a message that its
/// author took back is gone with it.
fn visible(app: &Daemon, caller: &Caller, id: AttachmentId) -> Found<Option<AttachmentEntry>> {
    let Some(entry) = AttachmentEntry::get(&*app.store, &id.key())? else {
        return Ok(None);
    };
    let is_visible = match entry.message {
        None => entry.owner == caller.owner(),
        Some((channel, message)) => {
            let message = app.store.message(&caller.scope, channel, message)?;
            message.is_some_and(|message| message.changes.deleted_at.is_none())
        }
    };
    Ok(is_visible.then_some(entry))
}
