//! Who writes: the executor of the work items that ask platforms for names and pictures.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use deskbell_sdk::Source;
use deskbell_sdk::client::{BoxFuture, CallError};
use deskbell_sdk::media::Wanted;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::app::App;
use crate::channels::OpenChannel;
use crate::desk::Next;
use crate::desk::profiles::{After, BeginLookup, FinishLookup, NoteProfiles};
use crate::downloads::Downloads;
use crate::http_client::FetchError;
use crate::id::WorkId;
use crate::store::Found;
use crate::store::entry::LookupEntry;
use crate::store::record::{AvatarRecord, ChannelNo};
use crate::work::{self, Executor, Item};
use crate::writer::WriteError;

/// The largest picture of a person that is fetched, in bytes.
pub const MAX_AVATAR_BYTES: u64 = 2 * 1024 * 1024;
/// How many people of a channel are looked up at once.
pub const AT_ONCE: usize = 2;

/// How many people of a channel are looked up in a second.
const A_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
/// How long a connector may take.
const ASK_TIME: Duration = Duration::from_secs(30);
/// How long people of a channel wait that was taken out of the configuration, in milliseconds.
const CLOSED_WAIT_MS: i64 = 30 * 60 * 1000;
/// How long they wait for credentials that work, in milliseconds.
const PAUSED_WAIT_MS: i64 = 60 * 1000;
/// How often is looked whether channels have come or gone.
const NOTE_EVERY: Duration = Duration::from_secs(30);
/// What is kept as a picture: what every browser shows and none runs (M08).
const PICTURES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Looks people up, for the runtime.
#[derive(Debug)]
pub struct Profiles {
    downloads: Downloads,
    turns: DefaultKeyedRateLimiter<ChannelNo>,
}

/// What a look-up brought.
#[derive(Debug, Default)]
struct Brought {
    name: Option<String>,
    avatar: Option<AvatarRecord>,
    after: Option<After>,
}

impl Brought {
    fn nothing(after: After) -> Self {
        Self {
            after: Some(after),
            ..Self::default()
        }
    }
}

impl Profiles {
    /// Fetches pictures by `downloads`.
    #[must_use]
    pub fn new(downloads: Downloads) -> Self {
        Self {
            downloads,
            turns: RateLimiter::keyed(Quota::per_second(A_SECOND)),
        }
    }

    async fn carry_out(&self, app: &App, work: WorkId) -> Result<Next, WriteError> {
        let Some(entry) = app.writer.write(BeginLookup { work }).await? else {
            return Ok(Next::Done);
        };
        let later = |wait_ms| After::Postponed(app.clock.now().plus_millis(wait_ms));
        let brought = match app.channels.get_no(entry.channel) {
            None => Brought::nothing(later(CLOSED_WAIT_MS)),
            Some(channel) if channel.status().sending_paused => {
                Brought::nothing(later(PAUSED_WAIT_MS))
            }
            Some(channel) => {
                self.turns.until_key_ready(&entry.channel).await;
                match self.look_up(&channel, &entry).await {
                    Ok(brought) => brought,
                    Err(CallError::Retry { after, say }) => {
                        tracing::debug!(channel = %channel.id, contact = %entry.contact, "a person is looked up again later: {say}");
                        Brought::nothing(After::Again(after.map(in_millis)))
                    }
                    Err(CallError::Refused { code, .. }) => {
                        tracing::debug!(channel = %channel.id, contact = %entry.contact, code, "the platform tells nothing of a person");
                        Brought::nothing(After::Enough)
                    }
                    Err(CallError::Credentials { say }) => {
                        crate::watch::credentials_broken(app, &channel, &say).await;
                        Brought::nothing(later(PAUSED_WAIT_MS))
                    }
                }
            }
        };
        let finish = FinishLookup {
            work,
            name: brought.name,
            avatar: brought.avatar,
            after: brought.after.unwrap_or(After::Enough),
            jitter: crate::secrets::jitter(),
        };
        app.writer.write(finish).await
    }

