//! `GET /api/v1/exports`: the whole history as a stream of lines, to be taken away.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::MayAdmin;
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::audit::{Tells, Told};
use crate::export::{ExportError, Exporter, Source};
use crate::live::{Live, StreamPlace};
use crate::store::entry::Right;

/// The type of JSON Lines.
pub(super) const LINES: &str = "application/x-ndjson";
/// How many exports are written at once: each reads the whole store.
const PLACES: usize = 2;
/// How often it is checked that the caller may still have it.
const CHECK: Duration = Duration::from_secs(4);

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export))
}

/// Take the history away
///
/// Every message with its files, conversation, contact and channel, as JSON Lines: `docs/export.md` describes them. The
/// last line is of type `end`; without it the export was cut. No token, session or setting of a channel is in it.
/// Administrators only.
#[utoipa::path(
    get, path = "/api/v1/exports", tag = "exports", operation_id = "export",
    responses(
        (status = 200, description = "The lines", body = String, content_type = "application/x-ndjson"),
        (status = 429, description = "Two exports are being written already"),
    ),
)]
async fn export(State(app): State<App>, MayAdmin(caller): MayAdmin) -> Result<Response, Problem> {
    let Some(place) = Live::place(&app, "exports".to_owned(), PLACES) else {
        return Err(Problem::too_many(
            "Two exports are being written already. Wait until one is done.",
            30,
        ));
    };
    // First, so that nobody takes anything away of which nothing is known.
    let tells = Tells {
        by: caller.actor(),
        told: Told::of("history.exported"),
    };
    app.writer.write(tells).await?;
    let exporter = Exporter::new(source(&app), caller.scope.clone(), app.clock.now());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(LINES)),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"deskbell-export.jsonl\""),
        ),
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    let lines = lines(Export {
        app,
        caller,
        exporter: Some(exporter),
        check_at: Instant::now() + CHECK,
        _place: place,
    });
    Ok((headers, Body::from_stream(lines)).into_response())
}

fn source(app: &Daemon) -> Source<'_> {
    Source {
        store: &*app.store,
        channels: &app.channels,
        blobs: &app.blobs,
    }
}

/// An export that is being written.
struct Export {
    app: App,
    caller: Caller,
    /// Away while a thread reads for it.
    exporter: Option<Exporter>,
    check_at: Instant,
    _place: StreamPlace,
}

/// Why the stream of an export ends before its last line. The connection is cut, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("the token or session was revoked")]
    Revoked,
    #[error("the daemon is stopping")]
    Stopping,
}

fn lines(export: Export) -> impl Stream<Item = Result<Bytes, Broken>> {
    stream::unfold(Some(export), |export| async {
        let mut export = export?;
        match export.next().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(export))),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "an export broke off");
                Some((Err(error), None))
            }
        }
    })
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.app.stopping.is_cancelled() {
            return Err(Broken::Stopping);
        }
        let now = Instant::now();
        if now >= self.check_at {
            self.check_at = now + CHECK;
            let access = &self.app.access;
            let app = &*self.app;
            let caller = access.again(&*app.store, &app.channels, app.clock.now(), &self.caller);
            // Where the store cannot tell, it cannot give anything either.
            let caller = caller.map_err(ExportError::from)?;
            if !caller.is_some_and(|caller| caller.may(Right::Admin)) {
                return Err(Broken::Revoked);
            }
        }
        let Some(mut exporter) = self.exporter.take() else {
            return Ok(None);
        };
        let app = Arc::clone(&self.app);
        let read = tokio::task::spawn_blocking(move || {
            let chunk = exporter.next_chunk(source(&app));
            (exporter, chunk)
        });
        let (exporter, chunk) = read.await.map_err(|_| Broken::Stopping)?;
        self.exporter = Some(exporter);
        Ok(chunk?.map(Bytes::from))
    }
}
