//! The files that came with messages: the executor of the work items that fetch them from their platform.

use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Source;
use deskbell_sdk::client::{BoxFuture, CallError};
use deskbell_sdk::media::{Located, Wanted};

use crate::app::App;
use crate::channels::OpenChannel;
use crate::desk::Next;
use crate::desk::media::{BeginFetch, FetchEnded, FetchErrand, FinishFetch};
use crate::downloads::Downloads;
use crate::http_client::FetchError;
use crate::id::WorkId;
use crate::store::Found;
use crate::store::entry::FetchEntry;
use crate::work::{self, Executor, Item};
use crate::writer::WriteError;

/// The largest file that is fetched, in bytes; what is larger stays at the platform. Meta's own limit is the same.
pub const MAX_MEDIA_BYTES: u64 = 25 * 1024 * 1024;
/// How many files of a channel are fetched at once.
pub const AT_ONCE: usize = 4;

/// How long a connector may take to find a file.
const LOCATE_TIME: Duration = Duration::from_secs(30);
/// How long the files of a channel wait that was taken out of the configuration, in milliseconds.
const CLOSED_WAIT_MS: i64 = 30 * 60 * 1000;
/// How long files wait for credentials, or a virus check, that work, in milliseconds.
const PAUSED_WAIT_MS: i64 = 60 * 1000;
/// How often a link is tried that seems dead, where the platform gives no other.
const ATTEMPTS_OF_DEAD_LINKS: u32 = 3;
/// From this age on a missing file is told to the operator, in milliseconds: a day.
const TELL_AFTER_MS: i64 = 24 * 60 * 60 * 1000;

/// Fetches files, for the runtime.
#[derive(Clone, Debug)]
pub struct Media {
    downloads: Downloads,
}

impl Media {
    /// Fetches by `downloads`.
    #[must_use]
    pub const fn new(downloads: Downloads) -> Self {
        Self { downloads }
    }

    async fn carry_out(&self, app: &App, work: WorkId) -> Result<Next, WriteError> {
        let Some(errand) = app.writer.write(BeginFetch { work }).await? else {
            return Ok(Next::Done);
        };
        let channel = app.channels.get_no(errand.channel);
        let ended = match channel {
            Some(channel) => {
                let ended = self.fetch(app, &channel, &errand).await;
                tell(app, &channel, &errand, &ended);
                ended
            }
            None => FetchEnded::Postponed(app.clock.now().plus_millis(CLOSED_WAIT_MS)),
        };
        let finish = FinishFetch {
            work,
            attachment: errand.file.attachment,
            ended,
            jitter: crate::secrets::jitter(),
        };
        app.writer.write(finish).await
    }

    async fn fetch(
        &self,
        app: &App,
        channel: &Arc<OpenChannel>,
        errand: &FetchErrand,
    ) -> FetchEnded {
        let paused = || FetchEnded::Postponed(app.clock.now().plus_millis(PAUSED_WAIT_MS));
        let mut is_gone = errand.file.is_gone;
        // Nothing is fetched in vain; what is wrong was told when it began.
        if self.downloads.can_check().await.is_err() {
            return paused();
        }
        loop {
            let asks_platform = is_gone || matches!(errand.file.source, Source::Handle(_));
            if asks_platform && channel.status().sending_paused {
                return paused();
            }
            let located = match self.locate(channel, errand, is_gone).await {
                Ok(located) => located,
                Err(CallError::Retry { after, say }) => {
                    return FetchEnded::Again {
                        say,
                        is_gone,
                        after_ms: after.map(in_millis),
                    };
                }
                Err(CallError::Refused { .. }) => return FetchEnded::Expired,
                Err(CallError::Credentials { say }) => {
                    crate::watch::credentials_broken(app, channel, &say).await;
                    return paused();
                }
            };
            let fetched = self
                .downloads
                .fetch(channel, &located, MAX_MEDIA_BYTES)
                .await;
            return match fetched {
                Ok(fetched) => FetchEnded::Stored {
                    content: fetched.file.content,
                    mime_type: fetched.file.mime_type,
                    size: fetched.file.size,
                    name: fetched.name,
                },
                Err(FetchError::TooLarge) => FetchEnded::TooLarge,
                Err(FetchError::Refused(say)) => FetchEnded::Refused(say),
                Err(FetchError::Gone(say)) => {
                    // A platform that can be asked gives a new address; else the old one may be found again.
                    let can_ask = channel.channel.media().is_some();
                    if !is_gone && (can_ask || errand.file.attempts >= ATTEMPTS_OF_DEAD_LINKS) {
                        is_gone = true;
                        continue;
                    }
                    FetchEnded::Again {
                        say,
                        is_gone,
                        after_ms: None,
                    }
                }
                Err(FetchError::Failed { say, after }) => FetchEnded::Again {
                    say,
                    is_gone,
                    after_ms: after.map(in_millis),
                },
            };
        }
    }

