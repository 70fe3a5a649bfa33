//! Catching up: what no delivery brought is read at the platform.
//!
//! Each channel that can is looked after by a task of its own. Where it stands is a mark in the store: everything that
//! the platform wrote down before it, by the platform's own clock, is here. A run lists the threads that moved since,
//! takes them from the oldest movement to the newest, and moves the mark once all of them are here; a run that was
//! broken off goes on where it was. Reading is never stopped at a message that is known, since deliveries bring newer
//! ones meanwhile.

mod run;
mod when;

use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Time;

use crate::app::App;
use crate::channels::{CatchUpReport, OpenChannel};
use crate::desk::access::TellHealth;
use when::{End, Facts, Last, Reason, due};

/// How often it is asked whether a run is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How old a message has to be before its delivery counts as missing, in milliseconds.
const SURELY_UNDELIVERED_MS: i64 = 2 * 60 * 1000;

/// Why a channel is not caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Not {
    /// Its platform has no history to read.
    Able,
    /// `catch_up = false`.
    Wanted,
}

/// Whether a channel is caught up.
pub fn is_on(channel: &OpenChannel) -> Result<(), Not> {
    if channel.channel.backfill().is_none() {
        Err(Not::Able)
    } else if channel.catch_up {
        Ok(())
    } else {
        Err(Not::Wanted)
    }
}

/// Asks for a run and gives its report, or that of the one that runs.
pub fn ask(app: &App, channel: &OpenChannel) -> CatchUpReport {
    let mut status = channel.status();
    if let Some(running) = status
        .catch_up
        .as_ref()
        .filter(|one| one.ended_at.is_none())
    {
        return running.clone();
    }
    let report = CatchUpReport::new(Reason::Asked.name(), app.clock.now());
    status.catch_up = Some(report.clone());
    channel.want_catch_up();
    report
}

