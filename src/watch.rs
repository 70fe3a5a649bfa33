//! Looks after the channels and the daemon itself while it runs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deskbell_sdk::client::CallError;
use deskbell_sdk::health::{Finding, Standing};

use crate::app::App;
use crate::channels::OpenChannel;
use crate::desk::Decision;
use crate::desk::access::TellHealth;
use crate::desk::sweep::{Sweep, useless};
use crate::http_client::{PlatformClient, client};
use crate::store::draft::Draft;
use crate::store::entry::{AttachmentEntry, Entry as _};
use crate::store::{Found, Scope, Store, Table};

/// How often each channel's credentials are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5 * 60);
/// How often, while a channel cannot send for its credentials.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How often the store is looked at.
const LOOK_AT_STORE_EVERY: Duration = Duration::from_secs(1);
/// How often what is only in memory is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often what lies in the store and is of no use any more is looked for.
const SWEEP_STORE_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often files that nothing names are looked for.
const SWEEP_FILES_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many entries are read at once.
const READ_AT_ONCE: usize = 512;
/// How much of each kind is removed at once, so that nobody waits for it.
const SWEPT_AT_ONCE: usize = 100;

/// Asks the platform of a channel whether the credentials work; nothing where the connector cannot ask.
pub async fn look(channel: &OpenChannel) -> Vec<Finding> {
    let Some(health) = channel.channel.health() else {
        return Vec::new();
    };
    match client() {
        Ok(client) => {
            health
                .look(&PlatformClient::new(client, channel.api_base()))
                .await
        }
        Err(error) => vec![Finding {
            what: "client",
            standing: Standing::Doubtful,
            say: format!("The platform could not be asked: {error}."),
        }],
    }
}

/// Looks at all channels, at start and then every five minutes, at those that are new at once, and more often at those
/// whose sending is paused; tells people when one breaks or works again.
pub async fn channels(app: App) {
    let mut all_looked_at: Option<Instant> = None;
    let mut changes = app.channels.changes();
    loop {
        changes.mark_unchanged();
        let all = all_looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        for channel in app.channels.open() {
            let wanted = {
                let status = channel.status();
                status.sending_paused || status.looked_at.is_none()
            };
            if all || wanted {
                let mut findings = look(&channel).await;
                add_registration(&app, &channel, &mut findings).await;
                keep(&app, &channel, findings).await;
            }
        }
        if all {
            all_looked_at = Some(Instant::now());
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            // One that was added or changed is looked at at once.
            _ = changes.changed() => {}
        }
    }
}

/// Adds what the platform was told of this daemon, as far as that was not looked at. With credentials that do not work
/// the question would only repeat the first answer.
async fn add_registration(app: &App, channel: &Arc<OpenChannel>, findings: &mut Vec<Finding>) {
    let token_works = findings
        .iter()
        .any(|finding| finding.what == "token" && finding.standing == Standing::Fine);
    let by_itself = channel
        .channel
        .register()
        .is_some_and(deskbell_sdk::register::Register::by_itself);
    if !token_works || by_itself {
        return;
    }
    for finding in crate::registration::look(app, channel).await {
        if findings.iter().all(|known| known.what != finding.what) {
            findings.push(finding);
        }
    }
}

/// Whether the history of a channel can be read, so that what is missed can be fetched; `None` where there is none.
pub async fn look_at_history(channel: &OpenChannel) -> Option<Finding> {
    let backfill = channel.channel.backfill()?;
    let base = channel.settings.api_base().or(channel.kind.api_base);
    let read = match client() {
        Ok(client) => {
            let http = PlatformClient::new(client, base.unwrap_or_default())
                .with_answers_up_to(16 * 1024 * 1024);
            backfill.threads(&http, None).await.map(drop)
        }
        Err(error) => Err(CallError::retry(error.to_string())),
    };
    Some(match read {
        Ok(()) => Finding {
            what: "history",
            standing: Standing::Fine,
            say: "what is missed can be fetched".to_owned(),
        },
        Err(error) => Finding {
            what: "history",
            standing: Standing::Doubtful,
            say: format!("what is missed cannot be fetched: {error}"),
        },
    })
}

/// The platform refused a channel's credentials while it sent: nothing more is sent, and people are told.
pub async fn credentials_broken(app: &App, channel: &Arc<OpenChannel>, say: &str) {
    if channel.ended().is_cancelled() {
        // They were changed meanwhile: the new ones are not refused.
        return;
    }
    channel.status().sending_paused = true;
    let finding = Finding {
        what: "token",
        standing: Standing::Broken,
        say: say.to_owned(),
    };
    keep(app, channel, vec![finding]).await;
}

/// Keeps what was found, and tells where that is news.
async fn keep(app: &App, channel: &Arc<OpenChannel>, findings: Vec<Finding>) {
    if channel.ended().is_cancelled() {
        // It was changed or removed while it was looked at.
        return;
    }
    let was_healthy = channel.is_healthy();
    let worst = findings.iter().max_by_key(|finding| finding.standing);
    let detail = worst.map_or_else(String::new, |finding| finding.say.clone());
    let doubtful = worst.is_some_and(|finding| finding.standing == Standing::Doubtful);
    {
        let mut status = channel.status();
        let token_works = findings
            .iter()
            .all(|finding| finding.what != "token" || finding.standing == Standing::Fine);
        if token_works && !findings.is_empty() {
            status.sending_paused = false;
        }
        status.findings = findings;
        status.looked_at = Some(app.clock.now());
    }
    if !channel.is_healthy() {
        tracing::warn!(channel = %channel.id, "{detail}");
    } else if doubtful {
        tracing::info!(channel = %channel.id, "{detail}");
    }
    tell_if_news(app, channel, was_healthy, detail).await;
}