    async fn look_up(
        &self,
        channel: &OpenChannel,
        entry: &LookupEntry,
    ) -> Result<Brought, CallError> {
        let Some(profiles) = channel.channel.profiles() else {
            return Ok(Brought::default());
        };
        let http = self.downloads.platform(channel);
        let asking = profiles.profile(&http, &entry.person);
        let told = tokio::time::timeout(ASK_TIME, asking)
            .await
            .map_err(|_| CallError::retry("the platform did not answer in time"))??;
        let Some(told) = told else {
            return Ok(Brought::default());
        };
        let mut brought = Brought {
            name: told.name,
            ..Brought::default()
        };
        match self.picture(channel, told.picture.as_ref()).await {
            Ok(avatar) => brought.avatar = avatar,
            // The name stands; the picture is asked for again.
            Err(after) => brought.after = Some(after),
        }
        Ok(brought)
    }

    /// The picture, kept here; `None` where there is none that can be shown.
    async fn picture(
        &self,
        channel: &OpenChannel,
        source: Option<&Source>,
    ) -> Result<Option<AvatarRecord>, After> {
        let Some(source) =
            source.filter(|source| matches!(source, Source::Url(_) | Source::Handle(_)))
        else {
            return Ok(None);
        };
        if self.downloads.can_check().await.is_err() {
            return Err(After::Again(Some(PAUSED_WAIT_MS)));
        }
        let wanted = Wanted {
            source,
            message: "",
            place: 0,
            external_id: None,
            expired: false,
        };
        let located =
            match tokio::time::timeout(ASK_TIME, self.downloads.locate(channel, wanted)).await {
                Ok(Ok(located)) => located,
                Ok(Err(CallError::Retry { after, .. })) => {
                    return Err(After::Again(after.map(in_millis)));
                }
                Err(_) => return Err(After::Again(None)),
                Ok(Err(_)) => return Ok(None),
            };
        match self
            .downloads
            .fetch(channel, &located, MAX_AVATAR_BYTES)
            .await
        {
            Ok(fetched) => {
                let is_picture = PICTURES.contains(&fetched.file.mime_type.as_str());
                Ok(is_picture.then_some(AvatarRecord {
                    content: fetched.file.content,
                    mime_type: fetched.file.mime_type,
                }))
            }
            Err(FetchError::Failed { say, after }) => {
                tracing::debug!(channel = %channel.id, "a person's picture is fetched again later: {say}");
                Err(After::Again(after.map(in_millis)))
            }
            Err(error) => {
                tracing::debug!(channel = %channel.id, "a person's picture is not fetched: {error}");
                Ok(None)
            }
        }
    }
}

impl Executor for Profiles {
    fn name(&self) -> &'static str {
        "lookup"
    }

    /// Those who wait longest for an answer first.
    fn on_record(
        &self,
        app: &App,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Item)>> {
        work::items(app, after, limit, |entry: &LookupEntry| Item {
            id: entry.id,
            line: u64::from(entry.channel.0),
            due_at: entry.due_at,
            rank: entry.waiting_since.as_millis(),
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

/// Notes which channels' platforms can be asked who people are, so that arrivals know.
pub async fn note(app: &App) {
    note_news(app, &mut HashMap::new()).await;
}

/// The same for channels that come and go while the daemon runs.
pub async fn keep_noted(app: App) {
    let mut noted = HashMap::new();
    loop {
        note_news(&app, &mut noted).await;
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(NOTE_EVERY) => {}
        }
    }
}

async fn note_news(app: &App, noted: &mut HashMap<ChannelNo, bool>) {
    for channel in app.channels.open() {
        let can = channel.channel.profiles().is_some();
        if noted.get(&channel.no) == Some(&can) {
            continue;
        }
        let note = NoteProfiles {
            channel: channel.no,
            can,
        };
        match app.writer.write(note).await {
            Ok(()) => {
                noted.insert(channel.no, can);
            }
            Err(error) => {
                tracing::warn!(channel = %channel.id, %error, "whether people can be looked up could not be noted; it is tried again");
            }
        }
    }
}
