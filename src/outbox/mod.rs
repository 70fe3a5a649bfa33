//! Answers on their way out: the executor of the work items that send.

mod gate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::body::Bytes;
use deskbell_sdk::client::BoxFuture;
use deskbell_sdk::send::{Fate, LostSend, Outbound, OutboundFile, Part, PartPlan, SendError};

use deskbell_sdk::health::{Finding, Standing};
use tokio::time::Instant;

use self::gate::{Change, Gate, May, Outcome};
use crate::app::App;
use crate::channels::OpenChannel;
use crate::desk::Next;
use crate::desk::outbox::{Begin, Ended, Errand, Finish, Resume, Windows, contents, send_token};
use crate::http_client::{PlatformClient, upload_client, upload_time};
use crate::id::WorkId;
use crate::store::entry::{Entry, WorkEntry, WorkState};
use crate::store::{ChannelNo, Found};
use crate::work::{self, Executor, Item};
use crate::writer::WriteError;

/// How long a channel that cannot send is left alone.
const CLOSED_WAIT_MS: i64 = 30_000;
/// Under which name the channel's health has what is found here.
const PART: &str = "sending";
/// How much longer than its HTTP call a connector may take; a platform that is silent for longer has told nothing.
const MORE_TIME: Duration = Duration::from_secs(5);

/// The windows of a channel.
#[must_use]
pub fn windows(channel: &OpenChannel) -> Windows {
    Windows {
        ordinary_ms: channel.channel.limits().reply_window_ms,
        extended_ms: channel
            .channel
            .send()
            .and_then(deskbell_sdk::send::Send::extended_window_ms),
    }
}

/// Sends answers, for the runtime.
#[derive(Debug)]
pub struct Outbox {
    jitter: fn() -> f64,
    /// Since when this daemon looks for the fate of a part, in time that really passes.
    looking: Mutex<HashMap<WorkId, (usize, Instant)>>,
    /// Whether each channel's answers may be attempted; of a channel that was changed it begins anew.
    gates: Mutex<HashMap<ChannelNo, (Weak<OpenChannel>, Gate)>>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::with_jitter(crate::secrets::jitter)
    }
}

impl Outbox {
    /// `jitter` gives numbers between 0 and 1, which spread the next attempts of many that failed together.
    #[must_use]
    pub fn with_jitter(jitter: fn() -> f64) -> Self {
        Self {
            jitter,
            looking: Mutex::default(),
            gates: Mutex::default(),
        }
    }

    /// Asks or tells the gate of a channel.
    fn gate<T>(
        &self,
        channel: &Arc<OpenChannel>,
        ask: impl FnOnce(&mut Gate, Instant, f64) -> T,
    ) -> T {
        let now = Instant::now();
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || (Arc::downgrade(channel), Gate::new(now));
        let gate = gates.entry(channel.no).or_insert_with(new);
        if !std::ptr::eq(gate.0.as_ptr(), Arc::as_ptr(channel)) {
            *gate = new();
        }
        ask(&mut gate.1, now, (self.jitter)())
    }

    /// Tells the gate how an attempt ended, and people where that changes something.
    async fn tell(&self, app: &App, channel: &Arc<OpenChannel>, work: WorkId, outcome: Outcome) {
        match self.gate(channel, |gate, now, jitter| {
            gate.ended(work, outcome, now, jitter)
        }) {
            Change::None => {}
            Change::Paused(wait) => {
                tracing::warn!(channel = %channel.id, seconds = wait.as_secs(), "sending is paused: the platform does not answer");
                let finding = Finding {
                    what: "sending",
                    standing: Standing::Broken,
                    say: "The platform did not take several answers in a row, so that sending is paused. Nothing is lost: \
                          one answer at a time is tried, and the others follow as soon as one gets through. Look at the \
                          platform's status page, and at this machine's way to the internet."
                        .to_owned(),
                };
                crate::watch::found(app, channel, PART, vec![finding]).await;
            }
            Change::Resumed => {
                tracing::info!(channel = %channel.id, "sending goes on");
                crate::watch::found(app, channel, PART, Vec::new()).await;
            }
        }
    }