    async fn locate(
        &self,
        channel: &OpenChannel,
        errand: &FetchErrand,
        expired: bool,
    ) -> Result<Located, CallError> {
        let wanted = Wanted {
            source: &errand.file.source,
            message: errand.message.external_id.as_deref().unwrap_or_default(),
            place: errand.file.place,
            external_id: errand.external_id.as_deref(),
            expired,
        };
        let locating = self.downloads.locate(channel, wanted);
        tokio::time::timeout(LOCATE_TIME, locating)
            .await
            .unwrap_or_else(|_| {
                Err(CallError::retry(
                    "the platform did not say in time where it is",
                ))
            })
    }
}

impl Executor for Media {
    fn name(&self) -> &'static str {
        "fetch"
    }

    /// The newest first: that is what somebody looks at now.
    fn on_record(
        &self,
        app: &App,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Item)>> {
        work::items(app, after, limit, |entry: &FetchEntry| Item {
            id: entry.id,
            line: u64::from(entry.channel.0),
            due_at: entry.due_at(),
            rank: entry.created_at.as_millis().saturating_neg(),
        })
    }

    fn carry_out<'a>(
        &'a self,
        app: &'a App,
        work: WorkId,
    ) -> BoxFuture<'a, Result<Next, WriteError>> {
        Box::pin(self.carry_out(app, work))
    }
}

fn in_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Counts what happened, and says what the operator should know.
fn tell(app: &App, channel: &OpenChannel, errand: &FetchErrand, ended: &FetchEnded) {
    let outcome = match ended {
        FetchEnded::Stored { .. } => "stored",
        FetchEnded::TooLarge => "too_large",
        FetchEnded::Expired => "expired",
        FetchEnded::Refused(_) => "refused",
        FetchEnded::Again { .. } => "again",
        FetchEnded::Postponed(_) => "postponed",
    };
    let labels = [
        ("channel", channel.id.clone()),
        ("outcome", outcome.to_owned()),
    ];
    metrics::counter!("deskbell_fetches_total", &labels).increment(1);
    let (message, attempt) = (errand.message.id, errand.file.attempts);
    match ended {
        FetchEnded::Refused(say) => {
            tracing::warn!(channel = %channel.id, %message, "a file is not fetched: {say}");
        }
        FetchEnded::Again { say, .. } => {
            let age_ms = app.clock.now().as_millis() - errand.created_at.as_millis();
            if age_ms >= TELL_AFTER_MS {
                tracing::warn!(channel = %channel.id, %message, attempt, "a file is missing for more than a day: {say}");
            } else {
                tracing::info!(channel = %channel.id, %message, attempt, "a file is fetched again later: {say}");
            }
        }
        FetchEnded::Expired => {
            tracing::warn!(channel = %channel.id, %message, "the platform has a file no longer");
        }
        _ => {}
    }
}
