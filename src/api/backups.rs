//! Backups of the running daemon, and going on after one was restored.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use deskbell_sdk::Time;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::MayAdmin;
use super::paging;
use super::problem::Problem;
use crate::app::App;
use crate::backup;
use crate::desk::audit::{Audited, Tells, Told};
use crate::desk::restore::{GoOn, Restored};
use crate::live::Live;
use crate::store::entry::{Entry as _, WorkEntry};

/// How many backups are written at once: each reads everything.
const PLACES: usize = 1;
/// Bytes that are handed on at once.
const PIECE_BYTES: usize = 128 * 1024;
/// How many pieces wait for the line.
const PIECES: usize = 4;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(backup_now))
        .routes(routes!(standing, go_on))
}

/// Take a backup
///
/// Everything that the daemon keeps, as a tar archive: messages, contacts, files, tokens' hashes, channels with their
/// encrypted secrets; not the key that decrypts them. The daemon goes on meanwhile; what was acknowledged before the call
/// is in it. The last entry is `end.json`; without it the backup was cut. It is brought back by `deskbell restore`. For
/// administrators who may see all channels.
#[utoipa::path(
    get, path = "/api/v1/backup", tag = "backup", operation_id = "backup",
    responses(
        (status = 200, description = "The archive", body = String, content_type = "application/x-tar"),
        (status = 429, description = "Another backup is being written"),
    ),
)]
async fn backup_now(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
) -> Result<Response, Problem> {
    if caller.scope.channels().is_some() {
        return Err(Problem::forbidden(
            "A backup holds all channels: only who may see them all may take one.",
        ));
    }
    let Some(place) = Live::place(&app, "backup".to_owned(), PLACES) else {
        return Err(Problem::too_many(
            "Another backup is being written. Wait until it is done.",
            30,
        ));
    };
    let began_at = app.clock.now();
    let preparing = Arc::clone(&app);
    let prepared = tokio::task::spawn_blocking(move || backup::prepare(&*preparing.store));
    let prepared = prepared
        .await
        .map_err(|_| Problem::unavailable("The snapshot for the backup broke off. Try again."))?
        .map_err(|error| Problem::unavailable(format!("There is no backup now: {error}.")))?;
    let tells = Tells {
        by: caller.actor(),
        told: Told::of("backup.taken"),
    };
    app.writer.write(tells).await?;
    let (pieces, incoming) = mpsc::channel(PIECES);
    let writing = Arc::clone(&app);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let line = Line {
            pieces: pieces.clone(),
            app: Arc::clone(&writing),
            buffer: Vec::with_capacity(PIECE_BYTES),
        };
        let written = backup::write(prepared, &writing.blobs, began_at, line);
        match written {
            Ok(end) => tracing::info!(files = end.attachments, "a backup was taken"),
            Err(error) => {
                tracing::warn!(%error, "a backup broke off");
                // The connection is cut, so that nobody takes it for whole. Whoever has gone needs no word.
                let _ = pieces.blocking_send(Err(io::Error::other(error.to_string())));
            }
        }
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-tar"),
        ),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"deskbell-backup.tar\""),
        ),
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, Body::from_stream(ReceiverStream::new(incoming))).into_response())
}

/// Hands on what is written, in pieces.
struct Line {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    app: App,
    buffer: Vec<u8>,
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.app.stopping.is_cancelled() {
            return Err(io::Error::other("the daemon is stopping"));
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.pieces
            .blocking_send(Ok(piece))
            .map_err(|_| io::Error::other("whoever took it has gone"))
    }
}

/// Whether the desk came from a backup and is held.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RestoreStanding {
    /// Whether nothing goes out until `POST resume`.
    pub held: bool,
    /// When the backup was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub backup_of: Option<Time>,
    /// When it was restored.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub restored_at: Option<Time>,
}

/// Whether the desk is held
///
/// After a restore nothing is sent or rung until somebody says so.
#[utoipa::path(
    get, path = "/api/v1/resume", tag = "backup", operation_id = "getResume",
    responses((status = 200, description = "How it stands", body = RestoreStanding)),
)]
async fn standing(
    State(app): State<App>,
    MayAdmin(_caller): MayAdmin,
) -> Result<axum::Json<RestoreStanding>, Problem> {
    let restored = paging::read(&app, |app| Ok(Restored::of(&*app.store)?)).await?;
    Ok(axum::Json(RestoreStanding {
        held: restored.is_some(),
        backup_of: restored.map(|restored| restored.backup_of),
        restored_at: restored.map(|restored| restored.restored_at),
    }))
}

/// What going on did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Resumed {
    /// Whether the desk was held.
    pub was_held: bool,
    /// How many answers waited in the backup. They may have been sent since by the desk that it is of: each is looked for
    /// at its platform, and becomes `unknown` where that does not tell.
    pub answers_in_doubt: u64,
}

/// Go on after a restore
///
/// From now on answers are sent. Make sure that the desk that the backup is of does not run any more.
#[utoipa::path(
    post, path = "/api/v1/resume", tag = "backup", operation_id = "resume",
    responses((status = 200, description = "It goes on", body = Resumed)),
)]
async fn go_on(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
) -> Result<axum::Json<Resumed>, Problem> {
    let waiting = paging::read(&app, |app| {
        let waiting = WorkEntry::scan(&*app.store, &[], None, usize::MAX)?;
        Ok(waiting.into_iter().map(|(_, entry)| entry.id).collect())
    });
    let waiting = waiting.await?;
    let go_on = Audited::by_answer(
        GoOn { waiting },
        caller.actor(),
        |doubted: &Option<usize>| {
            doubted.map(|doubted| Told::of("desk.resumed").with("answers_in_doubt", doubted))
        },
    );
    let answer = app.writer.write(go_on).await?;
    app.held.release();
    if answer.is_some() {
        tracing::warn!(by = caller.name(), "the restored desk goes on");
    }
    Ok(axum::Json(Resumed {
        was_held: answer.is_some(),
        answers_in_doubt: answer.unwrap_or(0) as u64,
    }))
}