/// Looks after all channels until the daemon stops.
pub async fn channels(app: App) {
    let mut changes = app.channels.changes();
    let mut followed: Vec<Arc<OpenChannel>> = Vec::new();
    loop {
        changes.mark_unchanged();
        let open = app.channels.open();
        followed.retain(|known| open.iter().any(|channel| Arc::ptr_eq(channel, known)));
        for channel in open {
            let is_new = !followed.iter().any(|known| Arc::ptr_eq(known, &channel));
            if is_new && is_on(&channel).is_ok() {
                let (following, until) = (Arc::clone(&app), Arc::clone(&channel));
                // It ends by itself with the channel, or when the daemon stops.
                drop(tokio::spawn(async move {
                    let ended = until.ended().clone();
                    tokio::select! {
                        () = ended.cancelled() => {}
                        () = follow(following, until) => {}
                    }
                }));
                followed.push(channel);
            }
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

async fn follow(app: App, channel: Arc<OpenChannel>) {
    let mut last: Option<Last> = None;
    // What people were told of a trouble that stays, so that they are told once.
    let mut told: Option<String> = None;
    loop {
        let facts = {
            let status = channel.status();
            Facts {
                last,
                asked: channel.catch_up_wanted(),
                paused: status.sending_paused,
                delivered_at: status.last_event_at,
                unstored_at: status.last_unstored_at,
            }
        };
        if let Some(reason) = due(&facts, app.clock.now()) {
            channel.catch_up_begins();
            let Some(ended) = carry_out(&app, &channel, reason, &mut told).await else {
                return;
            };
            last = Some(ended);
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = channel.catch_up_asked() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// One run with everything around it; `None`: the daemon stops.
async fn carry_out(
    app: &App,
    channel: &Arc<OpenChannel>,
    reason: Reason,
    told: &mut Option<String>,
) -> Option<Last> {
    let started_at = app.clock.now();
    channel.status().catch_up = Some(CatchUpReport::new(reason.name(), started_at));
    let labels = [("channel", channel.id.clone())];
    metrics::gauge!("deskbell_catch_up_running", &labels).set(1.0);
    let outcome = run::run(app, channel, started_at).await;
    metrics::gauge!("deskbell_catch_up_running", &labels).set(0.0);
    let ended_at = app.clock.now();
    let (end, error, alarming) = match outcome.end {
        Err(run::Stop::Stopping) => return None,
        Ok(end) => (end, None, false),
        Err(run::Stop::Failed(say)) => (End::Failed, Some(say), false),
        Err(run::Stop::Alarming(say)) => (End::Failed, Some(say), true),
        Err(run::Stop::Credentials(say)) => {
            crate::watch::credentials_broken(app, channel, &say).await;
            (End::Credentials, Some(say), false)
        }
    };
    let was = error.clone();
    let report = {
        let mut status = channel.status();
        let report = status
            .catch_up
            .get_or_insert_with(|| CatchUpReport::new(reason.name(), started_at));
        report.ended_at = Some(ended_at);
        report.error = error;
        report.clone()
    };
    let outcome_name = match end {
        End::Whole => "whole",
        End::LeftOpen => "left-open",
        End::Failed => "failed",
        End::Credentials => "credentials",
    };
    let labels = [
        ("channel", channel.id.clone()),
        ("outcome", outcome_name.to_owned()),
    ];
    metrics::counter!("deskbell_catch_up_runs_total", &labels).increment(1);
    if report.new > 0 || report.error.is_some() {
        tracing::info!(
            channel = %channel.id, reason = report.reason, threads = report.threads, found = report.found, new = report.new,
            outcome = outcome_name, "caught up: {}", report.error.as_deref().unwrap_or("all is here")
        );
    }
    let undelivered = count_undelivered(&outcome.new_inbound, started_at);
    if reason.expects_nothing() && undelivered > 0 {
        tell_undelivered(app, channel, ended_at, undelivered).await;
    }
    let news = was.filter(|_| alarming);
    if let Some(say) = news.clone().filter(|say| told.as_ref() != Some(say)) {
        tell(app, channel, say).await;
    }
    if news.is_some() || end == End::Whole {
        *told = news;
    }
    Some(Last {
        started_at,
        ended_at,
        end,
    })
}

/// How many of the customers' messages were found so late that nobody is about to deliver them.
fn count_undelivered(new_inbound: &[Time], started_at: Time) -> u64 {
    let surely = started_at.plus_millis(-SURELY_UNDELIVERED_MS);
    let late = new_inbound
        .iter()
        .filter(|written_at| **written_at < surely);
    late.count() as u64
}

/// The platform has stopped to deliver without a word.
async fn tell_undelivered(app: &App, channel: &OpenChannel, now: Time, undelivered: u64) {
    let labels = [("channel", channel.id.clone())];
    metrics::counter!("deskbell_catch_up_undelivered_total", &labels).increment(undelivered);
    channel.status().undelivered = Some((now, undelivered));
    let say = undelivered_in_words(channel, undelivered);
    tell(app, channel, say).await;
}

/// What the operator is told of messages that were not delivered.
#[must_use]
pub fn undelivered_in_words(channel: &OpenChannel, undelivered: u64) -> String {
    let title = channel.kind.title;
    let mend = match channel.channel.register() {
        Some(_) => format!("Run `deskbell channel register {}`", channel.id),
        None => format!("Look at {title} whether it still has this daemon's address"),
    };
    format!(
        "{undelivered} message(s) of customers were not delivered by {title} and were fetched there. {mend}, and see \
         whether `public_url` can be reached from the internet."
    )
}

async fn tell(app: &App, channel: &OpenChannel, detail: String) {
    tracing::warn!(channel = %channel.id, "{detail}");
    let tell = TellHealth {
        channel: channel.no,
        healthy: false,
        detail,
    };
    if let Err(error) = app.writer.write(tell).await {
        tracing::warn!(channel = %channel.id, %error, "the channel's state could not be told");
    }
}
