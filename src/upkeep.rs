//! Upkeep of the store while the daemon runs: snapshots, dropping what is old, the scrub. None of it is in the way of
//! a commit.

use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Time;
use tokio::time::Instant;

use crate::app::App;
use crate::store::{ScrubReport, Store, StoreError, UpkeepState};

/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A snapshot is due once what it would add is as old as this.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(24 * 3600);
/// And once so many bytes of the log stand behind the newest one, or half as many as it has, whichever is more.
const MOST_BYTES_BEHIND: u64 = 256 << 20;
/// How often the tables are compared with the log.
const SCRUB_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How soon after the start for the first time, and again where it could not be done.
const SCRUB_FIRST: Duration = Duration::from_secs(3600);
/// Rows that are compared in a second at the most: a million messages take about an hour.
const SCRUB_ROWS_PER_SECOND: u64 = 1_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Keeps the store until the daemon stops.
pub async fn run(app: App) {
    let mut scrub_at = Instant::now() + SCRUB_FIRST;
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let state = app.store.upkeep();
        if snapshot_is_due(&state, app.clock.now()) {
            done("a snapshot", take_snapshot(&app).await);
            done("dropping what is old", drop_old(&app).await);
        }
        if Instant::now() >= scrub_at {
            let healthy = match blocking(&app, |store| store.scrub(SCRUB_ROWS_PER_SECOND)).await {
                Ok(report) => {
                    count(&report);
                    report.differed() == 0 || report.healed
                }
                Err(error) => {
                    done("the scrub", Err(error));
                    false
                }
            };
            scrub_at = Instant::now() + if healthy { SCRUB_EVERY } else { SCRUB_FIRST };
        }
    }
}

/// Whether what stands behind the newest snapshot is old or much.
fn snapshot_is_due(state: &UpkeepState, now: Time) -> bool {
    let Some(since) = state.unsaved_since else {
        return false;
    };
    let made = state.snapshot.as_ref().map(|snapshot| snapshot.created_at);
    let age_ms = now.as_millis() - made.unwrap_or(since).as_millis();
    let bytes = state.snapshot.as_ref().map_or(0, |snapshot| snapshot.bytes);
    u128::try_from(age_ms).is_ok_and(|age_ms| age_ms >= SNAPSHOT_EVERY.as_millis())
        || state.log_bytes_behind > MOST_BYTES_BEHIND.max(bytes / 2)
}

async fn take_snapshot(app: &App) -> Result<(), StoreError> {
    blocking(app, |store| store.snapshot()).await.map(drop)
}

async fn drop_old(app: &App) -> Result<(), StoreError> {
    let keep = DAY * app.config.store.keep_days;
    let dropped = blocking(app, move |store| store.drop_old(keep)).await?;
    if dropped > 0 {
        tracing::info!(
            segments = dropped,
            oldest = app.store.oldest(),
            "what is older than `[store] keep_days` was dropped from the log"
        );
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let working = Arc::clone(app);
    tokio::task::spawn_blocking(move || work(&*working.store))
        .await
        .unwrap_or_else(|error| Err(StoreError::Unreadable(format!("it panicked: {error}"))))
}

/// Tells of what failed; it is tried again.
fn done(what: &str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        metrics::counter!("deskbell_upkeep_failures_total").increment(1);
        tracing::error!(%error, "{what} failed; it is tried again");
    }
}

fn count(report: &ScrubReport) {
    metrics::counter!("deskbell_scrub_differences_total").increment(report.differed());
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::store::SnapshotInfo;

    const HOUR: i64 = 3_600_000;

    fn state(made: Option<i64>, since: Option<i64>, behind: u64) -> UpkeepState {
        UpkeepState {
            snapshot: made.map(|made| SnapshotInfo {
                path: PathBuf::new(),
                frame: 1,
                seq: 1,
                last_id: 1,
                rows: 1,
                bytes: 1 << 30,
                created_at: Time::from_millis(made),
            }),
            log_bytes_behind: behind,
            unsaved_since: since.map(Time::from_millis),
            scrub: None,
        }
    }

    #[test]
    fn a_snapshot_is_due_after_a_day_or_when_much_has_come() {
        let now = Time::from_millis(100 * HOUR);
        for (due, state) in [
            (false, state(None, None, 0)),
            (false, state(None, Some(99 * HOUR), 100)),
            (true, state(None, Some(76 * HOUR), 100)),
            (true, state(None, Some(99 * HOUR), (256 << 20) + 1)),
            (false, state(Some(10 * HOUR), None, 0)),
            (true, state(Some(76 * HOUR), Some(99 * HOUR), 100)),
            (false, state(Some(77 * HOUR), Some(99 * HOUR), 1 << 29)),
            (true, state(Some(77 * HOUR), Some(99 * HOUR), (1 << 29) + 1)),
            // A clock that went back.
            (false, state(Some(200 * HOUR), Some(200 * HOUR), 100)),
        ] {
            assert_eq!(snapshot_is_due(&state, now), due, "{state:?}");
        }
    }
}
