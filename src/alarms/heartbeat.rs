//! Says somewhere else that all is well: whoever listens there rings people when it falls silent (F37).

use std::time::Duration;

use deskbell_sdk::Time;

use crate::app::{App, Daemon};
use crate::desk::Decision;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{AlarmEntry, Entry, RingEntry, RingState};

/// How often it is said.
const BEAT_EVERY: Duration = Duration::from_secs(60);
/// How long the writer may take to answer.
const WRITER_TIME: Duration = Duration::from_secs(10);
/// An alarm that nobody has taken for so long was not heard, in milliseconds: half an hour.
const UNHEARD_MS: i64 = 30 * 60 * 1000;
/// The most alarms that are looked at.
const MOST_ALARMS: usize = 1_000;

/// Decides nothing: whether the writer answers.
struct Nothing;

impl Decision for Nothing {
    type Answer = ();

    fn decide(&self, _draft: &mut Draft<'_>) -> Found<()> {
        Ok(())
    }
}

/// Asks `[bell] heartbeat_url` every minute while all is well, until the daemon stops.
pub async fn run(app: App) {
    let Some(url) = &app.config.bell.heartbeat_url else {
        return;
    };
    tokio::select! {
        () = app.stopping.cancelled() => return,
        () = app.held.released() => {}
    }
    let client = match crate::http_client::client() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "there is no heartbeat in this run");
            return;
        }
    };
    let mut was_heard = true;
    loop {
        match why_silent(&app).await {
            Some(why) => tracing::warn!("no heartbeat is sent: {why}"),
            None => {
                // The address may be a secret: errors are told without it.
                let heard = client.get(url.expose()).send().await;
                let heard = heard.and_then(reqwest::Response::error_for_status);
                match heard {
                    Ok(_) => was_heard = true,
                    Err(error) if was_heard => {
                        let error = error.without_url();
                        tracing::warn!(%error, "the heartbeat was not heard; it is sent again each minute");
                        was_heard = false;
                    }
                    Err(_) => {}
                }
            }
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(BEAT_EVERY) => {}
        }
    }
}

/// Why somebody should look after the desk who does not hear it; `None`: all is well.
pub(super) async fn why_silent(app: &App) -> Option<&'static str> {
    let answered = tokio::time::timeout(WRITER_TIME, app.writer.write(Nothing)).await;
    if !matches!(answered, Ok(Ok(()))) || !app.writer.accepts() {
        return Some("nothing can be written");
    }
    match unheard(app, app.clock.now()) {
        Ok(false) => None,
        Ok(true) => Some("nobody has taken an alarm for half an hour"),
        Err(_) => Some("the store cannot be read"),
    }
}

/// Whether an alarm rings that nobody has heard.
fn unheard(app: &Daemon, now: Time) -> Found<bool> {
    for (_, alarm) in AlarmEntry::scan(&*app.store, &[], None, MOST_ALARMS)? {
        let ring = RingEntry::get(&*app.store, &RingEntry::key(alarm.ring))?;
        let rings_since = ring
            .filter(|ring| ring.state == RingState::Ringing)
            .map(|ring| now.as_millis() - ring.started_at.as_millis());
        if rings_since.is_some_and(|ms| ms > UNHEARD_MS) {
            return Ok(true);
        }
    }
    Ok(false)
}