    fn looking(&self) -> MutexGuard<'_, HashMap<WorkId, (usize, Instant)>> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long a part is looked for by now, in milliseconds; a part that was not yet begins.
    fn looks(&self, work: WorkId, part: usize) -> i64 {
        let now = Instant::now();
        let mut looking = self.looking();
        let since = looking.entry(work).or_insert((part, now));
        if since.0 != part {
            *since = (part, now);
        }
        i64::try_from(now.duration_since(since.1).as_millis()).unwrap_or(i64::MAX)
    }
}

impl Executor for Outbox {
    fn name(&self) -> &'static str {
        "answer"
    }

    fn on_record(
        &self,
        app: &App,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Item)>> {
        work::items(app, after, limit, |entry: &WorkEntry| Item {
            id: entry.id,
            line: entry.conversation.0,
            due_at: entry.due_at,
            rank: 0,
        })
    }

    fn carry_out<'a>(
        &'a self,
        app: &'a App,
        work: WorkId,
    ) -> BoxFuture<'a, Result<Next, WriteError>> {
        Box::pin(self.step(app, work))
    }
}

impl Outbox {
    /// Takes an item one step further, and says what comes next for it.
    async fn step(&self, app: &App, work: WorkId) -> Result<Next, WriteError> {
        let entry = match WorkEntry::get(&*app.store, &work.key()) {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                self.looking().remove(&work);
                return Ok(Next::Done);
            }
            Err(error) => return Err(WriteError::Store(error.to_string())),
        };
        // A channel that was taken out, or whose credentials are broken, keeps its answers.
        let later = Next::At(app.clock.now().plus_millis(CLOSED_WAIT_MS));
        let Some(channel) = app.channels.get_no(entry.channel) else {
            return Ok(later);
        };
        if channel.channel.send().is_none() || channel.status().sending_paused {
            return Ok(later);
        }
        match entry.state {
            WorkState::Waiting { attempts } => {
                match self.gate(&channel, |gate, now, jitter| {
                    gate.may(work, attempts, now, jitter)
                }) {
                    May::Go => self.attempt(app, &channel, work).await,
                    May::In(wait) => {
                        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(CLOSED_WAIT_MS);
                        Ok(Next::At(app.clock.now().plus_millis(wait_ms)))
                    }
                }
            }
            WorkState::Attempting { .. } | WorkState::Looking { .. } => {
                self.look(app, &channel, work).await
            }
        }
    }

    /// Records the attempt, makes it, and records how it ended.
    async fn attempt(
        &self,
        app: &App,
        channel: &Arc<OpenChannel>,
        work: WorkId,
    ) -> Result<Next, WriteError> {
        let _turn = channel.turn().await;
        let begin = Begin {
            work,
            windows: windows(channel),
        };
        let errand = match app.writer.write(begin).await {
            Ok(Some(errand)) => errand,
            nothing => {
                self.tell(app, channel, work, Outcome::Nothing).await;
                return nothing.map(|_| Next::Done);
            }
        };
        let ended = send(app, channel, &errand).await;
        self.tell(app, channel, work, outcome(&ended)).await;
        let labels = [
            ("channel", channel.id.clone()),
            ("outcome", named(&ended).to_owned()),
        ];
        metrics::counter!("deskbell_sends_total", &labels).increment(1);
        // From here on, where the answer was missed.
        self.looking().remove(&work);
        let looking_ms = if ended == Ended::Unknown {
            self.looks(work, errand.part)
        } else {
            0
        };
        self.record(app, &errand, ended, looking_ms).await
    }

    /// Records how an attempt ended. Where the store cannot take it now, it is tried until it can: the platform will not
    /// tell it again.
    async fn record(
        &self,
        app: &App,
        errand: &Errand,
        ended: Ended,
        looking_ms: i64,
    ) -> Result<Next, WriteError> {
        let finish = Finish {
            work: errand.work,
            part: errand.part,
            ended,
            jitter: (self.jitter)(),
            looking_ms,
        };
        loop {
            match app.writer.write(finish.clone()).await {
                Err(WriteError::Busy | WriteError::Store(_)) if !app.stopping.is_cancelled() => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                result => {
                    if matches!(result, Ok(Next::Done)) {
                        self.looking().remove(&errand.work);
                    }
                    return result;
                }
            }
        }
    }

    /// Looks whether a send whose answer was lost has arrived.
    async fn look(
        &self,
        app: &App,
        channel: &Arc<OpenChannel>,
        work: WorkId,
    ) -> Result<Next, WriteError> {
        let Some(errand) = app.writer.write(Resume { work }).await? else {
            // An echo was quicker: the item is done with, or its next part waits.
            return self.stands(app, work);
        };
        // Now and not once the platform has answered: its answer may be long on its way, and tells of now.
        let looking_ms = self.looks(work, errand.part);
        let Some(sender) = channel.channel.send() else {
            return Ok(Next::Done);
        };
        let ended = match (client(channel, 0), part(app, &errand).await) {
            (Ok(http), Ok(part)) => {
                let token = send_token(errand.message.id, errand.part);
                let lost = LostSend {
                    thread: &errand.thread,
                    send_token: &token,
                    part: &part,
                    attempted_at: errand.attempted_at,
                    known: &errand.known,
                };
                // Looking reads the channel's history, for which platforms set a limit of its own.
                let _turn = channel.reading_turn().await;
                let time = upload_time(0) + MORE_TIME;
                match tokio::time::timeout(time, sender.fate(&http, lost)).await {
                    Ok(Fate::Sent(sent)) => Ended::Sent(sent.external_id),
                    Ok(Fate::NotSent) => Ended::NotSent,
                    Ok(Fate::NotSeen) => Ended::NotSeen,
                    Ok(Fate::Untold) => Ended::Untold,
                    // It could not be asked; asking goes on while there is time.
                    Ok(Fate::Unanswered { .. }) | Err(_) => Ended::Unanswered,
                }
            }
            _ => Ended::Unanswered,
        };
        self.record(app, &errand, ended, looking_ms).await
    }

    /// What comes next for an item, as it is on record.
    fn stands(&self, app: &App, work: WorkId) -> Result<Next, WriteError> {
        match WorkEntry::get(&*app.store, &work.key()) {
            Ok(Some(entry)) => Ok(Next::At(entry.due_at)),
            Ok(None) => {
                self.looking().remove(&work);
                Ok(Next::Done)
            }
            Err(error) => Err(WriteError::Store(error.to_string())),
        }
    }
}