/// Keeps what a part of the daemon that uses the channel found, in place of what it found before, and tells where that
/// is news.
pub async fn found(
    app: &App,
    channel: &Arc<OpenChannel>,
    part: &'static str,
    findings: Vec<Finding>,
) {
    let was_healthy = channel.is_healthy();
    let worst = findings.iter().max_by_key(|finding| finding.standing);
    let detail = worst.map_or_else(String::new, |finding| finding.say.clone());
    if worst.is_some_and(|finding| finding.standing == Standing::Broken) {
        tracing::warn!(channel = %channel.id, "{detail}");
    }
    channel.status().found.insert(part, findings);
    tell_if_news(app, channel, was_healthy, detail).await;
}

/// Tells people where a channel broke or works again.
async fn tell_if_news(app: &App, channel: &Arc<OpenChannel>, was_healthy: bool, detail: String) {
    let healthy = channel.is_healthy();
    if healthy != was_healthy {
        let tell = TellHealth {
            channel: channel.no,
            healthy,
            detail,
        };
        if let Err(error) = app.writer.write(tell).await {
            tracing::warn!(channel = %channel.id, %error, "the channel's state could not be told");
        }
    }
}

/// Sweeps what is of no use any more, from memory and from the store.
pub async fn sweep(app: App) {
    let mut store_swept_at: Option<Instant> = None;
    let mut files_swept_at: Option<Instant> = None;
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => app.chat_limits.forget_quiet(),
        }
        if store_swept_at.is_none_or(|at| at.elapsed() >= SWEEP_STORE_EVERY) {
            match sweep_store(&app).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "entries of no more use were removed"),
                Err(error) => {
                    tracing::warn!(%error, "the store could not be swept; it is tried again")
                }
            }
            store_swept_at = Some(Instant::now());
        }
        if files_swept_at.is_none_or(|at| at.elapsed() >= SWEEP_FILES_EVERY) {
            let sweeping = Arc::clone(&app);
            let swept = tokio::task::spawn_blocking(move || {
                sweeping.blobs.sweep(|| files_in_use(&*sweeping.store))
            });
            match swept.await {
                Ok(Ok(0)) => {}
                Ok(Ok(removed)) => tracing::info!(removed, "files that nothing names were removed"),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the files could not be swept; it is tried again");
                }
                Err(error) => tracing::error!(%error, "sweeping the files failed"),
            }
            files_swept_at = Some(Instant::now());
        }
    }
}

/// The names of all files that attachments and contacts' pictures use.
///
/// # Errors
/// Where the store cannot be read.
pub fn files_in_use(store: &dyn Store) -> anyhow::Result<HashSet<String>> {
    let mut named = HashSet::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let stretch = AttachmentEntry::scan(store, &[], after.as_deref(), READ_AT_ONCE)?;
        let more = stretch.len() == READ_AT_ONCE;
        for (key, entry) in stretch {
            named.insert(entry.content);
            after = Some(key);
        }
        if !more {
            break;
        }
    }
    let mut before = None;
    loop {
        let stretch = store.contacts(&Scope::whole_desk(), before, READ_AT_ONCE)?;
        for contact in &stretch {
            named.extend(contact.avatar.iter().map(|avatar| avatar.content.clone()));
        }
        match stretch.last() {
            Some(last) => before = Some(last.id),
            None => return Ok(named),
        }
    }
}

/// Removes from the store what is of no use any more; how much that was.
async fn sweep_store(app: &App) -> anyhow::Result<usize> {
    let mut removed = 0;
    loop {
        let looking = Arc::clone(app);
        let found = tokio::task::spawn_blocking(move || {
            useless(&*looking.store, looking.clock.now(), SWEPT_AT_ONCE)
        });
        let found = found.await??;
        if found.is_empty() || app.stopping.is_cancelled() {
            return Ok(removed);
        }
        let gone = app.writer.write(Sweep { found }).await?;
        if gone == 0 {
            return Ok(removed);
        }
        removed += gone;
    }
}

/// Decides nothing: whether the writer answers.
struct Nothing;

impl Decision for Nothing {
    type Answer = ();

    fn decide(&self, _draft: &mut Draft<'_>) -> Found<()> {
        Ok(())
    }
}

/// Reads something, so that a store that cannot be read is noticed where it is mended.
struct Look;

impl Decision for Look {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        draft.value(Table::Settings, &[]).map(|_| ())
    }
}

/// Looks whether the store can be read. A disk that refused once may leave its tables unreadable until the writer makes
/// them again, which it does when a decision of its own fails: but where every request fails before it decides anything,
/// there would be none.
pub async fn store(app: App) {
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_AT_STORE_EVERY) => {}
        }
        if app.store.get(Table::Settings, &[]).is_err() {
            // What it says is in the log already, and the next look comes.
            let _ = app.writer.write(Look).await;
        }
    }
}

/// Tells systemd that the daemon lives, as long as its writer answers; without systemd it does nothing.
pub async fn systemd(app: App) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(interval / 3) => {}
        }
        let answered = tokio::time::timeout(interval / 3, app.writer.write(Nothing)).await;
        if answered.is_ok() {
            // Where systemd does not listen there is nobody to tell.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}
