//! Files of a visitor's conversation.

use axum::Json;
use axum::extract::{Extension, Multipart, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::Visitor;
use crate::api::problem::Problem;
use crate::api::uploads::{self, Upload};
use crate::app::App;
use crate::id::AttachmentId;
use crate::server::ClientAddress;
use crate::store::Scope;
use crate::store::entry::{AttachmentEntry, Entry};
use crate::store::record::MessageKind;

/// The largest file of a visitor's, in bytes.
pub(super) const MAX_BYTES: usize = 20 * 1024 * 1024;
/// What a form may hold beside the file, in bytes.
pub(super) const FORM_BYTES: usize = 64 * 1024;
/// How many files of visitors are taken in at once: each is held in memory until it is kept. The staff's have places
/// of their own.
static PLACES: Semaphore = Semaphore::const_new(16);

/// Takes a file; it belongs to the visitor until it is put into a message (V06).
pub(super) async fn upload(
    State(app): State<App>,
    Path(id): Path<String>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    multipart: Multipart,
) -> Result<Response, Problem> {
    let visitor = Visitor::of(&app, &id, &headers)?;
    app.chat_limits
        .upload(address, visitor.visit.thread.as_bytes())?;
    let Ok(_place) = PLACES.try_acquire() else {
        return Err(Problem::unavailable(
            "Too many files are coming in at once. Try again shortly.",
        ));
    };
    let upload: Upload = uploads::receive(multipart, MAX_BYTES).await?;
    app.chat_limits.keep(address, upload.size())?;
    let entry = uploads::keep(&app, upload, visitor.owner()).await?;
    let url = format!("/chat/{id}/attachments/{}", entry.id);
    Ok((StatusCode::CREATED, Json(uploads::shown(&entry, url))).into_response())
}

/// Gives the bytes of a file of the visitor's own conversation, and of no other (V07).
pub(super) async fn download(
    State(app): State<App>,
    Path((channel, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let visitor = Visitor::of(&app, &channel, &headers)?;
    let none = || Problem::not_found("attachment");
    let id: AttachmentId = id.parse().map_err(|_| none())?;
    let entry = AttachmentEntry::get(&*app.store, &id.key())?.ok_or_else(none)?;
    let visible = match entry.message {
        None => entry.owner == visitor.owner(),
        Some((channel, message)) => {
            let scope = Scope::of_channels([visitor.channel.no]);
            app.store
                .message(&scope, channel, message)?
                .is_some_and(|message| {
                    message.conversation == visitor.visit.conversation
                        && message.kind == MessageKind::Message
                        && message.changes.deleted_at.is_none()
                })
        }
    };
    if !visible {
        return Err(none());
    }
    uploads::serve(&app, &entry.into(), &headers, false).await
}