/// The client for a call that carries so many bytes.
fn client(channel: &OpenChannel, body_bytes: u64) -> Result<PlatformClient, reqwest::Error> {
    let base = channel
        .settings
        .api_base()
        .or(channel.kind.api_base)
        .unwrap_or_default();
    Ok(PlatformClient::new(upload_client()?, base).within(upload_time(body_bytes)))
}

/// Sends one part. Whatever is not the platform's own clear word is `Unknown`.
async fn send(app: &App, channel: &Arc<OpenChannel>, errand: &Errand) -> Ended {
    let Some(sender) = channel.channel.send() else {
        return Ended::Retry(None);
    };
    let part = match part(app, errand).await {
        Ok(part) => part,
        Err(say) => return Ended::Refused("attachment-missing".to_owned(), say),
    };
    let body_bytes = match &part {
        Part::Text(_) => 0,
        Part::File(file) => file.bytes.len() as u64,
    };
    let http = match client(channel, body_bytes) {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%error, "there is no HTTP client");
            return Ended::Retry(None);
        }
    };
    let token = send_token(errand.message.id, errand.part);
    let outbound = Outbound {
        thread: &errand.thread,
        send_token: &token,
        part: &part,
        reply_to: errand.reply_to.as_deref(),
        window_extended: errand.window_extended,
    };
    let time = upload_time(body_bytes) + MORE_TIME;
    let result = tokio::time::timeout(time, sender.send(&http, outbound)).await;
    match result {
        Ok(Ok(sent)) => Ended::Sent(sent.external_id),
        Ok(Err(SendError::Retry { after, say })) => {
            tracing::info!(channel = %channel.id, message = %errand.message.id, "an answer is tried again: {say}");
            Ended::Retry(after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX)))
        }
        Ok(Err(SendError::Unknown { say })) => {
            tracing::warn!(channel = %channel.id, message = %errand.message.id, "whether an answer arrived is not known and is looked for: {say}");
            Ended::Unknown
        }
        Err(_) => Ended::Unknown,
        Ok(Err(SendError::Refused { code, say })) => {
            tracing::info!(channel = %channel.id, message = %errand.message.id, code, "the platform refused an answer");
            Ended::Refused(code, say)
        }
        Ok(Err(SendError::Credentials { say })) => {
            crate::watch::credentials_broken(app, channel, &say).await;
            Ended::Credentials
        }
    }
}

