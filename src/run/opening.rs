//! Opening the store, what everybody hears meanwhile, and making one from a backup.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::api::problem::Problem;
use crate::backup::{self, BackupError, Kept};
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Store;
use crate::store::embedded::{EmbeddedStore, OpenError, Options, Progress};

/// How long after a start found no room it is tried again.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_secs(1);

/// What stands before the desk while it starts.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) router: OnceLock<Router>,
    progress: Mutex<Option<Progress>>,
}

impl Gate {
    /// Hears how far the opening of the store has come, and tells the operator of each tenth.
    fn hear(&self, progress: Progress) {
        let before = {
            let mut last = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            last.replace(progress)
        };
        let Some(percent) = progress.percent() else {
            return tracing::debug!("opening the tables");
        };
        let told = before
            .and_then(|before| before.percent())
            .map(|before| before / 10);
        if told != Some(percent / 10) && is_long(progress) {
            tracing::info!("{}", words(progress));
        }
    }

    /// The answer to whoever comes before the desk is there.
    fn not_yet(&self) -> Response {
        let progress = *self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let what = progress.map_or_else(
            || "Deskbell is starting and opens its store".to_owned(),
            words,
        );
        // Platforms and pages come again by themselves; a rebuild takes about a minute a million messages.
        let seconds = if progress.is_some_and(is_long) { 5 } else { 1 };
        Problem::unavailable(format!("{what}. Try again shortly."))
            .retry_after(seconds)
            .into_response()
    }
}

/// Whether there is something to wait for.
fn is_long(progress: Progress) -> bool {
    match progress {
        Progress::OpeningTables => false,
        Progress::CheckingSnapshot { of, .. }
        | Progress::ReadingJournal { of, .. }
        | Progress::MakingTables { of, .. } => of > 1_000,
    }
}

/// How far the opening has come, for people.
fn words(progress: Progress) -> String {
    match (progress, progress.percent()) {
        (Progress::OpeningTables, _) | (_, None) => {
            "Deskbell is starting and opens its tables".to_owned()
        }
        (_, Some(percent)) => format!("Deskbell is making its tables again: {percent} %"),
    }
}

/// Until the desk is there every request is asked to come again; `/healthz` says that the process lives.
pub(super) fn gated(gate: Arc<Gate>) -> Router {
    Router::new().fallback(move |request: Request| {
        let gate = Arc::clone(&gate);
        async move {
            match gate.router.get() {
                Some(router) => match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                None if request.uri().path() == "/healthz" => "ok\n".into_response(),
                None => gate.not_yet(),
            }
        }
    })
}

/// Bytes that the daemon may still write to the disk of a folder; `None` where the system does not tell.
fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Opens the store. Where the disk is full and the store cannot be opened for that, it is tried again until there is
/// room: the port answers 503 meanwhile, and nobody has to start the daemon anew.
pub(super) async fn open_store(
    config: &Config,
    clock: Clock,
    gate: &Arc<Gate>,
    shutdown: &CancellationToken,
) -> Result<Arc<dyn Store>> {
    let folder = config.data_dir.join("store");
    let mut options = Options::new(clock);
    options.cache_bytes = config.store.cache_mib * 1024 * 1024;
    let wanted_bytes = options.min_free_bytes;
    let store = loop {
        let (folder_now, options) = (folder.clone(), options.clone());
        let gate = Arc::clone(gate);
        let opening = tokio::task::spawn_blocking(move || {
            EmbeddedStore::open(&folder_now, options, &|progress| gate.hear(progress))
        });
        let error = match opening.await.context("opening the store panicked")? {
            Ok(store) => break store,
            Err(error) => error,
        };
        let may_pass = matches!(
            error,
            OpenError::Damaged(_) | OpenError::NotBegun(_) | OpenError::Io { .. }
        );
        if !may_pass || free_bytes(&config.data_dir).is_none_or(|free| free >= wanted_bytes) {
            return Err(error.into());
        }
        tracing::error!(%error, "the disk is full: the store is opened once there is room");
        tokio::select! {
            () = shutdown.cancelled() => return Err(error.into()),
            () = tokio::time::sleep(LOOK_FOR_ROOM_EVERY) => {}
        }
    };
    for damage in store.damage() {
        tracing::error!(
            segment = damage.segment,
            offset = damage.offset,
            bytes = damage.bytes,
            frames = damage.frames,
            "a part of the journal is damaged; a copy is in journal/quarantine, everything else is kept"
        );
    }
    Ok(Arc::new(store))
}

/// Brings a backup back into a data directory that has no store.
///
/// # Errors
/// Where it is no whole backup, or the place is taken; in words that say what to do.
pub fn restore(
    backup: impl std::io::Read,
    data_dir: &Path,
    progress: &dyn Fn(Progress),
) -> Result<Kept, BackupError> {
    let clock = Clock::system();
    let options = Options::new(clock.clone());
    let begin = |snapshot: &Path, directory: &Path, jump_seq| {
        EmbeddedStore::begin_from(directory, snapshot, jump_seq, options, progress)
            .map(|store| Box::new(store) as Box<dyn Store>)
            .map_err(|error| error.to_string())
    };
    backup::restore(backup, data_dir, &clock, Blobs::open, begin)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{StatusCode, header};

    use super::*;

    async fn asked(gate: &Arc<Gate>, path: &str) -> (StatusCode, Option<String>, String) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let Ok(answer) = gated(Arc::clone(gate)).oneshot(request).await;
        let retry = answer.headers().get(header::RETRY_AFTER);
        let retry = retry.map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 64 << 10).await;
        let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
        (status, retry, body)
    }

    #[tokio::test]
    async fn f03_who_comes_while_the_tables_are_made_hears_how_far_it_is() {
        let gate = Arc::new(Gate::default());
        let late = |done| Progress::MakingTables { done, of: 100_000 };
        for (progress, words, seconds) in [
            (None, "Deskbell is starting and opens its store.", "1"),
            (Some(Progress::OpeningTables), "opens its tables", "1"),
            (
                Some(late(17_143)),
                "Deskbell is making its tables again: 42 %.",
                "5",
            ),
            (Some(late(100_000)), "again: 100 %", "5"),
        ] {
            if let Some(progress) = progress {
                gate.hear(progress);
            }
            let (status, retry, body) = asked(&gate, "/api/v1/feed").await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(retry.as_deref(), Some(seconds), "{body}");
            assert!(body.contains(words), "{body}");
            let (status, _, body) = asked(&gate, "/healthz").await;
            assert_eq!((status, body.as_str()), (StatusCode::OK, "ok\n"));
        }
    }
}
