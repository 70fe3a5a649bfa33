//! Answers on their way out: the executor of the work items that send.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use deskbell_sdk::client::BoxFuture;
use deskbell_sdk::send::{Fate, LostSend, Outbound, OutboundFile, Part, PartPlan, SendError};

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
#[derive(Clone, Copy, Debug, Default)]
pub struct Outbox;

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
        Box::pin(carry_out(app, work))
    }
}

/// Takes an item one step further, and says what comes next for it.
async fn carry_out(app: &App, work: WorkId) -> Result<Next, WriteError> {
    let entry = match WorkEntry::get(&*app.store, &work.key()) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(Next::Done),
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
        WorkState::Waiting { .. } => attempt(app, &channel, work).await,
        WorkState::Attempting { .. } | WorkState::Looking { .. } => look(app, &channel, work).await,
    }
}

/// Records the attempt, makes it, and records how it ended.
async fn attempt(app: &App, channel: &Arc<OpenChannel>, work: WorkId) -> Result<Next, WriteError> {
    let _turn = channel.turn().await;
    let Some(errand) = app
        .writer
        .write(Begin {
            work,
            windows: windows(channel),
        })
        .await?
    else {
        return Ok(Next::Done);
    };
    let ended = send(app, channel, &errand).await;
    let labels = [
        ("channel", channel.id.clone()),
        ("outcome", named(&ended).to_owned()),
    ];
    metrics::counter!("deskbell_sends_total", &labels).increment(1);
    record(app, &errand, ended).await
}

/// Records how an attempt ended. Where the store cannot take it now, it is tried until it can: the platform will not
/// tell it again.
async fn record(app: &App, errand: &Errand, ended: Ended) -> Result<Next, WriteError> {
    let finish = Finish {
        work: errand.work,
        part: errand.part,
        ended,
        jitter: crate::secrets::jitter(),
    };
    loop {
        match app.writer.write(finish.clone()).await {
            Err(WriteError::Busy | WriteError::Store(_)) if !app.stopping.is_cancelled() => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            result => return result,
        }
    }
}

/// Looks whether a send whose answer was lost has arrived.
async fn look(app: &App, channel: &Arc<OpenChannel>, work: WorkId) -> Result<Next, WriteError> {
    let Some(errand) = app.writer.write(Resume { work }).await? else {
        return Ok(Next::Done);
    };
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
    record(app, &errand, ended).await
}

/// The client for a call that carries so many bytes.
fn client(channel: &OpenChannel, body_bytes: u64) -> Result<PlatformClient, reqwest::Error> {
    let base = channel
        .settings
        .api_base()
        .or(channel.kind.api_base)
        .unwrap_or_default();
    Ok(PlatformClient::new(upload_client(body_bytes)?, base))
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