/// The content of a part; an error is a sentence for the agent.
async fn part(app: &App, errand: &Errand) -> Result<Part, String> {
    let place = match &errand.plan {
        PartPlan::Text(text) => return Ok(Part::Text(text.clone())),
        PartPlan::File(place) => *place,
    };
    let missing = || "The file is not there any more. Attach it again.".to_owned();
    let attachment = errand.message.attachments.get(place).ok_or_else(missing)?;
    let content = contents(&errand.message)
        .get(place)
        .copied()
        .flatten()
        .map(str::to_owned)
        .ok_or_else(missing)?;
    let blobs = app.blobs.clone();
    let bytes = tokio::task::spawn_blocking(move || blobs.read(&content))
        .await
        .map_err(|_| missing())?
        .map_err(|_| missing())?;
    Ok(Part::File(OutboundFile {
        kind: attachment.kind,
        name: attachment.name.clone(),
        mime_type: attachment
            .mime_type
            .clone()
            .unwrap_or_else(|| "application/octet-stream".to_owned()),
        bytes: Bytes::from(bytes),
    }))
}

/// What an attempt says of the channel.
fn outcome(ended: &Ended) -> Outcome {
    match ended {
        Ended::Sent(_) | Ended::Refused(..) => Outcome::Answered,
        Ended::Retry(Some(after_ms)) => {
            Outcome::Later(Duration::from_millis(u64::try_from(*after_ms).unwrap_or(0)))
        }
        Ended::Credentials => Outcome::Nothing,
        _ => Outcome::Failed,
    }
}

const fn named(ended: &Ended) -> &'static str {
    match ended {
        Ended::Sent(_) => "sent",
        Ended::Retry(_) | Ended::NotSent => "retry",
        Ended::Unknown | Ended::Unanswered | Ended::NotSeen | Ended::Untold => "unknown",
        Ended::Refused(..) => "refused",
        Ended::Credentials => "credentials",
    }
}

/// A small sign to the customer, which is worth no second try and no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Somebody types, or has stopped.
    Typing(bool),
    /// The conversation was read.
    Seen,
}

/// Gives the customer of a thread a sign, where the platform shows it. Nobody waits for it.
pub fn give_sign(app: &App, no: ChannelNo, thread: &str, sign: Sign) {
    let Some(channel) = app.channels.get_no(no) else {
        return;
    };
    if channel.channel.send().is_none() || channel.status().sending_paused || app.held.is_held() {
        return;
    }
    let thread = thread.to_owned();
    tokio::spawn(async move {
        let (Some(sender), Ok(http)) = (channel.channel.send(), client(&channel, 0)) else {
            return;
        };
        let given = match sign {
            Sign::Typing(typing) => sender.typing(&http, &thread, typing).await,
            Sign::Seen => sender.mark_seen(&http, &thread).await,
        };
        if let Err(error) = given {
            tracing::debug!(channel = %channel.id, "a sign to the customer was not taken: {error}");
        }
    });
}
